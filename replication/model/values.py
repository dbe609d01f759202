"""The values a property can hold, beside Python's own None, bool, int, float, str and bytes.

Rule 1: a value is immutable and hashable.
Rule 2: two values are the same value when their canonical bytes are the same: `1` is not `1.0`,
        and `0.0` is not `-0.0`. Python's `==` is too lenient for keys and members.
"""

from __future__ import annotations

import datetime
import struct
import uuid
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from replication.errors import WrongTypeError

_UNIX_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_FLOAT32: Final = struct.Struct(">f")


class Float32(float):
    """A 32-bit float: a Python float rounded to what 32 bits hold."""

    __slots__ = ()

    def __new__(cls, value: float) -> Float32:
        try:
            return super().__new__(cls, _FLOAT32.unpack(_FLOAT32.pack(value))[0])
        except OverflowError:
            raise WrongTypeError(f"{value!r} does not fit a 32-bit float") from None

    def __repr__(self) -> str:
        return f"Float32({float(self)!r})"


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A point in time: whole seconds since the Unix epoch and 0..999,999,999 nanoseconds.

    Nanoseconds count forwards, also before 1970.
    """

    seconds: int
    nanoseconds: int = 0

    def __post_init__(self) -> None:
        if not -(2**63) <= self.seconds < 2**63:
            raise WrongTypeError(f"{self.seconds} seconds do not fit 64 bits")
        if not 0 <= self.nanoseconds < 1_000_000_000:
            raise WrongTypeError(f"{self.nanoseconds} nanoseconds are not within one second")

    @classmethod
    def read(cls, seconds: int, nanoseconds: int) -> Timestamp:
        """From decoded seconds, which 64 bits held: past the slow way of frozen dataclasses."""
        if nanoseconds >= 1_000_000_000:
            raise WrongTypeError(f"{nanoseconds} nanoseconds are not within one second")
        new: Timestamp = _new(cls)
        _set_seconds(new, seconds)
        _set_nanoseconds(new, nanoseconds)
        return new

    @classmethod
    def from_datetime(cls, moment: datetime.datetime) -> Timestamp:
        """From an aware datetime (a naive one is an error: whose time zone would it be?)."""
        if moment.tzinfo is None:
            raise WrongTypeError(f"{moment!r} has no time zone; use an aware datetime")
        delta = moment - _UNIX_EPOCH
        return cls(delta.days * 86_400 + delta.seconds, delta.microseconds * 1000)

    def datetime(self) -> datetime.datetime:
        """The same as an aware datetime in UTC; nanoseconds are cut to microseconds.

        Raises:
            WrongTypeError: outside of the years 1 to 9999.
        """
        try:
            return _UNIX_EPOCH + datetime.timedelta(
                seconds=self.seconds, microseconds=self.nanoseconds // 1000
            )
        except OverflowError:
            raise WrongTypeError(f"{self} is outside of what datetime can hold") from None


_new: Final = object.__new__
_set_seconds: Final = vars(Timestamp)["seconds"].__set__
_set_nanoseconds: Final = vars(Timestamp)["nanoseconds"].__set__


@dataclass(frozen=True, slots=True)
class Link:
    """A reference to the object of a class with a primary key, whether it exists or not."""

    class_name: str
    key: Key


@dataclass(frozen=True, slots=True)
class _Erased:
    def __repr__(self) -> str:
        return "ERASED"


#: What stands at a dictionary key that was removed. No property ever shows it.
ERASED: Final = _Erased()


@dataclass(frozen=True, slots=True)
class Based:
    """A register's value together with the counter total its author saw. [MERGE-COUNTER-2]

    Only written where that total is not zero.
    """

    value: Value | Container
    seen: int


@dataclass(frozen=True, slots=True)
class Container:
    """A list (kind 4) or dictionary (kind 3) stored in a mixed property, by its identity."""

    kind: int
    ident: int
    sequence: int


class NestedList(list[Any]):
    """What a list in a mixed value holds, as queries see it: no array, but one value."""

    __slots__ = ()


class NestedDict(dict[str, Any]):
    """What a dictionary in a mixed value holds, likewise."""

    __slots__ = ()


class Spread:
    """Stands in a column for a list that is spread over parts: whoever asks has to look there."""

    __slots__ = ()


SPREAD: Final = Spread()


class EmbeddedValues(dict[str, Any]):
    """The values of an embedded object by name, as queries see it.

    The dictionary of a property is a dict, and an array a list.
    """

    __slots__ = ()


Key: TypeAlias = int | str | ObjectId | uuid.UUID
#: What an app reads and writes in a plain property.
Value: TypeAlias = (
    bool | int | float | str | bytes | Timestamp | Decimal128 | ObjectId | uuid.UUID | Link | None
)
#: What a register may hold inside a state: a value, or one of the engine's own markers.
Stored: TypeAlias = Value | _Erased | Based | Container

#: The names of the value types, as schemas and messages spell them.
_NAMES: Final[dict[type, str]] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    Float32: "float",
    float: "double",
    str: "string",
    bytes: "binary",
    Timestamp: "timestamp",
    Decimal128: "decimal",
    ObjectId: "objectId",
    uuid.UUID: "uuid",
    Link: "link",
    Container: "collection",
}


def type_name(value: object) -> str:
    """The schema's name for the type of a value; for anything else its Python type's name."""
    return _NAMES.get(type(value), type(value).__name__)
