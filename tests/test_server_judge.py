"""What the server takes of an upload and what it refuses, rule by rule, on both sides of each."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from random import Random
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from hypothesis import given
from hypothesis import strategies as st
from replicas import Edit, wander
from server_files import (
    SCHEMA,
    ClientFile,
    new_namespace,
    of,
    reasons,
    server_state,
    server_view,
)
from state_strategies import object_state

from replication.crdt import object as obj
from replication.crdt.check import check_object
from replication.crdt.incarnation import clone
from replication.crdt.list import ROOT, Elements, Id, contract
from replication.crdt.object import ObjectState, absent, merge
from replication.history.changeset import ATOMIC, ObjectDelta, decode
from replication.limits import OBJECT_BYTES_MAX, REFUSALS_PER_CHANGESET_MAX
from replication.model.encoding import pack
from replication.model.schema import ClassSchema, Schema
from replication.model.values import ERASED, Link
from replication.server import judge_list, objects, refusals
from replication.server.judge import Judge
from replication.server.namespace import Namespace
from replication.server.refusals import (
    CAUSAL_LENGTH,
    DELETED,
    DEPENDS,
    MORE,
    REASONS,
    REPLACED,
    TOO_LARGE,
    UNKNOWN_CLASS,
    UNKNOWN_PROPERTY,
    WRONG_TYPE,
)
from replication.server.tables import entries
from replication.server.types import Types

Act = Callable[[Edit], None]


def create(edit: Edit) -> None:
    edit.create()


def delete(edit: Edit) -> None:
    edit.delete()


def setting(name: str, value: Any) -> Act:
    return lambda edit: edit.scope().set(name, value)


def created_with(name: str, value: Any) -> Act:
    def act(edit: Edit) -> None:
        edit.create()
        edit.scope().set(name, value)

    return act


def two_files(**options: Any) -> tuple[ClientFile, ClientFile]:
    """Two client files of a namespace in which Book 1 exists."""
    namespace = new_namespace(schema=SCHEMA, **options)
    first, second = ClientFile(namespace), ClientFile(namespace)
    assert not first.write(create).refusals
    return first, second


def forged(file: ClientFile, delta: ObjectState, key: int = 1) -> Any:
    """The answer to a delta that no engine would write."""
    file.author()
    out = file.upload(file.changeset(ObjectDelta("Book", key, delta)))
    assert out.error is None, out.error
    return out.answers[0]


# -- objects ---------------------------------------------------------------------------------
def test_an_edit_of_the_living_incarnation_is_taken() -> None:
    first, second = two_files()
    ack = second.write(setting("title", "x"))
    assert (ack.refusals, ack.rewrites) == ([], [])
    assert server_view(first.namespace.store) == {"title": "x"}


def test_an_edit_of_a_deleted_object_is_refused() -> None:
    """[JUDGE-3]"""
    first, second = two_files()
    seen = second.state()
    first.write(delete)
    ack = second.write(setting("title", "x"), start=seen)
    assert reasons(ack) == [([], DELETED)]
    assert decode(ack.rewrites[0][1]).objects == [], "nothing is left of it"
    assert server_state(first.namespace.store, "Book", 1) == [2, 0, [], {}]


def test_an_edit_of_an_incarnation_before_the_last_is_refused() -> None:
    first, second = two_files()
    seen = second.state()
    first.write(delete)
    first.write(created_with("title", "new"))
    ack = second.write(setting("title", "x"), start=seen)
    assert reasons(ack) == [([], DELETED)]
    assert server_view(first.namespace.store) == {"title": "new"}


def test_an_edit_of_what_was_never_created_here_depends() -> None:
    """[JUDGE-3]"""
    _, second = two_files()
    assert reasons(forged(second, [0, 3, [], {}])) == [([], DEPENDS)]
    assert reasons(forged(second, [0, 1, [], {}], key=9)) == [([], DEPENDS)]


def test_creates_of_one_key_become_one_object() -> None:
    first, second = two_files()
    third = ClientFile(first.namespace)
    for file, name in ((second, "title"), (third, "anything")):
        ack = file.write(created_with(name, "v"), key=2, start=absent())
        assert not ack.refusals
    assert server_view(first.namespace.store, key=2) == {"anything": "v", "title": "v"}


def test_a_create_below_a_newer_deletion_is_refused() -> None:
    first, second = two_files()
    first.write(delete)
    ack = second.write(create, start=absent())
    assert reasons(ack) == [([], DELETED)]


@pytest.mark.parametrize(
    ("before", "length", "reason"),
    [
        (0, 1, None), (0, 2, None), (0, 3, CAUSAL_LENGTH), (0, 4, CAUSAL_LENGTH),
        (1, 2, None), (1, 3, None), (1, 4, CAUSAL_LENGTH), (1, 5, CAUSAL_LENGTH),
        (2, 3, None), (2, 4, None), (2, 5, CAUSAL_LENGTH), (2, 1, DELETED),
        (2, 2, None), (3, 2, None), (3, 1, DELETED), (3, 5, None), (3, 6, CAUSAL_LENGTH),
    ],
)  # fmt: skip
def test_a_length_rises_by_two_at_most(before: int, length: int, reason: str | None) -> None:
    """[JUDGE-2]"""
    first, second = two_files()
    for number in range(before):
        first.write([delete, create][number % 2 == 0], key=5)
    at = length if length % 2 else 0
    ack = forged(second, [length, at, [], {}], key=5)
    assert reasons(ack) == ([] if reason is None else [([], reason)])
    assert second.state(key=5)[0] == (before if reason else max(before, length))


# -- blind creates ---------------------------------------------------------------------------
def cursor_now(file: ClientFile) -> int:
    return file.namespace.version


def test_a_blind_create_of_a_living_object_is_an_update_of_it() -> None:
    """[JUDGE-1]"""
    first, second = two_files()
    first.write(setting("title", "old"))
    ack = second.write(created_with("anything", 1), blind=True, cursor=cursor_now(second))
    assert (ack.refusals, ack.rewrites) == ([], [])
    assert server_view(first.namespace.store) == {"anything": 1, "title": "old"}


def test_a_blind_create_of_what_was_dead_at_its_cursor_is_the_next_life() -> None:
    """[JUDGE-1]"""
    first, second = two_files()
    first.write(delete)
    ack = second.write(created_with("title", "again"), blind=True, cursor=cursor_now(second))
    assert not ack.refusals
    (item,) = decode(ack.rewrites[0][1]).objects
    assert (item.delta[:2], item.blind) == ([3, 3], True)
    assert server_view(first.namespace.store) == {"title": "again"}


def test_a_blind_create_does_not_survive_a_deletion_its_author_had_not_seen() -> None:
    first, second = two_files()
    cursor = cursor_now(second)
    first.write(delete)
    ack = second.write(created_with("title", "late"), blind=True, cursor=cursor)
    assert reasons(ack) == [([], DELETED)]


def test_nor_a_new_life_its_author_had_not_seen() -> None:
    first, second = two_files()
    cursors = [cursor_now(second)]
    for act in (delete, create, delete, create):
        first.write(act)
        cursors.append(cursor_now(second))
    lengths = []
    for cursor in cursors:
        third = ClientFile(first.namespace)
        ack = third.write(created_with("title", "x"), blind=True, cursor=cursor)
        lengths.append(reasons(ack) or decode(ack.rewrites[0][1]).objects[0].delta[:2])
    refused = [([], DELETED)]
    # At its cursor it was: alive 1, dead 2, alive 3, dead 4, alive 5 (as it is).
    assert lengths == [refused, refused, refused, [5, 5], [5, 5]]


def test_a_blind_create_of_what_never_was_is_not_rewritten() -> None:
    _, second = two_files()
    ack = second.write(created_with("title", "x"), key=7, blind=True)
    assert (ack.refusals, ack.rewrites) == ([], [])


def test_a_blind_create_does_not_survive_what_was_created_and_deleted_at_once() -> None:
    """In whatever order the two are uploaded."""
    first, second = two_files()
    cursor = cursor_now(second)
    first.write(lambda edit: (edit.create(), edit.delete()), key=7)
    assert first.state(key=7)[0] == 2
    ack = second.write(created_with("title", "late"), key=7, blind=True, cursor=cursor)
    assert reasons(ack) == [([], DELETED)]
    assert first.state(key=7)[0] == 2


# -- collections -----------------------------------------------------------------------------
def clear(kind: int, name: str) -> Act:
    return lambda edit: edit.scope().restart(kind, name)


COLLECTIONS: list[tuple[int, str, Act]] = [
    (obj.SET, "tags", lambda edit: edit.scope().set_member("tags", "a", present=True)),
    (obj.DICTIONARY, "extra", lambda edit: edit.scope().put_item("extra", "k", 1)),
    (
        obj.LIST,
        "notes",
        lambda edit: (
            edit.scope().list_insert("notes", edit.editor(edit.scope(), "notes"), 0, [1]) and None
        ),
    ),
]


@pytest.mark.parametrize(("kind", "name", "act"), COLLECTIONS)
def test_an_edit_of_a_collection_that_was_cleared_is_refused(
    kind: int, name: str, act: Act
) -> None:
    """[JUDGE-4]"""
    first, second = two_files()
    seen = second.state()
    first.write(clear(kind, name))
    kept = server_view(first.namespace.store)
    assert reasons(second.write(act, start=seen)) == [([name], REPLACED)]
    assert server_view(first.namespace.store) == kept
    assert not second.write(act).refusals, "now that it has seen that"
    assert server_view(first.namespace.store) != kept


@pytest.mark.parametrize(("kind", "name", "act"), COLLECTIONS)
def test_a_later_clear_wins_and_edits_of_one_that_never_came_depend(
    kind: int, name: str, act: Act
) -> None:
    """[JUDGE-4]"""
    first, second = two_files()
    first.write(act)
    assert not second.write(clear(kind, name)).refusals
    assert server_view(first.namespace.store) in ({name: []}, {name: {}})
    me = first.ident
    # The clear of somebody unknown, one named by another, one of another time.
    for later, origin, ident in [(0, 9, 9), (0, 9, me), (0, me, 9), (1, me, me)]:
        edit = first.edit(act)
        edit.delta[3][kind][name][0] = [(first.ms << 16) + later, origin, ident, 9]
        out = first.upload(first.changeset(edit))
        assert reasons(out.answers[0]) == [([name], DEPENDS)]  # type: ignore[arg-type]


def test_a_clear_below_a_later_one_is_refused() -> None:
    first, second = two_files()
    second.ms -= 1000
    mine = second.edit(clear(obj.SET, "tags"))
    before = second.changeset(mine)
    first.write(clear(obj.SET, "tags"))
    out = second.upload(before)
    assert reasons(out.answers[0]) == [(["tags"], REPLACED)]  # type: ignore[arg-type]


# -- lists -----------------------------------------------------------------------------------
def insert(*values: Any, at: int = 0, name: str = "notes") -> Act:
    def act(edit: Edit) -> None:
        scope = edit.scope()
        scope.list_insert(name, edit.editor(scope, name), at, values)

    return act


def on_list(operation: str, *arguments: Any, name: str = "notes") -> Act:
    def act(edit: Edit) -> None:
        scope = edit.scope()
        getattr(scope, f"list_{operation}")(name, edit.editor(scope, name), *arguments)

    return act


def notes(file: ClientFile) -> list[Any]:
    view = server_view(file.namespace.store)
    assert view is not None
    return view["notes"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("size", [3, 700])
def test_writes_to_an_erased_element_are_refused_and_erasing_it_again_is_not(size: int) -> None:
    """[JUDGE-6]"""
    first, second = two_files()
    first.write(insert(*range(size)))
    seen = second.state()
    first.write(on_list("erase", 1))
    (path,) = [[*name, [first.ident, 2]] for name in (["notes"],)]
    assert reasons(second.write(on_list("set", 1, 9), start=seen)) == [(path, DELETED)]
    assert reasons(second.write(on_list("move", 1, 0), start=seen)) == [(path, DELETED)]
    ack = second.write(on_list("erase", 1), start=seen)
    assert (ack.refusals, ack.rewrites) == ([], [])
    assert notes(first) == [0, *range(2, size)]


def test_an_insert_anchors_to_an_erased_element() -> None:
    first, second = two_files()
    first.write(insert(1, 2, 3))
    seen = second.state()
    first.write(on_list("erase", 1))
    assert not second.write(insert(9, at=2), start=seen).refusals
    assert notes(first) == [1, 9, 3]


def list_delta(file: ClientFile, elements: Elements) -> Any:
    """Upload a forged delta of the list `notes`."""
    return forged(file, [0, 1, [], {obj.LIST: {"notes": [[], contract(elements)]}}])


def stamp(file: ClientFile) -> tuple[int, int]:
    """What `forged` will stamp the next changeset with."""
    return ((file.ms + 1) << 16, file.ident)


def test_places_hang_on_what_is_known() -> None:
    """[JUDGE-5]"""
    first, second = two_files()
    first.write(insert(1))
    here, me = stamp(second), second.ident
    elements = Elements(
        places={
            (me, 1): ((77, 7), 1, *here),  # nobody knows this one
            (me, 2): ((me, 1), 1, *here),  # nor what hangs on it
            (me, 3): ((first.ident, 1), 1, *here),
            (me, 4): ((me, 3), 1, *here),
        },
        values={(me, number): (*here, number) for number in (1, 2, 3, 4)},
    )
    ack = list_delta(second, elements)
    assert reasons(ack) == [(["notes", [me, 1]], DEPENDS), (["notes", [me, 2]], DEPENDS)]
    assert notes(first) == [1, 3, 4]


def test_places_in_a_circle_hang_on_nothing() -> None:
    _, second = two_files()
    here, me = stamp(second), second.ident
    elements = Elements(
        places={(me, 1): ((me, 2), 1, *here), (me, 2): ((me, 1), 1, *here)},
        values={(me, 1): (*here, 1), (me, 2): (*here, 2)},
    )
    assert [reason for _, reason in reasons(list_delta(second, elements))] == [DEPENDS] * 2
    assert server_view(second.namespace.store) == {}


def test_moves_go_to_known_places_and_writes_to_known_elements() -> None:
    """[JUDGE-6]"""
    first, second = two_files()
    first.write(insert(1, 2))
    here, me = stamp(second), second.ident
    elements = Elements(
        values={(first.ident, 9): (*here, 5)},
        moves={(first.ident, 1): (*here, (me, 8))},
        erased={(first.ident, 8)},
    )
    ack = list_delta(second, elements)
    assert {(str(path), reason) for path, reason in reasons(ack)} == {
        (str(["notes", [first.ident, number]]), DEPENDS) for number in (1, 8, 9)
    }
    assert decode(ack.rewrites[0][1]).objects == [], "nothing is left"
    assert notes(first) == [1, 2]


def test_a_refused_insert_leaves_its_place() -> None:
    """[JUDGE-5]"""
    first, second = two_files()
    ack = second.write(insert(1, "two", 3))
    assert reasons(ack) == [(["notes", [second.ident, 2]], WRONG_TYPE)]
    assert notes(first) == [1, 3], "what was built on the place is not lost"
    assert "Book.notes is list<int>, got 'two' (string)" in ack.refusals[0][5]
    here = (second.ident, 2)
    seen = server_state(first.namespace.store, "Book", 1)
    delta = second.edit(on_list("erase", 0), start=seen).delta
    delta[3][obj.LIST]["notes"][1][3] = [[*here, 1]]
    ack = forged(second, delta)
    assert reasons(ack) == [(["notes", list(here)], DEPENDS)]


# -- embedded objects ------------------------------------------------------------------------
def embed(city: Any, start: int = 0) -> Act:
    return lambda edit: edit.scope().create_embedded("home", start).set("city", city)


def test_edits_of_an_embedded_object_follow_its_incarnation() -> None:
    first, second = two_files()
    first.write(embed("Rome"))
    seen = second.state()
    first.write(embed("Oslo", 1))  # assigned over: another one
    rename: Act = lambda edit: edit.scope().embedded("home").set("city", "Paris")  # noqa: E731
    assert reasons(second.write(rename, start=seen)) == [(["home"], REPLACED)]
    assert not second.write(rename).refusals
    seen = second.state()
    first.write(lambda edit: edit.scope().erase_embedded("home", 1))
    assert reasons(second.write(rename, start=seen)) == [(["home"], DELETED)]
    assert server_view(first.namespace.store) == {"home": None}


def test_embedded_objects_created_from_null_on_both_sides_merge() -> None:
    first, second = two_files()
    seen = second.state()
    first.write(embed("Rome"))

    def mark(edit: Edit) -> None:
        scope = edit.scope().create_embedded("home", 0)
        scope.list_insert("marks", edit.editor(scope, "marks"), 0, [5])

    assert not second.write(mark, start=seen).refusals
    assert server_view(first.namespace.store) == {"home": {"city": "Rome", "marks": [5]}}


def test_parts_are_refused_inside_of_embedded_objects_wherever_they_are() -> None:
    first, second = two_files()

    def act(edit: Edit) -> None:
        scope = edit.scope()
        for inner in (
            scope.create_embedded("home", 0),
            scope.create_item("rooms", "hall", 0),
        ):
            inner.set("city", 5)
            inner.set("wrong", 5)
        editor = edit.editor(scope, "stops")
        (here,) = scope.list_insert("stops", editor, 0, [None])
        scope.element("stops", editor, here).set("city", 5)
        scope.element("stops", editor, here).add("city", 5)

    ack = second.write(act)
    stop = ["stops", [second.ident, 1], "city"]
    assert sorted(reasons(ack), key=str) == sorted(
        [
            (["home", "city"], WRONG_TYPE),
            (["home", "wrong"], UNKNOWN_PROPERTY),
            (["rooms", "hall", "city"], WRONG_TYPE),
            (["rooms", "hall", "wrong"], UNKNOWN_PROPERTY),
            (stop, WRONG_TYPE),
            (stop, WRONG_TYPE),
        ],
        key=str,
    )
    assert server_view(first.namespace.store) == {
        "home": {},
        "rooms": {"hall": {}},
        "stops": [{}],
    }


# -- schema ----------------------------------------------------------------------------------
def member(name: str, value: Any) -> Act:
    return lambda edit: edit.scope().set_member(name, value, present=True)


def item(name: str, key: str, value: Any) -> Act:
    return lambda edit: edit.scope().put_item(name, key, value)


def add(name: str) -> Act:
    return lambda edit: edit.scope().add(name, 2)


GOOD: list[Act] = [
    setting("title", "x"), setting("year", 4), setting("price", None), add("copies"), add("year"),
    setting("price", Decimal128("1.5")), setting("copies", 3), member("tags", "t"),
    item("extra", "k", 1.5), item("extra", "k", None), item("extra", "k", ERASED),
    item("rooms", "k", ERASED), insert(4), setting("author", Link("Person", "p")),
    setting("author", None), setting("anything", None), setting("anything", b"x"),
    add("anything"), embed(None), insert(None, name="stops"),
]  # fmt: skip

BAD: list[tuple[Act, list[Any], str]] = [
    (setting("nothing", 1), ["nothing"], UNKNOWN_PROPERTY),
    (setting("_id", 2), ["_id"], UNKNOWN_PROPERTY),
    (add("nothing"), ["nothing"], UNKNOWN_PROPERTY),
    (member("nothing", 1), ["nothing"], UNKNOWN_PROPERTY),
    (setting("title", 1), ["title"], WRONG_TYPE),
    (setting("title", None), ["title"], WRONG_TYPE),
    (setting("year", 1.0), ["year"], WRONG_TYPE),
    (setting("year", True), ["year"], WRONG_TYPE),
    (setting("tags", "x"), ["tags"], WRONG_TYPE),
    (setting("home", None), ["home"], WRONG_TYPE),
    (setting("author", Link("Book", "p")), ["author"], WRONG_TYPE),
    (setting("author", Link("Person", 5)), ["author"], WRONG_TYPE),
    (add("title"), ["title"], WRONG_TYPE),
    (add("notes"), ["notes"], WRONG_TYPE),
    (member("tags", 1), ["tags", pack(1)], WRONG_TYPE),
    (member("notes", 1), ["notes"], WRONG_TYPE),
    (item("tags", "k", 1), ["tags"], WRONG_TYPE),
    (item("rooms", "k", 1), ["rooms", "k"], WRONG_TYPE),
    (insert(1, name="tags"), ["tags"], WRONG_TYPE),
    (lambda edit: edit.scope().create_embedded("title", 0) and None, ["title"], WRONG_TYPE),
    (lambda edit: edit.scope().create_item("extra", "k", 0) and None, ["extra", "k"], WRONG_TYPE),
]


@pytest.mark.parametrize("act", GOOD)
def test_what_the_schema_allows_is_taken_as_it_is(act: Act) -> None:
    _, second = two_files()
    ack = second.write(act)
    assert (ack.refusals, ack.rewrites) == ([], [])


@pytest.mark.parametrize(("act", "path", "reason"), BAD)
def test_what_the_schema_forbids_is_refused_alone(act: Act, path: list[Any], reason: str) -> None:
    """[JUDGE-8] UP-5"""
    first, second = two_files()

    def both(edit: Edit) -> None:
        edit.scope().set("price", None)
        act(edit)

    ack = second.write(both)
    assert reasons(ack) == [(path, reason)]
    assert ack.refusals[0][:3] == [1, "Book", 1]
    view = server_view(first.namespace.store)
    assert view is not None
    assert view.pop("price") is None
    assert view in ({}, {path[0]: []}, {path[0]: {}})


def test_elements_of_the_wrong_kind_are_refused() -> None:
    first, second = two_files()

    def act(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "notes")
        one, _ = scope.list_insert("notes", editor, 0, [1, 2])
        scope.element("notes", editor, one).set("city", "x")
        scope.list_insert("stops", edit.editor(scope, "stops"), 0, [7])

    ack = second.write(act)
    me = second.ident
    assert reasons(ack) == [(["notes", [me, 1]], WRONG_TYPE), (["stops", [me, 3]], WRONG_TYPE)]
    assert notes(first) == [2]


def test_objects_of_unknown_classes_and_keys_are_refused() -> None:
    """[JUDGE-8]"""
    first, second = two_files()
    for class_name, key, reason in [
        ("Nothing", 1, UNKNOWN_CLASS), ("Place", 1, WRONG_TYPE), ("Book", "one", WRONG_TYPE),
        ("Person", 1, WRONG_TYPE),
    ]:  # fmt: skip
        ack = second.write(create, class_name=class_name, key=key, start=absent())
        assert reasons(ack) == [([], reason)]
        assert class_name in ack.refusals[0][5]
    with first.namespace.store.read() as reader:
        assert reader.classes() == ["Book", "Person"]


def test_without_a_schema_everything_fits() -> None:
    namespace = new_namespace()
    file = ClientFile(namespace)
    for number, (act, _, _) in enumerate(BAD):
        ack = file.write(lambda edit, act=act: (edit.create(), act(edit)), key=number)
        assert (ack.refusals, ack.rewrites) == ([], []), act


# -- development mode ------------------------------------------------------------------------
def packed(*classes: Any) -> Any:
    return Schema(classes).to_packed()


def book(*properties: Any) -> Any:
    return ClassSchema("Book", properties, key="int")


def test_in_development_clients_add_to_the_schema() -> None:
    namespace = new_namespace(development=True)
    file = ClientFile(namespace)
    schema = packed(book(of("title", "string", queryable=True)))
    act = created_with("title", "x")
    unknown = file.write(act)
    assert reasons(unknown) == [([], UNKNOWN_CLASS)]
    out = file.upload(file.changeset(file.edit(act), schema=schema))
    assert out.answers[0].refusals == []  # type: ignore[union-attr]
    with namespace.store.read() as reader:
        assert reader.columns("Book") == ["title"]
        types = namespace.types(reader)
    assert types is not None
    assert types.schema.to_packed() == schema
    again = ClientFile(namespace)
    out = again.upload(again.changeset(schema=schema))
    assert out.answers[0].refusals == []  # type: ignore[union-attr]


def test_a_contradiction_is_refused_for_its_property_alone() -> None:
    namespace = new_namespace(development=True)
    first, second = ClientFile(namespace), ClientFile(namespace)
    first.upload(first.changeset(schema=packed(book(of("title", "string"), of("year", "int")))))
    schema = packed(book(of("title", "int"), of("pages", "int")))

    def act(edit: Edit) -> None:
        edit.create()
        edit.scope().set("title", 5)
        edit.scope().set("pages", 5)

    out = second.upload(second.changeset(second.edit(act), schema=schema))
    (ack,) = out.answers
    assert ack.refusals[0][:5] == [1, "Book", None, ["title"], refusals.SCHEMA]  # type: ignore[union-attr]
    assert reasons(ack)[1:] == [(["title"], WRONG_TYPE)]  # type: ignore[arg-type]
    assert server_view(namespace.store) == {"pages": 5}


def test_outside_of_development_clients_add_nothing() -> None:
    _, second = two_files()
    schema = packed(book(of("invented", "int")))
    out = second.upload(second.changeset(second.edit(setting("invented", 1)), schema=schema))
    assert reasons(out.answers[0]) == [(["invented"], UNKNOWN_PROPERTY)]  # type: ignore[arg-type]


@pytest.mark.parametrize("parents", [*product([(0, 0), (2, 1), (2, 9), (3, 1), (3, 2)], repeat=2)])
def test_what_is_taken_of_a_list_at_a_glance_is_taken_after_a_long_look(
    parents: tuple[Id, Id], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever new places hang on: here, in the delta, nowhere; and whatever their values are."""
    types = Types(Schema([book(of("notes", "list<int>"))]))
    held = Elements({(2, 1): (ROOT, 1, 5, 2)}, {(2, 1): (5, 2, 1)})
    state = [1, 1, [], {obj.LIST: {"notes": [[], contract(held)]}}]
    outcomes = []
    for look in (judge_list._is_undisputed, lambda *_: False):
        monkeypatch.setattr(judge_list, "_is_undisputed", look)
        for values in product([None, 5, "x"], repeat=2):
            news = Elements()
            for number, (parent, value) in enumerate(zip(parents, values, strict=True), 1):
                news.places[3, number] = (parent, 1, 9, 3)
                if value is not None:
                    news.values[3, number] = (9, 3, value)
            judge = Judge(types, 9, (3,))
            delta = [0, 1, [], {obj.LIST: {"notes": [[], contract(news)]}}]
            outcomes.append((judge.object("Book", 1, state, delta, None), judge.refusals))
    assert outcomes[:9] == outcomes[9:]


# -- whole changesets ------------------------------------------------------------------------
def test_an_atomic_changeset_is_refused_whole() -> None:
    """UP-5"""
    namespace = new_namespace(development=True)
    file = ClientFile(namespace)
    file.upload(file.changeset(schema=packed(book(of("title", "string")))))
    author = file.author()
    objects = [
        file.edit(created_with("title", value), key=key, author=author)
        for key, value in ((1, "fine"), (2, 5), (3, "fine"))
    ]
    schema = packed(book(of("other", "string")))
    out = file.upload(file.changeset(*objects, flags=ATOMIC, schema=schema))
    (ack,) = out.answers
    assert [(item[2], item[4]) for item in ack.refusals] == [  # type: ignore[union-attr]
        (2, WRONG_TYPE), (1, refusals.ATOMIC), (3, refusals.ATOMIC),
    ]  # fmt: skip
    with namespace.store.read() as reader:
        assert reader.get_object("Book", 1) is None
        types = namespace.types(reader)
    assert types is not None
    assert list(types.schema["Book"].properties) == ["title"]
    objects = [file.edit(created_with("title", "fine"), key=key, author=author) for key in (1, 2)]
    out = file.upload(file.changeset(*objects, flags=ATOMIC))
    assert out.answers[0].refusals == []  # type: ignore[union-attr]


def test_changesets_of_one_upload_are_taken_as_if_each_came_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever became of the one before: what was planned and not written is not built upon."""
    monkeypatch.setattr(objects, "OBJECT_BYTES_MAX", 100_000)
    alone, together = ClientFile(new_namespace()), ClientFile(new_namespace())
    sent = []

    def send(*acts: Act, flags: int = 0) -> list[str]:
        author = alone.author()
        items = [
            alone.edit(act, key=key, start=None if key == 1 else second, author=author)
            for key, act in enumerate(acts, 1)
        ]
        sent.append(alone.changeset(*items, flags=flags))
        (ack,) = alone.upload(sent[-1]).answers
        return [reason for _, reason in reasons(ack)]  # type: ignore[arg-type]

    second = absent()
    assert send(create, create) == []
    second = alone.state(key=2)
    assert send(insert(1, 2), delete) == []
    assert send(insert(4, at=1), setting("year", 1), flags=ATOMIC) == [DELETED, refusals.ATOMIC]
    assert send(insert("x" * 100_000)) == [TOO_LARGE]
    assert send(insert(6, at=1)) == []
    assert together.upload(*sent).error is None
    for key in (1, 2):
        assert server_state(together.namespace.store, "Book", key) == alone.state(key=key)
    assert heads_before(together) == heads_before(alone)


def test_a_list_that_becomes_long_goes_on_in_the_same_upload() -> None:
    """The first of its class: until then there is nothing beside heads to look for."""
    file = ClientFile(new_namespace())
    file.write(create)
    state = file.state()
    sent = []
    for act in (insert(1), insert(*range(300)), insert(7, at=150), on_list("erase", 20)):
        item = file.edit(act, start=state)
        state = merge(clone(state), item.delta)
        sent.append(file.changeset(item))
    (ack,) = file.upload(*sent).answers
    assert reasons(ack) == []  # type: ignore[arg-type]
    assert file.state() == state


def heads_before(file: ClientFile) -> list[list[bytes | None]]:
    """What the log says of the objects of each entry as they were."""
    with file.namespace.store.read() as reader:
        return [entry.before for entry in entries(reader, 1, 100)]


def test_refusals_past_the_limit_are_counted() -> None:
    _, second = two_files()

    def act(edit: Edit) -> None:
        for number in range(REFUSALS_PER_CHANGESET_MAX + 5):
            edit.scope().set(f"unknown{number:04}", 1)

    ack = second.write(act)
    assert len(ack.refusals) == REFUSALS_PER_CHANGESET_MAX + 1
    assert ack.refusals[-1][4:] == [MORE, "5 more parts of this transaction were refused"]


def test_an_object_stays_within_what_one_message_carries() -> None:
    """[JUDGE-9]"""
    _, second = two_files()
    third = OBJECT_BYTES_MAX // 3
    assert not second.write(setting("anything", b"x" * third)).refusals
    assert not second.write(item("extra", "a", b"x" * third)).refusals
    ack = second.write(item("extra", "b", b"x" * third))
    assert reasons(ack) == [([], TOO_LARGE)]
    assert not second.write(item("extra", "a", ERASED)).refusals
    assert not second.write(item("extra", "b", b"x" * third)).refusals
    # Parts count as well: strings in a list of mixed values, spread over parts.
    namespace = new_namespace()
    file = ClientFile(namespace)
    run = ["x" * (OBJECT_BYTES_MAX // 1000)] * 300
    file.write(lambda edit: (edit.create(), insert(*run)(edit)))
    for _ in range(2):
        assert not file.write(insert(*run)).refusals
    assert reasons(file.write(insert(*run))) == [([], TOO_LARGE)]
    assert not file.write(clear(obj.LIST, "notes")).refusals
    assert not file.write(insert(*run)).refusals


def test_refused_reasons_are_words_of_the_protocol() -> None:
    assert len(set(REASONS)) == len(REASONS)


# -- any input -------------------------------------------------------------------------------
@given(st.randoms(use_true_random=False), st.booleans())
def test_judging_is_total_and_what_is_left_passes_again(rng: Random, typed: bool) -> None:
    """Any well-formed delta against any well-formed state."""
    state, delta = object_state(rng), object_state(rng)
    types = Types(_odd_schema()) if typed else None

    def judged(theirs: ObjectState) -> tuple[ObjectState | None, Judge]:
        judge = Judge(types, 3, (2,))
        before = pack(state), pack(theirs)
        out = judge.object("Book", 1, state, theirs, None)
        assert (pack(state), pack(theirs)) == before, "judging changes nothing"
        return out, judge

    kept, judge = judged(delta)
    if kept is None:
        assert judge.refusals or delta[0] == 0
        return
    check_object(kept)
    assert (kept is delta) == (not judge.refusals), "rewritten exactly where something is refused"
    again, judge = judged(kept)
    assert again is kept
    assert not judge.refusals
    merged = merge(clone(state), clone(kept))
    check_object(merged)


def _odd_schema() -> Any:
    names = {"a": "int", "b": "list<mixed>", "é": "embedded:Inner"}
    inner = {"a": "set<mixed>", "b": "dict<mixed>", "é": "counter"}
    return Schema(
        [
            ClassSchema("Book", [of(*item) for item in names.items()], key="int"),
            ClassSchema("Inner", [of(*item) for item in inner.items()]),
        ]
    )


@given(st.randoms(use_true_random=False))
def test_nothing_is_refused_to_who_writes_alone(rng: Random) -> None:
    """Whatever one file writes in a row is taken as it is."""
    namespace: Namespace = new_namespace()
    file = ClientFile(namespace)
    for _ in range(6):
        objects = file.edit(wander(rng))
        out = file.upload(file.changeset(objects))
        (ack,) = out.answers
        assert (ack.refusals, ack.rewrites) == ([], [])  # type: ignore[union-attr]
