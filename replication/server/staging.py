"""Staged downloads: a view brought up by state, in several messages that take effect together.

For a session that is too far behind its view, for a new subscription set, and for a user who may
read something else than before. The client stays where it is until the last message, so after a
cut it goes on from the position it was given.

Phase 1, only where the view has changed: class by class, the objects that match the new query and
not the old one are sent, those that match the old one and not the new one are evicted. Where other
fields are shown than before, all that match the new one are sent.
Phase 2: the log from there on, in chunks: what was touched is sent as it is now, or evicted.

Rule 1: nothing is remembered from message to message but the position: each reads the store as it
        is then. So whatever phase 1 sends may be old by the end, and phase 2 sends it again.
Rule 2: phase 2 evicts what it finds outside of the new view if the client may hold it: if it was in
        the old view where the client stands, or in the new one later, when the user might read it.
        Of whatever state was sent earlier, the touch that followed it has the image. So nobody is
        told the key of what they never saw, nor by a position that says they stand where they
        don't. [RULES-CHANGE-3]
Rule 3: the message that reaches the latest version of its own snapshot is the last.
Rule 4: a state has all its parts. How a list is spread over parts depends on the order of merges,
        so a part of the same name at the client need not be the same part.
Rule 5: phase 1 begins at some version. What enters and was not touched past that version was sent
        by phase 1 as it still is, so phase 2 leaves it out. [BOOT-1]
Rule 6: a message of phase 2 begins with the authors of what it read that touched a state it sends.
        [DOWN-10]
Rule 7: what only hidden fields changed of is neither sent again, nor told whose change it was.
        [RULES-HIDE-2]
Rule 8: members of a view (see `members`) are sent, and evicted, as of the version at which phase 1
        began; the last message brings what came and went since. Where that is too much, it all
        begins again at the version reached.
Rule 9: nor are members of the new view worked out as of a version before the user might read what
        it shows, whatever a position says.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from replication.crdt.parts import Parts
from replication.crdt.view import queryable, shows
from replication.errors import DecodeError, ErrorCode, RemoteProtocolError
from replication.history.changeset import outline_trusted
from replication.model.encoding import key_bytes, pack, unpack, unpack_trusted
from replication.model.values import Key, Link
from replication.protocol.body import AuthorOp, DeltaOp, EvictOp, Operation, SchemaOp, StateOp
from replication.rules.access import Access
from replication.rules.project import is_hidden, projected_parts
from replication.server import tables
from replication.server.changes import author_of
from replication.server.lists import Lists, present, source
from replication.server.log_index import Wanted
from replication.server.members import Members, members_at
from replication.server.shared import Shared
from replication.server.view import Image, View
from replication.storage.contract import Reader, StoredObject
from replication.storage.graph import Name

#: Stands for the members of a view in a plan, among the names of classes.
_MEMBERS: Final = ""
#: Bytes of states that came while members were sent, and that the last message brings.
_SETTLED_BYTES_MAX: Final = 4 * 1024 * 1024
#: What an operation costs in a message beside its bytes, roughly.
_OVERHEAD = 32
#: Bytes of changesets that are looked at for one message.
_CHUNK_BYTES_MAX = 16 * 1024 * 1024


class _Scanning(NamedTuple):
    """A position in phase 1: the last row that was sent or evicted of a class."""

    class_name: str
    #: 0: sending what enters, 1: evicting what leaves.
    side: int
    row: int


class _Reading(NamedTuple):
    """A position in phase 2: the first touch that was not looked at."""

    version: int
    offset: int


class Message(NamedTuple):
    """The operations of one DOWNLOAD."""

    operations: list[Operation]
    last: bool
    progress: float


def state_op(
    reader: Reader,
    class_name: str,
    stored: StoredObject,
    readable: Access | None,
    shared: Shared,
    touched: list[int] | None = None,
) -> StateOp:
    """A stored object as it travels: all of it, or the fields that may be read. Rule 4.

    Args:
        touched: the versions, of others than the receiver, that touched it since.
    """
    parts: list[list[Any]] = []
    if tables.has_parts(reader, class_name):
        parts = [list(part) for part in reader.parts(class_name, stored.row)]
    head = stored.head
    if readable is not None:
        head = shared.projected(class_name, stored, readable)
        if parts:
            parts = projected_parts(parts, readable, unpack_trusted(stored.head))
    return StateOp(class_name, stored.key, stored.version, head, parts, touched or [])


def cost(operation: Operation) -> int:
    """Roughly the bytes an operation takes in a body."""
    if isinstance(operation, StateOp):
        size = _OVERHEAD + len(operation.head)
        for name, _, data in operation.parts:
            size += _OVERHEAD + len(name) + len(data)
        return size
    return _OVERHEAD + (len(operation.delta) if isinstance(operation, DeltaOp) else _OVERHEAD)


class Staging:
    """One staged download under way.

    Args:
        base: what it is called: a version that is not before the last change of what the user may
            read, so that what was staged under other roles is never taken for a part of it.
        old: the view the client has where it stands.
        new: the view it is to have.
        ident: of the client file.
        shared: what was projected for others.
        start: the version the client stands at; None: `base`.
        since: the version from which on the user may read what the new view shows.
        position: of the last message of this download that the client holds, or empty.
        latest: the server version that a position can't be past.

    Raises:
        RemoteProtocolError: a position that no server gave out.
    """

    def __init__(
        self,
        base: int,
        old: View,
        new: View,
        ident: int,
        shared: Shared,
        *,
        start: int | None = None,
        since: int = 0,
        position: bytes = b"",
        latest: int = 0,
    ) -> None:
        self.base = base
        self._start = base if start is None else start
        self._since = since
        self._shared = shared
        self._old = old
        self._new = new
        self._ident = ident
        self._latest = latest
        self._plan = [] if old.is_local and new.is_local else [(_MEMBERS, 0), (_MEMBERS, 1)]
        self._plan += [
            (name, side)
            for name in sorted({*old.local, *new.local})
            for side in (0, 1)
            if _shows(old, name) != _shows(new, name)
            and name in (new.local if side == 0 else old.local)
        ]
        self._done = 0
        self._total: int | None = None
        #: The version at which phase 1 began, once it did. Rule 5.
        self._began: int | None = None
        self._at: _Scanning | _Reading = _Reading(self._start + 1, 0)
        if position:
            # Nothing stands at the base but who had nothing in view.
            starts = {self._start, base} if old.is_empty else {self._start}
            found = _read_position(position, base, latest, starts)
            self._at, self._done, self._began, self._start = found
        elif self._plan:
            self._at = _Scanning(*self._plan[0], 0)

    @property
    def position(self) -> bytes:
        """Where to go on after the messages so far."""
        return pack([*self._at, self._done, self._began, self._start])

    def next(self, reader: Reader, latest: int, *, bytes_target: int, entries_max: int) -> Message:
        """The next message.

        Args:
            latest: the latest version of the transaction.
            bytes_target: operations up to here go into one message, and at least one.
            entries_max: log entries looked at for one message.
        """
        out = _Batch(bytes_target)
        self._latest = latest
        if self._began is None:
            self._began = latest if self._plan else self._start
        if isinstance(self._at, _Scanning) and not self._scan(reader, out):
            return Message(out.operations, False, self._progress(reader))
        done = self._read(reader, latest, out, entries_max) and self._settle(reader, out)
        share = self._progress(reader) if self._plan else self._read_share(latest)
        return Message(out.operations, done, 1.0 if done else share)

    def reread(self, old: View, new: View) -> None:
        """The schema has grown: the same views, read as it says now."""
        self._old, self._new = old, new

    # -- phase 1 ---------------------------------------------------------------------------------
    def _scan(self, reader: Reader, out: _Batch) -> bool:
        """Fill a message; whether phase 1 is through."""
        at = self._at
        assert isinstance(at, _Scanning)
        start = bisect_left(self._plan, at[:2])
        for class_name, side in self._plan[start:]:
            row = at.row if (class_name, side) == (at.class_name, at.side) else 0
            for operation, number in self._rows(reader, class_name, side, row):
                if not out.add(operation):
                    return False
                self._at = _Scanning(class_name, side, number)
                self._done += 1
        self._at = _Reading(self._start + 1, 0)
        return True

    def _rows(
        self, reader: Reader, class_name: str, side: int, row: int
    ) -> Iterator[tuple[Operation, int]]:
        if class_name == _MEMBERS:
            yield from self._member_rows(reader, side, row)
            return
        old, new = self._old.local.get(class_name), self._new.local.get(class_name)
        if side == 1:
            members = self._members(reader, self._new, self._began)
            for stored in reader.scan(
                class_name, old, but_not=new, after_row=row, source=source(reader, class_name)
            ):
                if members and (class_name, key_bytes(stored.key)) in members:
                    continue
                if stored.version <= self._start:  # what changed since is for phase 2 to tell
                    yield EvictOp(class_name, stored.key), stored.row
            return
        readable = self._new.access(class_name)
        bare = readable is None and not tables.has_parts(reader, class_name)
        but_not = None if self._is_resent(class_name) else old
        for stored in reader.scan(
            class_name, new, but_not=but_not, after_row=row, source=source(reader, class_name)
        ):
            if bare:
                number, key, version, head = stored
                yield StateOp(class_name, key, version, head, []), number
            else:
                yield state_op(reader, class_name, stored, readable, self._shared), stored.row

    def _member_rows(self, reader: Reader, side: int, row: int) -> Iterator[tuple[Operation, int]]:
        """Rule 8."""
        old = self._members(reader, self._old, self._start)
        new = self._members(reader, self._new, self._began)
        here, there = (new, old) if side == 0 else (old, new)
        moving = here.keys() - there.keys()
        if side == 0:
            moving |= self._resent(old, new)
        for number, name in enumerate(sorted(moving), start=1):
            if number <= row:
                continue
            stored = reader.get_object(name[0], here[name])
            if stored is None or not shows(stored.head):
                continue  # deleted since, which the log tells
            if side == 0:
                if self._may_be_read(reader, name[0], stored):
                    yield self._whole(reader, name[0], stored), number
            elif not self._new.sees(name[0], present(reader, name[0], stored.key, stored)):
                yield EvictOp(name[0], stored.key), number

    def _resent(self, old: Members, new: Members) -> set[Name]:
        """The members at both ends of which other fields are shown than before."""
        return {name for name in old.keys() & new.keys() if self._is_resent(name[0])}

    def _may_be_read(self, reader: Reader, class_name: str, stored: StoredObject) -> bool:
        """Whether a member of before may be read as it is now."""
        lens = self._new.lens
        if lens is None:
            return True
        parts = {part.name: part.data for part in reader.parts(class_name, stored.row)}
        fields = queryable(unpack_trusted(stored.head), Parts(parts.get))
        return lens(Link(class_name, stored.key), fields) is not None

    def _whole(self, reader: Reader, class_name: str, stored: StoredObject) -> StateOp:
        readable = self._new.access(class_name)
        return state_op(reader, class_name, stored, readable, self._shared)

    def _members(self, reader: Reader, view: View, version: int | None) -> Members:
        assert version is not None, "it began with the first message"
        if view is self._new:
            version = max(version, self._since)  # Rule 9
        return members_at(self._shared, view, reader, version, self._latest)

    def _settle(self, reader: Reader, out: _Batch) -> bool:
        """From the members there were when phase 1 began to those there are. Rule 8."""
        if self._new.is_local:
            return True
        then = self._members(reader, self._new, self._began)
        now = self._members(reader, self._new, self._latest)
        gone: list[Operation] = []
        for name in sorted(then.keys() - now.keys()):
            stored = reader.get_object(name[0], then[name])
            if stored is None or not shows(stored.head):
                continue  # which the log told
            if not self._new.sees(name[0], present(reader, name[0], stored.key, stored)):
                gone.append(EvictOp(name[0], stored.key))
        came: list[Operation] = []
        size = 0
        for name in sorted(now.keys() - then.keys()):
            stored = reader.get_object(name[0], now[name])
            assert stored is not None, "members are alive"
            came.append(self._whole(reader, name[0], stored))
            size += cost(came[-1])
            if size > _SETTLED_BYTES_MAX:
                out.operations += gone
                self._began, self._at = self._latest, _Scanning(_MEMBERS, 0, 0)
                return False
        out.operations += [*gone, *came]
        return True

    def _is_resent(self, class_name: str) -> bool:
        """Whether other fields of a class are shown than before."""
        return self._old.access(class_name) != self._new.access(class_name)

    def _progress(self, reader: Reader) -> float:
        if self._total is None:
            self._total = sum(self._count(reader, *each) for each in self._plan)
        # What was sent may have gone since; and the log is still to be read.
        return min(self._done, self._total) / (self._total + 1)

    def _count(self, reader: Reader, class_name: str, side: int) -> int:
        if class_name == _MEMBERS:
            held = self._members(reader, self._old, self._start)
            wanted = self._members(reader, self._new, self._began)
            if side == 1:
                return len(held.keys() - wanted.keys())
            return len(wanted.keys() - held.keys() | self._resent(held, wanted))
        old, new = self._old.local.get(class_name), self._new.local.get(class_name)
        query, but_not = (new, old) if side == 0 else (old, new)
        if side == 0 and self._is_resent(class_name):
            but_not = None
        return reader.count(class_name, query, but_not=but_not, source=source(reader, class_name))

    # -- phase 2 ---------------------------------------------------------------------------------
    def _read(self, reader: Reader, latest: int, out: _Batch, entries_max: int) -> bool:
        """Fill a message; whether all of the log was read."""
        start = self._at
        assert isinstance(start, _Reading)
        chunk: dict[tuple[str, bytes], _Touched] = {}
        size = 0
        wanted = Wanted(self._ident, self._old, self._new)
        versions, covered = wanted.versions(reader, start.version, latest, most=entries_max)
        end = _Reading(covered + 1, 0)
        lists = Lists.among(reader)
        for entry in tables.entries_at(reader, versions):
            if size > _CHUNK_BYTES_MAX:
                end = _Reading(entry.version, 0)
                break
            size += len(entry.changeset)
            skip = start.offset if entry.version == start.version else 0
            if entry.schema and not skip:
                out.operations.append(SchemaOp(entry.schema))
            changeset = outline_trusted(entry.changeset)
            items = changeset.objects
            author = None if entry.origin == self._ident else author_of(entry, changeset)
            for index in range(skip, len(items)):
                class_name, key, delta = items[index]
                name = (class_name, key_bytes(key))
                touched = chunk.get(name)
                if touched is None:
                    at = _Reading(entry.version, index)
                    touched = chunk[name] = _Touched(at, class_name, key)
                parts = partial(lists.of, class_name, key, entry.version - 1)
                image = Image(key, entry.before[index], parts)
                touched.touches.append(_Touch(entry.version, entry.since[index], image, delta))
                if author is None:
                    touched.own = True
                else:
                    touched.authors.append(author)
        authors: set[AuthorOp] = set()
        done = True
        for touched in chunk.values():
            operation = self._operation(reader, touched)
            if operation is not None and not out.add(operation):
                end, done = touched.at, False
                break
            if type(operation) is StateOp:
                authors.update(touched.authors)
        out.operations[:0] = sorted(authors)
        self._at = end
        return done and end.version > latest

    def _operation(self, reader: Reader, touched: _Touched) -> Operation | None:
        class_name, key = touched.class_name, touched.key
        stored = reader.get_object(class_name, key)
        now = present(reader, class_name, key, stored)
        old, new = self._old, self._new
        readable = new.access(class_name)
        name = (class_name, key_bytes(key))
        held = not old.is_local and name in self._members(reader, old, self._start)
        member = not new.is_local and name in self._members(reader, new, self._began)
        shown = stored is not None and new.sees(class_name, now)
        if member and now.is_alive and stored is not None and not shown:
            shown = self._may_be_read(reader, class_name, stored)
        if stored is not None and shown:
            assert self._began is not None, "it began with the first message"
            sent = self._is_resent(class_name) or not (held or old.sees(class_name, now))
            if stored.version <= self._began and sent:
                return None  # Rule 5
            if readable is not None and self._is_unchanged(touched, stored, readable):
                return None  # Rule 7
            return self._state(reader, touched, stored)
        seen = held or member
        seen = seen or any(self._might_hold(class_name, each) for each in touched.touches)
        if seen and stored is not None and not now.is_alive:
            return self._state(reader, touched, stored)  # deleted, which is not the same as gone
        return EvictOp(class_name, key) if seen or touched.own else None

    def _might_hold(self, class_name: str, touch: _Touch) -> bool:
        """Whether the client may hold an object as it was before a touch. Rule 2."""
        if touch.since <= self._start and self._old.sees(class_name, touch.before):
            return True
        return touch.version > self._since and self._new.sees(class_name, touch.before)

    def _is_unchanged(self, touched: _Touched, stored: StoredObject, readable: Access) -> bool:
        """Whether what the client has of an object, or was sent, is all there is to see now."""
        first = touched.touches[0]
        if touched.own or first.version <= self._since:
            return False
        if not self._new.sees(touched.class_name, first.before):
            return False
        return len(_hidden(touched, stored.head, readable)) == len(touched.touches)

    def _state(self, reader: Reader, touched: _Touched, stored: StoredObject) -> StateOp:
        readable = self._new.access(touched.class_name)
        if readable is not None:
            hidden = _hidden(touched, stored.head, readable)
            touched.authors = [each for each in touched.authors if each.version not in hidden]
        versions = [author.version for author in touched.authors]
        return state_op(reader, touched.class_name, stored, readable, self._shared, versions)

    def _read_share(self, latest: int) -> float:
        assert isinstance(self._at, _Reading)
        return (self._at.version - 1 - self._start) / max(1, latest - self._start)


def _shows(view: View, class_name: str) -> tuple[str | None, Access | None]:
    """What a view shows of a class."""
    query = view.local.get(class_name)
    return None if query is None else query.text, view.access(class_name)


class _Touch(NamedTuple):
    """One touch of an object: its version, and the image before it, which is of version `since`."""

    version: int
    since: int
    before: Image
    delta: bytes


class _Touched:
    """One object that a chunk of the log touched: where first, and every touch."""

    __slots__ = ("at", "authors", "class_name", "key", "own", "touches")

    def __init__(self, at: _Reading, class_name: str, key: Key) -> None:
        self.at = at
        self.class_name = class_name
        self.key = key
        self.touches: list[_Touch] = []
        #: Whether the file itself is among those who touched it, and who else is.
        self.own = False
        self.authors: list[AuthorOp] = []


def _hidden(touched: _Touched, head: bytes, readable: Access) -> frozenset[int]:
    now = unpack_trusted(head)
    return frozenset(
        touch.version for touch in touched.touches if is_hidden(touch.delta, readable, now)
    )


class _Batch:
    """The operations of one message, up to a size."""

    def __init__(self, bytes_target: int) -> None:
        self.operations: list[Operation] = []
        self._left = bytes_target
        self._empty = True

    def add(self, operation: Operation) -> bool:
        """Add one if there is room, and the first in any case."""
        size = cost(operation)
        if size > self._left and not self._empty:
            return False
        self.operations.append(operation)
        self._left -= size
        self._empty = False
        return True


def _read_position(
    data: bytes, base: int, latest: int, starts: set[int]
) -> tuple[_Scanning | _Reading, int, int, int]:
    try:
        items = unpack(data)
    except DecodeError:
        items = None
    match items:
        case [*_, int(done), int(began), int(start)] if (
            done < 0 or start not in starts or not start <= began <= latest
        ):
            pass
        case [str(name), 0 | 1 as side, int(row), int(done), int(began), int(start)] if row >= 0:
            return _Scanning(name, int(side), row), done, began, start
        case [int(version), int(offset), int(done), int(began), int(start)] if offset >= 0:
            if start < version <= latest + 1:
                return _Reading(version, offset), done, began, start
    raise RemoteProtocolError(
        f"QUERY goes on from {items!r:.80}, which is no position in a download from {base}",
        ErrorCode.BAD_MESSAGE,
    )
