"""What the connections of a server share: the host, its commit thread and the way back from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from replication.server.host import Host
from replication.server.jobs import Job, Outcome

#: Calls that are made in the Trio thread before tasks have their turn.
LATER_MAX: Final = 256


class Shell:
    """What the connections of a server share.

    Args:
        host: performs what sessions ask for.
        commit: does a job in the commit thread; its outcome is passed on in that thread.
        agent: what the server calls itself in HELLO.
        wall: the clock that tokens are held against, in Unix seconds.

    Made in the Trio thread.
    """

    def __init__(
        self,
        host: Host,
        commit: Callable[[Job, Callable[[Outcome], None]], None],
        *,
        agent: str,
        wall: Callable[[], float],
    ) -> None:
        self.host = host
        self.agent = agent
        self.wall = wall
        self._commit = commit
        self._token = trio.lowlevel.current_trio_token()
        self._later: deque[Callable[[], None]] = deque()
        self._scheduled = False

    def later(self, call: Callable[[], None]) -> None:
        """Call something in the Trio thread. From any thread; many calls cost one wake-up."""
        self._later.append(call)
        if not self._scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._scheduled = True
        try:
            self._token.run_sync_soon(self._run_later)
        except trio.RunFinishedError:
            self._later.clear()

    def _run_later(self) -> None:
        # Cleared first: what is appended from here on either is seen below or schedules again.
        self._scheduled = False
        for _ in range(min(len(self._later), LATER_MAX)):
            self._later.popleft()()
        if self._later and not self._scheduled:
            self._schedule()

    async def commit(self, job: Job) -> Outcome:
        """Have a job done, and wait for its commit."""
        outcomes: list[Outcome] = []
        done = trio.Event()

        def committed(outcome: Outcome) -> None:
            outcomes.append(outcome)
            self.later(done.set)

        self._commit(job, committed)
        await done.wait()
        return outcomes[0]
