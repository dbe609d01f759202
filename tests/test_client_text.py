"""Texts of a client file: written, read, kept, and merged with what others typed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pycrdt
import pytest
from worlds import World

from replication.client.database import Database
from replication.client.text_editor import Texts
from replication.crdt.view import query_values
from replication.errors import DecodeError, LimitExceededError, UsageError, WrongTypeError
from replication.model.declare import EmbeddedObject, Object, Text, declaration_of
from replication.storage.memory import MemoryStore


class Page(EmbeddedObject):
    head: Text


class Note(Object):
    _id: int
    body: Text
    page: Page | None
    pages: list[Page]


def database(store: Any = None, entropy: Callable[[], int] | None = None) -> Database:
    return Database(
        store or MemoryStore(query_values),
        declaration_of(Note),
        wall_ms=lambda: 400_000_000_000,
        entropy=entropy or bits(1),
    )


def bits(seed: int) -> Callable[[], int]:
    """Random numbers."""
    rng = random.Random(seed)
    return lambda: rng.getrandbits(53)


def note(db: Database, **values: Any) -> Any:
    with db.write():
        return db.create(Note, _id=1, **values)


def test_a_type_checker_knows_what_a_text_can_do() -> None:
    db = database()
    with db.write():
        held: Note = db.create(Note, _id=1, body="abc")
        held.body.insert(3, "d")
        del held.body[0]
    assert str(held.body) + held.body[1:] == "bcdcd"
    assert "c" in held.body


def test_insert_erase_format_read() -> None:
    db = database()
    held = note(db, body="hello")
    with db.write():
        held.body.insert(5, " 😀 wörld")
        held.body.append("!", {"bold": True})
        assert str(held.body) == "hello 😀 wörld!"
        held.body.erase(0, 1)
        held.body.format(0, 4, {"italic": True})
        del held.body[-2:]
    assert held.body == "ello 😀 wörl"
    assert held.body.pieces() == [("ello", {"italic": True}), (" 😀 wörl", {})]
    assert (len(held.body), held.body[5], "wör" in held.body) == (11, "😀", True)
    assert held.to_dict()["body"] == "ello 😀 wörl"
    with db.write():
        held.body.format(0, 4, {"italic": None})
    assert held.body.pieces() == [("ello 😀 wörl", {})]


@pytest.mark.parametrize("words", [["a", "bcd", "é", "😀", "word "], ["a", "bcd", "word "]])
def test_random_edits_are_those_of_a_string(words: list[str]) -> None:
    rng = random.Random(7)
    db = database()
    held = note(db)
    text = ""
    for _ in range(60):
        with db.write():
            for _ in range(rng.randint(1, 4)):
                at = rng.randint(0, len(text))
                end = min(len(text), at + rng.randint(0, 5))
                word = rng.choice(words)
                if rng.random() < 0.7:
                    held.body.insert(at, word)
                    text = text[:at] + word + text[at:]
                else:
                    held.body.erase(at, end - at)
                    text = text[:at] + text[end:]
                with pytest.raises(IndexError):
                    held.body.erase(len(text), 1)
            assert held.body == text
        assert held.body == text
    again = database(db.store, bits(2)).get(Note, 1)
    assert again is not None
    assert again.body == text


def test_assigning_changes_what_differs() -> None:
    db = database()
    held = note(db, body="one two three")
    with db.write():
        held.body.format(0, 3, {"b": True})
        held.body = "one 2 three"
    assert held.body.pieces() == [("one", {"b": True}), (" 2 three", {})]
    with db.write():
        held.body = held.body
        held.body = ""
    assert held.body == ""


def test_texts_of_embedded_objects() -> None:
    db = database()
    held = note(db, page=Page(head="x"), pages=[Page(head="1"), Page(head="2")])
    with db.write():
        held.page.head.append("y")
        held.pages[1].head.append("!")
    assert held.page.head == "xy"
    assert [page.head for page in held.pages] == ["1", "2!"]
    with db.write():
        held.page = {"head": "new"}
        held.page.head.append("!")
    assert held.page.head == "new!"


def test_texts_of_elements_stay_open() -> None:
    """Like others, from one transaction to the next; one that failed is loaded anew."""
    db = database()
    held = note(db, pages=[Page(head="é😀")])
    editors = []
    for word in ("a", "bc", "😀", "d"):
        with db.write():
            held.pages[0].head.insert(1, word)
        with db.write() as tx:
            head = held.pages[0].head
            edit, path = tx.edit("Note", 1), head._handle._steps()
            editors.append(edit.text(path, "head"))
            head.erase(len(head) - 1, 1)
            head.append("!")
    assert held.pages[0].head == "éd😀bca!"
    assert len(set(map(id, editors))) == 1

    def fail() -> None:
        with db.write():
            held.pages[0].head.append("lost")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with db.write():
        held.pages[0].head.append("?")
    assert held.pages[0].head == "éd😀bca!?"


def test_what_fits_no_text() -> None:
    db = database()
    held = note(db, body="abc")
    with db.write():
        with pytest.raises(WrongTypeError):
            held.body = 5
        with pytest.raises(WrongTypeError):
            held.body.insert(0, "\ud800")
        with pytest.raises(WrongTypeError):
            held.body.insert(0, "x", {"n": 2**60})
        with pytest.raises(WrongTypeError):
            held.body.format(0, 1, {"n": object()})
        with pytest.raises(WrongTypeError):
            held.body.format(0, 1, {"n": "\ud800"})
        deep: list[Any] = []
        for _ in range(5000):
            deep = [deep]
        with pytest.raises(WrongTypeError):
            held.body.format(0, 1, {"n": deep})
        with pytest.raises(IndexError):
            held.body.erase(2, 5)
        with pytest.raises(DecodeError):
            held.body.apply_update(b"\1\1\1")
    assert held.body == "abc"
    assert held.body != 5


def test_a_format_is_bounded_as_it_is_written() -> None:
    """[TEXT-4]: in UTF-8, and brackets in a string are characters."""
    db = database()
    held = note(db, body="abc")
    formats = {"note": "é" * 500, "link": "https://example.org/?" + "a[]=1&" * 20}
    with db.write():
        held.body.format(0, 3, formats)
        with pytest.raises(WrongTypeError, match="more than 1024 bytes"):
            held.body.format(0, 3, {"note": "é" * 510})
    assert held.body.pieces() == [("abc", formats)]


def test_a_transaction_that_fails_leaves_no_trace() -> None:
    db = database()
    held = note(db, body="abc")

    class WrongError(Exception):
        pass

    def fail() -> None:
        with db.write():
            held.body.append("def")
            raise WrongError

    with pytest.raises(WrongError):
        fail()
    assert held.body == "abc"
    with db.write():
        held.body.append("!")
    assert held.body == "abc!"


def test_a_commit_that_fails_at_its_end_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was typed stays open for the next transaction, but not what was never committed."""
    db = database()
    held = note(db, body="one two")
    with db.write():
        held.body.append(" three")

    def fail() -> None:
        with db.write():
            held.body.erase(0, 4)
            held.body.append("!")

    with monkeypatch.context() as patched:
        patched.setattr("replication.client.database.check_room", _no_room)
        with pytest.raises(LimitExceededError):
            fail()
    assert str(held.body) == "one two three"
    with db.write():
        assert str(held.body) == "one two three"
        held.body.insert(0, "> ")
        assert str(held.body) == "> one two three"
    assert str(held.body) == "> one two three"


def _no_room(*_: object) -> None:
    raise LimitExceededError("no room")


def test_what_others_wrote_between_two_transactions_is_typed_into() -> None:
    """Another text of the object, another property, and the object itself."""
    db = database()
    held = note(db, body="one", page={"head": "a"})
    for number in range(3):
        with db.write():
            held.body.append(str(number))
        with db.write():
            held.page.head.append(str(number))
            assert str(held.body) == "one" + "012"[: number + 1]
        with db.write():
            held.page = {"head": f"{held.page.head}"}
    assert str(held.page.head) == "a012"
    with db.write():
        held.body.append("!")
    with db.write():
        db.delete(held)
    again = note(db, body="new")
    with db.write():
        again.body.append("!")
    assert str(again.body) == "new!"


def test_appending_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does erasing a slice: both cost the same in any text."""
    db = database()
    held = note(db, body="one two")

    def read(*_: object) -> None:
        raise AssertionError("the text is read")

    with db.write(), monkeypatch.context() as patched:
        patched.setattr("replication.crdt.formatting.pieces", read)
        held.body.append("!")
        del held.body[0:4]
        del held.body[-1]
        del held.body[9:]
    assert str(held.body) == "two"


def test_changes_of_a_text_are_told() -> None:
    db = database()
    held = note(db, body="abc", pages=[Page(head="x")])
    told: list[Any] = []
    with held.observe(told.append):
        with db.write():
            held.body.append("d" * 6000)
        with db.write():
            held.body.erase(0, 1)
        with db.write():
            held.pages[0].head.append("y")
    assert [set(change.fields) for change in told[1:]] == [{"body"}, {"body"}, {"pages"}]


def test_writing_needs_random_numbers() -> None:
    db = Database(MemoryStore(query_values), declaration_of(Note), wall_ms=lambda: 1)
    with db.write():
        held = db.create(Note, _id=1)
        with pytest.raises(UsageError, match="entropy"):
            held.body.append("x")


def clients(db: Database) -> set[int]:
    """The client ids in the text of the note."""
    with db.store.read() as reader:
        from replication.model.encoding import unpack_trusted

        row = reader.get_object("Note", 1)
        assert row is not None
        return {owner[0] for owner in unpack_trusted(row.head)[3][6]["body"][0]}


def test_every_opening_draws_a_client_id() -> None:
    """[TEXT-20]"""
    db = database()
    held = note(db, body="a")
    with db.write():
        held.body.append("b")
    assert len(clients(db)) == 1
    other = database(db.store, bits(2))
    with other.write():
        other.get(Note, 1).body.append("c")
    assert len(clients(other)) == 2


def test_a_new_life_is_another_text() -> None:
    """[TEXT-20]: units that were made are gone, so another client makes the next."""
    db = database()
    held = note(db, body="first")
    before = clients(db)
    with db.write():
        db.delete(held)
    held = note(db, body="second")
    assert held.body == "second"
    assert clients(db).isdisjoint(before)


def test_an_editor_bound_to_yjs() -> None:
    """[TEXT-21]"""
    db = database()
    held = note(db, body="hello")
    editor: Any = pycrdt.Doc()
    text = editor.get("text", type=pycrdt.Text)
    editor.apply_update(held.body.update())
    assert str(text) == "hello"
    text += " there"
    first = editor.get_update()
    before = editor.get_state()
    text.insert(0, "¡")
    with db.write():
        with pytest.raises(UsageError):
            held.body.apply_update(editor.get_update(before))
        held.body.apply_update(first)
        held.body.apply_update(editor.get_update(before))
        held.body.apply_update(first)
    assert held.body == "¡hello there"


def test_two_devices_type_into_one_text() -> None:
    """What two devices type at one place stands side by side on both, and on the server."""
    schema = declaration_of(Note).schema
    world = World(schema=schema)
    first, second = world.devices
    for device in (first, second):
        device.db.texts = Texts(bits(device.number))
        with device.db.subscriptions.edit() as edit:
            edit.add("Note", "TRUEPREDICATE")
    world.settle()
    with first.db.write():
        first.db.create("Note", _id=1, body="start. ")
    world.settle()
    for turn in range(12):
        for device in (first, second):
            held = device.db.get("Note", 1)
            with device.db.write():
                held.body.append(f"{device.number}:{turn} ")
                if turn % 3 == 2:
                    held.body.erase(0, 3)
                    held.body.format(0, 2, {"b": True})
        if turn % 2:
            world.settle()
    world.settle()
    one, two = (device.db.get("Note", 1).body for device in (first, second))
    assert one.pieces() == two.pieces()
    assert not first.db.refusals()
    assert not second.db.refusals()
    assert all(f"{device.number}:11" in str(one) for device in (first, second))
