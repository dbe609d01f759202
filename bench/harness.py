"""How benchmarks run: several times, in turn with their floor, medians printed, JSON written.

Rule 1: a figure is the median of at least five runs; its floor runs in turn with it, in the same
        process or beside the same one, so that both see the same machine.
Rule 2: nothing here passes or fails. A target is printed beside the figure it is for.
"""

from __future__ import annotations

import gc
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import apsw


@dataclass(slots=True)
class Figure:
    """One measured figure.

    Attributes:
        name: what was measured.
        unit: of `value` and `floor`.
        value: the median.
        spread: least and greatest run.
        runs: how many there were.
        floor: the median of what bounds it from below, if anything does.
        target: what is asked of it, in words.
        extra: further figures of the same runs.
    """

    name: str
    unit: str
    value: float
    spread: tuple[float, float]
    runs: int
    floor: float | None = None
    target: str = ""
    extra: dict[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """The figure over its floor."""
        return self.value / self.floor if self.floor else None

    def as_json(self) -> dict[str, Any]:
        """For the results file."""
        return {**asdict(self), "ratio": self.ratio}


def figure(
    name: str, unit: str, runs: list[float], floors: list[float] | None = None, target: str = "",
    **extra: float,
) -> Figure:  # fmt: skip
    """The medians of some runs."""
    floor = statistics.median(floors) if floors else None
    spread = (min(runs), max(runs))
    return Figure(name, unit, statistics.median(runs), spread, len(runs), floor, target, extra)


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def timed(work: Callable[[], Any]) -> float:
    """Seconds of one call, with the garbage of what came before collected first."""
    gc.collect()
    started = perf_counter()
    work()
    return perf_counter() - started


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the disk that the figures are about; BENCH_DIR chooses it."""
    base = os.environ.get("BENCH_DIR")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=base) as name:
        yield Path(name)


def raw(path: Path) -> apsw.Connection:
    """A bare SQLite connection with the durability of our stores."""
    connection = apsw.Connection(str(path))
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-65536", "mmap_size=0"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection
