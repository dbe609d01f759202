"""Conversions between texts and ids: `%stringToOid` and its kin. [RULES-EXPR-CONVERT]

What can't be converted has no value: None.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Final

from bson.errors import InvalidId
from bson.objectid import ObjectId


def _string_to_oid(value: Any) -> Any:
    if type(value) is not str:
        return None
    try:
        return ObjectId(value)
    except InvalidId:
        return None


def _string_to_uuid(value: Any) -> Any:
    if type(value) is not str or len(value) != 36:
        return None
    try:
        return uuid.UUID(value)
    except ValueError:
        return None


#: By the name behind `%` or `$`.
CONVERSIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "stringToOid": _string_to_oid,
    "oidToString": lambda value: str(value) if type(value) is ObjectId else None,
    "stringToUuid": _string_to_uuid,
    "uuidToString": lambda value: str(value) if type(value) is uuid.UUID else None,
}
