"""Values from elsewhere as values of ours: BSON, JSON, and texts in a table.

Rule 1: `native` changes what a value is called, never what it says; what has no place here (a
        regular expression, code, the ends of all keys) is an error, not a string.
Rule 2: a datetime without a time zone is UTC, because BSON's are.
Rule 3: `parsed` is for whoever said what type is wanted: it reads what people write for that.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import re
import uuid
from collections.abc import Callable
from typing import Any, Final

from bson.binary import Binary
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from replication.errors import WrongTypeError
from replication.limits import CONTAINER_NESTING_MAX
from replication.model.check import convert, convert_dictionary_key, convert_key, shown
from replication.model.values import Link, Value

_INTEGRAL: Final = re.compile(r"([+-]?\d+)(?:\.0*)?")
_NUMBER: Final = re.compile(
    r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|[+-]?inf", re.IGNORECASE
)
_BOOLS: Final = {"true": True, "false": False, "1": True, "0": False}


class MisfitError(WrongTypeError):
    """A value inside a document that does not fit; `path` leads to it."""

    def __init__(self, path: tuple[str, ...], reason: str) -> None:
        super().__init__(reason)
        self.path = path


class at:  # noqa: N801 - reads as the word it is: `with at("city"): ...`
    """Adds a step to the path of what goes wrong inside."""

    __slots__ = ("_step",)

    def __init__(self, step: str) -> None:
        self._step = step

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, MisfitError):
            error.path = (self._step, *error.path)
        elif isinstance(error, WrongTypeError):
            raise MisfitError((self._step,), str(error)) from None


def native(value: Any) -> Value:
    """A plain value of BSON or JSON as one of ours.

    Raises:
        WrongTypeError: it has no place here, or does not fit; the message is only the reason.
    """
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=datetime.UTC)
    elif isinstance(value, Binary):
        value = _from_binary(value)
    elif isinstance(value, DBRef):
        value = Link(value.collection, convert_key(None, value.id))
    return None if value is None else convert("mixed", value)


def _from_binary(value: Binary) -> bytes | uuid.UUID:
    if value.subtype == 4:
        return value.as_uuid()
    if value.subtype not in (0, 2):
        raise WrongTypeError(f"binary of subtype {value.subtype} can't be represented")
    return bytes(value)


def nested(value: Any, depth: int = CONTAINER_NESTING_MAX) -> Any:
    """A value for a mixed property: plain, or a list or dictionary of such.

    Raises:
        WrongTypeError: something in it has no place here; the message is only the reason.
    """
    if isinstance(value, list | dict):
        if depth == 0:
            raise WrongTypeError(f"it nests deeper than {CONTAINER_NESTING_MAX}")
        if isinstance(value, list):
            return [nested(item, depth - 1) for item in value]
        return {convert_dictionary_key(key): nested(item, depth - 1) for key, item in value.items()}
    return native(value)


def parsed(name: str, value: Value) -> Value:
    """A value as one of the plain type or counter ``name``, read from its text where it is one.

    Raises:
        WrongTypeError: it is none; the message is only the reason.
    """
    if isinstance(value, str) and name in _PARSERS:
        try:
            return convert(name, _PARSERS[name](value))
        except (ValueError, ArithmeticError, binascii.Error) as error:
            if isinstance(error, WrongTypeError):
                raise
            raise WrongTypeError(f"{shown(value)} can't be read as {name}") from None
    if name == "string" and type(value) is int:
        return str(value)
    if name in ("int", "counter") and type(value) is float and value.is_integer():
        return convert(name, int(value))
    return convert(name, value)


def _parse_int(text: str) -> int:
    found = _INTEGRAL.fullmatch(text)
    if found is None or len(text) > 64:
        raise ValueError(text)
    return int(found[1])


def _parse_double(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return float(text)


def _parse_bool(text: str) -> bool:
    if text.lower() not in _BOOLS:
        raise ValueError(text)
    return _BOOLS[text.lower()]


def _parse_time(text: str) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _parse_object_id(text: str) -> ObjectId:
    if not ObjectId.is_valid(text):
        raise ValueError(text)
    return ObjectId(text)


_PARSERS: Final[dict[str, Callable[[str], object]]] = {
    "int": _parse_int,
    "counter": _parse_int,
    "double": _parse_double,
    "float": _parse_double,
    "bool": _parse_bool,
    "decimal": Decimal128,
    "timestamp": _parse_time,
    "objectId": _parse_object_id,
    "uuid": uuid.UUID,
    "binary": lambda text: base64.b64decode(text, validate=True),
}
