"""The README keeps its word: its example runs, its commands exist, its table is the results'."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
REPLICATION = [sys.executable, "-m", "replication.cli"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def server(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A development server on a free port."""
    command = [
        *REPLICATION, "serve", str(tmp_path / "data"), "--development", "--listen", "127.0.0.1:0",
        "--namespace", "library", "--namespace", "books", "--json", "--stop-with-stdin",
    ]  # fmt: skip
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        yield re.search(r"ws://[^/\"]+", json.dumps(told)).group()  # type: ignore[union-attr]
        process.terminate()


def test_the_example_runs(server: str, tmp_path: Path) -> None:
    (example,) = blocks("python")
    said = re.search(r"It prints `(.*)`", README)
    assert said is not None
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example.replace("ws://localhost:7700", server)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.strip() == said.group(1)


def test_the_commands_run(server: str, tmp_path: Path) -> None:
    (table,) = blocks("csv")
    (tmp_path / "books.csv").write_text(table)
    lines = [line.split("#")[0].strip() for line in blocks("sh")[1].splitlines()]
    outputs = []
    for line in lines:
        if line.startswith("replication serve"):
            continue  # the fixture's
        words = shlex.split(line.replace("ws://localhost:7700", server))
        assert words[0] == "replication"
        done = subprocess.run(
            [*REPLICATION, *words[1:]],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip
        assert done.returncode == 0, (line, done.stderr)
        outputs.append(done.stdout)
    assert "Dune" in outputs[1]
    assert "Emma" not in outputs[1]
    assert len(outputs) == 6


def test_the_scenario_ends_as_it_says(tmp_path: Path) -> None:
    (scenario,), (said,) = blocks("jsonl"), blocks("json")
    path = tmp_path / "scenario.jsonl"
    path.write_text(scenario)
    command = [*REPLICATION, "scenario", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == said


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
    for test in re.findall(r"`(tests/\w+\.py)`", README):
        assert (ROOT / test).exists(), test


def test_its_figures_are_the_results() -> None:
    sys.path.insert(0, str(ROOT))
    from bench.readme import filled

    results = json.loads((ROOT / "bench/results.json").read_text())
    assert filled(README, results) == README, "run `python -m bench.readme`"
