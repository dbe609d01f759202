"""Few: what is found in one place, of which there are very many places.

Most hold one thing, and that is then not put into a collection: a dictionary of one is larger than
the thing. So a place is empty (None), the thing itself, or a dictionary of several, in the order in
which they came. The things are of classes of their own, never dictionaries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias, TypeVar

T = TypeVar("T")

#: None for nothing.
Few: TypeAlias = "T | dict[T, None] | None"


def joined(few: Few[T], item: T) -> T | dict[T, None]:
    """The same with one more, which takes the place of the old."""
    if few is None:
        return item
    if isinstance(few, dict):
        few[item] = None
        return few
    return {few: None, item: None}


def parted(few: Few[T], item: T) -> Few[T]:
    """The same without one that is in it, which takes the place of the old."""
    if isinstance(few, dict):
        del few[item]
        return few if len(few) > 1 else next(iter(few))
    assert few is item, "it is in it"
    return None


def each(few: Few[T]) -> Iterable[T]:
    """All of them."""
    if few is None:
        return ()
    return few if isinstance(few, dict) else (few,)


def count(few: Few[T]) -> int:
    """How many there are."""
    if few is None:
        return 0
    return len(few) if isinstance(few, dict) else 1
