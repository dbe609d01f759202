"""`replication query` and `replication inspect`: what a store says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from replication.cli.stores import writing
from replication.model.declare import Counter, EmbeddedObject, Object, schema_of
from tests.command_line import ok, refused, run


class Place(EmbeddedObject):
    """Where something is."""

    city: str
    zip: str


class Author(Object):
    """Somebody."""

    _id: str
    born: int | None


class Book(Object):
    """A book of every kind of property."""

    _id: int
    title: str
    year: int | None
    author: Author | None
    tags: set[str]
    notes: list[str]
    loans: Counter
    shelf: dict[str, int]
    printed: Place | None


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("query") / "books.db"
    with writing(path, schema_of(Book)) as db:
        with db.write():
            herbert = db.create("Author", _id="Herbert", born=1920)
            dune = db.create(
                "Book",
                _id=1,
                title="Dune",
                year=1965,
                author=herbert,
                tags={"sand", "worms"},
                notes=["long", "read again"],
                shelf={"a": 1},
                printed={"city": "Philadelphia"},
            )
            dune.add("loans", 3)
            db.create("Book", _id=2, title="Emma \x1b[31mred\x1b[0m", year=1815)
            db.create("Book", _id=3, title="Untitled")
        with db.write():
            del dune["notes"][0]
            dune.add("loans", -1)
            db.delete(db.get("Book", 3))
        with db.subscriptions.edit() as edited:
            edited.add("Book", "year < 1900", name="old")
    return path


# -- query ---------------------------------------------------------------------------------------
def test_query_as_json(store: Path) -> None:
    first, second = ok("query", store, "Book", "--json").lines
    assert first == {
        "_id": 1,
        "author": {"$link": ["Author", "Herbert"]},
        "loans": 2,
        "notes": ["read again"],
        "printed": {"city": "Philadelphia"},
        "shelf": {"a": 1},
        "tags": ["sand", "worms"],
        "title": "Dune",
        "year": 1965,
    }
    assert second["_id"] == 2


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("TRUEPREDICATE", [1, 2]),
        ("year > 1900", [1]),
        ('ANY tags == "sand" OR year == 1815', [1, 2]),
        ("_id == 2", [2]),
        ("notes.@count == 0", [2]),
        ("title BEGINSWITH 'X'", []),
        ("author._id == 'Herbert'", [1]),
        ("printed.city == 'Philadelphia' AND shelf.a == 1", [1]),
        ("TRUEPREDICATE SORT(year ASC)", [2, 1]),
        ("TRUEPREDICATE SORT(year ASC) LIMIT(1)", [2]),
    ],
)
def test_queries(store: Path, query: str, keys: list[int]) -> None:
    assert [each["_id"] for each in ok("query", store, "Book", query, "--json").lines] == keys
    assert ok("query", store, "Book", query, "--count").out == f"{len(keys)}\n"
    assert ok("query", store, "Book", query, "--count", "--json").json == {"count": len(keys)}


def test_explain(store: Path) -> None:
    text = "year == 1965 AND author._id == 'Herbert' SORT(title DESC)"
    steps = ok("query", store, "Book", text, "--explain", "--json").json["plan"]
    assert steps[-2:] == ["follow links from each of these rows", "SORT(title DESC), in memory"]
    assert ok("query", store, "Book", text, "--explain").out.splitlines() == steps


def test_sorted_cut_and_narrowed(store: Path) -> None:
    found = ok("query", store, "Book", "--sort", "-year", "--fields", "year", "--json").lines
    assert found == [{"_id": 1, "year": 1965}, {"_id": 2, "year": 1815}]
    found = ok("query", store, "Book", "--sort", "year,title", "--limit", "1", "--json").lines
    assert [each["_id"] for each in found] == [2]


def test_a_table_for_people(store: Path) -> None:
    ran = run("query", store, "Book", "--fields", "title,year")
    assert ran.out.splitlines()[0].split() == ["_id", "title", "year"]
    assert "Dune" in ran.out
    assert ran.err == "2 objects\n"
    assert "1 of" not in ran.err
    assert "the first 1" in run("query", store, "Book", "--limit", "1").err


def test_what_a_store_holds_does_not_act_on_the_terminal(store: Path) -> None:
    shown = ok("query", store, "Book", "--fields", "title").out
    assert "\x1b" not in shown
    assert r"Emma \x1b[31mred\x1b[0m" in shown
    assert "\x1b" not in ok("inspect", store, "objects", "Book", "2").out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["Bok"], "has no class 'Bok'; it holds Author, Book"),
        (["Book", "yeer > 3"], "yeer: no such field"),
        (["Book", "year >"], "at position"),
        (["Book", "year == 'a'"], "year"),
        (["Book", "--sort", "titel"], "did you mean title"),
    ],
)
def test_what_can_not_be_asked(store: Path, arguments: list[str], sentence: str) -> None:
    assert sentence in refused("query", store, *arguments)


def test_a_file_that_is_being_written_can_be_looked_at(store: Path) -> None:
    def look() -> None:
        with writing(store) as db, db.write():
            db.create("Book", _id=9, title="unseen")
            keys = [each["_id"] for each in ok("query", store, "Book", "--json").lines]
            assert keys == [1, 2]
            assert ok("inspect", store, "--json").json["classes"][1]["objects"] == 2
            raise ZeroDivisionError  # so that it leaves no trace

    with pytest.raises(ZeroDivisionError):
        look()


# -- inspect -------------------------------------------------------------------------------------
def test_summary(store: Path) -> None:
    summary = ok("inspect", store, "--json").json
    assert summary["kind"] == "client"
    assert {each["class"]: each["objects"] for each in summary["classes"]} == {
        "Author": 1,
        "Book": 2,
    }
    assert (summary["ident"], summary["cursor"], summary["journal"]) == (0, 0, 0)
    assert "a client file" in ok("inspect", store).out


def test_one_object_with_its_stamps(store: Path) -> None:
    told = ok("inspect", store, "objects", "Book", "1", "--json").json
    assert (told["class"], told["key"], told["state"]["length"]) == ("Book", 1, 1)
    fields = {each["name"]: each for each in told["state"]["fields"]}
    assert fields["title"]["value"] == "Dune"
    assert fields["title"]["stamp"][1] == 0  # nobody has named this file yet
    assert fields["loans"] == {"name": "loans", "kind": "counter", "total": 2}
    assert [each["value"] for each in fields["notes"]["elements"]] == ["read again"]
    assert len(fields["notes"]["erased"]) == 1
    assert {each["value"] for each in fields["tags"]["members"]} == {"sand", "worms"}
    assert fields["printed"]["fields"][0]["value"] == "Philadelphia"
    assert len(told["pending"]) == 2
    people = ok("inspect", store, "objects", "Book", "1").out
    assert "title = Dune" in people
    assert "loans -1" in people


def test_a_deleted_object_leaves_its_length(store: Path) -> None:
    told = ok("inspect", store, "objects", "Book", "3", "--json").json
    assert told["state"] == {"alive": False, "length": 2, "fields": []}
    assert "deleted" in ok("inspect", store, "objects", "Book", "3").out


def test_keys_of_a_class(store: Path) -> None:
    found = ok("inspect", store, "objects", "Book", "--json").lines
    assert [(each["key"], each["alive"]) for each in found] == [(1, True), (2, True), (3, False)]
    assert len(ok("inspect", store, "objects", "Book", "--limit", "2", "--json").lines) == 2


def test_history_of_a_client_file(store: Path) -> None:
    found = ok("inspect", store, "history", "--json").lines
    assert [each["client_version"] for each in found][:3] == [1, 2, 3]
    assert set(found[0]["schema"]) == {"Author", "Book", "Place"}
    assert [(each["class"], each["key"]) for each in found[1]["objects"]] == [
        ("Author", "Herbert"), ("Book", 1), ("Book", 2), ("Book", 3)
    ]  # fmt: skip
    assert len(ok("inspect", store, "history", "--from", "3", "--limit", "1", "--json").lines) == 1
    assert "erased" in ok("inspect", store, "history").out


def test_cursors_subscriptions_and_journal(store: Path) -> None:
    (cursors,) = ok("inspect", store, "cursors", "--json").lines
    assert (cursors["acknowledged"], cursors["cursor"], cursors["staged_messages"]) == (0, 0, 0)
    (asked,) = ok("inspect", store, "subscriptions", "--json").lines
    assert asked["subscriptions"] == [{"class": "Book", "query": "year < 1900", "name": "old"}]
    assert asked["state"] == "pending"
    assert ok("inspect", store, "journal", "--json").out == ""
    assert ok("inspect", store, "journal").out == "nothing\n"


def test_the_schema_as_a_server_reads_it(store: Path) -> None:
    from replication.model.json_schema import from_json_schema

    found = json.loads(ok("inspect", store, "schema", "--json").out)
    assert from_json_schema(found["schemas"], found["relationships"]) == schema_of(Book)
    assert "author: link:Author" in ok("inspect", store, "schema").out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["objects", "Book", "x"], "'x' is no key of Book: its keys are int"),
        (["objects", "Book", "77"], "holds no Book 77"),
        (["objects", "Nix"], "has no class 'Nix'"),
        (["schema", "Book"], "only `objects` takes a class"),
    ],
)
def test_what_can_not_be_inspected(store: Path, arguments: list[str], sentence: str) -> None:
    assert sentence in refused("inspect", store, *arguments)
