"""Client ids in pending texts, renamed: what one copy of a file typed, the other did not. [SUBST-6]

Both copies of a file hold the same units. One of them gets another ident, and a client id belongs
to one ident: so the units of its pending texts become those of other clients, their clocks counted
from 0. What was integrated keeps its ids, and is referred to by them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from replication.crdt import object as obj
from replication.crdt.parts import Path
from replication.crdt.text import Text, text_of
from replication.crdt.units import Content, Ranges, Run, UnitId, Update
from replication.crdt.updates import read_update


class Reclient:
    """One renaming.

    Args:
        ident: whose the texts are now.
        client: the new client id of an old one.
    """

    def __init__(self, ident: int, client: Callable[[int], int]) -> None:
        self._ident = ident
        self._client = client
        #: The first pending clock of each client in each text.
        self._first: dict[Path, dict[int, int]] = {}

    def object(self, path: Path, state: obj.ObjectState) -> obj.ObjectState:
        """A delta of the object at a path, renamed; deltas come in the order they were made in.

        Args:
            path: of a top-level object what names it.
        """
        return [*state[:3], self._fields(path, state[3])]

    def _fields(self, path: Path, fields: obj.Fields) -> obj.Fields:
        out = dict(fields)
        for kind, held in fields.items():
            here = (*path, kind)
            if kind == obj.TEXT:
                out[kind] = {name: self._text((*here, name), text) for name, text in held.items()}
            elif kind == obj.EMBEDDED:
                out[kind] = {name: self.object((*here, name), each) for name, each in held.items()}
            elif kind == obj.DICTIONARY:
                out[kind] = {name: self._items((*here, name), each) for name, each in held.items()}
            elif kind == obj.LIST:
                out[kind] = {name: self._list((*here, name), each) for name, each in held.items()}
        return out

    def _items(self, path: Path, state: Any) -> Any:
        items = {key: self.object((*path, key), each) for key, each in state[2].items()}
        return [*state[:2], items]

    def _list(self, path: Path, state: Any) -> Any:
        contents = [
            [ident, sequence, self._fields((*path, (ident, sequence)), fields)]
            for ident, sequence, fields in state[1][4]
        ]
        return [state[0], [*state[1][:4], contents]]

    def _text(self, path: Path, text: Text) -> Text:
        update = read_update(text[1])
        first = self._first.setdefault(path, {})
        for client in update.runs:
            first.setdefault(client, update.runs[client][0][0])
        names = {client: self._client(client) for client in first}
        runs = {
            names[client]: [self._run(run, client, names, first) for run in found]
            for client, found in update.runs.items()
        }
        deleted: dict[int, Ranges] = {}
        for client, ranges in update.deleted.items():
            start = first.get(client)
            for low, high in ranges:
                if start is None or low < start:
                    end = high if start is None else min(high, start)
                    deleted.setdefault(client, []).append((low, end))
                if start is not None and high > start:
                    renamed = (max(low, start) - start, high - start)
                    deleted.setdefault(names[client], []).append(renamed)
        return text_of(Update(runs, deleted), self._ident)

    @staticmethod
    def _run(run: Run, client: int, names: dict[int, int], first: dict[int, int]) -> Run:
        def unit(here: UnitId | None) -> UnitId | None:
            if here is None or here[1] < first.get(here[0], here[1] + 1):
                return here
            return (names[here[0]], here[1] - first[here[0]])

        clock, length, left, right, content = run
        held: Content = content
        return (clock - first[client], length, unit(left), unit(right), held)
