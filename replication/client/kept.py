"""What a client file keeps of its own writes once they are synchronised, to tell when they lose.

| table | key | value |
| --- | --- | --- |
| acked | last client version of a run | [first client version, server version of the last] |
| written | client version | [server version, changeset] |

Rule 1: an ACK says which server versions its changesets got [UP-7]. The author of another version
        had seen ours if what it had seen is at least that. [JOURNAL-LOST]
Rule 2: a changeset is kept when it is folded, without deltas of more than KEPT_DELTA_BYTES_MAX
        bytes, and at most KEPT_DELTAS_MAX of the others. Past KEPT_DELTAS_MAX deltas or
        KEPT_BYTES_MAX bytes the oldest changesets go, until half of that is left or one. What is
        not kept loses without being told. [JOURNAL-7]
Rule 3: a file that is forked keeps nothing: what it wrote comes back as somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from replication.client.entities import ObjectName
from replication.client.opened import Opened, opened
from replication.client.records import ACKED, KEPT
from replication.crdt.object import ObjectState
from replication.crdt.register import Stamp
from replication.history.changeset import decode_trusted, encode_unbounded
from replication.limits import KEPT_BYTES_MAX, KEPT_DELTA_BYTES_MAX, KEPT_DELTAS_MAX
from replication.model.encoding import key_bytes, pack, unpack_trusted
from replication.storage.contract import Reader, int_from_key, int_key

if TYPE_CHECKING:
    from replication.client.integration import Integration


class Own(NamedTuple):
    """A delta of this file to one object.

    `version` is its server version, None while nobody else can have seen it.
    """

    client_version: int
    version: int | None
    stamp: Stamp
    delta: ObjectState


def acknowledged(work: Integration, first: int, last: int, version: int) -> None:
    """Note the server versions of changesets that an ACK covers. Rule 1."""
    if first <= last:
        work.writer.put_record(ACKED, int_key(last), pack([first, version]))
        work.synced = work.synced._replace(integrated=version)


def version_of(reader: Reader, client_version: int) -> int | None:
    """The server version of a changeset; None where it has none, or that is not known any more."""
    for key, data in reader.records(ACKED, first=int_key(client_version), limit=1):
        first, version = unpack_trusted(data)
        if first <= client_version:
            found: int = version - (int_from_key(key) - client_version)
            return found
    return None


class Kept:
    """Which kept changesets wrote to what: mirrors a file, which is read when it is first asked."""

    __slots__ = ("_by_object", "_versions")

    def __init__(self, *, nothing: bool = False) -> None:
        """A mirror; ``nothing``: of a file that keeps nothing."""
        #: The client versions that wrote to an object, oldest first; None: not read yet. (Tuples of
        #: numbers are nothing to Python's garbage collector.)
        self._by_object: dict[ObjectName, tuple[int, ...]] | None = {} if nothing else None
        #: The server versions of what is kept, by client version.
        self._versions: dict[int, int] = {}

    def load(self, reader: Reader) -> None:
        """Read what there is, unless that is done."""
        if self._by_object is None:
            self._by_object = {}
            for key, data in reader.records(KEPT):
                version, changeset = unpack_trusted(data)
                self.add(int_from_key(key), version, opened(changeset).deltas)

    def add(self, client_version: int, version: int, names: Iterable[ObjectName]) -> None:
        """A changeset is kept, the latest so far."""
        by_object = self._by_object
        if by_object is None:
            return
        self._versions[client_version] = version
        for name in names:
            by_object[name] = (*by_object.get(name, ()), client_version)

    def drop(self, client_version: int, names: Iterable[ObjectName]) -> None:
        """The oldest changeset is not kept any more."""
        by_object = self._by_object
        if by_object is None:
            return
        del self._versions[client_version]
        for name in names:
            held = by_object[name]
            assert held[0] == client_version, "the oldest go first"
            if len(held) == 1:
                del by_object[name]
            else:
                by_object[name] = held[1:]

    def __contains__(self, name: ObjectName) -> bool:
        assert self._by_object is not None, "it was read"
        return name in self._by_object

    def of(self, name: ObjectName, seen: int) -> list[tuple[int, int]]:
        """Client and server versions that wrote to an object past a server version, in order."""
        assert self._by_object is not None, "it was read"
        out = []
        for client_version in reversed(self._by_object.get(name, ())):
            version = self._versions[client_version]
            if version <= seen:
                break
            out.append((client_version, version))
        out.reverse()
        return out


def forget_acked(work: Integration, mark: int) -> None:
    """Everything up to a mark has been folded: server versions stand beside what is kept."""
    work.writer.delete_records(ACKED, last=int_key(mark))


def forget_all(work: Integration) -> None:
    """Rule 3."""
    work.writer.delete_records(ACKED)
    work.writer.delete_records(KEPT)
    work.kept = Kept(nothing=True)
    work.synced = work.synced._replace(integrated=0, kept_count=0, kept_bytes=0)


class OwnWrites:
    """The deltas of this file that are kept or pending, by object, while a download is applied."""

    def __init__(self, work: Integration) -> None:
        self._work = work
        #: Kept changesets that were taken apart meanwhile.
        self._opened: dict[int, Opened] = {}

    def keep(self, client_version: int, changeset: bytes, item: Opened) -> None:
        """Keep a changeset that is folded now, taken apart already. Rule 2."""
        work = self._work
        version = version_of(work.writer, client_version)
        if version is None:
            return
        if len(item.keys) > KEPT_DELTAS_MAX or len(changeset) > KEPT_DELTA_BYTES_MAX:
            changeset = _bounded(changeset, item)
            item = opened(changeset)
        if not item.keys:
            return
        data = pack([version, changeset])
        work.writer.put_record(KEPT, int_key(client_version), data)
        work.kept.add(client_version, version, item.deltas)
        self._opened[client_version] = item
        count, size = work.synced.kept_count + len(item.keys), work.synced.kept_bytes + len(data)
        work.synced = work.synced._replace(kept_count=count, kept_bytes=size)
        if count > KEPT_DELTAS_MAX or size > KEPT_BYTES_MAX:
            self._make_room()

    def _make_room(self) -> None:
        work = self._work
        count, size = work.synced.kept_count, work.synced.kept_bytes
        for key, data in list(work.writer.records(KEPT))[:-1]:
            if count * 2 <= KEPT_DELTAS_MAX and size * 2 <= KEPT_BYTES_MAX:
                break
            client_version = int_from_key(key)
            deltas = self._open(client_version).deltas
            count, size = count - len(deltas), size - len(data)
            work.writer.delete_record(KEPT, key)
            work.kept.drop(client_version, deltas)
            self._opened.pop(client_version, None)
        work.synced = work.synced._replace(kept_count=count, kept_bytes=size)

    def wrote(self, name: ObjectName) -> bool:
        """Whether anything that is kept wrote to an object."""
        return self._work.synced.kept_count > 0 and name in self._kept()

    def _kept(self) -> Kept:
        kept = self._work.kept
        kept.load(self._work.writer)
        return kept

    def of(self, name: ObjectName, *, seen: int = -1) -> list[Own]:
        """Those to one object that came after a server version, oldest first.

        But for pending blind creates: which life they begin is for the server to say.
        """
        out: list[Own] = []
        work = self._work
        ident = work.local.ident
        for number, version in self._kept().of(name, seen) if self.wrote(name) else ():
            item = self._open(number)
            delta = unpack_trusted(item.deltas[name])
            out.append(Own(number, version, (item.time, ident), delta))
        for number, time, delta in work.seeing_deltas(name):
            known = number <= work.synced.acknowledged
            newer = version_of(work.writer, number) if known else None
            out.append(Own(number, newer, (time, ident), delta))
        return out

    def _open(self, client_version: int) -> Opened:
        item = self._opened.get(client_version)
        if item is None:
            data = self._work.writer.record(KEPT, int_key(client_version))
            assert data is not None, "the mirror says it is there"
            item = self._opened[client_version] = opened(unpack_trusted(data)[1])
        return item


def _bounded(changeset: bytes, item: Opened) -> bytes:
    """What is kept of a large changeset: what is small enough, until it is too much."""
    left: set[ObjectName] = set()
    size = 0
    for name, delta in item.deltas.items():
        if len(delta) <= KEPT_DELTA_BYTES_MAX:
            size += len(delta)
            if size > KEPT_BYTES_MAX // 2 or len(left) >= KEPT_DELTAS_MAX:
                break
            left.add(name)
    if len(left) == len(item.keys):
        return changeset
    whole = decode_trusted(changeset)
    objects = [each for each in whole.objects if (each.class_name, key_bytes(each.key)) in left]
    return encode_unbounded(replace(whole, objects=objects, schema={}))
