"""The vectors of forgetting: what leaves a state, and what becomes of what was pending on it."""

from __future__ import annotations

from typing import Any

from make_merge_vectors import base, tx
from vector_operations import replayed, shown

from replication.crdt import object as obj
from replication.crdt.check import check_object
from replication.crdt.forget import forget
from replication.crdt.incarnation import clone
from replication.crdt.object import absent, merge
from replication.crdt.rebase import Rebase
from replication.model.encoding import pack
from replication.model.values import ERASED, Container


def forgetting() -> list[dict[str, Any]]:
    """What is forgotten and what is not, then what was pending."""
    return [*_lists(), *_others(), *_rebased(), *_late()]


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
    listed, keyed = (pack([kind, "a", 0, 0]) for kind in (obj.LIST, obj.DICTIONARY))
    contents = {
        keyed: [[obj.REGISTER, "a"], [[], [[6, 2, {"k": 1}]], {}]],
        listed: [[obj.REGISTER, "a"], holds],
    }
    default = [0, 0, {"a": Container(obj.DICTIONARY, 0, 0)}, 6, 2]
    defaults = {obj.REGISTER: [default], obj.CONTAINER: contents}
    overridden = {obj.REGISTER: [[7, 2, {"a": 1}]], obj.CONTAINER: contents}
    return [
        _forget("members", ["FORGET-5"], living(members)),
        _forget("keys", ["FORGET-5", "FORGET-6"], living(items)),
        _forget("embedded objects", ["FORGET-5", "FORGET-6"], living(embedded)),
        _forget("fields", ["FORGET-6"], living(fields)),
        _forget("a deleted object", ["FORGET-6"], [2, 0, [], {}]),
        _forget("containers", ["FORGET-10"], living(mixed)),
        _forget("containers of defaults", ["FORGET-10"], living(defaults)),
        _forget("containers of defaults that lost", ["FORGET-10"], living(overridden)),
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


def _past(
    name: str, covers: list[str], first: dict[str, Any], before: list[Any], late: list[Any]
) -> dict[str, Any]:
    """A history with a horizon.

    Args:
        first: creates the object, which the authors of all others saw.
        before: of one device, merged before the horizon.
        late: of another one, written as if there were none, and merged behind it.
    """
    written = [first, *before, *late]
    ids = {each["stamp"][1]: 1 for each in written}
    for at, each in enumerate(written):
        own = [n for n in range(1, at) if written[n]["stamp"][1] == each["stamp"][1]]
        each["saw"] = [0, *own] if at else []
        each["sequence"] = ids[each["stamp"][1]]
        ids[each["stamp"][1]] += 10
    deltas = replayed(written)
    count = 1 + len(before)
    state = absent()
    for delta in deltas[:count]:
        state = merge(state, delta)
    unforgotten, state = clone(state), forget(state)
    past = Rebase(clone(deltas[0]), clone(state), held=True)
    rebased = [past.take(clone(delta)) for delta in deltas[count:]]
    for delta, fitted in zip(deltas[count:], rebased, strict=True):
        unforgotten, state = merge(unforgotten, delta), merge(state, clone(fitted))
    for each, delta in zip(written, deltas, strict=True):
        each["delta"] = pack(delta).hex()
    return {
        "name": f"late/{name}",
        "covers": covers,
        "transactions": written,
        "before": count,
        "rebased": [pack(delta).hex() for delta in rebased],
        "merged": pack(state).hex(),
        "shows": shown(state),
        "unforgotten": shown(unforgotten),
    }


def _late() -> list[dict[str, Any]]:
    shown_instead = ("nest_default", "a", {"$dict": {"k": 1}})
    keys = base(("put", "d", "k", 1))
    members = base(("insert", "s", 1))
    delete, create = ("delete_object",), ("create_object",)

    def letters() -> Any:
        return base(("list_insert", "l", 0, ["a", "b"]))

    return [
        _past("a key", ["FORGET-5", "REBASE-3"], keys,
              [tx(9, 3, ("erase_key", "d", "k"))], [tx(5, 4, ("put", "d", "k", 2))]),
        _past("a member", ["FORGET-5", "REBASE-3"], members,
              [tx(9, 3, ("remove", "s", 1))], [tx(5, 4, ("insert", "s", 1))]),
        _past("a value", ["FORGET-4", "REBASE-2"], letters(),
              [tx(5, 3, ("list_erase", "l", 0))], [tx(9, 4, ("list_set", "l", 0, "A"))]),
        _past("a move", ["FORGET-4", "REBASE-2"], letters(),
              [tx(5, 3, ("list_erase", "l", 0))], [tx(9, 4, ("list_move", "l", 0, 1))]),
        _past("an erasure", ["FORGET-4", "REBASE-2"], letters(),
              [tx(5, 3, ("list_erase", "l", 0))], [tx(9, 4, ("list_erase", "l", 0))]),
        _past("an insertion", ["FORGET-2", "REBASE-1"], letters(),
              [tx(5, 3, ("list_insert", "l", 2, ["x"]), ("list_erase", "l", 1))],
              [tx(9, 4, ("list_insert", "l", 2, ["y"]))]),
        _past("two insertions", ["FORGET-2", "REBASE-1"], letters(),
              [tx(5, 3, ("list_erase", "l", 1))],
              [tx(8, 4, ("list_insert", "l", 2, ["x"])), tx(9, 4, ("list_insert", "l", 3, ["y"]))]),
        _past("an edit", ["FORGET-6"], base(), [tx(5, 3, delete)], [tx(9, 4, ("set", "a", 1))]),
        _past("an edit of the life before", ["FORGET-6"], base(),
              [tx(5, 3, delete, create, ("set", "a", 2))], [tx(9, 4, ("set", "a", 1))]),
        _past("a default", ["FORGET-10"], base(),
              [tx(5, 3, ("nest_default", "a", ["x"])), tx(6, 3, shown_instead)],
              [tx(9, 4, ("nest_default", "a", ["y"]))]),
    ]  # fmt: skip
