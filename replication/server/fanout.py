"""Fan-out: which sessions a commit concerns, and what of it.

Sessions whose views show the same are one **group**. Each commit is matched once: every object it
touched, as it was and as it is, against the queries of all groups through an index. The groups it
concerns remember what touched them for a while, and only their sessions are woken; so a commit
costs what the interested sessions cost, not what all do.

Rule 1: a session that looks for what happened first takes its **seat**, then reads: what was
        published before is there to be read, whatever is published after wakes it.
Rule 2: a group knows what touched it from the version on at which it was made, as long as that is
        remembered. Who stands before that reads the log: `since` says None.
Rule 3: what a file wrote itself concerns its session, whether its view shows it or not.
Rule 4: what concerns everybody (a schema that grew, a horizon) and what is too much to be matched
        wakes everybody, and nobody knows it: all read the log.
Rule 5: a group with a query that depends on other objects than the one it is asked about is woken
        by every commit, and always reads the log.
Rule 6: nobody is left behind too far: in turn, each session is woken once in so many versions.
Rule 7: what is remembered is bounded in bytes, whoever still has to see it.

Threads may share it; one publishes at a time.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from replication.crdt.view import shows
from replication.limits import DOWNLOAD_ENTRIES_MAX, SHARED_BYTES_MAX
from replication.query.few import Few, each, joined, parted
from replication.query.index import Indexed, MatchingIndex
from replication.server.changes import Changes, Told
from replication.server.touches import Touched
from replication.server.view import Image, View, classes_of


class _Stretch(NamedTuple):
    """What concerns a topic of a stretch of the log."""

    #: The version before it, and its last.
    start: int
    end: int
    #: Of a file's own writes, what they touched is what counts.
    told: list[Told]


class _Topic:
    """What some sessions are to hear of: a group's objects, or a file's own writes.

    Attributes:
        floor: what came after this version is known.
        seats: who is to hear.
        stretches: what is known, by version.
    """

    __slots__ = ("floor", "seats", "stretches")

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.seats: Few[Seat] = None
        self.stretches: Sequence[_Stretch] = ()

    def knows(self, reached: int) -> bool:
        """Whether all is known that came after a version. Rule 2."""
        at = self._first(reached)
        return reached >= self.floor and (at == 0 or self.stretches[at - 1].end <= reached)

    def remember(self, stretch: _Stretch) -> None:
        """Know one more."""
        if not self.stretches:
            self.stretches = []
        assert isinstance(self.stretches, list)
        self.stretches.append(stretch)

    def forget(self, end: int) -> None:
        """Know no more what came up to the end of the first one."""
        assert isinstance(self.stretches, list)
        self.floor = end
        del self.stretches[0]
        if not self.stretches:
            self.stretches = ()

    def after(self, reached: int) -> Sequence[_Stretch]:
        """What came after a version, which it knows."""
        return self.stretches[self._first(reached) :]

    def _first(self, reached: int) -> int:
        """Where the stretches begin that start at a version or later: most often at the end."""
        held = self.stretches
        if not held or held[-1].start < reached:
            return len(held)
        return bisect_left(held, reached, key=lambda item: item.start)


class _Group(_Topic):
    """The sessions whose views show the same."""

    __slots__ = ("indexed", "key")

    def __init__(self, floor: int, key: tuple[str, ...]) -> None:
        super().__init__(floor)
        self.key = key
        #: Its queries in the indexes, in the order of their classes. None under Rule 5, too.
        self.indexed: Few[Indexed[_Group]] = None


class _File(_Topic):
    """What one client file wrote itself. Rule 3."""

    __slots__ = ("client_version",)

    def __init__(self, floor: int) -> None:
        super().__init__(floor)
        self.client_version = 0


class Seat:
    """A session's place among those that are to hear of changes.

    Args:
        ident: of its client file.
        wake: called, from any thread, when there may be something to look for.
    """

    __slots__ = ("closed", "file", "group", "ident", "view", "wake")

    def __init__(self, ident: int, wake: Callable[[], None]) -> None:
        self.ident = ident
        self.wake = wake
        self.view: View | None = None
        self.group: _Group | None = None
        self.file: _File | None = None
        self.closed = False


class News(NamedTuple):
    """What happened since a session looked last.

    Attributes:
        version, salt: up to where.
        start: the version before the first change to what its view shows.
        entries: how many entries of the log the commits have that concern it.
        told: what concerns it, in order; an object may be there once for each commit.
        is_own: whether its own file touched any of it.
        client_version: the last of its file's changesets that is integrated; 0 for not known.
    """

    version: int
    salt: int
    start: int
    entries: int
    told: list[Told]
    is_own: bool
    client_version: int


class Fanout:
    """The seats of one namespace's sessions.

    Args:
        bytes_max: of what is remembered, roughly. Rule 7.
        period: versions within which each session is woken once. Rule 6.
    """

    def __init__(
        self, *, bytes_max: int = SHARED_BYTES_MAX // 8, period: int = DOWNLOAD_ENTRIES_MAX // 4
    ) -> None:
        self._bytes_max = bytes_max
        self._period = period
        self._lock = threading.Lock()
        #: How many seats are taken.
        self._taken = 0
        self._groups: dict[Any, _Group] = {}
        self._files: dict[int, _File] = {}
        self._indexes: dict[str, MatchingIndex[_Group]] = {}
        #: The groups of Rule 5.
        self._not_local: dict[_Group, None] = {}
        self._version = self._salt = 0
        #: What is made from now on knows what comes after this version.
        self._floor = 0
        self._remembered: deque[tuple[int, int, list[_Topic]]] = deque()
        self._bytes = 0
        self._turn: deque[Seat] = deque()
        self._due = 0.0

    def __len__(self) -> int:
        return self._taken

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self._groups)

    # -- seats -----------------------------------------------------------------------------------
    def sit(self, seat: Seat, view: View) -> None:
        """Take the seat of a view, and leave the one before."""
        if seat.view is view:
            return
        with self._lock:
            if seat.closed:
                return
            if seat.group is None:
                self._taken += 1
                self._turn.append(seat)
                seat.file = self._file(seat.ident)
                seat.file.seats = joined(seat.file.seats, seat)
            seat.view = view
            if seat.group is None or seat.group.key != view.key:
                self._stand_up(seat)
                seat.group = self._group(view)
                seat.group.seats = joined(seat.group.seats, seat)

    def leave(self, seat: Seat) -> None:
        """The session is over. Idempotent."""
        with self._lock:
            seat.closed = True
            file = seat.file
            if seat.group is None or file is None:
                return
            self._taken -= 1
            self._stand_up(seat)
            file.seats = parted(file.seats, seat)
            if file.seats is None:
                del self._files[seat.ident]

    def _file(self, ident: int) -> _File:
        file = self._files.get(ident)
        if file is None:
            file = self._files[ident] = _File(self._floor)
        return file

    def _stand_up(self, seat: Seat) -> None:
        group, seat.group = seat.group, None
        if group is None:
            return
        group.seats = parted(group.seats, seat)
        if group.seats is None:
            del self._groups[group.key]
            self._not_local.pop(group, None)
            for class_name, indexed in zip(
                classes_of(group.key), each(group.indexed), strict=False
            ):
                self._indexes[class_name].remove(indexed)
                if not self._indexes[class_name]:
                    del self._indexes[class_name]

    def _group(self, view: View) -> _Group:
        group = self._groups.get(view.key)
        if group is None:
            group = self._groups[view.key] = _Group(self._floor, view.key)
            queries = view.queries
            if not all(query.is_local for query in queries.values()):
                self._not_local[group] = None
                return group
            for class_name in classes_of(view.key):
                index = self._indexes.setdefault(class_name, MatchingIndex())
                group.indexed = joined(group.indexed, index.add(group, queries[class_name]))
        return group

    # -- looking ---------------------------------------------------------------------------------
    def knows(self, seat: Seat, reached: int) -> bool:
        """Whether `since` has an answer."""
        with self._lock:
            return self._knows(seat, reached)

    def _knows(self, seat: Seat, reached: int) -> bool:
        group, file = seat.group, seat.file
        if group is None or file is None or group in self._not_local:
            return False
        return group.knows(reached) and file.knows(reached)

    def since(self, seat: Seat, reached: int) -> News | None:
        """What concerns a session and came after a version; None where that is not known."""
        with self._lock:
            if not self._knows(seat, reached) or reached > self._version:
                return None
            group, file = seat.group, seat.file
            assert group is not None
            assert file is not None
            stretches, own = group.after(reached), file.after(reached)
            start = stretches[0].start if stretches else self._version
            told = _both(stretches, own) if own else [t for item in stretches for t in item.told]
            entries = sum(end - before for before, end in {item[:2] for item in (*stretches, *own)})
            at = (self._version, self._salt, start, entries)
            return News(*at, told, bool(own), file.client_version)

    # -- publishing ------------------------------------------------------------------------------
    def publish(self, changes: Changes | None, version: int, salt: int) -> list[Seat]:
        """Match a stretch of the log up to its latest version; returns whom to wake.

        Args:
            changes: what it did, from where the last one ended; None where that is too much.
        """
        if changes is None or changes.schemas or changes.horizons:
            return self._tell_everybody(version, salt)
        with self._lock:
            start, self._floor = self._version, version
        concerned = self._matched(changes)
        with self._lock:
            for topic, told in concerned.items():
                topic.remember(_Stretch(start, version, told))
            for ident, client_version in changes.origins.items():
                file = self._files.get(ident)
                if file is not None:
                    file.client_version = client_version
            self._remember(version, changes.weight, list(concerned))
            self._version, self._salt = version, salt
            woken = {seat: None for topic in concerned for seat in each(topic.seats)}
            woken.update(dict.fromkeys(self._whose_turn(version - start)))
            for group in self._not_local:
                woken.update(dict.fromkeys(each(group.seats)))
            return list(woken)

    def _tell_everybody(self, version: int, salt: int) -> list[Seat]:
        """Rule 4."""
        with self._lock:
            self._version, self._salt, self._floor = version, salt, version
            for topic in (*self._groups.values(), *self._files.values()):
                topic.floor, topic.stretches = version, ()
            self._remembered.clear()
            self._bytes = 0
            return [seat for group in self._groups.values() for seat in each(group.seats)]

    def _matched(self, changes: Changes) -> dict[_Topic, list[Told]]:
        out: dict[_Topic, list[Told]] = {}
        for touched in changes.touched:
            with self._lock:
                before, now = self._seeing(touched)
                files = [self._files[ident] for ident in touched.origins if ident in self._files]
            # Few of what lives for a while: those that see the same share one.
            made: dict[tuple[bool, bool], Told] = {}
            for group in now if before is now else {**before, **now}:
                sides = (group in before, group in now)
                told = made.get(sides) or made.setdefault(sides, Told(touched, *sides))
                out.setdefault(group, []).append(told)
            for file in files:
                told = next(iter(made.values()), None) or Told(touched, False, False)
                out.setdefault(file, []).append(told)
            touched.forget()
        return out

    def _seeing(self, touched: Touched) -> tuple[dict[_Group, None], dict[_Group, None]]:
        """The groups that saw it before, and those that see it now."""
        index = self._indexes.get(touched.class_name)
        if index is None:
            return {}, {}
        now = _matching(index, touched.now)
        if touched.is_alive and shows(touched.was) and not touched.concerns(index.reads):
            return now, now
        return _matching(index, touched.before), now

    def _remember(self, version: int, size: int, topics: list[_Topic]) -> None:
        """Rule 7."""
        if not topics:
            return
        self._remembered.append((version, size, topics))
        self._bytes += size
        while self._bytes > self._bytes_max and len(self._remembered) > 1:
            end, gone, topics = self._remembered.popleft()
            self._bytes -= gone
            for topic in topics:
                topic.forget(end)

    def _whose_turn(self, versions: int) -> list[Seat]:
        """Rule 6."""
        out: list[Seat] = []
        self._due += versions * self._taken / self._period
        count = min(int(self._due), self._taken)
        self._due -= int(self._due)
        while len(out) < count and self._turn:
            seat = self._turn.popleft()
            if not seat.closed:
                self._turn.append(seat)
                out.append(seat)
        return out


def _matching(index: MatchingIndex[_Group], image: Image) -> dict[_Group, None]:
    return dict.fromkeys(index.match(image.get)) if image.is_alive else {}


def _both(group: Sequence[_Stretch], own: Sequence[_Stretch]) -> list[Told]:
    """What is told of either, by stretch, each object once in it: as the group saw it."""
    by_start: dict[int, dict[Touched, Told]] = {}
    for stretch in group:
        by_start[stretch.start] = {told.touched: told for told in stretch.told}
    for stretch in own:  # what others see of it says nothing of what its own group does
        items = by_start.setdefault(stretch.start, {})
        for told in stretch.told:
            if told.touched not in items:
                items[told.touched] = Told(told.touched, False, False)
    return [told for _, items in sorted(by_start.items()) for told in items.values()]
