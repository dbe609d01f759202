"""What fields and paths lead to, by a schema.

Rule 1: a step that a type has no meaning for is refused, with the path and the type.
Rule 2: past a mixed value, and in a class that is not known, everything is mixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn, TypeAlias

from replication.errors import QueryError
from replication.model.schema import Schema
from replication.model.types import KEY_NAME, PropertyType, parse_type
from replication.query import canonical, literals
from replication.query.ast import (
    Distinct,
    Field,
    Follow,
    Limit,
    Modifier,
    Operand,
    Path,
    Sort,
    Step,
    StepKind,
)

#: The type of each field of a class, as schemas spell it; None for a class that is not known.
FieldTypes: TypeAlias = Mapping[str, str] | None
_NAMES_SHOWN_MAX: Final = 20
_MIXED: Final = parse_type("mixed")
_INT: Final = parse_type("int")
_STRINGS: Final = parse_type("list<string>")
_NUMBERS: Final = frozenset({"int", "counter", "float", "double", "decimal", "mixed"})


def fields_of(schema: Schema | None, class_name: str | None) -> FieldTypes:
    """The types of the fields of a class that a schema knows."""
    known = None if schema is None or class_name is None else schema.get(class_name)
    if known is None:
        return None
    types = {name: item.spelling for name, item in known.properties.items()}
    if known.key is not None:
        types[KEY_NAME] = known.key.spelling
    return types


def spelled(operand: Operand) -> str:
    """An operand in a message, without its quantifier."""
    if isinstance(operand, Field) and not operand.inner:
        return literals.clipped(operand.name)
    if isinstance(operand, Field | Path):
        operand = canonical.with_quantifier(operand, None)
    return literals.clipped(operand.text)


def aggregated(function: str, found: PropertyType) -> PropertyType | None:
    """What an aggregate of a type gives; None where it has no meaning."""
    if function == "@count":
        sized = found.collection or found.type in ("string", "binary", "link", "mixed")
        return _INT if sized else None
    timed = found.type == "timestamp" and function in ("@min", "@max")
    if found.type not in _NUMBERS and not timed:
        return None
    if found.collection is None and found.type != "mixed":
        return None
    base = found.type
    if function == "@avg" and base in ("int", "counter", "float"):
        base = "double"
    if function == "@sum" and base == "float":
        base = "double"
    return PropertyType("int" if base == "counter" else base, True, None, None)


class Typing:
    """The types of the fields of one class, and of what they lead to."""

    __slots__ = ("schema", "types")

    def __init__(self, types: FieldTypes, schema: Schema | None) -> None:
        self.types = types
        self.schema = schema

    def is_single(self, operand: Field | Path, found: PropertyType) -> bool:
        """Whether it is known to hold one value."""
        return isinstance(operand, Field) or found.type != "mixed"

    def typed(
        self, operand: Field | Path, position: int | None
    ) -> tuple[Field | Path, PropertyType]:
        """The operand as the schema knows it, and its type.

        Raises:
            QueryError: an unknown field, or a step that has no meaning.
        """
        walk = _Walk(self, operand, position)
        if isinstance(operand, Field):
            found = walk.property(self.types, operand.name)
            typed = found if self.types is not None else None
            return canonical.field(
                operand.name,
                operand.quantifier,
                None if typed is None else str(typed),
                inner=operand.inner,
            ), found
        found = walk.end()
        known = None if found.type == "mixed" and found.collection is None else str(found)
        return canonical.path(
            operand.name,
            operand.steps,
            operand.quantifier,
            known,
            inner=operand.inner,
            follows=walk.follows,
            many_links=walk.many_links,
        ), found


class _Walk:
    """A path on its way through the types."""

    def __init__(self, around: Typing, operand: Field | Path, position: int | None) -> None:
        self.around = around
        self.operand = operand
        self.position = position
        self.follows = False
        self.many = False
        self.many_links = False

    def property(self, types: FieldTypes, name: str) -> PropertyType:
        if types is None:
            return _MIXED
        found = types.get(name)
        if found is None:
            known = sorted(types)
            names = ", ".join(known[:_NAMES_SHOWN_MAX])
            more = ", ..." if len(known) > _NAMES_SHOWN_MAX else ""
            self._refuse(f"no such field can be queried; there are {names}{more}")
        kind = parse_type(found)
        if kind.type == "text":
            self._refuse(f"a field of type {found} can't be queried")
        return kind

    def end(self) -> PropertyType:
        """The type of what the path leads to."""
        operand = self.operand
        assert isinstance(operand, Path)
        found = self.property(self.around.types, operand.name) if operand.name else _MIXED
        for step in operand.steps:
            found = self._step(found, step)
        if self.many:
            found = replace_collection(found, "list")
        return found

    def _step(self, found: PropertyType, step: Step) -> PropertyType:
        kind = step.kind
        if kind is StepKind.LINKS:
            self.follows = True
            self._check_links(step)
            return PropertyType("link", False, "list", step.name or None)
        if found.type == "mixed" and found.collection is None:
            self.follows = self.follows or kind is StepKind.NAME
            return _MIXED
        if kind is StepKind.NAME:
            return self._name(found, step.name)
        if kind in (StepKind.KEYS, StepKind.VALUES):
            if found.collection != "dict":
                self._refuse(f"{step.text} needs a dictionary, not {found}")
            return _STRINGS if kind is StepKind.KEYS else replace_collection(found, "list")
        if found.collection is None or (kind is StepKind.INDEX and found.collection == "dict"):
            self._refuse(f"{step.text} needs a list or set, not {found}")
        self.many = self.many or kind is StepKind.EACH
        return replace_collection(found, None)

    def _name(self, found: PropertyType, name: str) -> PropertyType:
        if found.collection == "dict":
            return replace_collection(found, None)
        if found.collection is not None:
            self.many = True
            found = replace_collection(found, None)
        if found.type in ("string", "binary") and name == "length":
            return _INT
        if found.type == "mixed":
            self.follows = True
            return _MIXED
        if found.type not in ("link", "embedded"):
            self._refuse(f"a {found} has no property {name!r:.80}")
        if found.type == "link":
            self.follows = True
            self.many_links = self.many_links or self.many
        return self.property(fields_of(self.around.schema, found.target), name)

    def _check_links(self, step: Step) -> None:
        types = fields_of(self.around.schema, step.name or None)
        if types is None:
            return
        found = self.property(types, step.property)
        if found.type not in ("link", "mixed"):
            self._refuse(f"{step.name}.{step.property} is {found} and links to nothing")

    def _refuse(self, reason: str) -> NoReturn:
        raise QueryError(f"{spelled(self.operand)}: {reason}", self.position)


def replace_collection(found: PropertyType, collection: str | None) -> PropertyType:
    """The type with its elements in another collection, or alone."""
    nullable = found.nullable or collection is None
    return PropertyType(found.type, nullable, collection, found.target)  # type: ignore[arg-type]


# -- modifiers -----------------------------------------------------------------------------------
def modifier(each: Modifier, around: Typing) -> Modifier:
    """A modifier as a schema reads it.

    Raises:
        QueryError: a path that is not there or leads to what has no order, a link that is none.
    """
    if isinstance(each, Sort):
        return canonical.sort(
            tuple((_single(path, around, "SORT"), descending) for path, descending in each.keys)
        )
    if isinstance(each, Distinct):
        return canonical.distinct(tuple(_single(path, around, "DISTINCT") for path in each.paths))
    if isinstance(each, Follow):
        _check_follow(each, around)
    else:
        assert isinstance(each, Limit)
    return each


def _single(path: Field | Path, around: Typing, where: str) -> Field | Path:
    typed, found = around.typed(path, None)
    if found.collection is not None or found.type in ("embedded", "link"):
        raise QueryError(f"{spelled(path)}: {where} needs one value with an order, not {found}")
    return typed


def _check_follow(each: Follow, around: Typing) -> None:
    types = around.types
    for name in each.names:
        if types is None or name == "*":
            return
        found = types.get(name)
        if found is None or "link:" not in found:
            held = "there is no such field" if found is None else f"it is {found}"
            raise QueryError(f"{name}: FOLLOW needs a property that links; {held}")
        types = fields_of(around.schema, parse_type(found).target)
