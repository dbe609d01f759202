"""Texts that stay loaded: after any state that comes they show what loading it anew shows."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from made_updates import erased, typed
from test_text import Store
from text_strategies import nonsense, session
from text_vectors import in_object

from replication.client.loaded_text import LoadedText
from replication.crdt import object as obj
from replication.crdt.document import Document, pieces_of
from replication.crdt.formatting import pieces
from replication.crdt.object import absent
from replication.crdt.text import all_updates, text_of
from replication.crdt.unit_sequence import UnitSequence
from replication.crdt.units import Update
from replication.crdt.updates import read_update, write_update

PATH = (obj.TEXT, "t")


class Kept:
    """A text of a stored object, kept loaded; how often that took loading it anew."""

    def __init__(self) -> None:
        self.store = Store()
        self.state: Any = absent()
        self.loads = -1
        self.load()

    def load(self) -> None:
        """Begin anew."""
        self.loads += 1
        self.loaded, self.document, self.units = LoadedText(), Document([]), UnitSequence()

    def merge(self, *updates: bytes) -> None:
        """Merge, catch up, and hold that what shows is right."""
        for data in updates:
            self.state = self.store.merge(self.state, in_object(text_of(read_update(data), 2)))
        self.catch_up()

    def catch_up(self) -> None:
        state, parts = self.state[3][obj.TEXT]["t"], self.store.parts()

        def load(number: int) -> bytes:
            data: bytes = parts.load(PATH, [], number)
            return data

        known = self.document.ends()
        assert known == self.units.ends
        news = self.loaded.news(state, load, known)
        if news is None:
            self.load()
            news = self.loaded.news(state, load, {})
            assert news is not None
        self.document.take(write_update(news))
        self.units.take(news)
        shown = pieces_of(all_updates(state, parts, PATH))
        assert self.document.pieces() == shown
        assert pieces(self.units) == shown


@pytest.mark.parametrize("seed", range(4))
def test_what_editors_write_never_takes_a_new_document(seed: int) -> None:
    rng = Random(seed)
    written, editors = session(rng, editors=1, turns=100)
    for editor in editors:
        editor.close()
    kept = Kept()
    kept.merge(typed(9, 0, None, None, "start "))
    while written:
        count = rng.randint(1, 5)
        kept.merge(*written[:count])
        written = written[count:]
    kept.merge(typed(9, 6, (9, 5), None, "0123456789" * 900))  # into a part
    kept.merge(typed(9, 9006, (9, 9005), None, "!"))
    assert kept.store.held
    assert kept.loads == 0


def test_whatever_comes() -> None:
    for seed in range(150):
        rng = Random(seed)
        kept = Kept()
        for _ in range(4):
            kept.merge(write_update(nonsense(rng)))


def test_other_units_of_ids_that_are_shown() -> None:
    """Of two the lesser is shown, whichever came first: the document has to be another one."""
    kept = Kept()
    kept.merge(typed(5, 0, None, None, "b"))
    kept.merge(typed(5, 0, None, None, "a"))
    assert kept.loads == 1
    kept.merge(typed(5, 1, (5, 0), None, "c"))
    assert kept.loads == 1
    assert kept.document.pieces() == [("ac", {})]


@pytest.mark.parametrize(
    "update", [erased(5, [(0, 1)]), erased(5, [(1, 2)]), typed(6, 0, (5, 0), (5, 1), "x")]
)
def test_halves_of_a_pair_that_part(update: bytes) -> None:
    """An editor that counts in UTF-16 erases half an emoji."""
    kept = Kept()
    kept.merge(typed(5, 0, None, None, "😀"))
    kept.merge(update)
    assert kept.loads == 1


def test_what_is_gone_is_not_shown() -> None:
    kept = Kept()
    kept.merge(typed(5, 0, None, None, "abc"), typed(5, 3, (5, 2), None, "def"))
    kept.state[3][obj.TEXT]["t"] = [[[5, 2, 3]], [typed(5, 0, None, None, "abc")], [], 0]
    kept.catch_up()
    assert kept.loads == 1
    assert kept.document.pieces() == [("abc", {})]


def test_what_follows_nothing_is_shown_once_that_comes() -> None:
    kept = Kept()
    kept.merge(typed(5, 3, (5, 2), None, "def"))
    kept.merge(write_update(Update({6: [(0, 1, (5, 3), None, "!")]})))
    kept.merge(typed(5, 0, None, None, "abc"))
    assert kept.document.pieces() == [("abcdef!", {})]
