"""A session as its connection keeps it: what came and is not taken in yet, what is to be done."""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

import trio

from replication.errors import ErrorCode, RemoteProtocolError
from replication.limits import UPLOADS_IN_FLIGHT_BYTES, UPLOADS_IN_FLIGHT_MAX
from replication.protocol.messages import Message, Upload
from replication.protocol.server_session import Effect
from replication.server.jobs import Outcome
from replication.server.links import Link

_log = logging.getLogger(__name__)

#: Log entries that are read for a session in the Trio thread; more are read in a worker thread.
FETCH_INLINE_MAX: Final = 32


class ServedSession:
    """One session of a connection, and what waits for it.

    Attributes:
        queue: messages that came and are not taken in yet.
        busy: it has a task.
        noted: it is about to be woken.
        woken: there may be something to fetch.
        room: somebody waits until the queue is shorter.
    """

    __slots__ = ("busy", "link", "noted", "queue", "room", "streak", "woken")

    def __init__(self) -> None:
        self.link: Link
        self.queue: deque[Message] = deque()
        self.busy = False
        self.noted = False
        self.woken = False
        self.room: trio.Event | None = None
        #: How often it took in what waited since there was last a look at what there is to fetch.
        self.streak = 0

    @property
    def is_full(self) -> bool:
        """Whether it is too far behind to be given more. Rule 2 of `serving`."""
        if len(self.queue) >= UPLOADS_IN_FLIGHT_MAX:
            return True
        waiting = sum(len(item.body) for item in self.queue if isinstance(item, Upload))
        return waiting >= UPLOADS_IN_FLIGHT_BYTES

    def make_room(self) -> None:
        """The queue is shorter."""
        if self.room is not None:
            self.room.set()
            self.room = None

    @property
    def is_far(self) -> bool:
        """Whether making its next DOWNLOAD is too much work for the Trio thread."""
        feed = self.link.feed
        return feed is not None and (feed.staging or feed.behind > FETCH_INLINE_MAX)

    def take(self) -> list[Effect]:
        """What taking in the next message that waits leads to, or several at once."""
        try:
            return self.link.session.take(self.queue)
        except RemoteProtocolError as error:
            return self.link.session.failed(error.code, str(error))

    def told(self, outcome: Outcome) -> list[Effect]:
        """What a look at what there is to send has led to."""
        try:
            effects = outcome()
        except Exception:
            effects = self.failed()
        self.woken = self.woken or (bool(effects) and self.link.more)
        return effects

    def failed(self) -> list[Effect]:
        """We broke it: it ends, and the log says more."""
        _log.exception("a session failed")
        return self.link.session.failed(ErrorCode.INTERNAL, "the server failed; its log says more")
