"""Updates of text: what editors make of it, and what merely passes the gate."""

from __future__ import annotations

from random import Random
from typing import Any

import pycrdt

from replication.crdt.union import union
from replication.crdt.units import Run, UnitId, Update
from replication.crdt.updates import ROOT_NAME, read_update, write_update

STRINGS = ["a", "bc", "def", "é", "😀", "x😀y", "\n"]
FORMATS = [("b", True), ("b", None), ("i", True), ("link", {"href": "x"}), ("n", 1)]


class Editor:
    """A Yjs document: what it writes is kept as updates."""

    def __init__(self, client: int) -> None:
        self.doc: Any = pycrdt.Doc(client_id=client)
        self.text: Any = self.doc.get(ROOT_NAME, type=pycrdt.Text)
        self.written: list[bytes] = []
        self._kept = self.doc.observe(lambda event: self.written.append(event.update))
        self._seen: dict[int, int] = {}

    def edit(self, rng: Random) -> None:
        """Insert, erase or format somewhere."""
        text = str(self.text)
        offsets = [len(text[:at].encode()) for at in range(len(text) + 1)]
        at = rng.randint(0, len(text))
        end = min(len(text), at + rng.randint(1, 4))
        if rng.random() < 0.6 or at == end:
            formats = dict([rng.choice(FORMATS)]) if rng.random() < 0.2 else None
            self.text.insert(offsets[at], rng.choice(STRINGS), formats)
        elif rng.random() < 0.6:
            del self.text[offsets[at] : offsets[end]]
        else:
            self.text.format(offsets[at], offsets[end], dict([rng.choice(FORMATS)]))

    def pull(self, other: Editor, number: int) -> None:
        """Take what another one, known here by a number, wrote since the last time."""
        mine, theirs = len(self.written), other.written
        for update in theirs[self._seen.get(number, 0) :]:
            self.doc.apply_update(update)
        self._seen[number] = len(theirs)
        del self.written[mine:]

    def close(self) -> None:
        """A document that is observed is never freed."""
        self.doc.unobserve(self._kept)


def session(rng: Random, editors: int = 3, turns: int = 40) -> tuple[list[bytes], list[Editor]]:
    """What some editors wrote who now and then saw each other's work; at the end they see all."""
    all_ = [Editor(client + 1) for client in range(editors)]
    for _ in range(turns):
        one = rng.randrange(editors)
        if rng.random() < 0.2:
            other = rng.randrange(editors)
            if other != one:
                all_[one].pull(all_[other], other)
        else:
            all_[one].edit(rng)
    for one in range(editors):
        for other in range(editors):
            if other != one:
                all_[one].pull(all_[other], other)
    return [update for editor in all_ for update in editor.written], all_


def _id(rng: Random) -> UnitId | None:
    return None if rng.random() < 0.35 else (rng.randint(1, 3), int(rng.random() ** 2 * 9))


def nonsense(rng: Random) -> Update:
    """Units between anything, twice under one id, far from what they follow."""
    out = Update()
    for client in rng.sample([1, 2, 3], rng.randint(0, 3)):
        clock = 0 if rng.random() < 0.8 else rng.randint(1, 4)
        runs: list[Run] = []
        for _ in range(rng.randint(1, 4)):
            clock += rng.randint(1, 2) if rng.random() < 0.1 else 0
            content: Any = rng.choice(
                ["a", "ab", "cab", "\ud83d\ude00", "\ufffd", None, ("b", "true"), ("b", "null")]
            )
            length = len(content) if type(content) is str else 1 if content else rng.randint(1, 3)
            runs.append((clock, length, _id(rng), _id(rng), content))
            if content is None:
                out.deleted.setdefault(client, []).append((clock, clock + length))
            clock += length
        out.runs[client] = runs
    for client in (1, 2, 3):
        if rng.random() < 0.3:
            start = rng.randint(0, 9)
            out.deleted.setdefault(client, []).append((start, start + rng.randint(1, 3)))
    return read_update(write_update(union([out, Update()])))
