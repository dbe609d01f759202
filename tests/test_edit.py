"""Local edits: one transaction's net effect, which its author sees as everyone will. [EDIT]"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replicas import Edit, Replica, wander

from replication.crdt import edit as edits
from replication.crdt import object as obj
from replication.crdt import register
from replication.crdt.check import unpack_object
from replication.crdt.edit import Author, Scope, raised, seal
from replication.crdt.list import RIGHT, ROOT
from replication.crdt.view import object_view
from replication.errors import LimitExceededError, WrongTypeError
from replication.limits import NESTING_MAX
from replication.model.encoding import pack
from replication.model.values import ERASED


def device() -> Replica:
    """A device with a living object."""
    out = Replica(2)
    out.write(lambda edit: edit.create())
    return out


def written(act: Callable[[Edit], Any]) -> tuple[Any, Any]:
    """The fields of the delta of one transaction on an empty object, and what is shown then."""
    author = device()
    delta = author.write(lambda edit: act(edit) and None)
    return delta[3], object_view(author.state)


# -- the view is the merge -------------------------------------------------------------------
@given(st.randoms(use_true_random=False))
def test_the_view_is_the_merge_of_the_delta(rng: Random) -> None:
    """[EDIT-1] In bytes, after each of several transactions of many operations."""
    author = device()
    for _ in range(3):
        author.write(wander(rng, steps=5))


def test_the_view_is_the_merge_in_long_lives() -> None:
    """[EDIT-1]"""
    for seed in range(60):
        author = device()
        for turn in range(20):
            try:
                author.write(wander(Random(seed * 1000 + turn), steps=6))
            except AssertionError as error:
                error.add_note(f"seed {seed}, turn {turn}")
                raise


# -- net effect ------------------------------------------------------------------------------
def test_a_second_write_to_one_place_replaces_the_first() -> None:
    """[EDIT-2] For every type."""

    def act(edit: Edit) -> None:
        scope = edit.scope()
        for value in (1, 2):
            scope.set("r", value)
            scope.set_member("s", "m", present=value == 1)
            scope.put_item("d", "k", value)
            scope.add("n", value)

    fields, shown = written(act)
    stamp = fields[obj.REGISTER][0][:2]
    assert fields == {
        obj.REGISTER: [[*stamp, {"r": 2}]],
        obj.COUNTER: {"n": 3},
        obj.SET: {"s": [[], [[*stamp, {pack("m"): False}]]]},
        obj.DICTIONARY: {"d": [[], [[*stamp, {"k": 2}]], {}]},
    }
    assert shown == {"r": 2, "s": [], "d": {"k": 2}, "n": 3}


def test_an_explicit_write_stands_against_a_default_of_the_same_transaction() -> None:
    """[EDIT-2] In either order, the later value, as an explicit write."""
    for first, second in product(("set", "set_default"), repeat=2):

        def act(edit: Edit, names: tuple[str, str] = (first, second)) -> None:
            for value, name in enumerate(names):
                getattr(edit.scope(), name)("r", value)

        fields, shown = written(act)
        (group,) = fields[obj.REGISTER]
        assert shown == {"r": 1}
        assert len(group) == (5 if first == second == "set_default" else 3)


def test_an_element_inserted_and_erased_leaves_an_empty_place() -> None:
    """[EDIT-2] What was anchored to it stays where it is."""

    def act(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "l")
        scope.list_insert("l", editor, 0, ["a", "b"])
        scope.list_erase("l", editor, 0)

    fields, shown = written(act)
    runs, sets, moves, erased, contents = fields[obj.LIST]["l"][1]
    assert [[*run[:3], run[5]] for run in runs] == [[2, 1, 0, 1], [2, 2, 1, ["b"]]]
    assert (sets, moves, erased, contents) == ([], [], [[2, 1, 1]], [])
    assert shown == {"l": ["b"]}


def test_an_element_moved_twice_has_one_move() -> None:
    """[EDIT-2]"""
    author = device()

    def insert(edit: Edit) -> None:
        edit.scope().list_insert("l", edit.editor(edit.scope(), "l"), 0, "abc")

    def move(edit: Edit) -> None:
        for source, target in ((0, 2), (2, 1)):
            edit.scope().list_move("l", edit.editor(edit.scope(), "l"), source, target)

    author.write(insert)
    chunk = author.write(move)[3][obj.LIST]["l"][1]
    assert len(chunk[2]) == 1
    assert object_view(author.state) == {"l": ["b", "a", "c"]}


def test_what_is_written_into_something_that_then_goes_leaves_nothing() -> None:
    """[EDIT-2]"""

    def act(edit: Edit) -> None:
        scope = edit.scope()
        scope.create_embedded("e", 0).set("a", 1)
        scope.erase_embedded("e", 0)
        scope.create_item("m", "k", 0).set("a", 1)
        scope.erase_item("m", "k", 0)
        scope.set_member("s", 1, present=True)
        scope.restart(obj.SET, "s")

    fields, shown = written(act)
    gone = [2, 0, [], {}]
    assert fields[obj.EMBEDDED] == {"e": gone}
    assert fields[obj.DICTIONARY] == {"m": [[], [], {"k": gone}]}
    assert fields[obj.SET]["s"][1] == []
    assert shown == {"e": None, "m": {}, "s": []}


# -- causal lengths --------------------------------------------------------------------------
@pytest.mark.parametrize("start", range(6))
@pytest.mark.parametrize("steps", [steps for n in range(1, 5) for steps in product("cd", repeat=n)])
def test_creates_and_deletes_move_a_length_by_the_least_amount(
    start: int, steps: tuple[str, ...]
) -> None:
    """[EDIT-3] Right parity, and larger if there was a delete."""
    now = start
    for step in steps:
        now = raised(start, now, alive=step == "c")
    assert now % 2 == (steps[-1] == "c")
    least = start + 1 if "d" in steps else start
    assert now == next(length for length in range(least, start + 3) if length % 2 == now % 2)


@pytest.mark.parametrize("steps", [steps for n in range(1, 5) for steps in product("ce", repeat=n)])
@pytest.mark.parametrize("before", ["", "c", "ce"])
def test_embedded_objects_live_and_die_within_a_transaction(
    steps: tuple[str, ...], before: str
) -> None:
    """[EDIT-1] and [EDIT-3] In a field and at a key: the last step decides what is seen."""
    author = device()

    def act(edit: Edit, steps: tuple[str, ...] | str = steps) -> None:
        scope = edit.scope()
        path = {"e": (obj.EMBEDDED, "e"), "m": (obj.DICTIONARY, "m", "k")}
        for number, step in enumerate(steps):
            held = scope.view.get(obj.EMBEDDED, {}).get("e", obj.absent())
            start = edit.start_of(path["e"], held[0])
            items = scope.view.get(obj.DICTIONARY, {}).get("m", [[], [], {}])[2]
            item_start = edit.start_of(path["m"], items.get("k", obj.absent())[0])
            if step == "c":
                scope.create_embedded("e", start).set(f"a{number}", 1)
                scope.create_item("m", "k", item_start).set(f"a{number}", 1)
            else:
                scope.erase_embedded("e", start)
                scope.erase_item("m", "k", item_start)

    for step in before:
        author.write(lambda edit, step=step: act(edit, step))  # type: ignore[misc]
    author.write(act)
    last = {f"a{len(steps) - 1}": 1}
    shown = object_view(author.state)
    assert shown == ({"e": last, "m": {"k": last}} if steps[-1] == "c" else {"e": None, "m": {}})
    length = author.state[3][obj.EMBEDDED]["e"][0]
    assert length == author.state[3][obj.DICTIONARY]["m"][2]["k"][0]
    assert length <= {"": 2, "c": 3, "ce": 4}[before]


def test_what_a_transaction_creates_twice_is_created_once() -> None:
    """[EDIT-2] Not replaced: it merges with what others create there meanwhile."""

    def act(edit: Edit) -> None:
        for name in ("a", "b"):
            edit.scope().create_embedded("e", 0).set(name, 1)
            edit.scope().create_item("m", "k", 0).set(name, 1)

    fields, shown = written(act)
    for state in (fields[obj.EMBEDDED]["e"], fields[obj.DICTIONARY]["m"][2]["k"]):
        assert state[:3] == [1, 1, []]
    assert shown == {"e": {"b": 1}, "m": {"k": {"b": 1}}}


def test_creating_over_content_that_came_too_early_is_creating_anew() -> None:
    """[EDIT-1] An edit of the second life is here, neither the create nor the first life is."""
    for at, incarnation in ((1, []), (3, []), (1, [1, 9, 9, 1])):
        author = device()
        early = [0, at, incarnation, {obj.COUNTER: {"n": 1}}]
        author.state = obj.merge(author.state, [0, 1, [], {obj.EMBEDDED: {"e": early}}])
        author.write(lambda edit: edit.scope().create_embedded("e", 0).set("a", 1))
        assert object_view(author.state) == {"e": {"a": 1}}
        author.write(lambda edit, at=at: edit.scope().erase_embedded("e", at))  # type: ignore[misc]
        assert object_view(author.state) == {"e": None}


def test_what_was_edited_and_then_created_anew_starts_over() -> None:
    """[EDIT-2] What is created over a living one is another one, whatever was written before."""
    author = device()
    author.write(lambda edit: edit.scope().create_embedded("e", 0).set("a", 1))

    def act(edit: Edit) -> None:
        edit.scope().embedded("e").set("b", 2)
        edit.scope().create_embedded("e", 1).set("c", 3)

    delta = author.write(act)
    assert object_view(author.state) == {"e": {"c": 3}}
    length, at, incarnation, _ = delta[3][obj.EMBEDDED]["e"]
    assert (length, at, bool(incarnation)) == (0, 1, True)


def test_creating_where_only_the_length_is_known_keeps_it() -> None:
    """[EDIT-3] Odd already, of a create that says nothing of its content."""
    view: Any = {obj.EMBEDDED: {"e": [1, 0, [], {}]}}
    scope = Scope(view, {}, Author((9, 2), lambda: 1))
    scope.create_embedded("e", 1)
    assert view == scope.delta == {obj.EMBEDDED: {"e": [1, 1, [], {}]}}


# -- lists -----------------------------------------------------------------------------------
def test_a_delta_names_ids_and_no_index() -> None:
    """[EDIT-4] The same edit at the same element, wherever it stands, is the same delta."""
    author = device()

    def insert(edit: Edit) -> None:
        edit.scope().list_insert("l", edit.editor(edit.scope(), "l"), 0, "abc")

    def insert_more(edit: Edit) -> None:
        edit.scope().list_insert("l", edit.editor(edit.scope(), "l"), 0, "xyz")

    author.write(insert)
    other = Replica(3)
    other.read(author)
    other.write(insert_more)
    author.read(other)

    def change(edit: Edit) -> None:
        editor = edit.editor(edit.scope(), "l")
        edit.scope().list_set("l", editor, editor.values().index("b"), "B")

    assert author.write(change)[3][obj.LIST]["l"][1][1][0][:2] == [2, 2]


def test_inserting_nothing_writes_nothing() -> None:
    """[EDIT-2]"""

    def act(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "l")
        assert scope.list_insert("l", editor, 0, []) == []
        assert editor.edits == 0

    assert written(act)[0] == {}


def test_an_editor_reads_what_its_transaction_wrote() -> None:
    """[EDIT-4]"""

    def act(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "l")
        assert scope.list_insert("l", editor, 0, "ab") == [(2, 1), (2, 2)]
        assert scope.list_insert("l", editor, 0, []) == []
        scope.list_set("l", editor, 1, "B")
        scope.list_move("l", editor, 0, 1)
        assert (len(editor), editor.values(), editor.value_at(0)) == (2, ["B", "a"], "B")
        assert editor.id_at(1) == (2, 1)
        assert editor.elements.places[2, 1][:2] == (ROOT, RIGHT)

    assert written(act)[1] == {"l": ["B", "a"]}


def test_opening_a_list_to_read_it_writes_nothing() -> None:
    """[EDIT-4]"""
    assert written(lambda edit: edit.editor(edit.scope(), "l"))[0] == {}


# -- what is refused -------------------------------------------------------------------------
@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, [1], {}, object(), (1,)])
def test_values_no_decoder_takes_are_refused(value: Any) -> None:
    """[EDIT-5] In every type of property, and nothing is written."""

    def attempts(edit: Edit) -> list[Callable[[], Any]]:
        scope = edit.scope()
        editor = edit.editor(scope, "l")
        scope.list_insert("l", editor, 0, [0])
        return [
            lambda: scope.set("r", value),
            lambda: scope.set_default("r", value),
            lambda: scope.set_member("s", value, present=True),
            lambda: scope.put_item("d", "k", value),
            lambda: scope.list_insert("l", editor, 0, [value]),
            lambda: scope.list_set("l", editor, 0, value),
        ]

    def act(edit: Edit) -> None:
        for attempt in attempts(edit):
            with pytest.raises(WrongTypeError):
                attempt()

    fields, shown = written(act)
    assert set(fields) == {obj.LIST}
    assert shown == {"l": [0]}


def test_every_nan_is_written_as_the_one_nan() -> None:
    """[EDIT-5] Processors make others, which no decoder takes."""
    odd = float("inf") - float("inf")

    def act(edit: Edit) -> None:
        scope = edit.scope()
        scope.set("r", odd)
        scope.set_member("s", odd, present=True)
        scope.set_member("s", float("nan"), present=True)
        scope.put_item("d", "k", odd)
        scope.list_insert("l", edit.editor(scope, "l"), 0, [odd])

    author = device()
    delta = author.write(act)
    unpack_object(pack(delta))
    assert len(delta[3][obj.SET]["s"][1][0][2]) == 1


def test_objects_nested_too_deep_are_refused() -> None:
    """[EDIT-5]"""

    def act(edit: Edit) -> None:
        scope = edit.scope()
        for _ in range(NESTING_MAX):
            scope = scope.create_embedded("e", 0)
        with pytest.raises(LimitExceededError, match=str(NESTING_MAX)):
            scope.create_embedded("e", 0)

    author = device()
    author.write(lambda edit: None)
    scope = Edit(author.state, Author((2**40, 2), author.mint))
    act(scope)


def test_too_many_moves_and_erasures_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """[EDIT-5] Erasing what this transaction inserted costs two: the place is bare then."""
    monkeypatch.setattr(edits, "LIST_BARE_IDS_MAX", 5)
    author = device()

    def act(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "l")
        scope.list_insert("l", editor, 0, range(9))
        for _ in range(2):
            scope.list_erase("l", editor, 0)
        scope.list_move("l", editor, 0, 3)
        with pytest.raises(LimitExceededError, match="split it"):
            scope.list_move("l", editor, 0, 3)
        with pytest.raises(LimitExceededError, match="split it"):
            scope.list_erase("l", editor, 0)

    author.write(act)
    assert object_view(author.state) == {"l": [3, 4, 5, 2, 6, 7, 8]}


def test_many_writes_are_sorted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand keys in one transaction must not be sorted ten thousand times."""
    sorts = []

    def counted(mapping: dict[Any, Any]) -> dict[Any, Any]:
        sorts.append(len(mapping))
        return dict(sorted(mapping.items()))

    monkeypatch.setattr(register, "sorted_map", counted)
    names = [f"{number:03}" for number in range(200)]
    Random(1).shuffle(names)

    def act(edit: Edit) -> None:
        scope = edit.scope()
        for name in names:
            scope.set(name, 1)
            scope.put_item("d", name, 1)
            scope.set_member("s", name, present=True)
            scope.create_item("m", name, 0).set("a", 1)
        assert not sorts

    author = device()
    author.write(act)
    assert list(author.state[3][obj.REGISTER][0][2]) == sorted(names)
    assert list(author.state[3][obj.DICTIONARY]["m"][2]) == sorted(names)


def test_sealing_leaves_out_what_is_empty() -> None:
    author = Author((5, 2), lambda: 1)
    scope = Scope({}, {}, author)
    scope.add("n", 1)
    scope.add("n", -1)
    scope.put_item("d", "k", ERASED)
    assert seal(scope.delta) == {obj.DICTIONARY: {"d": [[], [[5, 2, {"k": ERASED}]], {}]}}
