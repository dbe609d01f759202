"""Clients: files kept in step with a server, many on one connection."""

from __future__ import annotations

import random as system_random
import ssl
from collections.abc import Callable, Sequence

import trio

from replication.errors import ReplicationError, UsageError
from replication.limits import SESSIONS_PER_CONNECTION_MAX
from replication.net.link import Link
from replication.net.session import Status, SyncSession, SyncState, TokenProvider
from replication.net.websocket import OpenStream, address

__all__ = ["Status", "SyncSession", "SyncState", "TokenProvider", "run_client"]


async def run_client(
    sessions: Sequence[SyncSession],
    url: str,
    *,
    ssl_context: ssl.SSLContext | None = None,
    random: Callable[[], float] = system_random.random,
    open_stream: OpenStream = trio.open_tcp_stream,
) -> None:
    """Keep files in step with a server, on one connection that is made again when it is lost.

    Returns when all sessions have stopped; their `status` says why. Cancel it to stop them all:
    nothing that is committed is lost, and no thread is left writing.

    Args:
        sessions: at most SESSIONS_PER_CONNECTION_MAX, each with a file of its own.
        url: the server, ws://host:port/ or wss://host:port/.
        ssl_context: for wss; None: the system's certificate authorities.
        random: gives numbers, evenly spread in ``0 <= x < 1``, for the jitter of delays.
        open_stream: connects to a host and port.

    Raises:
        UsageError: a bad address, too many sessions, or two for one file.
    """
    place = address(url)
    if not 0 < len(sessions) <= SESSIONS_PER_CONNECTION_MAX:
        raise UsageError(
            f"{len(sessions)} sessions; 1 to {SESSIONS_PER_CONNECTION_MAX} share a connection"
        )
    if len({id(session.db) for session in sessions}) < len(sessions):
        raise UsageError("two sessions for one file; a file has one at a time")

    def offline(error: ReplicationError) -> None:
        for session in sessions:
            session.offline(error)

    link = Link(
        place, ssl_context=ssl_context, random=random, open_stream=open_stream, offline=offline
    )
    async with trio.open_nursery() as outer:
        outer.start_soon(link.run)
        async with trio.open_nursery() as inner:
            for session in sessions:
                inner.start_soon(session.run, link)
        outer.cancel_scope.cancel()
