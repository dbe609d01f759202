"""The units of a text in order: edits by place and by id, beside strings and the native code."""

from __future__ import annotations

from random import Random
from typing import Any

import pycrdt
import pytest
from made_updates import erased, typed
from test_updates import steps
from text_strategies import FORMATS, nonsense, session

from replication.client.text_editor import TextEditor
from replication.crdt import formatting, unit_sequence
from replication.crdt.document import Document
from replication.crdt.text import empty_text
from replication.crdt.union import causal, union
from replication.crdt.unit_sequence import UnitSequence
from replication.crdt.units import Update
from replication.crdt.updates import ROOT_NAME, read_update, write_update
from replication.errors import LimitExceededError
from replication.limits import TEXT_CLOCK_MAX

#: Of one unit and of two, and what joins the one before it.
CHARACTERS = "ab \né\u0301漢\u200d😀🇨👩\U0010ffff"


def sequence(*updates: bytes) -> UnitSequence:
    """Of what follows in updates, each taken by itself."""
    units = UnitSequence()
    for data in updates:
        units.take(causal(read_update(data), units.ends))
    return units


@pytest.mark.parametrize("seed", range(6))
def test_what_editors_wrote_is_in_the_order_of_yjs(seed: int) -> None:
    """[MERGE-TEXT-5] Update by update, and all at once."""
    written, editors = session(Random(seed), editors=4, turns=120)
    together = union(map(read_update, written))
    units = UnitSequence()
    for one in (sequence(write_update(together)), units):
        for data in [] if one is not units else written:
            units.take(causal(read_update(data), units.ends))
        units.take(causal(together, units.ends))  # what came before what it follows
        assert formatting.pieces(one) == Document([write_update(together)]).pieces()
        assert str(one) == str(editors[0].text)
        assert len(one) == len(str(one))
    for editor in editors:
        editor.close()


def test_where_a_unit_is_shown() -> None:
    """By its id; what shows nothing, or is not here, is nowhere."""
    units = sequence(typed(5, 0, None, None, "abc"), typed(6, 0, (5, 0), (5, 1), "xy"))
    assert str(units) == "axybc"
    assert [units.place_of((5, clock)) for clock in range(4)] == [0, 3, 4, None]
    assert units.place_of((6, 1)) == 2
    assert units.place_of((7, 0)) is None
    units.take(causal(read_update(erased(5, [(0, 1)])), units.ends))
    assert units.place_of((5, 0)) is None
    assert units.place_of((5, 1)) == 2


def test_what_stands_between_anything_is_in_the_order_of_yjs() -> None:
    for seed in range(400):
        data = write_update(nonsense(Random(seed)))
        assert formatting.pieces(sequence(data)) == Document([data]).pieces(), seed


@pytest.mark.parametrize("seed", range(5))
def test_random_edits_are_those_of_a_string(seed: int) -> None:
    """Of characters of one unit and of two, by several who take turns."""
    rng = Random(seed)
    editors = [TextEditor(client) for client in (1, 2, 3)]
    for editor in editors:
        editor.catch_up(empty_text(), lambda _: b"")
    shown, doc = "", Document([])
    for _ in range(300):
        editor = rng.choice(editors)
        at = rng.randint(0, len(shown))
        if rng.random() < 0.6:
            text = "".join(rng.choices(CHARACTERS, k=rng.randint(1, 12)))
            written = editor.insert(at, text, None)
            shown = shown[:at] + text + shown[at:]
        else:
            count = rng.randint(0, min(9, len(shown) - at))
            written = editor.erase(at, count)
            shown = shown[:at] + shown[at + count :]
        for data, ends in written:
            update = read_update(data)
            assert write_update(update) == data, "one canonical update an edit"
            assert {client: update.end(client) for client in update.runs} == ends
            doc.take(data)
            for other in editors:
                if other is not editor:
                    other.take(read_update(data))
        assert [str(each) for each in editors] == [shown] * 3
        assert len(editor) == len(shown)
    assert str(doc.text) == shown


@pytest.mark.parametrize("seed", range(8))
def test_formatting_is_that_of_yjs(seed: int) -> None:
    """Formats of characters are those that the native code gives, edit by edit."""
    rng = Random(seed)
    editor = TextEditor(1)
    yjs: Any = pycrdt.Doc(client_id=1)
    text = yjs.get(ROOT_NAME, type=pycrdt.Text)
    doc = Document([])
    for _ in range(80):
        shown = str(editor)
        at = rng.randint(0, len(shown))
        end = min(len(shown), at + rng.randint(1, 6))
        start, stop = (len(shown[:each].encode()) for each in (at, end))
        formats = dict(rng.sample(FORMATS, rng.randint(1, 2)))
        if rng.random() < 0.5 or at == end:
            given = rng.choice([None, {}, formats])
            written = editor.insert(at, "aé😀"[: rng.randint(1, 3)], given)
            text.insert(start, str(editor)[at : at + len(str(editor)) - len(shown)], given)
        elif rng.random() < 0.3:
            written = editor.erase(at, end - at)
            del text[start:stop]
        else:
            written = editor.format(at, end - at, formats)
            text.format(start, stop, formats)
        for data, _ in written:
            assert write_update(read_update(data)) == data
            doc.take(data)
        assert editor.pieces() == doc.pieces() == Document([yjs.get_update()]).pieces()


def test_marks_do_not_pile_up() -> None:
    editor = TextEditor(1)
    editor.insert(0, "abc", None)
    for _ in range(50):
        editor.format(0, 3, {"b": True})
        editor.format(0, 3, {"b": None})
    assert editor.format(0, 3, {"b": None}) == []
    assert editor._units.formats == 0
    editor.format(1, 1, {"b": True})
    assert editor.pieces() == [("a", {}), ("b", {"b": True}), ("c", {})]
    editor.format(0, 3, {"b": None})
    editor.insert(3, "d", {"b": True})
    editor.insert(4, "e", {"b": True})
    assert editor._units.formats == 2
    assert editor.pieces() == [("abc", {}), ("de", {"b": True})]


def test_an_edit_costs_the_same_in_a_long_text() -> None:
    """Of characters of two units, wherever it is: the work grows with the root of the length."""
    files = [unit_sequence.__file__]

    def worst(length: int) -> int:
        rng = Random(1)
        editor = TextEditor(1)
        for at in range(0, length, 100):
            editor.insert(rng.randint(0, at), "😀é" * 50, None)
        places = [rng.randint(0, length - 9) for _ in range(20)]
        return max(
            steps(lambda at=at: (editor.insert(at, "漢", None), editor.erase(at + 2, 3)), files)
            for at in places
        )

    assert worst(100_000) < 4 * worst(1_000)


def test_a_long_run_is_taken_in_pieces() -> None:
    units = sequence(typed(5, 0, None, None, "\ud83d\ude00" * 3000))
    assert str(units) == "😀" * 3000
    assert units.erase(1500, 1) == {5: [(3000, 3002)]}
    units.take(read_update(erased(5, [(0, 5000)])))
    assert str(units) == "😀" * 500
    odd = sequence(typed(5, 0, None, None, "a" + "\ud83d\ude00" * 3000))
    assert str(odd) == "a" + "😀" * 3000, "no pair is cut"
    assert len(list(units.items())) < 20, "what is deleted in a row is one item"


def test_a_pair_with_something_between_its_halves() -> None:
    """The first half shows the character."""
    face = typed(5, 0, None, None, "\ud83d\ude00")
    between = typed(6, 0, (5, 0), (5, 1), "x")
    units = sequence(face, between)
    assert str(units) == "😀x"
    assert len(units) == 2
    assert units.type(7, 1, "y")[2:4] == ((5, 0), (6, 0))
    bold = write_update(Update({6: [(0, 1, (5, 0), (5, 1), ("b", "true"))]}))
    assert formatting.pieces(sequence(face, bold)) == [("😀", {})]


def test_clocks_end() -> None:
    units = UnitSequence()
    units.ends[5] = TEXT_CLOCK_MAX - 1
    with pytest.raises(LimitExceededError, match="makes more"):
        units.type(5, 0, "ab")
    assert not len(units)
    assert units.type(5, 0, "a")[0] == TEXT_CLOCK_MAX - 1


def test_what_is_known_is_not_taken_twice() -> None:
    units = sequence(typed(5, 0, None, None, "abc"))
    units.take(Update({5: [(0, 5, None, None, "abcde")]}))
    assert str(units) == "abcde"
    units.erase(1, 2)
    units.take(read_update(erased(5, [(0, 9)])))
    assert str(units) == ""


def test_units_between_an_end_and_the_middle_of_a_run() -> None:
    held = typed(5, 0, None, None, "abc")
    assert str(sequence(held, typed(6, 0, None, (5, 1), "x"))) == "axbc"
    assert str(sequence(held, typed(4, 0, None, (5, 1), "x"))) == "xabc"


def test_a_mark_that_is_there_already_is_used() -> None:
    run = [(0, 1, None, None, "a"), (1, 1, (5, 0), None, ("b", "null")), (2, 1, (5, 1), None, "b")]
    units = sequence(write_update(Update({5: run})))  # type: ignore[dict-item]
    update = formatting.insert(units, 6, 1, "x", {"b": True})
    assert [run[4] for run in update.runs[6]] == [("b", "true"), "x"]
    marks: list[Any] = [("b", "null"), None, ("c", "null")]
    run = [(0, 1, None, None, "a")]
    run += [(at, 1, (5, at - 1), None, held) for at, held in enumerate(marks, 1)]
    two = sequence(write_update(Update({5: run}, {5: [(2, 3)]})))  # type: ignore[dict-item]
    update = formatting.insert(two, 6, 1, "x", {"b": True, "c": 1})
    assert [run[4] for run in update.runs[6]] == [("b", "true"), ("c", "1"), "x"]
    assert formatting.pieces(units) == [("a", {}), ("x", {"b": True}), ("b", {})]


def test_what_is_typed_stands_behind_what_was_erased_there() -> None:
    """As in Yjs: it goes on where the one who erases and types again was."""
    units = sequence(typed(5, 0, None, None, "abc"))
    units.erase(0, 2)
    assert units.type(6, 0, "x")[2:4] == ((5, 1), (5, 2))
    assert units.type(6, 1, "y")[2:4] == ((6, 0), (5, 2))
    assert str(units) == "xyc"
