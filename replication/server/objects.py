"""The objects of a data set in a write transaction: what a delta makes of one, and writing that.

Rule 1: planning reads and computes, writing only writes: nothing can be refused any more.
Rule 2: a blind create is of the life its key had at its author's cursor; where that is dead, of
        the next one. It stays a create: its author shows it until the object comes. What its
        author writes to it before knowing that follows it there. [JUDGE-1]
Rule 3: an object that is deleted keeps its row, with a head of a few bytes.
Rule 4: an object is forgotten when it is next written to: nothing happened to it since the
        horizon, so it makes no difference when. A forgetting costs the same however much there is.
        [FORGET-9]
Rule 5: parts that somebody's query may have to look into are kept as they were; see `lists`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from replication.crdt.forget import forget
from replication.crdt.list import places_alone
from replication.crdt.object import ObjectState, absent, is_alive, may_have_parts, merge
from replication.crdt.parts import Parts
from replication.crdt.view import column_values, shows
from replication.history.changeset import ObjectDelta
from replication.limits import OBJECT_BYTES_MAX
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import SPREAD, Key
from replication.server import tables
from replication.server.judge import Judge, Mark
from replication.server.lists import asked, is_asked, keep, present
from replication.server.permit import Permit, Target, Verdict
from replication.server.refusals import TOO_LARGE
from replication.server.touched import without
from replication.server.view import Image
from replication.storage.contract import StoredObject, Writer

#: What a part costs in a message beside its name and its bytes.
_PART_OVERHEAD = 16
#: Parts whose places are remembered while a transaction goes on.
_LOOKED_MAX: Final = 1024
#: A head below this many bytes is too small to matter beside the parts.
_HEAD_MATTERS = 64 * 1024


class Plan(NamedTuple):
    """What will be written of one object."""

    #: As it is integrated.
    item: ObjectDelta
    #: Whether that is not what was uploaded.
    rewritten: bool
    row: StoredObject | None
    #: Its causal length before and after.
    length_before: int
    length: int
    head: bytes
    #: The queryable fields it was planned with, their values before and after; None where it was,
    #: or is, not alive.
    columns: list[str]
    before: dict[str, Any] | None
    values: dict[str, Any] | None
    parts: Parts | None
    #: Bytes of all its parts; None where that has not changed.
    parts_bytes: int | None

    @property
    def state(self) -> ObjectState:
        """As it will be, decoded anew at each call: a changeset has many plans at once."""
        state: ObjectState = unpack_trusted(self.head)
        return state

    @property
    def after(self) -> Image:
        """As queries will see it."""
        return Image(self.item.key, self.head, lambda: self.parts)


class _Found(NamedTuple):
    """An object as it is here, before anything is merged."""

    row: StoredObject | None
    state: ObjectState
    parts: Parts | None
    length: int

    def target(self, item: ObjectDelta) -> Target:
        state = self.state
        return Target(item[0], item[1], state, self.parts, self.length, is_alive(state))


class Objects:
    """Reads, plans and writes objects.

    Args:
        writer: the transaction.
        horizon: the last version as of which everything dead is forgotten.
    """

    __slots__ = ("_asked", "_columns", "_declared", "_horizon", "_looked", "_spread", "_writer")

    def __init__(self, writer: Writer, horizon: int) -> None:
        self._writer = writer
        self._horizon = horizon
        self._columns: dict[str, list[str]] = {}
        self._declared = set(writer.classes())
        #: Whether any object of a class has parts.
        self._spread: dict[str, bool] = {}
        self._asked = asked(writer)
        #: Places of parts, by class, row and name: lists get many changesets at a time.
        self._looked: dict[tuple[str, int, bytes], Any] = {}

    def plan(self, item: ObjectDelta, cursor: int, judge: Judge) -> Plan | None:
        """What becomes of an object with a delta; None where all of it is refused.

        Args:
            cursor: the server version its author had seen.
        """
        found = self._found(item)
        delta = self._started(item, cursor, found.length) if item.blind else item.delta
        permit = judge.permit
        if permit is None:
            return self._merged(item, found, delta, judge)
        judge.begin(item.class_name, item.key, found.parts)
        target = found.target(item)
        left = permit.before(target, delta, judge)
        if left is None:
            return None
        mark = judge.mark()
        plan = self._merged(item, found, left, judge)
        verdict = None if plan is None else permit.after(target, left, plan)
        if verdict is None:
            return plan
        return self._withdrawn(item, left, verdict, mark, judge, permit)

    def before(self, plan: Plan) -> Image:
        """An object as queries see it until a plan is written."""
        return present(self._writer, *plan.item[:2], plan.row)

    def is_alive(self, class_name: str, key: Key) -> bool:
        """Whether there is such an object."""
        row = self._writer.get_object(class_name, key)
        return row is not None and shows(row.head)

    def _withdrawn(
        self,
        item: ObjectDelta,
        delta: ObjectState,
        verdict: Verdict,
        mark: Mark,
        judge: Judge,
        permit: Permit,
    ) -> Plan | None:
        """What becomes of an object if as little is left out of a delta as has to be."""
        for units in verdict.choices:
            judge.back_to(mark)
            found = self._found(item)
            target = found.target(item)
            permit.refuse(target, verdict, units, judge)
            left = without(delta, units)
            says = left[3] or left[0] > found.length
            plan = self._merged(item, found, left, judge) if says else None
            if plan is None or permit.after(target, left, plan) is None:
                return plan
        judge.back_to(mark)
        permit.refuse(self._found(item).target(item), verdict, frozenset(), judge)
        return None

    def _found(self, item: ObjectDelta) -> _Found:
        row = self._writer.get_object(item.class_name, item.key)
        if row is None:
            return _Found(None, absent(), None, 0)
        state = unpack_trusted(row.head)
        parts = None
        if may_have_parts(state[3]):
            spread = self.has_parts(item.class_name)
            parts = self._parts(item.class_name, row.row) if spread else Parts()
        if row.version < self._horizon:
            state = forget(state, parts)
        return _Found(row, state, parts, state[0])

    def _merged(
        self, item: ObjectDelta, found: _Found, delta: ObjectState, judge: Judge
    ) -> Plan | None:
        class_name, key = item[:2]
        row, state, parts, length = found
        columns = self._columns_of(class_name)
        before = column_values(state, columns, SPREAD)
        judged = judge.object(class_name, key, state, delta, parts)
        if judged is None:
            return None
        if parts is None and may_have_parts(judged[3]):
            parts = Parts()
        merged = judged if row is None and parts is None else merge(state, judged, parts)
        head = pack(merged)
        parts_bytes = None
        if parts is not None and parts.changes():
            parts_bytes = self._parts_bytes(item, row, parts.changes())
        if self._is_too_large(item, head, parts_bytes, judge):
            return None
        rewritten = judged is not item.delta
        if rewritten:
            item = ObjectDelta(class_name, key, judged, item.blind)
        values = column_values(merged, columns, SPREAD)
        return Plan(
            item,
            rewritten,
            row,
            length,
            merged[0],
            head,
            columns,
            before,
            values,
            parts,
            parts_bytes,
        )

    def _is_too_large(
        self, item: ObjectDelta, head: bytes, parts_bytes: int | None, judge: Judge
    ) -> bool:
        """Refuses the object if it has become larger than one message can carry."""
        if parts_bytes is None and len(head) <= _HEAD_MATTERS:
            return False
        size = parts_bytes
        if size is None:
            size = tables.load_size(self._writer, item.class_name, item.key)
        size += len(head)
        if size <= OBJECT_BYTES_MAX:
            return False
        message = f"would have {size} bytes, at most {OBJECT_BYTES_MAX} are allowed"
        judge.refuse((), TOO_LARGE, f"{judge.name(())} {message}")
        return True

    def has_parts(self, class_name: str) -> bool:
        """Whether any object of a class has parts; too often yes is no harm."""
        found = self._spread.get(class_name)
        if found is None:
            found = self._spread[class_name] = tables.has_parts(self._writer, class_name)
        return found

    def write(self, plan: Plan, version: int) -> int:
        """Write what was planned, as of a server version; returns the number of the row."""
        writer = self._writer
        class_name, key = plan.item[:2]
        columns = self._columns_of(class_name)
        values = plan.values
        if columns != plan.columns:  # its changeset made more fields queryable
            values = column_values(plan.state, columns, SPREAD)
        if class_name not in self._declared:
            writer.declare(class_name)
            self._declared.add(class_name)
        row = writer.put_object(class_name, key, version, plan.head, values)
        if plan.length > max(plan.length_before, 1):
            name = tables.object_key(class_name, key)
            tables.store_length(writer, name, version, plan.length_before)
        if plan.parts_bytes is None:
            return row
        assert plan.parts is not None
        self._spread[class_name] = True
        for part, data in plan.parts.changes().items():
            self._looked.pop((class_name, row, part), None)
            if is_asked(self._asked, class_name, part):
                self._keep(class_name, key, row, part, version)
            if data is None:
                writer.delete_part(class_name, row, part)
            else:
                writer.put_part(class_name, row, part, version, data)
        tables.store_size(writer, class_name, key, plan.parts_bytes)
        return row

    def _keep(self, class_name: str, key: Key, row: int, part: bytes, version: int) -> None:
        """Rule 5."""
        found = self._writer.part(class_name, row, part)
        if found is not None:
            keep(self._writer, class_name, key, part, version, found.data)

    def _columns_of(self, class_name: str) -> list[str]:
        columns = self._columns.get(class_name)
        if columns is None:
            columns = self._columns[class_name] = self._writer.columns(class_name)
        return columns

    def _started(self, item: ObjectDelta, cursor: int, now: int) -> ObjectState:
        """A blind delta, counted from the length its key had at ``cursor``. Rule 2."""
        length, at, incarnation, fields = item.delta
        name = tables.object_key(item.class_name, item.key)
        start = tables.length_at(self._writer, name, cursor, now) if now > 1 else now
        passed = (start | 1) - 1  # its author began with life 1
        if not passed:
            return item.delta
        return [length and length + passed, at and at + passed, incarnation, fields]

    def _parts(self, class_name: str, number: int) -> Parts:
        writer = self._writer

        def read(name: bytes) -> bytes | None:
            part = writer.part(class_name, number, name)
            return None if part is None else part.data

        def places(name: bytes) -> Any:
            found = self._looked.get((class_name, number, name))
            if found is None:
                if len(self._looked) >= _LOOKED_MAX:
                    self._looked.clear()
                data = read(name)
                assert data is not None, "a directory names only parts that are there"
                found = self._looked[class_name, number, name] = places_alone(unpack_trusted(data))
            return found

        return Parts(read, lambda: [part.name for part in writer.parts(class_name, number)], places)

    def _parts_bytes(
        self, item: ObjectDelta, row: StoredObject | None, changes: Mapping[bytes, bytes | None]
    ) -> int:
        """Bytes of all parts after these changes."""
        size = tables.load_size(self._writer, item.class_name, item.key)
        for name, data in changes.items():
            old = None
            if row is not None:
                stored = self._writer.part(item.class_name, row.row, name)
                old = None if stored is None else stored.data
            size += _part_bytes(name, data) - _part_bytes(name, old)
        return size


def _part_bytes(name: bytes, data: bytes | None) -> int:
    return 0 if data is None else len(name) + len(data) + _PART_OVERHEAD
