"""Devices that know the protocol and nothing else, for tests of the server.

A device is as naive as can be: whole states in a dictionary, deltas merged one by one, downloads
staged in a list. What it must hold at any moment is therefore plain to see.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from replicas import Edit
from server_files import WALL_MS

from replication.clock import HybridClock
from replication.crdt.edit import Author
from replication.crdt.object import ObjectState, absent, is_alive, merge
from replication.crdt.parts import Parts
from replication.crdt.stamps import latest_time
from replication.crdt.view import query_values, queryable
from replication.crdt.whole import joined
from replication.errors import ErrorCode
from replication.history.changeset import (
    DIGEST_START,
    Changeset,
    ObjectDelta,
    decode,
    encode,
    next_digest,
)
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import Key
from replication.protocol import client_session as session
from replication.protocol.body import (
    AuthorOp,
    DeltaOp,
    EvictOp,
    Operation,
    SchemaOp,
    StateOp,
    decode_operations,
)
from replication.protocol.client_session import ClientSession, Position
from replication.protocol.messages import Ack, Download, Message
from replication.protocol.messages import decode as decoded
from replication.protocol.messages import encode as encoded
from replication.query import parse
from replication.rules.roles import OPEN
from replication.server.host import Host
from replication.server.pump import Pump
from replication.server.users import User
from replication.storage.contract import Store
from replication.storage.memory import MemoryStore

Name = tuple[str, Key]


class World:
    """A host with one namespace, and the devices that use it."""

    def __init__(
        self, store: Store | None = None, *, development: bool = False, schema: Any = None,
        **options: Any,
    ) -> None:  # fmt: skip
        self.store = store or MemoryStore(query_values)
        self.rng = Random(5)
        self.reports: list[Exception] = []
        self.options = {"development": development, "schema": lambda _name: schema,
                        "rules": lambda _name: OPEN, **options}  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start the server, or start it again on what its store holds."""
        self.host = Host(
            lambda _name: self.store,
            User,
            entropy=lambda: self.rng.getrandbits(63),
            wall_ms=lambda: WALL_MS,
            report=self.reports.append,
            **self.options,
        )

    @property
    def latest(self) -> int:
        """The latest server version."""
        return self.host.namespace("data").version

    def states(self) -> dict[Name, ObjectState]:
        """What the server holds, lists in one piece, deleted objects included."""
        out = {}
        with self.store.read() as reader:
            for name in reader.classes():
                for item in reader.all_objects(name):
                    held = {part.name: part.data for part in reader.parts(name, item.row)}
                    out[name, item.key] = joined(unpack_trusted(item.head), Parts(held.get, held))
        return out

    def seen_by(self, queries: dict[str, str]) -> dict[Name, bytes]:
        """The states of what a subscription set asks for, by brute force."""
        asked = {name: parse(text) for name, text in queries.items()}
        return {
            (name, key): pack(state)
            for (name, key), state in self.states().items()
            if name in asked and is_alive(state) and asked[name].matches(queryable(state).get)
        }


class Device:
    """A client file on a connection of its own.

    Attributes:
        synced: the states it was sent, by class and key.
        versions: the server version of each of them.
        pending: its changesets that are not folded yet: client version -> bytes.
        inbox: what is on its way to it.
        downloads: the downloads it received, operations decoded.
        ended: how its last session ended.
    """

    def __init__(self, world: World, user: str = "ann") -> None:
        self.world = world
        self.user = user
        self.ident = self.salt = self.cursor = self.cursor_salt = 0
        self.folded = self.acknowledged = self.written = self.sequence = 0
        self.digest = DIGEST_START
        self.query_version = self.sets = 0
        self.active: dict[str, str] = {}
        self.wanted: dict[int, dict[str, str]] = {}
        self.synced: dict[Name, ObjectState] = {}
        self.versions: dict[Name, int] = {}
        self.pending: dict[int, bytes] = {}
        self.staged: list[Operation] = []
        self.staged_for = (0, 0)
        self.staged_position = b""
        self.clock = HybridClock()
        self.inbox: list[Message] = []
        self.downloads: list[tuple[Download, list[Operation]]] = []
        self.passed: list[int] = []
        self.refused: list[Any] = []
        #: Who made the versions it was told of.
        self.authors: dict[int, AuthorOp] = {}
        self.failed: list[int] = []
        #: The last set that failed.
        self.not_served: dict[int, dict[str, str]] = {}
        self.served_again: list[int] = []
        self.ended: ErrorCode | None = None
        self.session: ClientSession | None = None
        self.pump: Pump | None = None
        self.connect()
        self.run()

    # -- connecting ------------------------------------------------------------------------------
    def position(self) -> Position:
        """What it identifies itself with."""
        resume = self.staged and self.active and self.staged_for[0] == self.query_version
        base, position = (self.staged_for[1], self.staged_position) if resume else (0, b"")
        return Position(
            self.ident, self.salt, self.cursor, self.cursor_salt, self.acknowledged, self.digest,
            self.written, self.query_version, self.active, 0, base, position,
        )  # fmt: skip

    def connect(self) -> None:
        """Begin a session on a new connection."""
        self.cut()
        self.pump = Pump(self.world.host)
        self.session = ClientSession(1)
        self.perform(self.session.start("data", self.user, self.position()))
        self.talk()

    def cut(self) -> None:
        """The connection is lost with what is on its way."""
        if self.pump is not None:
            self.pump.drop()
        self.pump = self.session = None
        self.inbox.clear()

    def send(self, message: Message) -> None:
        """Send a message, whatever it is, through the bytes of a frame."""
        if self.pump is not None:
            answers = self.pump.deliver(decoded(encoded(message)))
            self.inbox += [decoded(encoded(answer)) for answer in answers]

    def talk(self) -> None:
        """Send what there is to send."""
        if self.session is None or not self.session.ready:
            return
        first = self.session.uploaded + 1
        if first <= self.written:
            waiting = [self.pending[number] for number in range(first, self.written + 1)]
            self.perform(self.session.upload(first, waiting))
        last = max(self.wanted, default=0)
        if self.session is not None and last > self.session.query_version:
            goes_on = self.staged and self.staged_for[0] == last
            base, position = (self.staged_for[1], self.staged_position) if goes_on else (0, b"")
            self.perform(self.session.query(last, self.wanted[last], base, position))

    # -- writing ---------------------------------------------------------------------------------
    def view(self, name: Name) -> ObjectState:
        """What it sees: what it was sent and what is pending."""
        state = joined(self.synced.get(name, absent()))
        for number in sorted(self.pending):
            for item in decode(self.pending[number]).objects:
                if (item.class_name, item.key) == name:
                    state = merge(state, item.delta)
        return state

    def write(self, act: Callable[[Edit], None], *names: Name, flags: int = 0) -> None:
        """One transaction, the same on some objects. It is sent by `talk`."""

        def mint() -> int:
            self.sequence += 1
            return self.sequence

        author = Author((self.clock.tick(WALL_MS), self.ident), mint)
        objects = []
        for class_name, key in names:
            start = self.view((class_name, key))
            edit = Edit(start, author)
            act(edit)
            delta = edit.finish()[0]
            blind = start == absent() and delta[0] % 2 == 1
            if delta[0] or delta[3]:
                objects.append(ObjectDelta(class_name, key, delta, blind))
        self.written += 1
        changeset = Changeset(author.stamp[0], self.cursor, objects, flags)
        self.pending[self.written] = encode(changeset)

    def subscribe(self, **queries: str) -> None:
        """Ask for another subscription set. It is sent by `talk`."""
        self.sets += 1
        self.wanted[self.sets] = dict(sorted(queries.items()))

    # -- receiving -------------------------------------------------------------------------------
    def step(self) -> bool:
        """Take one message, or have the server say what it has; False if there is nothing."""
        if not self.inbox and self.pump is not None:
            self.inbox += [decoded(encoded(message)) for message in self.pump.poll(1)]
        if not self.inbox:
            return False
        message = self.inbox.pop(0)
        if self.session is not None:
            self.perform(self.session.receive(message))
            self.talk()
        return True

    def run(self) -> None:
        """Exchange everything there is."""
        self.talk()
        while self.step():
            pass

    def mark(self, request: int) -> None:
        """Ask for a barrier."""
        assert self.session is not None
        self.perform(self.session.mark(request))

    def perform(self, effects: list[session.Effect]) -> None:
        """What a client engine does."""
        for effect in effects:
            match effect:
                case session.Send(message):
                    self.send(message)
                case session.Adopt(ident, salt):
                    self.ident, self.salt = ident, salt
                    assert self.session is not None
                    self.perform(self.session.adopted(self.position()))
                case session.Acknowledge(ack):
                    self.acknowledge(ack)
                case session.Apply(download):
                    self.download(download)
                case session.QueryFailed(version, _, _):
                    self.failed.append(version)
                    self.not_served = {version: self.wanted.pop(version, {})}
                case session.QueryServed(version):
                    self.served_again.append(version)
                    self.wanted.update(self.not_served)
                case session.Passed(request):
                    self.passed.append(request)
                case session.Ended(code, _):
                    self.ended = code
                    self.cut()
                case _:
                    raise AssertionError(f"{effect} was not expected here")

    def acknowledge(self, ack: Ack) -> None:
        """Changesets are durable; some were rewritten."""
        for number in range(self.acknowledged + 1, ack.client_version + 1):
            self.digest = next_digest(self.digest, self.pending[number])
        self.acknowledged = ack.client_version
        for number, rewritten in ack.rewrites:
            decode(rewritten)
            self.pending[number] = rewritten
        self.refused += ack.refusals

    def download(self, download: Download) -> None:
        """Stage, or apply with what was staged."""
        told = decode_operations(download.size, download.body)
        operations = [each for each in told if not isinstance(each, AuthorOp)]
        self.downloads.append((download, operations))
        self.check_authors(told, operations)
        belongs = self.staged_for == (download.query_version, download.base)
        if not belongs:
            self.staged = []
        if not download.last:
            self.staged += operations
            self.staged_for = (download.query_version, download.base)
            self.staged_position = download.position
            return
        for number in range(self.folded + 1, download.mark + 1):
            for item in decode(self.pending.pop(number)).objects:
                name = (item.class_name, item.key)
                self.synced[name] = merge(self.synced.get(name, absent()), item.delta)
        self.folded = download.mark
        for operation in [*self.staged, *operations]:
            self.apply(operation)
        self.staged, self.staged_for = [], (0, 0)
        self.cursor, self.cursor_salt = download.version, download.salt
        if download.query_version > self.query_version:
            self.query_version = download.query_version
            self.active = self.wanted[download.query_version]
            self.wanted = {n: q for n, q in self.wanted.items() if n > self.query_version}
        if self.session is not None:
            self.perform(self.session.applied(self.cursor, self.query_version))

    def check_authors(self, told: list[Operation], operations: list[Operation]) -> None:
        """Before a delta comes who made it, once, and nothing of who touched nothing. [DOWN-9]"""
        authors = [each for each in told if isinstance(each, AuthorOp)]
        versions = {each.version for each in authors}
        first = [each for each in told if not isinstance(each, SchemaOp)]
        assert first[: len(authors)] == sorted(authors)
        assert len(versions) == len(authors)
        assert {each.version for each in operations if isinstance(each, DeltaOp)} <= versions
        assert not versions or any(isinstance(each, DeltaOp | StateOp) for each in operations)
        assert all(each.origin != self.ident for each in authors)
        self.authors.update((each.version, each) for each in authors)

    def apply(self, operation: Operation) -> None:
        """One operation of a download."""
        assert not isinstance(operation, AuthorOp)
        if isinstance(operation, SchemaOp):
            return
        name = (operation.class_name, operation.key)
        if isinstance(operation, EvictOp):
            self.synced.pop(name, None)
            self.versions.pop(name, None)
            return
        assert operation.version > self.versions.get(name, 0) or isinstance(operation, StateOp)
        self.versions[name] = operation.version
        if isinstance(operation, StateOp):
            parts = {part: data for part, _, data in operation.parts}
            self.synced[name] = joined(unpack_trusted(operation.head), Parts(parts.get, parts))
        else:
            assert isinstance(operation, DeltaOp)
            delta = unpack_trusted(operation.delta)
            self.synced[name] = merge(self.synced.get(name, absent()), delta)
        self.clock.receive(latest_time(self.synced[name]))

    # -- looking ---------------------------------------------------------------------------------
    def holds(self) -> dict[Name, bytes]:
        """The living objects it was sent."""
        return {name: pack(state) for name, state in self.synced.items() if is_alive(state)}

    def check(self) -> None:
        """It holds exactly what it asked for, byte for byte, as of the latest version."""
        assert self.holds() == self.world.seen_by(self.active)
