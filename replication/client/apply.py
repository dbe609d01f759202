"""What comes from the server, taken into a client file: acknowledgements and downloads.

Each function here runs inside one `Database.integrating` transaction.

Rule 1: a DOWNLOAD takes effect once, whole, in cursor order. Messages that belong together are
        staged durably; the last one applies them all in one transaction. [CLIENT-10]
Rule 2: first the pending deltas up to the mark fold into the synced state, then the operations
        apply, in order; what is pending beyond the mark stays on top. [CLIENT-11]
Rule 3: a delta whose version the object has reached already is skipped. [CLIENT-12]
Rule 4: what the server rewrote replaces the pending original; what it refused goes to the journal
        and the view is computed again. [CLIENT-13]
Rule 5: a staged state without parts becomes a staged row of the store, and all rows of a class
        that has none take effect at once. So they come before everything else that is staged:
        after anything but states without parts and schemas, nothing becomes a row any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from replication.client import horizons, kept
from replication.client.entities import ObjectName
from replication.client.integration import Integration
from replication.client.journal import Entry
from replication.client.kept import Own
from replication.client.left import LeftView
from replication.client.losses import Side
from replication.client.lost import only_adds
from replication.client.opened import Opened
from replication.client.overridden import Overridden
from replication.client.progress import DownloadProgress, advanced
from replication.client.records import PENDING, STAGED
from replication.client.refused import note_refusals
from replication.client.replica import Change, fields_of, head_of, state_of
from replication.client.retype import Rewrite, retype
from replication.crdt.container import Slot
from replication.crdt.incarnation import clone
from replication.crdt.object import ObjectState, absent, is_deleted, merge, merge_all
from replication.crdt.parts import Parts
from replication.crdt.stamps import latest_in_part, latest_time
from replication.crdt.view import column_values
from replication.errors import DecodeError
from replication.history.changeset import decode, decode_trusted, next_digest
from replication.model.encoding import RUN, key_bytes, pack, unpack_trusted
from replication.model.schema import Schema
from replication.model.values import SPREAD, Key
from replication.protocol.body import (
    AuthorOp,
    DeltaOp,
    EvictOp,
    ForgetOp,
    Operation,
    SchemaOp,
    StateOp,
    decode_with_states,
    pack_operation,
    trusted_operation,
)
from replication.protocol.messages import Ack, Download
from replication.protocol.refusals import Refusal, read_refusal
from replication.storage.contract import StagedRow, int_key


def acknowledge(work: Integration, ack: Ack) -> None:
    """Take over an ACK: advance, replace what was rewritten, journal what was refused. Rule 4.

    Raises:
        DecodeError: a rewrite that is no changeset, of a version not covered, or about an object
            that was not written to; a refusal that is none.
    """
    rewrites = _rewrites(ack)
    refusals = _refusals(ack, work.synced.acknowledged)
    digest = work.synced.digest
    touched: dict[ObjectName, Key] = {}
    changed: list[Rewrite] = []
    for version in range(work.synced.acknowledged + 1, ack.client_version + 1):
        data = work.writer.record(PENDING, int_key(version))
        if data is None:
            raise DecodeError(f"ACK of client version {version}, which is not pending")
        changeset, *sequences = unpack_trusted(data)
        digest = next_digest(digest, changeset)
        for name in work.opened(version).marked if work.blind else ():
            work.blind.pop(name, None)  # in which life it is is known now
        rewritten = rewrites.pop(version, None)
        if rewritten is not None:
            changed.append(Rewrite(version, changeset, rewritten))
            touched.update(_replace(work, version, changeset, rewritten))
            work.writer.put_record(PENDING, int_key(version), pack([rewritten, *sequences]))
    if rewrites:
        raise DecodeError(f"client version {min(rewrites)} is rewritten but not acknowledged now")
    for name, key in touched.items():
        rebuild(work, name, key)
    lost = retype(work, changed, refusals)
    note_refusals(work.writer, changed, lost, work.local.ident)
    kept.acknowledged(work, work.synced.acknowledged + 1, ack.client_version, ack.version)
    work.synced = work.synced._replace(acknowledged=ack.client_version, digest=digest)


def _rewrites(ack: Ack) -> dict[int, bytes]:
    out: dict[int, bytes] = {}
    for item in ack.rewrites:
        if type(item) is not list or [type(each) for each in item] != [int, bytes]:
            raise DecodeError(f"{item!r:.60} is no rewritten changeset")
        decode(item[1])
        out[item[0]] = item[1]
    return out


def _refusals(ack: Ack, acknowledged: int) -> list[Refusal]:
    refusals = [read_refusal(item) for item in ack.refusals]
    for refusal in refusals:
        version = refusal.client_version
        if not acknowledged < version <= ack.client_version:
            raise DecodeError(f"client version {version} is refused but not acknowledged now")
    return refusals


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
    work.changed(Change(class_name, key, before, after, restored | reapplied))


# -- downloads -------------------------------------------------------------------------------


def stage(work: Integration, download: Download) -> None:
    """Keep one of several messages that take effect together. Rules 1 and 5.

    Raises:
        DecodeError: its operations are not well-formed; nothing was kept.
    """
    synced = work.synced
    if (synced.staged_query, synced.staged_base) != (download.query_version, download.base):
        discard_staged(work)
    rows = _StagedRows(work)
    states = 0
    rest: list[Any] = []
    mixed = work.synced.staged_mixed
    latest = 0
    for operation, state in decode_with_states(download.size, download.body):
        states += type(operation) is StateOp
        if type(operation) is StateOp and not operation.parts and not mixed:
            assert state is not None, "it comes with a head"
            latest = max(latest, latest_time(state))
            rows.add(operation, state)
            continue
        if type(operation) is ForgetOp:
            raise DecodeError(f"horizon {operation.version} comes before the last message")
        if type(operation) is SchemaOp:
            _declare(work, Schema.from_packed(operation.schema))
        else:
            mixed = True
        rest.append(pack_operation(operation))
    rows.flush()
    count = work.synced.staged_count + 1
    work.writer.put_record(STAGED, int_key(count), pack([latest, rest]))
    work.synced = work.synced._replace(
        staged_query=download.query_version,
        staged_base=download.base,
        staged_position=download.position,
        staged_count=count,
        staged_mixed=mixed,
        progress=_progress(work, download, states),
    )


def _progress(work: Integration, download: Download, states: int) -> DownloadProgress:
    return advanced(work.synced.progress, download, states, work.synced.query_version)


class _StagedRows:
    """Gathers states to be staged, and passes them on together."""

    def __init__(self, work: Integration) -> None:
        self._work = work
        self._class_name = ""
        self._columns: list[str] = []
        self._rows: list[StagedRow] = []

    def add(self, operation: StateOp, state: ObjectState) -> None:
        """Stage a state."""
        class_name, key, version, head, *_ = operation
        if class_name != self._class_name or len(self._rows) >= RUN:
            self.flush()
            _known_class(self._work, class_name)
            self._class_name = class_name
            self._columns = self._work.columns[class_name]
        columns = column_values(state, self._columns, SPREAD)
        self._rows.append((key, version, head, None if columns is None else [*columns.values()]))

    def flush(self) -> None:
        """Pass on what there is."""
        if self._rows:
            self._work.writer.stage_objects(self._class_name, self._rows)
            self._rows = []


def _declare(work: Integration, schema: Schema) -> None:
    # Only the store hears of it yet: so that what is staged has the columns it will need.
    for item in work.known_schema.merge(schema)[0]:
        if not item.embedded:
            work.declare(item.name, item.queryable)


def discard_staged(work: Integration) -> None:
    """Drop what was staged: another download takes its place."""
    work.writer.delete_records(STAGED)
    work.writer.drop_staged()
    work.synced = work.synced._replace(
        staged_query=0, staged_base=0, staged_position=b"", staged_count=0, staged_mixed=False
    )


def apply(work: Integration, download: Download) -> None:
    """Apply a download whose last message this is. Rules 1 to 3.

    Raises:
        DecodeError: its operations are not well-formed; what was applied is to be undone.
    """
    passed, operations = horizons.leading(decode_with_states(download.size, download.body))
    synced = work.synced
    belongs = (synced.staged_query, synced.staged_base) == (download.query_version, download.base)
    overridden = Overridden(work)
    _fold(work, download.mark, overridden)
    before = horizons.begin(work, passed, download.version)
    if belongs and synced.staged_count:
        _operate_staged(work, overridden)
    states = _operate(work, operations, overridden)
    for name, key in horizons.end(work, before, download.mark).items():
        rebuild(work, name, key)
    if work.received > work.local.received:
        clock = max(work.local.clock, work.received)
        work.local = work.local._replace(clock=clock, received=work.received)
    discard_staged(work)
    work.synced = work.synced._replace(
        progress=_progress(work, download, states),
        cursor=download.version,
        cursor_salt=download.salt,
        folded=max(download.mark, work.synced.folded),
        query_version=max(download.query_version, work.synced.query_version),
    )


def _fold(work: Integration, mark: int, overridden: Overridden) -> None:
    """Pending deltas up to the mark become synced state."""
    if mark > work.synced.acknowledged:
        raise DecodeError(f"a mark of {mark}, but {work.synced.acknowledged} is acknowledged")
    if mark <= work.synced.folded:
        return
    folding: list[Opened] = []
    for version in range(work.synced.folded + 1, mark + 1):
        changeset, item = work.taken(version)
        overridden.keep(version, changeset, item)
        stamp = (item.time, work.local.ident)
        for name, key in item.objects() if item.marked else ():
            if name in item.marked:
                own = Own(version, None, stamp, unpack_trusted(item.deltas[name]))
                overridden.by_fold(own, name[0], key)
        work.folded.update(dict.fromkeys(item.deltas, version))
        folding.append(item)
    if mark == work.local.client_version:  # nothing is pending any more
        work.pending.clear()
        work.replica.drop_bases()
    else:
        _fold_each(work, mark, folding)
    work.writer.delete_records(PENDING, last=int_key(mark))
    kept.forget_acked(work, mark)


def _fold_each(work: Integration, mark: int, folding: list[Opened]) -> None:
    """The same, object by object, where some keep deltas beyond the mark."""
    pending = work.pending
    keys = {name: key for item in folding for name, key in item.objects()}
    deltas: dict[ObjectName, list[bytes]] = {}
    for item in folding:
        for name, data in item.deltas.items():
            if pending[name][-1] > mark:
                deltas.setdefault(name, []).append(data)
    for name, key in keys.items():
        folded = deltas.get(name)
        if folded is None:
            del pending[name]
            work.replica.drop_base(name[0], key)
        else:
            pending[name] = [version for version in pending[name] if version > mark]
            delta = merge_all(list(map(unpack_trusted, folded)))
            _merge_base(work, name[0], key, None, delta)


def _merge_base(
    work: Integration, class_name: str, key: Key, version: int | None, delta: ObjectState
) -> None:
    """Merge into the synced state of an object that keeps pending deltas."""
    horizon = 0 if version is None else horizons.before(work, version)
    row = work.replica.row(class_name, key)
    held, state, parts = work.replica.settled_base(class_name, key, row, horizon)
    state = merge(state, delta, parts)
    work.replica.put_base(class_name, key, held if version is None else version, state, parts)


def _operate(
    work: Integration, operations: Iterable[tuple[Operation, Any]], overridden: Overridden
) -> int:
    """Do what the operations say, each with its decoded head or delta; how many are states."""
    states = 0
    for _, group in groupby(operations, _joins_with):
        (operation, state), *more = group
        match operation:
            case DeltaOp(class_name, key):
                _deltas(work, class_name, key, [(operation, state), *more], overridden)
            case StateOp():
                states += 1
                _state(work, operation, state, overridden)
            case AuthorOp():
                overridden.learn(operation)
            case EvictOp():
                _evict(work, operation)
            case SchemaOp():
                work.learn(Schema.from_packed(operation.schema))
            case ForgetOp(version):
                raise DecodeError(f"horizon {version} behind other operations")
    return states


def _joins_with(item: tuple[Operation, Any]) -> Any:
    """Equal for deltas of one object, which are merged together where they follow one another."""
    operation = item[0]
    if type(operation) is DeltaOp:
        return operation[:2]
    return object()


def _operate_staged(work: Integration, overridden: Overridden) -> None:
    """Apply what was staged. Rule 5."""
    pending = {class_name for class_name, _ in work.pending}
    for class_name in work.writer.classes():
        if class_name not in pending and work.writer.adopt_staged(class_name):
            work.arrived(class_name)
            continue
        for _, key, version, head in work.writer.staged_objects(class_name):
            operation = StateOp(class_name, key, version, head, [])
            _state(work, operation, unpack_trusted(head), overridden)
    for number in range(1, work.synced.staged_count + 1):
        record = work.writer.record(STAGED, int_key(number))
        assert record is not None, "staged with its count"
        latest, rest = unpack_trusted(record)
        work.received = max(work.received, latest)
        _operate(work, map(_with_state, map(trusted_operation, rest)), overridden)


def _with_state(operation: Operation) -> tuple[Operation, ObjectState | None]:
    match operation:
        case DeltaOp():
            return operation, unpack_trusted(operation.delta)
        case StateOp():
            return operation, unpack_trusted(operation.head)
    return operation, None


def _known_class(work: Integration, class_name: str) -> None:
    if class_name not in work.columns:
        work.declare(class_name)


def _deltas(
    work: Integration,
    class_name: str,
    key: Key,
    news: list[tuple[Any, ObjectState]],
    overridden: Overridden,
) -> None:
    """Merge deltas of one object, each with its operation."""
    if len(work.horizons) > 1 and len(news) > 1:  # it may be forgotten in between
        for item in news:
            _deltas(work, class_name, key, [item], overridden)
        return
    _known_class(work, class_name)
    name = (class_name, key_bytes(key))
    row = work.replica.row(class_name, key)
    pending = name in work.pending
    if pending:
        base = work.replica.base(class_name, key)
        news = _later(news, 0 if base is None else base[0])
    else:
        news = _later(news, 0 if row is None else row.version)
    if not news:
        return
    version = news[-1][0].version
    delta = merge_all([delta for _, delta in news])
    work.received = max(work.received, latest_time(delta))
    passing = horizons.view(work, name, key, version) if pending else None
    if passing is None:
        state, parts = work.replica.settled_view(class_name, row, horizons.before(work, version))
    else:
        state, parts = passing, Parts()
    watch = None
    if not only_adds(delta, state):
        watch = overridden.by_deltas([operation for operation, _ in news], delta, row, passing)
    if pending:
        _merge_base(work, class_name, key, version, clone(delta))
    if passing is not None:  # the view is computed again at the end
        shown = Side(merge(clone(passing), delta), None)
        lost = () if watch is None else watch.told(delta, shown)
        work.changed(Change(class_name, key, head_of(row), head_of(row), overridden=lost))
        return
    state = merge(state, delta, parts)
    lost = () if watch is None else watch.told(delta, Side(state, parts))
    head = pack(state)
    if pending:  # the view may be spread over other parts than the base
        work.replica.keep_base_parts(class_name, key, row, parts.changes())
    work.replica.put_head(class_name, key, version, state, head, parts)
    parts_of = fields_of(parts.changes())
    work.changed(Change(class_name, key, head_of(row), head, parts_of, lost))


def _later(news: list[tuple[Any, ObjectState]], reached: int) -> list[tuple[Any, ObjectState]]:
    """What is later than a version, and than all before it. Rule 3."""
    out = []
    for operation, delta in news:
        if operation.version > reached:
            out.append((operation, delta))
            reached = operation.version
    return out


def _state(
    work: Integration, operation: StateOp, state: ObjectState, overridden: Overridden
) -> None:
    class_name, key, version, head, parts, _ = operation
    _known_class(work, class_name)
    row = work.replica.row(class_name, key)
    before = head_of(row)
    watch = overridden.by_state(operation, row)
    versions = work.pending.get((class_name, key_bytes(key))) if work.pending else None
    parts_of: frozenset[Slot] = frozenset()
    if versions:
        _, _, parts_of = work.replica.restore(class_name, key)
    work.received = max(work.received, latest_time(state))
    if parts or row is not None:
        parts_of |= work.replica.replace(class_name, key, version, state, head, parts)
        for _, _, data in parts:
            if data is not None:
                work.received = max(work.received, latest_in_part(unpack_trusted(data)))
    else:
        work.replica.put_head(class_name, key, version, state, head)
    after: bytes | None = head
    if versions:
        row, settled_parts = work.replica.settled(
            class_name, work.replica.row(class_name, key), work.horizons[-1]
        )
        assert row is not None, "it was put just now"
        work.replica.settle(class_name, row, settled_parts)
        version, state = row.version, unpack_trusted(row.head)
        deltas = work.deltas((class_name, key_bytes(key)), versions)
        after, reapplied = work.replica.reapply(class_name, key, version, state, deltas)
        parts_of |= reapplied
    lost: tuple[Entry, ...] = ()
    if watch is not None:
        now = work.replica.row(class_name, key)
        shown = Side(state_of(now), work.replica.parts(class_name, now))
        lost = watch.told(unpack_trusted(head), shown)
    work.changed(Change(class_name, key, before, after, parts_of, lost))


def _evict(work: Integration, operation: EvictOp) -> None:
    class_name, key = operation
    row = work.replica.row(class_name, key)
    if row is None:
        return
    name = (class_name, key_bytes(key))
    # What was edited unseen does not show; what was deleted is not there to leave.
    if name in work.folded and not is_deleted(unpack_trusted(row.head)):
        work.left.append(LeftView(class_name, key, work.folded[name]))
    versions = work.pending.get(name, [])
    if versions:
        work.replica.restore(class_name, key)
    work.replica.remove(class_name, key)
    after = None
    if versions:
        after, _ = work.replica.reapply(class_name, key, 0, absent(), work.deltas(name, versions))
    work.changed(Change(class_name, key, row.head, after))
