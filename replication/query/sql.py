"""What a query means, as an SQL condition on the columns that `columns` describes.

Rule 1: for every row, SQL and `evaluate` agree (for a checked query: every row that fits the
        schema it was checked against). Where SQLite has no way to say a comparison exactly, the
        condition calls `query_test`, which evaluates it in Python.
Rule 2: a condition that stands where it is not negated may be NULL for false. NOT is pushed
        down to the comparisons, and there it is `IS NOT TRUE`, so that NULL never gets lost.
Rule 3: equality, IN, orderings, BETWEEN, BEGINSWITH and a LIKE that begins with text compare
        the bare column with values, so that an index on it serves them; what can't use one
        (`typeof`, functions) doesn't look as if it could.
Rule 4: an unchecked query can't know whether a field holds an array or a decimal, and asks for
        both; `Query.check` makes the SQL shorter.
Rule 5: what no column holds (paths, sub-queries, regions, the types of numbers) is taken for true,
        negated or not. The condition then holds for every row that the query holds for, and for
        others: it narrows, and `evaluate` decides.
Rule 6: the same goes for a row whose column says that its list is spread over parts. Who knows that
        no row of a column does leaves it out of ``spread``, and keeps a condition that decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple

from replication.query import columns as col
from replication.query.ast import (
    Aggregate,
    And,
    Arithmetic,
    Comparison,
    Constant,
    Constants,
    Field,
    Node,
    Not,
    Operand,
    Or,
    Truth,
)
from replication.query.canonical import ORDERINGS, any_of
from replication.query.columns import ColumnValue, column_value
from replication.query.compare import KINDS, Kind, is_ordered, number
from replication.query.evaluate import Test, compile_test, holds
from replication.query.parser import parse
from replication.query.query import Query, operands_in

__all__ = ["FUNCTIONS", "ColumnValue", "Compiled", "column_value", "compile_sql"]

#: SQLite takes 32,766 parameters, and a statement may hold two queries.
_BINDINGS_MAX: Final = 16_000
#: Comparisons in one statement: SQLite plans 10,000 of them in more than a second.
_COMPARISONS_MAX: Final = 1000


class _Sql(NamedTuple):
    """A piece of SQL and what its question marks stand for."""

    text: str
    bindings: list[ColumnValue]


class _InexpressibleError(Exception):
    """No column holds what a comparison needs; it never leaves this file."""


class _TooMuchError(Exception):
    """More than SQLite plans in reasonable time; it never leaves this file either."""


class Compiled(NamedTuple):
    """A condition for WHERE.

    Attributes:
        bindings: what its question marks stand for.
        exact: whether it means the query; otherwise it only narrows, see Rule 5.
    """

    text: str
    bindings: list[ColumnValue]
    exact: bool


def compile_sql(
    query: Query, columns: Mapping[str, str], spread: Collection[str] = ()
) -> Compiled | None:
    """What SQL can say of the conditions of a query.

    Args:
        columns: the SQL name, quoted where need be, of the column of each field.
        spread: the fields of which a row may be spread over parts. Rule 6.

    Returns:
        None if that is nothing, or the query is larger than SQLite takes or plans in reasonable
        time: then ask `Query.matches` for every object.
    """
    compiler = _Compiler(columns, spread)
    try:
        root = any_of([branch.root for branch in query.branches])
        text, bindings = compiler.node(root, positive=True)
    except _TooMuchError:
        return None
    if len(bindings) > _BINDINGS_MAX or (text == "1" and not compiler.exact):
        return None
    return Compiled(text, bindings, compiler.exact)


def query_test(condition: str, checked: int, *values: ColumnValue) -> bool:
    """The SQL function behind what SQLite can't say: one comparison, evaluated in Python.

    Args:
        condition: canonical text of the comparison.
        checked: 1 where a schema has said that fields without quantifier hold single values.
        values: the columns of its fields, in the order of their names.
    """
    names, test = _remembered_test(condition, checked)
    fields = dict(zip(names, map(col.field_value, values), strict=True))
    return holds(test, fields.__getitem__)


@lru_cache(maxsize=256)
def _remembered_test(condition: str, checked: int) -> tuple[list[str], Test]:
    query = parse(condition)
    node = query.root
    assert isinstance(node, Comparison)
    if checked:
        node = replace(node, left=_single(node.left), right=_single(node.right))
    return sorted(query.fields), compile_test(node)


def _single(operand: Any) -> Any:
    return replace(operand, type="mixed") if isinstance(operand, Field) else operand


#: The deterministic functions that a connection needs, by name: callable and number of arguments.
FUNCTIONS: Final[dict[str, tuple[Callable[..., bool], int]]] = {"query_test": (query_test, -1)}


class _Compiler:
    def __init__(self, columns: Mapping[str, str], spread: Collection[str]) -> None:
        self.columns = columns
        self.spread = spread
        self.comparisons = 0
        self.exact = True

    def column(self, name: str) -> str:
        found = self.columns.get(name)
        if found is None:
            raise _InexpressibleError
        return found

    # -- compounds -------------------------------------------------------------------------
    def node(self, node: Node, *, positive: bool) -> _Sql:
        """The condition, or its opposite."""
        if isinstance(node, Not):
            return self.node(node.operand, positive=not positive)
        if isinstance(node, And | Or):
            parts = [self.node(operand, positive=positive) for operand in node.operands]
            return _compound(parts, conjunction=isinstance(node, And) is positive)
        if isinstance(node, Truth):
            return _Sql("1" if node.value is positive else "0", [])
        self.comparisons += 1
        if self.comparisons > _COMPARISONS_MAX:
            raise _TooMuchError
        try:
            text, bindings = self.comparison(node)
        except _InexpressibleError:
            self.exact = False
            return _Sql("1", [])
        decided = _Sql(text if positive else f"({text}) IS NOT TRUE", bindings)
        return self.kept(node, decided) if self.spread else decided

    def kept(self, node: Comparison, decided: _Sql) -> _Sql:
        """The condition, or a row of which the columns don't tell. Rule 6."""
        names = {each.name for each in operands_in(node) if isinstance(each, Field)}
        told = [_Sql(f"{self.column(name)} = ?", [col.SPREAD]) for name in names & {*self.spread}]
        if not told:
            return decided
        self.exact = False
        return _joined([*told, decided], " OR ")

    def comparison(self, node: Comparison) -> _Sql:
        left, right = node.left, node.right
        simple = isinstance(left, Field) and left.quantifier is None and not node.fold
        whole = isinstance(right, Constants) and node.operator in ("==", "!=")
        if not simple or not isinstance(right, Constant | Constants) or whole:
            return self.function(node)
        assert isinstance(left, Field)
        if "embedded:" in (left.type or ""):
            raise _InexpressibleError
        column = self.column(left.name)
        single = self.single(node, column, left.type)
        if left.type is not None:
            return single
        # The column may hold an array, whose elements only the function can see.
        array = self.function(node)
        bindings = [col.ARRAY, *array.bindings]
        if node.operator == "!=":
            text = f"CASE WHEN {column} >= ? THEN {array.text} ELSE {single.text} END"
            return _Sql(text, bindings + single.bindings)
        text = f"({single.text} OR ({column} >= ? AND {array.text}))"
        return _Sql(text, single.bindings + bindings)

    def function(self, node: Comparison) -> _Sql:
        """The comparison as a call of `query_test`."""
        whole = isinstance(node.right, Constants) and node.operator in ("==", "!=")
        for side in (node.left, node.right):
            _check_columns_hold(side, whole=whole)
        names = sorted({side.name for side in operands_in(node) if isinstance(side, Field)})
        checked = any(
            isinstance(side, Field) and side.type is not None for side in (node.left, node.right)
        )
        arguments = ", ".join(["?", "?", *map(self.column, names)])
        return _Sql(f"query_test({arguments})", [node.text, int(checked)])

    # -- one value against constants -------------------------------------------------------
    def single(self, node: Comparison, column: str, type_name: str | None) -> _Sql:
        """The comparison where the column holds no array."""
        right, operator = node.right, node.operator
        if isinstance(right, Constants):
            values: list[Any] = [item.value for item in right.items]
            if operator == "IN":
                return _membership(column, values)
            return _between(column, values[0], values[1], type_name)
        assert isinstance(right, Constant)
        value: Any = right.value
        if operator == "==":
            return _equality(column, value)
        if operator == "!=":
            return _Sql(f"{column} IS NOT ?", [column_value(value)])
        if operator in ORDERINGS:
            return _ordering(column, operator, value, type_name)
        return self.string(node, column, value)

    def string(self, node: Comparison, column: str, value: str) -> _Sql:
        if node.operator == "BEGINSWITH":
            return _range(column, _prefixed(value))
        if node.operator == "CONTAINS":
            return _Sql(f"(typeof({column}) = 'text' AND instr({column}, ?))", [value])
        if node.operator == "ENDSWITH":
            # As bytes: SQLite counts characters only up to the first NUL.
            end = value.encode()
            tail = f"substr(CAST({column} AS BLOB), ?)" if end else "?"
            size = -len(end) if end else b""
            return _Sql(f"(typeof({column}) = 'text' AND {tail} = ?)", [size, end])
        prefix = ""
        if node.operator == "LIKE":
            prefix = value.replace("?", "*").partition("*")[0]
        test = self.function(node)
        if not prefix:
            return _Sql(f"(typeof({column}) = 'text' AND {test.text})", test.bindings)
        guard = _range(column, _prefixed(prefix))
        return _Sql(f"({guard.text} AND {test.text})", guard.bindings + test.bindings)


def _check_columns_hold(operand: Operand, *, whole: bool) -> None:
    """Raise _InexpressibleError unless columns tell all that is asked of an operand.

    They don't tell numbers of different types apart, nor what is in embedded objects and mixed
    values, nor lists from dictionaries.

    Args:
        whole: whether it may stand beside a list as a whole.
    """
    if isinstance(operand, Arithmetic):
        _check_columns_hold(operand.left, whole=whole)
        _check_columns_hold(operand.right, whole=whole)
        fields = [side for side in (operand.left, operand.right) if isinstance(side, Field)]
        if any(each.type is None or _BLURRED.search(each.type) for each in fields):
            raise _InexpressibleError
        return
    if isinstance(operand, Constant | Constants):
        return
    if isinstance(operand, Aggregate):
        inner, numbers = operand.operand, operand.function != "@count"
        known = isinstance(inner, Field) and inner.type is not None
        if not known or (_BLURRED.search(inner.type or "") and (numbers or inner.type == "mixed")):
            raise _InexpressibleError
        return
    if not isinstance(operand, Field):
        raise _InexpressibleError
    if "embedded:" in (operand.type or "") or (whole and not _is_array(operand.type)):
        raise _InexpressibleError


#: Types of which columns don't tell everything.
_BLURRED: Final = re.compile("decimal|mixed|embedded:")


def _is_array(type_name: str | None) -> bool:
    return type_name is not None and type_name.startswith(("list", "set"))


def _compound(parts: list[_Sql], *, conjunction: bool) -> _Sql:
    """Conditions joined, where some may be known to hold."""
    kept = [part for part in parts if part.text != "1"]
    if not conjunction and len(kept) < len(parts):
        return _Sql("1", [])
    if not kept:
        return _Sql("1", [])
    return _joined(kept, " AND " if conjunction else " OR ")


def _joined(parts: list[_Sql], operator: str) -> _Sql:
    # A balanced tree: SQLite bounds the depth of an expression at 1,000.
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    left, right = _joined(parts[:middle], operator), _joined(parts[middle:], operator)
    return _Sql(f"({left.text}{operator}{right.text})", left.bindings + right.bindings)


def _equality(column: str, value: Any) -> _Sql:
    if value is None:
        return _Sql(f"{column} IS NULL", [])
    return _Sql(f"{column} = ?", [column_value(value)])


def _membership(column: str, values: list[Any]) -> _Sql:
    stored = [column_value(value) for value in values if value is not None]
    text = f"{column} IN ({', '.join('?' * len(stored))})" if stored else "0"
    if len(stored) < len(values):
        text = f"({text} OR {column} IS NULL)" if stored else f"{column} IS NULL"
    return _Sql(text, stored)


# -- ranges ------------------------------------------------------------------------------------
class _Range(NamedTuple):
    """A stretch of column values of one kind; a bound None is open to that side."""

    low: ColumnValue
    low_operator: str
    high: ColumnValue
    high_operator: str


def _range(column: str, *ranges: _Range) -> _Sql:
    parts = []
    for low, low_operator, high, high_operator in ranges:
        ends = [(low_operator, low), (high_operator, high)]
        kept = [(operator, bound) for operator, bound in ends if bound is not None]
        text = " AND ".join([f"{column} {operator} ?" for operator, _ in kept])
        parts.append(_Sql(f"({text})", [bound for _, bound in kept]))
    return _joined(parts, " OR ")


def _ordering(column: str, operator: str, value: Any, type_name: str | None) -> _Sql:
    if not is_ordered(value):
        return _equality(column, value) if "=" in operator else _Sql("0", [])
    return _range(column, *_ranges(operator, value, type_name))


def _between(column: str, low: Any, high: Any, type_name: str | None) -> _Sql:
    if not (is_ordered(low) and is_ordered(high)) or KINDS[type(low)] is not KINDS[type(high)]:
        at_least = _ordering(column, ">=", low, type_name)
        return _joined([at_least, _ordering(column, "<=", high, type_name)], " AND ")
    pairs = zip(_ranges(">=", low, type_name), _ranges("<=", high, type_name), strict=True)
    ranges = [_Range(*lower[:2], *upper[2:]) for lower, upper in pairs]
    return _range(column, *ranges)


def _ranges(operator: str, value: Any, type_name: str | None) -> list[_Range]:
    """Where the values lie that are in this order to a value of the same kind."""
    kind = KINDS[type(value)]
    if kind is not Kind.NUMBER:
        low: ColumnValue = ""
        high: ColumnValue = b""
        if kind is not Kind.STRING:
            low = col.TAGS[kind]
            high = bytes([low[0] + 1])
        return [_bounded(operator, column_value(value), low, high)]
    exact = number(value)
    ranges = [_bounded(*_native_bound(operator, exact), None, "")]
    base = (type_name or "mixed").removesuffix("?")
    if base in ("mixed", "decimal"):
        bound = col.decimal_bound(exact)
        ranges.append(_bounded(operator, bound, col.DECIMAL, bytes([col.DECIMAL[0] + 1])))
    return ranges


def _bounded(operator: str, bound: ColumnValue, low: ColumnValue, high: ColumnValue) -> _Range:
    if operator in ("<", "<="):
        return _Range(low, ">=", bound, operator)
    return _Range(bound, operator, high, "<")


def _native_bound(operator: str, exact: int | float | Decimal) -> tuple[str, int | float]:
    if not isinstance(exact, Decimal):
        return operator, exact
    same = col.native(exact)
    if same is not None:
        return operator, same
    # Nothing that SQLite compares as a number lies between the decimal and its neighbour.
    if operator in (">", ">="):
        return ">=", col.native_above(exact)
    return "<=", -col.native_above(exact.copy_negate())


def _prefixed(prefix: str) -> _Range:
    """The strings that begin with a prefix."""
    last = prefix.rstrip("\U0010ffff")
    if not last:
        return _Range(prefix, ">=", b"", "<")
    after = ord(last[-1]) + 1
    if after == 0xD800:  # surrogates are no characters
        after = 0xE000
    return _Range(prefix, ">=", last[:-1] + chr(after), "<")
