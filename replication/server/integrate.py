"""Integration: an upload's changesets judged, merged and logged, each exactly once.

Rule 1: a client version is integrated once. One that comes again must have the same bytes, which
        the file's digest chain tells; where it has not, the file was copied or rolled back. What
        comes before is acknowledged, so that it is not counted again under the ident that the file
        is to take; neither it nor what comes behind is. [UP-1] [UP-2]
Rule 2: changesets are taken in order, each whole or not at all; what stops one (its stamp, its
        encoding, that what it was written on is forgotten) stops those behind it and none before
        it. [UP-3] [UP-8]
Rule 3: each gets the next server version, also where nothing of it was left.
Rule 4: everything of one changeset is decoded, judged and merged in memory before any of it is
        written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from replication.clock import time_from_ms, too_far_ahead
from replication.errors import DecodeError, ErrorCode, SessionError
from replication.history.changeset import (
    DIGEST_START,
    Changeset,
    decode,
    encode,
    next_digest,
)
from replication.history.log import Entry, encode_entry
from replication.limits import CLOCK_SKEW_MS_MAX, DOWNLOAD_BYTES_TARGET, REFUSALS_MAX
from replication.model.encoding import pack
from replication.model.schema import Schema
from replication.protocol import refusals as protocol
from replication.protocol.body import AuthorOp
from replication.protocol.messages import Ack, Nack, clipped
from replication.rules.roles import Roles
from replication.server import tables
from replication.server.authorship import check_authorship
from replication.server.judge import Judge
from replication.server.log_index import Indexing
from replication.server.objects import Objects, Plan
from replication.server.permit import Permit
from replication.server.refusals import ATOMIC, MORE, SCHEMA, Refusal
from replication.server.tables import File, Remembered
from replication.server.terms import Terms
from replication.server.touches import Happened, Touch, fields_written, known_values
from replication.server.types import Types
from replication.storage.contract import Writer, int_key

if TYPE_CHECKING:
    from replication.server.namespace import Namespace


class Integrated(NamedTuple):
    """What became of an upload: send the answers, then end the session with the error."""

    answers: list[Ack | Nack]
    error: SessionError | None


class _RefusedError(Exception):
    """A changeset that can't be taken as it is, nor those behind it; it never leaves this file."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Integration:
    """Integrates changesets inside one write transaction, or one savepoint of it.

    Args:
        namespace: how the data set is set up.
        writer: the transaction.
        wall_ms: the server's clock, in milliseconds since 2015.
        roles: of the user who writes; None: everything may be written.
        terms: of the session that writes; None: none.
    """

    def __init__(
        self,
        namespace: Namespace,
        writer: Writer,
        wall_ms: int,
        roles: Roles | None = None,
        terms: Terms | None = None,
    ) -> None:
        self._namespace = namespace
        self._writer = writer
        self._wall_ms = wall_ms
        self._time_max = time_from_ms(wall_ms + CLOCK_SKEW_MS_MAX + 1) - 1
        self._types = namespace.types(writer)
        self._roles = roles
        self._held: Permit | None = None
        self._terms = terms
        self._ledger = tables.load_ledger(writer)
        self._objects = Objects(writer, self._ledger.horizon)

    def upload(
        self, session: int, ident: int, file: File, first: int, changesets: list[bytes]
    ) -> Integrated:
        """Take changesets of one file from client version ``first`` on.

        Args:
            session: the number that answers carry.
            file: as it is stored; changed and stored again.

        Raises:
            SessionError: FILE_COPIED, by Rule 1, if it is the first; BAD_MESSAGE where versions are
                missing;
                STORE_UNAVAILABLE where too many refusals wait for this file's next IDENT.
        """
        known, error = self._check_known(ident, file, first, changesets)
        start, continues = file.client_version, file.version == self._ledger.version
        fresh: list[Remembered] = []
        nack: Nack | None = None
        for data in [] if error is not None else changesets[known:]:
            try:
                item = self._take(ident, file, data)
            except _RefusedError as refused:
                at = file.client_version + 1
                nack = Nack(session, at, refused.code, self._wall_ms, str(refused))
                break
            except DecodeError as broken:
                message = f"changeset {file.client_version + 1}: {broken}"
                error = SessionError(ErrorCode.BAD_CHANGESET, clipped(message))
                break
            if item is not None:
                fresh.append(item)
        if file.client_version > start:
            if not (continues and start):
                version = file.version - (file.client_version - start) + 1
                tables.begin_run(self._writer, ident, start + 1, version)
            tables.store_file(self._writer, ident, file)
            tables.store_ledger(self._writer, self._ledger)
        answers: list[Ack | Nack] = []
        last = max(first + known - 1, file.client_version if file.client_version > start else 0)
        if last >= first:
            items = tables.remembered(self._writer, ident, first, min(start, last))
            ends = tables.run_ends(self._writer, ident, first, last)
            answers.extend(acks(session, ends, [*items, *fresh]))
        if nack is not None:
            answers.append(nack)
        return Integrated(answers, error)

    def write(self, file: File, changeset: Changeset) -> Ack:
        """Integrate a changeset of the server itself, judged as any other; stores file, ledger."""
        result = self.upload(
            0, tables.SERVER_IDENT, file, file.client_version + 1, [encode(changeset)]
        )
        if result.error is not None:
            raise result.error
        (ack,) = result.answers
        assert isinstance(ack, Ack), "the server's own clock is not ahead of itself"
        return ack

    # -- exactly once ----------------------------------------------------------------------------
    def _check_known(
        self, ident: int, file: File, first: int, changesets: list[bytes]
    ) -> tuple[int, SessionError | None]:
        """How many of them are integrated already, and what is wrong with the next. Rule 1."""
        last = file.client_version
        if not 0 < first <= last + 1:
            message = f"UPLOAD starts at client version {first}, expected {last + 1}"
            raise SessionError(ErrorCode.BAD_MESSAGE, message)
        if file.remembered > REFUSALS_MAX:
            message = f"{file.remembered} refusals wait for this file; reconnect to take them"
            raise SessionError(ErrorCode.STORE_UNAVAILABLE, message)
        known = min(len(changesets), last + 1 - first)
        if known:
            digest = digest_at(self._writer, ident, file, first - 1)
            for offset in range(known):
                digest = next_digest(digest, changesets[offset])
                if digest != digest_at(self._writer, ident, file, first + offset):
                    message = f"client version {first + offset} was integrated with other content"
                    error = SessionError(ErrorCode.FILE_COPIED, message)
                    if not offset:
                        raise error
                    return offset, error
        return known, None

    # -- one changeset ---------------------------------------------------------------------------
    def _take(self, ident: int, file: File, data: bytes) -> Remembered | None:
        """Integrate the next changeset of a file; what is to be remembered of it, if anything."""
        changeset = decode(data)
        by_server = ident == tables.SERVER_IDENT
        if too_far_ahead(changeset.time, self._wall_ms) and not by_server:
            raise _RefusedError(
                ErrorCode.CLOCK_SKEW,
                f"changeset {file.client_version + 1} is stamped {changeset.time}, later than "
                f"{self._time_max}, which this server accepts now",
            )
        if changeset.fits > self._ledger.version + by_server:
            raise DecodeError(
                f"written at server version {changeset.fits}, but the latest is "
                f"{self._ledger.version}"
            )
        if changeset.fits < self._ledger.horizon:
            raise _RefusedError(
                ErrorCode.FORGOTTEN,
                f"changeset {file.client_version + 1} fits on server version {changeset.fits}, "
                f"but what was dead at {self._ledger.horizon} is forgotten",
            )
        idents = (ident, *file.former)
        check_authorship(changeset, idents, self._time_max)
        judge = Judge(self._types, changeset.time, idents, self._permit())
        added: dict[str, Any] = {}
        if changeset.schema and (self._namespace.development or by_server):
            added = self._learn(changeset, judge)
        plans = self._plans(changeset, judge, ident)
        if judge.refusals and changeset.atomic:
            _refuse_whole(judge, plans)
            plans, added = [], {}
        rewritten = None
        if len(plans) != len(changeset.objects) or any(plan.rewritten for plan in plans):
            rewritten = encode(replace(changeset, objects=[plan.item for plan in plans]))
        file.digest = next_digest(file.digest, data)
        file.client_version += 1
        if added:
            self._adopt(judge)
        before = self._ledger.salt
        rows = self._log(ident, file, rewritten or data, plans, added)
        horizon = changeset.horizon == self._ledger.version
        if len(self._namespace.fanout):
            size = len(rewritten or data)
            touches = [self._touch(plan, row) for plan, row in zip(plans, rows, strict=True)]
            author = AuthorOp(self._ledger.version, ident, changeset.time, changeset.cursor)
            entry = Happened(author, file.client_version, added, horizon, size, touches)
            self._namespace.handover.note(before, self._ledger.salt, entry)
        self._namespace.log_index.add(
            self._writer,
            self._ledger.version,
            ident,
            (Indexing(*plan.item[:2], plan.before, plan.values) for plan in plans),
            general=horizon or bool(added),
        )
        if horizon:
            self._ledger.horizon = changeset.horizon
        self._ledger.clock = max(self._ledger.clock, changeset.time)
        if rewritten is None and not judge.refusals:
            return None
        return self._remember(ident, file, judge, rewritten)

    def _permit(self) -> Permit | None:
        """What the user may write, as the schema is now."""
        if self._roles is not None and (self._held is None or self._held.types is not self._types):
            self._held = Permit(self._roles, self._types)
        return self._held

    def _plans(self, changeset: Changeset, judge: Judge, ident: int) -> list[Plan]:
        plan_of, cursor = self._objects.plan, changeset.cursor
        if self._terms is not None:
            stamp = (changeset.time, ident)
            plan_of = partial(self._terms.plan, self._objects, stamp=stamp)
        plans = [plan_of(item, cursor, judge) for item in changeset.objects]
        return [plan for plan in plans if plan is not None]

    def _log(
        self, ident: int, file: File, data: bytes, plans: list[Plan], added: dict[str, Any]
    ) -> list[int]:
        """Write what was planned, and the entry; returns the numbers of the rows."""
        ledger = self._ledger
        ledger.version += 1
        ledger.salt = self._namespace.entropy()
        file.version = ledger.version
        rows = [self._objects.write(plan, ledger.version) for plan in plans]
        entry = Entry(
            ledger.version,
            ledger.salt,
            ident,
            file.client_version,
            file.user,
            self._wall_ms,
            file.digest,
            data,
            [None if plan.row is None else plan.row.head for plan in plans],
            [0 if plan.row is None else plan.row.version for plan in plans],
            added,
        )
        self._writer.put_record(tables.LOG, int_key(ledger.version), encode_entry(entry))
        return rows

    def _touch(self, plan: Plan, row: int) -> Touch:
        """An object that was written, for whoever is to be told of it; see `handover`."""
        class_name, key, delta, blind = plan.item
        was = None if plan.row is None else plan.row.head
        spread = self._objects.has_parts(class_name)
        written = fields_written(delta)
        before, after = known_values(plan.before), known_values(plan.values)
        version = self._ledger.version
        return (class_name, key, was, pack(delta), int(blind), plan.head, row, version, spread,
                written, before, after)  # fmt: skip

    def _remember(
        self, ident: int, file: File, judge: Judge, rewritten: bytes | None
    ) -> Remembered:
        version = file.client_version
        refusals = [
            protocol.Refusal(version, *refusal[:5], *refusal.ruling).packed()
            for refusal in judge.refusals
        ]
        if judge.omitted:
            message = f"{judge.omitted} more parts of this transaction were refused"
            refusals.append([version, "", None, [], MORE, message])
        item = Remembered(version, file.version, refusals, rewritten)
        tables.remember(self._writer, ident, item)
        file.remembered += tables.weight(item)
        return item

    # -- schema ----------------------------------------------------------------------------------
    def _learn(self, changeset: Changeset, judge: Judge) -> dict[str, Any]:
        """What a changeset adds to the schema, packed; the judge goes by the schema with that."""
        known = Schema() if self._types is None else self._types.schema
        merged, contradictions = known.merge(Schema.from_packed(changeset.schema))
        for item in contradictions:
            path = [] if item.property_name is None else [item.property_name]
            judge.add(Refusal(item.class_name, None, path, SCHEMA, str(item)))
        partitions = self._namespace.partitions
        if partitions is not None:
            merged = partitions.completed(merged, judge)
        added = merged.additions(known)
        if added.classes:
            queryable = self._namespace.queryable
            judge.types = Types(merged, queryable)
        return added.to_packed()

    def _adopt(self, judge: Judge) -> None:
        assert judge.types is not None
        self._types = judge.types
        self._namespace.store_schema(self._writer, self._types.schema)
        self._objects = Objects(self._writer, self._ledger.horizon)  # it knew the columns of before


def _refuse_whole(judge: Judge, plans: list[Plan]) -> None:
    """An atomic changeset has been refused in part: refuse the rest."""
    refused = {(refusal.class_name, refusal.key) for refusal in judge.refusals}
    for plan in plans:
        class_name, key = plan.item[:2]
        if (class_name, key) not in refused:
            message = "another part of its transaction was refused, and it was to be all or nothing"
            judge.add(Refusal(class_name, key, [], ATOMIC, f"{class_name} {key!r:.80}: {message}"))


def digest_at(writer: Writer, ident: int, file: File, client_version: int) -> bytes:
    """A file's digest chain at a client version that is integrated, or at 0."""
    if client_version == file.client_version:
        return file.digest
    if client_version == 0:
        return DIGEST_START
    entry = tables.entry_at(writer, tables.version_of(writer, ident, client_version))
    assert entry is not None, "a file's runs lead into the log"
    return entry.digest


def acks(
    session: int, ends: Collection[tuple[int, int]], items: Collection[Remembered]
) -> list[Ack]:
    """The ACKs of an upload, with what was remembered, in messages of a size. [UP-7]

    Args:
        ends: client and server version at the end of each run of consecutive server versions.
        items: ascending by client version, none past the last end.
    """
    out: list[Ack] = []
    left = deque(items)
    for end in ends:
        refusals: list[Any] = []
        rewrites: list[Any] = []
        size = client_version = version = 0
        while left and left[0].client_version <= end[0]:
            item = left.popleft()
            cost = sum(map(len, map(pack, item.refusals))) + len(item.rewritten or b"")
            if size and size + cost > DOWNLOAD_BYTES_TARGET:
                out.append(Ack(session, client_version, version, refusals, rewrites))
                size, refusals, rewrites = 0, [], []
            size += cost
            client_version, version = item.client_version, item.version
            refusals += item.refusals
            if item.rewritten is not None:
                rewrites.append([client_version, item.rewritten])
        out.append(Ack(session, *end, refusals, rewrites))
    return out
