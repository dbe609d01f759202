"""What comes from the server, taken into a client file: acknowledgements and downloads.

Each function here runs inside one `Database.integrating` transaction.

Rule 1: a DOWNLOAD takes effect once, whole, in cursor order. Messages that belong together are
        staged durably; the last one applies them all in one transaction. [CLIENT-10]
Rule 2: first the pending deltas up to the mark fold into the synced state, then the operations
        apply, in order; what is pending beyond the mark stays on top. [CLIENT-11]
Rule 3: a delta whose version the object has reached already is skipped. [CLIENT-12]
Rule 4: what the server rewrote replaces the pending original; what it refused goes to the journal
        and the view is computed again. [CLIENT-13]
"""

from __future__ import annotations

from typing import Any, Final

from replication.client.database import Integration
from replication.client.entities import ObjectName
from replication.client.records import JOURNAL, PENDING, STAGED
from replication.client.replica import Change, fields_of, head_of, state_of
from replication.crdt.incarnation import clone
from replication.crdt.object import ObjectState, absent, merge
from replication.crdt.stamps import latest_in_chunk, latest_time
from replication.crdt.view import column_values
from replication.errors import DecodeError
from replication.history.changeset import decode, decode_trusted, next_digest
from replication.model.encoding import is_key, key_bytes, pack, unpack_trusted
from replication.model.schema import Schema
from replication.model.values import Key
from replication.protocol.body import (
    DeltaOp,
    EvictOp,
    Operation,
    SchemaOp,
    StateOp,
    decode_operations,
    decode_with_states,
    pack_operation,
    trusted_operation,
)
from replication.protocol.messages import Ack, Download
from replication.storage.contract import int_key


def acknowledge(work: Integration, ack: Ack) -> None:
    """Take over an ACK: advance, replace what was rewritten, journal what was refused. Rule 4.

    Raises:
        DecodeError: a rewrite that is no changeset, of a version not covered, or about an object
            that was not written to; a refusal that is none.
    """
    rewrites = _rewrites(ack)
    digest = work.synced.digest
    touched: dict[ObjectName, Key] = {}
    for version in range(work.synced.acknowledged + 1, ack.client_version + 1):
        data = work.writer.record(PENDING, int_key(version))
        if data is None:
            raise DecodeError(f"ACK of client version {version}, which is not pending")
        changeset, *sequences = unpack_trusted(data)
        digest = next_digest(digest, changeset)
        rewritten = rewrites.pop(version, None)
        if rewritten is not None:
            touched.update(_replace(work, version, changeset, rewritten))
            work.writer.put_record(PENDING, int_key(version), pack([rewritten, *sequences]))
    if rewrites:
        raise DecodeError(f"client version {min(rewrites)} is rewritten but not acknowledged now")
    for name, key in touched.items():
        rebuild(work, name, key)
    _journal(work, ack)
    work.synced = work.synced._replace(acknowledged=ack.client_version, digest=digest)


def _rewrites(ack: Ack) -> dict[int, bytes]:
    out: dict[int, bytes] = {}
    for item in ack.rewrites:
        if type(item) is not list or [type(each) for each in item] != [int, bytes]:
            raise DecodeError(f"{item!r:.60} is no rewritten changeset")
        decode(item[1])
        out[item[0]] = item[1]
    return out


def _replace(
    work: Integration, version: int, original: bytes, rewritten: bytes
) -> dict[ObjectName, Key]:
    """Index the rewritten changeset in place of the original; returns the objects of both."""
    pending = work.pending
    touched: dict[ObjectName, Key] = {}
    for item in decode_trusted(original).objects:
        name = (item.class_name, key_bytes(item.key))
        touched[name] = item.key
        pending[name].remove(version)
    for item in decode_trusted(rewritten).objects:
        name = (item.class_name, key_bytes(item.key))
        if name not in touched:
            raise DecodeError(
                f"client version {version} wrote nothing to {item.class_name} {item.key!r:.80}, "
                "but its rewrite does"
            )
        pending[name].append(version)
        pending[name].sort()
    return touched


def _journal(work: Integration, ack: Ack) -> None:
    if not ack.refusals:
        return
    last = next(iter(work.writer.records(JOURNAL, reverse=True, limit=1)), None)
    number = 0 if last is None else int.from_bytes(last[0], "big")
    for refusal in ack.refusals:
        if not _is_refusal(refusal):
            raise DecodeError(f"{refusal!r:.60} is no refusal")
        number += 1
        work.writer.put_record(JOURNAL, int_key(number), pack(refusal))


def _is_refusal(item: Any) -> bool:
    """Whether it is `[client_version, class, key, path, reason, message]`."""
    if type(item) is not list or len(item) != 6:
        return False
    version, class_name, key, path, reason, message = item
    texts = (class_name, reason, message)
    return (
        type(version) is int
        and (key is None or is_key(key))
        and type(path) is list
        and all(type(text) is str for text in texts)
    )


def rebuild(work: Integration, name: ObjectName, key: Key) -> None:
    """Compute the view of an object anew from its base and what is pending."""
    class_name = name[0]
    before = head_of(work.replica.row(class_name, key))
    version, synced, restored = work.replica.restore(class_name, key)
    versions = work.pending.get(name, [])
    if not versions:
        work.pending.pop(name, None)
    after, reapplied = work.replica.reapply(
        class_name, key, version, synced, work.deltas(name, versions)
    )
    work.changes.append(Change(class_name, key, before, after, restored | reapplied))


# -- downloads -------------------------------------------------------------------------------


def stage(work: Integration, download: Download) -> None:
    """Keep one of several messages that take effect together. Rule 1.

    Raises:
        DecodeError: its operations are not well-formed; nothing was kept.
    """
    rows: list[Any] = []
    latest = 0
    for operation, state in decode_with_states(download.size, download.body):
        if state is not None and not operation.parts:  # type: ignore[union-attr]
            # Decoded once, here: what applying needs of it is kept beside its bytes.
            values = column_values(state, work.columns.get(operation.class_name, ()))  # type: ignore[union-attr]
            latest = max(latest, latest_time(state))
            rows.append([_PLAIN, *operation[:4], None if values is None else list(values.values())])
            continue
        if isinstance(operation, SchemaOp):
            Schema.from_packed(operation.schema)
        rows.append(pack_operation(operation))
    synced = work.synced
    if (synced.staged_query, synced.staged_base) != (download.query_version, download.base):
        discard_staged(work)
    count = work.synced.staged_count + 1
    record = pack([latest, work.columns, rows])
    work.writer.put_record(STAGED, int_key(count), record)
    work.synced = work.synced._replace(
        staged_query=download.query_version,
        staged_base=download.base,
        staged_position=download.position,
        staged_count=count,
    )


def discard_staged(work: Integration) -> None:
    """Drop what was staged: another download takes its place."""
    work.writer.delete_records(STAGED)
    work.synced = work.synced._replace(
        staged_query=0, staged_base=0, staged_position=b"", staged_count=0
    )


def apply(work: Integration, download: Download) -> None:
    """Apply a download whose last message this is. Rules 1 to 3.

    Raises:
        DecodeError: its operations are not well-formed; nothing was applied.
    """
    operations = decode_operations(download.size, download.body)
    synced = work.synced
    belongs = (synced.staged_query, synced.staged_base) == (download.query_version, download.base)
    _fold(work, download.mark)
    if belongs and synced.staged_count:
        work.fresh = {name for name in work.columns if not any(work.writer.all_objects(name))}
        for number in range(1, synced.staged_count + 1):
            record = work.writer.record(STAGED, int_key(number))
            assert record is not None, "staged with its count"
            _operate_staged(work, record)
    _operate(work, operations)
    if work.received > work.local.received:
        clock = max(work.local.clock, work.received)
        work.local = work.local._replace(clock=clock, received=work.received)
    discard_staged(work)
    work.synced = work.synced._replace(
        cursor=download.version,
        cursor_salt=download.salt,
        folded=max(download.mark, work.synced.folded),
        query_version=max(download.query_version, work.synced.query_version),
    )


def _fold(work: Integration, mark: int) -> None:
    """Pending deltas up to the mark become synced state."""
    pending = work.pending
    folding: dict[ObjectName, Key] = {}
    deltas: dict[ObjectName, list[ObjectState]] = {}
    if mark > work.synced.acknowledged:
        raise DecodeError(f"a mark of {mark}, but {work.synced.acknowledged} is acknowledged")
    for version in range(work.synced.folded + 1, mark + 1):
        for item in work.changeset(version).objects:
            name = (item.class_name, key_bytes(item.key))
            folding[name] = item.key
            deltas.setdefault(name, []).append(item.delta)
        work.writer.delete_record(PENDING, int_key(version))
    for name, key in folding.items():
        left = [version for version in pending[name] if version > mark]
        if left:
            pending[name] = left
            _merge_base(work, name[0], key, None, deltas[name])
        else:
            del pending[name]
            work.replica.drop_base(name[0], key)


def _merge_base(
    work: Integration,
    class_name: str,
    key: Key,
    version: int | None,
    deltas: list[ObjectState],
) -> None:
    """Merge into the synced state of an object that keeps pending deltas."""
    base = work.replica.base(class_name, key)
    held, state = (0, absent()) if base is None else (base[0], unpack_trusted(base[1]))
    parts = work.replica.base_parts(class_name, key, work.replica.row(class_name, key))
    for delta in deltas:
        state = merge(state, delta, parts)
    work.replica.put_base(class_name, key, held if version is None else version, state, parts)


def _operate(work: Integration, operations: list[Operation]) -> None:
    for operation in operations:
        match operation:
            case DeltaOp():
                _delta(work, operation)
            case StateOp():
                _state(work, operation)
            case EvictOp():
                _evict(work, operation)
            case SchemaOp():
                work.learn(Schema.from_packed(operation.schema))


#: What stands for a state without parts in a staged message: its columns are beside it.
_PLAIN: Final = 5


def _operate_staged(work: Integration, record: bytes) -> None:
    latest, columns, rows = unpack_trusted(record)
    work.received = max(work.received, latest)
    for row in rows:
        if row[0] != _PLAIN:
            _operate(work, [trusted_operation(row)])
            continue
        _, class_name, key, version, head, values = row
        names = columns.get(class_name)
        if class_name in work.fresh and names == work.columns[class_name]:
            held = None if values is None else dict(zip(names, values, strict=True))
            work.writer.put_object(class_name, key, version, head, held)
            work.changes.append(Change(class_name, key, None, head))
        else:
            _state(work, StateOp(class_name, key, version, head, []))


def _known_class(work: Integration, class_name: str) -> None:
    if class_name not in work.columns:
        work.declare(class_name)


def _delta(work: Integration, operation: DeltaOp) -> None:
    class_name, key, version, data = operation
    _known_class(work, class_name)
    name = (class_name, key_bytes(key))
    row = work.replica.row(class_name, key)
    delta = unpack_trusted(data)
    if name in work.pending:
        base = work.replica.base(class_name, key)
        if base is not None and version <= base[0]:
            return
        _merge_base(work, class_name, key, version, [clone(delta)])
    elif row is not None and version <= row.version:
        return
    parts = work.replica.parts(class_name, row)
    state = merge(state_of(row), delta, parts)
    head = pack(state)
    if name in work.pending:  # the view may be spread over other parts than the base
        work.replica.keep_base_parts(class_name, key, row, parts.changes())
    work.replica.put_head(class_name, key, version, state, head, parts)
    work.received = max(work.received, latest_time(delta))
    work.changes.append(Change(class_name, key, head_of(row), head, fields_of(parts.changes())))


def _state(work: Integration, operation: StateOp) -> None:
    class_name, key, version, head, parts = operation
    _known_class(work, class_name)
    row = None if class_name in work.fresh else work.replica.row(class_name, key)
    before = head_of(row)
    versions = work.pending.get((class_name, key_bytes(key))) if work.pending else None
    parts_of: frozenset[str] = frozenset()
    if versions:
        _, _, parts_of = work.replica.restore(class_name, key)
    state: ObjectState = unpack_trusted(head)
    work.received = max(work.received, latest_time(state))
    if parts or row is not None:
        parts_of |= work.replica.replace(class_name, key, version, state, head, parts)
        for _, _, data in parts:
            if data is not None:
                work.received = max(work.received, latest_in_chunk(unpack_trusted(data)))
        work.fresh.discard(class_name)  # a later state must find the parts of this one
    else:
        work.replica.put_head(class_name, key, version, state, head)
    after: bytes | None = head
    if versions:
        deltas = work.deltas((class_name, key_bytes(key)), versions)
        after, reapplied = work.replica.reapply(class_name, key, version, state, deltas)
        parts_of |= reapplied
    work.changes.append(Change(class_name, key, before, after, parts_of))


def _evict(work: Integration, operation: EvictOp) -> None:
    class_name, key = operation
    row = work.replica.row(class_name, key)
    if row is None:
        return
    name = (class_name, key_bytes(key))
    versions = work.pending.get(name, [])
    if versions:
        work.replica.restore(class_name, key)
    work.writer.delete_object(class_name, key)
    after = None
    if versions:
        after, _ = work.replica.reapply(class_name, key, 0, absent(), work.deltas(name, versions))
    work.changes.append(Change(class_name, key, row.head, after))
