"""An ordered map that can be copied in no time: copies share what neither has changed.

The map is a list of chunks, each a dictionary of at most CHUNK_MAX neighbouring keys, and the list
of their lower bounds. `fork` copies nothing; the first write to a fork copies the two lists, the
first write to a chunk copies that chunk. The memory store's snapshots, roll-backs and savepoints
are made of nothing else.

Rule 1: a map that has been forked is never written to again by whoever keeps it as a snapshot;
        the writer goes on with the fork.
Rule 2: keys in chunk i are at least `_firsts[i]` (but for i = 0) and below `_firsts[i + 1]`. A
        chunk is ordered only when it is walked.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, Generic, TypeVar

#: Copying a chunk takes two microseconds; the lists, too, are copied once a transaction.
CHUNK_MAX: Final = 256

# Keys are of one ordered type a map; Python's typing has no name for that.
K = TypeVar("K", bound=Any)
V = TypeVar("V")


class SortedMap(Generic[K, V]):
    """Keys of one ordered type, each with a value that is not None."""

    __slots__ = ("_chunks", "_firsts", "_owned", "_private", "_private_firsts")

    def __init__(self) -> None:
        self._firsts: list[K] = []
        self._chunks: list[dict[K, V]] = []
        #: The `id` of each chunk that this fork alone has, and so may write to.
        self._owned: set[int] = set()
        #: Whether this fork alone has the list of chunks, and that of their bounds.
        self._private = self._private_firsts = True

    def fork(self) -> SortedMap[K, V]:
        """A map with the same content, to be written to in place of this one."""
        copy: SortedMap[K, V] = SortedMap.__new__(SortedMap)
        copy._firsts = self._firsts
        copy._chunks = self._chunks
        copy._owned = set()
        copy._private = copy._private_firsts = False
        return copy

    def get(self, key: K) -> V | None:
        """The value at ``key``, or None."""
        if not self._chunks:
            return None
        index = bisect_right(self._firsts, key) - 1
        return self._chunks[index if index > 0 else 0].get(key)

    def set(self, key: K, value: V) -> None:
        """Insert or replace."""
        if not self._chunks:
            self._insert_chunk(0, key, {key: value})
            return
        index = max(bisect_right(self._firsts, key) - 1, 0)
        chunk = self._own(index)
        chunk[key] = value
        if len(chunk) > CHUNK_MAX:
            self._split(index, key)

    def delete(self, key: K) -> None:
        """Delete if present."""
        if not self._chunks:
            return
        index = max(bisect_right(self._firsts, key) - 1, 0)
        if key not in self._chunks[index]:
            return
        if len(self._chunks[index]) == 1:
            self._delete_chunk(index)
        else:
            del self._own(index)[key]

    def items(
        self, first: K | None = None, last: K | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[K, V]]:
        """Pairs with ``first <= key <= last`` in key order; None is no bound.

        The iterator walks the map as it is now, as long as this map is not written to.
        """
        indexes = self._span(first, last)
        for index in reversed(indexes) if reverse else indexes:
            chunk = self._chunks[index]
            for key in sorted(_within(chunk, first, last), reverse=reverse):
                yield key, chunk[key]

    def delete_range(self, first: K | None, last: K | None) -> None:
        """Delete all with ``first <= key <= last``."""
        for index in reversed(self._span(first, last)):
            gone = _within(self._chunks[index], first, last)
            if len(gone) == len(self._chunks[index]):
                self._delete_chunk(index)
            elif gone:
                chunk = self._own(index)
                for key in gone:
                    del chunk[key]

    def _span(self, first: K | None, last: K | None) -> range:
        """The chunks that may have keys between two."""
        low = 0 if first is None else max(bisect_right(self._firsts, first) - 1, 0)
        high = len(self._chunks) if last is None else bisect_right(self._firsts, last)
        # Keys below the lower bound of the first chunk live in it all the same.
        return range(low, max(high, min(1, len(self._chunks))))

    def _own_lists(self) -> None:
        if not self._private:
            self._chunks = self._chunks.copy()
            self._private = True
        if not self._private_firsts:
            self._firsts = self._firsts.copy()
            self._private_firsts = True

    def _own(self, index: int) -> dict[K, V]:
        chunk = self._chunks[index]
        if id(chunk) not in self._owned:
            if not self._private:
                self._chunks = self._chunks.copy()
                self._private = True
            self._chunks[index] = chunk = chunk.copy()
            self._owned.add(id(chunk))
        return chunk

    def _insert_chunk(self, index: int, first: K, chunk: dict[K, V]) -> None:
        self._own_lists()
        self._firsts.insert(index, first)
        self._chunks.insert(index, chunk)
        self._owned.add(id(chunk))

    def _delete_chunk(self, index: int) -> None:
        self._own_lists()
        self._owned.discard(id(self._chunks[index]))
        del self._chunks[index], self._firsts[index]

    def _split(self, index: int, new: K) -> None:
        # Keys that only ever grow fill their chunks: a new last key starts the next one.
        chunk = self._chunks[index]
        if index == len(self._chunks) - 1 and new == max(chunk):
            self._insert_chunk(index + 1, new, {new: chunk.pop(new)})
            return
        ordered = sorted(chunk)
        half = len(ordered) // 2
        rest = {key: chunk[key] for key in islice(ordered, half)}
        self._owned.discard(id(chunk))
        self._chunks[index] = rest
        self._owned.add(id(rest))
        self._insert_chunk(index + 1, ordered[half], {key: chunk[key] for key in ordered[half:]})


def _within(chunk: dict[K, V], first: K | None, last: K | None) -> list[K]:
    """The keys of a chunk between two, in no order."""
    return [
        key for key in chunk if (first is None or key >= first) and (last is None or key <= last)
    ]
