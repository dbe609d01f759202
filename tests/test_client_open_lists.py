"""Lists that stay open between transactions show what a fresh reader sees, whatever happened."""

from __future__ import annotations

import contextlib
import random
import threading
from typing import Any

import pytest
from worlds import Device, World


class _UndoneError(Exception):
    """Rolls a transaction back."""


def edited(rng: random.Random, notes: Any, count: int) -> None:
    """Some random edits of a list."""
    for _ in range(count):
        action = rng.randrange(8)
        if action < 4 or not notes:
            notes.insert(rng.randint(0, len(notes)), rng.randrange(100))
        elif action == 4:
            del notes[rng.randrange(len(notes))]
        elif action == 5:
            notes[rng.randrange(len(notes))] = rng.randrange(100)
        elif action == 6:
            notes.move(rng.randrange(len(notes)), rng.randrange(len(notes)))
        elif rng.random() < 0.2:
            notes.clear()


def step(rng: random.Random, device: Device) -> None:
    """One transaction, kept or undone, in this thread or another."""
    db = device.db

    def work() -> None:
        with db.write():
            book = db.get("Book", 1)
            if book is None:
                book = db.create("Book", _id=1)
            edited(rng, book.notes, rng.randint(0, 3))
            if rng.random() < 0.1:
                db.delete(book)
                if rng.random() < 0.5:
                    edited(rng, db.create("Book", _id=1).notes, 2)
            if rng.random() < 0.2:
                raise _UndoneError

    def quietly() -> None:
        with contextlib.suppress(_UndoneError):
            work()

    if rng.random() < 0.1:
        thread = threading.Thread(target=quietly)
        thread.start()
        thread.join()
    else:
        quietly()


@pytest.mark.parametrize("seed", range(30))
def test_lists_left_open_show_what_is_committed(seed: int) -> None:
    rng = random.Random(seed)
    devices = World(2).devices
    for device in devices:
        device.subscribe()
    reused = 0
    for _ in range(60):
        device = rng.choice(devices)
        if rng.random() < 0.25:
            device.sync()
        else:
            step(rng, device)
        for each in devices:
            book = each.db.get("Book", 1)
            shown = None if book is None else list(book.notes)
            seen = each.view().get(1)
            assert shown == (None if seen is None else seen.get("notes", [])), (seed, each.number)
            name = ("Book", b"\x01")
            reused += each.db.open_lists.get(name, (), "notes") is not None
    assert reused, "a list stays open at least once"


def test_a_list_stays_open_for_the_thread_that_edited_it_only() -> None:
    (device,) = World(1).devices
    db, name = device.db, ("Book", b"\x01")
    with db.write():
        db.create("Book", _id=1, notes=[1, 2])
    assert db.open_lists.get(name, (), "notes") is not None
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(db.open_lists.get(name, (), "notes")))
    thread.start()
    thread.join()
    assert found == [None]
