"""The demo, end to end: real processes, and the check that can fail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from replication.cli.demo.agreement import compare
from replication.cli.demo.library import COLUMNS, load
from replication.cli.stores import writing
from replication.errors import UsageError
from replication.model.encoding import pack, unpack_trusted
from tests.command_line import data_file, ok, refused


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    said = ok("demo", "--keep", folder / "files").out
    (folder / "said").write_text(said)
    return folder


def test_the_demo_tells_its_story_and_agrees(kept: Path) -> None:
    said = (kept / "said").read_text()
    last = said.rstrip().splitlines()[-1]
    assert last.startswith("All 4 devices and the server agree byte for byte on 350 objects.")
    for words in ("kill -9", "last writer wins", "increments add up", "a delete beats", "enters"):
        assert words in said
    assert "\x1b" not in said  # colours are for terminals


def replicas(kept: Path) -> tuple[Path, dict[str, Path]]:
    files = kept / "files"
    names = ("laptop", "tablet", "phone", "kiosk")
    return files / "server" / "library.db", {name: files / f"{name}.db" for name in names}


def test_the_files_can_be_looked_at_afterwards(kept: Path) -> None:
    server, devices = replicas(kept)
    (book,) = ok("query", devices["kiosk"], "Book", "shelf == 'classics'", "--json").lines
    assert (book["title"], book["loans"]) == ("Don Quixote", 17)
    assert book["notes"][0] == "chapter 2"
    told = ok("inspect", server, "objects", "Book", "2", "--json").json["state"]
    assert told["alive"] is False
    assert len(ok("inspect", server, "cursors", "--json").lines) == 4


def test_every_replica_is_held_against_the_server(kept: Path) -> None:
    found = {each.name: each for each in compare(*replicas(kept))}
    assert all(each.agrees for each in found.values())
    assert found["phone"].objects < found["server"].objects == found["tablet"].objects
    assert len({found[name].fingerprint for name in ("server", "laptop", "tablet", "kiosk")}) == 1
    assert found["tablet"].states == 350


def tampered(kept: Path, tmp_path: Path, name: str) -> tuple[Path, dict[str, Path]]:
    server, devices = replicas(kept)
    shutil.copy(devices[name], tmp_path / f"{name}.db")
    return server, {name: tmp_path / f"{name}.db"}


def test_the_check_sees_another_value(kept: Path, tmp_path: Path) -> None:
    server, devices = tampered(kept, tmp_path, "tablet")
    with writing(devices["tablet"]) as db, db.write():
        db.get("Book", 7)["title"] = "Another title"
    found = compare(server, devices)[1]
    assert not found.agrees
    assert "shows another value" in found.differences[0]
    assert found.pending == 1


def test_the_check_sees_another_stamp(kept: Path, tmp_path: Path) -> None:
    server, devices = tampered(kept, tmp_path, "kiosk")
    with writing(devices["kiosk"]) as db, db.store.write() as writer:
        row = writer.get_object("Author", "Franz Kafka")
        assert row is not None
        state = unpack_trusted(row.head)
        state[3][0][0][0] += 1
        writer.put_object("Author", "Franz Kafka", row.version, pack(state), {})
    found = compare(server, devices)[1]
    assert [each.endswith("behind the same value") for each in found.differences] == [True]


def test_the_check_sees_what_is_missing_and_what_is_too_much(kept: Path, tmp_path: Path) -> None:
    server, devices = tampered(kept, tmp_path, "phone")
    with writing(devices["phone"]) as db, db.store.write() as writer:
        stored = next(iter(writer.scan("Book")))
        writer.delete_object("Book", stored.key)
        writer.put_object("Book", 1_000_000, stored.version, stored.head, {})
    found = compare(server, devices)[1]
    assert sorted(each.split()[-1] for each in found.differences) == ["here", "missing"]


# -- its data ------------------------------------------------------------------------------------
def test_the_facts_the_project_holds() -> None:
    library = load(None)
    assert len(library.books) == 197
    assert all(each.authors and each.year and each.language for each in library.books)
    assert library.born["Jane Austen"] == 1775
    assert library.born["Elena Ferrante"] is None
    assert library.language == "fre"
    young = [
        b for b in library.books if any((library.born[a] or 0) + 15 > b.year for a in b.authors)
    ]
    assert [each.title for each in young] == []  # nobody wrote a book as a child


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\n", "has no column 'book_id'"),
        (",".join(COLUMNS) + "\nx,t,a,1900,eng\n", "book_id 'x' is no whole number"),
        (",".join(COLUMNS) + "\n1,t,a,1900,eng\n", "holds 1 books; the demo needs 20"),
        (
            ",".join(COLUMNS) + "\n1,t,a,1900,eng\n" * 2,
            "book_id 1 is missing or stands there twice",
        ),
    ],
)
def test_data_that_the_demo_can_not_use(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "books.csv"
    path.write_text(text)
    assert sentence in refused("demo", "--data", path)
    with pytest.raises(UsageError):
        load(path)


def test_the_demo_starts_from_nothing(kept: Path) -> None:
    assert "is not empty" in refused("demo", "--keep", kept / "files")


def test_a_hundred_of_ten_thousand_books() -> None:
    found = json.loads(ok("demo", "--data", data_file("books.csv"), "--fast", "--json").out)
    assert (found["agree"], found["wrong"]) == (True, [])
    assert found["messages_after_kill"] > 1
