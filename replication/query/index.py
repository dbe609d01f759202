"""The matching index: which of very many queries hold for an object.

Each query is put where its most selective term finds it, and what is found is asked itself. So a
look-up costs what the interested queries cost, not what all of them do.

Rule 1: the answer is exactly the queries that hold: terms find candidates, the queries decide.
Rule 2: of several choices of terms that one is taken which by now finds the fewest others.
Rule 3: a query without terms is asked about every object.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any, Final, Generic, TypeVar

from replication.query.compare import KINDS, Kind
from replication.query.evaluate import holds
from replication.query.few import Few, count, joined, parted
from replication.query.intervals import Intervals
from replication.query.paths import ARRAYS, Get, elements
from replication.query.query import Query
from replication.query.terms import NAN, Choice, Equal, Term, bounds, choices, plain

T = TypeVar("T")

#: What an interval is taken to find, beside the many that a term of equality may.
_INTERVAL_COST: Final = 16


class Indexed(Generic[T]):
    """What an index keeps of a query, and whose it is. Made by `MatchingIndex.add`."""

    __slots__ = ("fields", "item", "terms", "test")

    def __init__(self, item: T, query: Query, terms: Choice | None) -> None:
        self.item = item
        self.test = query.test
        self.fields = query.fields
        #: What finds it; None for nothing.
        self.terms = terms


class MatchingIndex(Generic[T]):
    """Queries on the objects of one class, and whose they are."""

    __slots__ = ("_fields", "_others", "_size", "reads")

    def __init__(self) -> None:
        self._fields: dict[str, _Terms[T]] = {}
        self._others: dict[Indexed[T], None] = {}
        self._size = 0
        #: The fields that any query reads, and how many do.
        self.reads: dict[str, int] = {}

    def __len__(self) -> int:
        return self._size

    def add(self, item: T, query: Query) -> Indexed[T]:
        """Add a query; the result is what `remove` takes."""
        found = choices(query.root) if len(query.branches) == 1 else []
        terms = min(found, key=self._cost, default=None)
        if terms is not None:
            terms = tuple(dict.fromkeys(terms))  # 1 and 1.0 are one key
        entry = Indexed(item, query, terms)
        if terms is None:
            self._others[entry] = None
        for term in terms or ():
            self._fields.setdefault(term.name, _Terms()).add(term, entry)
        for name in query.fields:
            self.reads[name] = self.reads.get(name, 0) + 1
        self._size += 1
        return entry

    def remove(self, entry: Indexed[T]) -> None:
        """Remove what was added; it must be there."""
        if entry.terms is None:
            del self._others[entry]
        for term in entry.terms or ():
            terms = self._fields[term.name]
            terms.remove(term, entry)
            if not terms:
                del self._fields[term.name]
        for name in entry.fields:
            self.reads[name] -= 1
            if not self.reads[name]:
                del self.reads[name]
        self._size -= 1

    def match(self, get: Get) -> list[T]:
        """Whose queries hold for an object, each as often as it was added.

        Args:
            get: see `Query.matches`.
        """
        found = dict(self._others)
        for name, terms in self._fields.items():
            value = get(name)
            if type(value) in ARRAYS:
                terms.find_any(elements(value), found)
            else:
                terms.find(value, found)
        return [entry.item for entry in found if holds(entry.test, get)]

    def _cost(self, choice: Choice) -> int:
        """How many others are found by the same terms."""
        return sum(
            self._fields[term.name].cost(term) for term in choice if term.name in self._fields
        )


class _Terms(Generic[T]):
    """The terms on one field."""

    __slots__ = ("_equal", "_folded", "_ranges")

    def __init__(self) -> None:
        self._equal: dict[Kind, dict[Any, Few[Indexed[T]]]] = {}
        self._folded: dict[Any, Few[Indexed[T]]] = {}
        self._ranges: dict[Kind, _Ranges[T]] = {}

    def __bool__(self) -> bool:
        return bool(self._equal or self._folded or self._ranges)

    def cost(self, term: Term) -> int:
        if isinstance(term, Equal):
            table = self._folded if term.fold else self._equal.get(term.kind, {})
            return count(table.get(term.value))
        ranges = self._ranges.get(term.kind)
        return 0 if ranges is None else ranges.cost(term.low, term.high)

    def add(self, term: Term, entry: Indexed[T]) -> None:
        if isinstance(term, Equal):
            table = self._table(term)
            table[term.value] = joined(table.get(term.value), entry)
        else:
            ranges = self._ranges.setdefault(term.kind, _Ranges())
            ranges.add(term.low, term.high, entry)

    def remove(self, term: Term, entry: Indexed[T]) -> None:
        if isinstance(term, Equal):
            table = self._table(term)
            _drop(table, term.value, entry)
            if not table and not term.fold:
                del self._equal[term.kind]
        else:
            ranges = self._ranges[term.kind]
            ranges.remove(term.low, term.high, entry)
            if not ranges:
                del self._ranges[term.kind]

    def _table(self, term: Equal) -> dict[Any, Few[Indexed[T]]]:
        return self._folded if term.fold else self._equal.setdefault(term.kind, {})

    def find(self, value: Any, found: dict[Indexed[T], None]) -> None:
        """What one value satisfies."""
        kind = KINDS.get(type(value))
        if kind is None:
            return  # a collection in a mixed value, which equals nothing
        key = plain(value)
        self._find_equal(kind, key, found)
        ranges = self._ranges.get(kind)
        if ranges is not None and key is not NAN:
            ranges.find(key, key, found)

    def find_any(self, values: Iterable[Any], found: dict[Indexed[T], None]) -> None:
        """What an array satisfies."""
        for value in values:
            kind = KINDS.get(type(value))
            if kind is not None:
                self._find_equal(kind, plain(value), found)
        if self._ranges:
            for kind, (low, high) in bounds(values).items():
                if kind in self._ranges:
                    self._ranges[kind].find(low, high, found)

    def _find_equal(self, kind: Kind, key: Any, found: dict[Indexed[T], None]) -> None:
        table = self._equal.get(kind)
        if table is not None:
            _take(table.get(key), found)
        if self._folded and kind is Kind.STRING:
            _take(self._folded.get(key.casefold()), found)


class _Ranges(Generic[T]):
    """The ranges of one kind of values: open ones by their bound, closed ones in a tree."""

    __slots__ = ("_closed", "_from", "_to")

    def __init__(self) -> None:
        self._from = _Sorted[T]()
        self._to = _Sorted[T]()
        self._closed = Intervals[Indexed[T]]()

    def __bool__(self) -> bool:
        return bool(self._from.keys or self._to.keys or self._closed)

    def cost(self, low: Any, high: Any) -> int:
        if low is not None and high is not None:
            return _INTERVAL_COST
        side = self._from if high is None else self._to
        return 2 * _INTERVAL_COST + len(side.keys) // 2

    def add(self, low: Any, high: Any, entry: Indexed[T]) -> None:
        if high is None:
            self._from.add(low, entry)
        elif low is None:
            self._to.add(high, entry)
        else:
            self._closed.add(low, high, entry)

    def remove(self, low: Any, high: Any, entry: Indexed[T]) -> None:
        if high is None:
            self._from.remove(low, entry)
        elif low is None:
            self._to.remove(high, entry)
        else:
            self._closed.remove(low, high, entry)

    def find(self, low: Any, high: Any, found: dict[Indexed[T], None]) -> None:
        """What values from ``low`` to ``high`` satisfy."""
        if self._from.keys:
            for bucket in self._from.buckets[: bisect_right(self._from.keys, high)]:
                _take(bucket, found)
        if self._to.keys:
            for bucket in self._to.buckets[bisect_left(self._to.keys, low) :]:
                _take(bucket, found)
        if self._closed:
            for entry in self._closed.overlapping(low, high):
                found[entry] = None


class _Sorted(Generic[T]):
    """Buckets by bound, in its order."""

    __slots__ = ("buckets", "keys")

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.buckets: list[Few[Indexed[T]]] = []

    def add(self, key: Any, entry: Indexed[T]) -> None:
        at = bisect_left(self.keys, key)
        if at < len(self.keys) and self.keys[at] == key:
            self.buckets[at] = joined(self.buckets[at], entry)
        else:
            self.keys.insert(at, key)
            self.buckets.insert(at, entry)

    def remove(self, key: Any, entry: Indexed[T]) -> None:
        at = bisect_left(self.keys, key)
        left = parted(self.buckets[at], entry)
        if left is None:
            del self.keys[at], self.buckets[at]
        else:
            self.buckets[at] = left


def _drop(table: dict[Any, Few[Indexed[T]]], key: Any, entry: Indexed[T]) -> None:
    left = parted(table[key], entry)
    if left is None:
        del table[key]
    else:
        table[key] = left


def _take(found: Few[Indexed[T]], into: dict[Indexed[T], None]) -> None:
    if type(found) is dict:
        into.update(found)
    elif found is not None:
        into[found] = None  # type: ignore[index]
