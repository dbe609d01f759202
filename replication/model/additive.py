"""Merging schemas: additions add up, a contradiction is refused alone. [MODEL-60]

Rule 1: what stands first stays. A property of another type, a class of another key or kind, and
        whatever would lead to a refused class are refused, each with its reason.
Rule 2: a property that the addition of another makes illegal (an embedded class that would come
        to contain itself) is refused as well, so that the outcome is always a sound schema.
Rule 3: being queryable is added like a property, and never taken back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from replication.limits import CLASSES_MAX, PROPERTIES_MAX, SCHEMA_PROPERTIES_MAX
from replication.model.property import Property
from replication.model.types import CLASS_TYPES


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What a merge refused: the first schema's definition stays."""

    class_name: str
    #: None where the class as a whole was refused.
    property_name: str | None
    #: What stands: a type, of a class its key's type or "embedded"; "" where nothing does.
    kept: str
    #: What was refused, likewise.
    refused: str
    reason: str

    def __str__(self) -> str:
        where = self.class_name
        if self.property_name is not None:
            where = f"{where}.{self.property_name}"
        return f"{where} as {self.refused} is refused: {self.reason}"


class _Class(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def key_type(self) -> str | None: ...
    @property
    def properties(self) -> Mapping[str, Property]: ...


class Merger:
    """One merge while it goes on: what stands so far, and what was refused."""

    def __init__(self) -> None:
        self.refused: list[Contradiction] = []
        self._key_types: dict[str, str | None] = {}
        self._properties: dict[str, dict[str, Property]] = {}
        self._count = 0
        # Which classes a class contains, at any depth: a bit each, kept closed as edges come.
        self._bits: dict[str, int] = {}
        self._contains: dict[str, int] = {}

    def classes(self) -> Iterator[tuple[str, str | None, Iterable[Property]]]:
        """Name, key type and properties of each class that stands."""
        for name, key_type in self._key_types.items():
            yield name, key_type, self._properties[name].values()

    def add(self, classes: Iterable[_Class]) -> None:
        """Add a sound schema, as far as it does not contradict."""
        # First all classes, so that properties find what they lead to.
        accepted = [item for item in classes if self._add_class(item)]
        for item in accepted:
            for each in item.properties.values():
                self._add_property(item.name, each)

    def _add_class(self, item: _Class) -> bool:
        refused = item.key_type or "embedded"
        if item.name in self._key_types:
            kept = self._key_types[item.name]
            if kept == item.key_type:
                return True
            what = "it is embedded" if kept is None else f"its key is {kept}"
            self._refuse(item.name, None, kept or "embedded", refused, what)
            return False
        if len(self._key_types) == CLASSES_MAX:
            self._refuse(item.name, None, "", refused, f"there are {CLASSES_MAX} classes already")
            return False
        self._bits[item.name] = 1 << len(self._bits)
        self._contains[item.name] = 0
        self._key_types[item.name] = item.key_type
        self._properties[item.name] = {}
        return True

    def _add_property(self, class_name: str, item: Property) -> None:
        own = self._properties[class_name]
        kept = own.get(item.name)
        if kept is None:
            reason = self._broken_addition(class_name, item)
            if reason is not None:
                self._refuse(class_name, item.name, "", item.spelling, reason)
                return
            own[item.name] = item
            self._count += 1
        elif kept.spelling != item.spelling:
            reason = f"it is {kept.spelling}"
            self._refuse(class_name, item.name, kept.spelling, item.spelling, reason)
        elif item.queryable and not kept.queryable:
            own[item.name] = replace(kept, queryable=True)

    def _broken_addition(self, class_name: str, item: Property) -> str | None:
        if len(self._properties[class_name]) == PROPERTIES_MAX:
            return f"{class_name} has {PROPERTIES_MAX} properties already"
        if self._count == SCHEMA_PROPERTIES_MAX:
            return f"there are {SCHEMA_PROPERTIES_MAX} properties already"
        if item.type not in CLASS_TYPES:
            return None
        target = str(item.target)
        if target not in self._key_types:
            return f"class {target} was refused"
        if (self._key_types[target] is None) != (item.type == "embedded"):
            return f"class {target} is {'' if self._key_types[target] is None else 'not '}embedded"
        if item.type == "embedded" and not self._add_edge(class_name, target):
            return f"{class_name} would contain itself"
        return None

    def _add_edge(self, outer: str, inner: str) -> bool:
        reached = self._contains[inner] | self._bits[inner]
        if reached & self._bits[outer]:
            return False
        if self._contains[outer] & self._bits[inner]:
            return True
        for name in self._contains:
            if name == outer or self._contains[name] & self._bits[outer]:
                self._contains[name] |= reached
        return True

    def _refuse(
        self, class_name: str, property_name: str | None, kept: str, refused: str, reason: str
    ) -> None:
        self.refused.append(Contradiction(class_name, property_name, kept, refused, reason))
