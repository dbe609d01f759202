"""What was seen in a pile of documents, path by path: the material of `model.infer`.

A `Shape` sums up all values that stood at one path. It keeps no values, and a bounded number of
names: past PROPERTIES_MAX distinct keys a document can only be a dictionary, and from there on all
its values are summed up as one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from replication.errors import WrongTypeError
from replication.limits import NESTING_MAX, PROPERTIES_MAX
from replication.model.check import convert_dictionary_key
from replication.model.foreign import at, native
from replication.model.types import broken_property_name
from replication.model.values import type_name

#: Integers up to this magnitude are doubles exactly.
_EXACT_MAX: Final = 2**53
#: From this many distinct keys on, few in each document, a document is a dictionary.
_SPARSE_KEYS_MIN: Final = 16
_SPARSE_RATIO: Final = 4
#: Keys that somebody's program made up: numbers, long hex, UUIDs, dates.
_GENERATED: Final = re.compile(
    r"\d+|(?=[a-f]*\d)[0-9a-f]{8,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d(?:-\d\d)?",
    re.IGNORECASE,
)

#: A number in a text: no leading zero or plus, which an identifier has and a number has not.
_INT_TEXT: Final = re.compile(r"0|-?[1-9][0-9]*")
_NUMBER_TEXT: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
#: Significant digits that a double keeps apart at most.
_DIGITS_MAX: Final = 17


class Shape:
    """The sum of what was seen at one path."""

    __slots__ = ("count", "documents", "fields", "items", "keys", "lists", "nulls", "types", "wide")

    def __init__(self) -> None:
        #: Values seen, nulls included.
        self.count = 0
        self.nulls = 0
        #: Types of the plain values.
        self.types: set[str] = set()
        #: Whether an int was seen that no double holds.
        self.wide = False
        #: Documents seen, their keys counted, and what stood at each key; at None, once there are
        #: too many of them, what stood at any.
        self.documents = 0
        self.keys = 0
        self.fields: dict[str | None, Shape] = {}
        #: Lists seen, and their elements.
        self.lists = 0
        self.items: Shape | None = None

    # -- gathering ---------------------------------------------------------------------------
    def add(self, value: Any, *, depth: int = NESTING_MAX) -> None:
        """One more value.

        Raises:
            MisfitError: it can't be represented.
        """
        self.count += 1
        if isinstance(value, Mapping):
            self._add_document(value, _deeper(depth))
        elif isinstance(value, list):
            self.lists += 1
            self.items = self.items or Shape()
            for index, item in enumerate(value):
                with at(str(index)):
                    self.items.add(item, depth=_deeper(depth))
        else:
            self._add_plain(native(value))

    def add_text(self, text: str | None) -> None:
        """One more value that is only known as text, where nothing means null."""
        self.count += 1
        if not text:
            self.nulls += 1
        elif len(text) <= 20 and _INT_TEXT.fullmatch(text) and -(2**63) <= int(text) < 2**63:
            self._add_plain(int(text))
        elif _is_double(text):
            self.types.add("double")
        else:
            self.types.add("string")

    def _add_plain(self, value: Any) -> None:
        if value is None:
            self.nulls += 1
            return
        name = type_name(value)
        self.types.add(name)
        if name == "int" and abs(value) > _EXACT_MAX:
            self.wide = True

    def _add_document(self, value: Mapping[Any, Any], depth: int) -> None:
        self.documents += 1
        self.keys += len(value)
        for key, item in value.items():
            with at(str(key)):
                self._field(convert_dictionary_key(key)).add(item, depth=depth)

    def _field(self, key: str) -> Shape:
        if None in self.fields:
            return self.fields[None]
        if key not in self.fields:
            if len(self.fields) == PROPERTIES_MAX:
                self.fields = {None: self.values()}
                return self.fields[None]
            self.fields[key] = Shape()
        return self.fields[key]

    def merge(self, other: Shape) -> None:
        """All that ``other`` has seen as well."""
        self.count += other.count
        self.nulls += other.nulls
        self.types |= other.types
        self.wide |= other.wide
        self.documents += other.documents
        self.keys += other.keys
        for key, item in other.fields.items():
            into = self.fields.setdefault(None, Shape()) if key is None else self._field(key)
            into.merge(item)
        self.lists += other.lists
        if other.items is not None:
            self.items = self.items or Shape()
            self.items.merge(other.items)

    # -- judging -----------------------------------------------------------------------------
    def values(self) -> Shape:
        """All values of the documents at this path as one."""
        merged = Shape()
        for item in self.fields.values():
            merged.merge(item)
        return merged

    def kind(self) -> str:
        """What stands here: "document", "list", a plain type, "mixed", or "null" for nothing."""
        kinds = [
            *(["document"] if self.documents else []),
            *(["list"] if self.lists else []),
            *([self._plain()] if self.types else []),
        ]
        return kinds[0] if len(kinds) == 1 else "mixed" if kinds else "null"

    def _plain(self) -> str:
        if len(self.types) == 1:
            (only,) = self.types
            return "mixed" if only == "link" else only
        return "double" if self.types == {"int", "double"} and not self.wide else "mixed"

    def text_kind(self) -> str:
        """The same for values that are only known as text: what is no number is a string."""
        return kind if (kind := self.kind()) in ("int", "double") else "string"

    def is_dictionary(self) -> bool:
        """Whether the documents here are dictionaries: many keys, values of one shape."""
        names = self.fields.keys()
        if not names or None in names or any(broken_property_name(str(each)) for each in names):
            return True
        if not self.values().is_uniform():
            return False
        if all(_GENERATED.fullmatch(str(each)) for each in names):
            return True
        average = self.keys / self.documents
        return len(names) >= _SPARSE_KEYS_MIN and len(names) > _SPARSE_RATIO * average

    def is_uniform(self) -> bool:
        """Whether the values here look as if one declaration described them."""
        if self.kind() != "document":
            return self.kind() not in ("mixed", "null")
        return len(self.fields) * self.documents <= 2 * self.keys


def _deeper(depth: int) -> int:
    if depth == 0:
        raise WrongTypeError(f"it nests deeper than {NESTING_MAX}")
    return depth - 1


def _is_double(text: str) -> bool:
    if not _NUMBER_TEXT.fullmatch(text):
        return False
    mantissa = text.lower().partition("e")[0]
    digits = mantissa.replace("-", "").replace(".", "").lstrip("0")
    return len(digits) <= _DIGITS_MAX and abs(float(text)) != float("inf")
