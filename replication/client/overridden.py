"""What downloads take away from this file's writes: told in the journal and to live results.

Rule 1: of a delta, its author is known: what of our writes they had not seen and it takes away is
        lost to it. [JOURNAL-LOST]
Rule 2: of a state, who made what is told by stamps; see `of_state`. Where it can't be told whether
        they had seen our write, that is what the entry says. [JOURNAL-8]
Rule 3: what a blind create lost is told once it is folded: by then the server has said what it
        was, and what was here is older than it and of people who had not seen it.
Rule 4: an object that comes back into the view may have lost what was written before it left: our
        own deltas stand for what showed. Only what authors are told of is told then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from replication.client.entities import ObjectName
from replication.client.journal import Entry, append
from replication.client.kept import Own, OwnWrites
from replication.client.losses import Cause, Lost, Side
from replication.client.lost import lost_parts, may_lose
from replication.client.opened import Opened
from replication.client.replica import Change, state_of
from replication.crdt.incarnation import clone
from replication.crdt.object import ObjectState, absent, merge
from replication.crdt.register import Stamp
from replication.crdt.whole import joined
from replication.model.encoding import key_bytes, unpack_trusted
from replication.model.values import Key
from replication.protocol.body import AuthorOp, DeltaOp, StateOp
from replication.storage.contract import StoredObject

if TYPE_CHECKING:
    from replication.client.integration import Integration


class _Blame(NamedTuple):
    """Who took something away: their ident, the time, the server version, what they had seen."""

    by: int | None
    at: int | None
    version: int | None = None
    seen: int | None = None


class Overridden:
    """The authors that one download tells of, and what of ours it may take away.

    Args:
        work: the transaction; pending changesets up to the mark are folded already.
    """

    def __init__(self, work: Integration) -> None:
        self._work = work
        self._own = OwnWrites(work)
        self._authors: dict[int, AuthorOp] = {}
        self._by_stamp: dict[tuple[int, int], AuthorOp] = {}

    def learn(self, author: AuthorOp) -> None:
        """Who made a version."""
        self._authors[author.version] = author
        self._by_stamp[author.time, author.origin] = author

    def keep(self, client_version: int, changeset: bytes, item: Opened) -> None:
        """Keep a changeset that is folded now; see `OwnWrites`."""
        self._own.keep(client_version, changeset, item)

    def by_deltas(
        self,
        operations: list[DeltaOp],
        news: ObjectState,
        row: StoredObject | None,
        passing: ObjectState | None,
    ) -> Watch | None:
        """Watch an object while deltas merge; None where nothing of ours can be lost.

        Args:
            news: the deltas, merged.
            passing: what it shows, joined, where ``row`` is not kept up to date.
        """
        class_name, key = operations[0][:2]
        name = (class_name, key_bytes(key))
        seen = min(map(self.seen_by, operations))
        if row is None or not self._at_stake(name, seen):
            return None
        own = [
            each
            for each in self._own.of(name, seen=seen)
            if (each.version is None or each.version > seen) and may_lose(each.delta, news)
        ]
        if not own:
            return None
        before = self._before(class_name, row) if passing is None else Side(passing, None)
        return Watch(self, own, before, operations, row)

    def seen_by(self, operation: DeltaOp) -> int:
        """What the author of a delta had seen of its object; -1: nobody says."""
        author = self._authors.get(operation.version)
        return -1 if author is None or operation.unseen else author.seen

    def has_seen(self, operation: DeltaOp | StateOp, own: Own) -> bool:
        """Whether the author of a delta had seen a write of ours."""
        if own.version is None or isinstance(operation, StateOp):
            return False
        return own.version <= self.seen_by(operation)

    def _before(self, class_name: str, row: StoredObject) -> Side:
        return Side(state_of(row), self._work.replica.parts(class_name, row))

    def by_state(self, operation: StateOp, row: StoredObject | None) -> Watch | None:
        """The same while a state takes the place of the synced one."""
        name = (operation.class_name, key_bytes(operation.key))
        if not self._at_stake(name, -1) or (row is None and not self._authors):
            return None
        own = self._own.of(name)
        if not own:
            return None
        if row is None:
            state = absent()
            for each in own:
                state = merge(state, clone(each.delta))
            return Watch(self, own, Side(state, None), [operation], None)
        state, parts = self._before(operation.class_name, row)
        return Watch(self, own, Side(joined(state, parts), None), [operation], row)

    def by_fold(self, own: Own, class_name: str, key: Key) -> None:
        """A blind create, or what the server made of it, is about to be folded. Rule 3."""
        replica = self._work.replica
        row = replica.row(class_name, key)
        version, state, parts = replica.settled_base(class_name, key, row, 0)
        if not version or row is None:
            return
        after = Side(state_of(row), replica.parts(class_name, row))
        before = Side(merge(absent(), clone(own.delta)), None)
        parted: dict[tuple[str, _Blame], list[Lost]] = {}
        for cause, lost in lost_parts(own.delta, own.stamp, joined(state, parts), before, after):
            at, by = cause.stamp or (None, None)
            parted.setdefault((cause.rule, _Blame(by, at, None, 0)), []).append(lost)
        entries = self.write(
            _entry(own, class_name, key, found, *why) for why, found in parted.items()
        )
        if entries:
            head = row.head
            self._work.changed(Change(class_name, key, head, head, overridden=entries))

    def _at_stake(self, name: ObjectName, seen: int) -> bool:
        """Whether anything of ours may be; without looking it up."""
        if name in self._work.pending:
            return True
        return seen < self._work.synced.integrated and self._own.wrote(name)

    # -- who did it --------------------------------------------------------------------------
    def of_delta(self, operation: DeltaOp, cause: Cause) -> _Blame:
        """Whom a delta is of."""
        author = self._authors.get(operation.version)
        if author is None:
            at, by = cause.stamp or (None, None)
            return _Blame(by, at, operation.version)
        seen = 0 if operation.unseen else author.seen
        return _Blame(author.origin, author.time, author.version, seen)

    def stamp_of(self, operation: DeltaOp | StateOp) -> Stamp | None:
        """The least stamp of what comes, where all of it is told of."""
        versions = operation.touched if isinstance(operation, StateOp) else [operation.version]
        authors = [self._authors.get(each) for each in versions]
        stamps = [(each.time, each.origin) for each in authors if each is not None]
        return min(stamps) if stamps and len(stamps) == len(versions) else None

    def of_state(
        self, operation: StateOp, own: Own, cause: Cause, *, returns: bool
    ) -> _Blame | None:
        """Whom to blame for what a state took away; None for nobody: they had seen our write."""
        author = None if cause.stamp is None else self._by_stamp.get(cause.stamp)
        if author is not None:
            if own.version is not None and author.seen >= own.version:
                return None
            return _Blame(author.origin, author.time, author.version, author.seen)
        touched = [self._authors[each] for each in operation.touched if each in self._authors]
        unseen = [each for each in touched if own.version is None or each.seen < own.version]
        if returns or (touched and not unseen):
            return None
        at, by = cause.stamp or (None, None)
        if cause.stamp is None and len(touched) == 1:
            return _Blame(touched[0].origin, touched[0].time, touched[0].version, touched[0].seen)
        seen = max(each.seen for each in touched) if touched and touched == unseen else None
        return _Blame(by, at, None, seen)

    def write(self, entries: Iterable[Entry]) -> tuple[Entry, ...]:
        """Into the journal, but for what was told before."""
        written = (append(self._work.writer, entry) for entry in entries)
        return tuple(entry for entry in written if entry is not None)


class Watch:
    """One object while something from elsewhere merges.

    Args:
        own: our writes that may lose.
        before: what it showed.
        operations: what comes: deltas, or a state.
        row: as it was; None: it was not here, and `before` is what we once wrote. Rule 4.
    """

    def __init__(
        self,
        overridden: Overridden,
        own: list[Own],
        before: Side,
        operations: list[DeltaOp] | list[StateOp],
        row: StoredObject | None,
    ) -> None:
        self._overridden = overridden
        self._own = own
        self._before = before
        self._operations = operations
        self._row = row

    def told(self, news: ObjectState, after: Side) -> tuple[Entry, ...]:
        """Write into the journal what was lost.

        Args:
            news: what came, several deltas merged.
            after: what the object shows now.
        """
        if len(self._operations) > 1:
            return self._told_one_by_one() if self._may_lose(news, after) else ()
        return self._overridden.write(self._entries(self._operations[0], news, self._before, after))

    def _may_lose(self, news: ObjectState, after: Side) -> bool:
        return any(
            lost_parts(own.delta, own.stamp, news, self._before, after, perhaps=True)
            for own in self._own
        )

    def _told_one_by_one(self) -> tuple[Entry, ...]:
        """Several deltas took something away: go through them again, to see which."""
        entries: list[Entry] = []
        state = joined(self._before.state, self._before.parts)
        for operation in self._operations:
            assert isinstance(operation, DeltaOp)
            news = unpack_trusted(operation.delta)
            before = Side(clone(state), None)
            state = merge(state, clone(news))
            entries += self._entries(operation, news, before, Side(state, None))
        return self._overridden.write(entries)

    def _entries(
        self, operation: DeltaOp | StateOp, news: ObjectState, before: Side, after: Side
    ) -> list[Entry]:
        entries: list[Entry] = []
        since = self._overridden.stamp_of(operation)
        for own in self._own:
            if self._overridden.has_seen(operation, own):
                continue
            found: dict[tuple[str, _Blame], list[Lost]] = {}
            for cause, lost in lost_parts(own.delta, own.stamp, news, before, after, since):
                blame = self._blame(operation, own, cause)
                if blame is not None:
                    found.setdefault((cause.rule, blame), []).append(lost)
            name = (operation.class_name, operation.key)
            entries += [_entry(own, *name, parts, *why) for why, parts in found.items()]
        return entries

    def _blame(self, operation: DeltaOp | StateOp, own: Own, cause: Cause) -> _Blame | None:
        if isinstance(operation, DeltaOp):
            return self._overridden.of_delta(operation, cause)
        return self._overridden.of_state(operation, own, cause, returns=self._row is None)


def _entry(
    own: Own, class_name: str, key: Key, parts: list[Lost], rule: str, blame: _Blame
) -> Entry:
    return Entry(class_name, key, own.client_version, own.stamp[0], tuple(parts), rule, *blame)
