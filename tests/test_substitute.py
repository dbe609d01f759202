"""Renaming files and times inside states. [SUBST]"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from made_updates import typed
from replicas import Replica, all_deltas, folded, wander, world
from state_strategies import OBJECTS
from text_strategies import session
from text_vectors import in_object

from replication.crdt import object as obj
from replication.crdt.check import check_object
from replication.crdt.incarnation import clone
from replication.crdt.list import Id
from replication.crdt.object import ObjectState, absent, merge
from replication.crdt.reclient import Reclient
from replication.crdt.register import Stamp
from replication.crdt.stamps import latest_time
from replication.crdt.substitute import Substitution
from replication.crdt.text import text_of
from replication.crdt.units import Update
from replication.crdt.updates import read_update
from replication.crdt.view import object_view
from replication.limits import IDENT_MAX, TIME_MAX
from replication.model.encoding import pack
from replication.model.values import Based, Container


def later(time: int, origin: int) -> Stamp:
    """All stamps later, origins greater, in the same order; the greatest ones stay."""
    return (time if time == TIME_MAX else time + 7, origin if origin == IDENT_MAX else origin + 3)


def earlier(time: int, origin: int) -> Stamp:
    """The inverse of `later`."""
    return (time if time == TIME_MAX else time - 7, origin if origin == IDENT_MAX else origin - 3)


def onwards(ident: int, sequence: int) -> Id:
    """Greater ids in the same order; the greatest stays."""
    return (ident, sequence) if ident == IDENT_MAX else (ident + 3, sequence + 11)


def backwards(ident: int, sequence: int) -> Id:
    """The inverse of `onwards`."""
    return (ident, sequence) if ident == IDENT_MAX else (ident - 3, sequence - 11)


FORWARD, BACKWARD = Substitution(later, onwards), Substitution(earlier, backwards)


@given(OBJECTS)
def test_a_renaming_can_be_taken_back(state: Any) -> None:
    """[SUBST-4] It is one to one, changes nothing else, and leaves its argument alone."""
    before = pack(state)
    renamed = FORWARD.object(state)
    check_object(renamed)
    assert pack(state) == before
    assert pack(BACKWARD.object(renamed)) == before


@given(OBJECTS, OBJECTS)
def test_renaming_commutes_with_merging(left: Any, right: Any) -> None:
    """[SUBST-5] On any states, ties included."""
    renamed = merge(FORWARD.object(left), FORWARD.object(right))
    assert pack(renamed) == pack(FORWARD.object(merge(clone(left), right)))


@pytest.mark.parametrize("seed", range(60))
def test_renaming_commutes_with_merging_what_replicas_write(seed: int) -> None:
    """[SUBST-5] Without ties the order of ids does not matter."""
    swap = Substitution(later, lambda ident, sequence: (9 - ident, sequence))
    deltas = all_deltas(world(Random(seed)))
    renamed = folded([swap.object(delta) for delta in deltas])
    assert pack(renamed) == pack(swap.object(folded(deltas)))


@pytest.mark.parametrize("seed", range(30))
def test_who_typed_what_is_pending_becomes_another(seed: int) -> None:
    """[SUBST-6]: it shows the same on what was integrated, and names no client of before."""
    rng = Random(seed)
    written, (editor,) = session(rng, editors=1)
    editor.close()
    deltas = [in_object(text_of(read_update(data), 2)) for data in written]
    cut = rng.randint(0, len(deltas))
    renaming = Reclient(9, lambda client: client + 1000)
    base = absent()
    for delta in deltas[:cut]:
        base = merge(base, delta)
    one, other = clone(base), clone(base)
    for delta in deltas[cut:]:
        renamed = renaming.object(("Note", b"1"), delta)
        check_object(renamed)
        assert all(owner == [1001, 9, owner[2]] for owner in renamed[3][obj.TEXT]["t"][0])
        one, other = merge(one, delta), merge(other, renamed)
    check_object(other)
    assert object_view(other) == object_view(one)


def test_texts_inside_of_embedded_objects_become_anothers() -> None:
    """[SUBST-6]: at a key of a dictionary and at an element of a list."""
    data = bytes.fromhex("01010100040104") + b"text" + bytes.fromhex("02616200")
    renamed = data.replace(b"\x01\x01\x01\x00\x04", b"\x01\x01\x02\x00\x04")

    def holding(ident: int, client: int, update: bytes) -> ObjectState:
        inner = {obj.TEXT: {"t": [[[client, ident, 2]], update]}}
        chunk = [[[2, 1, 0, 5, 2, [None]]], [], [], [], [[2, 1, inner]]]
        return [1, 1, [], {obj.DICTIONARY: {"d": [[], [], {"k": [1, 1, [], inner]}]},
                           obj.LIST: {"l": [[], chunk]}}]  # fmt: skip

    held = holding(2, 1, data)
    check_object(held)
    assert Reclient(9, lambda client: client + 1).object(("Note", b"1"), held) == holding(
        9, 2, renamed
    )


@pytest.mark.parametrize("seed", range(40))
def test_a_device_that_wrote_before_it_was_identified(seed: int) -> None:
    """[SUBST-1] Ident 0 becomes the new one everywhere: as if it had been that all along."""
    anonymous, named = Replica(0, client=5), Replica(7, client=5)
    for device in (anonymous, named):
        rng = Random(seed)
        for _ in range(6):
            device.write(wander(rng))
    adopt = Substitution(
        lambda time, origin: (time, origin or 7), lambda ident, sequence: (ident or 7, sequence)
    )
    assert pack(adopt.object(anonymous.state)) == pack(named.state)


@pytest.mark.parametrize("seed", range(40))
def test_a_clock_is_pulled_back(seed: int) -> None:
    """[SUBST-2] and [SUBST-3]: the same order, each reference following what it refers to."""
    base, ahead = Replica(2), Replica(3)
    base.write(lambda edit: edit.create())
    ahead.read(base)
    known = len(ahead.known)
    ahead.wall_ms += 10**9
    rng = Random(seed)
    for _ in range(5):
        ahead.write(wander(rng))
    pending = list(ahead.known.values())[known:]
    floor = base.clock.last + 100
    shift = ahead.clock.last - floor

    def stamp(time: int, origin: int) -> Stamp:
        return (time - shift, origin) if origin == 3 else (time, origin)

    back = Substitution(stamp, lambda ident, sequence: (ident, sequence))
    renamed = [back.object(delta) for delta in pending]
    state = clone(base.state)
    for delta in renamed:
        check_object(delta)
        assert latest_time(delta) <= floor
        state = merge(state, delta)
    assert pack(state) == pack(back.object(ahead.state))


def test_the_root_and_nothing_seen_keep_their_names() -> None:
    """[SUBST-4]"""
    state = [1, 1, [], {
        obj.REGISTER: [[0, 0, {"r": 1}, 5, 2]],
        obj.LIST: {"l": [[], [[[2, 1, 0, 5, 2, ["a"]]], [], [], [], []]]},
    }]  # fmt: skip
    renamed = FORWARD.object(state)
    assert renamed[3] == {
        obj.REGISTER: [[0, 0, {"r": 1}, 12, 5]],
        obj.LIST: {"l": [[], [[[5, 12, 0, 12, 5, ["a"]]], [], [], [], []]]},
    }


def test_collections_in_mixed_properties_are_renamed() -> None:
    """[SUBST-4] In registers, under increments, in dictionaries and lists."""
    held, expected = Container(4, 2, 1), Container(4, 5, 12)
    state = [1, 1, [], {
        obj.REGISTER: [[5, 2, {"a": held, "b": Based(held, 3), "c": Based(1, 3)}]],
        obj.DICTIONARY: {"d": [[], [[5, 2, {"k": held}]], {}]},
        obj.LIST: {"l": [[], [[], [[2, 1, 5, 2, held]], [], [], []]]},
    }]  # fmt: skip
    renamed = FORWARD.object(state)[3]
    assert renamed[obj.REGISTER][0][2] == {"a": expected, "b": Based(expected, 3), "c": Based(1, 3)}
    assert renamed[obj.DICTIONARY]["d"][1][0][2] == {"k": expected}
    assert renamed[obj.LIST]["l"][1][1] == [[5, 12, 12, 5, expected]]


@given(OBJECTS)
def test_the_renaming_that_changes_nothing(state: Any) -> None:
    """[SUBST-4]"""
    same = Substitution(lambda *stamp: stamp, lambda *here: here)
    assert pack(same.object(state)) == pack(state)


def test_what_others_typed_keeps_its_name() -> None:
    """[SUBST-6]: pending units stand beside those of clients that are not renamed."""
    pending = in_object(text_of(read_update(typed(7, 0, (5, 3), (6, 0), "x")), 2))
    renamed = in_object(text_of(read_update(typed(8, 0, (5, 3), (6, 0), "x")), 9))
    assert Reclient(9, lambda client: client + 1).object(("Note", b"1"), pending) == renamed


def test_of_one_deletion_the_pending_units_alone_become_anothers() -> None:
    """[SUBST-6]: what was integrated is deleted under its old name."""
    renaming = Reclient(9, lambda client: client + 1)
    typing = read_update(typed(7, 3, (7, 2), None, "xyz"))
    renaming.object(("Note", b"1"), in_object(text_of(typing, 2)))
    for before, after in (
        ({7: [(1, 5)]}, {7: [(1, 3)], 8: [(0, 2)]}),
        ({7: [(1, 3)]}, {7: [(1, 3)]}),
        ({7: [(1, 2), (4, 6)]}, {7: [(1, 2)], 8: [(1, 3)]}),
        ({5: [(1, 5)]}, {5: [(1, 5)]}),
    ):
        erasing = in_object(text_of(Update({}, before), 2))  # type: ignore[arg-type]
        renamed = renaming.object(("Note", b"1"), erasing)
        assert read_update(renamed[3][obj.TEXT]["t"][1]) == Update({}, after)  # type: ignore[arg-type]
