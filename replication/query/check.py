"""A query beside a schema: what is refused, and how literals take the types of their fields.

Rule 1: what is refused here would otherwise quietly never hold: an unknown field, a type that
        can't be queried, values of two kinds, an order where there is none. [QUERY-80] ...
Rule 2: a double compared with a `float` or `decimal` field is read as a value of that type, the
        way a write of the same literal would be stored: `price == 1.1` finds decimal 1.1.
        The comparison itself stays exact. [QUERY-89]
Rule 3: a comparison without quantifier on an array is given its ANY.
Rule 4: the checked query means the same as the one that was written on every object that fits
        the schema, Rule 2 apart; checking it again changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NoReturn

from bson.decimal128 import Decimal128

from replication.errors import QueryError, WrongTypeError
from replication.model.types import PropertyType, parse_type
from replication.model.values import Float32, Link
from replication.query import canonical, literals
from replication.query.ast import (
    And,
    Comparison,
    Constant,
    Constants,
    Count,
    Field,
    Node,
    Not,
    Operand,
    Or,
    Quantifier,
)
from replication.query.compare import KINDS, Kind, is_ordered

#: The types that can be queried; None compares with every kind.
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
}
#: What `@count` gives.
_COUNT: Final = parse_type("int")
_NAMES_SHOWN_MAX: Final = 20


def checked(root: Node, field_types: Mapping[str, str]) -> Node:
    """See `Query.check`."""
    if isinstance(root, And):
        return canonical.all_of([checked(operand, field_types) for operand in root.operands])
    if isinstance(root, Or):
        return canonical.any_of([checked(operand, field_types) for operand in root.operands])
    if isinstance(root, Not):
        return canonical.negation(checked(root.operand, field_types))
    if isinstance(root, Comparison):
        return _Checker(root, field_types).comparison()
    return root


class _Checker:
    """Checks one comparison."""

    def __init__(self, node: Comparison, field_types: Mapping[str, str]) -> None:
        self.node = node
        self.field_types = field_types

    def comparison(self) -> Comparison:
        node = self.node
        left, left_type = self._operand(node.left)
        right, right_type = self._operand(node.right)
        if left_type is None:
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
        if isinstance(operand, Count):
            found = self._type(operand.name)
            if found.collection is None:
                self._refuse(operand.name, f"@count needs a list or set, not {found}")
            self._check_operator(operand.name, _COUNT)
            return operand, _COUNT
        if not isinstance(operand, Field):
            return operand, None
        found = self._type(operand.name)
        self._check_operator(operand.name, found)
        quantifier = operand.quantifier
        if found.collection is not None:
            quantifier = quantifier or Quantifier.ANY
        elif quantifier is not None:
            reason = f"{quantifier.value} and IN need a list or set, not {found}"
            self._refuse(operand.name, reason)
        return canonical.field(operand.name, quantifier, str(found)), found

    def _type(self, name: str) -> PropertyType:
        spelled = self.field_types.get(name)
        if spelled is None:
            known = sorted(self.field_types)
            names = ", ".join(known[:_NAMES_SHOWN_MAX])
            more = ", ..." if len(known) > _NAMES_SHOWN_MAX else ""
            self._refuse(name, f"no such field can be queried; there are {names}{more}")
        found = parse_type(spelled)
        if found.collection == "dict" or found.type not in _KINDS:
            self._refuse(name, f"a field of type {spelled} can't be queried")
        return found

    # -- what goes together ----------------------------------------------------------------
    def _check_operator(self, name: str, found: PropertyType) -> None:
        operator, kind = self.node.operator, _KINDS[found.type]
        if kind is None:
            return
        if operator in canonical.STRING_OPERATORS and kind is not Kind.STRING:
            self._refuse(name, f"{operator} needs a string field, not {found}")
        if self.node.fold and kind is not Kind.STRING:
            self._refuse(name, f"[c] needs a string field, not {found}")
        if self._orders() and kind in (Kind.BOOL, Kind.LINK):
            reason = f"a {kind.value} has no order; use == or !=, not {operator}"
            self._refuse(name, reason)

    def _orders(self) -> bool:
        return self.node.operator in canonical.ORDERINGS or self.node.operator == "BETWEEN"

    def _check_pair(self, left: Operand, left_type: PropertyType, right_type: PropertyType) -> None:
        assert isinstance(left, Field | Count)
        if left_type.collection is not None and right_type.collection is not None:
            self._refuse(left.name, f"{literals.clipped(self.node.text)!r} compares two arrays")
        kinds = _KINDS[left_type.type], _KINDS[right_type.type]
        if None in kinds:
            return
        if kinds[0] is not kinds[1] or left_type.target != right_type.target:
            shown = literals.clipped(self.node.text)
            reason = f"{left_type} and {right_type} never compare: {shown!r}"
            self._refuse(left.name, reason)

    def _constant(self, operand: Operand, other: Operand, found: PropertyType | None) -> Operand:
        assert isinstance(other, Field | Count)
        assert found is not None
        if isinstance(operand, Constants):
            items = [self._fitted(item, other.name, found) for item in operand.items]
            return canonical.constants(items, ordered=self.node.operator == "BETWEEN")
        assert isinstance(operand, Constant)
        return self._fitted(operand, other.name, found)

    def _fitted(self, item: Constant, name: str, found: PropertyType) -> Constant:
        value = item.value
        if self._orders() and not is_ordered(value):
            shown = literals.clipped(item.text)
            reason = f"{shown} has no order; use == or !=, not {self.node.operator}"
            self._refuse(name, reason)
        if value is None or _KINDS[found.type] is None:
            return item
        if KINDS[type(value)] is not _KINDS[found.type]:
            shown = literals.described(item)
            self._refuse(name, f"a field of type {found} never compares with {shown}")
        if isinstance(value, Link) and found.target and value.class_name != found.target:
            self._refuse(name, f"a {found} never holds {literals.clipped(item.text)}")
        if type(value) is float and math.isfinite(value):
            return _adapted(item, value, found.type)
        return item

    def _refuse(self, name: str, reason: str) -> NoReturn:
        raise QueryError(f"{literals.clipped(name)}: {reason}", self.node.position)


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
