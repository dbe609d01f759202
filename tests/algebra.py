"""The algebra of merging: what each scalar merge is, as formulas.

Every formula is written over a `Logic`, so it can be read two ways: by z3, which proves the laws
for all integers, and by Python, which compares it with the real functions on a small domain,
completely (`test_proofs_z3.py` does both).

Shapes are nested tuples of integers and truths; what is not there is all zeros. Values stand as
integers: their rank among all canonical bytes. What an object or collection contains is any
semilattice whose `join` the logic brings: each embeds in the subsets of a set under union.

    write     (there, order, value)                 order: a tuple of integers
    object    (length, at, incarnation, content)
    content   (incarnation, content)                of a set, dictionary or list
    element   (place, value, move, erased, content) place, value, move: writes
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

#: A number, a truth, or a tuple of shapes.
Shape: TypeAlias = Any


class Logic(Protocol):
    """What the formulas are made of."""

    empty: Any

    def both(self, *truths: Any) -> Any:
        """All are true."""

    def either(self, *truths: Any) -> Any:
        """One is true."""

    def no(self, truth: Any) -> Any:
        """It is not true."""

    def if_(self, truth: Any, left: Any, right: Any) -> Any:
        """One of two numbers, truths or contents."""

    def equal(self, left: Any, right: Any) -> Any:
        """Two numbers, truths or contents are the same."""

    def join(self, left: Any, right: Any) -> Any:
        """Two contents of one life, merged."""


class Python:
    """The logic of Python itself; contents are bits of an integer."""

    empty = 0

    def both(self, *truths: bool) -> bool:
        return all(truths)

    def either(self, *truths: bool) -> bool:
        return any(truths)

    def no(self, truth: bool) -> bool:
        return not truth

    def if_(self, truth: bool, left: Any, right: Any) -> Any:
        return left if truth else right

    def equal(self, left: Any, right: Any) -> bool:
        return bool(left == right)

    def join(self, left: int, right: int) -> int:
        return left | right


# -- tuples ----------------------------------------------------------------------------------
def same(logic: Logic, left: Shape, right: Shape) -> Any:
    """Two shapes are equal, item by item."""
    if isinstance(left, tuple):
        return logic.both(*(same(logic, a, b) for a, b in zip(left, right, strict=True)))
    return logic.equal(left, right)


def choose(logic: Logic, truth: Any, left: Shape, right: Shape) -> Shape:
    """One of two shapes."""
    if isinstance(left, tuple):
        return tuple(choose(logic, truth, a, b) for a, b in zip(left, right, strict=True))
    return logic.if_(truth, left, right)


def less(logic: Logic, left: tuple[Any, ...], right: tuple[Any, ...]) -> Any:
    """Tuples of numbers, compared item by item."""
    if not left:
        return logic.either()
    rest = less(logic, left[1:], right[1:])
    return logic.either(left[0] < right[0], logic.both(logic.equal(left[0], right[0]), rest))


def nothing(shape: Shape) -> Shape:
    """All zeros, in the form of a write."""
    if isinstance(shape, tuple):
        return tuple(nothing(item) for item in shape)
    return 0


# -- the merges ------------------------------------------------------------------------------
def explicit(time: Any, origin: Any) -> Shape:
    """[MERGE-REG] The order key of an explicit write."""
    return (time, origin, 0, time, origin)


def default(time: Any, origin: Any, seen: Any, seen_origin: Any) -> Shape:
    """The order key of a default that saw the explicit write (seen, seen_origin)."""
    return (seen, seen_origin, 1, time, origin)


def latest(logic: Logic, left: Shape, right: Shape) -> Shape:
    """[MERGE-REG-1] [MERGE-TIE] The greater order key, then the greater value."""
    wins = logic.both(
        right[0],
        logic.either(logic.no(left[0]), less(logic, (*left[1], left[2]), (*right[1], right[2]))),
    )
    return choose(logic, wins, right, left)


def least(logic: Logic, left: Shape, right: Shape) -> Shape:
    """[MERGE-LIST-1] The lesser record of a place: (there, record, 0)."""
    wins = logic.both(right[0], logic.either(logic.no(left[0]), less(logic, right[1], left[1])))
    return choose(logic, wins, right, left)


def collection(logic: Logic, left: Shape, right: Shape) -> Shape:
    """[MERGE-INC-1] The greater incarnation whole; the contents of equal ones merge."""
    joined = (right[0], logic.join(left[1], right[1]))
    kept = choose(logic, same(logic, left[0], right[0]), joined, left)
    return choose(logic, less(logic, left[0], right[0]), right, kept)


def object_(logic: Logic, left: Shape, right: Shape) -> Shape:
    """[MERGE-OBJ-1] to [MERGE-OBJ-3]"""
    length = logic.if_(left[0] < right[0], right[0], left[0])
    (life, content) = collection(
        logic, ((left[1], *left[2]), left[3]), ((right[1], *right[2]), right[3])
    )
    at, incarnation = life[0], life[1:]
    dropped = (0, tuple(0 for _ in incarnation), logic.empty)
    return (length, *choose(logic, at < length, dropped, (at, incarnation, content)))


def alive(logic: Logic, state: Shape) -> Any:
    """[MERGE-OBJ-4]"""
    return logic.both(logic.equal(state[0], state[1]), logic.equal(state[0] % 2, 1))


def element(logic: Logic, left: Shape, right: Shape) -> Shape:
    """[MERGE-LIST-1] to [MERGE-LIST-3]"""
    place = least(logic, left[0], right[0])
    value = latest(logic, left[1], right[1])
    move = latest(logic, left[2], right[2])
    erased = logic.either(left[3], right[3])
    content = logic.join(left[4], right[4])
    gone = (nothing(value), nothing(move), logic.empty)
    value, move, content = choose(logic, erased, gone, (value, move, content))
    return (place, value, move, erased, content)


def wrapped(number: Any) -> Any:
    """[MERGE-COUNTER-1] Two's complement in 64 bits."""
    return (number + 2**63) % 2**64 - 2**63
