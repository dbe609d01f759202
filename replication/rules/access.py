"""Which fields of an object may be read, or written: names, with sets inside.

Rule 1: a set is in normal form: what it says of a name is never what it says of the others.
Rule 2: the primary key is in no set: it names the object, and goes with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """A set of fields. Made by `access`.

    Attributes:
        rest: whether it has the fields that are not named.
        named: what it has of each other one: all, nothing, or some fields of embedded objects.
        key: equal for sets that are equal; can be packed.
    """

    rest: bool
    named: Mapping[str, Access]
    key: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        named = [[name, self.named[name].key] for name in sorted(self.named)]
        object.__setattr__(self, "key", [self.rest, named])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Access) and self.key == other.key

    def __hash__(self) -> int:
        return hash((self.rest, *self.named))

    @property
    def is_all(self) -> bool:
        """Whether it has every field."""
        return self.rest and not self.named

    @property
    def is_none(self) -> bool:
        """Whether it has no field at all."""
        return not self.rest and not self.named

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
