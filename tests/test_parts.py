"""Parts: long lists beside their head, read and written piece by piece. [STATE-WHOLE]"""

from __future__ import annotations

from typing import Any

import pytest
from replicas import Edit, Replica, Stored

from replication.crdt import check
from replication.crdt import list as lists
from replication.crdt import object as obj
from replication.crdt.check import check_part
from replication.crdt.container import collection_of
from replication.crdt.incarnation import clone
from replication.crdt.list import expand, part_of
from replication.crdt.object import absent, merge
from replication.crdt.parts import Parts, part_name
from replication.crdt.view import column_values, list_values, object_view
from replication.crdt.whole import check_parts, joined
from replication.errors import DecodeError, LimitExceededError
from replication.model.encoding import pack, unpack_trusted

SIZE = 4


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "LIST_PART_ELEMENTS_MAX", SIZE)
    monkeypatch.setattr(check, "LIST_PART_ELEMENTS_MAX", SIZE)


def insert(edit: Edit, index: int, *values: Any, name: str = "l") -> None:
    scope = edit.scope()
    scope.list_insert(name, edit.editor(scope, name), index, values)


def stored_list(*values: Any) -> tuple[Replica, Stored]:
    """A device with a list, and the same object in a store."""
    device, stored = Replica(2), Stored()
    stored.merge(device.write(lambda edit: edit.create()))
    if values:
        stored.merge(device.write(lambda edit: insert(edit, 0, *values)))
    return device, stored


def directory(stored: Stored) -> list[list[int]]:
    out: list[list[int]] = unpack_trusted(stored.head)[3][obj.LIST]["l"][1]
    return out


def shown(stored: Stored) -> Any:
    view = object_view(unpack_trusted(stored.head), stored.access())
    assert view is not None
    return view["l"]


def test_a_list_is_spread_when_it_has_more_ids_than_a_part() -> None:
    """[STATE-WHOLE] One more than the limit; never back."""
    device, stored = stored_list(*range(SIZE))
    assert not stored.parts
    stored.merge(device.write(lambda edit: insert(edit, SIZE, "more")))
    assert len(stored.parts) == 2
    assert [len(expand(unpack_trusted(data)).ids()) for data in stored.parts.values()] == [SIZE, 1]
    assert shown(stored) == [*range(SIZE), "more"]


def test_growth_at_the_end_leaves_full_parts_behind() -> None:
    """Appending one by one."""
    device, stored = stored_list()
    for number in range(5 * SIZE):
        stored.merge(device.write(lambda edit, n=number: insert(edit, n, n)))  # type: ignore[misc]
    assert len(stored.parts) == 5
    assert shown(stored) == list(range(5 * SIZE))
    assert [entry[:2] for entry in directory(stored)] == [[0, 0], [2, 5], [2, 9], [2, 13], [2, 17]]


def test_growth_in_the_middle_leaves_room() -> None:
    """A part that overflows in its middle is split in halves."""
    device, stored = stored_list(*range(2 * SIZE))
    other = Replica(1)  # whose ids sort before
    other.read(device)
    for number in range(2 * SIZE):
        stored.merge(other.write(lambda edit, n=number: insert(edit, 3, n)))  # type: ignore[misc]
    sizes = [len(expand(unpack_trusted(data)).ids()) for data in stored.parts.values()]
    assert sum(sizes) == 4 * SIZE
    assert max(sizes) <= SIZE
    device.read(other)
    assert pack(stored.whole()) == pack(device.state)


def test_one_insert_touches_one_part() -> None:
    """[STATE-WHOLE] And the bytes of all others stay as they are."""
    device, stored = stored_list(*range(10 * SIZE))
    before = dict(stored.parts)
    stored.merge(device.write(lambda edit: insert(edit, 17, "new")))
    changed = {name for name, data in stored.parts.items() if before.get(name) != data}
    assert len(changed) == 1, "a new id belongs to the last part"
    before = dict(stored.parts)

    def change(edit: Edit) -> None:
        scope = edit.scope()
        scope.list_set("l", edit.editor(scope, "l"), 0, "changed")

    stored.merge(device.write(change))
    assert len({name for name, data in stored.parts.items() if before[name] != data}) == 1


def test_parts_of_a_replaced_list_go() -> None:
    """[STATE-WHOLE] A new incarnation, a deleted object, a replaced embedded one."""
    device, stored = stored_list(*range(3 * SIZE))
    stored.merge(device.write(lambda edit: edit.scope().restart(obj.LIST, "l")))
    assert not stored.parts
    stored.merge(device.write(lambda edit: insert(edit, 0, *range(3 * SIZE))))
    assert len(stored.parts) == 3
    stored.merge(device.write(lambda edit: edit.delete()))
    assert not stored.parts
    stored.merge(device.write(lambda edit: edit.create()))

    def nested(edit: Edit) -> None:
        inner = edit.scope().create_embedded("e", 1 if "e" in edit.scope().view.get(5, {}) else 0)
        inner.list_insert("l", edit.editor(inner, "l"), 0, range(3 * SIZE))

    stored.merge(device.write(nested))
    assert len(stored.parts) == 3
    device.wall_ms += 1
    stored.merge(device.write(nested))
    assert len(stored.parts) == 3
    stored.merge(device.write(lambda edit: edit.scope().erase_embedded("e", 1)))
    assert not stored.parts


def test_parts_inside_of_a_replaced_dictionary_go() -> None:
    """[STATE-WHOLE] And those of one that was replaced by its creator come."""
    device, stored = stored_list()

    def fill(edit: Edit) -> None:
        for key in ("a", "b"):
            inner = edit.scope().create_item("m", key, 0)
            inner.list_insert("l", edit.editor(inner, "l"), 0, range(2 * SIZE))

    stored.merge(device.write(fill))
    assert len(stored.parts) == 4

    def replace(edit: Edit) -> None:
        edit.scope().restart(obj.DICTIONARY, "m")
        inner = edit.scope().create_item("m", "c", 0)
        inner.list_insert("l", edit.editor(inner, "l"), 0, range(3 * SIZE))

    stored.merge(device.write(replace))
    assert len(stored.parts) == 3
    assert pack(stored.whole()) == pack(device.state)
    stored.merge(device.write(lambda edit: edit.scope().erase_item("m", "c", 1)))
    assert not stored.parts


def test_long_lists_inside_whatever_are_spread() -> None:
    """[STATE-WHOLE] Inside embedded objects, dictionaries, elements; however they arrive."""
    device = Replica(2)
    deltas = [device.write(lambda edit: edit.create())]

    def nested(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "o")
        (here,) = scope.list_insert("o", editor, 0, [None])
        for inner in (
            scope.create_embedded("e", 0),
            scope.create_item("m", "k", 0),
            scope.element("o", editor, here),
        ):
            inner.list_insert("l", edit.editor(inner, "l"), 0, range(2 * SIZE))

    deltas.append(device.write(nested))
    for order in (deltas, deltas[::-1]):
        stored = Stored()
        for delta in order:
            stored.merge(delta)
        assert len(stored.parts) == 6
        assert pack(stored.whole()) == pack(device.state)


def test_paths_tell_fields_of_one_name_apart() -> None:
    """A list, an embedded object and a dictionary called x, with lists where they could clash."""
    device, stored = Replica(2), Stored()
    stored.merge(device.write(lambda edit: edit.create()))

    def write(edit: Edit) -> None:
        scope = edit.scope()
        inner = scope.create_embedded("x", 0).create_embedded("k", 0)
        item = scope.create_item("x", "k", 0)
        for number, place in enumerate((scope, inner, item)):
            place.list_insert("x", edit.editor(place, "x"), 0, [number] * 2 * SIZE)

    stored.merge(device.write(write))
    assert len(stored.parts) == 6
    assert pack(stored.whole()) == pack(device.state)
    device.wall_ms += 1
    stored.merge(device.write(lambda edit: edit.scope().restart(obj.LIST, "x")))
    assert len(stored.parts) == 4, "the others keep theirs"
    assert pack(stored.whole()) == pack(device.state)


def test_names_of_parts_are_what_the_spec_says() -> None:
    assert part_name((4, "tags"), [], 0).hex() == pack([[4, "tags"], [], 0]).hex()
    path = (4, "orders", (2, 17), 5, "to", 4, "lines")
    assert unpack_trusted(part_name(path, [9, 2, 2, 1], 3)) == [
        [4, "orders", [2, 17], 5, "to", 4, "lines"], [9, 2, 2, 1], 3
    ]  # fmt: skip


def test_dropping_a_path_takes_what_is_below_it_and_nothing_else() -> None:
    kept = {part_name((4, "ll"), [], 0), part_name((5, "l", 4, "l"), [], 0)}
    gone = {part_name((4, "l"), [], 0), part_name((4, "l", (2, 1), 4, "x"), [5, 2, 2, 1], 7)}
    everything = dict.fromkeys(kept | gone, b"")
    parts = Parts(everything.get, lambda: everything)
    parts.store((4, "l"), [], 1, [])
    parts.drop((4, "l"))
    assert set(parts.names()) == kept
    assert parts.changes() == dict.fromkeys([*gone, part_name((4, "l"), [], 1)])


def test_places_are_those_of_what_was_written_last() -> None:
    name = part_name((3, "l"), [], 0)
    stored = {name: pack(["stored"])}
    parts = Parts(stored.get, stored.keys, lambda name: unpack_trusted(stored[name]))
    assert parts.places((3, "l"), [], 0) == ["stored"]
    parts.store((3, "l"), [], 0, ["written"])
    assert parts.places((3, "l"), [], 0) == ["written"]


def test_each_id_belongs_to_one_part() -> None:
    entries = [[0, 0, 5], [2, 5, 1], [2, 9, 0]]
    for here, at in [((0, 1), 0), ((2, 4), 0), ((2, 5), 1), ((2, 8), 1), ((2, 9), 2), ((9, 1), 2)]:
        assert part_of(entries, here) == at


def test_a_list_is_read_the_same_from_its_parts() -> None:
    _, stored = stored_list(*range(3 * SIZE))
    head = unpack_trusted(stored.head)
    state = head[3][obj.LIST]["l"]
    values = [value for value, _ in list_values(state, stored.access(), (obj.LIST, "l"))]
    assert values == list(range(3 * SIZE))
    whole = joined(head, stored.access())
    assert pack(merge(absent(), whole)) == pack(whole)
    again = Stored()
    again.merge(whole)
    assert again.parts == stored.parts


# -- heads and parts that don't fit ----------------------------------------------------------
def broken(stored: Stored, **change: Any) -> Parts:
    """The parts of a store with one of them replaced."""
    names = sorted(stored.parts)
    parts = dict(stored.parts)
    data = change.get("data")
    if data is None:
        del parts[names[1]]
    else:
        parts[names[1]] = data
    return Parts(parts.get, lambda: parts)


def test_a_head_whose_part_is_missing_is_refused() -> None:
    """[STATE-WHOLE]"""
    _, stored = stored_list(*range(3 * SIZE))
    head = unpack_trusted(stored.head)
    assert check_parts(head, stored.access()) == set(stored.parts)
    with pytest.raises(DecodeError, match="missing"):
        check_parts(head, broken(stored))


def test_a_part_about_ids_of_another_is_refused() -> None:
    """[STATE-WHOLE]"""
    _, stored = stored_list(*range(3 * SIZE))
    head = unpack_trusted(stored.head)
    first, *_, last = (stored.parts[name] for name in sorted(stored.parts))
    for data in (first, last):
        with pytest.raises(DecodeError, match="another part"):
            check_parts(head, broken(stored, data=data))


def test_a_part_that_is_malformed_is_refused() -> None:
    """[STATE-WHOLE] Not a chunk, empty, too long, or with ids in ranges that cost nothing."""
    _, stored = stored_list(*range(3 * SIZE))
    run = [[2, 1, 0, 5, 2, list(range(SIZE + 1))]]
    for chunk, error in [
        ([], DecodeError),
        ([[], [], [], [], []], LimitExceededError),
        ([run, [], [], [], []], LimitExceededError),
        ([[], [], [], [[2, 1, 10**9]], []], LimitExceededError),
    ]:
        with pytest.raises(error):
            check_part(pack(chunk))
    with pytest.raises(DecodeError):
        check_parts(unpack_trusted(stored.head), broken(stored, data=b"\xc0"))


def test_nested_heads_are_checked_too() -> None:
    """[STATE-WHOLE] In embedded objects, dictionaries and elements."""
    _, stored = stored_list(*range(3 * SIZE))
    fields = unpack_trusted(stored.head)[3]
    for outer in (
        {obj.EMBEDDED: {"e": [1, 1, [], fields]}},
        {obj.DICTIONARY: {"m": [[], [], {"k": [1, 1, [], fields]}]}},
        {obj.LIST: {"o": [[], [[], [], [], [], [[2, 1, clone(fields)]]]]}},
    ):
        with pytest.raises(DecodeError, match="missing"):
            check_parts([1, 1, [], outer], Parts())


def test_a_part_is_about_its_own_ids_alone() -> None:
    """[STATE-WHOLE] From its bound up to the one before the next bound."""
    head = [1, 1, [], {obj.LIST: {"l": [[], [[0, 0, 0], [2, 5, 1]], 2]}}]

    def fits(first: int, second: int) -> bool:
        held = {
            part_name((4, "l"), [], number): pack([[[2, at, 0, 9, 2, ["a", "b"]]], [], [], [], []])
            for number, at in enumerate((first, second))
        }
        try:
            check_parts(head, Parts(held.get, held.keys))
        except DecodeError:
            return False
        return True

    found = [(a, b) for a in (2, 3, 4, 5) for b in (3, 4, 5, 6) if fits(a, b)]
    assert found == [(2, 5), (2, 6), (3, 5), (3, 6)]


def test_what_has_no_list_and_no_registers_has_none_to_show() -> None:
    assert collection_of({}, obj.LIST, b"of nobody") is None
    assert collection_of({}, obj.LIST, "l") is None
    device, _ = stored_list(1, 2)
    assert list(device.state[3]) == [obj.LIST]
    assert column_values(device.state, ["title"]) == {"title": None}
