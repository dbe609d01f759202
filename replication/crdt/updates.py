"""Updates of collaborative text: what Yjs calls an update (version 1), read and written. [TEXT]

No byte from a peer reaches another reader of updates before it went through `read_update`.

Rule 1: only what a text holds is read: strings, formats, deleted units and gaps, in one root.
        What nests, embeds or names another root is refused. [TEXT-1]
Rule 2: what is read is in one form (see `units.py`), and its bytes are canonical: equal updates are
        equal bytes. [TEXT-10]
Rule 3: work is bounded by the bytes: what ranges cover is never counted out.
"""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import Any, Final

from replication.crdt.units import (
    Content,
    Ranges,
    Run,
    UnitId,
    Update,
    joined,
    normalise,
    text_of_units,
    units_of,
)
from replication.errors import DecodeError, LimitExceededError
from replication.limits import (
    CHANGESET_BYTES_MAX,
    TEXT_CLIENT_MAX,
    TEXT_CLOCK_MAX,
    TEXT_FORMAT_BYTES_MAX,
    TEXT_FORMAT_DEPTH_MAX,
)

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
_JSON_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"')


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
    normalise(update)
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
            content = units_of(reader.string())
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
    outside = _JSON_STRING.sub("", value)
    if outside.count("[") + outside.count("{") > TEXT_FORMAT_DEPTH_MAX:
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


def read_number(data: bytes, at: int) -> tuple[int, int]:
    """A number that this process wrote, and where it ends."""
    value = data[at]
    if value < 0x80:
        return value, at + 1
    value &= 0x7F
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


@lru_cache(maxsize=256)
def _client(client: int) -> bytes:
    # They are as long as numbers can be, few, and written again and again.
    out = bytearray()
    write_number(out, client)
    return bytes(out)


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
        out += _client(client)
        write_number(out, runs[0][0])
        out += body
    write_number(out, len(update.deleted))
    for client in sorted(update.deleted, reverse=True):
        ranges = update.deleted[client]
        out += _client(client)
        write_number(out, len(ranges))
        for start, end in ranges:
            write_number(out, start)
            write_number(out, end - start)
    return bytes(out)


def write_run(client: int, run: Run) -> bytes:
    """The canonical bytes of an update that is one run."""
    out = bytearray(b"\1\1")
    out += _client(client)
    write_number(out, run[0])
    _write_run(out, run)
    out.append(0)
    return bytes(out)


def _write_run(out: bytearray, run: Run) -> None:
    _, length, left, right, content = run
    kind = _DELETED if content is None else _STRING if isinstance(content, str) else _FORMAT
    info = (0 if left is None else _HAS_LEFT) | (0 if right is None else _HAS_RIGHT)
    out.append(info | kind)
    if left is not None:
        out += _client(left[0])
        write_number(out, left[1])
    if right is not None:
        out += _client(right[0])
        write_number(out, right[1])
    if not info:
        out += _ROOT
    if content is None:
        write_number(out, length)
    elif isinstance(content, str):
        write_string(out, text_of_units(content))
    else:
        write_string(out, content[0])
        write_string(out, content[1])
