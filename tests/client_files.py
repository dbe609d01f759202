"""What holds in a client file at any time, and messages made by hand to feed to one."""

from __future__ import annotations

from typing import Any

from worlds import LIBRARY

from replication.client import records
from replication.client.apply import acknowledge, apply, stage
from replication.client.database import Database
from replication.client.records import BASE, BASE_PARTS, PENDING, object_key
from replication.client.replica import Replica
from replication.client.restamp import adopt
from replication.crdt.object import ObjectState, absent, merge
from replication.crdt.parts import Parts
from replication.crdt.view import object_view, query_values
from replication.crdt.whole import check_parts, joined
from replication.history.changeset import decode_trusted
from replication.model.encoding import key_bytes, pack, unpack_trusted
from replication.protocol.body import Operation, encode_operations
from replication.protocol.messages import Ack, Download
from replication.storage.contract import Store, Writer
from replication.storage.memory import MemoryStore

WALL_MS = 300_000_000_000


def client_file(store: Store | None = None, ident: int = 2) -> Database:
    """A client file whose schema is acknowledged and folded; it stands at server version 1."""
    db = Database(store or MemoryStore(query_values), LIBRARY, wall_ms=lambda: WALL_MS)
    if not db.local.ident:
        with db.integrating() as work:
            adopt(work, ident, 7)
        take(db, Ack(1, db.local.client_version, 1, [], []))
        take(db, download(1, mark=db.local.client_version))
    return db


def take(db: Database, message: Ack | Download) -> None:
    """Perform what a session would ask for."""
    with db.integrating() as work:
        if isinstance(message, Ack):
            acknowledge(work, message)
        elif message.last:
            apply(work, message)
        else:
            stage(work, message)


def download(version: int, *operations: Operation, mark: int = 0, **fields: Any) -> Download:
    """A DOWNLOAD that is the last of its kind."""
    size, body = encode_operations(list(operations))
    given = {
        "session": 1, "query_version": 0, "version": version, "salt": version, "mark": mark,
        "last": True, "base": 0, "position": b"", "progress": 1.0, "size": size, "body": body,
    }  # fmt: skip
    return Download(**given | fields)


def pending(db: Database, version: int) -> Any:
    """A pending changeset, decoded."""
    return decode_trusted(db.unsent(version, 1, 1)[0])


def view(db: Database, key: Any = 1) -> dict[str, Any] | None:
    """What a reader sees of a book."""
    with db.store.read() as reader:
        row = reader.get_object("Book", key) if "Book" in reader.classes() else None
        if row is None:
            return None
        held = {part.name: part.data for part in reader.parts("Book", row.row)}
        return object_view(unpack_trusted(row.head), Parts(held.get, held.keys))


def contents(db: Database) -> list[Any]:
    """Everything a file holds, to be compared."""
    tables = (
        records.META, PENDING, BASE, BASE_PARTS, records.STAGED, records.SUBSCRIPTIONS,
        records.JOURNAL,
    )  # fmt: skip
    with db.store.read() as reader:
        out: list[Any] = [list(reader.records(table)) for table in tables]
        for name in sorted(reader.classes()):
            for item in reader.all_objects(name):
                parts = sorted((part.name, part.data) for part in reader.parts(name, item.row))
                out.append((name, item.key, item.version, item.head, parts))
            out += [(name, *item[1:]) for item in reader.staged_objects(name)]
    return out


def mirrors(db: Database) -> list[Any]:
    """What a file keeps in memory of what it holds."""
    sets = [(item.version, item.pack()) for item in db.subscriptions.sets]
    typed = db.typed and (db.typed[:-1], db.typed.texts())
    return [db.local, db.synced, db.pending, db.known_schema, db.columns, sets, typed]


class _UndoneError(Exception):
    """Ends a transaction that only looked."""


def check(db: Database) -> None:
    """[CLIENT-1] [CLIENT-2] [CLIENT-3]: the view of each object is its synced state with what is
    pending on top; there are bases of what is pending and of nothing else; memory mirrors the file.
    """
    try:
        with db.store.write() as writer:
            _check(db, writer)
            raise _UndoneError
    except _UndoneError:
        pass
    again = Database(db.store, db._declared, wall_ms=db.wall_ms, read_only=True)
    if db._indexed:
        assert mirrors(again) == mirrors(db)
    again._opened.close()  # the snapshot alone: the store is still in use


def _check(db: Database, writer: Writer) -> None:
    deltas: dict[tuple[str, bytes], list[ObjectState]] = {}
    keys = {}
    for _, data in writer.records(PENDING):
        for item in decode_trusted(unpack_trusted(data)[0]).objects:
            name = (item.class_name, key_bytes(item.key))
            deltas.setdefault(name, []).append(item.delta)
            keys[name] = item.key
    prefixes = {object_key(name[0], keys[name]) for name in deltas}
    assert {name for name, _ in writer.records(BASE)} == prefixes
    for part, _ in writer.records(BASE_PARTS):
        assert any(part.startswith(prefix) for prefix in prefixes)
    replica = Replica(writer, db.columns, db.synced.horizon, db.typed)
    replica.catch_up()
    for class_name in writer.classes():
        for row in writer.all_objects(class_name):
            parts = replica.parts(class_name, row)
            needed = check_parts(unpack_trusted(row.head), parts)
            assert needed == set(parts.names()), "no part is missing or left over"
    for name, written in deltas.items():
        class_name, key = name[0], keys[name]
        row_of = replica.row(class_name, key)
        base = replica.base(class_name, key)
        parts = replica.base_parts(class_name, key, row_of)
        state = absent() if base is None else unpack_trusted(base[1])
        assert check_parts(state, parts) == set(parts.names())
        for delta in written:
            state = merge(state, delta, parts)
        held = absent() if row_of is None else unpack_trusted(row_of.head)
        shown = joined(held, replica.parts(class_name, row_of))
        assert pack(joined(state, parts)) == pack(shown), "the view is not base and pending"
