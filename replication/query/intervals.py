"""Intervals of values, to be found by what they overlap.

A balanced tree (AVL) by lower bound, where each node knows the greatest upper bound below it: a
look-up passes over every subtree that ends too early, and costs the logarithm of all intervals
plus what it finds. So it is whatever order intervals come and go in: they are the peers' choice.

Rule 1: intervals are closed, and all bounds of one tree compare with one another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from replication.query.few import Few, each, joined, parted

T = TypeVar("T")


class _Node(Generic[T]):
    __slots__ = ("height", "high", "items", "left", "low", "right", "top")

    def __init__(self, low: Any, high: Any, item: T) -> None:
        self.low = low
        self.high = high
        self.items: Few[T] = item
        self.left: _Node[T] | None = None
        self.right: _Node[T] | None = None
        self.height = 1
        #: The greatest upper bound here and below.
        self.top = high

    def update(self) -> None:
        """Take height and top from the children."""
        left, right = self.left, self.right
        self.height = 1 + max(_height(left), _height(right))
        top = self.high
        if left is not None and left.top > top:
            top = left.top
        if right is not None and right.top > top:
            top = right.top
        self.top = top


class Intervals(Generic[T]):
    """Items by interval. An item may be there once for each interval."""

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root: _Node[T] | None = None

    def __bool__(self) -> bool:
        return self._root is not None

    def add(self, low: Any, high: Any, item: T) -> None:
        """Add an item under ``low <= value <= high``; low is not greater than high."""
        self._root = _added(self._root, low, high, item)

    def remove(self, low: Any, high: Any, item: T) -> None:
        """Remove what was added so."""
        node = self._root
        while node is not None and (node.low != low or node.high != high):
            node = node.left if (low, high) < (node.low, node.high) else node.right
        assert node is not None, "it was added"
        node.items = parted(node.items, item)
        if node.items is None:
            self._root = _without(self._root, low, high)

    def overlapping(self, low: Any, high: Any) -> Iterator[T]:
        """The items whose intervals share a value with ``low <= value <= high``."""
        stack = [self._root]
        while stack:
            node = stack.pop()
            if node is None or node.top < low:
                continue
            stack.append(node.left)
            if node.low <= high:
                stack.append(node.right)
                if low <= node.high:
                    yield from each(node.items)


def _height(node: _Node[T] | None) -> int:
    return 0 if node is None else node.height


def _added(node: _Node[T] | None, low: Any, high: Any, item: T) -> _Node[T]:
    if node is None:
        return _Node(low, high, item)
    if low == node.low and high == node.high:
        node.items = joined(node.items, item)
        return node
    if (low, high) < (node.low, node.high):
        node.left = _added(node.left, low, high, item)
    else:
        node.right = _added(node.right, low, high, item)
    return _balanced(node)


def _without(node: _Node[T] | None, low: Any, high: Any) -> _Node[T] | None:
    """A tree without the node of an interval, which is in it."""
    assert node is not None
    if low == node.low and high == node.high:
        if node.left is None:
            return node.right
        if node.right is None:
            return node.left
        first = node.right
        while first.left is not None:
            first = first.left
        first.right, first.left = _without(node.right, first.low, first.high), node.left
        return _balanced(first)
    if (low, high) < (node.low, node.high):
        node.left = _without(node.left, low, high)
    else:
        node.right = _without(node.right, low, high)
    return _balanced(node)


def _balanced(node: _Node[T]) -> _Node[T]:
    """The root of a tree whose subtrees are balanced and differ in height by at most two."""
    lean = _height(node.left) - _height(node.right)
    if lean > 1:
        left = node.left
        assert left is not None
        if _height(left.left) < _height(left.right):
            node.left = _turned_left(left)
        return _turned_right(node)
    if lean < -1:
        right = node.right
        assert right is not None
        if _height(right.right) < _height(right.left):
            node.right = _turned_right(right)
        return _turned_left(node)
    node.update()
    return node


def _turned_right(node: _Node[T]) -> _Node[T]:
    root = node.left
    assert root is not None
    node.left, root.right = root.right, node
    node.update()
    root.update()
    return root


def _turned_left(node: _Node[T]) -> _Node[T]:
    root = node.right
    assert root is not None
    node.right, root.left = root.left, node
    node.update()
    root.update()
    return root
