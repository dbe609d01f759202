"""The connection that a client's sessions share: made again, with back-off, whenever it is lost.

Rule 1: a success is a connection that lasted BACKOFF_STABLE_S. So a server that breaks on what a
        client sends is not asked every second for ever.
Rule 2: an error that asks to stop, sent for the connection, stops every session on it.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable

import trio

from replication.errors import Action, ReplicationError, SessionError
from replication.limits import BACKOFF_STABLE_S
from replication.net.backoff import Backoff
from replication.net.websocket import Address, DisconnectedError, OpenStream, connect
from replication.net.wire import Wire

_log = logging.getLogger(__name__)


class Link:
    """Where sessions find a connection.

    Args:
        place: the server's address.
        ssl_context: for wss addresses; None: the system's certificate authorities.
        random: gives numbers, evenly spread in ``0 <= x < 1``, for jitter.
        open_stream: connects to a host and port.
        offline: called with the reason whenever there is no connection.
    """

    def __init__(
        self,
        place: Address,
        *,
        ssl_context: ssl.SSLContext | None,
        random: Callable[[], float],
        open_stream: OpenStream,
        offline: Callable[[ReplicationError], None],
    ) -> None:
        self.random = random
        self._place = place
        self._ssl_context = ssl_context
        self._open_stream = open_stream
        self._offline = offline
        self._wire: Wire | None = None
        self._fatal: SessionError | None = None
        self._changed = trio.Event()

    async def ready(self) -> Wire:
        """Wait for a connection.

        Raises:
            SessionError: the server wants none from here.
        """
        while self._wire is None:
            if self._fatal is not None:
                raise self._fatal
            await self._changed.wait()
        return self._wire

    async def run(self) -> None:
        """Connect again and again; returns when the server asks to stop."""
        backoff = Backoff(self.random)
        while True:
            start = trio.current_time()
            ended = await self._once()
            if trio.current_time() - start >= BACKOFF_STABLE_S:
                backoff.succeeded()
            _log.info("%s: %s", self._place.text, ended)
            self._offline(ended)
            if isinstance(ended, SessionError) and ended.code.action is Action.STOP:
                self._fatal = ended
                self._announce(None)
                return
            await trio.sleep(backoff.failed(_kind(ended)))

    async def _once(self) -> ReplicationError:
        """One connection, from the attempt to the end; how it ended."""
        try:
            socket = await connect(
                self._place, ssl_context=self._ssl_context, open_stream=self._open_stream
            )
        except DisconnectedError as error:
            return error
        return await Wire(socket).run(self._announce)

    def _announce(self, wire: Wire | None) -> None:
        self._wire = wire
        self._changed.set()
        self._changed = trio.Event()


def _kind(error: ReplicationError) -> str:
    if isinstance(error, SessionError):
        return error.code.label
    assert isinstance(error, DisconnectedError)
    return error.kind
