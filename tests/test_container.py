"""Containers: lists and dictionaries inside of mixed values."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from random import Random
from typing import Any

import pytest
from make_vectors import deep
from replicas import Edit, Replica, Stored, folded

from replication.crdt import object as obj
from replication.crdt.check import check_object
from replication.crdt.container import (
    Slot,
    depth,
    group_container,
    home_in,
    list_path,
    property_container,
    trail,
    way_of,
)
from replication.crdt.edit import Scope
from replication.crdt.incarnation import clone
from replication.crdt.nested import Nested
from replication.crdt.object import absent, merge
from replication.crdt.view import object_view
from replication.errors import DecodeError, LimitExceededError, WrongTypeError
from replication.limits import (
    CONTAINER_NESTING_MAX,
    DICTIONARY_KEY_BYTES_MAX,
    LIST_PART_ELEMENTS_MAX,
)
from replication.model.encoding import pack
from replication.model.values import ERASED, Based, Container


def devices(count: int = 2) -> list[Replica]:
    """Devices that know one living object."""
    out = [Replica(ident) for ident in range(2, 2 + count)]
    out[0].write(lambda edit: edit.create())
    for device in out[1:]:
        device.read(out[0])
    return out


def meet(*all_of_them: Replica) -> Any:
    """Everybody reads everybody; returns what all of them show."""
    for device in all_of_them:
        for other in all_of_them:
            device.read(other)
    states = {pack(device.state) for device in all_of_them}
    assert len(states) == 1
    return object_view(all_of_them[0].state)


def put(name: str, value: Any) -> Callable[[Edit], None]:
    return lambda edit: edit.nested(edit.scope()).set(name, value)


def default(name: str, value: Any) -> Callable[[Edit], None]:
    return lambda edit: edit.nested(edit.scope()).set_default(name, value)


def within(act: Callable[[Nested, Slot], object], name: str = "v") -> Callable[[Edit], None]:
    """Something done to the container that a property shows."""

    def run(edit: Edit) -> None:
        scope = edit.scope()
        slot = property_container(scope.view, name)
        assert slot is not None
        act(edit.nested(scope), slot)

    return run


def inner(edit: Edit, scope: Scope, *steps: str | int) -> bytes:
    """The container at a path of keys and indexes."""
    slot = property_container(scope.view, str(steps[0]))
    for step in steps[1:]:
        assert slot is not None
        if isinstance(step, int):
            value = edit.editor(scope, slot).value_at(step)
        else:
            groups = scope.view[obj.CONTAINER][slot][1][1]
            value = next(group[2][step] for group in groups if step in group[2])
        assert type(value) is Container
        slot = pack([value.kind, value.ident, value.sequence])
    assert slot is not None
    return slot


@pytest.mark.parametrize(
    "value",
    [[], {}, [1, "a", None], {"": 0}, [[[]]], {"a": {"b": {"c": [1, {"d": 2}]}}}, [[1], [2], {}]],
)
def test_what_was_written_is_read(value: Any) -> None:
    left, right = devices()
    left.write(put("v", value))
    assert meet(left, right) == {"v": value}
    assert left.state[3].keys() == {obj.REGISTER, obj.CONTAINER}


def test_of_two_writes_the_later_wins_whole() -> None:
    left, right = devices()
    left.write(put("v", {"a": 1, "b": [1]}))
    right.wall_ms += 1
    right.write(put("v", {"c": 1}))
    assert meet(left, right) == {"v": {"c": 1}}
    left.write(put("v", ["list"]))
    right.wall_ms += 1
    right.write(within(lambda nested, slot: nested.put_item(slot, "c", 2)))
    assert meet(left, right) == {"v": ["list"]}, "an edit inside does not keep what was replaced"


def test_edits_inside_merge() -> None:
    left, right, third = devices(3)
    left.write(put("v", {"a": 1, "l": ["x"]}))
    meet(left, right, third)
    left.write(within(lambda nested, slot: nested.put_item(slot, "b", {"new": []})))
    right.write(within(lambda nested, slot: nested.put_item(slot, "a", ERASED)))
    third.write(
        lambda edit: (
            edit.nested(edit.scope()).list_insert(inner(edit, edit.scope(), "v", "l"), 1, [["y"]])
            and None
        )
    )
    assert meet(left, right, third) == {"v": {"b": {"new": []}, "l": ["x", ["y"]]}}


def test_writing_over_inside_replaces_what_is_inside_alone() -> None:
    left, right = devices()
    left.write(put("v", {"a": [1], "b": [1]}))
    meet(left, right)
    left.write(within(lambda nested, slot: nested.put_item(slot, "a", ["replaced"])))

    def append_both(edit: Edit) -> None:
        scope = edit.scope()
        for key in ("a", "b"):
            edit.nested(scope).list_insert(inner(edit, scope, "v", key), 1, [2])

    right.wall_ms += 10
    right.write(append_both)
    assert meet(left, right) == {"v": {"a": ["replaced"], "b": [1, 2]}}


@pytest.mark.parametrize("value", [[1], {"k": 1}])
def test_defaults_over_one_base_are_one_container(value: Any) -> None:
    mine = [["left"]] if isinstance(value, list) else {"left": ["left"]}
    yours = [["right"]] if isinstance(value, list) else {"right": ["right"]}
    both = [["left"], ["right"]] if isinstance(value, list) else mine | yours
    for base in (None, 5, value):
        left, right = devices()
        if base is not None:
            left.write(put("v", base))
            meet(left, right)
        left.write(default("v", mine))
        right.wall_ms = left.wall_ms + 1000
        right.write(default("v", yours))
        assert meet(left, right) == {"v": both}
        left.write(put("v", 7))
        assert meet(left, right) == {"v": 7}
        right.write(default("v", mine))
        assert meet(left, right) == {"v": mine}, "over another base another container"


def test_a_default_of_the_other_kind_or_an_unseen_write_wins_whole() -> None:
    left, right, third = devices(3)
    left.write(default("v", [1]))
    right.wall_ms += 1
    right.write(default("v", {"k": 1}))
    assert meet(left, right) == {"v": {"k": 1}}
    third.wall_ms -= 100_000
    third.write(put("v", ["explicit"]))
    assert meet(left, right, third) == {"v": ["explicit"]}


def test_a_default_over_an_own_write_is_a_write() -> None:
    (device,) = devices(1)

    def both(edit: Edit) -> None:
        put("v", 1)(edit)
        default("v", [2])(edit)

    delta = device.write(both)
    assert len(delta[3][obj.REGISTER][0]) == 3
    assert object_view(device.state) == {"v": [2]}


def test_what_is_replaced_at_once_leaves_nothing() -> None:
    (device,) = devices(1)
    made: Any = {"a": [1, {"b": []}]}

    def again(edit: Edit) -> None:
        nested = edit.nested(edit.scope())
        for value in (made, [made], 1):
            nested.set("v", value)
        nested.set_default("w", made)
        nested.set("w", 1)
        nested.put_item("d", "k", made)
        nested.put_item("d", "k", ERASED)
        nested.list_insert("l", 0, [made, made])
        nested.list_set("l", 0, 1)
        edit.scope().list_erase("l", edit.editor(edit.scope(), "l"), 1)
        nested.list_insert("o", 0, [made])
        edit.scope().restart(obj.LIST, "o")
        edit.forget((obj.LIST, "o"))
        nested.set("x", made)
        edit.scope().restart(obj.DICTIONARY, inner(edit, edit.scope(), "x"))

    delta = device.write(again)
    assert len(delta[3][obj.CONTAINER]) == 1
    assert object_view(device.state) == {"d": {}, "l": [1], "o": [], "v": 1, "w": 1, "x": {}}


def test_clearing_inside_starts_anew() -> None:
    left, right = devices()
    left.write(put("v", [1, 2]))
    meet(left, right)

    def clear(edit: Edit) -> None:
        scope = edit.scope()
        slot = inner(edit, scope, "v")
        scope.restart(obj.LIST, slot)
        edit.forget((obj.CONTAINER, slot))
        edit.nested(scope).list_insert(slot, 0, ["new"])

    left.write(clear)
    right.write(within(lambda nested, slot: nested.list_insert(slot, 2, [3])))
    assert meet(left, right) == {"v": ["new"]}


def test_elements_keep_their_identity() -> None:
    left, right = devices()
    left.write(put("v", [["a"], ["b"]]))
    meet(left, right)
    left.write(
        lambda edit: edit.scope().list_move(
            inner(edit, edit.scope(), "v"),
            edit.editor(edit.scope(), inner(edit, edit.scope(), "v")),
            0,
            1,
        )
    )
    right.write(
        lambda edit: (
            edit.nested(edit.scope()).list_insert(inner(edit, edit.scope(), "v", 0), 1, ["more"])
            and None
        )
    )
    assert meet(left, right) == {"v": [["b"], ["a", "more"]]}


def test_deeper_than_the_limit_is_refused_before_it_is_written() -> None:
    (device,) = devices(1)
    value: Any = "bottom"
    for _ in range(CONTAINER_NESTING_MAX):
        value = [value]
    device.write(put("v", value))
    assert object_view(device.state) == {"v": value}
    with pytest.raises(LimitExceededError, match="inside each other"):
        device.write(put("w", [value]))
    round_and_round: list[Any] = []
    round_and_round += [round_and_round, round_and_round]
    with pytest.raises(LimitExceededError):
        device.write(put("w", round_and_round))
    with pytest.raises(WrongTypeError):
        device.write(put("w", [object()]))


@pytest.mark.parametrize("levels", [CONTAINER_NESTING_MAX, CONTAINER_NESTING_MAX + 1])
def test_trails_end_at_the_limit(levels: int) -> None:
    held = deep(levels)[3]
    lists = {slot: {(2, run[1]): run[5][0]} for slot, (_, (_, chunk)) in held[obj.CONTAINER].items()
             for run in chunk[0]}  # fmt: skip
    lowest = pack([4, 2, 2 * levels - 1])
    found = trail(held, lowest, lambda slot, here: lists[slot].get(here))  # type: ignore[index]
    if levels > CONTAINER_NESTING_MAX:
        assert found is None
    else:
        assert found is not None
        assert found[0] == [obj.REGISTER, "a"]
        assert len(found) == levels
    assert depth(held, home_in(lowest, (2, 1))) == min(levels, CONTAINER_NESTING_MAX + 1)


def test_lists_are_found_by_what_names_them() -> None:
    slot = pack([4, 2, 1])
    assert list_path((5, "e"), "l") == (5, "e", 4, "l")
    assert list_path((5, "e"), slot) == (5, "e", 7, slot)
    (device,) = devices(1)
    device.write(put("v", ["a"]))
    found: list[Any] = []

    def look(edit: Edit) -> None:
        editor = edit.editor(edit.scope(), inner(edit, edit.scope(), "v"))
        found.extend([editor.value_of(editor.id_at(0)), editor.value_of((9, 9))])

    device.write(look)
    assert found == ["a", None]


def test_a_long_list_is_spread_over_parts() -> None:
    (device,) = devices(1)
    device.write(put("v", {"l": list(range(LIST_PART_ELEMENTS_MAX))}))
    stored = Stored()
    for delta in device.known.values():
        stored.merge(clone(delta))
    assert not stored.parts
    for _ in range(3):
        delta = device.write(
            lambda edit: (
                edit.nested(edit.scope()).list_insert(
                    inner(edit, edit.scope(), "v", "l"), 5, [["in between"]] * 40
                )
                and None
            )
        )
        stored.merge(clone(delta))
    assert len(stored.parts) > 1
    assert pack(stored.whole()) == pack(device.state)
    parts = stored.access()
    head = merge(absent(), device.state, parts)
    assert object_view(head, parts) == object_view(device.state)
    stored.merge(device.write(lambda edit: edit.scope().restart(
        obj.LIST, inner(edit, edit.scope(), "v", "l"))))  # fmt: skip
    assert not stored.parts


def test_random_orders_of_hostile_references() -> None:
    """Homes and references drawn at random: one result, whatever the order, and it can be shown."""
    slots = [pack([4, 2, number]) for number in range(1, 5)]

    def delta(rng: Random) -> Any:
        held = {}
        for slot in sorted(rng.sample(slots, 3)):
            home = rng.choice([[0, "a"], [7, rng.choice(slots), [2, 9]], []])
            value = Container(4, 2, rng.randint(1, 5))
            held[slot] = [home, [[], [[[2, 9, 0, 5, 2, [value]]], [], [], [], []]]]
        register = [5, 2, {"a": Container(4, 2, rng.randint(1, 5))}]
        return [1, 1, [], {obj.REGISTER: [register], obj.CONTAINER: held}]

    for seed in range(300):
        rng = Random(seed)
        deltas = [delta(rng) for _ in range(3)]
        for each in deltas:
            check_object(each)
        merged = {pack(folded(clone(order))) for order in map(list, permutations(deltas))}
        assert len(merged) == 1, f"Random({seed})"
        object_view(folded(deltas))


def test_ids_are_checked_before_anything_is_made_of_them() -> None:
    for name in (b"", b"\xc1", b"\x93\x04\x02", pack([4, 2, 1]) + b"\x00", pack([4, True, 1]),
                 pack([4, "a", False, 0]), pack([4, "a", 0, False]), "text"):  # fmt: skip
        state = [1, 1, [], {obj.CONTAINER: {name: [[], [[], [[], [], [], [], []]]]}}]
        with pytest.raises(DecodeError):
            check_object(state)
    for held in ({}, [], None, {pack([4, 2, 1]): [[]]}, {pack([4, 2, 1]): [None, [[], []]]}):
        with pytest.raises(DecodeError):
            check_object([1, 1, [], {obj.CONTAINER: held}])


# -- what is well-formed ---------------------------------------------------------------------
A_LIST, A_DICTIONARY = pack([obj.LIST, 2, 1]), pack([obj.DICTIONARY, 2, 1])


@pytest.mark.parametrize(
    ("home", "fits"),
    [
        ([], True),
        ([obj.REGISTER, "a"], True),
        ([obj.REGISTER, "a", "b"], False),
        ([obj.REGISTER, ""], False),
        ([obj.REGISTER], False),
        *[([kind, "a"], False) for kind in (-1, *range(1, 9))],
        *[([kind, "a", "k"], kind == obj.DICTIONARY) for kind in (-1, *range(1, 9))],
        *[([kind, "a", [2, 1]], kind == obj.LIST) for kind in (-1, *range(1, 9))],
        ([obj.DICTIONARY, "a", ""], True),
        ([obj.DICTIONARY, "a", "k" * DICTIONARY_KEY_BYTES_MAX], True),
        ([obj.DICTIONARY, "a", "k" * (DICTIONARY_KEY_BYTES_MAX + 1)], False),
        ([obj.DICTIONARY, "", "k"], False),
        ([obj.DICTIONARY, "a", "k", "k"], False),
        ([obj.DICTIONARY, "a", 1], False),
        ([obj.LIST, "a", [2, 0]], False),
        ([obj.LIST, "a", [-1, 1]], False),
        ([obj.LIST, "a", [2, 1, 1]], False),
        ([obj.LIST, "a", [2]], False),
        ([obj.LIST, "a", b"\2\1"], False),
        ([obj.CONTAINER, A_LIST], False),
        ([obj.CONTAINER, A_LIST, [2, 1]], True),
        ([obj.CONTAINER, A_LIST, "k"], False),
        ([obj.CONTAINER, A_DICTIONARY, "k"], True),
        ([obj.CONTAINER, A_DICTIONARY, [2, 1]], False),
        ([obj.CONTAINER, pack([obj.SET, 2, 1]), "k"], False),
        ([obj.CONTAINER, "a", "k"], False),
    ],
)
def test_where_a_container_may_stand(home: Any, fits: bool) -> None:
    state = [
        1,
        1,
        [],
        {obj.CONTAINER: {pack([obj.LIST, 2, 9]): [home, [[], [[], [], [], [], []]]]}},
    ]
    if fits:
        check_object(state)
        return
    with pytest.raises(DecodeError):
        check_object(state)


def test_containers_in_each_other_are_deeper_than_any_may_be() -> None:
    one, other = pack([obj.LIST, 2, 1]), pack([obj.LIST, 2, 2])
    held = {
        here: [home_in(there, (2, 9)), [[], [[], [], [], [], []]]]
        for here, there in ((one, other), (other, one))
    }
    assert depth({obj.CONTAINER: held}, home_in(one, (2, 9))) == CONTAINER_NESTING_MAX + 1


def test_what_a_group_refers_to() -> None:
    """[MERGE-CONTAINER-2]: a default's container is named by what its author saw; no other is."""
    minted, shared = Container(obj.LIST, 4, 7), Container(obj.LIST, 0, 0)
    default_of = pack([obj.LIST, "a", 1, 3])
    for value, group, expected in (
        (minted, [5, 2, {}], pack([obj.LIST, 4, 7])),
        (minted, [1, 3, {}, 5, 2], pack([obj.LIST, 4, 7])),
        (shared, [1, 3, {}, 5, 2], default_of),
        (Container(obj.LIST, 0, 7), [1, 3, {}, 5, 2], pack([obj.LIST, 0, 7])),
        (Based(shared, 9), [1, 3, {}, 5, 2], default_of),
        (shared, [1, 3, {}], pack([obj.LIST, 0, 0])),
        ("x", [1, 3, {}, 5, 2], None),
    ):
        group[2] = {"a": value}
        assert group_container(group, "a") == expected, group


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        *[([kind, 2, 1], kind in (obj.DICTIONARY, obj.LIST)) for kind in range(9)],
        *[([kind, "a", 0, 0], kind in (obj.DICTIONARY, obj.LIST)) for kind in range(9)],
        ([4.0, 2, 1], False),
        ([True, 2, 1], False),
        ([4, 2], False),
        ([4, 2, 1, 1, 1], False),
        ([4, 2, 0], False),
        ([4, 2, 1, 1], False),
        ([4, "a", 5, 2], True),
        ([4, "a", 5, 0], True),
        ([4, "a", 0, 5], False),
        ([4, "a", -5, 0], False),
        ([4, "a", 2**63 - 1, 0], True),
        ([4, "a", 5, -1], False),
        ([4, "a", False, 0], False),
        ([4, "a", 0, False], False),
        ([4, "", 0, 0], False),
        ({4: 2, 2: 1, 1: 1}, False),
        (4, False),
    ],
)
def test_what_names_a_container(name: Any, fits: bool) -> None:
    a_list, a_dictionary = [[], [[], [], [], [], []]], [[], [], {}]
    if fits:
        content = a_list if name[0] == obj.LIST else a_dictionary
        check_object([1, 1, [], {obj.CONTAINER: {pack(name): [[], content]}}])
        return
    for content in (a_list, a_dictionary):
        with pytest.raises(DecodeError):
            check_object([1, 1, [], {obj.CONTAINER: {pack(name): [[], content]}}])


def test_there_is_no_trail_to_what_nobody_put_anywhere() -> None:
    content = [[], [[[2, 9, 0, 5, 2, ["x"]]], [], [], [], []]]
    missing = [obj.CONTAINER, pack([obj.DICTIONARY, 2, 7]), "k"]
    for home in ([], missing):
        state = {obj.CONTAINER: {A_LIST: [home, content]}}
        assert trail(state, A_LIST, lambda _slot, _here: None) is None


def test_the_way_to_a_container_names_no_ids_of_containers() -> None:
    inner = pack([obj.DICTIONARY, 2, 7])
    for homes, way in (
        ([], ()),
        ([[obj.REGISTER, "v"]], ("v",)),
        ([[obj.DICTIONARY, "d", "k"]], ("d", "k")),
        ([[obj.LIST, "l", [2, 5]]], ("l", (2, 5))),
        (
            [
                [obj.REGISTER, "v"],
                [obj.CONTAINER, A_LIST, [3, 1]],
                [obj.CONTAINER, inner, ""],
            ],
            ("v", (3, 1), ""),
        ),
    ):
        assert way_of(homes) == way


def test_what_is_written_in_a_list_and_then_written_over() -> None:
    """[EDIT-2] Of one that was there before, the edits stay in the delta, and show nothing."""
    (device,) = devices(1)
    device.write(put("v", [1, [2]]))

    def act(edit: Edit) -> None:
        nested = edit.nested(edit.scope())
        slot = property_container(edit.view[3], "v")
        assert slot is not None
        nested.list_insert(slot, 0, ["new"])
        nested.list_set(slot, 1, ["set", ["deeper"]])
        assert object_view(edit.finish()[1]) == {"v": ["new", ["set", ["deeper"]], [2]]}
        edit.scope().set("v", "over")

    delta = device.write(act)
    assert object_view(device.state) == {"v": "over"}
    assert property_container(delta[3], "v") is None
    assert obj.CONTAINER in delta[3]


def test_of_two_homes_the_lesser_stays() -> None:
    """[MERGE-CONTAINER-3]"""
    homes = [[], [obj.REGISTER, "a"], [obj.REGISTER, "b"], [obj.LIST, "a", [2, 1]]]
    for one, other in permutations(range(4), 2):
        states = [
            [1, 1, [], {obj.CONTAINER: {A_LIST: [homes[at], [[], [[], [], [], [], []]]]}}]
            for at in (one, other)
        ]
        expected = homes[min(one, other) or max(one, other)]
        assert folded(states)[3][obj.CONTAINER][A_LIST][0] == expected


@pytest.mark.parametrize("value", [[2], []])
def test_a_shared_default_that_is_written_over_at_once_stays(value: Any) -> None:
    """[EDIT-2]: its container is not of this transaction."""
    one, other = devices()
    one.write(default("v", [1]))
    other.read(one)

    def act(edit: Edit) -> None:
        edit.nested(edit.scope()).set_default("v", value)
        edit.scope().set("v", "over")

    other.write(act)
    assert object_view(other.state) == {"v": "over"}
    assert obj.CONTAINER in other.state[3]
