"""Iterations under way in a transaction: a walk ends with an error where it could go wrong.

An iterator whose table is written to, or whose transaction ends, might skip a row, show one twice
or show what is no longer there. Here it raises instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from replication.errors import NoTransactionError, UsageError

#: What is walked over: ("record", table), ("class", class name) or ("staged", class name).
Walked: TypeAlias = tuple[str, str]


def ended() -> NoTransactionError:
    """What to raise where a transaction is used after its end."""
    return NoTransactionError("this transaction has ended; begin another one")


class Walk:
    """One iteration.

    Attributes:
        of: what it reads.
        broken: why it must not go on, None as long as it may.
    """

    __slots__ = ("broken", "close", "of")

    def __init__(self, of: Walked, close: Callable[[], object]) -> None:
        self.of = of
        self.broken: UsageError | None = None
        #: Releases what it holds.
        self.close = close


class Walks(set[Walk]):
    """The iterations of one transaction."""

    def start(self, of: Walked, close: Callable[[], object] = lambda: None) -> Walk:
        """Another one; ``close`` releases what it holds."""
        walk = Walk(of, close)
        self.add(walk)
        return walk

    def finish(self, walk: Walk) -> None:
        """It has come to its end. Idempotent."""
        if walk in self:
            self.remove(walk)
            walk.close()

    def interrupt(self, of: Walked | None) -> None:
        """Something is about to be written to; None: everything."""
        for walk in [walk for walk in self if of in (None, walk.of)]:
            walk.broken = UsageError(
                "what this iterator reads has been written to; make a list of it first"
            )
            self.finish(walk)

    def end(self) -> None:
        """The transaction ends."""
        for walk in self:
            walk.broken = ended()
            walk.close()
        self.clear()
