"""How long to wait before trying again. [CONN-5]

Rule 1: the first delay is BACKOFF_FIRST_S, each one after it twice the last, up to BACKOFF_MAX_S.
Rule 2: jitter takes away up to BACKOFF_JITTER of a delay, so that devices cut off together do not
        come back together. It never adds.
Rule 3: another kind of error starts from the first delay again, and so does a success.
"""

from __future__ import annotations

from collections.abc import Callable

from replication.limits import BACKOFF_FIRST_S, BACKOFF_JITTER, BACKOFF_MAX_S


class Backoff:
    """The delays of one thing that is tried again and again.

    Args:
        random: gives numbers, evenly spread in ``0 <= x < 1``.
    """

    __slots__ = ("_delay", "_kind", "_random")

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._kind: str | None = None
        self._delay = 0.0

    def failed(self, kind: str) -> float:
        """An attempt failed in some way: seconds to wait before the next one."""
        again = kind == self._kind
        self._kind = kind
        self._delay = min(2 * self._delay, BACKOFF_MAX_S) if again else BACKOFF_FIRST_S
        return self._delay * (1 - BACKOFF_JITTER * self._random())

    def succeeded(self) -> None:
        """An attempt led to what it was made for."""
        self._kind = None
