"""Texts once more, from the page alone and as plainly as can be: a dictionary of units.

Reads updates unit by unit, merges them id by id, and puts units in order as Yjs does, one after
the other. Nothing here is bounded, and nothing is fast.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, NamedTuple

Id = tuple[int, int]
NONE = "none"


class Unit(NamedTuple):
    """Where it was put, and what it is: a code unit, (name, JSON), or None."""

    left: Id | None
    right: Id | None
    content: Any


class Text:
    """Units and deletions."""

    def __init__(self, units: dict[Id, Unit], deleted: set[Id]) -> None:
        self.units = units
        self.deleted = deleted


# -- bytes -------------------------------------------------------------------------------------
def _number(data: list[int]) -> int:
    value = shift = 0
    while True:
        byte = data.pop(0)
        value += (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value


def _string(data: list[int]) -> str:
    size = _number(data)
    out = bytes(data[:size]).decode()
    del data[:size]
    return out


def code_units(text: str) -> list[str]:
    """UTF-16."""
    data = text.encode("utf-16-be")
    return [chr(int.from_bytes(data[at : at + 2], "big")) for at in range(0, len(data), 2)]


def read(update: bytes) -> Text:
    """An update that is one."""
    data = list(update)
    units: dict[Id, Unit] = {}
    deleted: set[Id] = set()
    for _ in range(_number(data)):
        count, client, clock = _number(data), _number(data), _number(data)
        for _ in range(count):
            info = data.pop(0)
            if info == 10:
                clock += _number(data)
                continue
            left = (_number(data), _number(data)) if info & 128 else None
            right = (_number(data), _number(data)) if info & 64 else None
            if left is None and right is None:
                assert (data.pop(0), _string(data)) == (1, "text")
            contents: list[Any]
            if info & 31 == 4:
                contents = list(code_units(_string(data)))
            elif info & 31 == 6:
                contents = [(_string(data), _string(data))]
            else:
                assert info & 31 == 1
                contents = [None] * _number(data)
            for content in contents:
                units[client, clock] = Unit(left, right, content)
                if content is None:
                    deleted.add((client, clock))
                left = (client, clock)
                clock += 1
    for _ in range(_number(data)):
        client = _number(data)
        for _ in range(_number(data)):
            start, length = _number(data), _number(data)
            deleted.update((client, clock) for clock in range(start, start + length))
    assert not data
    return cleared(units, deleted)


def cleared(units: dict[Id, Unit], deleted: set[Id]) -> Text:
    """What is deleted has no content."""
    return Text({i: u._replace(content=None) if i in deleted else u for i, u in units.items()},
                deleted)  # fmt: skip


# -- merging -----------------------------------------------------------------------------------
def _order(unit: Unit) -> Any:
    content: Any = ()
    if type(unit.content) is str:
        shown = "\ufffd" if "\ud800" <= unit.content <= "\udfff" else unit.content
        content = (0, shown, unit.content)
    elif unit.content is not None:
        content = (1, *unit.content)
    return (unit.left or (), unit.right or (), content)


def merge(one: Text, other: Text) -> Text:
    """The lesser unit of each id."""
    units = dict(one.units)
    for name, unit in other.units.items():
        units[name] = min(unit, units.get(name, unit), key=_order)
    return cleared(units, one.deleted | other.deleted)


# -- the canonical form ------------------------------------------------------------------------
def runs(text: Text) -> dict[int, list[tuple[int, Unit, list[Any]]]]:
    """By client: first clock, first unit, contents."""
    out: dict[int, list[tuple[int, Unit, list[Any]]]] = {}
    for client, clock in sorted(text.units):
        unit = text.units[client, clock]
        row = out.setdefault(client, [])
        if row:
            start, first, contents = row[-1]
            if (
                start + len(contents) == clock
                and unit.left == (client, clock - 1)
                and unit.right == first.right
                and type(unit.content) is type(first.content)
                and type(unit.content) is not tuple
            ):
                contents.append(unit.content)
                continue
        row.append((clock, unit, [unit.content]))
    return out


def ranges(text: Text) -> dict[int, list[tuple[int, int]]]:
    """By client: first clock and length of what is deleted."""
    out: dict[int, list[tuple[int, int]]] = {}
    for client, clock in sorted(text.deleted):
        row = out.setdefault(client, [])
        if row and sum(row[-1]) == clock:
            row[-1] = (row[-1][0], row[-1][1] + 1)
        else:
            row.append((clock, 1))
    return out


def _put(out: list[int], *numbers: int) -> None:
    for number in numbers:
        while number > 127:
            out.append(number % 128 + 128)
            number //= 128
        out.append(number)


def _put_string(out: list[int], text: str) -> None:
    data = text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace").encode()
    _put(out, len(data))
    out += data


def write(text: Text) -> bytes:
    """The canonical update."""
    out: list[int] = []
    found = runs(text)
    _put(out, len(found))
    for client in sorted(found, reverse=True):
        row = found[client]
        gaps = sum(a[0] + len(a[2]) < b[0] for a, b in pairwise(row))
        _put(out, len(row) + gaps, client, row[0][0])
        at = row[0][0]
        for start, first, contents in row:
            if start > at:
                _put(out, 10, start - at)
            at = start + len(contents)
            kind = 1 if first.content is None else 4 if type(first.content) is str else 6
            out.append(kind + (128 if first.left else 0) + (64 if first.right else 0))
            _put(out, *(first.left or ()), *(first.right or ()))
            if not first.left and not first.right:
                _put(out, 1)
                _put_string(out, "text")
            if kind == 1:
                _put(out, len(contents))
            elif kind == 4:
                _put_string(out, "".join(contents))
            else:
                _put_string(out, first.content[0])
                _put_string(out, first.content[1])
    gone = ranges(text)
    _put(out, len(gone))
    for client in sorted(gone, reverse=True):
        _put(out, client, len(gone[client]))
        for start, length in gone[client]:
            _put(out, start, length)
    return bytes(out)


# -- order -------------------------------------------------------------------------------------
def in_order(text: Text) -> list[Id]:
    """The units that follow, as Yjs orders them."""
    order: list[Id] = []
    waiting = sorted(text.units)
    while True:
        here = next((each for each in waiting if _follows(text.units[each], each, order)), None)
        if here is None:
            return order
        waiting.remove(here)
        order.insert(_position(text.units, here, order), here)


def _follows(unit: Unit, here: Id, order: list[Id]) -> bool:
    before = [(here[0], here[1] - 1)] if here[1] else []
    return all(each in order for each in (*before, unit.left, unit.right) if each is not None)


def _position(units: dict[Id, Unit], here: Id, order: list[Id]) -> int:
    unit = units[here]
    at = order.index(unit.left) + 1 if unit.left else 0
    passed: set[Id] = set()
    rivals: set[Id] = set()
    for index in range(at, len(order)):
        other = order[index]
        if other == unit.right:
            break
        passed.add(other)
        rivals.add(other)
        if units[other].left == unit.left:
            if other[0] < here[0]:
                at = index + 1
                rivals.clear()
            elif units[other].right == unit.right:
                break
        elif units[other].left in passed:
            if units[other].left not in rivals:
                at = index + 1
                rivals.clear()
        else:
            break
    return at


def shows(text: Text) -> list[tuple[str, dict[str, Any]]]:
    """What a reader sees: strings with their formats."""
    out: list[tuple[list[Any], dict[str, Any]]] = []
    formats: dict[str, Any] = {}
    spelled = ""  # 1 is not true, though Python says so
    for here in in_order(text):
        content = text.units[here].content
        if type(content) is tuple:
            value = json.loads(content[1])
            formats = {**formats, content[0]: value}
            formats = {name: held for name, held in formats.items() if held is not None}
        elif content is not None:
            now = json.dumps(formats, sort_keys=True)
            if now != spelled:
                out.append(([], formats))
            spelled = now
            out[-1][0].append(content)
    return [(joined(units), held) for units, held in out]


def joined(units: list[str]) -> str:
    """A string of code units; half of a pair that lost the other is shown as such."""
    return "".join(units).encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")
