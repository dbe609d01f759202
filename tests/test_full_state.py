"""What walks a state walks all of it: a state with everything in it, place by place. [STATE]"""

from __future__ import annotations

from typing import Any

import pytest
from full_state import SEEN, STAMPS, full_state, node_at, nodes, with_key, with_node
from made_updates import typed

from replication.crdt import object as obj
from replication.crdt.check import check_object, unpack_object
from replication.crdt.incarnation import clone
from replication.crdt.object import absent, merge
from replication.crdt.reclient import Reclient
from replication.crdt.register import Stamp
from replication.crdt.stamps import latest_time
from replication.crdt.substitute import Substitution
from replication.crdt.view import QueryFields, object_view
from replication.crdt.whole import joined
from replication.errors import DecodeError
from replication.model.encoding import pack
from replication.model.values import EmbeddedValues, NestedDict, NestedList

FULL = full_state()
#: A head whose list and text are spread over parts; the last sequence is in none of them yet.
SPREAD_HEAD = [1, 1, [], {
    obj.LIST: {"l": [[], [[0, 0, 0], [2, 5, 3]], 4]},
    obj.TEXT: {"t": [[[100, 2, 2]], [typed(100, 0, None, None, "hi")], [[0, 5, 7], [3, 5, 7]], 4]},
}]  # fmt: skip
#: The ways to what is under a key.
KEYS = [path for path, _ in nodes(FULL) if path and type(node_at(FULL, path[:-1])) is dict]


def refused(state: Any, *, spread: bool = False) -> bool:
    try:
        check_object(state, spread=spread)
    except DecodeError:
        return True
    return False


def test_it_is_well_formed_and_shows_what_it_says() -> None:
    check_object(FULL)
    assert pack(unpack_object(pack(FULL))) == pack(FULL)
    assert pack(merge(absent(), clone(FULL))) == pack(FULL)
    assert object_view(FULL) == {
        "a": "b",
        "d": {"e": {"x": "at 12"}, "k": "v"},
        "def": {"in": "it"},
        "l": [{"x": "at 16"}, "set", "p"],
        "mix": ["c"],
        "n": "t",
        "o": {"t": "hi", "x": "at 18"},
        "s": ["m"],
        "t": "hi",
    }


def test_what_queries_see_of_it() -> None:
    """[STATE-VIEW]"""
    fields = QueryFields(FULL[3])
    assert list(fields) == ["a", "d", "def", "l", "mix", "n", "o", "s"]  # and no text
    assert (type(fields["def"]), fields["def"]) == (NestedDict, {"in": "it"})
    assert (type(fields["mix"]), fields["mix"]) == (NestedList, ["c"])
    inner, *rest = fields["l"]
    assert (type(inner), rest) == (EmbeddedValues, ["set", "p"])
    assert [dict(each) for each in (inner, fields["d"]["e"], fields["o"])] == [
        {"x": "at 16"}, {"x": "at 12"}, {"x": "at 18"}
    ]  # fmt: skip
    assert (fields["d"]["k"], fields["s"], fields["n"], fields["a"]) == ("v", ["m"], "t", "b")


# -- the gate: [STATE] -----------------------------------------------------------------------------
@pytest.mark.parametrize("path", [path for path, _ in nodes(FULL)][1:], ids=repr)
def test_another_type_at_any_place_is_refused(path: Any) -> None:
    """Of what compares alike, too, as 1.0 and True do with 1. No number is less than zero."""
    for each in strange(FULL, path):
        assert refused(with_node(FULL, path, each)), each


@pytest.mark.parametrize("path", [path for path, _ in nodes(SPREAD_HEAD)][1:], ids=repr)
def test_another_type_at_any_place_of_a_directory_is_refused(path: Any) -> None:
    assert not refused(SPREAD_HEAD, spread=True)
    for each in strange(SPREAD_HEAD, path):
        assert refused(with_node(SPREAD_HEAD, path, each), spread=True), each


def strange(state: Any, path: Any) -> list[Any]:
    """What may not stand in place of what is there."""
    held = node_at(state, path)
    if type(held) is int:
        some = [float(held), bool(held), None, "1", [held], {}]
        return some if _may_be_negative(path) else [*some, -1]
    if type(held) is list:
        return [None, False, "", b"", bytes(len(held)), dict(enumerate(held)), 2.5, [*held, {}]]
    if type(held) is dict:
        return [None, 0, "", list(held), list(held.items())]
    if type(held) is bool:
        return [int(held), None, "x", []]
    if type(held) is bytes:
        return [held.decode("latin-1"), list(held), None, 0, {}]
    return [[], [held], {}, {held: held}]  # a value


def _may_be_negative(path: Any) -> bool:
    """A total, and a link of a run to a place before its own."""
    return path[-1] == "n" or (path[-4:-2] == (1, 0) and path[-1] == 2)


@pytest.mark.parametrize("path", KEYS, ids=repr)
def test_another_type_of_key_is_refused(path: Any) -> None:
    held = path[-1]
    strange = [None, 1.5, 99, -1, (), b"\x93"]
    if type(held) is int:  # the kind of what is under it
        strange += [float(held), str(held)]
        strange += [True] if held == 1 else []
    for each in strange:
        assert refused(with_key(FULL, path, each)), each


# -- copies ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("copied", [clone, joined])
def test_a_copy_shares_nothing_that_can_change(copied: Any) -> None:
    fresh = copied(FULL)
    assert pack(fresh) == pack(FULL)
    theirs = {id(node) for _, node in nodes(FULL) if type(node) in (list, dict)}
    assert not [path for path, node in nodes(fresh) if id(node) in theirs]


# -- times and ids ---------------------------------------------------------------------------------
def test_the_latest_time_is_found_wherever_it_stands() -> None:
    found = []
    for late in range(STAMPS):
        numbers = iter(range(STAMPS))

        def but_one(time: int, origin: int) -> Stamp:
            return (99 if next(numbers) == late else time, origin)  # noqa: B023  it is called here

        found.append(latest_time(full_state(but_one)))
    # What a default saw is no write of its own, nor is what names the container it put there.
    assert [late for late, time in enumerate(found) if time != 99] == SEEN


def test_each_stamp_and_id_is_renamed() -> None:
    """[SUBST-4]"""

    def stamp(time: int, origin: int) -> Stamp:
        return time + 100, origin + 10

    def name(ident: int, sequence: int) -> tuple[int, int]:
        return ident + 10, sequence + 1000

    renamed = Substitution(stamp, name).object(clone(FULL))
    assert pack(renamed) == pack(full_state(stamp, name))


def test_nothing_but_texts_gets_other_clients() -> None:
    """[SUBST-6]"""
    renamed = Reclient(9, lambda client: client + 1).object(("Note", b"1"), clone(FULL))
    assert pack(renamed) == pack(full_state(owner=(101, 9)))
