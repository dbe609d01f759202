"""Rows of a file to import: CSV, JSON lines or a BSON dump, as dicts of Python values.

Rule 1: a row has a number for messages: the line it begins on in text files (the first is 1), its
        position in a BSON dump (the first is 1).
Rule 2: a file is read from its start to its end, one row at a time; memory does not grow with it.
Rule 3: CSV holds strings only: an empty field is a missing one. What types they are is inferred
        later. JSON and BSON hold values.
Rule 4: a file that can't be read to its end is an error, not a shorter file.
"""

from __future__ import annotations

import csv
import datetime
import itertools
import json
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, TypeAlias

import bson
from bson.binary import UUID_SUBTYPE, Binary, UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.errors import InvalidBSON
from bson.int64 import Int64
from bson.objectid import ObjectId

from replication.errors import ReplicationError, UsageError
from replication.limits import VALUE_BYTES_MAX
from replication.model.notation import from_json
from replication.model.values import Timestamp

#: What a row holds at a name.
Cell: TypeAlias = Any


class Row(NamedTuple):
    """One row: where it stands in the file, and what it holds."""

    number: int
    cells: dict[str, Cell]


class BadRowError(UsageError):
    """A row that can't be imported; names the file, the row, the field and the value."""

    def __init__(self, path: Path, number: int, reason: str) -> None:
        super().__init__(f"{path.name}, row {number}: {reason}")
        self.number = number
        self.reason = reason


def format_of(path: Path, asked: str | None) -> str:
    """The format of a file: as asked, or by its name.

    Raises:
        UsageError: its name does not tell.
    """
    if asked is not None:
        return asked
    name = path.name.lower()
    for suffix, kind in _SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    raise UsageError(
        f"the name {path.name!r} does not tell the format; give it with --format csv, jsonl or bson"
    )


def rows(path: Path, kind: str, *, told: Callable[[int], None] = lambda _bytes: None) -> Rows:
    """All rows of a file, or a BadRowError in place of one that can't be read.

    Args:
        told: called now and then with the bytes read so far.

    Raises:
        BadRowError: the rest of the file can't be read.
    """
    return _READERS[kind](path, told)


Rows: TypeAlias = Iterator[Row | BadRowError]

_SUFFIXES: Final = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".bson": "bson",
}
FORMATS: Final = ("csv", "jsonl", "bson")


# -- CSV ---------------------------------------------------------------------------------------
def _csv(path: Path, told: Callable[[int], None]) -> Rows:
    csv.field_size_limit(min(VALUE_BYTES_MAX, sys.maxsize))
    with path.open("rb") as raw:
        reader = csv.reader(_lines(path, raw, told), strict=True)
        number = 1
        try:
            names = _header(path, next(reader, []))
            for fields in reader:
                begins, number = number + 1, reader.line_num
                if not fields:
                    continue
                if len(fields) > len(names):
                    reason = f"{len(fields)} fields, but the first row names {len(names)}"
                    yield BadRowError(path, begins, reason)
                    continue
                cells = zip(names, fields, strict=False)
                yield Row(begins, {name: text for name, text in cells if text != ""})
        except csv.Error as error:
            raise BadRowError(path, number + 1, f"not CSV: {error}") from None


def _header(path: Path, names: list[str]) -> list[str]:
    names = [name.strip() for name in names]
    if not names or names == [""]:
        raise UsageError(f"{path.name} is empty: its first row must name the fields")
    for name in names:
        if not name:
            raise UsageError(f"{path.name}: a field without a name in the first row")
        if names.count(name) > 1:
            raise UsageError(f"{path.name}: the first row names {name!r} twice")
    return names


def _lines(path: Path, raw: IO[bytes], told: Callable[[int], None]) -> Iterator[str]:
    size = 0
    for number, line in enumerate(raw, 1):
        size += len(line)
        if number % 256 == 0:
            told(size)
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise BadRowError(path, number, f"not UTF-8 at byte {error.start}") from None
    told(size)


# -- JSON lines ----------------------------------------------------------------------------------
def _jsonl(path: Path, told: Callable[[int], None]) -> Rows:
    with path.open("rb") as raw:
        for number, line in enumerate(_lines(path, raw, told), 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except ValueError as error:
                reason = f"not a line of JSON: {error}; each line holds one object"
                yield BadRowError(path, number, reason)
                continue
            except RecursionError:
                yield BadRowError(path, number, "nested too deep")
                continue
            yield _document(path, number, found, _from_json)


def _document(
    path: Path, number: int, found: Any, read: Callable[[Any], Cell]
) -> Row | BadRowError:
    if type(found) is not dict:
        return BadRowError(path, number, f"{found!r:.60} is no object with fields")
    cells = {}
    for name, held in found.items():
        try:
            cells[name] = read(held)
        except (ReplicationError, RecursionError, OverflowError) as error:
            return BadRowError(path, number, f"field {name!r}: {error}")
    return Row(number, cells)


def _from_json(held: Any) -> Cell:
    """JSON's own values, our notation of the others, and MongoDB's extended JSON."""
    if type(held) is list:
        return [_from_json(item) for item in held]
    if type(held) is not dict:
        return held
    if len(held) == 1:
        ((tag, inner),) = held.items()
        if tag in _EXTENDED:
            try:
                return _EXTENDED[tag](inner)
            except (ValueError, TypeError, ArithmeticError) as error:
                raise UsageError(f"{held!r:.60} is no {tag.removeprefix('$')}: {error}") from None
        if tag.startswith("$"):
            return from_json(held)
    return {name: _from_json(item) for name, item in held.items()}


def _date(inner: Any) -> Timestamp:
    if type(inner) is str:
        return Timestamp.from_datetime(datetime.datetime.fromisoformat(inner))
    ms = int(inner["$numberLong"]) if type(inner) is dict else int(inner)
    return _timestamp(ms)


_EXTENDED: Final[dict[str, Callable[[Any], Cell]]] = {
    "$date": _date,
    "$numberInt": int,
    "$numberLong": int,
    "$numberDouble": float,
    "$numberDecimal": Decimal128,
}


# -- BSON ----------------------------------------------------------------------------------------
def _bson(path: Path, told: Callable[[int], None]) -> Rows:
    options: CodecOptions[dict[str, Any]] = CodecOptions(
        datetime_conversion=DatetimeConversion.DATETIME_MS
    )
    size = 0
    with path.open("rb") as raw:
        for number in itertools.count(1):
            data = _next_document(path, number, raw)
            if data is None:
                break
            size += len(data)
            if number % 256 == 0:
                told(size)
            try:
                document = bson.decode(data, options)
            except (InvalidBSON, UnicodeDecodeError, ValueError, OverflowError) as error:
                yield BadRowError(path, number, f"not BSON: {error}")
                continue
            yield _document(path, number, document, _from_bson)
    told(size)


def _next_document(path: Path, number: int, raw: IO[bytes]) -> bytes | None:
    head = raw.read(4)
    if not head:
        return None
    size = int.from_bytes(head, "little", signed=True) if len(head) == 4 else 0
    if not 5 <= size <= _DOCUMENT_BYTES_MAX:
        raise BadRowError(path, number, "no BSON document begins here")
    rest = raw.read(size - 4)
    if len(rest) != size - 4:
        raise BadRowError(path, number, f"cut off: {size} bytes announced, {len(rest) + 4} there")
    return head + rest


def _from_bson(held: Any) -> Cell:
    kind = type(held)
    if kind in _AS_THEY_ARE:
        return held
    if kind is list:
        return [_from_bson(item) for item in held]
    if kind is dict:
        return {name: _from_bson(item) for name, item in held.items()}
    if kind is Int64:
        return int(held)
    if kind is DatetimeMS:
        return _timestamp(int(held))
    if kind is Binary:
        if held.subtype == UUID_SUBTYPE:
            return held.as_uuid(UuidRepresentation.STANDARD)
        return bytes(held)
    raise UsageError(f"{held!r:.60} is of BSON type {kind.__name__}, which has no place here")


def _timestamp(ms: int) -> Timestamp:
    return Timestamp(ms // 1000, ms % 1000 * 1_000_000)


#: What a BSON document may take; MongoDB's own limit, and some room for what dumps add.
_DOCUMENT_BYTES_MAX: Final = 17 * 1024 * 1024
_AS_THEY_ARE: Final = frozenset(
    {type(None), bool, int, float, str, bytes, ObjectId, Decimal128, uuid.UUID}
)
_READERS: Final[dict[str, Callable[[Path, Callable[[int], None]], Rows]]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "bson": _bson,
}
