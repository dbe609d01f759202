"""What a client file keeps of its own writes once they are synchronised, to tell when they lose.

| table | key | value |
| --- | --- | --- |
| acked | last client version of a run | [first client version, server version of the last] |
| kept | class, key, client version | [server version, time, bytes of the delta] |

Rule 1: an ACK says which server versions its changesets got [UP-7]. The author of another version
        had seen ours if what it had seen is at least that. [JOURNAL-LOST]
Rule 2: a delta is kept when it is folded. Past KEPT_DELTAS_MAX deltas or KEPT_BYTES_MAX bytes the
        older half goes; a delta of more than KEPT_DELTA_BYTES_MAX bytes is not kept. What is not
        kept loses without being told. [JOURNAL-7]
Rule 3: a file that is forked keeps nothing: what it wrote comes back as somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from replication.client.entities import ObjectName
from replication.client.records import ACKED, KEPT, object_key
from replication.crdt.object import ObjectState
from replication.crdt.register import Stamp
from replication.history.changeset import Outline
from replication.limits import KEPT_BYTES_MAX, KEPT_DELTA_BYTES_MAX, KEPT_DELTAS_MAX
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import Key
from replication.storage.contract import Reader, int_from_key, int_key

if TYPE_CHECKING:
    from replication.client.database import Integration


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


def keep(work: Integration, client_version: int, changeset: Outline) -> None:
    """Keep the deltas of a changeset that is folded now. Rule 2."""
    version = version_of(work.writer, client_version)
    count, size = work.synced.kept_count, work.synced.kept_bytes
    for class_name, key, delta in changeset.objects if version is not None else ():
        if len(delta) <= KEPT_DELTA_BYTES_MAX:
            data = pack([version, changeset.time, delta])
            name = object_key(class_name, key) + int_key(client_version)
            work.writer.put_record(KEPT, name, data)
            count, size = count + 1, size + len(data)
    work.synced = work.synced._replace(kept_count=count, kept_bytes=size)


def make_room(work: Integration, mark: int) -> None:
    """Everything up to a mark has been folded: forget what is of no more use, and the oldest."""
    work.writer.delete_records(ACKED, last=int_key(mark))
    if work.synced.kept_count <= KEPT_DELTAS_MAX and work.synced.kept_bytes <= KEPT_BYTES_MAX:
        return
    found = [(name[-8:], name, len(data)) for name, data in work.writer.records(KEPT)]
    found.sort()
    half = len(found) // 2
    for _, name, _ in found[:half]:
        work.writer.delete_record(KEPT, name)
    work.synced = work.synced._replace(
        kept_count=len(found) - half, kept_bytes=sum(size for *_, size in found[half:])
    )


def forget_all(work: Integration) -> None:
    """Rule 3."""
    work.writer.delete_records(ACKED)
    work.writer.delete_records(KEPT)
    work.synced = work.synced._replace(integrated=0, kept_count=0, kept_bytes=0)


class OwnWrites:
    """The deltas of this file that are kept or pending, by object, while a download is applied.

    Of many objects the kept ones are read all at once: a look costs as much as reading some.
    """

    def __init__(self, work: Integration) -> None:
        self._work = work
        self._looks = 0
        #: All that is kept, by object, once that was read.
        self._kept: dict[bytes, list[tuple[bytes, bytes]]] | None = None

    def of(self, name: ObjectName, key: Key, *, seen: int = -1) -> list[Own]:
        """Those to one object that came after a server version, oldest first.

        But for pending blind creates: which life they begin is for the server to say.
        """
        out: list[Own] = []
        work = self._work
        ident = work.local.ident
        # From the latest on: who writes much has seen most of what was written.
        for record, data in self._records(object_key(name[0], key)):
            version, time, delta = unpack_trusted(data)
            if version <= seen:
                break
            out.append(Own(_number(record), version, (time, ident), unpack_trusted(delta)))
        out.reverse()
        for number, time, delta in work.seeing_deltas(name):
            known = number <= work.synced.acknowledged
            version = version_of(work.writer, number) if known else None
            out.append(Own(number, version, (time, ident), delta))
        return out

    def _records(self, prefix: bytes) -> Iterable[tuple[bytes, bytes]]:
        """The latest first."""
        writer, count = self._work.writer, self._work.synced.kept_count
        if not count:
            return []
        if self._kept is None:
            self._looks += 1
            if self._looks * _LOOK_COSTS < count:
                last = prefix + b"\xff" * 8
                return writer.records(KEPT, first=prefix, last=last, reverse=True)
            self._kept = {}
            for record, data in writer.records(KEPT, reverse=True):
                self._kept.setdefault(record[:-8], []).append((record, data))
        return self._kept.get(prefix, ())


#: Kept deltas that are read in the time of one look for those of one object.
_LOOK_COSTS: Final = 8


def _number(record: bytes) -> int:
    return int_from_key(record[-8:])
