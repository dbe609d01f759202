"""Run benchmarks: `python -m bench [NAME ...] [--runs N] [--quick] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import (
    bootstrap,
    fanout,
    live,
    merging,
    queries,
    rules,
    scenarios,
    sizes,
    texts,
    writes,
)
from bench.harness import Figure

BENCHES: dict[str, Callable[..., list[Figure]]] = {
    "bootstrap": bootstrap.bootstrap,
    "local_writes": writes.local_writes,
    "integration": writes.integration,
    "latency": live.latency,
    "idle": live.idle,
    "scaling": writes.scaling,
    "scenarios": scenarios.scenarios,
    "at_rest": writes.at_rest,
    "merging": merging.merging,
    "lists": merging.lists,
    "text": texts.text,
    "fanout": fanout.fanout,
    "list_metadata": sizes.list_metadata,
    "queue": sizes.queue,
    "queries": queries.queries,
    "rules": rules.all_rules,
}


def printed(figures: list[Figure]) -> Table:
    """The figures as a table."""
    table = Table("figure", "median", "least", "most", "floor", "ratio", "asked for")
    for item in figures:
        extra = "".join(f"\n  {name}: {value:,.1f}" for name, value in item.extra.items())
        table.add_row(
            item.name + extra,
            f"{item.value:,.2f} {item.unit}",
            f"{item.spread[0]:,.2f}",
            f"{item.spread[1]:,.2f}",
            "" if item.floor is None else f"{item.floor:,.2f}",
            "" if item.ratio is None else f"{item.ratio:.2f}",
            item.target,
        )
    return table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHES)}; none: all")
    parser.add_argument("--runs", type=int, default=5, help="of each figure (default: 5)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try it out")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results.json")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHES)
    if unknown:
        parser.error(f"no benchmark {sorted(unknown)[0]!r}; there are {', '.join(BENCHES)}")
    figures: list[Figure] = []
    for name in options.names or BENCHES:
        found = BENCHES[name](options.runs, quick=options.quick)
        figures += found
        Console().print(printed(found))
    machine = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "quick": options.quick,
    }
    known = json.loads(options.json.read_text())["figures"] if options.json.exists() else []
    new = {item.name for item in figures}
    kept = [item for item in known if item["name"] not in new]
    results = {"machine": machine, "figures": kept + [item.as_json() for item in figures]}
    options.json.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written to {options.json}")


if __name__ == "__main__":
    main()
