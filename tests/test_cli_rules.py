"""`replication rules`: every mistake told, templates, imports, and answers that name the rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import ok, refused, run
from replicas import Edit
from server_files import SCHEMA, ClientFile, new_namespace
from test_rules_roles import role
from test_rules_writes import FIELDWISE, filtered, setting

from replication.cli.rules import load_rules
from replication.crdt.view import query_values
from replication.errors import RulesError
from replication.rules.templates import TEMPLATES
from replication.storage.sqlite import SQLiteStore


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A namespace with a book of ann's and one of bob's."""
    path = tmp_path / "books.db"
    held = SQLiteStore(path, query_values)
    file = ClientFile(new_namespace(held, schema=SCHEMA), "owner")
    for key, name in [(1, "ann"), (2, "bob")]:
        file.write(setting(title=name, year=1), key=key)
    held.close()
    return path


def fill(path: Path) -> None:
    """Write something into every kind of field of book 1."""

    def act(edit: Edit) -> None:
        scope = edit.scope()
        scope.create_embedded("home", 0).set("city", "Rome")
        editor = edit.editor(scope, "stops")
        (here,) = scope.list_insert("stops", editor, 0, [None])
        scope.element("stops", editor, here).set("city", "Bern")
        scope.create_item("rooms", "a", 0).set("city", "Bonn")
        scope.put_item("extra", "k", 1)
        scope.list_insert("notes", edit.editor(scope, "notes"), 0, [1, 2])

    held = SQLiteStore(path, query_values)
    ClientFile(new_namespace(held, schema=SCHEMA), "owner").write(act)
    held.close()


def rules_file(folder: Path, *roles: Any) -> Path:
    path = folder / "rules.json"
    path.write_text(json.dumps({"default_roles": list(roles)}))
    return path


def explain(
    file: Path, store: Path, key: int, operation: str, *more: str, user: str = "ann"
) -> Any:
    ran = run("rules", "explain", file, "--store", store, "--user", user, "--class", "Book",
              "--key", key, "--operation", operation, "--json", *more)  # fmt: skip
    assert ran.status == (0 if ran.json["allowed"] else 1)
    return ran.json


def test_check_tells_every_mistake(tmp_path: Path) -> None:
    """R18 [RULES-FILE-1]: file, path and reason."""
    path = rules_file(tmp_path, {"name": "", "apply_when": {"x": 1}, "document_filters": {}})
    ran = run("rules", "check", path)
    assert ran.status == 1
    assert ran.out.splitlines() == [
        f"{path}: default_roles[0].name: a role needs a name: refusals say it",
        f"{path}: default_roles[0].apply_when.x: apply_when has no document, so there is no "
        "field 'x'",
        *(
            f"{path}: default_roles[0].document_filters.{clause}: is missing: true, false or an "
            "expression"
            for clause in ("read", "write")
        ),
    ]
    assert run("rules", "check", path, "--json").json[0]["path"] == "default_roles[0].name"
    with pytest.raises(RulesError, match=r"rules\.json: default_roles\[0\]\.name: a role needs"):
        load_rules(path)


def test_check_against_a_schema(tmp_path: Path, store: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"rules": {"Shelf": []}}))
    assert ok("rules", "check", path).out == f"{path} has no mistakes.\n"
    ran = run("rules", "check", path, "--store", store)
    assert ran.out == f"{path}: rules.Shelf: the schema has no class Shelf\n"


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates(tmp_path: Path, name: str) -> None:
    path = tmp_path / "rules.json"
    path.write_text(ok("rules", "template", name).out)
    ok("rules", "check", path)
    assert name in ok("rules", "template").out
    assert "there are own-data" in refused("rules", "template", "nothing")


def test_import_of_the_legacy_format(tmp_path: Path) -> None:
    """R17 [RULES-FILE-2]"""
    path, out = tmp_path / "legacy.json", tmp_path / "unified.json"
    role = {"name": "a", "applyWhen": {}, "read": True, "write": {"owner": "%%user.id"}}
    path.write_text(json.dumps({"defaultRoles": [role], "rules": {}}))
    out.write_text(ok("rules", "import", path).out)
    assert load_rules(out) == load_rules(path)
    assert ok("rules", "import", out).out == out.read_text()


def test_explain_names_role_and_clause(tmp_path: Path, store: Path) -> None:
    """R19: what a refusal would say."""
    file = rules_file(tmp_path, filtered(read={"title": "%%user.id"}))
    where = "default_roles[0].document_filters"
    assert explain(file, store, 1, "read")["reasons"] == [
        f"Book 1 may be read by role 'writer': {where}.write holds"
    ]
    assert explain(file, store, 2, "read")["reasons"] == [
        f"Book 2 may not be read by role 'writer': {where}.read does not hold"
    ]
    assert explain(file, store, 2, "read", user="bob")["allowed"]
    assert explain(file, store, 1, "edit", "--set", "year=5") == {
        "allowed": True,
        "role": "writer",
        "reasons": ["role 'writer' of default_roles[0] allows it"],
        "rulings": [{"role": "writer", "rule_path": "default_roles[0]", "clause": ""}],
        "readable": sorted(SCHEMA.classes["Book"].properties),
        "writable": sorted(SCHEMA.classes["Book"].properties),
    }
    assert explain(file, store, 1, "edit", "--set", 'title="bob"')["reasons"] == [
        f"Book 1.title may not be written by role 'writer': {where}.write does not hold after "
        "the write"
    ]
    assert not explain(file, store, 1, "edit", "--set", "year=true")["allowed"], "it is an int"
    assert not explain(file, store, 2, "delete")["allowed"]
    assert explain(file, store, 1, "delete")["allowed"]
    assert explain(file, store, 3, "insert", "--set", 'title="ann"')["allowed"]
    assert not explain(file, store, 3, "insert", "--set", 'title="bob"')["allowed"]


def test_explain_fields(tmp_path: Path, store: Path) -> None:
    file = rules_file(tmp_path, FIELDWISE)
    found = explain(file, store, 1, "edit", "--set", 'title="x"')
    assert found["reasons"] == [
        "Book 1.title may not be written by role 'reader': default_roles[0].additional_fields.write"
    ]
    assert found["writable"] == ["home", "year"]
    out = run("rules", "explain", file, "--store", store, "--user", "ann", "--class", "Book",
              "--key", 1, "--operation", "delete").out  # fmt: skip
    assert out.startswith("refused\n  Book 1 may not be written by role 'reader': default_roles[0]")


INSIDE = role(
    "clerk",
    document_filters={"read": True, "write": {"home.city": "Rome"}},
    fields={
        "home": {"fields": {"city": {"write": True}}},
        "stops": {"fields": {"city": {"write": True}}},
        "rooms": {"read": True},
        "notes": {"write": True},
        "extra": {"read": True},
        "tags": {"write": True},
    },
)


@pytest.mark.parametrize(
    ("asked", "clause"),
    [
        ('home.city="Rome"', ""),
        ('home.city="Oslo"', "document_filters.write"),
        ('home={"$embedded": {}}', "fields.home.fields"),
        ("home=null", "fields.home.fields"),
        ('stops[0].city="x"', ""),
        ('stops[LAST].city="x"', ""),
        ("stops[0].marks[0]=1", "fields.stops.fields"),
        ('stops[1]={"$embedded": {}}', "fields.stops.fields"),
        ('rooms.a.city="x"', "fields.rooms.write"),
        ('rooms.b={"$embedded": {}}', "fields.rooms.write"),
        ("notes[0]=9", ""),
        ("notes[2]=9", ""),
        ("notes[0]=true", ""),  # no rule: it is a list of int
        ("extra['a key']=1", "fields.extra.write"),
        ('tags="x"', ""),
        ("year=5", "additional_fields.write"),
    ],
)
def test_explain_what_is_inside(tmp_path: Path, store: Path, asked: str, clause: str) -> None:
    """R19: embedded objects, keys and elements, by the paths of queries."""
    fill(store)
    found = explain(rules_file(tmp_path, INSIDE), store, 1, "edit", "--set", asked)
    assert found["allowed"] is (clause == "" and "true" not in asked), found
    if clause:
        assert found["rulings"] == [
            {"role": "clerk", "rule_path": "default_roles[0]", "clause": clause}
        ]


#: What leads nowhere, wherever there is nothing: lists are empty, embedded objects null.
NOWHERE = [
    ("home.city=1", "Book.home is null"),
    ("rooms=1", "name a key of Book.rooms"),
    ("rooms[0]=1", "name a key of Book.rooms"),
    ("rooms.c.city=1", "there is no object at 'c' of Book.rooms"),
    ("extra.k.x=1", "there is no object at 'k' of Book.extra"),
    ("notes=1", "name an element of Book.notes, from [0] to ["),
    ("notes[3]=1", "name an element of Book.notes, from [0] to ["),
    ("notes[-1]=1", "is no path: expected an index"),
    ("notes['a']=1", "name an element of Book.notes, from [0] to ["),
    ("notes[0].x=1", "there is no object at 0 of Book.notes"),
    ("notes[*]=1", "leads to nothing that can be written"),
    ("notes[SIZE]=1", "is no path to a property"),
    ("stops[2].city=1", "name an element of Book.stops"),
    ("year.x=1", "nothing inside of Book.year"),
    ("year[0]=1", "nothing inside of Book.year"),
    ("tags[0]=1", "nothing inside of Book.tags"),
    ("anything[0]=1", "nothing inside of Book.anything"),
    ("shelf.x=1", "nobody knows what 'shelf' is"),
    ("_id=1", "the key of an object is never written"),
    ("a b=1", "is no path"),
    ("ANY notes=1", "is no path to a property"),
    ("notes.@count=1", "is no path to a property"),
    ("home.@links.Book.x=1", "leads to nothing that can be written"),
    ("title=Emma", "'Emma' is no JSON, in which a string needs quotes"),
    ("year", "PATH=JSON is expected"),
    ('anything={"$list":[1]}', "a list or dictionary can't be asked about"),
    ('title={"$embedded":{}}', "Book.title is string, it can't hold an embedded object"),
    ('notes[0]={"$embedded":{}}', "Book.notes is list<int>, it can't hold an embedded object"),
    ('shelf={"$embedded":{}}', "nothing that is known to hold an embedded object"),
    ('title={"$erased":true}', "only the keys of a dictionary are erased"),
]
#: The same where there is nothing, and where there is something.
EMPTY = [
    ("notes[1]=1", "name an element of Book.notes, from [0] to [0], which is a new one"),
    ("notes[LAST]=1", "name an element of Book.notes, from [0] to [0], which is a new one"),
    ("stops[0].city=1", "there is no object at 0 of Book.stops"),
    ("stops[LAST].city=1", "name an element of Book.stops, from [0] to [0], which is a new one"),
]
FULL = [
    ("notes[3]=1", "name an element of Book.notes, from [0] to [2], which is a new one"),
    ("stops[1].city=1", "there is no object at 1 of Book.stops"),
    ("stops[0].marks[LAST]=1", "name an element of Place.marks, from [0] to [0]"),
    ("home[0]=1", "an object has no elements"),
    ("rooms.a[0]=1", "an object has no elements"),
]


@pytest.mark.parametrize(
    ("full", "asked", "said"),
    [(False, *each) for each in [*NOWHERE, *EMPTY]]
    + [(True, *each) for each in [*NOWHERE[1:], *FULL]],
)
def test_explain_what_leads_nowhere(
    tmp_path: Path, store: Path, asked: str, said: str, *, full: bool
) -> None:
    if full:
        fill(store)
    file = rules_file(tmp_path, role("all", write=True))
    assert said in refused(
        "rules", "explain", file, "--store", store, "--user", "ann", "--class", "Book", "--key", 1,
        "--operation", "edit", "--set", asked,
    )  # fmt: skip


@pytest.mark.parametrize("asked", ["home=5", "rooms.a=5", "stops[0]=5", "notes[LAST]=null"])
def test_explain_what_does_not_fit(tmp_path: Path, store: Path, asked: str) -> None:
    """As an upload would be judged: no rule decides it."""
    fill(store)
    found = explain(rules_file(tmp_path, role("all", write=True)), store, 1, "edit", "--set", asked)
    assert not found["allowed"]
    assert found["rulings"] == [{"role": "", "rule_path": "", "clause": ""}]
    assert ", got " in found["reasons"][0]


def test_explain_what_writes_into_what_was_made_just_before(tmp_path: Path, store: Path) -> None:
    new = '={"$embedded": {}}'
    sets = [
        f"home{new}", 'home.city="x"', "home.marks[0]=1", "home.marks[1]=1", f"home{new}",
        "home.marks[0]=1", f"rooms.a{new}", 'rooms.a.city="x"', f"stops[0]{new}",
        'stops[LAST].city="x"', "notes[0]=1", "notes[1]=2", "notes[LAST]=3",
    ]  # fmt: skip
    asked = [part for each in sets for part in ("--set", each)]
    file = rules_file(tmp_path, role("all", write=True))
    assert explain(file, store, 1, "edit", *asked)["allowed"]


def test_explain_without_a_role(tmp_path: Path, store: Path) -> None:
    admins = {**filtered(), "apply_when": {"%%user.custom_data.admin": True}}
    file = rules_file(tmp_path, admins)
    assert explain(file, store, 1, "read") == {
        "allowed": False, "role": None, "readable": [], "writable": [],
        "reasons": ["Book 1: no role in default_roles applies to you"],
        "rulings": [{"role": "", "rule_path": "default_roles", "clause": ""}],
    }  # fmt: skip
    assert explain(file, store, 1, "read", "--custom-data", '{"admin": true}')["allowed"]


def test_explain_says_what_it_can_not_answer(tmp_path: Path, store: Path) -> None:
    file = rules_file(tmp_path, filtered())
    asked = ["rules", "explain", file, "--store", store, "--user", "a", "--operation"]
    book = ["--class", "Book", "--key"]
    assert "there is no Book 9 to read" in refused(*asked, "read", *book, 9)
    assert "1 is there already" in refused(*asked, "insert", *book, 1)
    assert "has no class 'Shelf'" in refused(*asked, "read", "--class", "Shelf", "--key", 1)
    assert "--set 'year'" in refused(*asked, "edit", *book, 1, "--set", "year")
    assert "no JSON" in refused(*asked, "read", *book, 1, "--custom-data", "{")


def test_explaining_writes_nothing(tmp_path: Path, store: Path) -> None:
    file = rules_file(tmp_path, filtered())
    before = store.read_bytes()
    explain(file, store, 1, "delete")
    assert store.read_bytes() == before
