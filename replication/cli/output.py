"""How results are printed: for people with rich, for programs as JSON.

Rule 1: what a store holds is somebody else's: before it reaches a terminal, control characters
        in it are spelled out, so that none of it acts on the terminal. Styles are never read from
        data.
Rule 2: JSON values are `model.notation`'s; collections and embedded objects are JSON's own
        arrays and objects, because the reader knows which properties are collections.
"""

from __future__ import annotations

import datetime
import json
import sys
import uuid
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from replication.model.values import Key

#: Characters of a value in a table's cell.
_CELL_MAX = 60


def console(*, stderr: bool = False) -> Console:
    """A console; without colours where it is no terminal."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)


def print_json(value: Any) -> None:
    """One JSON text on one line of stdout."""
    click.echo(json.dumps(value, ensure_ascii=False))


def noted(value: Any) -> Any:
    """The JSON of a value, a collection or an embedded object, as views hold them."""
    from replication.model.notation import to_json

    if type(value) is list:
        return [noted(item) for item in value]
    if type(value) is dict:
        return {key: noted(item) for key, item in value.items()}
    return to_json(value)


def shown(value: Any) -> str:
    """A value for people: numbers and strings as they are, everything else as its JSON."""
    from bson.decimal128 import Decimal128
    from bson.objectid import ObjectId

    from replication.model.values import Link, Timestamp

    if value is None:
        return "–"
    if type(value) is str:
        return printable(value)
    if type(value) is Timestamp:
        return moment(value.seconds + value.nanoseconds / 1e9)
    if type(value) is Link:
        return printable(f"{value.class_name} {value.key}")
    if type(value) in (ObjectId, uuid.UUID, Decimal128):
        return str(value)
    if type(value) is list:
        return "[" + ", ".join(shown(item) for item in value) + "]"
    if type(value) is dict:
        return "{" + ", ".join(f"{printable(key)}: {shown(v)}" for key, v in value.items()) + "}"
    return printable(json.dumps(noted(value), ensure_ascii=False))


def cell(value: Any) -> str:
    """The same, cut to the width of a table's cell."""
    text = shown(value)
    return text if len(text) <= _CELL_MAX else text[: _CELL_MAX - 1] + "…"


def printable(text: str) -> str:
    """A text without characters that act on a terminal. Rule 1."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def key_text(key: Key) -> str:
    """A primary key as `inspect` and `query` take it back."""
    return printable(str(key))


def moment(seconds: float) -> str:
    """A point in time for people: UTC, to the millisecond."""
    try:
        when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f} s since 1970"
    return when.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00") + " UTC"


def remark(text: str) -> None:
    """A line on stderr: what is not the result."""
    click.echo(text, err=True)


def on_terminal() -> bool:
    """Whether somebody may be watching stderr."""
    return sys.stderr.isatty()


def count(number: int, singular: str, plural: str | None = None) -> str:
    """A number and its noun."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def duration(seconds: float) -> str:
    """A duration for people."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s"
