"""Document filters as queries: with the user filled in, only the document is left.

Rule 1: the query holds for a document exactly where the filter does. [RULES-FILTER-1]
Rule 2: what can't be a query is found when rules are read, for any user: `uncompilable`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from replication.errors import QueryError
from replication.query import Query, canonical, literals
from replication.query.ast import Constant, Field, Node, Path
from replication.rules import expression as ex
from replication.rules.evaluate import ABSENT, Scope, at_path, holds, value_of
from replication.rules.expression import Condition, Expansion, Operand

_OPERATORS: Final = {"eq": "==", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def compiled(condition: Condition, scope: Scope) -> Query:
    """The query that a filter is for one user.

    Args:
        scope: without a document.

    Raises:
        QueryError: the user's data makes it longer than a query may be.
    """
    return Query.of(_node(condition, scope))


def uncompilable(condition: Condition) -> Iterator[str]:
    """Why a filter can't be a query; nothing if it can."""
    if isinstance(condition, ex.AllOf | ex.AnyOf):
        for part in condition.operands:
            yield from uncompilable(part)
    elif isinstance(condition, ex.Not):
        yield from uncompilable(condition.operand)
    elif isinstance(condition, ex.Comparison):
        sides = [each for each in (condition.left, condition.right) if _reads(each)]
        if len(sides) == 2:
            yield "compares two fields of the document; one side must be known beforehand"
        yield from filter(None, map(_reason, sides))
    elif isinstance(condition, ex.Exists | ex.Holds) and _reads(condition.operand):
        reason = _reason(condition.operand)
        if reason:
            yield reason


def _reason(operand: Operand) -> str | None:
    if not isinstance(operand, Expansion):
        return "converts or lists a field of the document; convert the other side"
    return None if operand.path else "looks at the document as a whole; name a field of it"


def _reads(operand: Operand) -> bool:
    """Whether a document is needed to know its value."""
    if isinstance(operand, Expansion):
        return operand.scope == "root"
    if isinstance(operand, ex.Conversion):
        return _reads(operand.operand)
    # No function is called with anything of a document where a query is to be made.
    return isinstance(operand, ex.Items) and any(map(_reads, operand.items))


def _node(condition: Condition, scope: Scope) -> Node:
    if isinstance(condition, ex.AllOf):
        return canonical.all_of([_node(part, scope) for part in condition.operands])
    if isinstance(condition, ex.AnyOf):
        return canonical.any_of([_node(part, scope) for part in condition.operands])
    if isinstance(condition, ex.Not):
        return canonical.negation(_node(condition.operand, scope))
    if isinstance(condition, ex.Comparison):
        if _reads(condition.left):
            known = value_of(condition.right, scope)
            return _comparison(condition.operator, _field(condition.left), known)
        if _reads(condition.right):
            known = value_of(condition.left, scope)
            return _comparison(_MIRRORED[condition.operator], _field(condition.right), known)
    elif not isinstance(condition, ex.Truth) and _reads(condition.operand):
        operand = _field(condition.operand)
        if isinstance(condition, ex.Holds):
            return _whole(operand, literals.constant(True))
        found = _exists(operand)
        return found if condition.wanted else canonical.negation(found)
    return canonical.TRUE if holds(condition, scope) else canonical.FALSE


_MIRRORED: Final = {"eq": "eq", "ne": "ne", "gt": "lt", "gte": "lte", "lt": "gt", "lte": "gte"}


def _field(operand: Operand) -> Field | Path:
    assert isinstance(operand, Expansion), "the linter refuses everything else"
    return at_path(operand.path)


def _comparison(operator: str, field: Field | Path, known: Any) -> Node:
    if known is ABSENT:
        return canonical.FALSE
    if operator == "ne":
        return canonical.negation(_comparison("eq", field, known))
    values = known if type(known) is list else [known]
    items = [item for item in map(_constant, values) if item is not None]
    if operator == "eq" and len(items) > 1:
        return canonical.comparison("IN", field, canonical.constants(items, ordered=False))
    spelled = _OPERATORS[operator]
    return canonical.any_of([canonical.comparison(spelled, field, item) for item in items])


def _constant(value: Any) -> Constant | None:
    """A value as it stands in a query; None for what equals no field."""
    try:
        return literals.constant(value)
    except QueryError:
        return None


def _whole(field: Field | Path, value: Constant) -> Node:
    """A field is this value, and no list that has it among others."""
    count = canonical.aggregate("@count", field)
    single = canonical.comparison("==", count, literals.constant(None))
    return canonical.all_of([canonical.comparison("==", field, value), single])


def _exists(field: Field | Path) -> Node:
    # A list that holds nothing but null exists.
    is_null = canonical.comparison("==", field, literals.constant(None))
    count = canonical.aggregate("@count", field)
    is_list = canonical.comparison(">", count, literals.constant(0))
    return canonical.any_of([canonical.negation(is_null), is_list])
