"""The scenario files beside the tests: what each of their scenarios is to end with.

A comment line `{"comment":{"expected":STATE}}` holds the state in which everybody ends,
`"snapshots"` beside it what the server shows at each label. Where the result is on purpose another
one than index arithmetic and plain last-writer-wins give, a comment says so:
`{"comment":{"differs":WHY,"rule":ID}}`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from replication.simulation.scenario import Scenario, read

FOLDER = Path(__file__).parent / "scenarios"


class Case(NamedTuple):
    """A scenario and what its comments say."""

    scenario: Scenario
    comments: dict[str, Any]


def cases() -> list[Case]:
    """All scenarios of all files."""
    found = []
    for path in sorted(FOLDER.glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines()
        comments: dict[str, dict[str, Any]] = {}
        for line in filter(None, lines):
            ((kind, value),) = json.loads(line).items()
            if kind == "scenario":
                comment = comments.setdefault(value, {})
            elif kind == "comment" and type(value) is dict:
                comment.update(value)
        found += [Case(scenario, comments[scenario.name]) for scenario in read(lines)]
    return found
