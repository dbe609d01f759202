"""Put the results into the README: `python -m bench.readme`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def filled(text: str, results: dict[str, Any]) -> str:
    """The README with the figures of a results file."""
    machine = results["machine"]
    rows = [
        f"Medians on {machine['cores']} cores, Python {machine['python']}; each floor was measured "
        "in turn with its figure.",
        "",
        "| figure | median | runs | floor | ratio | asked for |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for item in results["figures"]:
        extra = "".join(f"; {name} {value:,.1f}" for name, value in item["extra"].items())
        floor = "" if item["floor"] is None else f"{item['floor']:,.2f}"
        ratio = "" if item["ratio"] is None else f"{item['ratio']:.2f}"
        rows.append(
            f"| {item['name']}{extra} | {item['value']:,.2f} {item['unit']} | {item['runs']} "
            f"| {floor} | {ratio} | {item['target']} |"
        )
    begin, end = "<!-- figures -->\n", "<!-- end -->"
    head, rest = text.split(begin)
    return head + begin + "\n".join(rows) + "\n" + end + rest.split(end, 1)[1]


if __name__ == "__main__":
    readme = ROOT / "README.md"
    results_file = ROOT / "bench" / "results.json"
    readme.write_text(filled(readme.read_text(), json.loads(results_file.read_text())))
