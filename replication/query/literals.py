"""Constants: from the spelling of a literal to its value, and from a value to its spelling.

Rule 1: `constant` gives every value one spelling that reads back as the same constant, so that
        arguments can be written into a query's text.
Rule 2: what a literal's shape can't tell (ranges, calendars, escapes) is checked here; every
        failure is a QueryError that names the literal.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import decimal
import math
import re
import uuid
from collections.abc import Callable
from typing import Final

from bson.decimal128 import Decimal128
from bson.errors import InvalidId
from bson.objectid import ObjectId

from replication.errors import QueryError, WrongTypeError
from replication.limits import INT64_MAX, INT64_MIN
from replication.model.encoding import is_key
from replication.model.values import Float32, Link, Timestamp, Value, type_name
from replication.query.ast import Constant

_BILLION: Final = 1_000_000_000
#: Nothing of 64 bits is written with more characters than this, save for leading zeros.
_DIGITS_MAX: Final = 40
_DATE: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[@T]([0-9]{2}):([0-9]{2}):([0-9]{2})(?::([0-9]{1,9}))?"
)

_UNESCAPED: Final = {
    '"': '"',
    "'": "'",
    "/": "/",
    "\\": "\\",
    "0": "\0",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}
_ESCAPE: Final = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|(.))", re.S
)
_SHORT: Final = {"\0": "0", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_TO_ESCAPE: Final = re.compile(r'[\x00-\x1f\x7f"\\]')


# -- reading ---------------------------------------------------------------------------------
def read_integer(text: str) -> int:
    """``12``, ``-0012``."""
    digits = text.lstrip("+-0") or "0"
    # Python refuses to read thousands of digits; past 64 bits they need no reading.
    number = int(digits) if len(digits) <= _DIGITS_MAX else 2**64
    return _int64(-number if text[0] == "-" else number, text)


def read_hexadecimal(text: str) -> int:
    """``0x1F``."""
    return _int64(int(text, 16), text)


def _int64(number: int, text: str) -> int:
    if not INT64_MIN <= number <= INT64_MAX:
        raise QueryError(f"{clipped(text)} does not fit 64 bits")
    return number


def read_double(text: str) -> float:
    """``1.5``, ``.5``, ``1e3``."""
    number = float(text)
    if math.isinf(number):
        raise QueryError(f"{clipped(text)} does not fit a double")
    return number


def read_float(text: str) -> Float32:
    """``1.5f``."""
    try:
        return Float32(read_double(text[:-1]))
    except WrongTypeError as error:
        raise QueryError(str(error)) from None


def read_special(text: str) -> float:
    """``inf``, ``-infinity``, ``nan`` in any case."""
    return math.nan if text[-3:].lower() == "nan" else float(text)


def read_string(text: str) -> str:
    """A quoted string with its quotes."""
    body = text[1:-1]
    return _ESCAPE.sub(_unescaped, body) if "\\" in body else body


def _unescaped(match: re.Match[str]) -> str:
    first, second, simple = match.groups()
    if simple is not None:
        char = _UNESCAPED.get(simple)
        if char is None:
            raise QueryError(f"{match[0]!r} is no escape of a string; a backslash is '\\\\'")
        return char
    code = int(first, 16)
    if not 0xD800 <= code < 0xE000:
        # What follows an ordinary character stands for itself: half of a pair it can't be.
        char, rest = chr(code), second
    elif code < 0xDC00 and second is not None:
        char, rest = chr(0x10000 + ((code - 0xD800) << 10) + int(second, 16) - 0xDC00), None
    else:
        char, rest = "", first
    if rest is not None:
        raise QueryError(f"'\\u{rest}' is half of a surrogate pair")
    return char


def read_binary(text: str) -> bytes:
    """``B64"AP8="``."""
    try:
        return base64.b64decode(text[4:-1], validate=True)
    except (binascii.Error, ValueError) as error:
        raise QueryError(f"{clipped(text)} is no base 64: {error}") from None


def read_timestamp(text: str) -> Timestamp:
    """``T<seconds>:<nanoseconds>``, both signed; what counts is the sum."""
    seconds, _, nanoseconds = text[1:].partition(":")
    if len(text) > _DIGITS_MAX or abs(int(nanoseconds)) >= _BILLION:
        raise QueryError(f"{clipped(text)} is no timestamp: at most 999999999 nanoseconds")
    total = int(seconds) * _BILLION + int(nanoseconds)
    try:
        return Timestamp(total // _BILLION, total % _BILLION)
    except WrongTypeError as error:
        raise QueryError(f"{text} is no timestamp: {error}") from None


def read_date(text: str) -> Timestamp:
    """``YYYY-MM-DD@HH:MM:SS`` or with a ``T``, then perhaps ``:nanoseconds``; UTC."""
    match = _DATE.fullmatch(text)
    try:
        if match is None:
            raise ValueError("it is written YYYY-MM-DD@HH:MM:SS or YYYY-MM-DD@HH:MM:SS:NANOSECONDS")
        *calendar, nanoseconds = (int(group or 0) for group in match.groups())
        year, month, day, hour, minute, second = calendar
        moment = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
    except ValueError as error:
        raise QueryError(f"{clipped(text)} is no date: {error}") from None
    return Timestamp(Timestamp.from_datetime(moment).seconds, nanoseconds)


def read_object_id(text: str) -> ObjectId:
    """What stands in the parentheses of ``oid()``."""
    try:
        return ObjectId(text)
    except InvalidId:
        raise QueryError(f"oid({clipped(text)}) needs 24 hexadecimal digits") from None


_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def read_uuid(text: str) -> uuid.UUID:
    """What stands in the parentheses of ``uuid()``."""
    if not _UUID.fullmatch(text):
        raise QueryError(
            f"uuid({clipped(text)}) needs 32 hexadecimal digits in groups of 8-4-4-4-12"
        )
    return uuid.UUID(text)


_DECIMAL: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,5})?|nan|-?inf")


def read_decimal(text: str) -> Decimal128:
    """What stands in the parentheses of ``decimal()``."""
    try:
        if not _DECIMAL.fullmatch(text):
            raise ValueError
        return Decimal128(text)
    except (ValueError, ArithmeticError):
        raise QueryError(
            f"decimal({clipped(text)}) needs a number of at most 34 digits within 1E-6176..1E+6144"
        ) from None


_CALLS: Final[dict[str, Callable[[str], Value]]] = {
    "oid": read_object_id,
    "uuid": read_uuid,
    "decimal": read_decimal,
}


def read_call(text: str) -> Value:
    """``oid(...)``, ``uuid(...)``, ``decimal(...)``, quotes inside or not; ``binary("...")``."""
    name, _, inside = text[:-1].partition("(")
    inside = inside.strip(" \t\r\n\f\v")
    if name == "binary":
        return read_binary(inside) if inside[0] == "B" else read_string(inside).encode()
    if len(inside) > 1 and inside[0] == inside[-1] and inside[0] in "\"'":
        inside = inside[1:-1]
    return _CALLS[name](inside)


_NAME_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


def unescaped(name: str) -> str:
    """A name without its backslashes."""
    return _NAME_ESCAPE.sub(r"\1", name) if "\\" in name else name


# -- writing ---------------------------------------------------------------------------------
def constant(value: object) -> Constant:
    """The operand for a value.

    Raises:
        QueryError: no value of the model, an integer past 64 bits, a string that has no UTF-8.
    """
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise QueryError(
            f"{clipped(repr(value))} of type {type(value).__name__} can't stand in a query;"
            " use a value as fields hold them"
        )
    return Constant(*writer(value))


def _integer(value: int) -> tuple[str, Value]:
    return str(_int64(value, clipped(hex(value)))), value


def _double(value: float) -> tuple[str, Value]:
    return repr(value), value


def _float(value: Float32) -> tuple[str, Value]:
    if not math.isfinite(value):
        return repr(float(value)), float(value)
    for digits in range(6, 10):  # nine always suffice
        text = f"{float(value):.{digits}g}"
        if float(text) == value or Float32(float(text)) == value:
            break
    return text + "f", value


def _string(value: str) -> tuple[str, Value]:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise QueryError(f"{clipped(repr(value))} holds half of a surrogate pair") from None
    return quoted(value), value


def quoted(value: str) -> str:
    """A string as a literal."""
    if value.isalnum() or not _TO_ESCAPE.search(value):
        return f'"{value}"'
    return '"' + _TO_ESCAPE.sub(_escaped, value) + '"'


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    if char in '"\\':
        return "\\" + char
    return "\\" + _SHORT[char] if char in _SHORT else f"\\u{ord(char):04x}"


def _binary(value: bytes) -> tuple[str, Value]:
    return f'B64"{base64.b64encode(value).decode()}"', value


def _decimal(value: Decimal128) -> tuple[str, Value]:
    number = value.to_decimal()
    if number.is_nan():
        return "nan", math.nan
    if number.is_infinite():
        return _double(float(number))
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    kept = len(digits)
    while kept > 1 and digits[kept - 1] == 0:
        kept -= 1
    if digits == (0,) * len(digits):
        short = decimal.Decimal(0)
    else:
        short = decimal.Decimal((sign, digits[:kept], exponent + len(digits) - kept))
    return f"decimal({short})", Decimal128(short)


def _link(value: Link) -> tuple[str, Value]:
    if not is_key(value.key):
        raise QueryError(f"{clipped(repr(value))} needs a key: an int, string, ObjectId or UUID")
    return f"obj({_string(value.class_name)[0]}, {constant(value.key).text})", value


_WRITERS: Final[dict[type, Callable[..., tuple[str, Value]]]] = {
    type(None): lambda value: ("null", value),
    bool: lambda value: ("true" if value else "false", value),
    int: _integer,
    float: _double,
    Float32: _float,
    str: _string,
    bytes: _binary,
    Timestamp: lambda value: (f"T{value.seconds}:{value.nanoseconds}", value),
    Decimal128: _decimal,
    ObjectId: lambda value: (f"oid({value})", value),
    uuid.UUID: lambda value: (f"uuid({value})", value),
    Link: _link,
}


def described(operand: Constant) -> str:
    """A constant in a message: its type and spelling."""
    return f"{type_name(operand.value)} {clipped(operand.text)}"


def clipped(text: str) -> str:
    """A text of any length in a message."""
    return text if len(text) <= 60 else text[:57] + "..."
