"""What a query means, in Python: nodes become closures that take a getter of field values.

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
Rule 6: `relation` defines; the closures for constants are shortcuts that must agree with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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

Test: TypeAlias = Callable[[Get], bool]
#: A test of one value, or of one element of an array.
Element: TypeAlias = Callable[[Any], bool]
Relation: TypeAlias = Callable[[Any, Any], bool]


def compile_test(node: Node) -> Test:
    """The closure that tells whether a condition holds."""
    if isinstance(node, Comparison):
        return _comparison(node)
    if isinstance(node, And):
        return _all([compile_test(operand) for operand in node.operands])
    if isinstance(node, Or):
        return _any([compile_test(operand) for operand in node.operands])
    if isinstance(node, Not):
        inner = compile_test(node.operand)
        return lambda get: not inner(get)
    assert isinstance(node, Truth)
    value = node.value
    return lambda _get: value


def _all(tests: Sequence[Test]) -> Test:
    if len(tests) == 2:
        first, second = tests
        return lambda get: first(get) and second(get)

    def test(get: Get) -> bool:
        for inner in tests:  # noqa: SIM110 - a generator costs three times as much
            if not inner(get):
                return False
        return True

    return test


def _any(tests: Sequence[Test]) -> Test:
    if len(tests) == 2:
        first, second = tests
        return lambda get: first(get) or second(get)

    def test(get: Get) -> bool:
        for inner in tests:  # noqa: SIM110
            if inner(get):
                return True
        return False

    return test


# -- comparisons: where the operands come from -------------------------------------------------
def _comparison(node: Comparison) -> Test:
    left, right = node.left, node.right
    if isinstance(left, TypeOf) and isinstance(right, Constant | Constants):
        return _ranged(left.operand, _type_test(node.operator, right))
    if isinstance(right, Region):
        assert isinstance(left, Field | Path)
        return _within(left, _region_test(right.shape))
    if isinstance(right, Constants) and node.operator in ("==", "!="):
        element = constant_test(node.operator, right, fold=node.fold)
        return _applied(_getter(left), element)
    if isinstance(right, Constant | Constants):
        element = constant_test(node.operator, right, fold=node.fold)
        if isinstance(left, Field | Path):
            return _ranged(left, element)
        return _applied(_getter(left), element)
    return _pair_test(left, right, relation(node.operator, fold=node.fold))


def _applied(getter: Callable[[Get], Any], element: Element) -> Test:
    return lambda get: element(getter(get))


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
            found += test(each)
        return found

    return matching


def _tags(value: Any) -> Any:
    if type(value) in ARRAYS:
        return [kinds.tag(each) for each in elements(value)]
    return kinds.tag(value)


def _type_test(operator: str, right: Constant | Constants) -> Element:
    meant = kinds.meant(right)
    if operator == "!=":
        return lambda value: kinds.tag(value) not in meant
    return lambda value: kinds.tag(value) in meant


def _region_test(shape: Shape) -> Element:
    def element(value: Any) -> bool:
        point = point_of(value)
        return point is not None and shape.holds(point)

    return element


def _within(operand: Field | Path, element: Element) -> Test:
    # A dictionary may be a point, and is then one value.
    if operand.quantifier is not None:
        return _ranged(operand, element)
    read = path_value(operand)

    def test(get: Get) -> bool:
        value = read(get)
        return _holds_for_any(element, value) if type(value) is list else element(value)

    return test


def _ranged(operand: Field | Path, element: Element) -> Test:
    """A test of one value, or of the elements that a quantifier ranges over."""
    if operand.quantifier is not None:
        quantified = _QUANTIFIED[operand.quantifier]
        if isinstance(operand, Field):
            name = operand.name
            return lambda get: quantified(element, get(name))
        read = path_value(operand)
        return lambda get: quantified(element, read(get))
    if isinstance(operand, Field):
        return _field_test(operand, element)
    read = path_value(operand)

    def test(get: Get) -> bool:
        value = read(get)
        return _holds_for_any(element, value) if type(value) in ARRAYS else element(value)

    return test


def _field_test(operand: Field, element: Element) -> Test:
    name = operand.name
    if operand.type is not None:
        return lambda get: element(get(name))

    def test(get: Get) -> bool:
        value = get(name)
        return _holds_for_any(element, value) if type(value) in ARRAYS else element(value)

    return test


def _holds_for_any(element: Element, value: FieldValue) -> bool:
    for item in elements(value):  # noqa: SIM110
        if element(item):
            return True
    return False


def _holds_for_all(element: Element, value: FieldValue) -> bool:
    for item in elements(value):  # noqa: SIM110
        if not element(item):
            return False
    return True


_QUANTIFIED: Final[dict[Quantifier, Callable[[Element, FieldValue], bool]]] = {
    Quantifier.ANY: _holds_for_any,
    Quantifier.ALL: _holds_for_all,
    Quantifier.NONE: lambda element, value: not _holds_for_any(element, value),
}


def _pair_test(left: Operand, right: Operand, related: Relation) -> Test:
    get_left, get_right = _getter(left), _getter(right)

    def test(get: Get) -> bool:
        a, b = get_left(get), get_right(get)
        # At most one side stands for its elements; the other counts as a whole.
        quantified = _quantified(left, a)
        if quantified is not None and not _is_quantified(right):
            return quantified(lambda item: related(item, b), a)
        quantified = _quantified(right, b)
        if quantified is not None:
            return quantified(lambda item: related(a, item), b)
        return related(a, b)

    return test


def _ranging(operand: Operand) -> Field | Path | None:
    if isinstance(operand, TypeOf):
        operand = operand.operand
    return operand if isinstance(operand, Field | Path) else None


def _is_quantified(operand: Operand) -> bool:
    found = _ranging(operand)
    return found is not None and found.quantifier is not None


def _quantified(
    operand: Operand, value: FieldValue
) -> Callable[[Element, FieldValue], bool] | None:
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
def constant_test(operator: str, right: Constant | Constants, *, fold: bool = False) -> Element:
    """The same as `relation` with its right side filled in, faster."""
    values: Any
    if isinstance(right, Constants):
        values = tuple(item.value for item in right.items)
    else:
        values = right.value
    if fold:
        values = folded(values)
    element = _constant_test(operator, values)
    if not fold:
        return element
    if operator in ("==", "!=") and type(values) is tuple:
        return lambda value: element(folded(value))
    return lambda value: element(value.casefold() if type(value) is str else value)


def _constant_test(operator: str, right: Any) -> Element:
    if operator == "==":
        return _equal_to(right)
    if operator == "!=":
        is_equal = _equal_to(right)
        return lambda value: not is_equal(value)
    if operator == "IN":
        return _member_of(right)
    if operator in ("LIKE", "TEXT"):
        matches = like_test(right) if operator == "LIKE" else text_test(right)
        return lambda value: type(value) is str and matches(value)
    if operator in _ORDERINGS and is_ordered(right) and type(right) is not Decimal128:
        return _ordered(operator, right)
    related = _RELATIONS[operator]
    return lambda value: related(value, right)


def _is_array_of(items: tuple[Any, ...]) -> Element:
    def element(value: Any) -> bool:
        return (
            type(value) in (list, NestedList)
            and len(value) == len(items)
            and all(map(equal, value, items))
        )

    return element


def _equal_to(right: Any) -> Element:
    if type(right) is tuple:
        return _is_array_of(right)
    if right is None:
        return lambda value: value is None
    if type(right) in NATIVE:
        if right != right:
            return lambda value: equal(value, right)
        return lambda value: (
            value == right
            if type(value) in NATIVE
            else type(value) is Decimal128 and equal(value, right)
        )
    if type(right) is Decimal128:
        return lambda value: equal(value, right)
    exact = type(right)
    return lambda value: type(value) is exact and value == right


_ORDERINGS: Final[dict[str, Relation]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def _ordered(operator: str, right: Any) -> Element:
    ordered = _ORDERINGS[operator]
    related = _RELATIONS[operator]
    types = NATIVE if type(right) in NATIVE else frozenset({type(right)})
    # What is left over is a decimal beside a number, or of another kind.
    return lambda value: ordered(value, right) if type(value) in types else related(value, right)


def _member_of(items: Sequence[Any]) -> Element:
    # One set for each kind: Python takes 1 and True for equal, and compares bytes with strings.
    members: dict[Kind, set[Any]] = {}
    has_nan = False
    for item in items:
        kind = KINDS[type(item)]
        plain = number(item) if kind is Kind.NUMBER else item
        has_nan = has_nan or plain != plain
        members.setdefault(kind, set()).add(plain)
    by_type = {kind_type: members[kind] for kind_type, kind in KINDS.items() if kind in members}

    def element(value: Any) -> bool:
        group = by_type.get(type(value))
        if group is None:
            return False
        plain = number(value)
        return plain in group or (has_nan and plain != plain)

    return element


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
