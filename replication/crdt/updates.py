"""Updates of collaborative text: what Yjs calls an update (version 1), read and written. [TEXT]

No byte from a peer reaches another reader of updates before it went through `read_update`.

An update is a set of **units** and a set of **deletions**. A unit is one UTF-16 code unit or one
mark of formatting; it has an id (client, clock), the ids of the units it was put between (`left`,
`right`; None at an end of the text) and content. Deletions are ids, of units known or not yet.

Rule 1: only what a text holds is read: strings, formats, deleted units and gaps, in one root.
        What nests, embeds or names another root is refused. [TEXT-1]
Rule 2: merging is a union, unit by unit. Of two units with one id the lesser stays, by `left`,
        `right`, then content; a deleted unit has no content. [TEXT-2] [TEXT-3]
Rule 3: units that follow each other, in a row and made in a row, are one run, as long as it can
        be: one set of units and deletions has one canonical form. [TEXT-4]
Rule 4: work is bounded by the bytes: what ranges cover is never counted out.
"""

from __future__ import annotations

import heapq
import json
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import Any, Final, TypeAlias

from replication.errors import DecodeError, LimitExceededError
from replication.limits import (
    CHANGESET_BYTES_MAX,
    TEXT_CLIENT_MAX,
    TEXT_CLOCK_MAX,
    TEXT_FORMAT_BYTES_MAX,
    TEXT_FORMAT_DEPTH_MAX,
)

#: (client, clock)
UnitId: TypeAlias = tuple[int, int]
#: Half-open ranges of clocks, ascending, apart from each other.
Ranges: TypeAlias = list[tuple[int, int]]
#: A string of UTF-16 code units, a format (name, JSON), or None: deleted.
Content: TypeAlias = str | tuple[str, str] | None
#: (first clock, length, left, right, content)
Run: TypeAlias = tuple[int, int, UnitId | None, UnitId | None, Content]

#: The name of the root that holds the text of a field.
ROOT_NAME: Final = "text"
#: An update that says nothing.
EMPTY: Final = b"\0\0"

_DELETED: Final = 1
_STRING: Final = 4
_FORMAT: Final = 6
_SKIP: Final = 10
_HAS_LEFT: Final = 0x80
_HAS_RIGHT: Final = 0x40
#: Names a root by its name, which only a unit between nothing and nothing does.
_ROOT: Final = b"\x01" + bytes([len(ROOT_NAME)]) + ROOT_NAME.encode()
_LONE: Final = "\ufffd"
_HALF: Final = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")
_ASTRAL: Final = re.compile("[\U00010000-\U0010ffff]")


@dataclass(slots=True)
class Update:
    """An update, decoded.

    Attributes:
        runs: the units by client, ascending and without overlaps.
        deleted: the deletions by client.
    """

    runs: dict[int, list[Run]] = field(default_factory=dict)
    deleted: dict[int, Ranges] = field(default_factory=dict)

    def end(self, client: int) -> int:
        """The clock after the last unit of a client; 0 where there is none."""
        runs = self.runs.get(client)
        return 0 if not runs else runs[-1][0] + runs[-1][1]


# -- reading -----------------------------------------------------------------------------------
class _Reader:
    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self, most: int, what: str) -> int:
        data, at = self.data, self.at
        if at >= len(data):
            raise DecodeError("an update that is cut short")
        byte = data[at]
        at += 1
        value = byte & 0x7F
        shift = 7
        while byte & 0x80:
            if shift > 49 or at >= len(data):
                raise DecodeError(f"an update with a {what} that is too long or cut short")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
        self.at = at
        if value > most:
            raise LimitExceededError(f"an update with a {what} of {value}, at most {most} is read")
        return value

    def byte(self) -> int:
        if self.at >= len(self.data):
            raise DecodeError("an update that is cut short")
        self.at += 1
        return self.data[self.at - 1]

    def string(self) -> str:
        size = self.number(CHANGESET_BYTES_MAX, "length")
        if size > len(self.data) - self.at:
            raise DecodeError("an update with a string that is cut short")
        start = self.at
        self.at = start + size
        try:
            return self.data[start : self.at].decode()
        except UnicodeDecodeError:
            raise DecodeError("an update with a string that is no UTF-8") from None

    def id(self) -> UnitId:
        return (self.number(TEXT_CLIENT_MAX, "client id"), self.number(TEXT_CLOCK_MAX, "clock"))


def read_update(data: bytes) -> Update:
    """What an update says, whatever order it says it in: Rule 1.

    Raises:
        DecodeError: it is none, or holds what no text does.
    """
    if len(data) > CHANGESET_BYTES_MAX:
        raise LimitExceededError(f"an update of {len(data)} bytes")
    reader = _Reader(data)
    runs: dict[int, list[Run]] = {}
    deleted: dict[int, Ranges] = {}
    for _ in range(reader.number(len(data), "number of clients")):
        count = reader.number(len(data), "number of structs")
        client = reader.number(TEXT_CLIENT_MAX, "client id")
        if client in runs:
            raise DecodeError(f"an update that names client {client} twice")
        runs[client] = _read_runs(reader, client, count, deleted)
    for _ in range(reader.number(len(data), "number of clients")):
        client = reader.number(TEXT_CLIENT_MAX, "client id")
        ranges = deleted.setdefault(client, [])
        for _ in range(reader.number(len(data), "number of deletions")):
            start = reader.number(TEXT_CLOCK_MAX, "clock")
            length = reader.number(TEXT_CLOCK_MAX - start, "length of a deletion")
            if length:
                ranges.append((start, start + length))
    if reader.at != len(data):
        raise DecodeError(f"an update with {len(data) - reader.at} bytes after its end")
    update = Update(
        {client: found for client, found in runs.items() if found},
        {client: joined(found) for client, found in deleted.items() if found},
    )
    _normalise(update)
    return update


def read_state(data: bytes) -> dict[int, int]:
    """The clock after the last unit of each client, as a document of this process tells it."""
    reader = _Reader(data)
    count = reader.number(len(data), "number of clients")
    return dict(reader.id() for _ in range(count))


def _read_runs(reader: _Reader, client: int, count: int, deleted: dict[int, Ranges]) -> list[Run]:
    clock = reader.number(TEXT_CLOCK_MAX, "clock")
    out: list[Run] = []
    for _ in range(count):
        info = reader.byte()
        if info == _SKIP:
            clock += _length(reader, clock)
            continue
        left = reader.id() if info & _HAS_LEFT else None
        right = reader.id() if info & _HAS_RIGHT else None
        if left is None and right is None:
            _read_root(reader)
        kind = info & ~(_HAS_LEFT | _HAS_RIGHT)
        content: Content = None
        if kind == _STRING:
            content = _units(reader.string())
            length = len(content)
            if length > TEXT_CLOCK_MAX - clock:
                raise DecodeError("an update with a string past all clocks")
            if not length:  # split documents have such, and they say nothing
                continue
        elif kind == _DELETED:
            length = _length(reader, clock)
            deleted.setdefault(client, []).append((clock, clock + length))
        elif kind == _FORMAT:
            content, length = _read_format(reader), 1
            if clock >= TEXT_CLOCK_MAX:
                raise DecodeError("an update with a format past all clocks")
        else:
            raise DecodeError(f"an update with content of kind {kind:#x}, which no text holds")
        out.append((clock, length, left, right, content))
        clock += length
    return out


def _length(reader: _Reader, clock: int) -> int:
    length = reader.number(TEXT_CLOCK_MAX - clock, "length")
    if length == 0:
        raise DecodeError("an update with a struct of no length")
    return length


def _read_root(reader: _Reader) -> None:
    if reader.data[reader.at : reader.at + len(_ROOT)] != _ROOT:
        raise DecodeError(f"an update of another root than {ROOT_NAME!r}, or of what is in it")
    reader.at += len(_ROOT)


def _read_format(reader: _Reader) -> tuple[str, str]:
    name, value = reader.string(), reader.string()
    check_format(name, value)
    return name, value


def check_format(name: str, value: str) -> None:
    """Raise DecodeError unless a text can be formatted with that name and JSON value."""
    if len(name.encode()) + len(value.encode()) > TEXT_FORMAT_BYTES_MAX:
        raise LimitExceededError(f"a format of more than {TEXT_FORMAT_BYTES_MAX} bytes")
    if not name:
        raise DecodeError("a format without a name")
    if value.count("[") + value.count("{") > TEXT_FORMAT_DEPTH_MAX:
        raise LimitExceededError(f"format {name!r} holds too much: {value[:60]!r}")
    try:
        held = json.loads(value)
    except ValueError:
        raise DecodeError(f"format {name!r} is no JSON: {value[:60]!r}") from None
    if not _is_portable(held):
        raise DecodeError(f"format {name!r} is no JSON that all understand: {value[:60]!r}")


def _is_portable(value: Any) -> bool:
    match value:
        case None | bool():
            return True
        case int():
            return abs(value) < 2**53
        case float():
            return math.isfinite(value)
        case str():
            return not any("\ud800" <= char <= "\udfff" for char in value)
        case list():
            return all(map(_is_portable, value))
        case _:
            return all(_is_portable(key) and _is_portable(each) for key, each in value.items())


# -- code units --------------------------------------------------------------------------------
def _units(text: str) -> str:
    """A string of code units: what is past U+FFFF as two surrogates."""
    if text.isascii() or not _ASTRAL.search(text):
        return text
    return _ASTRAL.sub(_pair, text)


def _pair(found: re.Match[str]) -> str:
    code = ord(found[0]) - 0x10000
    return chr(0xD800 + (code >> 10)) + chr(0xDC00 + (code & 0x3FF))


def _text(units: str) -> str:
    """The inverse: pairs of surrogates joined; one that is alone is U+FFFD."""
    try:
        units.encode()
    except UnicodeEncodeError:
        return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return units


def _whole(run: Run) -> Run:
    """A run as it is written: a surrogate without the other half is U+FFFD."""
    content = run[4]
    if isinstance(content, str) and not content.isascii():
        return (*run[:4], _HALF.sub(_LONE, content))
    return run


def _unit_key(unit: str) -> tuple[str, str]:
    # A surrogate that loses the other half is written as U+FFFD: it has to compare as that.
    return (_LONE if "\ud800" <= unit <= "\udfff" else unit, unit)


# -- one form ----------------------------------------------------------------------------------
def joined(ranges: Ranges) -> Ranges:
    """Ranges in order, what touches or overlaps joined."""
    if len(ranges) == 1:
        return ranges
    out: Ranges = []
    for start, end in sorted(ranges):
        if out and start <= out[-1][1]:
            if end > out[-1][1]:
                out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return out


def _normalise(update: Update) -> None:
    """Take the content of what is deleted away, and make runs as long as they can be. Rule 3."""
    for client, runs in update.runs.items():
        ranges = update.deleted.get(client)
        if ranges is not None and ranges[-1][1] > runs[0][0]:
            runs = _without(client, runs, ranges)
        if len(runs) > 1:
            runs = _in_runs(client, runs)
        update.runs[client] = [_whole(run) for run in runs]


def _without(client: int, runs: list[Run], ranges: Ranges) -> list[Run]:
    out: list[Run] = []
    at = 0
    for run in runs:
        start, end = run[0], run[0] + run[1]
        while at < len(ranges) and ranges[at][1] <= start:
            at += 1
        here = at
        while run[4] is not None and here < len(ranges) and ranges[here][0] < end:
            first, last = max(start, ranges[here][0]), min(end, ranges[here][1])
            if first > start:
                out.append(_piece(client, run, start, first))
            out.append((*_piece(client, run, first, last)[:4], None))
            start = last
            here += 1
        if start < end:
            out.append(_piece(client, run, start, end))
    return out


def _piece(client: int, run: Run, start: int, end: int) -> Run:
    """The units of a run from clock ``start`` up to ``end``."""
    first, length, left, right, content = run
    if end - start == length:
        return run
    if isinstance(content, str):
        content = content[start - first : end - first]
    return (start, end - start, left if start == first else (client, start - 1), right, content)


def _in_runs(client: int, runs: list[Run]) -> list[Run]:
    out: list[Run] = []
    row: list[Run] = [runs[0]]
    for run in runs[1:]:
        last = row[-1]
        clock = last[0] + last[1]
        if not (
            run[0] == clock
            and run[2] == (client, clock - 1)
            and run[3] == last[3]
            and type(run[4]) is type(last[4])
            and type(run[4]) is not tuple
        ):
            out.append(_in_one(row))
            row = []
        row.append(run)
    out.append(_in_one(row))
    return out


def _in_one(row: list[Run]) -> Run:
    if len(row) == 1:
        return row[0]
    start, _, left, right, content = row[0]
    if content is not None:
        content = "".join([run[4] for run in row])  # type: ignore[misc]
    return (start, sum(run[1] for run in row), left, right, content)


def read_number(data: bytes, at: int) -> tuple[int, int]:
    """A number that this process wrote, and where it ends."""
    value = data[at] & 0x7F
    shift = 7
    while data[at] & 0x80:
        at += 1
        value |= (data[at] & 0x7F) << shift
        shift += 7
    return value, at + 1


# -- writing -----------------------------------------------------------------------------------
def write_number(out: bytearray, value: int) -> None:
    """Append a number in groups of 7 bits, the least first."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def write_string(out: bytearray, text: str) -> None:
    """Append a string and before it its length in bytes."""
    data = text.encode()
    write_number(out, len(data))
    out += data


def write_update(update: Update) -> bytes:
    """The canonical bytes of an update as `read_update` and `union` give it."""
    out = bytearray()
    write_number(out, len(update.runs))
    for client in sorted(update.runs, reverse=True):
        runs = update.runs[client]
        at = runs[0][0]
        body = bytearray()
        count = len(runs)
        for run in runs:
            if run[0] > at:
                count += 1
                body.append(_SKIP)
                write_number(body, run[0] - at)
            _write_run(body, run)
            at = run[0] + run[1]
        write_number(out, count)
        write_number(out, client)
        write_number(out, runs[0][0])
        out += body
    write_number(out, len(update.deleted))
    for client in sorted(update.deleted, reverse=True):
        ranges = update.deleted[client]
        write_number(out, client)
        write_number(out, len(ranges))
        for start, end in ranges:
            write_number(out, start)
            write_number(out, end - start)
    return bytes(out)


def _write_run(out: bytearray, run: Run) -> None:
    _, length, left, right, content = run
    kind = _DELETED if content is None else _STRING if isinstance(content, str) else _FORMAT
    info = (0 if left is None else _HAS_LEFT) | (0 if right is None else _HAS_RIGHT)
    out.append(info | kind)
    if left is not None:
        write_number(out, left[0])
        write_number(out, left[1])
    if right is not None:
        write_number(out, right[0])
        write_number(out, right[1])
    if not info:
        out += _ROOT
    if content is None:
        write_number(out, length)
    elif isinstance(content, str):
        write_string(out, _text(content))
    else:
        write_string(out, content[0])
        write_string(out, content[1])


def typed(client: int, clock: int, left: UnitId, right: UnitId | None, text: str) -> bytes:
    """The canonical update of one insertion that is not at the start of the text."""
    out = bytearray(b"\x01\x01")
    write_number(out, client)
    write_number(out, clock)
    _write_run(out, (clock, 0, left, right, text))
    out.append(0)
    return bytes(out)


def erased(client: int, ranges: Ranges) -> bytes:
    """The canonical update of deletions among the units of one client."""
    return write_update(Update({}, {client: joined(ranges)}))


# -- union -------------------------------------------------------------------------------------
def union(updates: Iterable[Update]) -> Update:
    """All units and deletions of all of them: Rule 2. Nothing given is changed."""
    held = list(updates)
    if len(held) == 1:
        return held[0]
    runs: dict[int, list[Run]] = {}
    deleted: dict[int, Ranges] = {}
    for each in held:
        for client, found in each.runs.items():
            runs.setdefault(client, []).extend(found)
        for client, ranges in each.deleted.items():
            deleted.setdefault(client, []).extend(ranges)
    out = Update(
        {client: _apart(client, found) for client, found in runs.items()},
        {client: joined(ranges) for client, ranges in deleted.items()},
    )
    _normalise(out)
    return out


def _apart(client: int, runs: list[Run]) -> list[Run]:
    """Runs in order, and of what overlaps the lesser units."""
    runs.sort(key=itemgetter(0))
    if all(one[0] + one[1] <= other[0] for one, other in pairwise(runs)):
        return runs
    bounds = sorted({clock for run in runs for clock in (run[0], run[0] + run[1])})
    pieces: dict[int, list[Run]] = {}
    for run in runs:
        at = bisect_right(bounds, run[0])
        start, end = run[0], run[0] + run[1]
        while start < end:
            piece = _piece(client, run, start, bounds[at])
            if piece not in pieces.setdefault(start, []):
                pieces[start].append(piece)
            start = bounds[at]
            at += 1
    out: list[Run] = []
    for start in sorted(pieces):
        out.extend(_least(client, pieces[start]))
    return out


def _least(client: int, rivals: list[Run]) -> list[Run]:
    """Of runs of the same ids the lesser units."""
    if len(rivals) == 1:
        return rivals
    start, length = rivals[0][:2]
    found = [min((_piece(client, run, start, start + 1) for run in rivals), key=_first_key)]
    if length == 1:
        return found
    # From the second unit on `left` is the unit before, in all of them.
    rests = [_piece(client, run, start + 1, start + length) for run in rivals]
    right = min(_id_key(run[3]) for run in rests)
    rests = [run for run in rests if _id_key(run[3]) == right]
    contents = [run[4] for run in rests if isinstance(run[4], str)]
    if len(contents) < len(rests):  # deleted in one, so in all of them soon
        return [*found, (*rests[0][:4], None)]
    units = "".join(min(each, key=_unit_key) for each in zip(*contents, strict=True))
    return [*found, (*rests[0][:4], units)]


def _first_key(run: Run) -> Any:
    content = run[4]
    kind: Any = ()
    if isinstance(content, str):
        kind = (0, *_unit_key(content[0]))
    elif content is not None:
        kind = (1, *content)
    return (_id_key(run[2]), _id_key(run[3]), kind)


def _id_key(unit: UnitId | None) -> tuple[int, ...]:
    return () if unit is None else unit


def before(update: Update, ends: Mapping[int, int]) -> Update:
    """What of an update is about units before the clocks ``ends``, all deletions included."""
    runs = {}
    for client, found in update.runs.items():
        end = ends.get(client, 0)
        early = [
            _piece(client, run, run[0], min(end, run[0] + run[1])) for run in found if run[0] < end
        ]
        if early:
            runs[client] = early
    return Update(runs, update.deleted)


# -- what can be shown -------------------------------------------------------------------------
def causal(update: Update, known: Mapping[int, int]) -> Update:
    """What of an update follows what is known: all of it, where nothing is missing.

    A unit follows if the one of the clock before it and those it was put between are known or
    follow, a deletion if its unit does.

    Args:
        known: the clock after the last unit of each client, from 0 on; what is before it is left
            out.
    """
    ends = dict(known)
    runs: dict[int, list[Run]] = {}
    #: (clock, client): what waits for units of a client, the least clock first.
    waiting: dict[int, list[UnitId]] = {}
    rests = {client: iter(found) for client, found in update.runs.items()}
    heads: dict[int, Run] = {}
    ready = sorted(update.runs)
    while ready:
        client = ready.pop()
        before = ends.get(client, 0)
        while True:
            run = heads.pop(client, None) or next(rests[client], None)
            if run is None or run[0] > ends.get(client, 0):
                break
            if run[0] + run[1] <= ends.get(client, 0):
                continue
            missing = next(
                (unit for unit in run[2:4] if unit and unit[1] >= ends.get(unit[0], 0)), None
            )
            if missing is not None:
                heads[client] = run
                heapq.heappush(waiting.setdefault(missing[0], []), (missing[1], client))
                break
            ends[client] = run[0] + run[1]
            runs.setdefault(client, []).append(
                _piece(client, run, max(run[0], before), ends[client])
            )
        waiters = waiting.get(client, [])
        while waiters and waiters[0][0] < ends.get(client, 0):
            ready.append(heapq.heappop(waiters)[1])
    deleted = {
        client: [(start, min(end, ends[client])) for start, end in ranges if start < ends[client]]
        for client, ranges in update.deleted.items()
        if client in ends
    }
    return Update(runs, {client: ranges for client, ranges in deleted.items() if ranges})


def is_whole(following: Update, update: Update, known: Mapping[int, int]) -> bool:
    """Whether ``following``, which is `causal` of an update and what is known, is all of it."""
    ends = dict(known)
    for client in update.runs:
        ends[client] = max(following.end(client), known.get(client, 0))
        if ends[client] < update.end(client):
            return False
    return all(ranges[-1][1] <= ends.get(c, 0) for c, ranges in update.deleted.items())
