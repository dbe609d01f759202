"""The hybrid logical clock: times that follow the wall clock and never run backwards.

A time is one integer: 48 bits of milliseconds since 2015-01-01T00:00Z, then 16 bits of counter
that carries into the milliseconds. [CLOCK-1] The wall clock is read by whoever calls.
"""

from __future__ import annotations

from typing import Final

from replication.errors import UsageError
from replication.limits import CLOCK_SKEW_MS_MAX, TIME_MAX

#: 2015-01-01T00:00Z in milliseconds since the Unix epoch.
EPOCH_UNIX_MS: Final = 1_420_070_400_000
COUNTER_BITS: Final = 16


def time_from_ms(ms: int) -> int:
    """The first time of a millisecond since 2015. Earlier wall clocks count as 2015."""
    return max(0, min(ms << COUNTER_BITS, TIME_MAX))


def ms_from_time(time: int) -> int:
    """Milliseconds since 2015 of a time."""
    return time >> COUNTER_BITS


def ms_from_unix(seconds: float) -> int:
    """Milliseconds since 2015 of a Unix time, as `time.time()` gives it."""
    return int(seconds * 1000) - EPOCH_UNIX_MS


def unix_from_time(time: int) -> float:
    """Seconds since the Unix epoch of a time."""
    return (ms_from_time(time) + EPOCH_UNIX_MS) / 1000


def too_far_ahead(time: int, wall_ms: int) -> bool:
    """Whether a server at ``wall_ms`` must refuse ``time``. [CLOCK-4]"""
    return ms_from_time(time) > wall_ms + CLOCK_SKEW_MS_MAX


class HybridClock:
    """One device's clock. `last` is to be made durable with what it stamped."""

    __slots__ = ("last",)

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def tick(self, wall_ms: int) -> int:
        """A time for a new transaction: later than all given out or received. [CLOCK-2]

        Raises:
            UsageError: the clock has run to its end (about the year 6474).
        """
        if self.last >= TIME_MAX:
            raise UsageError(f"the clock stands at its last time, {self.last}")
        self.last = max(self.last + 1, time_from_ms(wall_ms))
        return self.last

    def receive(self, time: int) -> None:
        """Another device's time was seen: the next one here is later. [CLOCK-3]"""
        self.last = max(self.last, time)
