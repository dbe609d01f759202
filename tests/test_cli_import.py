"""`replication import`: what comes out of a file, and what is said of one that does not fit."""

from __future__ import annotations

import csv
import datetime
import json
import uuid
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.regex import Regex

from tests.command_line import data_file, ok, refused, run

BOOKS = """\
book_id,title,authors,year,isbn,rating
1,Dune,Frank Herbert,1965,0441013597,4.25
2,Roadside Picnic,"Arkady Strugatsky, Boris Strugatsky",1972,,4.17
3,"Emma,
or what",Jane Austen,,0141439587,4
"""


@pytest.fixture
def books(tmp_path: Path) -> Path:
    path = tmp_path / "books.csv"
    path.write_text(BOOKS)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "books.db"


def objects(store: Path, class_name: str, *arguments: str) -> list[dict[str, Any]]:
    return ok("query", store, class_name, *arguments, "--json").lines


def dump(path: Path, *documents: dict[str, Any]) -> Path:
    path.write_bytes(b"".join(bson.encode(each) for each in documents))
    return path


def lines(path: Path, *items: Any) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


# -- CSV ----------
def test_csv(books: Path, store: Path) -> None:
    types = "authors=list<string>"
    done = ok("import", books, "--into", store, "--key", "book_id", "--types", types, "--json").json
    assert (done["created"], done["transactions"], done["skipped"]) == (3, 1, [])
    assert done["schema"]["Books"] == {
        "key": "int",
        "properties": {
            "authors": "list<string>",
            "isbn": "string?",
            "rating": "double",
            "title": "string",
            "year": "int?",
        },
        "queryable": [],
    }
    first, second, third = objects(store, "Books")
    assert first == {
        "_id": 1,
        "authors": ["Frank Herbert"],
        "isbn": "0441013597",  # a leading zero: an identifier, not a number
        "rating": 4.25,
        "title": "Dune",
        "year": 1965,
    }
    assert second["authors"] == ["Arkady Strugatsky", "Boris Strugatsky"]
    assert (third["title"], third["rating"], third.get("year")) == ("Emma,\nor what", 4.0, None)


def test_what_is_imported_waits_to_be_uploaded(books: Path, store: Path) -> None:
    said = ok("import", books, "--into", store, "--class", "Book", "--key", "book_id").out
    assert "3 objects created, in 1 transaction" in said
    assert "replication sync" in said
    # One changeset declares the class, one holds the objects.
    summary = ok("inspect", store, "--json").json
    assert (summary["kind"], summary["unsent"], summary["ident"]) == ("client", 2, 0)


def test_many_rows_are_several_transactions(tmp_path: Path, store: Path) -> None:
    path = lines(tmp_path / "n.jsonl", *({"_id": n} for n in range(1201)))
    done = ok("import", path, "--into", store, "--json").json
    assert (done["created"], done["transactions"]) == (1201, 3)


def test_queryable_fields_get_columns(books: Path, store: Path) -> None:
    ok("import", books, "--into", store, "--key", "book_id", "--queryable", "year, title")
    assert ok("inspect", store, "objects", "--json").json["queryable"] == ["title", "year"]
    assert "did you mean year" in refused(
        "import", books, "--into", store, "--key", "book_id", "--queryable", "yaer"
    )


def test_fields_are_left_out(books: Path, store: Path) -> None:
    ok("import", books, "--into", store, "--key", "book_id", "--without", "isbn,rating")
    assert set(objects(store, "Books")[0]) == {"_id", "authors", "title", "year"}


# -- JSON lines and BSON ----------
def test_json_lines(tmp_path: Path, store: Path) -> None:
    path = lines(
        tmp_path / "things.jsonl",
        {"_id": "a", "at": {"$date": "2020-02-01T00:00:00Z"}, "n": {"$numberLong": "7"}},
        {"_id": "b", "at": {"$ts": [1, 5]}, "n": 8, "o": {"$oid": "5" * 24}},
    )
    ok("import", path, "--into", store)
    first, second = objects(store, "Things")
    assert first == {"_id": "a", "at": {"$ts": [1580515200, 0]}, "n": 7}
    assert second == {"_id": "b", "at": {"$ts": [1, 5]}, "n": 8, "o": {"$oid": "5" * 24}}


def test_bson_of_every_type(tmp_path: Path, store: Path) -> None:
    key, number = ObjectId(), uuid.uuid4()
    document = {
        "_id": key,
        "when": datetime.datetime(1960, 1, 1, tzinfo=datetime.UTC),
        "price": Decimal128("1.50"),
        "big": Int64(2**40),
        "number": bson.Binary.from_uuid(number),
        "data": b"\x00\xff",
        "inner": {"x": 1.5, "deep": {"y": True}},
        "tags": ["a", "b"],
    }
    ok("import", dump(tmp_path / "all.bson", document), "--into", store)
    assert objects(store, "All") == [
        {
            "_id": {"$oid": str(key)},
            "big": 2**40,
            "data": {"$bin": "00ff"},
            "inner": {"deep": {"y": True}, "x": 1.5},
            "number": {"$uuid": str(number)},
            "price": {"$dec": "1.50"},
            "tags": ["a", "b"],
            "when": {"$ts": [-315619200, 0]},
        }
    ]


def test_many_distinct_keys_with_values_of_one_shape_are_a_dictionary(
    tmp_path: Path, store: Path
) -> None:
    documents = [{"_id": n, "tiers": {f"{n:032x}": {"tier": "gold", "id": n}}} for n in range(40)]
    done = ok("import", dump(tmp_path / "c.bson", *documents), "--into", store, "--json").json
    assert done["schema"]["C"]["properties"]["tiers"] == "dict<embedded:C_tiers>"
    assert "'tiers' is a dictionary" in done["notes"][0]
    assert objects(store, "C", "_id == 7") == [
        {"_id": 7, "tiers": {f"{7:032x}": {"id": 7, "tier": "gold"}}}
    ]


# -- again ----------
def test_a_second_file_is_read_as_the_types_that_are_known(books: Path, store: Path) -> None:
    ok("import", books, "--into", store, "--class", "Book", "--key", "book_id")
    books.write_text("book_id,title,year,isbn\n4,2001,1968,0451457994\n5,Ubik,1969,12\n")
    ok("import", books, "--into", store, "--class", "Book", "--key", "book_id")
    fourth, fifth = objects(store, "Book", "_id > 3")
    assert (fourth["title"], fifth["isbn"]) == ("2001", "12")


def test_importing_twice_needs_update(books: Path, store: Path) -> None:
    command = ("import", books, "--into", store, "--key", "book_id")
    ok(*command)
    assert refused(*command) == "books.csv, row 2: Books 1 exists already; --update writes over it"
    done = ok(*command, "--update", "--json").json
    assert (done["created"], done["updated"], done["unchanged"]) == (0, 0, 3)
    assert done["transactions"] == 0
    books.write_text(BOOKS.replace("Dune", "Dune Messiah") + "4,Ubik,Philip K. Dick,1969,,4\n")
    done = ok(*command, "--update", "--json").json
    assert (done["created"], done["updated"], done["unchanged"]) == (1, 1, 2)
    history = ok("inspect", store, "history", "--json").lines[-1]["objects"]
    assert [each["key"] for each in history] == [1, 4]
    assert [field["name"] for field in history[0]["delta"]["fields"]] == ["title"]


def test_update_of_collections(tmp_path: Path, store: Path) -> None:
    first = {"_id": 1, "l": [1, 2], "d": {"00000001": 1}, "e": {"x": 1, "z": 2}, "k": 1}
    path = lines(tmp_path / "t.jsonl", first)
    ok("import", path, "--into", store)
    ok("import", lines(path, first), "--into", store, "--update")
    assert len(ok("inspect", store, "history", "--json").lines) == 2
    changed = {"_id": 1, "l": [2], "d": {"00000002": 2}, "e": {"x": 3, "z": 2}}
    lines(path, changed)
    ok("import", path, "--into", store, "--update")
    assert objects(store, "T") == [{**changed, "k": 1}]


# -- what does not fit ----------
def left(store: Path) -> int:
    return len(objects(store, "Books")) if store.exists() else 0


@pytest.mark.parametrize(
    ("text", "types", "sentence"),
    [
        ("_id,n\n1,2\n2,x\n", "n=int", "row 3: field 'n': Books.n is int, got 'x'"),
        ("_id,n\n1,2\n1,3\n", "", "row 3: key 1 stands in row 2 already"),
        ("_id,n\n1,2\n,3\n", "", "row 3: field '_id', the primary key, is missing"),
        ("_id,n\n1,2\n2,3,4\n", "", "row 3: 3 fields, but the first row names 2"),
        ('_id,n\n1,2\n2,"3\n', "", "row 3: not CSV"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_imported(
    tmp_path: Path, store: Path, text: str, types: str, sentence: str
) -> None:
    path = tmp_path / "books.csv"
    path.write_text(text)
    told = refused("import", path, "--into", store, "--types", types)
    assert told.startswith("books.csv, ")
    assert sentence in told
    assert left(store) == 0


def test_bytes_that_are_no_text(tmp_path: Path, store: Path) -> None:
    path = tmp_path / "books.csv"
    path.write_bytes(b"_id,n\n1,2\n2,\xff\n")
    assert "books.csv, row 3: not UTF-8 at byte 2" in refused("import", path, "--into", store)


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ([1], "row 2: [1] is no object with fields"),
        ({"_id": 2, "n": {"$oid": "xyz"}}, "row 2: field 'n': $oid holds 24 hex digits"),
        ({"_id": 2, "n": {"$date": "soon"}}, "is no date"),
        ({"_id": 2, "n": 2**70}, "row 2: field 'n'"),
        ({"_id": None, "n": 1}, "row 2: field '_id', the primary key, is missing"),
    ],
)
def test_bad_lines_of_json(tmp_path: Path, store: Path, item: Any, sentence: str) -> None:
    path = lines(tmp_path / "books.jsonl", {"_id": 1, "n": 1}, item)
    assert sentence in refused("import", path, "--into", store)
    assert left(store) == 0


def test_lines_that_are_no_json(tmp_path: Path, store: Path) -> None:
    path = tmp_path / "books.json"
    path.write_text('{"_id": 1}\n[\n')
    assert "row 2: not a line of JSON" in refused("import", path, "--into", store)
    assert "each line holds one object" in refused("import", path, "--into", store)


def test_bson_that_is_cut_off(tmp_path: Path, store: Path) -> None:
    path = dump(tmp_path / "books.bson", {"_id": 1}, {"_id": 2})
    path.write_bytes(path.read_bytes()[:-3])
    assert "row 2: cut off" in refused("import", path, "--into", store)
    path.write_bytes(b"\xff\xff\xff\xff12345")
    assert "row 1: no BSON document begins here" in refused("import", path, "--into", store)


def test_bson_that_has_no_place_here(tmp_path: Path, store: Path) -> None:
    path = dump(tmp_path / "books.bson", {"_id": 1, "like": Regex("a.*")})
    told = refused("import", path, "--into", store)
    assert "books.bson, row 1: field 'like':" in told
    assert "Regex" in told


def test_collections_inside_mixed_are_kept(tmp_path: Path, store: Path) -> None:
    mixed = [1, "a", [2, {"z": 1, "b": [None]}]]
    path = lines(tmp_path / "books.jsonl", {"_id": 1, "m": mixed}, {"_id": 2, "m": []})
    ok("import", path, "--into", store)
    assert [each.get("m") for each in objects(store, "Books")] == [mixed, None]
    done = ok("import", path, "--into", store, "--update", "--json").json
    assert (done["unchanged"], done["updated"]) == (2, 0)


def test_bad_rows_are_skipped_and_listed(tmp_path: Path, store: Path) -> None:
    path = tmp_path / "books.csv"
    path.write_text("_id,n\n1,2\n2,x\n,5\n1,6\n3,4,5\n4,8\n")
    command = ("import", path, "--into", store, "--types", "n=int", "--skip-bad")
    done = ok(*command, "--json").json
    assert [each["row"] for each in done["skipped"]] == [3, 4, 5, 6]
    assert [each["_id"] for each in objects(store, "Books")] == [1, 4]
    told = run(*command)
    assert "skipped books.csv, row 4: field '_id', the primary key, is missing" in told.err
    assert "6 rows skipped" in told.out  # 1 and 4 are there already


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--key", "isbn"], "the primary key, is missing"),
        (["--key", "id"], "the primary key, is missing; there are 'book_id', 'title'"),
        (["--types", "title"], "'title' is not FIELD=TYPE"),
        (["--key", "book_id", "--types", "title=text?"], "'text?' is no type"),
        (["--key", "book_id", "--types", "nix=int"], "there is no field 'nix'"),
        (["--key", "book_id", "--class", "A<B"], "'A<B' is no class name"),
    ],
)
def test_impossible_wishes(books: Path, store: Path, arguments: list[str], sentence: str) -> None:
    assert sentence in refused("import", books, "--into", store, *arguments)
    assert not store.exists()


def test_a_name_that_does_not_tell_the_format(tmp_path: Path, books: Path, store: Path) -> None:
    other = books.rename(tmp_path / "books.txt")
    assert "--format" in refused("import", other, "--into", store)
    ok("import", other, "--into", store, "--key", "book_id", "--format", "csv")


def test_an_empty_file(tmp_path: Path, store: Path) -> None:
    path = tmp_path / "books.csv"
    path.touch()
    assert "books.csv is empty" in refused("import", path, "--into", store)
    path.write_text("_id,n\n")
    assert "no documents" in refused("import", path, "--into", store)


def subscribed(store: Path) -> list[str]:
    found = ok("subscribe", store, "--json").json["subscriptions"]
    return [f"{each['class']} {each['query']}" for each in found]


def test_the_file_subscribes_to_what_it_imports(books: Path, store: Path) -> None:
    command = ("import", books, "--into", store, "--class", "Book", "--key", "book_id")
    ok(*command)
    assert subscribed(store) == ["Book TRUEPREDICATE"]
    ok("subscribe", store, "--clear", "Book", "year > 1970")
    ok(*command, "--update")
    assert subscribed(store) == ["Book year > 1970"]


def test_what_is_only_uploaded_needs_no_subscription(books: Path, store: Path) -> None:
    command = ("import", books, "--into", store, "--key", "book_id", "--upload-only", "--class")
    ok(*command, "Book")
    assert subscribed(store) == []
    ok("subscribe", store, "Author")
    assert "replication subscribe" in refused(*command, "Other")


def test_a_store_that_another_program_writes(books: Path, store: Path) -> None:
    from replication.cli.stores import writing

    with writing(store):
        told = refused("import", books, "--into", store, "--key", "book_id")
    assert str(store) in told


# -- real data ----------
def test_ten_thousand_books(store: Path) -> None:
    path = data_file("books.csv")
    types = "authors=list<string>,isbn13=string?"
    arguments = ("--class", "Book", "--key", "book_id", "--types", types, "--json")
    done = ok("import", path, "--into", store, *arguments).json
    assert (done["created"], done["transactions"], done["skipped"]) == (10_000, 20, [])
    assert done["schema"]["Book"]["properties"]["isbn"] == "string?"
    with path.open(encoding="utf-8", newline="") as table:
        wanted = sum("J.K. Rowling" in row["authors"].split(", ") for row in csv.DictReader(table))
    rowling = ok("query", store, "Book", 'ANY authors == "J.K. Rowling"', "--count").out
    assert int(rowling) == wanted > 10


def test_customers_hold_dictionaries(store: Path) -> None:
    done = ok("import", data_file("customers.bson"), "--into", store, "--json").json
    assert done["created"] == 500
    kind = done["schema"]["Customers"]["properties"]["tier_and_details"]
    assert kind == "dict<embedded:Customers_tier_and_details>"
