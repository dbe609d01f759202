"""A server and devices in one process, over a network that is pumped by hand: no tasks, no clock.

What runs is the real thing: client files with their agents, the server's host with its sessions,
stores, and messages that pass through their bytes. Only the network is made up: what an end sends
waits until somebody delivers it.

Rule 1: a connection delivers in order, each way. Cutting it loses what was on its way.
Rule 2: defects of the package raise where they happen; a server would log them and go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from replication.client.agent import Agent
from replication.client.database import Database
from replication.errors import StoreError
from replication.limits import UPLOAD_CHANGESETS_MAX
from replication.protocol import messages
from replication.protocol.messages import Download, Message, Upload
from replication.rules.roles import OPEN
from replication.server.host import Host
from replication.server.pump import Pump
from replication.server.users import User
from replication.storage.contract import Store

#: The namespace that everybody shares.
NAMESPACE: Final = "world"


def raise_defects(error: Exception) -> None:
    """Raise what a host reports, save failing disks, which are no defects. Rule 2."""
    if not isinstance(error, StoreError):
        raise error


class Server:
    """A server of one namespace. A token is the name of its user.

    Args:
        store: what it keeps.
        wall_ms: its clock, in milliseconds since 2015.
        entropy: returns a random integer, 0 <= n < 2**63.
        options: of `Host`.
    """

    def __init__(
        self,
        store: Store,
        *,
        wall_ms: Callable[[], int],
        entropy: Callable[[], int],
        **options: Any,
    ) -> None:
        self.store = store
        self._options = {
            "wall_ms": wall_ms,
            "entropy": entropy,
            "development": True,
            "report": raise_defects,
            "rules": lambda _name: OPEN,
            **options,
        }
        self.start()

    def start(self) -> None:
        """Start the process, again if it was started before: it knows what the store knows."""
        self.host = Host(lambda _name: self.store, User, **self._options)

    def forget(self) -> int:
        """Make everything that is dead here forgotten; returns the horizon."""
        namespace = self.host.namespace(NAMESPACE)
        with namespace.store.write() as writer:
            horizon = namespace.forget(writer)
        self.host.published(NAMESPACE)
        return horizon


class Device:
    """A device: a client file and, while it is connected, an agent and its connection.

    Args:
        server: where it connects to.
        user: whom it belongs to.
        uploads_max: changesets that travel in one UPLOAD.

    Attributes:
        db: the client file.
        outbox: messages on their way to the server, oldest first.
        inbox: messages on their way to the device.
    """

    def __init__(
        self, server: Server, db: Database, user: str, *, uploads_max: int = UPLOAD_CHANGESETS_MAX
    ) -> None:
        self.server = server
        self.db = db
        self.user = user
        self._uploads_max = uploads_max
        self.agent: Agent | None = None
        self.pump: Pump | None = None
        self.outbox: deque[Message] = deque()
        self.inbox: deque[Message] = deque()

    # -- the connection ------------------------------------------------------------------------
    def connect(self) -> None:
        """Open a connection and a session."""
        self.pump = Pump(self.server.host)
        self.agent = Agent(self.db, 1, NAMESPACE, self.user, uploads_max=self._uploads_max)
        self.send(self.agent.start())

    def cut(self) -> None:
        """The connection is lost. Rule 1."""
        if self.pump is not None:
            self.pump.drop()
        self.agent = self.pump = None
        self.outbox.clear()
        self.inbox.clear()

    def send(self, out: list[Message]) -> None:
        """Send: it is on its way from now on."""
        self.outbox += out

    def wake(self) -> None:
        """Send whatever the client file has to send by now."""
        if self.agent is None:
            self.connect()
        assert self.agent is not None
        self.send(self.agent.wake())

    def deliver(self) -> Message:
        """Let the server have the next message; its answers are on their way then."""
        message = _travelled(self.outbox.popleft())
        assert self.pump is not None
        self.inbox += map(_travelled, self.pump.deliver(message))
        return message

    def fetch(self) -> bool:
        """Let the server send the next message it has for the device; False if there is none."""
        if self.pump is None or not self.pump.awake:
            return False
        sent = self.pump.poll(min(self.pump.awake))
        self.inbox += map(_travelled, sent)
        return bool(sent)

    def take(self) -> Message:
        """Let the device have the next message; what it answers is on its way then."""
        assert self.agent is not None
        message = self.inbox.popleft()
        self.send(self.agent.receive(message))
        if self.agent.ended is not None:
            self.cut()
        return message

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way and neither end has anything to send."""
        self.wake()
        return not self.outbox and not self.inbox and self.pump is not None and not self.pump.awake

    # -- all at once ---------------------------------------------------------------------------
    def step(self) -> bool:
        """Deliver all that is sent, then take one message; False when nothing is left to do."""
        if not self.inbox:
            self.wake()
            self._deliver_all()
            self.fetch()
        if not self.inbox:
            return self.pump is not None and bool(self.pump.awake)
        self.take()
        self._deliver_all()
        return True

    def sync(self, rounds: int = 10_000) -> None:
        """Exchange everything there is.

        Raises:
            AssertionError: it does not come to an end.
        """
        for _ in range(rounds):
            if self.agent is None:
                self.connect()
            if not self.step():
                return
        raise AssertionError(f"{self.user} never comes to rest")

    def _deliver_all(self) -> None:
        while self.outbox:
            self.deliver()

    # -- one way at a time -----------------------------------------------------------------------
    def upload(self, count: int | None = None) -> None:
        """Deliver what it has to send; the answers arrive, DOWNLOADs don't.

        Args:
            count: of UPLOADs; those behind stay on their way. None for all.
        """
        self.wake()
        while self.outbox:
            if type(self.outbox[0]) is Upload:
                if count == 0:
                    break
                count = None if count is None else count - 1
            self.deliver()
            while self.inbox and type(self.inbox[0]) is not Download:
                self.take()

    def download(self, count: int | None = None) -> None:
        """Take what the server has for it; no UPLOAD is delivered.

        Args:
            count: of DOWNLOADs that change anything. None for all.
        """
        self.wake()
        while True:
            while self.outbox and type(self.outbox[0]) is not Upload:
                self.deliver()
            if not self.inbox and not self.fetch():
                return
            if _changes_something(self.inbox[0]):
                if count == 0:
                    return
                count = None if count is None else count - 1
            self.take()


def _travelled(message: Message) -> Message:
    """What arrives of a message: its bytes, decoded."""
    return messages.decode(messages.encode(message))


def _changes_something(message: Message) -> bool:
    return type(message) is Download and message.body != _NO_OPERATIONS


#: The body of a DOWNLOAD that only moves cursor and mark.
_NO_OPERATIONS: Final = b"\x90"
