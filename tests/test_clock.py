"""The hybrid logical clock: later than all seen, close to the wall clock, never past its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.clock import (
    COUNTER_BITS,
    EPOCH_UNIX_MS,
    HybridClock,
    ms_from_time,
    ms_from_unix,
    time_from_ms,
    too_far_ahead,
    unix_from_time,
)
from replication.errors import UsageError
from replication.limits import CLOCK_SKEW_MS_MAX, TIME_MAX

MS = st.integers(0, 2**47 - 1)
TIMES = st.integers(0, TIME_MAX)


@given(MS, st.integers(0, 2**COUNTER_BITS - 1))
def test_a_time_is_milliseconds_and_a_counter(ms: int, counter: int) -> None:
    """[CLOCK-1] The counter carries into the milliseconds; it does not wrap inside one."""
    time = time_from_ms(ms) + counter
    assert ms_from_time(time) == ms
    assert time >> COUNTER_BITS == ms
    assert time & (2**COUNTER_BITS - 1) == counter
    assert 0 <= time <= TIME_MAX


def test_the_counter_carries_into_the_milliseconds() -> None:
    """[CLOCK-1] 65,536 transactions in one millisecond, and one more."""
    clock = HybridClock()
    for _ in range(2**COUNTER_BITS + 1):
        time = clock.tick(7)
    assert time == time_from_ms(8)
    assert clock.tick(7) == time_from_ms(8) + 1
    assert clock.tick(9) == time_from_ms(9)


def test_times_start_in_2015() -> None:
    """[CLOCK-1] Earlier wall clocks count as 2015, later ones than can be said as the last."""
    assert ms_from_unix(EPOCH_UNIX_MS / 1000) == 0
    assert unix_from_time(0) == 1_420_070_400
    assert time_from_ms(ms_from_unix(0)) == 0
    assert time_from_ms(2**60) == TIME_MAX
    assert unix_from_time(time_from_ms(ms_from_unix(1_700_000_000.5))) == 1_700_000_000.5


@given(st.lists(st.tuples(MS, TIMES.filter(lambda time: time < TIME_MAX - 100)), max_size=20))
def test_a_tick_is_later_than_all_given_out_or_received(events: list[tuple[int, int]]) -> None:
    """[CLOCK-2] and [CLOCK-3], whatever the wall clock does in between."""
    clock = HybridClock()
    seen = 0
    for wall_ms, received in events:
        clock.receive(received)
        seen = max(seen, received)
        time = clock.tick(wall_ms)
        assert time > seen
        assert time >= time_from_ms(wall_ms)
        assert time <= max(seen + 1, time_from_ms(wall_ms)), "no further ahead than it has to be"
        assert clock.last == time
        seen = time


def test_receiving_an_earlier_time_does_not_turn_the_clock_back() -> None:
    """[CLOCK-3]"""
    clock = HybridClock(100)
    clock.receive(50)
    assert clock.last == 100
    clock.receive(101)
    assert clock.tick(0) == 102


def test_the_first_time_is_not_zero() -> None:
    """[CLOCK-2] Zero is the stamp of nothing seen."""
    assert HybridClock().tick(-5) == 1


def test_a_clock_at_its_end_says_so() -> None:
    """[CLOCK-2]"""
    clock = HybridClock(TIME_MAX - 1)
    assert clock.tick(0) == TIME_MAX
    with pytest.raises(UsageError, match=str(TIME_MAX)):
        clock.tick(0)


@given(MS)
def test_a_server_refuses_times_too_far_ahead(wall_ms: int) -> None:
    """[CLOCK-4] Exactly past the limit, counters aside."""
    edge = time_from_ms(wall_ms + CLOCK_SKEW_MS_MAX)
    assert not too_far_ahead(edge, wall_ms)
    assert not too_far_ahead(edge | (2**COUNTER_BITS - 1), wall_ms)
    assert too_far_ahead(edge + 2**COUNTER_BITS, wall_ms) or edge == time_from_ms(2**47)
    assert not too_far_ahead(0, wall_ms)
