"""Queryable fields: what subscriptions may ask for.

A configuration names fields for all classes or for one. Without one, what the schema marks counts.

Rule 1: the primary key can always be asked for, and is not counted. [QUERYABLE-1]
Rule 2: a name that no class has, or for all classes a name that some class can't be asked for,
        is harmless. For one class, naming what can't be asked for is an error. [QUERYABLE-2]
Rule 3: in development mode everything that can be asked for may be, and what is asked for is
        added to the configuration. [QUERYABLE-4]
Rule 4: `legacy` stands for what the service did that this replaces: at most ten names, and only
        plain values and arrays of them. [QUERYABLE-5]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from replication.errors import SchemaError
from replication.limits import QUERYABLE_LEGACY_MAX
from replication.model.check import shown
from replication.model.encoding import unpack_trusted
from replication.model.property import Property
from replication.model.schema import Schema
from replication.model.types import KEY_NAME, broken_class_name, broken_property_name

_WORDS: Final = """
    and asc ascending beginswith between contains desc descending distinct endswith falsepredicate
    inf infinity like limit nan nil null or sort subquery truepredicate"""
_EXACT_WORDS: Final = """
    ALL ANY B64 FALSE IN NONE NOT SOME TRUE all any false in none not oid some true uuid"""
#: Words that no queryable field may be called, in any case of their letters.
RESERVED: Final = frozenset(_WORDS.split())
#: Words that none may be called as they are written here.
RESERVED_EXACTLY: Final = frozenset(_EXACT_WORDS.split())


@dataclass(frozen=True)
class Queryable:
    """Which fields subscriptions may ask for.

    Attributes:
        everywhere: names for all classes.
        classes: further names of single classes.
        exact: nothing else counts; False: what the schema marks does, too.
        legacy: Rule 4.
    """

    everywhere: frozenset[str] = frozenset()
    classes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    exact: bool = True
    legacy: bool = False

    @classmethod
    def from_json(cls, found: Any) -> Queryable:
        """`{"global": [...], "classes": {"Book": [...]}, "legacy": false}`, all of it optional.

        Raises:
            SchemaError: it is none; the message names what is wrong with it.
        """
        if type(found) is not dict or found.keys() - {"global", "classes", "legacy"}:
            raise SchemaError(
                f'queryable fields are {{"global": [...], "classes": {{...}}}}, not {shown(found)}'
            )
        classes, legacy = found.get("classes", {}), found.get("legacy", False)
        if type(classes) is not dict or type(legacy) is not bool:
            raise SchemaError(f'"classes" is an object and "legacy" true or false: {shown(found)}')
        for name in classes:
            reason = broken_class_name(name)
            if reason is not None:
                raise SchemaError(reason)
        named = {name: _names(f"of class {name}", each) for name, each in classes.items()}
        out = cls(_names("global", found.get("global", [])), named, legacy=legacy)
        out.check_count()
        return out

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        classes = {name: sorted(each) for name, each in sorted(self.classes.items())}
        return {"global": sorted(self.everywhere), "classes": classes, "legacy": self.legacy}

    def to_packed(self) -> list[Any]:
        """What a store keeps."""
        return [*self.as_json().values(), self.exact]

    @classmethod
    def from_stored(cls, data: bytes) -> Queryable:
        """From what `to_packed` gave, packed."""
        everywhere, classes, legacy, exact = unpack_trusted(data)
        named = {name: frozenset(each) for name, each in classes.items()}
        return cls(frozenset(everywhere), named, exact, legacy)

    # -- what may be asked for -------------------------------------------------------------------
    def refusal(self, item: Property, *, development: bool) -> str | None:
        """Why a property may not be asked for; None if it may."""
        reason = self._ineligible(item)
        if reason is not None:
            return f"{item} can't be queryable: {reason}"
        if development or self.covers(item.owner, item.name):
            return None
        if item.queryable and not self.exact:
            return None
        what = "configuration" if self.exact else "schema"
        return f"{item} is not queryable; the server's {what} must say so"

    def covers(self, class_name: str, name: str) -> bool:
        """Whether it names a field."""
        if name == KEY_NAME or name in self.everywhere:
            return True
        return name in self.classes.get(class_name, ())

    def check(self, schema: Schema) -> None:
        """Raise SchemaError if it names a property of a class that can't be asked for. Rule 2."""
        for class_name, names in sorted(self.classes.items()):
            known = schema.get(class_name)
            if known is not None and known.embedded:
                raise SchemaError(
                    f"{class_name} is embedded and has no queryable fields of its own"
                )
            for name in sorted(names):
                item = None if known is None else known.properties.get(name)
                reason = None if item is None else self._ineligible(item)
                if reason is not None:
                    raise SchemaError(f"{item} can't be queryable: {reason}")

    def _ineligible(self, item: Property) -> str | None:
        if item.type == "text":
            return "it is collaborative text"
        if self.legacy and (item.collection == "dict" or item.type in ("embedded", "link")):
            return f"it is {item.spelling}; only plain values and arrays of them are"
        return None

    # -- making others of it ---------------------------------------------------------------------
    def with_names(self, class_name: str, names: Iterable[str]) -> Queryable:
        """The same with names of one class. Rule 3.

        Raises:
            SchemaError: they are too many together.
        """
        fresh = {name for name in names if not self.covers(class_name, name)}
        if not fresh:
            return self
        named = {**self.classes, class_name: self.classes.get(class_name, frozenset()) | fresh}
        out = Queryable(self.everywhere, named, self.exact, self.legacy)
        out.check_count()
        return out

    def check_count(self) -> None:
        """Raise SchemaError if it has too many names. Rule 4."""
        count = len(self.everywhere) + sum(map(len, self.classes.values()))
        if self.legacy and count > QUERYABLE_LEGACY_MAX:
            raise SchemaError(
                f"{count} queryable fields, at most {QUERYABLE_LEGACY_MAX} are allowed in legacy "
                "mode: leave out some, or that mode"
            )


def is_column(item: Property) -> bool:
    """Whether stores keep a column of a queryable property."""
    return item.type not in ("embedded", "text") and item.collection != "dict"


#: Where nobody configured anything.
UNCONFIGURED: Final = Queryable(exact=False)


def _names(where: str, found: Any) -> frozenset[str]:
    if type(found) is not list:
        raise SchemaError(f"queryable fields {where} are a list of names, not {shown(found)}")
    for name in found:
        if type(name) is not str:
            raise SchemaError(f"queryable fields {where}: {shown(name)} is no name")
        if name.lower() in RESERVED or name in RESERVED_EXACTLY:
            raise SchemaError(
                f"{name!r} means something in queries: no field of that name can be queryable"
            )
        reason = None if name == KEY_NAME else broken_property_name(name)
        if reason is not None:
            raise SchemaError(f"queryable fields {where}: {reason}")
    return frozenset(found) - {KEY_NAME}
