"""The writer thread: jobs of all sessions, committed in groups as large as what waits.

Rule 1: it takes what waits, up to COMMIT_CHANGESETS_MAX changesets, and commits that. Under load
        groups grow by themselves; a job that comes alone waits for nobody.
Rule 2: outcomes are handed over after the commit, in the order of the jobs, in this thread:
        callbacks pass them on to where the session lives and return at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NamedTuple

from replication.limits import COMMIT_CHANGESETS_MAX
from replication.server.host import Host
from replication.server.jobs import Job, Outcome


class _Submitted(NamedTuple):
    job: Job
    callback: Callable[[Outcome], None]


class CommitThread:
    """Commits the jobs of a host in a thread of its own.

    Args:
        host: whose jobs they are; nobody else may call its `commit` meanwhile.
        changesets_max: how many changesets one commit takes, and one job's in any case.
    """

    def __init__(self, host: Host, *, changesets_max: int = COMMIT_CHANGESETS_MAX) -> None:
        self._host = host
        self._changesets_max = changesets_max
        self._queue: SimpleQueue[_Submitted | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    def submit(self, job: Job, callback: Callable[[Outcome], None]) -> None:
        """Have a job done; ``callback`` gets its outcome, in the commit thread."""
        self._queue.put(_Submitted(job, callback))

    def close(self) -> None:
        """Do what was submitted, then end. Idempotent; nothing may be submitted any more."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        left: _Submitted | None = None
        while (first := left or self._queue.get()) is not None:
            group, left, ending = self._group(first)
            outcomes = self._host.commit([item.job for item in group])
            for item, outcome in zip(group, outcomes, strict=True):
                item.callback(outcome)
            if ending and left is None:
                return

    def _group(self, first: _Submitted) -> tuple[list[_Submitted], _Submitted | None, bool]:
        """What one commit takes, what came after that, and whether the end has come."""
        group, changesets = [first], first.job.changesets
        while True:
            try:
                item = self._queue.get_nowait()
            except Empty:
                return group, None, False
            if item is None:
                return group, None, True
            changesets += item.job.changesets
            if changesets > self._changesets_max:
                return group, item, False
            group.append(item)
