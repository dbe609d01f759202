"""The campaign (`campaign.py`), in small: a sample of each family, and that it finds faults."""

from __future__ import annotations

from functools import cache
from typing import Any

import campaign
import pytest
from merge_families import FAMILIES

from replication.crdt import object as obj
from replication.crdt.object import ObjectState


@pytest.mark.parametrize("name", FAMILIES)
def test_a_sample_of_each_family(name: str) -> None:
    """[MERGE-1] [MERGE-2]"""
    operations = list(FAMILIES[name].operations)
    assert len(operations) == 6
    line = campaign.run_slice(name, operations[len(name) % 6], sample=36)
    assert line["programs"] == 6 * 36
    assert line["failures"] == 0, line


def test_every_operation_writes_something_where_it_comes_first() -> None:
    for name, family in FAMILIES.items():
        prepared = campaign.Campaign(family)
        for (_, program), written in prepared.written.items():
            delta = written.deltas[0]
            assert delta[0] or delta[3], f"{name}: {program[0]}"


def test_the_points_between_cover_every_interleaving() -> None:
    """Ways from (0, 0, 0) to (2, 2, 2), a changeset a step."""

    @cache
    def ways(i: int, j: int, k: int) -> int:
        if min(i, j, k) < 0:
            return 0
        if not (i or j or k):
            return 1
        return ways(i - 1, j, k) + ways(i, j - 1, k) + ways(i, j, k - 1)

    assert ways(2, 2, 2) == campaign.INTERLEAVINGS


def _the_last_to_arrive_wins(state: ObjectState, delta: ObjectState) -> ObjectState:
    return delta if delta[3] else state


def _the_first_to_arrive_wins(state: ObjectState, delta: ObjectState) -> ObjectState:
    return state


@pytest.mark.parametrize("wrong", [_the_last_to_arrive_wins, _the_first_to_arrive_wins])
def test_a_wrong_merge_is_found(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obj, "merge", wrong)
    line = campaign.run_slice("register", "set", sample=36)
    assert line["failures"] > 0


def test_slices_cover_everything_once() -> None:
    slices = campaign.slices()
    assert len(set(slices)) == len(slices) == 6 * len(FAMILIES)
    shards = [slices[i::4] for i in range(4)]
    assert sorted(each for shard in shards for each in shard) == sorted(slices)


def test_this_code_has_no_failure_in_the_ledger() -> None:
    code = campaign.code_digest()
    for line in campaign.ledger():
        assert line["code"] != code or line["failures"] == 0, line
