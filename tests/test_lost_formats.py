"""Formats that lose to concurrent ones: told character by character, as Yjs decides. [JOURNAL-1]"""

from __future__ import annotations

from random import Random
from typing import Any

import plain_text as plain
import pytest
from lost_oracle import formats_by_unit, lost_formats
from made_updates import erased
from test_client_text_refused import bodies, devices
from text_strategies import STRINGS

from replication.client.lost_text import formats_of, reformatted
from replication.client.text_editor import TextEditor
from replication.crdt.text import empty_text
from replication.crdt.union import union
from replication.crdt.units import Update
from replication.crdt.updates import read_update, write_update
from replication.errors import UsageError

FORMATS = [("c", "red"), ("c", "blue"), ("c", None), ("b", True), ("b", False)]


# -- against the page --------------------------------------------------------------------------
def expected(own: bytes, before: bytes, after: bytes | None) -> list[Any]:
    """(character, name, old value, new value), in order."""
    texts = [None if each is None else plain.read(each) for each in (own, before, after)]
    return lost_formats(*texts)


def told(own: bytes, before: bytes, after: bytes | None) -> list[Any]:
    """The same, by the code."""
    order = list(formats_by_unit(plain.read(before), set()))
    found = reformatted(read_update(own), [before], None if after is None else [after])
    out = []
    for first, text, old, new in found:
        at = order.index(first)
        for unit in order[at : at + len(text)]:
            out += [(unit, name, old[name], (new or {}).get(name)) for name in sorted(old)]
    return out


def edited(editor: TextEditor, rng: Random, turns: int) -> bytes:
    """What somebody writes, as one update."""
    out = []
    for _ in range(turns):
        size = len(editor)
        at = rng.randint(0, size)
        end = min(size, at + rng.randint(2, 9))
        formats = dict(rng.sample(FORMATS, rng.randint(1, 2)))
        if at == end or rng.random() < 0.15:
            out += editor.insert(at, rng.choice(STRINGS), rng.choice([None, {}, formats]))
        elif rng.random() < 0.15:
            out += editor.erase(at, end - at)
        else:
            out += editor.format(at, end - at, formats)
    return write_update(union([Update(), *(read_update(each.update) for each in out)]))


def editor(client: int, *updates: bytes) -> TextEditor:
    """One that shows some updates."""
    out = TextEditor(client)
    out.catch_up(empty_text(), lambda _: b"")
    for data in updates:
        out.take(read_update(data))
    return out


@pytest.mark.parametrize("block", range(4))
def test_what_is_told_is_what_the_page_says(block: int) -> None:
    lost = 0
    for seed in range(block * 60, block * 60 + 60):
        rng = Random(seed)
        one = editor(1)
        start = write_update(
            union(map(read_update, [one.insert(0, "abc😀defg", None)[0][0], edited(one, rng, 4)]))
        )
        own = edited(editor(2, start), rng, rng.randint(1, 3))
        news = edited(editor(rng.choice([3, 1]), start), rng, rng.randint(1, 3))
        before = write_update(union(map(read_update, [start, own])))
        after = write_update(union(map(read_update, [start, own, news])))
        assert told(own, before, after) == expected(own, before, after), seed
        assert told(own, before, None) == expected(own, before, None), seed
        lost += bool(expected(own, before, after))
    assert lost > 4, "most of them decide nothing"


@pytest.mark.parametrize("names", ["bc", "cb"])
def test_formats_are_told_in_the_order_of_their_names(names: str) -> None:
    """JOURNAL-5: or a part would be told once more where its marks stand in another order."""
    start = editor(1).insert(0, "abc", None)[0][0]
    writer = editor(2, start)
    marks = [each for name in names for each in writer.format(0, 3, {name: 1})]
    own = write_update(union([read_update(each.update) for each in marks]))
    before = write_update(union(map(read_update, [start, own])))
    ((_, text, old, new),) = reformatted(read_update(own), [before], None)
    assert (text, list(old), new) == ("abc", ["b", "c"], None)
    assert list(formats_of(read_update(own))) == ["b", "c"]


def test_what_is_not_formatted_is_not_lost() -> None:
    start = edited(editor(1), Random(1), 5)
    own = erased(1, [(0, 2)])
    assert reformatted(read_update(own), [start, own], None) == []
    assert reformatted(read_update(own), [start, own], [start]) == []


# -- between devices ---------------------------------------------------------------------------
def format_at_once(one: Any, other: Any) -> tuple[Any, Any]:
    """Two devices format the note at the same time, then meet; which of them lost, and to whom."""
    world, first, second = devices()
    with first.db.write():
        first.db.get("Note", 1).body.format(0, 7, {"c": "old"})
    world.settle()
    for device, (at, count, formats) in ((first, one), (second, other)):
        with device.db.write():
            device.db.get("Note", 1).body.format(at, count, formats)
    world.settle()
    shown = bodies(world)
    assert shown[0] == shown[1]
    loser, winner = (first, second) if list(first.db.journal) else (second, first)
    assert list(winner.db.journal) == []
    return loser, winner


@pytest.mark.parametrize(
    ("one", "other"),
    [("red", "blue"), ({"href": "x"}, {"href": "y"}), (True, False), (None, "blue")],
)
def test_one_of_two_formats_of_a_range_is_lost(one: Any, other: Any) -> None:
    """JOURNAL-1 JOURNAL-3: by whom, when, and what is there instead."""
    loser, winner = format_at_once((1, 2, {"c": one}), (1, 2, {"c": other}))
    values = [one, other]
    if loser.number == 2:
        values.reverse()
    (entry,) = loser.db.journal
    ((path, did, old, new),) = entry.lost
    assert (path[:-1], did) == (("body",), "formatted")
    assert (old, new) == (["ne", {"c": values[0]}], {"c": values[1]})
    assert (entry.rule, entry.by, entry.seen is not None) == ("format", winner.db.local.ident, True)


def test_what_one_formats_behind_the_other_is_not_lost() -> None:
    """The end of what is formatted is no write to what follows."""
    world, first, second = devices()
    for device, at in ((first, 0), (second, 3)):
        with device.db.write():
            device.db.get("Note", 1).body.format(at, 3, {"c": "red"})
    world.settle()
    assert all(list(device.db.journal) == [] for device in (first, second))


def test_who_saw_it_takes_nothing_away() -> None:
    world, first, second = devices()
    with first.db.write():
        first.db.get("Note", 1).body.format(0, 3, {"c": "red"})
    world.settle()
    with second.db.write():
        second.db.get("Note", 1).body.format(0, 3, {"c": "blue"})
    world.settle()
    assert bodies(world)[0] == [("one", {"c": "blue"}), (" two", {})]
    assert all(list(device.db.journal) == [] for device in (first, second))


def test_a_retry_formats_the_characters_where_they_are() -> None:
    """JOURNAL-11"""
    loser, _ = format_at_once((0, 3, {"c": "red"}), (0, 3, {"c": "blue"}))
    (entry,) = loser.db.journal
    mine = entry.lost[0].old[1]
    with loser.db.write():
        loser.db.get("Note", 1).body.insert(0, "> ")
    loser.db.journal.retry(entry.number)
    assert loser.db.get("Note", 1).body.pieces()[1] == ("one", mine)
    assert list(loser.db.journal) == []


def test_characters_that_are_gone_are_not_formatted() -> None:
    """JOURNAL-11: all of it or nothing."""
    loser, _ = format_at_once((0, 3, {"c": "red"}), (0, 3, {"c": "blue"}))
    (entry,) = loser.db.journal
    with loser.db.write():
        loser.db.get("Note", 1).body.erase(1, 1)
    with pytest.raises(UsageError, match="'one'"):
        loser.db.journal.retry(entry.number)
    with loser.db.write():
        loser.db.get("Note", 1).body.erase(0, 1)
    with pytest.raises(UsageError, match="not there"):
        loser.db.journal.retry(entry.number)
    assert list(loser.db.journal) == [entry]


def test_formats_are_lost_with_their_text() -> None:
    world, first, second = devices()
    with first.db.write():
        first.db.get("Note", 1).body.format(0, 3, {"c": "red"})
    with second.db.write():
        second.db.delete(second.db.get("Note", 1))
    world.settle()
    (entry,) = first.db.journal
    assert entry.rule == "deletion"
    assert [part[1:] for part in entry.lost] == [("formatted", ["one", {"c": "red"}], None)]


def test_formats_that_are_refused_are_told() -> None:
    """JOURNAL-9: without the characters, so that they are not written again."""
    world, first, _ = devices()
    with first.db.write(atomic=True):
        first.db.get("Note", 1).body.format(0, 3, {"c": "red", "b": True})
        first.db.get("Note", 2).body.append("!")
    world.settle()
    entry = next(entry for entry in first.db.journal if entry.key == 1)
    assert [tuple(part) for part in entry.lost] == [
        (("body",), "formatted", ["", {"b": True, "c": "red"}], None)
    ]
    with pytest.raises(UsageError, match="not there"):
        first.db.journal.retry(entry.number)
