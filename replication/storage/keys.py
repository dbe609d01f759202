"""The plain form of primary keys, which back ends compare and index by themselves.

An int and a string stand for themselves; an ObjectId is its 12 bytes and a UUID its 16, so the
type and the length tell the four apart. Equal keys have equal plain forms and no others.
"""

from __future__ import annotations

import uuid
from typing import TypeAlias

from bson.objectid import ObjectId

from replication.errors import WrongTypeError
from replication.model.values import Key

PlainKey: TypeAlias = int | str | bytes


def plain_key(key: Key) -> PlainKey:
    """The plain form of a primary key.

    Raises:
        WrongTypeError: not an int, string, ObjectId or UUID.
    """
    if type(key) is int or type(key) is str:
        return key
    if type(key) is ObjectId:
        return key.binary
    if type(key) is uuid.UUID:
        return key.bytes
    raise WrongTypeError(
        f"{key!r} of type {type(key).__name__} is no primary key; use int, str, ObjectId or UUID"
    )


def key_of(plain: PlainKey) -> Key:
    """The primary key with this plain form."""
    if isinstance(plain, bytes):
        return ObjectId(plain) if len(plain) == 12 else uuid.UUID(bytes=plain)
    return plain
