"""Rows that lack what was typed last: nobody sees that they do."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from client_files import check, contents
from command_line import ok
from worlds import LIBRARY

from replication.client.database import Database
from replication.client.results import ObjectChange
from replication.client.text_editor import Texts, write_updates
from replication.client.text_observation import TextChange
from replication.crdt.text import empty_text
from replication.crdt.view import query_values
from replication.model.declare import EmbeddedObject, Object, Text, declaration_of
from replication.simulation.shown import shown
from replication.storage.contract import Reader
from replication.storage.memory import MemoryStore
from replication.storage.sqlite import SQLiteStore


class Page(EmbeddedObject):
    head: Text


class Note(Object):
    _id: int
    count: int
    body: Text
    title: Text
    page: Page | None


def opened(store: Any, **options: Any) -> Database:
    rng = random.Random(1)
    return Database(
        store,
        declaration_of(Note),
        wall_ms=lambda: 400_000_000_000,
        entropy=lambda: rng.getrandbits(53),
        **options,
    )


def typing(store: Any | None = None) -> tuple[Database, Any]:
    """A file in which the body of a note was typed into by two commits, so that more may wait."""
    db = opened(store or MemoryStore(query_values))
    with db.write():
        held: Any = db.create(Note, _id=1)
    for word in ("one", " two"):
        with db.write():
            held.body.append(word)
    return db, held


def seen(db: Database) -> list[dict[Any, Any]]:
    """What the file shows: to an app, to another process, to whoever reads the store."""
    other = opened(db.store, read_only=True)
    out = [{note._id: note.to_dict() for note in each.objects(Note)} for each in (db, other)]
    other._opened.close()
    with db.store.read() as reader:
        rows = shown(reader, db.known_schema, {"Note": "_id"})["Note"]
    out.append({int(row["_id"]): row for row in rows})
    return out


def test_a_commit_that_types_on_writes_its_changeset_and_nothing_else() -> None:
    db, held = typing()
    with db.write():
        held.body.append(" three")
    before = contents(db)
    with db.write():
        held.body.erase(0, 4)
        held.title.append("t")
    after = contents(db)
    assert [at for at, one in enumerate(before) if one != after[at]] == [1], "pending alone"
    assert (held.body, held.title) == ("two three", "t")
    check(db)


@pytest.mark.parametrize("word", ["x", "x" * 1000])
def test_what_waits_is_bounded(word: str) -> None:
    db, held = typing()
    most = 0
    for number in range(100):
        with db.write():
            held.body.insert(number * len(word), word)
        if db.typed is not None:
            most = max(most, db.typed.changesets)
            assert db.typed.size < 4096 + 2000
    assert most == (32 if len(word) == 1 else 5)
    assert held.body == word * 100 + "one two"
    check(db)


def other_field(db: Database, held: Any) -> None:
    with db.write():
        held.count = 3


def other_object(db: Database, held: Any) -> None:
    with db.write():
        db.create(Note, _id=2, body="other")


def embedded_text(db: Database, held: Any) -> None:
    with db.write():
        held.body.append(".")
        held.page = {"head": "h"}


def new_life(db: Database, held: Any) -> None:
    with db.write():
        held.body.append("?")
        db.delete(held)
        db.create(Note, _id=1, body="new")


def synchronising(db: Database, held: Any) -> None:
    with db.integrating():
        pass


class GivenUpError(Exception):
    pass


def given_up(db: Database, held: Any) -> None:
    def fail() -> None:
        with db.write():
            held.body.append("lost")
            held.count = 4
            raise GivenUpError

    with pytest.raises(GivenUpError):
        fail()


def given_up_synchronising(db: Database, held: Any) -> None:
    with pytest.raises(GivenUpError), db.integrating():
        raise GivenUpError


OTHER = [other_field, other_object, embedded_text, new_life, synchronising, given_up,
         given_up_synchronising]  # fmt: skip


@pytest.mark.parametrize("then", OTHER)
@pytest.mark.parametrize("reopened", [False, True])
def test_whatever_comes_next_finds_all_that_was_typed(
    then: Callable[[Database, Any], None], *, reopened: bool
) -> None:
    db, held = typing()
    for word in (" three", " four"):
        with db.write():
            held.body.append(word)
        check(db)
    if reopened:
        db = opened(db.store)
        held = db.get(Note, 1)
    assert db.is_behind(held._entity.name)
    then(db, held)
    check(db)
    body = {"new_life": "new", "embedded_text": "one two three four."}
    assert held.body == body.get(then.__name__, "one two three four")
    for word in "abcd":
        with db.write():
            held.body.insert(0, word)
        check(db)
    assert str(held.body).startswith("dcba")
    assert len({str(each) for each in seen(db)}) == 1


def test_a_row_that_another_thread_writes_while_it_is_read_shows_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads holds the row as it was, and has to put behind it what was typed."""
    db, held = typing(SQLiteStore(tmp_path / "notes.db", query_values))
    with db.write():
        held.body.append(" three")
        other = db.create(Note, _id=2)
    with db.write():
        held.body.append(" four")
    assert db.is_behind(held._entity.name)
    read, writers = db.reading, [Thread(target=other_field, args=(db, other))]

    @contextmanager
    def reading() -> Iterator[Reader]:
        with read() as reader:
            reader.get_object("Note", 1)  # from here on it is this snapshot
            while writers:
                writers[-1].start()
                writers.pop().join()
            yield reader

    monkeypatch.setattr(db, "reading", reading)
    assert held.body == "one two three four"
    assert not db.is_behind(held._entity.name)
    db.close()


def test_a_row_that_is_read_after_each_commit_is_written_with_each() -> None:
    db, held = typing()
    for _ in range(3):
        assert str(held.body).startswith("one two")
        with db.write():
            held.body.append("!")
        assert not db.is_behind(held._entity.name)
    with db.write():
        held.body.append("!")
    assert db.is_behind(held._entity.name)


def test_who_observes_is_told_of_each_commit() -> None:
    db, held = typing()
    objects: list[ObjectChange] = []
    deltas: list[TextChange] = []

    def typing_on() -> None:
        for number in range(40):
            with db.write():
                held.body.insert(number, "x")

    with held.observe(objects.append):
        typing_on()
        assert db.is_behind(held._entity.name)
        with held.body.observe(deltas.append):
            typing_on()
    assert [change.fields for change in objects[1:]] == [["body"]] * 80
    assert [change.delta[-1] for change in deltas[1:]] == [{"insert": "x"}] * 40


def test_commands_show_what_was_typed(tmp_path: Path) -> None:
    path = str(tmp_path / "notes.db")
    db, held = typing(SQLiteStore(path, query_values))
    with db.write():
        held.body.append(" three")
    assert db.is_behind(held._entity.name)
    assert "one two three" in ok("query", path, "Note", "TRUEPREDICATE").out
    assert "one two three" in ok("inspect", path, "objects", "Note", "1").out
    db.close()


@pytest.mark.parametrize("seed", range(12))
def test_no_order_of_edits_shows_a_difference(seed: int) -> None:
    rng = random.Random(seed)
    db = opened(MemoryStore(query_values))
    model: dict[tuple[int, str], str] = {}
    with db.write():
        for key in (1, 2):
            db.create(Note, _id=key)
            model |= {(key, "body"): "", (key, "title"): ""}
    notes: dict[int, Any] = {key: db.get(Note, key) for key in (1, 2)}
    waited = 0
    for _ in range(120):
        step(rng, db, notes, model)
        waited += db.typed is not None
        if rng.random() < 0.05:
            db = opened(db.store)
            notes = {key: db.get(Note, key) for key in (1, 2)}
        if rng.random() < 0.2:
            check(db)
        if rng.random() < 0.3:
            key, name = rng.choice(list(model))
            assert notes[key][name] == model[key, name]
    assert waited > 20
    for each in seen(db):
        assert {at: plain(each[at[0]][at[1]]) for at in model} == model


def plain(value: str | list[Any]) -> str:
    """A text without its formats."""
    return value if isinstance(value, str) else "".join(piece for piece, _ in value)


def step(
    rng: random.Random, db: Database, notes: dict[int, Any], model: dict[tuple[int, str], str]
) -> None:
    """One transaction, mostly of typing into one text."""
    kept = dict(model)
    try:
        with db.write():
            for _ in range(rng.choice((1, 1, 1, 2, 3))):
                edit(rng, notes, kept)
            if rng.random() < 0.1:
                raise GivenUpError
    except GivenUpError:
        return
    model |= kept
    if rng.random() < 0.1:
        with db.integrating():
            pass


def edit(rng: random.Random, notes: dict[int, Any], model: dict[tuple[int, str], str]) -> None:
    key, name = rng.choice([(1, "body")] * 20 + [(1, "title"), (2, "body"), (2, "title")])
    held = notes[key]
    old = model[key, name]
    at = rng.randint(0, len(old))
    if rng.random() < 0.05:
        held.count += 1
    elif at < len(old) and rng.random() < 0.3:
        held[name].erase(at, 1)
        model[key, name] = old[:at] + old[at + 1 :]
    elif rng.random() < 0.1 and at < len(old):
        held[name].format(at, 1, {"bold": rng.choice((True, None))})
    else:
        word = rng.choice(("a", "bc", "é", "😀"))
        held[name].insert(at, word)
        model[key, name] = old[:at] + word + old[at:]


def test_what_comes_to_nothing_beside_a_text_leaves_nothing() -> None:
    """Such a commit stores its view as it is: the same bytes as everybody else's."""
    rng = random.Random(1)
    db = Database(
        MemoryStore(query_values), LIBRARY, wall_ms=lambda: 1, entropy=lambda: rng.getrandbits(53)
    )
    with db.write() as tx:
        tx.create("Book", 1)
    for amounts in ((0,), (1, -1)):
        with db.write() as tx:
            edit = tx.edit("Book", 1)
            for amount in amounts:
                edit.scope().add("copies", amount)
            write_updates(edit.scope(), "body", edit.text((), "body").insert(0, "x", None))
        check(db)


def test_units_that_waited_and_are_gone_are_not_made_again() -> None:
    """[TEXT-20] holds for what was typed and never came to be in a row, too."""
    rng = random.Random(1)
    texts = Texts(lambda: rng.getrandbits(53))
    name: Any = (("Note", b"\1"), (), "body")
    editor = texts.open(name, empty_text(), lambda _number: b"")
    (written,) = editor.insert(0, "gone", None)
    texts.typed(name, editor, written.update)
    assert texts.open(name, empty_text(), lambda _number: b"").client != editor.client
