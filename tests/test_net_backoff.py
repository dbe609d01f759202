"""Delays between attempts: a plain model of them, and the numbers of the first ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from replication.limits import BACKOFF_FIRST_S, BACKOFF_JITTER, BACKOFF_MAX_S
from replication.net.backoff import Backoff


def test_the_first_delays() -> None:
    backoff = Backoff(lambda: 0.0)
    delays = [backoff.failed("connect") for _ in range(11)]
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert Backoff(lambda: 1.0).failed("connect") == 0.75


@given(st.lists(st.tuples(st.sampled_from(["connect", "lost", ""]), st.floats(0, 1)), max_size=40))
def test_against_a_model(steps: list[tuple[str, float]]) -> None:
    """ "" is a success. The n-th failure of one kind in a row waits 2**(n-1), capped, jittered."""
    randoms = iter([random for kind, random in steps if kind])
    backoff = Backoff(lambda: next(randoms))
    row: list[str] = []
    for kind, random in steps:
        if not kind:
            backoff.succeeded()
            row = []
            continue
        row = [*row, kind] if row and row[-1] == kind else [kind]
        full = min(BACKOFF_FIRST_S * 2 ** (len(row) - 1), BACKOFF_MAX_S)
        delay = backoff.failed(kind)
        assert delay == full * (1 - BACKOFF_JITTER * random)
        assert full * (1 - BACKOFF_JITTER) <= delay <= full
