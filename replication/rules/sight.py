"""Sight: what somebody may read, class by class; kept to know later what was shown.

Rule 1: two sights are equal exactly if the same is read under them, whatever the roles are called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from replication.query import Query, canonical, parse
from replication.rules import access
from replication.rules.access import Access

_ALL: Final = Query.of(canonical.TRUE)
_NONE: Final = Query.of(canonical.FALSE)


class Seen(NamedTuple):
    """What is read of one class."""

    objects: Query
    fields: Access


class Sight:
    """What somebody may read.

    Args:
        classes: of each class that has rules of its own.
        others: of all other classes.

    Attributes:
        key: equal for equal sights; can be packed.
    """

    __slots__ = ("_classes", "_others", "key")

    def __init__(self, classes: Mapping[str, Seen], others: Seen) -> None:
        self._classes = classes
        self._others = others
        items = [[name, *_packed(seen)] for name, seen in sorted(classes.items())]
        self.key: list[list[Any]] = [["", *_packed(others)], *items]

    @property
    def filters(self) -> dict[str, Query]:
        """The filters by class; that of all other classes under the empty name."""
        named = {name: seen.objects for name, seen in self._classes.items()}
        return {**named, "": self._others.objects}

    def of(self, class_name: str) -> Seen:
        """What is read of a class."""
        return self._classes.get(class_name, self._others)


def _packed(seen: Seen) -> list[Any]:
    return [seen.objects.text, seen.fields.key]


def from_key(key: Any) -> Sight:
    """The sight with that key, also after it was packed."""
    seen = {name: Seen(parse(text), access.from_key(fields)) for name, text, fields in key}
    return Sight({name: each for name, each in seen.items() if name}, seen[""])


NOTHING: Final = Seen(_NONE, access.NONE)
EVERYTHING: Final = Sight({}, Seen(_ALL, access.ALL))
