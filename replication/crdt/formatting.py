"""Formatting text: what marks are put where, and what they make of the characters. [MERGE-TEXT-5]

A format goes from its mark to the next one of that name; `null` ends it. What is put and taken away
is what Yjs puts and takes away, so that marks do not pile up.

Rule 1: what is inserted with formats has those and no others; what follows keeps its own.
Rule 2: marks inside of what is formatted are deleted, if they are of a name that is given.
Rule 3: no mark is put where it would change nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from replication.crdt.delta import Pieces, integers, spell
from replication.crdt.unit_items import Item, text_of
from replication.crdt.unit_sequence import UnitSequence
from replication.crdt.units import Update, units_of

_NULL = "null"


def pieces(units: UnitSequence) -> Pieces:
    """What a text shows: strings, each with its formats; neighbours have different ones."""
    out: list[tuple[list[str], dict[str, Any]]] = []
    formats: dict[str, Any] = {}
    changed = True
    for item in units.items():
        if isinstance(item.content, tuple):
            formats = _with(formats, *item.content)
            changed = True
        elif item.content is not None and item.shown:
            if changed and not (out and spell(out[-1][1]) == spell(formats)):
                out.append(([], formats))
            changed = False
            out[-1][0].append(text_of(item.content))
    return [("".join(found), held) for found, held in out]


def _with(formats: dict[str, Any], name: str, value: str) -> dict[str, Any]:
    held = integers(json.loads(value))
    if held is None:
        return {each: value for each, value in formats.items() if each != name}
    return {**formats, name: held}


def insert(
    units: UnitSequence, client: int, index: int, text: str, formats: Mapping[str, Any]
) -> Update:
    """Insert before the character at ``index``, formatted: Rule 1. Returns what that wrote."""
    pen = _Pen(units, client, index)
    given = dict.fromkeys(pen.formats, _NULL) | _spelled(formats)
    pen.pass_over(given)
    after = pen.open(given)
    pen.write(units_of(text))
    pen.close(after)
    return pen.update


def apply(
    units: UnitSequence, client: int, index: int, count: int, formats: Mapping[str, Any]
) -> Update:
    """Format ``count`` characters from ``index`` on; None takes a format away. Returns the same."""
    pen = _Pen(units, client, index)
    given = _spelled(formats)
    pen.pass_over(given)
    after = pen.open(given)
    pen.go(count, given, after)
    pen.close(after)
    return pen.update


def _spelled(formats: Mapping[str, Any]) -> dict[str, str]:
    return {name: spelled(value) for name, value in formats.items()}


def spelled(value: Any) -> str:
    """The value of a format as it is written: JSON as short as it can be."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _alike(one: str | None, other: str) -> bool:
    if one == other:
        return True
    if one is None:
        return False
    return spell(integers(json.loads(one))) == spell(integers(json.loads(other)))


class _Pen:
    """A place in a text that moves on, and what it writes and deletes on its way.

    Attributes:
        formats: those in force there, as JSON.
        update: what was written.
    """

    def __init__(self, units: UnitSequence, client: int, index: int) -> None:
        self._units = units
        self._client = client
        self._left = units.before(index)
        self.formats: dict[str, str] = {}
        for name, value in units.formats_before(self._left):
            self._note(name, value)
        self.update = Update()

    @property
    def _right(self) -> Item | None:
        return self._units.first if self._left is None else self._left.following

    def _note(self, name: str, value: str) -> None:
        if value == _NULL:
            self.formats.pop(name, None)
        else:
            self.formats[name] = value

    def _forward(self, item: Item) -> None:
        if isinstance(item.content, tuple):
            self._note(*item.content)
        self._left = item

    def write(self, content: str | tuple[str, str]) -> None:
        """Put something here and go behind it."""
        run = self._units.put(self._client, content, self._left)
        self.update.runs.setdefault(self._client, []).append(run)
        self._forward(self._units.named((self._client, run[0] + run[1] - 1)))

    def pass_over(self, given: Mapping[str, str]) -> None:
        """Go behind what shows nothing and says what is given anyway. Rule 3."""
        while (item := self._right) is not None:
            content = item.content
            if content is not None and not (
                isinstance(content, tuple) and _alike(given.get(content[0], _NULL), content[1])
            ):
                break
            self._forward(item)

    def open(self, given: Mapping[str, str]) -> dict[str, str]:
        """Put marks for formats that are not in force; returns those that were there instead."""
        after: dict[str, str] = {}
        for name, value in given.items():
            held = self.formats.get(name, _NULL)
            if not _alike(held, value):
                after[name] = held
                self.write((name, value))
        return after

    def go(self, count: int, given: Mapping[str, str], after: dict[str, str]) -> None:
        """Go over characters, deleting the marks of what is given. Rule 2.

        Args:
            after: what is to be in force behind them; kept up to date.
        """
        while (item := self._right) is not None and (count or (after and not item.shown)):
            if isinstance(item.content, tuple) and item.content[0] in given:
                name, value = item.content
                if _alike(given[name], value):
                    after.pop(name, None)
                elif count:
                    after[name] = value
                else:
                    break
                self._delete(item)
                continue
            if item.shown > count:
                self._units.cut(item, count)
            count -= item.shown
            self._forward(item)

    def _delete(self, item: Item) -> None:
        self.update.deleted.setdefault(item.client, []).append((item.clock, item.clock + 1))
        self._units.kill(item)

    def close(self, after: dict[str, str]) -> None:
        """Put marks so that what follows has the formats it had. Rule 3."""
        while after and (item := self._right) is not None:
            content = item.content
            if isinstance(content, tuple):
                if not _alike(after.get(content[0]), content[1]):
                    break
                del after[content[0]]
            elif content is not None:
                break
            self._forward(item)
        for name, value in after.items():
            self.write((name, value))
