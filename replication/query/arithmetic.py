"""Numbers out of numbers: sums, differences, products, quotients, and aggregates of many.

Rule 1: an operand that is no number gives null, and null compares as null does. [QUERY-100]
Rule 2: two integers give an integer, division towards zero; what does not fit 64 bits, and a
        division by zero, gives null. [QUERY-101]
Rule 3: beside a decimal, a double or float is read as the decimal of its canonical digits, and the
        result is a decimal128, rounded to even. [QUERY-102]
Rule 4: otherwise both are doubles, and the result is one (IEEE 754, infinities and NaN included).
        [QUERY-103]
Rule 5: aggregates leave out what is no number; sums go from the first element to the last. Of
        nothing, `@sum` is 0 and the others are null. [QUERY-104]
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from bson.decimal128 import Decimal128, create_decimal128_context

from replication.limits import INT64_MAX, INT64_MIN
from replication.model.values import Float32, Timestamp, Value
from replication.query.compare import less

_CONTEXT: Final = create_decimal128_context()
_NUMBERS: Final = frozenset({int, float, Float32, Decimal128})


def calculate(operator: str, left: Any, right: Any) -> Value:
    """``left operator right`` for two values of fields; null where that is no number."""
    if type(left) not in _NUMBERS or type(right) not in _NUMBERS:
        return None
    if type(left) is int and type(right) is int:
        return _integer(operator, left, right)
    if type(left) is Decimal128 or type(right) is Decimal128:
        return _decimal(operator, left, right)
    return _double(operator, float(left), float(right))


def _integer(operator: str, left: int, right: int) -> int | None:
    if operator == "/":
        if right == 0:
            return None
        whole = abs(left) // abs(right)
        result = whole if (left < 0) is (right < 0) else -whole
    else:
        result = _PLAIN[operator](left, right)
    return result if INT64_MIN <= result <= INT64_MAX else None


def _double(operator: str, left: float, right: float) -> float:
    if operator != "/":
        return float(_PLAIN[operator](left, right))
    if right:
        return left / right
    if left != left or left == 0:
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def exact_decimal(value: Any) -> decimal.Decimal:
    """A number as decimal arithmetic takes it. Rule 3."""
    if type(value) is Decimal128:
        found = value.to_decimal()
        return decimal.Decimal("NaN") if found.is_nan() else found
    return decimal.Decimal(repr(float(value)) if isinstance(value, float) else value)


def _decimal(operator: str, left: Any, right: Any) -> Value:
    with decimal.localcontext(_CONTEXT) as context:
        result = _DECIMAL[operator](context, exact_decimal(left), exact_decimal(right))
        return Decimal128(result)


_PLAIN: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
}
_DECIMAL: Final[dict[str, Callable[..., decimal.Decimal]]] = {
    "+": decimal.Context.add,
    "-": decimal.Context.subtract,
    "*": decimal.Context.multiply,
    "/": decimal.Context.divide,
}


# -- aggregates ----------------------------------------------------------------------------------
def total(elements: Iterable[Any]) -> Value:
    """`@sum`."""
    numbers = [each for each in elements if type(each) in _NUMBERS]
    if all(type(each) is int for each in numbers):
        exact: int = sum(numbers)
        return exact if INT64_MIN <= exact <= INT64_MAX else None
    result: Value = Decimal128("0") if Decimal128 in set(map(type, numbers)) else 0.0
    for number in numbers:
        result = calculate("+", result, number)
    return result


def average(elements: Iterable[Any]) -> Value:
    """`@avg`: a double, or a decimal where one is among them."""
    numbers = [each for each in elements if type(each) in _NUMBERS]
    if not numbers:
        return None
    if all(type(each) is int for each in numbers):
        return float(sum(numbers) / len(numbers))  # exact but for the last rounding
    return calculate("/", total(numbers), len(numbers))


def least(elements: Iterable[Any]) -> Value:
    """`@min`: of the numbers, NaN left out; of the timestamps where there are no numbers."""
    return _extreme(elements, lambda one, other: less(one, other))


def greatest(elements: Iterable[Any]) -> Value:
    """`@max`, likewise."""
    return _extreme(elements, lambda one, other: less(other, one))


def _extreme(elements: Iterable[Any], better: Callable[[Any, Any], bool]) -> Value:
    pool = list(elements)
    found: Sequence[Any] = [each for each in pool if type(each) in _NUMBERS and not _is_nan(each)]
    if not found:
        found = [each for each in pool if type(each) is Timestamp]
    best = None
    for each in found:
        if best is None or better(each, best):
            best = each
    return best


def _is_nan(value: Any) -> bool:
    if type(value) is Decimal128:
        return bool(value.to_decimal().is_nan())
    return bool(value != value)


AGGREGATES: Final[dict[str, Callable[[Iterable[Any]], Value]]] = {
    "@sum": total,
    "@avg": average,
    "@min": least,
    "@max": greatest,
}
