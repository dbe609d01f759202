"""What a role lets be written: exactly what is forbidden is refused, and the refusal says why."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any
from uuid import UUID

import pytest
from bson.objectid import ObjectId
from replicas import Edit, wander
from server_files import SCHEMA, ClientFile, new_namespace, server_state, server_view
from test_rules_roles import bound, role, rules

from replication import limits
from replication.crdt import object as obj
from replication.crdt.object import is_alive
from replication.crdt.view import object_view
from replication.history.changeset import ATOMIC
from replication.model.encoding import pack
from replication.protocol.messages import Ack
from replication.query.compare import equal
from replication.rules.roles import Roles, Rules
from replication.server.namespace import Namespace
from replication.server.refusals import ATOMIC as ATOMIC_REASON
from replication.server.refusals import DELETED, MORE, NOT_PERMITTED, REPLACED

Act = Callable[[Edit], None]


def setting(**values: Any) -> Act:
    def act(edit: Edit) -> None:
        if not is_alive(edit.view):
            edit.create()
        for name, value in values.items():
            edit.scope().set(name, value)

    return act


def delete(edit: Edit) -> None:
    edit.delete()


def again(edit: Edit) -> None:
    edit.delete()
    setting(title="ann", year=0)(edit)


def place(**values: Any) -> Act:
    def act(edit: Edit) -> None:
        home = edit.scope().embedded("home")
        for name, value in values.items():
            home.set(name, value)

    return act


#: Books are theirs whose name is the title; the filter is on a queryable property.
OWN = {"title": "%%user.id"}


def filtered(read: Any = True, write: Any = OWN, **more: Any) -> dict[str, Any]:
    return role("writer", document_filters={"read": read, "write": write}, **more)


class Desk:
    """A namespace with books 1 (ann's) and 2 (bob's), and ann, who writes under rules."""

    def __init__(self, held: Rules | None = None, **custom_data: Any) -> None:
        self.namespace: Namespace = new_namespace(schema=SCHEMA)
        self.owner = ClientFile(self.namespace, "owner")
        for key, name in [(1, "ann"), (2, "bob")]:
            self.owner.write(setting(title=name, year=1), key=key)

        def home(edit: Edit) -> None:
            edit.scope().create_embedded("home", 0).set("city", "Rome")

        self.owner.write(home, key=1)
        self.ann = ClientFile(self.namespace)
        if held is not None:
            self.ann.roles = bound(held, **custom_data)

    def write(self, act: Act, key: int = 1, **options: Any) -> list[tuple[Any, ...]]:
        """What is refused of a transaction: path, reason, message."""
        ack = self.ann.write(act, key=key, **options)
        return [tuple(refusal[3:6]) for refusal in ack.refusals]

    def rulings(self, act: Act, key: int = 1, **options: Any) -> list[tuple[Any, ...]]:
        """What of the rules decided what is refused: path, role, rule path, clause."""
        ack = self.ann.write(act, key=key, **options)
        return [(refusal[3], *refusal[6:]) for refusal in ack.refusals]

    def view(self, key: int = 1) -> dict[str, Any] | None:
        return server_view(self.namespace.store, key=key)


def test_without_rules_everything_may_be_written() -> None:
    desk = Desk()
    assert desk.write(setting(title="x"), 2) == []
    assert desk.write(delete, 1) == []


def test_an_object_outside_of_the_write_filter() -> None:
    """W1 (c), (d) [RULES-WRITE-1]"""
    desk = Desk(rules(filtered()))
    where = "default_roles[0].document_filters.write"
    message = f"Book 2 may not be written by role 'writer': {where} does not hold"
    assert desk.write(setting(year=5), 2) == [([], NOT_PERMITTED, f"{message} before the write")]
    assert desk.write(delete, 2) == [([], NOT_PERMITTED, f"{message} for it")]
    assert desk.view(2) == {"title": "bob", "year": 1}
    assert desk.write(setting(year=5), 1) == []


def test_a_create_of_a_key_that_somebody_else_has() -> None:
    """[RULES-WRITE-1]: judged as an edit of what is there, of which it tells nothing."""
    desk = Desk(rules(filtered()))
    ((path, reason, message),) = desk.write(setting(title="ann"), 2, blind=True)
    assert (path, reason) == ([], NOT_PERMITTED)
    assert "bob" not in message
    assert desk.view(2) == {"title": "bob", "year": 1}


def test_an_insert_outside_of_the_write_filter() -> None:
    """W1 (b), (d) [RULES-WRITE-4]"""
    desk = Desk(rules(filtered()))
    ((path, reason, message),) = desk.write(setting(title="bob", year=2), 3)
    assert (path, reason) == ([], NOT_PERMITTED)
    assert message.endswith("document_filters.write does not hold after the write")
    assert desk.view(3) is None
    assert desk.write(setting(title="ann", year=2), 3) == []


def test_nobody_gives_away_what_is_theirs() -> None:
    """R12, W1 (e) [RULES-WRITE-3]: the rest of the transaction stands."""
    desk = Desk(rules(filtered()))
    ((path, reason, message),) = desk.write(setting(title="bob", year=7))
    assert (path, reason) == (["title"], NOT_PERMITTED)
    assert message == (
        "Book 1.title may not be written by role 'writer': "
        "default_roles[0].document_filters.write does not hold after the write"
    )
    assert desk.view() == {"title": "ann", "year": 7, "home": {"city": "Rome"}}


def test_as_little_as_possible_is_refused() -> None:
    """[RULES-WRITE-3]"""
    both = {"$or": [OWN, {"year": {"$lt": 10}}]}
    desk = Desk(rules(filtered(write=both)))
    assert desk.write(setting(title="bob")) == [], "the year is enough"
    assert [path for path, *_ in desk.write(setting(title="carl", year=20))] == [["year"]]
    assert desk.view() == {"title": "carl", "year": 1, "home": {"city": "Rome"}}
    exactly = {"title": "ann", "year": 1}
    desk = Desk(rules(filtered(write=exactly)))
    refused = desk.write(setting(title="bob", year=2, price=None))
    assert [path for path, *_ in refused] == [["title"], ["year"]]


def test_a_write_needs_permission_before_and_after() -> None:
    """R13: the employee who made himself a worker bee."""
    before = Desk(rules(filtered(write={"title": {"$in": ["ann", "bee"]}})))
    assert before.write(setting(title="bee")) == []
    narrowed = Desk(rules(filtered(write={"title": {"$in": ["manager", "bee"]}})))
    ((path, _, message),) = narrowed.write(setting(title="bee"))
    assert (path, message.endswith("before the write")) == ([], True)
    assert narrowed.view() == {"title": "ann", "year": 1, "home": {"city": "Rome"}}


FIELDS = {"year": {"write": True}, "home": {"fields": {"city": {"write": True}}}}
FIELDWISE = role("reader", fields=FIELDS, additional_fields={"read": True})


def test_a_field_without_permission() -> None:
    """R10, W6 [RULES-WRITE-2]: the manual's example; the other field stands."""
    desk = Desk(rules(FIELDWISE))
    ((path, reason, message),) = desk.write(setting(title="x", year=5))
    assert (path, reason) == (["title"], NOT_PERMITTED)
    assert message == (
        "Book 1.title may not be written by role 'reader': default_roles[0].additional_fields.write"
    )
    assert desk.view() == {"title": "ann", "year": 5, "home": {"city": "Rome"}}
    assert desk.write(setting(year=6)) == []


def test_fields_of_every_kind() -> None:
    """[RULES-WRITE-2]"""
    desk = Desk(rules(FIELDWISE))

    def everything(edit: Edit) -> None:
        scope = edit.scope()
        scope.set("year", 9)
        scope.add("copies", 1)
        scope.set_member("tags", "x", present=True)
        scope.put_item("extra", "k", 1)
        scope.create_item("rooms", "k", 0)
        scope.list_insert("notes", edit.editor(scope, "notes"), 0, [1])
        edit.nested(scope).set("anything", [1, {"a": 2}])

    refused = desk.write(everything)
    assert sorted(path[0] for path, *_ in refused) == [
        "anything", "copies", "extra", "notes", "rooms", "tags",
    ]  # fmt: skip
    assert {reason for _, reason, _ in refused} == {NOT_PERMITTED}
    assert desk.view() == {"title": "ann", "year": 9, "home": {"city": "Rome"}}


def test_fields_of_embedded_objects() -> None:
    """[RULES-WRITE-5]"""
    desk = Desk(rules(FIELDWISE))

    def edit_home(edit: Edit) -> None:
        home = edit.scope().embedded("home")
        home.set("city", "Oslo")
        home.list_insert("marks", edit.editor(home, "marks"), 0, [1])

    refused = desk.write(edit_home)
    assert [(path, message.split(": ")[1]) for path, _, message in refused] == [
        (["home", "marks"], "default_roles[0].fields.home.fields")
    ]
    assert desk.view() == {"title": "ann", "year": 1, "home": {"city": "Oslo"}}

    def erase(edit: Edit) -> None:
        edit.scope().erase_embedded("home", 1)

    assert [path for path, *_ in desk.write(erase)] == [["home"]]


def test_deleting_needs_every_field() -> None:
    """R11 [RULES-WRITE-4]"""
    desk = Desk(rules(FIELDWISE))
    ((_, _, message),) = desk.write(delete)
    assert message.endswith("default_roles[0].fields does not allow every field, as deleting asks")
    named = {name: {"write": True} for name in SCHEMA.classes["Book"].properties}
    assert Desk(rules(role("all", fields=named))).write(delete) == []


def test_insert_and_delete_have_rules_of_their_own() -> None:
    """R11 [RULES-WRITE-4]"""
    desk = Desk(rules(role("a", insert=False, delete={"year": {"$gt": 1}})))
    assert desk.write(setting(title="x"), 3)[0][2].endswith(".insert does not hold after the write")
    assert desk.write(delete)[0][2].endswith(".delete does not hold for it")
    assert desk.write(setting(year=2)) == []
    assert desk.write(delete) == []
    guarded = Desk(rules(role("a", insert={"%%prevRoot": {"$exists": False}, "home.city": "Rome"})))
    assert guarded.write(setting(title="x"), 3)[0][:2] == ([], NOT_PERMITTED)

    def with_home(edit: Edit) -> None:
        setting(title="x")(edit)
        edit.scope().create_embedded("home", 0).set("city", "Rome")

    assert guarded.write(with_home, 4) == []


def test_a_delete_and_an_insert_in_one() -> None:
    """[RULES-WRITE-4]"""
    assert Desk(rules(role("a"))).write(again) == []
    assert (
        Desk(rules(role("a", delete=False)))
        .write(again)[0][2]
        .endswith(".delete does not hold for it")
    )
    assert (
        Desk(rules(role("a", insert=False)))
        .write(again)[0][2]
        .endswith(".insert does not hold after the write")
    )
    unchanged = Desk(rules(role("a", insert=False)))
    unchanged.write(again)
    assert unchanged.view() == {"title": "ann", "year": 1, "home": {"city": "Rome"}}


def test_a_function_decides_and_fails_closed() -> None:
    """[RULES-EXPR-8]"""
    call = {"%%true": {"%function": {"name": "old", "arguments": ["%%root.year"]}}}
    held = rules(role("a", delete=call), functions={"old": lambda year: 10 / year > 2})
    desk = Desk(held)
    told: list[Exception] = []
    desk.ann.roles = held.bind({"id": "ann"}, told.append)
    assert desk.write(setting(year=0)) == []
    for _ in range(3):
        ((_, reason, message),) = desk.write(delete)
        assert reason == NOT_PERMITTED
        assert message.endswith(".delete can't be decided: a function failed")
        assert "ZeroDivision" not in message
    assert [str(each) for each in told] == [
        "the function 'old' failed: ZeroDivisionError('division by zero')"
    ], "however often they try"
    assert desk.write(setting(year=1)) == []
    assert desk.write(delete) == []


def test_an_insert_whose_function_fails() -> None:
    """[RULES-EXPR-8]"""
    call = {"%%true": {"%function": {"name": "f", "arguments": ["%%root.year"]}}}
    desk = Desk(rules(role("a", insert=call), functions={"f": lambda _year: {}["secret"]}))
    ((path, reason, message),) = desk.write(setting(title="x", year=1), 3)
    assert (path, reason) == ([], NOT_PERMITTED)
    assert message.endswith(".insert can't be decided: a function failed")


def test_a_role_that_reads_alone() -> None:
    desk = Desk(rules(role("reader", read=True, write=False)))
    assert desk.write(setting(year=2))[0][:2] == (["year"], NOT_PERMITTED)
    assert desk.write(setting(title="x"), 3)[0][2] == (
        "Book 3 may not be written by role 'reader': default_roles[0].write allows no field"
    )
    assert desk.write(delete)[0][1] == NOT_PERMITTED


def test_no_role_at_all() -> None:
    """R3 [RULES-ROLE-2]"""
    desk = Desk(rules(role("a", False)))
    expected = "Book 1 may not be written: no role in default_roles applies to you"
    assert desk.write(setting(year=2)) == [([], NOT_PERMITTED, expected)]
    assert desk.write(setting(year=2), 9)[0][1] == NOT_PERMITTED


def test_what_is_deleted_is_said_to_be() -> None:
    """A conflict is told as one, where the user could see the object."""
    desk = Desk(rules(filtered()))
    late = desk.ann.edit(setting(year=4), key=1)
    desk.owner.write(delete, key=1)
    out = desk.ann.upload(desk.ann.changeset(late))
    (ack,) = out.answers
    assert isinstance(ack, Ack)
    assert [refusal[4] for refusal in ack.refusals] == [DELETED]


def test_other_objects_of_a_transaction_stand() -> None:
    """W7; but of an atomic one nothing does."""
    for flags, years in [(0, (5, 1)), (ATOMIC, (1, 1))]:
        desk = Desk(rules(filtered()))
        edits = [desk.ann.edit(setting(year=5), key=key, author=None) for key in (1,)]
        author = desk.ann.author()
        edits = [desk.ann.edit(setting(year=5), key=key, author=author) for key in (1, 2)]
        (ack,) = desk.ann.upload(desk.ann.changeset(*edits, flags=flags)).answers
        assert isinstance(ack, Ack)
        expected = [(2, NOT_PERMITTED), *([(1, ATOMIC_REASON)] if flags else [])]
        assert [(refusal[2], refusal[4]) for refusal in ack.refusals] == expected
        assert tuple((desk.view(key) or {})["year"] for key in (1, 2)) == years


def test_what_was_refused_is_remembered_and_answered_alike() -> None:
    """W2, W4: also when the upload comes again."""
    desk = Desk(rules(filtered()))
    data = desk.ann.changeset(desk.ann.edit(setting(title="bob", year=7)))
    first, second = (desk.ann.upload(data, first=1).answers for _ in range(2))
    assert first == second


@pytest.mark.parametrize("seed", range(25))
def test_nothing_forbidden_is_ever_written(seed: int) -> None:
    """[RULES-WRITE-1] [RULES-WRITE-2] [RULES-WRITE-3], of whatever is uploaded."""
    rng = Random(seed)
    namespace = new_namespace()
    owner, ann = ClientFile(namespace, "owner"), ClientFile(namespace)
    fields = {name: {"write": True} for name in rng.sample("rnxcsdlomt", 6)}
    roles = bound(rules(role("a", document_filters={"read": True, "write": {"r": {"$ne": 1}}},
                             fields=fields, additional_fields={"read": True})))  # fmt: skip
    for turn in range(12):
        owner.write(wander(rng, 4), key=1)
        before = server_state(namespace.store, "Book", 1)
        ann.roles = roles
        ann.write(wander(rng, 4), key=1)
        after = server_state(namespace.store, "Book", 1)
        check(before, after, set(fields), f"seed {seed}, turn {turn}")


def check(before: Any, after: Any, writable: set[str], where: str) -> None:
    """By what a reader sees: the filter holds on both sides of a change, other fields stay."""
    old, new = object_view(before), object_view(after)
    if repr(old) == repr(new):
        return
    assert old is None or not is_one(old.get("r")), where
    assert new is not None, f"{where}: nothing may be deleted"
    assert not is_one(new.get("r")), where
    old = old or {}
    changed = {name for name in {*old, *new} if repr(old.get(name)) != repr(new.get(name))}
    assert changed <= writable, where


def is_one(value: Any) -> bool:
    return equal(value, 1)  # a list in a mixed value equals nothing


def test_roles_are_bound_once() -> None:
    roles: Roles = bound(rules(filtered()))
    assert roles.of("Book") is roles.of("Shelf")


@pytest.mark.parametrize(
    ("key", "named"),
    [
        (7, "7"),
        ("seven", "'seven'"),
        (ObjectId("5f0000000000000000000001"), "ObjectId('5f0000000000000000000001')"),
        (UUID(int=7), "UUID('00000000-0000-0000-0000-000000000007')"),
        ("x" * 500, "'" + "x" * 30),
    ],
)
def test_keys_of_every_type_are_named(key: Any, named: str) -> None:
    """W5: in the refusal as they are, in its message as far as it is of use."""
    namespace = new_namespace()
    ann = ClientFile(namespace)
    ann.roles = bound(rules(filtered(write=False)))
    (refusal,) = ann.write(setting(title="x"), key=key).refusals
    assert refusal[2] == key
    assert refusal[5].startswith(f"Book {named}")
    assert len(refusal[5]) < 300


MIXED = {"stops": {"fields": {"city": {"write": True}, "anything": {"read": True}}}}


@pytest.mark.parametrize("elements", [1, 600])
def test_a_list_in_a_mixed_value_of_an_object_in_a_list(elements: int) -> None:
    """[RULES-WRITE-2]: who may write another field of that object may not write into it."""
    space = new_namespace()
    owner, ann = ClientFile(space, "owner"), ClientFile(space)
    ann.roles = bound(rules(role("r", fields=MIXED)))

    def fill(edit: Edit) -> None:
        edit.create()
        scope = edit.scope()
        editor = edit.editor(scope, "stops")
        for here in scope.list_insert("stops", editor, 0, [None] * elements):
            inner = scope.element("stops", editor, here)
            inner.set("city", "Rome")
            edit.nested(inner).set("anything", [1, 2])

    def inside(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "stops")
        inner = scope.element("stops", editor, editor.id_at(elements - 1))
        (name,) = inner.view[obj.CONTAINER]
        inner.list_insert(name, edit.editor(inner, name), 0, [99])
        inner.set("city", "Oslo")

    owner.write(fill)
    (refusal,) = ann.write(inside).refusals
    assert (refusal[3][0], refusal[3][2]) == ("stops", "anything")
    assert refusal[8] == "fields.stops.fields.anything.write"
    stops = (server_view(space.store, key=1) or {})["stops"]
    assert stops[-1] == {"anything": [1, 2], "city": "Oslo"}


def lied_about() -> Act:
    """An edit of what is in `anything` that says it is in `title`."""

    def act(edit: Edit) -> None:
        scope = edit.scope()
        (name,) = scope.view[obj.CONTAINER]
        scope.list_insert(name, edit.editor(scope, name), 0, [99])
        scope.delta[obj.CONTAINER][name][0] = [obj.REGISTER, "title"]

    return act


@pytest.mark.parametrize("ruled", [False, True])
def test_a_lie_about_where_a_list_is(ruled: bool) -> None:
    """[RULES-WRITE-2] UP-11: it would be written to under another property's rule, and be lost."""
    space = new_namespace()
    ann = ClientFile(space)

    def fill(edit: Edit) -> None:
        setting(title="x")(edit)
        edit.nested(edit.scope()).set("anything", [1, 2])

    assert ann.write(fill).refusals == []
    if ruled:
        fields = {"title": {"write": True}, "anything": {"read": True}}
        ann.roles = bound(rules(role("r", fields=fields)))
    (refusal,) = ann.write(lied_about()).refusals
    assert refusal[3:5] == [["anything"], NOT_PERMITTED if ruled else REPLACED]
    assert server_view(space.store, key=1) == {"anything": [1, 2], "title": "x"}


# -- filters on paths ------------------------------------------------------------------------------
IN_ROME = filtered(write={"home.city": "Rome"})


def test_a_filter_on_a_field_of_an_embedded_object() -> None:
    """[RULES-WRITE-1] [RULES-WRITE-3]: that field alone is refused, not the object it is in."""
    desk = Desk(rules(IN_ROME))
    assert desk.rulings(setting(year=5), 2) == [
        ([], "writer", "default_roles[0]", "document_filters.write")
    ]

    def move(edit: Edit) -> None:
        home = edit.scope().embedded("home")
        home.set("city", "Oslo")
        home.list_insert("marks", edit.editor(home, "marks"), 0, [1])

    assert [path for path, *_ in desk.write(move)] == [["home", "city"]]
    assert desk.view() == {"title": "ann", "year": 1, "home": {"city": "Rome", "marks": [1]}}


def test_a_filter_on_what_is_replaced_or_deleted() -> None:
    """[RULES-WRITE-3]: what makes another embedded object is one part."""
    desk = Desk(rules(IN_ROME))

    def replace(edit: Edit) -> None:
        edit.scope().set("year", 7)
        edit.scope().create_embedded("home", 1).set("city", "Bern")

    assert [path for path, *_ in desk.write(replace)] == [["home"]]

    def erase(edit: Edit) -> None:
        edit.scope().erase_embedded("home", 1)

    assert [path for path, *_ in desk.write(erase)] == [["home"]]
    assert desk.view() == {"title": "ann", "year": 7, "home": {"city": "Rome"}}


def test_a_filter_on_keys_and_elements() -> None:
    """[RULES-WRITE-3]: the field above them is the part."""
    held = filtered(write={"extra.owner": {"$ne": "bob"}, "stops.city": {"$ne": "Oslo"}})
    desk = Desk(rules(held))

    def give(edit: Edit) -> None:
        edit.scope().put_item("extra", "owner", "bob")
        edit.scope().set("year", 9)

    assert [path for path, *_ in desk.write(give)] == [["extra"]]

    def stop(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "stops")
        (here,) = scope.list_insert("stops", editor, 0, [None])
        scope.element("stops", editor, here).set("city", "Oslo")

    assert [path for path, *_ in desk.write(stop)] == [["stops"]]
    assert desk.view() == {"title": "ann", "year": 9, "home": {"city": "Rome"}}


def test_a_filter_that_looks_at_other_objects_allows_nothing() -> None:
    """[RULES-FILTER-1]: it is a mistake where a schema is at hand; without, it holds for none."""
    desk = Desk(rules(filtered(write={"author.name": {"$exists": False}})))
    assert [path for path, *_ in desk.write(setting(year=5))] == [[]]
    assert desk.view() == {"title": "ann", "year": 1, "home": {"city": "Rome"}}


# -- what refusals say of the rules, apart from their messages -------------------------------------
def remake(edit: Edit) -> None:
    edit.scope().create_embedded("home", 3)


PARTLY = {"home": {"fields": {"city": {"read": True}, "zip": {"write": True}}}}
TITLE = {"title": {"read": True}}
#: What is done to which book under which role, and the clause that each refused part is told.
RULINGS: dict[str, tuple[Act, int, dict[str, Any], dict[str, str]]] = {
    "an object before the write": (setting(year=5), 2, filtered(), {"": "document_filters.write"}),
    "an object after the write": (
        setting(title="bob"), 1, filtered(), {"title": "document_filters.write"}
    ),
    "every field": (setting(title="x"), 1, role("writer", read=True, write=False),
                    {"title": "write"}),
    "a named field": (
        setting(title="x", year=2), 1,
        role("writer", fields=TITLE, additional_fields={"write": True}),
        {"title": "fields.title.write"},
    ),
    "a field that is not named": (
        setting(year=2), 1, role("writer", fields=TITLE), {"year": "additional_fields.write"}
    ),
    "a field of an embedded object": (
        place(city="Bern"), 1, role("writer", fields=PARTLY),
        {"home.city": "fields.home.fields.city.write"},
    ),
    "an unnamed field of an embedded object": (
        place(street="Via"), 1, role("writer", fields=PARTLY),
        {"home.street": "fields.home.fields"},
    ),
    "an embedded object as a whole": (
        remake, 1, role("writer", fields=PARTLY), {"home": "fields.home.fields"}
    ),
    "an insert": (setting(title="x"), 3, role("writer", write=True, insert=False),
                  {"": "insert"}),
    "a delete": (delete, 1, role("writer", write=True, delete=False), {"": "delete"}),
    "a delete without every field": (delete, 1, role("writer", fields=PARTLY), {"": "fields"}),
    "an insert without any field": (setting(title="x"), 3, role("writer", fields=TITLE),
                                    {"": "fields"}),
}  # fmt: skip


@pytest.mark.parametrize("name", RULINGS)
def test_a_refusal_carries_role_place_and_clause(name: str) -> None:
    """REFUSAL-1: for an app to act on, without reading the message."""
    act, key, held, clauses = RULINGS[name]
    desk = Desk(rules(held))
    assert desk.rulings(act, key) == [
        (path.split(".") if path else [], "writer", "default_roles[0]", clause)
        for path, clause in clauses.items()
    ]


def test_a_refusal_without_a_role_says_where_one_was_looked_for() -> None:
    """REFUSAL-1"""
    nobody = role("boss", apply_when={"%%user.custom_data.boss": True})
    assert Desk(rules(nobody)).rulings(setting(year=2)) == [([], "", "default_roles", "")]
    assert Desk(rules(Book=[nobody])).rulings(setting(year=2)) == [([], "", "rules.Book", "")]


def test_what_rules_have_no_say_in_has_the_short_form() -> None:
    """REFUSAL-1"""
    desk = Desk(rules(role("writer")))
    stale = server_state(desk.namespace.store, "Book", 1)
    desk.owner.write(delete)
    (refusal,) = desk.ann.write(setting(year=5), start=stale).refusals
    assert (len(refusal), refusal[4]) == (6, DELETED)


def test_paths_that_share_much_fill_no_acknowledgement() -> None:
    """REFUSAL-3: each path of a deep field is long, so their sum is bounded, not their number."""
    desk = Desk()

    def deep(edit: Edit) -> None:
        rooms = edit.scope()
        for at in range(1000):
            rooms.create_item("rooms", f"{at}".rjust(1020, "x"), 0).set("year", "no number")

    ack = desk.ann.write(deep)
    *named, last = ack.refusals
    assert 0 < len(named) < 1000
    assert last[4] == MORE
    assert last[5] == f"{1000 - len(named)} more parts of this transaction were refused"
    assert sum(len(pack(item)) for item in ack.refusals) < 2 * limits.REFUSALS_PER_CHANGESET_BYTES
