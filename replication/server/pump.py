"""A server in the caller's thread: messages in, messages out. For tests and simulations.

It does what a connection of the network shell does, without a network: everything a message leads
to has happened when `deliver` returns, commits included.
"""

from __future__ import annotations

from collections import deque

from replication.errors import RemoteProtocolError
from replication.protocol.messages import Message
from replication.protocol.server_session import Close, Effect, Send
from replication.server.host import Host
from replication.server.links import Link


class Pump:
    """One client's connection to a host.

    Attributes:
        awake: the sessions that may have something to `poll`.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._links: dict[int, Link] = {}
        self.awake: set[int] = set()

    def deliver(self, message: Message) -> list[Message]:
        """Feed a message to its session; a BIND begins a new one. Returns what it leads to.

        What is on its way to a session that is over is ignored.
        """
        number = message.session
        link = self._links.get(number)
        if link is None:
            link = self._links[number] = self._host.connect(number, lambda: self.awake.add(number))
        try:
            effects = link.session.receive(message)
        except RemoteProtocolError as error:
            effects = link.session.failed(error.code, str(error))
        out = self._perform(link, effects)
        self.awake.add(number)
        return out

    def poll(self, number: int) -> list[Message]:
        """What there is to send to a session now, at most one DOWNLOAD; [] for nothing."""
        self.awake.discard(number)
        link = self._links.get(number)
        if link is None:
            return []
        out = self._perform(link, self._host.fetch(link)())
        if out and link.more:
            self.awake.add(number)
        return out

    def drain(self) -> list[Message]:
        """Everything there is to send to all sessions."""
        out: list[Message] = []
        while self.awake:
            out += self.poll(min(self.awake))
        return out

    def drop(self) -> None:
        """The connection is lost."""
        for link in self._links.values():
            self._host.disconnect(link)
        self._links.clear()
        self.awake.clear()

    def _perform(self, link: Link, effects: list[Effect]) -> list[Message]:
        out: list[Message] = []
        todo = deque(effects)
        while todo:
            effect = todo.popleft()
            if isinstance(effect, Send):
                out.append(effect.message)
                continue
            todo.extendleft(reversed(self._host.perform(link, effect)))
            if isinstance(effect, Close):
                self._links.pop(link.session.number, None)
        return out
