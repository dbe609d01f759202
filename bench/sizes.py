"""What lists cost in bytes and places: nothing is timed, so one run says it all.

Lists are written one transaction an edit by the engine's own editor, and merged as a server does.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from bench.harness import Figure, figure
from replication.clock import time_from_ms
from replication.crdt import object as obj
from replication.crdt.edit import Author, ListEditor, Scope, seal
from replication.crdt.forget import forget
from replication.crdt.list import Elements, all_elements
from replication.crdt.object import merge, merge_all
from replication.crdt.parts import Parts
from replication.model.encoding import pack, unpack_trusted

_NAME = "entries"
_PATH = (obj.LIST, _NAME)
#: Transactions that are merged at once: a download's worth.
_TOGETHER = 100

Act = Callable[[Scope, ListEditor], None]


class _Board:
    """An object with one list, as a store has it, and as a device that sees all of it edits it."""

    def __init__(self) -> None:
        self._head = pack([1, 1, [], {obj.LIST: {_NAME: [[], [[], [], [], [], []]]}}])
        self._parts: dict[bytes, bytes] = {}
        self._editor = ListEditor([], Elements())
        self._waiting: list[Any] = []
        self._minted: dict[int, int] = {}
        self._random = random.Random(1)
        self._time = time_from_ms(375_000_000_000)

    def write(self, ident: int, act: Act) -> None:
        """One transaction of a device, within a minute of the one before."""
        self._time += self._random.randrange(1, 60_000) << 16

        def mint() -> int:
            self._minted[ident] = self._minted.get(ident, 0) + 1
            return self._minted[ident]

        delta: obj.Fields = {}
        act(Scope({}, delta, Author((self._time, ident), mint)), self._editor)
        self._waiting.append([0, 1, [], seal(delta)])
        if len(self._waiting) >= _TOGETHER:
            self.merge()

    def merge(self) -> None:
        """Merge what was written."""
        if self._waiting:
            delta, self._waiting = merge_all(self._waiting), []
            parts = self._read()
            self._store(merge(unpack_trusted(self._head), delta, parts), parts)

    def forget(self) -> None:
        """Forget what is dead."""
        self.merge()
        parts = self._read()
        self._store(forget(unpack_trusted(self._head), parts), parts)

    def _read(self) -> Parts:
        return Parts(self._parts.get, list(self._parts).copy)

    def _store(self, state: Any, parts: Parts) -> None:
        self._head = pack(state)
        for name, data in parts.changes().items():
            if data is None:
                del self._parts[name]
            else:
                self._parts[name] = data

    def elements(self) -> Elements:
        """All elements, as they are stored."""
        self.merge()
        return all_elements(unpack_trusted(self._head)[3][obj.LIST][_NAME], self._read(), _PATH)

    def metadata(self) -> float:
        """Bytes of head and parts an element, without those of the values."""
        values = [value for _, _, value in self.elements().values.values()]
        size = len(self._head) + sum(len(name) + len(data) for name, data in self._parts.items())
        return (size - sum(len(pack(value)) for value in values)) / len(values)


def _inserts(place: Callable[[int], int], count: int, idents: tuple[int, ...]) -> _Board:
    """A list after inserts, one a transaction, by devices in turn; ``place``: where, by length."""
    board = _Board()

    def insert(scope: Scope, editor: ListEditor) -> None:
        scope.list_insert(_NAME, editor, place(len(editor)), [len(editor)])

    for number in range(count):
        board.write(idents[number % len(idents)], insert)
    return board


def list_metadata(runs: int, *, quick: bool) -> list[Figure]:
    """Bytes an element that keep a list in order."""
    del runs
    few, many = (1000, 10_000) if quick else (10_000, 100_000)
    r = random.Random(6)
    boards = {
        f"{many:,} appends": _inserts(lambda length: length, many, (5,)),
        f"{many:,} prepends": _inserts(lambda _length: 0, many, (5,)),
        f"two devices in turn, {few:,} each": _inserts(lambda length: length, 2 * few, (5, 6)),
        f"{few:,} random inserts": _inserts(lambda length: r.randrange(length + 1), few, (5,)),
        f"{few:,} inserts in the middle": _inserts(lambda length: length // 2, few, (5,)),
    }
    out = [
        figure(f"list order an element: {name}", "bytes", [board.metadata()], target="<= 24")
        for name, board in boards.items()
    ]
    run = _Board()
    run.write(5, lambda scope, editor: scope.list_insert(_NAME, editor, 0, range(few)) and None)
    name = f"list order an element: one run of {few:,}"
    out.append(figure(name, "bytes", [run.metadata()], target="<= 4"))
    return out


def queue(runs: int, *, quick: bool) -> list[Figure]:
    """Append at the end, erase the first, again and again; then what is dead is forgotten."""
    del runs
    turns, living = (5000, 50) if quick else (100_000, 100)
    board = _inserts(lambda length: length, living, (5,))

    def turn(scope: Scope, editor: ListEditor) -> None:
        scope.list_insert(_NAME, editor, len(editor), [len(editor)])
        scope.list_erase(_NAME, editor, 0)

    for _ in range(turns):
        board.write(5, turn)
    before = len(board.elements().places)
    board.forget()
    left = board.elements()
    assert len(left.values) == living
    name = f"queue of {living} after {turns:,} turns and forgetting"
    out = figure(name, "places a living element", [len(left.places) / living], target="<= 3")
    out.extra["before forgetting"] = before / living
    return [out]
