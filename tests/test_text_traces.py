"""The beginnings of real editing histories; `make traces` replays the whole of them."""

from __future__ import annotations

import json

import pytest
from traces import LEDGER, TRACES, path_of

#: The whole of them takes a minute of CPU and more.
EDITS = {"automerge-paper": 3000, "friendsforever": 1200}


@pytest.mark.parametrize("name", TRACES)
def test_the_beginning(name: str) -> None:
    if not path_of(name).is_file():
        pytest.skip("the trace is not here; see REPLICATION_DATA")
    result = TRACES[name](name, EDITS[name])
    assert result.edits == EDITS[name]
    assert result.text == result.expected
    assert (result.crossings > 100) == (name == "friendsforever")


@pytest.mark.parametrize("name", TRACES)
def test_the_whole_of_it_was_replayed(name: str) -> None:
    lines = [json.loads(line) for line in LEDGER.read_text(encoding="utf-8").splitlines()]
    assert any(line["trace"] == name and line["equal"] for line in lines)
