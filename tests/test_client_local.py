"""Client files on disk: opened, reopened, shared with other processes; the package's own names."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from library import Author, Book

import replication
from replication.client.restamp import adopt
from replication.clock import ms_from_time, ms_from_unix
from replication.errors import (
    NoTransactionError,
    SchemaError,
    StoreBusyError,
    StoreError,
)
from replication.model.declare import EmbeddedObject, Object, schema_of
from replication.net.local import open_database


def run(code: str, *args: object) -> str:
    """What another process prints."""
    program = textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "client.db"
    with open_database(path, Book) as db, db.write():
        db.create(Book, _id=1, title="T", numbers=range(600), visited=[{"number": 3}])
    with open_database(path, Book, Author) as db:
        book = db.get(Book, 1)
        assert book is not None
        assert (book.title, len(book.numbers), book.visited[0].number) == ("T", 600, 3)
        assert db.local.client_version == 2
        with db.write():
            book.visited[0].number = 4
    with open_database(path) as db:
        assert db.get("Book", 1).visited[0].number == 4
        assert db.local.client_version == 3


def test_a_file_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "client.db"
    with open_database(path, Book) as db:
        with db.write():
            db.create(Book, _id=1, tags=["a", "b"])
        left = db.local
    assert (left.client_version, left.sequence) == (2, 2)
    with open_database(path, Book) as db:
        assert db.local == left
        with db.integrating() as work:
            adopt(work, 5, 7)
        with db.write() as transaction:
            transaction.edit("Book", 1).scope().set("title", "x")
            assert transaction.author.stamp > (left.clock, 5)
        left = db.local
    assert left.ident == 5
    with open_database(path, Book) as db:
        assert db.local == left
        with db.write():
            db.get("Book", 1).tags.append("c")
        assert db.entities.entity("Book", 1).listing((), "tags").ids == [(5, 1), (5, 2), (5, 3)]


def test_stamps_follow_the_wall_clock(tmp_path: Path) -> None:
    with open_database(tmp_path / "client.db", Book) as db:
        before = ms_from_unix(time.time())
        with db.write():
            db.create(Book, _id=1)
        assert before <= ms_from_time(db.local.clock) <= ms_from_unix(time.time())


def test_schemas(tmp_path: Path) -> None:
    with open_database(tmp_path / "a.db", schema_of(Book)) as db:
        assert "Author" in db.schema
    with pytest.raises(SchemaError, match="or one schema, not both"):
        open_database(tmp_path / "b.db", Book, schema_of(Book))
    other = type("Book", (Object,), {"__annotations__": {"_id": int, "title": int}})
    with pytest.raises(SchemaError, match=r"contradicts what this file holds: .*Book\.title"):
        open_database(tmp_path / "a.db", other)
    # The failure left the file unlocked and as it was.
    with open_database(tmp_path / "a.db") as db:
        assert db.schema["Book"]["title"].spelling == "string"
    with open_database(tmp_path / "c.db") as db:
        assert len(db.schema) == 0


def test_a_schema_grows(tmp_path: Path) -> None:
    class Small(EmbeddedObject):
        a: int

    with open_database(tmp_path / "a.db", Author) as db, db.write():
        db.create(Author, _id=1, name="Ann")
    grown = type(
        "Author",
        (Object,),
        {"__annotations__": {"_id": int, "name": str, "age": int, "small": Small | None}},
    )
    with open_database(tmp_path / "a.db", grown) as db:
        author = db.get("Author", 1)
        assert (author.name, author.age, author.small) == ("Ann", 0, None)
        with db.write():
            author.small = {"a": 1}
        assert author.small.a == 1
        assert "books" not in author.to_dict()
        assert "books" in db.known_schema["Author"].properties


WRITER = """
    import sys
    from replication.errors import StoreBusyError
    from replication.net.local import open_database
    try:
        open_database(sys.argv[1]).close()
        print("opened")
    except StoreBusyError as error:
        print(error)
"""

READER = """
    import sys
    from replication.net.local import open_database
    with open_database(sys.argv[1], read_only=True) as db:
        book = db.get("Book", 1)
        print(book.year, len(book.numbers), flush=True)
        sys.stdin.readline()
        print(book.year, db.get("Book", 1).year, len(book.numbers), db.get("Book", 2), flush=True)
        print(len(db.objects("Book")), db.objects("Book").count())
"""


def test_a_second_process_may_not_write(tmp_path: Path) -> None:
    path = tmp_path / "client.db"
    with open_database(path, Book):
        assert "is open for writing in process" in run(WRITER, path)
        with pytest.raises(StoreBusyError, match="open it read-only here"):
            open_database(path)
    assert run(WRITER, path) == "opened"


def test_a_reading_process_sees_one_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "client.db"
    with open_database(path, Book) as db:
        with db.write():
            book: Any = db.create(Book, _id=1, year=1, numbers=range(600))
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(READER), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "1 600\n"
            with db.write():  # while that one reads
                book.year = 2
                book.numbers.append(1)
                db.create(Book, _id=2)
            out, _ = reader.communicate("\n")
        assert out == "1 1 600 None\n1 1\n"
        assert reader.returncode == 0


def test_reading_only(tmp_path: Path) -> None:
    path = tmp_path / "client.db"
    with pytest.raises(StoreError):
        open_database(path, read_only=True)
    with open_database(path, Book) as db, db.write():
        db.create(Book, _id=1, title="T")
    with open_database(path, Book, read_only=True) as db:
        assert [book.title for book in db.objects(Book, "title == 'T'")] == ["T"]
        with pytest.raises(NoTransactionError, match="opened read-only"), db.write():
            pass


def test_a_killed_writer_leaves_whole_transactions(tmp_path: Path) -> None:
    path = tmp_path / "client.db"
    code = """
        import os, signal, sys
        from replication.model.declare import Object, Counter
        from replication.net.local import open_database
        class Pair(Object):
            _id: int
            left: int
            right: int
            edits: Counter
        db = open_database(sys.argv[1], Pair)
        with db.write():
            pair = db.create(Pair, _id=1)
        print("ready", flush=True)
        number = 0
        while True:
            number += 1
            with db.write():
                pair.left = number
                pair.edits += 1
                pair.right = number
            print(number, flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        last = 0
        for line in writer.stdout:
            if line.strip().isdigit():
                last = int(line)
            if last == 20:
                writer.kill()
                break
        last = max([last, *(int(line) for line in writer.stdout if line.endswith("\n"))])
    with open_database(path) as db:
        pair = db.get("Pair", 1)
        assert pair.left == pair.right == pair.edits
        assert pair.left in (last, last + 1)  # what was acknowledged, and maybe one more
        assert db.local.client_version == 2 + pair.left


# -- the package's own names ---------------------------------------------------------------------


def test_public_names() -> None:
    names = replication.__all__
    assert names == sorted(names)
    assert len(names) == len(set(names)) <= 40
    for name in names:
        assert getattr(replication, name).__name__ == name or name == "Mixed", name
        assert name in dir(replication)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        replication.Nothing  # noqa: B018


def test_importing_the_package_loads_nothing_else() -> None:
    code = """
        import sys
        before = set(sys.modules)
        import replication
        print(sorted(each for each in set(sys.modules) - before if "replication" in each))
        replication.Database, replication.open_database
        print(sorted({"trio", "pycrdt", "pymongo", "asyncio"} & set(sys.modules)))
    """
    assert run(code) == "['replication']\n[]"
