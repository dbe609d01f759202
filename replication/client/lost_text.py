"""What a delta of a text loses: characters with all of it, formats to others. [JOURNAL-1]

Rule 1: what was typed is lost only with the text: who deletes some of it has seen it.
Rule 2: a delta formatted a character if its marks give that another value than there would be
        without them. That is lost where a mark of somebody else, in the order of Yjs, gives it a
        third one. What merely ends what was formatted is no write to what comes behind it.
Rule 3: formats that the server refused are told without characters: what those were is not here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from replication.crdt.delta import integers, spell
from replication.crdt.union import causal, union
from replication.crdt.unit_items import Item, shown_in, text_of
from replication.crdt.unit_sequence import UnitSequence
from replication.crdt.units import Run, UnitId, Update
from replication.crdt.updates import read_update

#: Values of formats by name.
Formats: TypeAlias = dict[str, Any]


class Reformatted(NamedTuple):
    """Characters in a row whose formats were lost.

    Attributes:
        first: the id of the first one.
        text: the characters.
        old, new: what they were formatted with, and what they have now.
    """

    first: UnitId
    text: str
    old: Formats
    new: Formats | None


# -- characters --------------------------------------------------------------------------------
def typed_in(own: Update, left: Update) -> str:
    """The characters of an update that are still in another one, in the order of their making."""
    out: list[str] = []
    for client, runs in own.runs.items():
        for first, length, *_, content in runs:
            if isinstance(content, str):
                out += _pieces(left.runs.get(client, ()), first, first + length)
    return "".join(out).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _pieces(runs: Iterable[Run], start: int, end: int) -> Iterator[str]:
    for first, length, *_, content in runs:
        low, high = max(first, start), min(first + length, end)
        if low < high and isinstance(content, str):
            yield content[low - first : high - first]


def has_content(update: Update) -> bool:
    """Whether anything was put in that is not deleted."""
    return any(run[4] is not None for runs in update.runs.values() for run in runs)


# -- formats -----------------------------------------------------------------------------------
def formats_of(update: Update) -> Formats:
    """The formats that an update puts in: of each name the first one. In the order of the names."""
    out: Formats = {}
    for runs in update.runs.values():
        for run in runs:
            if isinstance(run[4], tuple):
                out.setdefault(run[4][0], _value(run[4][1]))
    return dict(sorted(out.items()))


def reformatted(own: Update, before: list[bytes], after: list[bytes] | None) -> list[Reformatted]:
    """What a delta formatted before and does not any more: Rule 2.

    Args:
        before, after: the updates of the text; None where all of it is gone.
    """
    units = UnitSequence()
    units.take(causal(union(map(read_update, before)), {}))
    claims = list(_claims(units, own))
    if after is None:
        return _in_rows((claim, None) for claim in claims)
    if not claims:
        return []
    units.take(causal(union(map(read_update, after)), units.ends))
    shown = {id(item): formats for item, formats, _ in _formatted(units, set())}
    return _in_rows(_taken(units, claims, shown))


class _Claim(NamedTuple):
    """Characters that a delta formatted: where they are shown, their units, the formats."""

    at: int
    unit: UnitId
    content: str
    formats: Formats


def _formatted(units: UnitSequence, own: set[UnitId]) -> Iterator[tuple[Item, Formats, Formats]]:
    """What shows characters, with its formats: those it has, and those without some marks."""
    formats: Formats = {}
    others: Formats = {}
    for item in units.items():
        if isinstance(item.content, tuple):
            name, value = item.content[0], _value(item.content[1])
            formats = {**formats, name: value}
            if (item.client, item.clock) not in own:
                others = {**others, name: value}
        elif item.shown:
            yield item, formats, others


def _claims(units: UnitSequence, own: Update) -> Iterator[_Claim]:
    marks = {
        (client, run[0])
        for client, runs in own.runs.items()
        for run in runs
        if isinstance(run[4], tuple)
    }
    at = 0
    for item, formats, others in _formatted(units, marks):
        held = _different(formats, others)
        if held:
            assert isinstance(item.content, str), "it shows characters"
            yield _Claim(at, (item.client, item.clock), item.content, held)
        at += item.shown


def _different(formats: Formats, others: Formats) -> Formats:
    """In the order of the names: or the same would look new where its marks stand otherwise."""
    return {
        name: value
        for name, value in sorted(formats.items())
        if spell(others.get(name)) != spell(value)
    }


def _taken(
    units: UnitSequence, claims: list[_Claim], shown: dict[int, Formats]
) -> Iterator[tuple[_Claim, Formats]]:
    """What of claims has other formats now, and which."""
    for at, (client, clock), content, held in claims:
        start = 0
        while start < len(content):
            item = units.named((client, clock + start))
            end = min(len(content), item.clock + item.size - clock)
            formats = shown.get(id(item))
            lost = {} if formats is None else _different(held, formats)  # None: it is deleted now
            if formats is not None and lost:
                place = at + shown_in(content[:start])
                piece = _Claim(place, (client, clock + start), content[start:end], lost)
                yield piece, {name: formats.get(name) for name in lost}
            start = end


def _in_rows(found: Iterable[tuple[_Claim, Formats | None]]) -> list[Reformatted]:
    out: list[Reformatted] = []
    end = -1
    for (at, unit, content, old), new in found:
        text = text_of(content)
        if at == end and spell([out[-1].old, out[-1].new]) == spell([old, new]):
            out[-1] = out[-1]._replace(text=out[-1].text + text)
        elif text:
            out.append(Reformatted(unit, text, old, new))
        end = at + len(text)
    return out


def _value(spelled: str) -> Any:
    return integers(json.loads(spelled))
