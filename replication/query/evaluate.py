"""What a query means, in Python: nodes become tests that take a getter of field values.

Rule 1: evaluation is total: any query on any values gives True or False, never an error.
        Operands that don't go together compare as unequal. [QUERY-40]
Rule 2: two-valued logic: `a != 5` holds for null, NOT is the exact opposite. [QUERY-50]
Rule 3: `<=` is "less or equal", so `a <= null` holds for null. [QUERY-51]
Rule 4: an array under ANY, ALL and NONE stands for its elements: ALL and NONE hold for an empty
        array. Null has no elements, a single value is its only one. Without a quantifier an
        array reads as ANY. [QUERY-60] ... [QUERY-63]
Rule 5: `[c]` compares strings after full Unicode case folding (`str.casefold`), and whatever is
        no string as without it. LIKE: `?` is one code point, `*` any number. [QUERY-55]
        [QUERY-56]
Rule 6: `relation` defines; the tests for constants are shortcuts that must agree with it.
Rule 7: servers keep very many tests. So a test is data: conditions, which are the same function for
        all queries of the same form, and constants, which are the queries' own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final, TypeAlias

from bson.decimal128 import Decimal128

from replication.limits import QUERY_PATTERN_MAX
from replication.model.values import NestedList
from replication.query import kinds
from replication.query.arithmetic import calculate
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
    Path,
    Quantifier,
    Region,
    Subquery,
    Truth,
    TypeOf,
)
from replication.query.compare import (
    KINDS,
    NATIVE,
    FieldValue,
    Kind,
    equal,
    is_ordered,
    less,
    number,
)
from replication.query.geo import Shape, point_of
from replication.query.paths import (
    ARRAYS,
    Get,
    aggregate_value,
    elements,
    objects_at,
    path_value,
)
from replication.query.words import text_test

#: Tells of an object whether something holds for it, given the constant that stands beside it.
Condition: TypeAlias = Callable[[Get, Any], bool]
#: Conditions that have to hold, all of them, each followed by its constant. Rule 7.
Test: TypeAlias = tuple[Any, ...]
#: A test of one value, or of one element of an array, given the constant beside it.
Element: TypeAlias = Callable[[Any, Any], bool]
Relation: TypeAlias = Callable[[Any, Any], bool]

#: Conditions of one form, for Rule 7: a form is made of the names of fields, so there may be many.
_forms: Final = lru_cache(maxsize=4096)


def compile_test(node: Node) -> Test:
    """What `holds` needs to tell whether a condition holds."""
    if isinstance(node, Comparison):
        return _comparison(node)
    if isinstance(node, And):
        return tuple(chain.from_iterable(map(compile_test, node.operands)))
    if isinstance(node, Or):
        return _any, tuple(map(compile_test, node.operands))
    if isinstance(node, Not):
        return _not, compile_test(node.operand)
    assert isinstance(node, Truth)
    return _always, node.value


def holds(test: Test, get: Get) -> bool:
    """Whether all conditions of a test hold for an object."""
    # Most have one or two, and this is what every change is asked by every query it might concern.
    size = len(test)
    if size == 2:
        return test[0](get, test[1])  # type: ignore[no-any-return]
    if size == 4:
        return test[0](get, test[1]) and test[2](get, test[3])  # type: ignore[no-any-return]
    rest = iter(test)
    for condition in rest:  # noqa: SIM110 - a generator costs three times as much
        if not condition(get, next(rest)):
            return False
    return True


def _any(get: Get, tests: tuple[Test, ...]) -> bool:
    for test in tests:  # noqa: SIM110
        if holds(test, get):
            return True
    return False


def _not(get: Get, test: Test) -> bool:
    return not holds(test, get)


def _always(_get: Get, value: bool) -> bool:
    return value


# -- comparisons: where the operands come from -------------------------------------------------
def _comparison(node: Comparison) -> Test:
    left, right = node.left, node.right
    if isinstance(left, TypeOf) and isinstance(right, Constant | Constants):
        among: Element = _tag_not_among if node.operator == "!=" else _tag_among
        return _ranged(left.operand, among), kinds.meant(right)
    if isinstance(right, Region):
        assert isinstance(left, Field | Path)
        return _within(left), right.shape
    if isinstance(right, Constant | Constants):
        element, constant = constant_test(node.operator, right, fold=node.fold)
        is_whole = isinstance(right, Constants) and node.operator in ("==", "!=")
        if isinstance(left, Field | Path) and not is_whole:
            return _ranged(left, element), constant
        return _applied(_getter(left), element), constant
    return _pair_test(left, right, relation(node.operator, fold=node.fold)), None


def _applied(getter: Callable[[Get], Any], element: Element) -> Condition:
    return lambda get, constant: element(getter(get), constant)


def _getter(operand: Operand) -> Callable[[Get], Any]:
    if isinstance(operand, Field | Path):
        return path_value(operand)
    if isinstance(operand, Aggregate):
        return aggregate_value(operand)
    if isinstance(operand, Arithmetic):
        return _calculation(operand)
    if isinstance(operand, Subquery):
        return _subquery(operand)
    if isinstance(operand, TypeOf):
        read = path_value(operand.operand)
        return lambda get: _tags(read(get))
    assert isinstance(operand, Constant)
    value = operand.value
    return lambda _get: value


def _calculation(operand: Arithmetic) -> Callable[[Get], Any]:
    operator = operand.operator
    left, right = _getter(operand.left), _getter(operand.right)
    return lambda get: calculate(operator, left(get), right(get))


def _subquery(operand: Subquery) -> Callable[[Get], int]:
    read, test = path_value(operand.path), compile_test(operand.condition)

    def matching(get: Get) -> int:
        found = 0
        for each in objects_at(read(get), get):
            found += holds(test, each)
        return found

    return matching


def _tags(value: Any) -> Any:
    if type(value) in ARRAYS:
        return [kinds.tag(each) for each in elements(value)]
    return kinds.tag(value)


def _tag_among(value: Any, meant: frozenset[str]) -> bool:
    return kinds.tag(value) in meant


def _tag_not_among(value: Any, meant: frozenset[str]) -> bool:
    return kinds.tag(value) not in meant


def _in_region(value: Any, shape: Shape) -> bool:
    point = point_of(value)
    return point is not None and shape.holds(point)


def _within(operand: Field | Path) -> Condition:
    # A dictionary may be a point, and is then one value.
    if operand.quantifier is not None:
        return _ranged(operand, _in_region)
    read = path_value(operand)

    def condition(get: Get, shape: Shape) -> bool:
        value = read(get)
        if type(value) is list:
            return _holds_for_any(_in_region, value, shape)
        return _in_region(value, shape)

    return condition


def _ranged(operand: Field | Path, element: Element) -> Condition:
    """A test of one value, or of the elements that a quantifier ranges over."""
    if isinstance(operand, Field):
        return _of_field(operand.name, operand.quantifier, operand.type is not None, element)
    read = path_value(operand)
    if operand.quantifier is not None:
        quantified = _QUANTIFIED[operand.quantifier]
        return lambda get, constant: quantified(element, read(get), constant)

    def condition(get: Get, constant: Any) -> bool:
        value = read(get)
        if type(value) in ARRAYS:
            return _holds_for_any(element, value, constant)
        return element(value, constant)

    return condition


@_forms
def _of_field(
    name: str, quantifier: Quantifier | None, is_checked: bool, element: Element
) -> Condition:
    if quantifier is not None:
        quantified = _QUANTIFIED[quantifier]
        return lambda get, constant: quantified(element, get(name), constant)
    if is_checked:
        return lambda get, constant: element(get(name), constant)

    def condition(get: Get, constant: Any) -> bool:
        value = get(name)
        if type(value) in ARRAYS:
            return _holds_for_any(element, value, constant)
        return element(value, constant)

    return condition


def _holds_for_any(element: Element, value: FieldValue, constant: Any) -> bool:
    for item in elements(value):  # noqa: SIM110
        if element(item, constant):
            return True
    return False


def _holds_for_all(element: Element, value: FieldValue, constant: Any) -> bool:
    for item in elements(value):  # noqa: SIM110
        if not element(item, constant):
            return False
    return True


def _holds_for_none(element: Element, value: FieldValue, constant: Any) -> bool:
    return not _holds_for_any(element, value, constant)


_Quantified: TypeAlias = Callable[[Element, FieldValue, Any], bool]
_QUANTIFIED: Final[dict[Quantifier, _Quantified]] = {
    Quantifier.ANY: _holds_for_any,
    Quantifier.ALL: _holds_for_all,
    Quantifier.NONE: _holds_for_none,
}


def _pair_test(left: Operand, right: Operand, related: Relation) -> Condition:
    get_left, get_right = _getter(left), _getter(right)

    def condition(get: Get, _: None) -> bool:
        a, b = get_left(get), get_right(get)
        # At most one side stands for its elements; the other counts as a whole.
        quantified = _quantified(left, a)
        if quantified is not None and not _is_quantified(right):
            return quantified(related, a, b)
        quantified = _quantified(right, b)
        if quantified is not None:
            return quantified(lambda item, other: related(other, item), b, a)
        return related(a, b)

    return condition


def _ranging(operand: Operand) -> Field | Path | None:
    if isinstance(operand, TypeOf):
        operand = operand.operand
    return operand if isinstance(operand, Field | Path) else None


def _is_quantified(operand: Operand) -> bool:
    found = _ranging(operand)
    return found is not None and found.quantifier is not None


def _quantified(operand: Operand, value: FieldValue) -> _Quantified | None:
    found = _ranging(operand)
    if found is None:
        return None
    if found.quantifier is not None:
        return _QUANTIFIED[found.quantifier]
    single = isinstance(found, Field) and found.type is not None
    return None if single or type(value) not in ARRAYS else _holds_for_any


# -- comparisons: what holds between two values ------------------------------------------------
def relation(operator: str, *, fold: bool = False) -> Relation:
    """What an operator means between two values (for IN and BETWEEN: a value and a sequence)."""
    related = _RELATIONS[operator]
    if not fold:
        return related
    return lambda left, right: related(folded(left), folded(right))


def folded(value: Any) -> Any:
    """A value, or a sequence of them, with strings case-folded."""
    if type(value) is tuple:
        return tuple(map(folded, value))
    if type(value) is list:
        return list(map(folded, value))
    return value.casefold() if type(value) is str else value


def _between(value: Any, bounds: Sequence[Any]) -> bool:
    low, high = bounds
    return _at_least(value, low) and _at_least(high, value)


def _at_least(left: Any, right: Any) -> bool:
    return less(right, left) or equal(left, right)


def _on_strings(related: Callable[[str, str], bool]) -> Relation:
    return lambda left, right: type(left) is str and type(right) is str and related(left, right)


_RELATIONS: Final[dict[str, Relation]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": less,
    ">": lambda left, right: less(right, left),
    "<=": lambda left, right: _at_least(right, left),
    ">=": _at_least,
    "IN": lambda value, items: any(equal(value, item) for item in items),
    "BETWEEN": _between,
    "BEGINSWITH": _on_strings(str.startswith),
    "ENDSWITH": _on_strings(str.endswith),
    "CONTAINS": _on_strings(str.__contains__),
    "LIKE": _on_strings(
        lambda text, pattern: len(pattern) <= QUERY_PATTERN_MAX and like_test(pattern)(text)
    ),
    "TEXT": _on_strings(lambda text, words: text_test(words)(text)),
}


# -- shortcuts where the right side is constant --------------------------------------------------
def constant_test(
    operator: str, right: Constant | Constants, *, fold: bool = False
) -> tuple[Element, Any]:
    """The same as `relation`, faster where its right side is constant.

    Returns:
        the test, and what it takes for its constant.
    """
    values: Any
    if isinstance(right, Constants):
        values = tuple(item.value for item in right.items)
    else:
        values = right.value
    if not fold:
        return _constant_test(operator, values)
    element, constant = _constant_test(operator, folded(values))
    whole = operator in ("==", "!=") and type(values) is tuple
    return _folding(element, folded if whole else _folded_value), constant


@_forms
def _folding(element: Element, fold: Callable[[Any], Any]) -> Element:
    return lambda value, constant: element(fold(value), constant)


def _folded_value(value: Any) -> Any:
    return value.casefold() if type(value) is str else value


def _constant_test(operator: str, right: Any) -> tuple[Element, Any]:
    if operator == "==":
        return _equality(right), right
    if operator == "!=":
        return _negated(_equality(right)), right
    if operator == "IN":
        return _is_member, _members(right)
    if operator in ("LIKE", "TEXT"):
        return _is_text, like_test(right) if operator == "LIKE" else text_test(right)
    if operator in _ORDERINGS and is_ordered(right) and type(right) is not Decimal128:
        types = NATIVE if type(right) in NATIVE else frozenset({type(right)})
        return _ordered(operator, types), right
    return _RELATIONS[operator], right


def _equality(right: Any) -> Element:
    if type(right) is tuple:
        return _is_array_of
    if right is None:
        return _is_null
    if type(right) in NATIVE:
        return _equals_number if right == right else equal
    return equal if type(right) is Decimal128 else _equals


def _is_array_of(value: Any, items: tuple[Any, ...]) -> bool:
    return (
        type(value) in (list, NestedList)
        and len(value) == len(items)
        and all(map(equal, value, items))
    )


def _is_null(value: Any, _: None) -> bool:
    return value is None


def _equals_number(value: Any, right: Any) -> bool:
    """Beside a number that Python compares, and that is no NaN."""
    if type(value) in NATIVE:
        return bool(value == right)
    return type(value) is Decimal128 and equal(value, right)


def _equals(value: Any, right: Any) -> bool:
    """Beside anything but a number."""
    return type(value) is type(right) and value == right


@_forms
def _negated(element: Element) -> Element:
    return lambda value, constant: not element(value, constant)


_ORDERINGS: Final[dict[str, Relation]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


@_forms
def _ordered(operator: str, types: frozenset[type]) -> Element:
    ordered = _ORDERINGS[operator]
    related = _RELATIONS[operator]
    # What is left over is a decimal beside a number, or of another kind.
    return lambda value, right: (
        ordered(value, right) if type(value) in types else related(value, right)
    )


#: The values of an IN by the types that may equal them, and whether NaN is one.
_Members: TypeAlias = tuple[dict[type, set[Any]], bool]


def _members(items: Sequence[Any]) -> _Members:
    # One set for each kind: Python takes 1 and True for equal, and compares bytes with strings.
    members: dict[Kind, set[Any]] = {}
    has_nan = False
    for item in items:
        kind = KINDS[type(item)]
        plain = number(item) if kind is Kind.NUMBER else item
        has_nan = has_nan or plain != plain
        members.setdefault(kind, set()).add(plain)
    by_type = {kind_type: members[kind] for kind_type, kind in KINDS.items() if kind in members}
    return by_type, has_nan


def _is_member(value: Any, members: _Members) -> bool:
    by_type, has_nan = members
    group = by_type.get(type(value))
    if group is None:
        return False
    plain = number(value)
    return plain in group or (has_nan and plain != plain)


def _is_text(value: Any, matches: Callable[[str], bool]) -> bool:
    """LIKE and TEXT, whose constant is made ready for looking."""
    return type(value) is str and matches(value)


# -- LIKE ----------------------------------------------------------------------------------------
def like_test(pattern: str) -> Callable[[str], bool]:
    """Whether a whole string has the form of a pattern of ``?`` and ``*``.

    The pieces between stars are looked for from left to right, each once: no backtracking, so
    time is bounded by the product of both lengths.
    """
    first, *middle = pattern.split("*")
    if not middle:
        whole = _piece(pattern)
        return lambda text: len(text) == len(pattern) and whole(text, 0) == 0
    last = middle.pop()
    starts, ends = _piece(first), _piece(last)
    pieces = [(_piece(piece), len(piece)) for piece in middle if piece]

    def test(text: str) -> bool:
        end = len(text) - len(last)
        if first and starts(text[: len(first)], 0) != 0:
            return False
        if last and ends(text[end:], 0) != 0:
            return False
        position = len(first)
        for find, length in pieces:
            position = find(text, position)
            if position < 0:
                return False
            position += length
        return position <= end

    return test


def _piece(piece: str) -> Callable[[str, int], int]:
    # Finds a piece without stars from a position on: its index, or -1.
    if "?" not in piece:
        return lambda text, start: text.find(piece, start)
    search = re.compile(re.escape(piece).replace(r"\?", "."), re.DOTALL).search

    def find(text: str, start: int) -> int:
        match = search(text, start)
        return -1 if match is None else match.start()

    return find
