"""A query beside a schema: what is refused, and how literals take the types of their fields.

Rule 1: what is refused here would otherwise quietly never hold: an unknown field, a type that
        can't be queried, values of two kinds, an order where there is none. [QUERY-80] ...
Rule 2: a double compared with a `float` or `decimal` field is read as a value of that type, the
        way a write of the same literal would be stored: `price == 1.1` finds decimal 1.1.
        The comparison itself stays exact. [QUERY-89]
Rule 3: a comparison without quantifier on an array is given its ANY.
Rule 4: the checked query means the same as the one that was written on every object that fits
        the schema, Rule 2 apart; checking it again changes nothing.
Rule 5: what a path leads to past a mixed value, or in a class that is not known, is not checked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NoReturn

from bson.decimal128 import Decimal128

from replication.errors import QueryError, WrongTypeError
from replication.model.encoding import pack
from replication.model.schema import Schema
from replication.model.types import PropertyType, parse_type
from replication.model.values import Float32, Link
from replication.query import canonical, literals, shapes
from replication.query.ast import (
    Aggregate,
    And,
    Arithmetic,
    Branch,
    Comparison,
    Constant,
    Constants,
    Field,
    Node,
    Not,
    Operand,
    Or,
    Path,
    Quantifier,
    Region,
    Subquery,
    TypeOf,
)
from replication.query.compare import KINDS, Kind, is_ordered
from replication.query.shapes import Typing, fields_of, spelled

#: The types that can be compared; None compares with every kind.
_KINDS: Final[dict[str, Kind | None]] = {
    "int": Kind.NUMBER,
    "counter": Kind.NUMBER,
    "float": Kind.NUMBER,
    "double": Kind.NUMBER,
    "decimal": Kind.NUMBER,
    "bool": Kind.BOOL,
    "string": Kind.STRING,
    "binary": Kind.BINARY,
    "timestamp": Kind.TIMESTAMP,
    "objectId": Kind.OBJECT_ID,
    "uuid": Kind.UUID,
    "link": Kind.LINK,
    "mixed": None,
    "embedded": Kind.NULL,
}
_INT: Final = parse_type("int")
_DOUBLE: Final = parse_type("double")
_DECIMAL: Final = parse_type("decimal")
_MIXED: Final = parse_type("mixed")


def checked(branch: Branch, field_types: Mapping[str, str], schema: Schema | None) -> Branch:
    """One branch; see `Query.check`."""
    around = Typing(field_types, schema)
    modifiers = tuple(shapes.modifier(each, around) for each in branch.modifiers)
    return canonical.branch(_node(branch.root, around), modifiers)


def _node(root: Node, around: Typing) -> Node:
    if isinstance(root, And):
        return canonical.all_of([_node(operand, around) for operand in root.operands])
    if isinstance(root, Or):
        return canonical.any_of([_node(operand, around) for operand in root.operands])
    if isinstance(root, Not):
        return canonical.negation(_node(root.operand, around))
    if isinstance(root, Comparison):
        return _Checker(root, around).comparison()
    return root


class _Checker:
    """Checks one comparison."""

    def __init__(self, node: Comparison, around: Typing) -> None:
        self.node = node
        self.around = around

    def comparison(self) -> Comparison:
        node = self.node
        left, left_type = self._operand(node.left)
        right, right_type = self._operand(node.right)
        if isinstance(right, Region):
            self._check_point(left, left_type)
        elif isinstance(left, TypeOf) or isinstance(right, TypeOf):
            pass
        elif left_type is None:
            left = self._constant(left, node.right, right_type)
        elif right_type is None:
            right = self._constant(right, node.left, left_type)
        else:
            self._check_pair(left, left_type, right_type)
        return canonical.comparison(
            node.operator, left, right, fold=node.fold, position=node.position
        )

    # -- operands --------------------------------------------------------------------------
    def _operand(self, operand: Operand) -> tuple[Operand, PropertyType | None]:
        if isinstance(operand, Field | Path):
            return self._ranged(operand)
        if isinstance(operand, Aggregate):
            return self._aggregate(operand)
        if isinstance(operand, TypeOf):
            return canonical.type_of(self._given_any(*self._typed(operand.operand))), _MIXED
        if isinstance(operand, Arithmetic):
            return self._arithmetic(operand)
        if isinstance(operand, Subquery):
            return self._subquery(operand), _INT
        return operand, None

    def _typed(self, operand: Field | Path) -> tuple[Field | Path, PropertyType]:
        # The operand as the schema knows it, and its type; mixed for what nobody knows.
        return self.around.typed(operand, self.node.position)

    def _given_any(self, operand: Field | Path, found: PropertyType) -> Field | Path:
        quantifier = operand.quantifier
        if found.collection is not None:
            quantifier = quantifier or Quantifier.ANY
        elif quantifier is not None and self.around.is_single(operand, found):
            reason = f"{quantifier.value} and IN need a list, set or dictionary, not {found}"
            self._refuse(operand, reason)
        return canonical.with_quantifier(operand, quantifier)

    def _ranged(self, operand: Field | Path) -> tuple[Operand, PropertyType]:
        typed, found = self._typed(operand)
        node = self.node
        if isinstance(node.right, Constants) and node.operator in ("==", "!="):
            if found.collection not in ("list", "set") and found.type != "mixed":
                self._refuse(operand, f"{node.operator} {{...}} needs a list or set, not {found}")
            return typed, found
        if not isinstance(node.right, Region):
            self._check_operator(operand, found)
        elif found.collection == "dict" and operand.quantifier is None:
            return typed, found
        return self._given_any(typed, found), found

    def _aggregate(self, operand: Aggregate) -> tuple[Operand, PropertyType]:
        typed, found = self._typed(operand.operand)
        result = shapes.aggregated(operand.function, found)
        if result is None:
            needed = "a list, set, dictionary, string or binary, or a link"
            if operand.function != "@count":
                needed = "numbers"
            self._refuse(operand.operand, f"{operand.function} needs {needed}, not {found}")
        self._check_operator(operand.operand, result)
        return canonical.aggregate(operand.function, typed), result

    def _arithmetic(self, operand: Arithmetic) -> tuple[Operand, PropertyType]:
        sides = []
        result = _INT
        for side in (operand.left, operand.right):
            if isinstance(side, Constant):
                found: PropertyType | None = _DECIMAL if type(side.value) is Decimal128 else _INT
                if KINDS[type(side.value)] is not Kind.NUMBER:
                    self._refuse(operand, f"{literals.described(side)} is no number")
            elif isinstance(side, Field | Path):
                side, found = self._typed(side)
            else:
                side, found = self._operand(side)
            assert found is not None
            if _KINDS.get(found.type) not in (Kind.NUMBER, None) or found.collection:
                self._refuse(operand, f"{operand.operator} needs numbers, not {found}")
            sides.append(side)
            if "decimal" in (found.type, result.type):
                result = _DECIMAL
            elif found.type not in ("int", "counter"):
                result = _DOUBLE
        return canonical.arithmetic(operand.operator, sides[0], sides[1]), result

    def _subquery(self, operand: Subquery) -> Operand:
        typed, found = self._typed(operand.path)
        if found.type not in ("link", "embedded", "mixed"):
            self._refuse(operand.path, f"SUBQUERY needs objects, not {found}")
        inner = Typing(fields_of(self.around.schema, found.target), self.around.schema)
        return canonical.subquery(typed, _node(operand.condition, inner))

    # -- what goes together ----------------------------------------------------------------
    def _check_operator(self, operand: Operand, found: PropertyType) -> None:
        operator, kind = self.node.operator, _KINDS.get(found.type)
        if found.type not in _KINDS:
            self._refuse(operand, f"a field of type {found} can't be queried")
        if kind is None:
            return
        if operator in canonical.STRING_OPERATORS and kind is not Kind.STRING:
            self._refuse(operand, f"{operator} needs a string field, not {found}")
        if self.node.fold and kind is not Kind.STRING:
            self._refuse(operand, f"[c] needs a string field, not {found}")
        if self._orders() and kind in (Kind.BOOL, Kind.LINK, Kind.NULL):
            what = "an embedded object" if kind is Kind.NULL else f"a {kind.value}"
            self._refuse(operand, f"{what} has no order; use == or !=, not {operator}")

    def _orders(self) -> bool:
        return self.node.operator in canonical.ORDERINGS or self.node.operator == "BETWEEN"

    def _check_point(self, operand: Operand, found: PropertyType | None) -> None:
        assert found is not None
        if found.type not in ("embedded", "mixed", "link") and found.collection != "dict":
            self._refuse(operand, f"geoWithin needs an embedded point, not {found}")

    def _check_pair(self, left: Operand, left_type: PropertyType, right_type: PropertyType) -> None:
        arrays = [isinstance(side, Field | Path) for side in (self.node.left, self.node.right)]
        if all(arrays) and left_type.collection is not None and right_type.collection is not None:
            self._refuse(left, f"{literals.clipped(self.node.text)!r} compares two arrays")
        kinds = _KINDS[left_type.type], _KINDS[right_type.type]
        if None in kinds:
            return
        if kinds[0] is not kinds[1] or left_type.target != right_type.target:
            shown = literals.clipped(self.node.text)
            self._refuse(left, f"{left_type} and {right_type} never compare: {shown!r}")

    def _constant(self, operand: Operand, other: Operand, found: PropertyType | None) -> Operand:
        assert found is not None
        if isinstance(operand, Constants):
            items = [self._fitted(item, other, found) for item in operand.items]
            ordered = self.node.operator != "IN"
            if ordered and found.collection == "set" and self.node.operator != "BETWEEN":
                # As queries see a set: each member once, in the order of the bytes.
                by_bytes = {pack(item.value): item for item in items}
                items = [by_bytes[key] for key in sorted(by_bytes)]
            return canonical.constants(items, ordered=ordered)
        assert isinstance(operand, Constant)
        return self._fitted(operand, other, found)

    def _fitted(self, item: Constant, other: Operand, found: PropertyType) -> Constant:
        value = item.value
        if self._orders() and not is_ordered(value):
            shown = literals.clipped(item.text)
            self._refuse(other, f"{shown} has no order; use == or !=, not {self.node.operator}")
        if value is None or _KINDS[found.type] is None:
            return item
        if KINDS[type(value)] is not _KINDS[found.type]:
            shown = literals.described(item)
            self._refuse(other, f"a field of type {found} never compares with {shown}")
        if isinstance(value, Link) and found.target and value.class_name != found.target:
            self._refuse(other, f"a {found} never holds {literals.clipped(item.text)}")
        if type(value) is float and math.isfinite(value):
            return _adapted(item, value, found.type)
        return item

    def _refuse(self, operand: Operand, reason: str) -> NoReturn:
        raise QueryError(f"{spelled(operand)}: {reason}", self.node.position)


def _adapted(item: Constant, value: float, base: str) -> Constant:
    if base == "decimal":
        # The shortest digits that name this double: those that were written, up to 17.
        return literals.constant(Decimal128(repr(value)))
    if base == "float":
        try:
            return literals.constant(Float32(value))
        except WrongTypeError:
            return item  # beyond every float, and so it stays
    return item
