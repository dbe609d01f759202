"""Observing a text: the deltas it tells make of the old text the new one, formats included."""

from __future__ import annotations

import threading
from random import Random
from typing import Any

import pytest
from test_client_text import Note, Page, bits, database, note
from worlds import World

from replication.client.text_editor import Texts
from replication.client.text_observation import TextChange
from replication.crdt.delta import Delta, Pieces, inserted, replaced, told
from replication.errors import NoSuchObjectError, UsageError, WrongTypeError
from replication.model.declare import declaration_of
from replication.model.encoding import pack

FORMATS: list[Any] = [{"b": True}, {"b": 1}, {"b": None}, {"c": "x", "b": None}, {"c": [1.5, {}]}]
WORDS = ["a", "bcd", "é", "😀", "wörd ", "x" * 40]


def applied(pieces: Pieces, delta: Delta) -> Pieces:
    """A text after a delta, naively: character by character."""
    old = [(char, formats) for text, formats in pieces for char in text]
    new: list[tuple[str, dict[str, Any]]] = []
    at = 0
    for step in delta:
        given = step.get("attributes", {})
        if "insert" in step:
            new += [(char, given) for char in step["insert"]]
            continue
        count = step.get("retain", 0) + step.get("delete", 0)
        assert 0 < count <= len(old) - at
        if "retain" in step:
            for char, held in old[at : at + count]:
                formats = {**held, **given}
                new.append((char, {k: v for k, v in formats.items() if v is not None}))
        at += count
    out: Pieces = []
    for char, formats in [*new, *old[at:]]:
        if out and pack(out[-1][1]) == pack(dict(sorted(formats.items()))):
            out[-1] = (out[-1][0] + char, out[-1][1])
        else:
            out.append((char, dict(sorted(formats.items()))))
    return out


def plain(pieces: Pieces) -> Pieces:
    """With formats in order."""
    return [(text, dict(sorted(formats.items()))) for text, formats in pieces]


class Watch:
    """Keeps a text from deltas alone, and how many came."""

    def __init__(self, text: Any) -> None:
        self.shown: Pieces = []
        self.told: list[TextChange] = []
        self.observation = text.observe(self.tell)

    def tell(self, change: TextChange) -> None:
        self.told.append(change)
        assert change.initial == (len(self.told) == 1)
        self.shown = applied(self.shown, change.delta)


def scribble(rng: Random, text: Any) -> None:
    """One random edit."""
    size = len(text)
    at = rng.randint(0, size)
    count = rng.randint(0, min(6, size - at))
    choice = rng.random()
    if choice < 0.5:
        text.insert(at, rng.choice(WORDS), rng.choice([None, None, {"b": True}, {"c": 2}]))
    elif choice < 0.75:
        text.erase(at, count)
    else:
        text.format(at, count, rng.choice(FORMATS))


def test_what_is_told() -> None:
    db = database()
    held = note(db, body="hello")
    told: list[TextChange] = []
    with held.body.observe(told.append):
        assert told == [TextChange(True, True, [{"insert": "hello"}])]
        with db.write():
            held.body.insert(5, " 😀 world")
            held.body.erase(0, 1)
            held.body.insert(0, "H")
        assert told.pop().delta == [
            {"insert": "H"},
            {"delete": 1},
            {"retain": 4},
            {"insert": " 😀 world"},
        ]
        with db.write():
            held.body.format(6, 1, {"b": True})
        assert told.pop().delta == [{"retain": 6}, {"retain": 1, "attributes": {"b": True}}]
        with db.write():
            held.body.format(6, 1, {"b": None})
            held.body.append("!", {"n": 1})
        assert told.pop().delta == [
            {"retain": 6},
            {"retain": 1, "attributes": {"b": None}},
            {"retain": 6},
            {"insert": "!", "attributes": {"n": 1}},
        ]
        with db.write():
            held.body.format(0, 3, {"b": None})  # nothing looks different
        assert len(told) == 1
    with db.write():
        held.body.append("more")
    assert len(told) == 1


@pytest.mark.parametrize("seed", range(4))
def test_deltas_make_the_text(seed: int) -> None:
    rng = Random(seed)
    db = database()
    held = note(db)
    watch = Watch(held.body)
    for _ in range(70):
        before, count = plain(held.body.pieces()), len(watch.told)
        with db.write():
            for _ in range(rng.randint(1, 3)):
                scribble(rng, held.body)
        after = plain(held.body.pieces())
        assert watch.shown == after
        assert len(watch.told) == count + (before != after)
    assert len(watch.told) > 35


@pytest.mark.parametrize("seed", range(3))
def test_what_others_type_is_told(seed: int) -> None:
    """Two devices, each with an observer: once for each transaction that arrives."""
    rng = Random(seed)
    world = World(schema=declaration_of(Note).schema)
    for device in world.devices:
        device.db.texts = Texts(bits(seed * 2 + device.number))
        with device.db.subscriptions.edit() as edit:
            edit.add("Note", "TRUEPREDICATE")
    world.settle()
    with world.devices[0].db.write():
        world.devices[0].db.create("Note", _id=1, body="start. ", pages=[{"head": "x"}])
    world.settle()
    texts = [device.db.get("Note", 1).body for device in world.devices]
    heads = [device.db.get("Note", 1).pages[0].head for device in world.devices]
    watches = [Watch(text) for text in [*texts, *heads]]
    for _ in range(25):
        number = rng.randrange(2)
        with world.devices[number].db.write():
            for _ in range(rng.randint(1, 4)):
                scribble(rng, rng.choice([texts[number], heads[number]]))
        if rng.random() < 0.4:
            world.settle()
        for text, watch in zip([*texts, *heads], watches, strict=True):
            assert watch.shown == plain(text.pieces())
    world.settle()
    assert watches[0].shown == watches[1].shown == plain(texts[0].pieces())
    assert watches[2].shown == watches[3].shown == plain(heads[0].pieces())


def test_an_erased_place_between_two_insertions_is_told_as_such() -> None:
    """Not as one replacement of all between: that would move every cursor there."""
    db = database()
    held = note(db, body="one two three four")
    watch = Watch(held.body)
    with db.write():
        held.body.insert(18, "!")
        held.body.insert(0, "> ")
        held.body.erase(6, 4)
    assert watch.told[-1].delta == [
        {"insert": "> "}, {"retain": 4}, {"delete": 4}, {"retain": 10}, {"insert": "!"},
    ]  # fmt: skip


def test_a_text_that_moves_into_parts_is_told_edit_by_edit() -> None:
    rng = Random(3)
    db = database()
    held = note(db, body="word " * 2000)
    told: list[TextChange] = []
    held.body.observe(told.append)
    for size in range(10_000, 10_150):
        at = rng.randint(0, size - 1)
        with db.write():
            held.body.insert(at, "x")
        assert told[-1].delta == [*([{"retain": at}] if at else []), {"insert": "x"}]


def test_an_object_that_goes_and_comes() -> None:
    db = database()
    held = note(db, body="abc", pages=[Page(head="x")])
    watch, inner = Watch(held.body), Watch(held.pages[0].head)
    with db.write():
        del held.pages[0]
    assert inner.told[-1] == TextChange(False, False, [{"delete": 1}])
    assert len(watch.told) == 1
    with db.write():
        db.delete(held)
    assert watch.told[-1] == TextChange(False, False, [{"delete": 3}])
    note(db, body="abd")
    assert watch.told[-1] == TextChange(False, True, [{"insert": "abd"}])
    with db.write():
        db.delete(held)
        db.create(Note, _id=1, body="ab!")
    assert watch.told[-1].delta == [{"retain": 2}, {"insert": "!"}, {"delete": 1}]
    assert len(inner.told) == 2


def test_a_callback_that_writes() -> None:
    """It is told about that after it returned; who came later hears of all at once."""
    db = database()
    held = note(db, body="a")
    told: list[Any] = []

    def answer(change: TextChange) -> None:
        told.append(change.delta)
        if held.body == "ab":
            with db.write():
                held.body.append("c")

    watch = Watch(held.body)
    with held.body.observe(answer):
        with db.write():
            held.body.append("b")
        assert held.body == "abc"
    assert told == [
        [{"insert": "a"}], [{"retain": 1}, {"insert": "b"}], [{"retain": 2}, {"insert": "c"}],
    ]  # fmt: skip
    assert watch.shown == [("abc", {})]


def test_other_threads_write_and_this_one_goes_on() -> None:
    """A document is used by one thread at a time, under the lock; by which does not matter."""
    db = database()
    held = note(db, body="abc")
    watch = Watch(held.body)

    def write(word: str) -> None:
        with db.write():
            held.body.append(word)

    for word in ("d", "é", "f"):
        thread = threading.Thread(target=write, args=(word,))
        thread.start()
        thread.join()
        write(word)
    assert watch.shown == [("abcddééff", {})]
    assert len(watch.told) == 7


def test_when_it_can_be_observed() -> None:
    db = database()
    held = note(db, body="a", page=Page(head="x"))
    with db.write(), pytest.raises(UsageError):
        held.body.observe(print)
    head = held.page.head
    with db.write():
        held.page = None
    with pytest.raises(NoSuchObjectError):
        head.observe(print)


def test_deltas_between_texts_of_which_nothing_else_is_known() -> None:
    rng = Random(5)
    for _ in range(300):
        one, other = (
            [(rng.choice(["a", "ab", "é"]), rng.choice([{}, {"b": 1}, {"b": True}]))
             for _ in range(rng.randint(0, 4))]
            for _ in range(2)
        )  # fmt: skip
        assert applied(one, replaced(one, other)) == applied([], inserted(other))
        assert (replaced(one, other) == []) == (applied(one, []) == applied(other, []))


def test_what_native_code_counts_is_counted_in_characters() -> None:
    before: Pieces = [("é😀", {"b": True}), ("z", {})]
    native = [
        {"retain": 2, "attributes": {"b": True, "n": 1.0}},
        {"delete": 5},
        {"insert": "q", "attributes": {"b": None}},
        {"insert": ""},
    ]
    assert told(native, before) == [
        {"retain": 1, "attributes": {"n": 1}}, {"insert": "q"}, {"delete": 2},
    ]  # fmt: skip
    assert told([{"retain": 7, "attributes": {"x": None}}], before) == []


def test_deltas_can_be_written() -> None:
    """What one text was told makes another one the same."""
    rng = Random(11)
    db = database()
    held = note(db, body="x", page=Page(head=""))
    deltas: list[Delta] = []
    with held.body.observe(lambda change: deltas.append(change.delta)):
        for _ in range(60):
            with db.write():
                scribble(rng, held.body)
    for delta in deltas:
        with db.write():
            held.page.head.apply_delta(delta)
    assert plain(held.page.head.pieces()) == plain(held.body.pieces())


@pytest.mark.parametrize(
    ("delta", "error"),
    [
        ([{"insert": "x"}, {"retain": 3}, {"delete": 1}], IndexError),
        ([{"retain": 4}], IndexError),
        ([{"retain": 4, "attributes": {"b": True}}], IndexError),
        ([{"retain": -1}], WrongTypeError),
        ([{"delete": 1.0}], WrongTypeError),
        ([{"delete": 0}], WrongTypeError),
        ([{"insert": {"image": "x"}}], WrongTypeError),
        ([{"insert": "x", "attributes": {"": 1}}], WrongTypeError),
        ([{}], WrongTypeError),
        (["x"], WrongTypeError),
    ],
)
def test_what_is_no_delta(delta: Any, error: type[Exception]) -> None:
    db = database()
    held = note(db, body="abc")
    with db.write():
        with pytest.raises(error):
            held.body.apply_delta(delta)
        assert held.body == "abc"
    assert held.body == "abc"
