"""Client files for tests of the server: they write changesets by hand and upload them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from replicas import Edit

from replication.clock import ms_from_time, time_from_ms
from replication.crdt.edit import Author
from replication.crdt.object import ObjectState, absent
from replication.crdt.parts import Parts
from replication.crdt.stamps import latest_time
from replication.crdt.view import object_view, query_values
from replication.crdt.whole import joined
from replication.history.changeset import (
    DIGEST_START,
    Changeset,
    ObjectDelta,
    encode,
    next_digest,
)
from replication.model.encoding import unpack_trusted
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.values import Key
from replication.protocol.messages import Ack
from replication.rules.roles import Roles
from replication.server.integrate import Integrated
from replication.server.namespace import Namespace
from replication.server.tables import load_ledger
from replication.storage.contract import Store
from replication.storage.memory import MemoryStore

WALL_MS = 300_000_000_000
of = Property.of
#: A class with a property of each kind, for what `replicas` writes at random, and one by names.
SCHEMA = Schema(
    [
        ClassSchema(
            "Book",
            [
                of("title", "string", queryable=True),
                of("year", "int", queryable=True),
                of("price", "decimal?"),
                of("copies", "counter"),
                of("tags", "set<string>"),
                of("extra", "dict<mixed>"),
                of("rooms", "dict<embedded:Place>"),
                of("notes", "list<int>"),
                of("stops", "list<embedded:Place>"),
                of("home", "embedded:Place"),
                of("author", "link:Person"),
                of("anything", "mixed"),
            ],
            key="int",
        ),
        ClassSchema("Person", [of("name", "string")], key="string"),
        ClassSchema("Place", [of("city", "string?"), of("marks", "list<int>")]),
    ]
)


class ClientFile:
    """A client file of a namespace, which it writes to as it likes.

    Attributes:
        ms: its clock.
        changesets: what it uploaded, in order.
    """

    def __init__(self, namespace: Namespace, user: str = "ann") -> None:
        self.namespace = namespace
        with namespace.store.write() as writer:
            self.ident, self.salt, _ = namespace.open_file(writer, user, 0, 0)
        self.ms = WALL_MS
        self.sequence = 0
        self.changesets: list[bytes] = []
        #: What its user may do; None: everything.
        self.roles: Roles | None = None

    @property
    def digest(self) -> bytes:
        """The chain over everything it uploaded."""
        digest = DIGEST_START
        for data in self.changesets:
            digest = next_digest(digest, data)
        return digest

    def author(self) -> Author:
        """For one transaction."""
        self.ms += 1

        def mint() -> int:
            self.sequence += 1
            return self.sequence

        return Author((time_from_ms(self.ms), self.ident), mint)

    def edit(
        self,
        act: Callable[[Edit], None],
        *,
        key: Key = 1,
        class_name: str = "Book",
        start: ObjectState | None = None,
        blind: bool = False,
        author: Author | None = None,
    ) -> ObjectDelta:
        """What a transaction writes to one object. ``start``: the state it sees, by default the
        server's.
        """
        if start is None:
            start = absent() if blind else self.state(class_name, key)
        self.ms = max(self.ms, ms_from_time(latest_time(start)))  # what it saw, its clock saw
        edit = Edit(start, author or self.author())
        act(edit)
        return ObjectDelta(class_name, key, edit.finish()[0], blind)

    def state(self, class_name: str = "Book", key: Key = 1) -> ObjectState:
        """The server's state of an object, its lists in one piece."""
        return server_state(self.namespace.store, class_name, key)

    def changeset(
        self, *objects: ObjectDelta, cursor: int = 0, flags: int = 0, schema: Any = None
    ) -> bytes:
        """The bytes of a changeset stamped now."""
        time = time_from_ms(self.ms)
        return encode(Changeset(time, cursor, list(objects), flags, schema or {}))

    def upload(self, *changesets: bytes, first: int | None = None) -> Integrated:
        """Send changesets to the server; by default those that follow the last."""
        namespace = self.namespace
        with namespace.store.write() as writer:
            start = len(self.changesets) + 1 if first is None else first
            out = namespace.integrate(writer, 1, self.ident, start, list(changesets), self.roles)
        with namespace.store.read() as reader:
            namespace.publish(load_ledger(reader))
        for answer in out.answers:
            if isinstance(answer, Ack):
                taken = answer.client_version - start + 1
                self.changesets[start - 1 :] = changesets[:taken]
        return out

    def write(self, act: Callable[[Edit], None], **options: Any) -> Ack:
        """One transaction on one object, uploaded; what the server says of it."""
        changeset = {name: options.pop(name) for name in ("cursor", "flags") if name in options}
        out = self.upload(self.changeset(self.edit(act, **options), **changeset))
        assert out.error is None, out.error
        (ack,) = out.answers
        assert isinstance(ack, Ack), ack
        return ack


def latest(store: Store, namespace: Namespace) -> int:
    """The latest server version."""
    with store.read() as reader:
        return namespace.latest(reader)


def new_namespace(store: Store | None = None, **options: Any) -> Namespace:
    """A namespace whose clock stands at WALL_MS and whose salts come from a fixed seed."""
    rng = Random(1)
    return Namespace(
        store or MemoryStore(query_values),
        entropy=lambda: rng.getrandbits(63),
        wall_ms=lambda: WALL_MS,
        **options,
    )


def server_state(store: Store, class_name: str, key: Key) -> ObjectState:
    """A stored state, its lists in one piece."""
    with store.read() as reader:
        row = reader.get_object(class_name, key)
        if row is None:
            return absent()
        held = {part.name: part.data for part in reader.parts(class_name, row.row)}
        return joined(unpack_trusted(row.head), Parts(held.get, held.keys))


def server_view(store: Store, class_name: str = "Book", key: Key = 1) -> dict[str, Any] | None:
    """What a reader sees of a stored object; None if it is not alive."""
    return object_view(server_state(store, class_name, key))


def reasons(ack: Ack) -> list[tuple[list[Any], str]]:
    """Path and reason of each refusal."""
    return [(path, reason) for _, _, _, path, reason, *_ in ack.refusals]
