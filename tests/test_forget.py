"""Forgetting: what is dead leaves the state and nothing that shows changes. [FORGET] [REBASE]"""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from make_vectors import VECTORS
from replicas import Edit, Replica, Stored, all_deltas, folded, wander, world
from state_strategies import OBJECTS, elements
from vector_operations import replayed
from vector_operations import shown as noted

from replication.crdt import object as obj
from replication.crdt.check import check_object, unpack_object
from replication.crdt.container import property_container
from replication.crdt.forget import forget, forget_elements
from replication.crdt.incarnation import clone
from replication.crdt.list import LEFT, RIGHT, ROOT, Elements, contract, expand
from replication.crdt.object import ObjectState, absent, merge
from replication.crdt.rebase import Rebase
from replication.crdt.sequence import Sequence
from replication.crdt.stamps import latest_time
from replication.crdt.view import fields_view, object_view
from replication.crdt.whole import joined
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import ERASED


def shown(state: ObjectState) -> bytes:
    return pack(fields_view(state[3]))


def forgotten(state: ObjectState) -> ObjectState:
    return forget(clone(state))


def lists_of(fields: Any) -> list[Any]:
    """Every list in some fields, at any depth."""
    out = list(fields.get(obj.LIST, {}).values())
    for held in fields.get(obj.LIST, {}).values():
        for content in held[1][4]:
            out += lists_of(content[2])
    for state in fields.get(obj.EMBEDDED, {}).values():
        out += lists_of(state[3])
    for held in fields.get(obj.DICTIONARY, {}).values():
        for state in held[2].values():
            out += lists_of(state[3])
    for name, (_, held) in fields.get(obj.CONTAINER, {}).items():
        if obj.container_kind(name) == obj.LIST:
            out.append(held)
    return out


# -- any state -------------------------------------------------------------------------------
@given(OBJECTS)
def test_forgetting_changes_nothing_that_shows(state: Any) -> None:
    """[FORGET-7] [FORGET-8] On any state, ties, cycles and loose ends included."""
    after = forgotten(state)
    check_object(after)
    assert shown(after) == shown(state)
    assert after[:3] == state[:3]
    assert pack(forgotten(after)) == pack(after)


@given(OBJECTS)
def test_what_is_left_of_any_list(state: Any) -> None:
    """[FORGET-1] [FORGET-2] [FORGET-3] [FORGET-4] [FORGET-5], word by word."""
    after = forgotten(state)
    for held in lists_of(after[3]):
        known = expand(held[1])
        assert known.erased <= known.places.keys()
        reached = {ROOT}
        while True:
            below = {
                here
                for here, (parent, side, *_) in known.places.items()
                if parent in reached and (parent, side) != (ROOT, LEFT)
            }
            if below <= reached:
                break
            reached |= below
        standing = {
            known.moves.get(here, (0, 0, here))[2]
            for here in (*known.values, *known.moves, *known.contents)
        }
        for here in (reached & known.places.keys()) - standing:
            children = [each for each in known.places.values() if each[0] == here]
            twins = [each for each in known.places.values() if each == known.places[here]]
            assert len(children) > 1 or (children and len(twins) > 1)
    for kind, gone in ((obj.SET, False), (obj.DICTIONARY, ERASED)):
        for held in after[3].get(kind, {}).values():
            assert not any(gone is value for group in held[1] for value in group[2].values())


def naive(known: Elements) -> Elements:
    """Rules 1 to 3 one step at a time, in an order that chance says."""
    rng = Random(len(known.places))
    out = Elements(dict(known.places), known.values, known.moves, set(known.erased), known.contents)
    standing = {
        known.moves.get(here, (0, 0, here))[2]
        for here in (*known.values, *known.moves, *known.contents)
    }
    while True:
        reached: list[Any] = [h for h, p in out.places.items() if p[:2] == (ROOT, RIGHT)]
        for here in reached:
            reached += [h for h, p in out.places.items() if p[0] == here]
        rng.shuffle(reached)
        for here in reached:
            children = [h for h, p in out.places.items() if p[0] == here]
            if here in standing or len(children) > 1:
                continue
            place = out.places[here]
            if children and list(out.places.values()).count(place) > 1:
                continue
            del out.places[here]
            if children:
                out.places[children[0]] = place
            break
        else:
            out.erased &= out.places.keys()
            return out


def test_any_order_of_steps_ends_the_same() -> None:
    """[FORGET-1] [FORGET-2] The rules are confluent, and `forget_elements` is what they say."""
    changed = 0
    for seed in range(3000):
        known = elements(Random(seed))
        expected = contract(naive(known))
        order = Sequence(known).visible
        before = contract(known)
        forget_elements(known)
        assert contract(known) == expected, f"seed {seed}"
        assert Sequence(known).visible == order, f"seed {seed}"
        changed += contract(known) != before
    assert changed > 1000


# -- what replicas write ---------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(100))
def test_lists_of_replicas_keep_one_dead_place_for_each_branch(seed: int) -> None:
    """[FORGET-2] Fewer dead places than living ones: each has two children."""
    state = forgotten(folded(all_deltas(world(Random(seed), turns=14))))
    for held in lists_of(state[3]):
        known = expand(held[1])
        standing = len(known.values)
        assert len(known.places) <= max(0, 2 * standing - 1)


@pytest.mark.parametrize("seed", range(150))
def test_forgetting_twice_or_later_is_the_same(seed: int) -> None:
    """[FORGET-9] What is written after a forgetting, on what it left: forgetting before, or only
    once after, leaves the same lists.
    """
    rng = Random(seed)
    state = folded(all_deltas(world(rng, turns=10)))
    device = Replica(9, state=forgotten(state))
    device.clock.receive(latest_time(state))
    whole = clone(state)
    for _ in range(6):
        merge(whole, clone(device.write(wander(rng))))
    assert pack(forgotten(whole)) == pack(forgotten(device.state))
    assert object_view(whole) == object_view(device.state) or "nan" in repr(object_view(whole))


def test_a_queue_keeps_what_is_in_it() -> None:
    """[FORGET-2] Appended at the end, erased at the start."""
    device = Replica(2)
    device.write(lambda edit: edit.create())

    def turn(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "l")
        scope.list_insert("l", editor, len(editor), [len(editor)])
        if len(editor) > 5:
            scope.list_erase("l", editor, 0)

    for _ in range(300):
        device.write(turn)
    known = expand(forgotten(device.state)[3][obj.LIST]["l"][1])
    assert len(known.places) == len(known.values) == 5
    assert not known.erased


# -- spread over parts -----------------------------------------------------------------------
@pytest.mark.parametrize("kept", [0, 7, 256, 257, 900, 2000])
def test_a_list_spread_over_parts_is_forgotten_as_in_one_piece(kept: int) -> None:
    """[FORGET-8] Head and parts afterwards are the whole's; short ones go back to the head."""
    stored, device = Stored(), Replica(2)
    stored.merge(device.write(lambda edit: edit.create()))

    def fill(edit: Edit) -> None:
        scope = edit.scope()
        scope.list_insert("l", edit.editor(scope, "l"), 0, range(2000))

    def erase(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "l")
        while len(editor) > kept:
            scope.list_erase("l", editor, len(editor) // 2)

    stored.merge(device.write(fill))
    stored.merge(device.write(erase))
    expected = forgotten(stored.whole())
    parts = stored.access()
    stored.head = pack(forget(unpack_trusted(stored.head), parts))
    for name, data in parts.changes().items():
        if data is None:
            stored.parts.pop(name)
        else:
            stored.parts[name] = data
    assert pack(stored.whole()) == pack(expected)
    assert bool(stored.parts) == (kept > 256)
    device.state = forgotten(device.state)
    stored.merge(device.write(fill))
    assert pack(forgotten(stored.whole())) == pack(forgotten(device.state))


def test_long_lists_inside_of_elements_are_forgotten_too() -> None:
    """[FORGET-1] [FORGET-5] Contents at any depth, their parts included."""
    stored, device = Stored(), Replica(2)

    def start(edit: Edit) -> None:
        edit.create()
        scope = edit.scope()
        editor = edit.editor(scope, "o")
        (here,) = scope.list_insert("o", editor, 0, [None])
        inner = scope.element("o", editor, here)
        inner.list_insert("l", edit.editor(inner, "l"), 0, range(600))
        inner.set_member("s", 1, present=True)

    def thin(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "o")
        inner = scope.element("o", editor, editor.id_at(0))
        lines = edit.editor(inner, "l")
        while len(lines) > 3:
            inner.list_erase("l", lines, 1)
        inner.set_member("s", 1, present=False)

    stored.merge(device.write(start))
    stored.merge(device.write(thin))
    parts = stored.access()
    state = forget(unpack_trusted(stored.head), parts)
    assert not parts.names()
    content = joined(state)[3][obj.LIST]["o"][1][4][0][2]
    assert len(expand(content[obj.LIST]["l"][1]).places) == 3
    assert content[obj.SET]["s"][1] == []
    assert pack(joined(state)) == pack(forgotten(device.state))


# -- vectors ---------------------------------------------------------------------------------
LOADED = json.loads((VECTORS / "forgetting.json").read_text(encoding="utf-8"))["vectors"]


def of(kind: str) -> pytest.MarkDecorator:
    found = [each for each in LOADED if each["name"].startswith(kind)]
    return pytest.mark.parametrize("vector", found, ids=[each["name"] for each in found])


@of("forget/")
def test_vectors_of_forgetting(vector: dict[str, Any]) -> None:
    state = unpack_object(bytes.fromhex(vector["state"]))
    assert json.dumps(noted(state)) == json.dumps(vector["shows"])
    after = forgotten(state)
    assert pack(after).hex() == vector["forgotten"]
    assert json.dumps(noted(after)) == json.dumps(vector["shows"])


@of("rebase/")
def test_vectors_of_rebasing(vector: dict[str, Any]) -> None:
    before, after = (unpack_object(bytes.fromhex(vector[name])) for name in ("before", "after"))
    past = Rebase(before, after, held=vector["held"])
    out = [past.take(unpack_object(bytes.fromhex(delta))) for delta in vector["deltas"]]
    assert [pack(delta).hex() for delta in out] == vector["rebased"]


@of("late/")
def test_vectors_of_what_comes_late(vector: dict[str, Any]) -> None:
    """Deltas in any order on either side of the horizon; re-based as one device's pending."""
    count = vector["before"]
    deltas = [unpack_object(bytes.fromhex(each["delta"])) for each in vector["transactions"]]
    assert deltas == replayed(vector["transactions"])
    first = forgotten(folded(list(reversed(deltas[:count]))))
    past = Rebase(clone(deltas[0]), clone(first), held=True)
    rebased = [past.take(clone(delta)) for delta in deltas[count:]]
    assert [pack(delta).hex() for delta in rebased] == vector["rebased"]
    for late in (rebased, list(reversed(rebased))):
        state = clone(first)
        for delta in late:
            state = merge(state, clone(delta))
        assert pack(state).hex() == vector["merged"]
    assert json.dumps(noted(state)) == json.dumps(vector["shows"])
    assert json.dumps(noted(folded(deltas))) == json.dumps(vector["unforgotten"])


# -- what was pending ------------------------------------------------------------------------
def rebased(
    deltas: list[ObjectState], before: ObjectState, after: ObjectState, *, held: bool = True
) -> tuple[list[ObjectState], ObjectState]:
    """The deltas one after the other, and the view with them."""
    past = Rebase(clone(before), clone(after), held=held)
    out = [past.take(clone(delta)) for delta in deltas]
    view = clone(after)
    for fitted in out:
        check_object(fitted)
        view = merge(view, clone(fitted))
    return out, view


@pytest.mark.parametrize("seed", range(150))
def test_what_was_pending_shows_as_before(seed: int) -> None:
    """[REBASE-1] [REBASE-2] [REBASE-3] Forgetting below pending deltas changes no list and no
    field; what a set or dictionary had removed meanwhile may be back where it was pending.
    """
    rng = Random(seed)
    devices = world(rng, turns=8)
    for device in devices:
        device.read(devices[0])
    state, device = clone(devices[1].state), devices[1]
    deltas = [device.write(wander(rng)) for _ in range(5)]
    _, after = rebased(deltas, state, forgotten(state))
    assert pack(object_view(after)) == pack(object_view(device.state))


@pytest.mark.parametrize("seed", range(150))
def test_inserts_keep_their_order_past_what_others_did(seed: int) -> None:
    """[REBASE-1] Others erase and move what a pending insertion hangs on."""
    rng = Random(seed)
    author, other = Replica(2), Replica(3)

    def start(edit: Edit) -> None:
        edit.create()
        scope = edit.scope()
        scope.list_insert("l", edit.editor(scope, "l"), 0, [f"old{n}" for n in range(8)])

    author.write(start)
    other.read(author)
    before = clone(author.state)

    def insert(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "l")
        for n in range(rng.randint(1, 4)):
            scope.list_insert("l", editor, rng.randint(0, len(editor)), [f"new{rng.random()}{n}"])

    def erase(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "l")
        for _ in range(rng.randint(0, 3)):
            if len(editor):
                scope.list_erase("l", editor, rng.randrange(len(editor)))
        scope.list_insert("l", editor, rng.randint(0, len(editor)), ["others"])

    deltas = [author.write(insert) for _ in range(3)]
    for _ in range(4):
        other.write(erase)
    _, after = rebased(deltas, before, forgotten(other.state))
    unforgotten = clone(other.state)
    for delta in deltas:
        merge(unforgotten, clone(delta))
    view, expected = (object_view(each)["l"] for each in (after, unforgotten))  # type: ignore[index]
    assert [each for each in view if each != "others"] == [
        each for each in expected if each != "others"
    ]
    assert sorted(view) == sorted(expected)


def test_writes_to_what_was_forgotten_become_erasures() -> None:
    """[REBASE-2] A write to it, for the server to refuse; an erasure of it goes."""
    author, other = Replica(2), Replica(3)

    def start(edit: Edit) -> None:
        edit.create()
        scope = edit.scope()
        scope.list_insert("l", edit.editor(scope, "l"), 0, ["a", "b", "c", "d"])

    def change(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "l")
        scope.list_set("l", editor, 0, "A")
        scope.list_move("l", editor, 1, 2)
        scope.list_erase("l", editor, 1)

    def clear(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "l")
        for _ in range(3):
            scope.list_erase("l", editor, 0)

    author.write(start)
    other.read(author)
    before = clone(author.state)
    delta = author.write(change)
    other.write(clear)
    (fitted,), after = rebased([delta], before, forgotten(other.state))
    known = expand(fitted[3][obj.LIST]["l"][1])
    assert known.erased == {(2, 1), (2, 2)}
    assert not known.values
    assert not known.moves
    assert object_view(after) == {"l": ["d"]}
    # Of an object that is not held nobody can say whether its elements are there.
    (kept,), _ = rebased([delta], absent(), absent(), held=False)
    assert expand(kept[3][obj.LIST]["l"][1]).values.keys() == {(2, 1)}
    assert all(
        place[:2] == (ROOT, RIGHT) for place in expand(kept[3][obj.LIST]["l"][1]).places.values()
    )


def test_the_places_of_a_run_stay_a_run() -> None:
    """[REBASE-1] Only its first place hung on what is gone."""
    before = [1, 1, [], {obj.LIST: {"l": [[], [[[3, 1, 0, 5, 3, ["x"]]], [], [], [], []]]}}]
    delta = [0, 1, [], {obj.LIST: {"l": [[], [[[2, 1, [3, 1, 1], 6, 2, ["a", "b", "c"]]], [], [], [], []]]}}]  # fmt: skip  # noqa: E501
    after = [1, 1, [], {obj.LIST: {"l": [[], [[], [], [], [], []]]}}]
    fitted = Rebase(before, after, held=True).take(delta)
    assert fitted[3][obj.LIST]["l"][1][0] == [[2, 1, 0, 6, 2, ["a", "b", "c"]]]


def test_what_was_removed_of_a_container_is_forgotten() -> None:
    """[FORGET-5]"""
    device = Replica(2)
    device.write(lambda edit: edit.create())
    device.write(lambda edit: edit.nested(edit.scope()).set("v", {"a": 1, "b": 2}))

    def remove(edit: Edit) -> None:
        scope = edit.scope()
        slot = property_container(scope.view, "v")
        assert slot is not None
        edit.nested(scope).put_item(slot, "a", ERASED)

    device.write(remove)
    ((_, content),) = forgotten(device.state)[3][obj.CONTAINER].values()
    assert [list(group[2]) for group in content[1]] == [["b"]]


def test_containers_in_long_lists_of_embedded_objects_stay() -> None:
    """[FORGET-10] What refers to them is in the parts of a list further down."""
    stored, device = Stored(), Replica(2)

    def fill(edit: Edit) -> None:
        edit.create()
        inner = edit.scope().create_embedded("e", 0)
        edit.nested(inner).list_insert("l", 0, [["in"], *range(300)])

    stored.merge(device.write(fill))
    assert stored.parts
    state = forget(unpack_trusted(stored.head), stored.access())
    ((_, content),) = state[3][obj.EMBEDDED]["e"][3][obj.CONTAINER].values()
    assert content[1][0][0][5] == ["in"]


def test_defaults_over_a_write_keep_what_they_share() -> None:
    """[FORGET-10] It is named by the time and the author of that write, which differ."""
    device = Replica(2)
    device.write(lambda edit: edit.create())
    device.write(lambda edit: edit.scope().set("v", 0))
    device.write(lambda edit: edit.nested(edit.scope()).set_default("v", ["a"]))
    device.write(lambda edit: edit.nested(edit.scope()).set_default("v", {"k": 1}))
    device.state = forget(device.state)
    device.write(lambda edit: edit.nested(edit.scope()).set_default("v", ["b"]))
    assert object_view(device.state) == {"v": ["a", "b"]}
