"""The vectors of forgetting: what leaves a state, and what becomes of what was pending on it."""

from __future__ import annotations

from typing import Any

from vector_operations import shown

from replication.crdt import object as obj
from replication.crdt.check import check_object
from replication.crdt.forget import forget
from replication.crdt.incarnation import clone
from replication.crdt.object import absent
from replication.crdt.rebase import Rebase
from replication.model.encoding import pack
from replication.model.values import ERASED, Container


def forgetting() -> list[dict[str, Any]]:
    """What is forgotten and what is not, then what was pending."""
    return [*_lists(), *_others(), *_rebased()]


def living(fields: Any) -> Any:
    """A living object."""
    return [1, 1, [], fields]


def listed(runs: Any, sets: Any = (), moves: Any = (), erased: Any = (), contents: Any = ()) -> Any:
    """A living object with a list `l`."""
    return living({obj.LIST: {"l": [[], [runs, *map(list, (sets, moves, erased, contents))]]}})


def _forget(name: str, covers: list[str], state: Any) -> dict[str, Any]:
    check_object(state)
    return {
        "name": f"forget/{name}",
        "covers": covers,
        "state": pack(state).hex(),
        "forgotten": pack(forget(clone(state))).hex(),
        "shows": shown(state),
    }


def _lists() -> list[dict[str, Any]]:
    chain = [[2, 1, 0, 5, 2, 2], [2, 3, 1, 6, 2, ["c"]]]
    branches = [[2, 1, 0, 5, 2, 1], [2, 2, 1, 6, 2, ["b"]], [3, 1, [2, 1, 1], 7, 3, ["c"]]]
    deep = [[2, 1, 0, 5, 2, 1], [2, 2, -1, 6, 2, 1], [2, 3, 1, 7, 2, ["c"]], [2, 4, 0, 9, 2, ["d"]]]
    twins = [[2, 1, 0, 5, 2, 1], [2, 3, 0, 5, 2, ["b"]], [2, 7, -6, 6, 2, ["c"]]]
    loose = [[2, 1, [2, 2, 1], 5, 2, 1], [2, 2, 1, 6, 2, 1], [2, 4, [9, 9, 0], 5, 2, 1]]
    moved = [[2, 1, 0, 5, 2, ["a", "b"]], [2, 3, 1, 6, 2, 1]]
    content = {obj.SET: {"s": [[], [[5, 2, {pack(1): False, pack(2): True}]]]}}
    return [
        _forget("leaves", ["FORGET-1", "FORGET-4"],
                listed([[2, 1, 0, 5, 2, ["a"]], [2, 2, 1, 5, 2, 2]], erased=[[2, 2, 2]])),
        _forget("an empty list", ["FORGET-1", "FORGET-6"],
                listed([[2, 1, 0, 5, 2, 3]], erased=[[2, 1, 3]])),
        _forget("a chain", ["FORGET-2", "FORGET-7"], listed(chain, erased=[[2, 1, 2]])),
        _forget("two children", ["FORGET-2", "FORGET-4"], listed(branches, erased=[[2, 1, 1]])),
        _forget("a left child", ["FORGET-2", "FORGET-7"], listed(deep, erased=[[2, 1, 2]])),
        _forget("twins", ["FORGET-3"], listed(twins, erased=[[2, 1, 1]])),
        _forget("not reachable", ["FORGET-3", "FORGET-4"],
                listed(loose, erased=[[2, 1, 2], [2, 4, 1], [2, 8, 1]])),
        _forget("moved", ["FORGET-2", "FORGET-6"], listed(moved, moves=[[2, 1, 6, 2, 2, 3]])),
        _forget("contents", ["FORGET-5", "FORGET-6"],
                listed([[2, 1, 0, 5, 2, [None]]], contents=[[2, 1, content]])),
    ]  # fmt: skip


def _others() -> list[dict[str, Any]]:
    members = {obj.SET: {"s": [[], [[5, 2, {pack(1): True, pack(2): False}],
                                    [6, 2, {pack(3): False}]]]}}  # fmt: skip
    items = {
        obj.DICTIONARY: {
            "d": [
                [4, 2, 2, 9],
                [[5, 2, {"a": 1, "b": ERASED}]],
                {"e": [1, 1, [], members], "f": [2, 0, [], {}]},
            ]
        }
    }
    embedded = {obj.EMBEDDED: {"e": [1, 1, [], items], "f": [2, 0, [], {}]}}
    shown, inner, past, early = (pack([obj.LIST, 2, n]) for n in (1, 2, 3, 4))
    holds = [[], [[[2, 7, 0, 5, 2, [Container(obj.LIST, 2, 2)]]], [], [], [[2, 8, 1]], []]]
    nothing = [[], [[[2, 9, 0, 5, 2, 1]], [], [], [[2, 9, 1]], []]]
    mixed = {
        obj.REGISTER: [[6, 2, {"a": Container(obj.LIST, 2, 1)}]],
        obj.CONTAINER: {
            shown: [[obj.REGISTER, "a"], holds],
            inner: [[obj.CONTAINER, shown, [2, 7]], nothing],
            past: [[obj.REGISTER, "a"], nothing],
            early: [[], nothing],
        },
    }
    fields = {obj.REGISTER: [[5, 2, {"a": None}]], obj.COUNTER: {"n": 3}}
    return [
        _forget("members", ["FORGET-5"], living(members)),
        _forget("keys", ["FORGET-5", "FORGET-6"], living(items)),
        _forget("embedded objects", ["FORGET-5", "FORGET-6"], living(embedded)),
        _forget("fields", ["FORGET-6"], living(fields)),
        _forget("a deleted object", ["FORGET-6"], [2, 0, [], {}]),
        _forget("containers", ["FORGET-10"], living(mixed)),
        _forget("nobody wrote", ["FORGET-6"], absent()),
    ]


def _rebase(
    name: str, covers: list[str], before: Any, after: Any, *deltas: Any, held: bool = True
) -> dict[str, Any]:
    for state in (before, after, *deltas):
        check_object(state)
    past = Rebase(clone(before), clone(after), held=held)
    rebased = [past.take(clone(delta)) for delta in deltas]
    return {
        "name": f"rebase/{name}",
        "covers": covers,
        "before": pack(before).hex(),
        "after": pack(after).hex(),
        "held": held,
        "deltas": [pack(delta).hex() for delta in deltas],
        "rebased": [pack(delta).hex() for delta in rebased],
    }


def _rebased() -> list[dict[str, Any]]:
    def edit(*chunk: Any) -> Any:
        return [0, *listed(*chunk)[1:]]

    abcd = listed([[2, 1, 0, 5, 2, ["a", "b", "c", "d"]]])
    a_d = listed([[2, 1, 0, 5, 2, ["a"]], [2, 4, 3, 5, 2, ["d"]]])
    behind_b = edit([[3, 1, [2, 3, 0], 6, 3, ["x", "y"]]])
    behind_a = edit([[3, 3, [2, 2, 0], 7, 3, ["z"]]])
    empty = listed([])
    return [
        _rebase("an anchor that is left", ["REBASE-1", "REBASE-3"], abcd, a_d,
                edit([[3, 1, [2, 1, 1], 6, 3, ["x"]]])),
        _rebase("an anchor that is gone", ["REBASE-1", "REBASE-3"], abcd, a_d, behind_b),
        _rebase("behind each other", ["REBASE-1"], abcd, a_d, behind_b, behind_a,
                edit([[3, 4, 1, 8, 3, ["w"]]])),
        _rebase("nothing before it", ["REBASE-1"], abcd, empty, behind_b, behind_a),
        _rebase("set, moved and erased", ["REBASE-2"], abcd, a_d,
                edit([[3, 1, [2, 1, 1], 6, 3, 1]], [[2, 2, 6, 3, "B"]],
                     [[2, 2, 6, 3, 3, 1]], [[2, 3, 1]])),
        _rebase("not held", ["REBASE-4"], absent(), absent(),
                edit([[3, 1, [2, 1, 1], 6, 3, ["x"]]], [[2, 2, 6, 3, "B"]]),
                edit([[3, 2, 1, 7, 3, ["y"]]]), held=False),
        _rebase("another incarnation", ["REBASE-3"], abcd, a_d,
                [0, 1, [], {obj.LIST: {"l": [[6, 3, 3, 1],
                                             [[[3, 2, 0, 6, 3, ["x"]]], [], [], [], []]]}}]),
    ]  # fmt: skip
