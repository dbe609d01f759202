"""Which fields of an object may be read, or written: names, with sets inside.

Rule 1: a set is in normal form: what it says of a name is never what it says of the others.
Rule 2: the primary key is in no set: it names the object, and goes with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """A set of fields. Made by `access`.

    Attributes:
        rest: whether it has the fields that are not named.
        named: what it has of each other one: all, nothing, or some fields of embedded objects.
        key: equal for sets that are equal; can be packed.
        is_all, is_none: whether it has every field, or none at all.
    """

    rest: bool
    named: Mapping[str, Access]
    key: list[Any] = field(init=False)
    is_all: bool = field(init=False)
    is_none: bool = field(init=False)
    #: The names of which it has all, and those of which it lacks something.
    _whole: frozenset[str] = field(init=False)
    _lacking: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        named = [[name, self.named[name].key] for name in sorted(self.named)]
        whole = frozenset(name for name, inner in self.named.items() if inner.is_all)
        object.__setattr__(self, "key", [self.rest, named])
        object.__setattr__(self, "is_all", self.rest and not self.named)
        object.__setattr__(self, "is_none", not self.rest and not self.named)
        object.__setattr__(self, "_whole", whole)
        object.__setattr__(self, "_lacking", frozenset(self.named) - whole)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Access) and self.key == other.key

    def __hash__(self) -> int:
        return hash((self.rest, *self.named))

    def lacks(self, names: AbstractSet[str]) -> AbstractSet[str]:
        """Those of some names of which it has not all."""
        return names & self._lacking if self.rest else names - self._whole

    def of(self, name: str) -> Access:
        """What it has of one field."""
        found = self.named.get(name)
        if found is None:
            return ALL if self.rest else NONE
        return found

    def has(self, path: Iterable[str]) -> bool:
        """Whether it has all of what a path leads to."""
        here = self
        for name in path:
            here = here.of(name)
        return here.is_all


def access(rest: bool, named: Mapping[str, Access]) -> Access:
    """A set of fields, in normal form."""
    default: list[Any] = [rest, []]
    return Access(rest, {name: each for name, each in named.items() if each.key != default})


ALL: Final = access(True, {})
NONE: Final = access(False, {})


def union(left: Access, right: Access) -> Access:
    """What either has."""
    names = {*left.named, *right.named}
    named = {name: union(left.of(name), right.of(name)) for name in names}
    return access(left.rest or right.rest, named)


def from_key(key: Any) -> Access:
    """The set with that key, also after it was packed."""
    rest, named = key
    return access(rest, {name: from_key(inner) for name, inner in named})
