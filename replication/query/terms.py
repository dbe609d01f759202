"""What has to hold of single fields where a query holds: the terms it is found by.

Rule 1: terms are necessary, not sufficient: an object for which a query holds satisfies at least
        one term of each of its choices. Bounds may be wider than the query's.
Rule 2: a field that holds an array or a dictionary satisfies a term if an element does, an
        interval also if one element reaches its lower and another its upper bound.
Rule 3: what is not understood here has no choices: it is then asked about every object.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, TypeAlias

from replication.query.ast import (
    And,
    Comparison,
    Constant,
    Constants,
    Field,
    Node,
    Or,
    Quantifier,
    Truth,
)
from replication.query.canonical import ORDERINGS
from replication.query.compare import KINDS, Kind, is_ordered, number

#: Stands for NaN, which equals itself in queries and nothing in Python.
NAN: Final = object()


class Equal(NamedTuple):
    """The field equals a value."""

    name: str
    #: Strings are compared case-folded.
    fold: bool
    kind: Kind
    #: As `plain` gives it, case-folded with ``fold``.
    value: Any


class Within(NamedTuple):
    """The field is of a kind, not less than ``low`` and not greater than ``high``; None: open."""

    name: str
    kind: Kind
    low: Any
    high: Any


Term: TypeAlias = Equal | Within
#: Terms of which at least one is satisfied; without any the query never holds.
Choice: TypeAlias = tuple[Term, ...]


def plain(value: Any) -> Any:
    """A value as it is looked up beside others of its kind: equal ones are equal keys."""
    if type(value) is str:
        return value
    value = number(value)
    return NAN if value != value else value


def choices(node: Node) -> list[Choice]:
    """What a condition may be found by, any one of them; none: it can't be found by terms."""
    if isinstance(node, Comparison):
        return _comparison(node)
    if isinstance(node, And):
        return _conjunction([choice for operand in node.operands for choice in choices(operand)])
    if isinstance(node, Or):
        parts = [choices(operand) for operand in node.operands]
        if not all(parts):
            return []
        return [tuple(term for part in parts for term in min(part, key=_looseness))]
    if isinstance(node, Truth) and not node.value:
        return [()]
    return []


def _looseness(choice: Choice) -> int:
    """Roughly how much a choice finds: what equality finds is less than what a range does."""
    out = 0
    for term in choice:
        if isinstance(term, Equal):
            out += 1
        else:
            out += 100 if term.low is None or term.high is None else 4
    return out


def _conjunction(found: list[Choice]) -> list[Choice]:
    """The same with what bounds a field from both sides put together."""
    open_ended: dict[tuple[str, Kind], list[Within]] = {}
    for choice in found:
        if len(choice) == 1 and isinstance(choice[0], Within):
            open_ended.setdefault(choice[0][:2], []).append(choice[0])
    out = found
    for (name, kind), terms in open_ended.items():
        lows = [term.low for term in terms if term.low is not None]
        highs = [term.high for term in terms if term.high is not None]
        if len(terms) > 1 and lows and highs and max(lows) <= min(highs):
            out = [*out, (Within(name, kind, max(lows), min(highs)),)]
    return out


def _comparison(node: Comparison) -> list[Choice]:
    left, right, operator = node.left, node.right, node.operator
    if type(left) is not Field or left.quantifier in (Quantifier.ALL, Quantifier.NONE):
        return []
    if isinstance(right, Constants):
        values = [item.value for item in right.items]
        if operator == "IN":
            return [tuple(_equal(left.name, value, fold=node.fold) for value in values)]
        if operator != "BETWEEN":
            return []  # beside a whole array
        low, high = values
        return _conjunction([_ordered(left.name, ">=", low), _ordered(left.name, "<=", high)])
    if type(right) is not Constant:
        return []
    if operator == "==":
        return [(_equal(left.name, right.value, fold=node.fold),)]
    if operator in ORDERINGS:
        return [_ordered(left.name, operator, right.value)]
    if operator in ("BEGINSWITH", "LIKE") and not node.fold and type(right.value) is str:
        return _beginning(left.name, _prefix(right.value) if operator == "LIKE" else right.value)
    return []


def _equal(name: str, value: Any, *, fold: bool) -> Equal:
    if fold and type(value) is str:
        return Equal(name, True, Kind.STRING, value.casefold())
    return Equal(name, False, KINDS[type(value)], plain(value))


def _ordered(name: str, operator: str, value: Any) -> Choice:
    if not is_ordered(value):
        # Nothing is less or greater; it may still be equal.
        return (_equal(name, value, fold=False),) if operator in ("<=", ">=") else ()
    kind, bound = KINDS[type(value)], plain(value)
    if operator in (">", ">="):
        return (Within(name, kind, bound, None),)
    return (Within(name, kind, None, bound),)


def _prefix(pattern: str) -> str:
    """What every text of a form begins with."""
    ends = [at for at in (pattern.find("*"), pattern.find("?")) if at >= 0]
    return pattern[: min(ends)] if ends else pattern


def _beginning(name: str, prefix: str) -> list[Choice]:
    # The least string past all that begin so: the last code point that can be, one further.
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return []
    end = stem[:-1] + chr(ord(stem[-1]) + 1)
    return [(Within(name, Kind.STRING, prefix, end),)]


def bounds(values: Iterable[Any]) -> dict[Kind, tuple[Any, Any]]:
    """The least and the greatest of the values of each ordered kind. Rule 2."""
    out: dict[Kind, tuple[Any, Any]] = {}
    for value in values:
        if is_ordered(value):
            kind, value = KINDS[type(value)], plain(value)
            low, high = out.get(kind, (value, value))
            out[kind] = (min(low, value), max(high, value))
    return out
