"""Merging schemas: additions add up, a contradiction is refused alone. [MODEL-60]

Rule 1: what stands first stays. A property of another type, a class of another key or kind, and
        whatever would lead to a refused class are refused, each with its reason.
Rule 2: embedded classes never come to contain themselves: where additions close a circle, all
        that stand on it (or between two) are refused, whatever order they come in.
Rule 3: being queryable is added like a property, and never taken back.
"""

from __future__ import annotations

from collections import Counter, defaultdict
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

    def classes(self) -> Iterator[tuple[str, str | None, Iterable[Property]]]:
        """Name, key type and properties of each class that stands."""
        for name, key_type in self._key_types.items():
            yield name, key_type, self._properties[name].values()

    def add(self, classes: Iterable[_Class]) -> None:
        """Add a sound schema, as far as it does not contradict."""
        # First all classes, so that properties find what they lead to.
        accepted = [item for item in classes if self._add_class(item)]
        additions = [
            (item.name, each)
            for item in accepted
            for each in item.properties.values()
            if not each.is_within(self._properties[item.name].get(each.name))
        ]
        circle = self._circle(additions)
        for class_name, each in additions:
            self._add_property(class_name, each, circle)

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
        self._key_types[item.name] = item.key_type
        self._properties[item.name] = {}
        return True

    def _add_property(self, class_name: str, item: Property, circle: set[str]) -> None:
        own = self._properties[class_name]
        kept = own.get(item.name)
        if kept is None:
            reason = self._broken_addition(class_name, item, circle)
            if reason is not None:
                self._refuse(class_name, item.name, "", item.spelling, reason)
                return
            own[item.name] = item
            self._count += 1
        elif kept.spelling != item.spelling:
            reason = f"it is {kept.spelling}"
            self._refuse(class_name, item.name, kept.spelling, item.spelling, reason)
        else:
            own[item.name] = replace(kept, queryable=True)

    def _broken_addition(self, class_name: str, item: Property, circle: set[str]) -> str | None:
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
        if item.type == "embedded" and class_name in circle and target in circle:
            return "an embedded class would contain itself"
        return None

    def _circle(self, additions: list[tuple[str, Property]]) -> set[str]:
        # The classes on a way that leads from a circle to a circle: what is left when those that
        # nothing leads to, and those that lead nowhere, are taken away again and again.
        standing = ((name, each) for name, own in self._properties.items() for each in own.values())
        edges = {
            (name, str(each.target))
            for name, each in (*standing, *additions)
            if each.type == "embedded" and self._key_types.get(str(each.target), "") is None
        }
        return _behind_circles(edges) & _behind_circles({(inner, outer) for outer, inner in edges})

    def _refuse(
        self, class_name: str, property_name: str | None, kept: str, refused: str, reason: str
    ) -> None:
        self.refused.append(Contradiction(class_name, property_name, kept, refused, reason))


def _behind_circles(edges: set[tuple[str, str]]) -> set[str]:
    inside = defaultdict(list)
    for outer, inner in edges:
        inside[outer].append(inner)
    holders = Counter(inner for _, inner in edges)
    free = [name for name in inside if name not in holders]
    while free:
        for inner in inside[free.pop()]:
            holders[inner] -= 1
            if holders[inner] == 0:
                free.append(inner)
    return {name for name, count in holders.items() if count}
