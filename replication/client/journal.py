"""The journal of a client file: what its writes lost, and what the server refused of them.

| table | key | value |
| --- | --- | --- |
| journal | number | an `Entry`, packed |
| journal_of | class, key, number | nothing: the entries of one object |
| meta | b"journal" | `_Kept`: how much there is |

Rule 1: one entry says what one transaction lost on one object, by one rule, to one other write. It
        is durable together with what it tells of, and stays until somebody dismisses it.
        [JOURNAL-4]
Rule 2: a part of a write is told once: not again where it came back and was lost again, nor where
        the server then refuses what was lost already. [JOURNAL-5]
Rule 3: past JOURNAL_ENTRIES_MAX entries or JOURNAL_BYTES_MAX bytes the oldest ones go, and are
        counted. [JOURNAL-6]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from replication.client.losses import Lost, Way
from replication.client.records import JOURNAL, JOURNAL_OF, META, object_key
from replication.errors import UsageError
from replication.limits import JOURNAL_BYTES_MAX, JOURNAL_ENTRIES_MAX, JOURNAL_ENTRY_BYTES_MAX
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import Key
from replication.storage.contract import Reader, Writer, int_from_key, int_key

if TYPE_CHECKING:
    from replication.client.database import Database


@dataclass(frozen=True, slots=True)
class Entry:
    """What one transaction of this file lost on one object, to one cause.

    Attributes:
        number: of the entry in its file, from 1.
        class_name, key: of the object; the key is None where a refusal is about no single object.
        client_version: of the changeset that lost.
        time: of its stamp.
        lost: the parts that show no more.
        omitted: how many more there were than an entry may hold.
        rule: by which it was overridden; see `losses.RULES`. Empty for what was only refused.
        by: the file ident of who overrode it; None where that can't be told.
        at: the time of the stamp of what won; None where that can't be told.
        version: the server version that did it, where that is known.
        seen: the server version its author had seen; None: it is not known whether it had seen this
            write.
        reason: why the server refused it; empty for what was overridden.
        path: what was refused, as the server names it; see `server.refusals`.
        message: the same as a sentence.
        role, rule_path, clause: what of the server's rules refused it; see `protocol.refusals`.
    """

    class_name: str
    key: Key | None
    client_version: int
    time: int
    lost: tuple[Lost, ...]
    rule: str = ""
    by: int | None = None
    at: int | None = None
    version: int | None = None
    seen: int | None = None
    reason: str = ""
    message: str = ""
    path: Way = ()
    omitted: int = 0
    role: str = ""
    rule_path: str = ""
    clause: str = ""
    number: int = 0

    @property
    def is_refusal(self) -> bool:
        """Whether the server refused it."""
        return bool(self.reason)

    def pack(self) -> bytes:
        """As it is stored."""
        lost = [[listed(item.path), *item[1:]] for item in self.lost]
        return pack(
            [self.class_name, self.key, self.client_version, self.time, lost, self.rule, self.by,
             self.at, self.version, self.seen, self.reason, self.message, listed(self.path),
             self.omitted, self.role, self.rule_path, self.clause]
        )  # fmt: skip


def listed(path: Iterable[Any]) -> list[Any]:
    """The inverse of `way_from`."""
    return [list(step) if type(step) is tuple else step for step in path]


def read_entry(number: int, data: bytes) -> Entry:
    """A stored entry."""
    items = unpack_trusted(data)
    items[4] = tuple(Lost(way_from(way), *sides) for way, *sides in items[4])
    items[12] = way_from(items[12])
    return replace(Entry(*items), number=number)


def way_from(path: list[Any]) -> Way:
    """A path as it is stored or travels: elements are lists there."""
    return tuple(tuple(step) if type(step) is list else step for step in path)


class _Kept(NamedTuple):
    """The number of the last entry, how many there are, their bytes, how many made room."""

    last: int = 0
    held: int = 0
    size: int = 0
    dropped: int = 0


def _kept(reader: Reader) -> _Kept:
    data = reader.record(META, b"journal")
    return _Kept() if data is None else _Kept(*unpack_trusted(data))


def entries(reader: Reader, after: int = 0) -> Iterator[Entry]:
    """All entries, oldest first, whose numbers are greater than ``after``."""
    for key, data in reader.records(JOURNAL, first=int_key(after + 1)):
        yield read_entry(int_from_key(key), data)


def entries_of(reader: Reader, class_name: str, key: Key) -> list[Entry]:
    """The entries about one object, oldest first."""
    prefix = object_key(class_name, key)
    found = reader.records(JOURNAL_OF, first=prefix, last=prefix + b"\xff" * 8)
    numbers = [name[len(prefix) :] for name, _ in found]
    out = []
    for number in numbers:
        data = reader.record(JOURNAL, number)
        if data is not None:
            out.append(read_entry(int_from_key(number), data))
    return out


def append(writer: Writer, entry: Entry) -> Entry | None:
    """Write an entry; returns it with its number, None where all of it was told before. Rule 2."""
    kept = _kept(writer)
    lost = entry.lost
    if entry.key is not None:
        known = entries_of(writer, entry.class_name, entry.key) if kept.held else ()
        told = {
            _name(part)
            for each in known
            if each.client_version == entry.client_version
            for part in each.lost
        }
        lost = tuple(part for part in entry.lost if _name(part) not in told)
        if not lost and entry.lost and not entry.is_refusal:
            return None
    entry = _bounded(replace(entry, number=kept.last + 1, lost=lost))
    data = entry.pack()
    writer.put_record(JOURNAL, int_key(entry.number), data)
    if entry.key is not None:
        name = object_key(entry.class_name, entry.key) + int_key(entry.number)
        writer.put_record(JOURNAL_OF, name, b"")
    kept = _Kept(entry.number, kept.held + 1, kept.size + len(data), kept.dropped)
    _store(writer, kept)
    _make_room(writer, kept)
    return entry


def _name(part: Lost) -> bytes:
    """What tells a part of a write from its others: members of a set stand at one path, as do
    formats of the same characters.
    """
    member = part.old if part.old is not None else part.new
    return pack([listed(part.path), part.did, member if part.did in _MEMBERS else None])


_MEMBERS = ("inserted", "removed", "formatted")


def _bounded(entry: Entry) -> Entry:
    """An entry with as many parts as it may hold."""
    size = 0
    for position, part in enumerate(entry.lost):
        size += len(pack([listed(part.path), *part[1:]]))
        if size > JOURNAL_ENTRY_BYTES_MAX:
            left = len(entry.lost) - position
            return replace(entry, lost=entry.lost[:position], omitted=entry.omitted + left)
    return entry


def _store(writer: Writer, kept: _Kept) -> None:
    writer.put_record(META, b"journal", pack(list(kept)))


def _make_room(writer: Writer, kept: _Kept) -> None:
    """Rule 3."""
    while kept.held > JOURNAL_ENTRIES_MAX or kept.size > JOURNAL_BYTES_MAX:
        oldest = next(iter(writer.records(JOURNAL, limit=1)))[0]
        _remove(writer, oldest)
        kept = _kept(writer)._replace(dropped=kept.dropped + 1)
        _store(writer, kept)


def _remove(writer: Writer, number: bytes) -> bool:
    data = writer.record(JOURNAL, number)
    if data is None:
        return False
    entry = read_entry(int_from_key(number), data)
    writer.delete_record(JOURNAL, number)
    if entry.key is not None:
        writer.delete_record(JOURNAL_OF, object_key(entry.class_name, entry.key) + number)
    kept = _kept(writer)
    _store(writer, kept._replace(held=kept.held - 1, size=kept.size - len(data)))
    return True


class Journal:
    """The journal of a database: `Database.journal`. Iterable, oldest entry first; has a length."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def __len__(self) -> int:
        with self._db.reading() as reader:
            return _kept(reader).held

    def __iter__(self) -> Iterator[Entry]:
        with self._db.reading() as reader:
            return iter(list(entries(reader)))

    @property
    def dropped(self) -> int:
        """How many entries had to make room for later ones."""
        with self._db.reading() as reader:
            return _kept(reader).dropped

    def of(self, cls: Any, key: Key) -> list[Entry]:
        """The entries about one object.

        Args:
            cls: its class as the app declared it, or its name.

        Raises:
            SchemaError: there is no such class.
        """
        with self._db.reading() as reader:
            return entries_of(reader, self._db.handles.keyed(cls).name, key)

    def dismiss(self, *numbers: int) -> None:
        """Delete entries: they have been dealt with.

        Raises:
            UsageError: there is no entry of a number; none is dismissed.
            NoTransactionError: a write transaction is running in this thread.
        """
        with self._db.integrating() as work:
            for number in dict.fromkeys(numbers):
                if number < 0 or not _remove(work.writer, int_key(number)):
                    raise UsageError(f"the journal has no entry {number}")

    def retry(self, number: int) -> None:
        """Write the parts of an entry again and dismiss it, in one transaction of its own.

        What they say is written to what is there now; see `retry.py`. The server may refuse it
        anew.

        Raises:
            UsageError: there is no such entry, or it can't be written again.
            NoSuchObjectError: what it is about is not here.
            NoTransactionError: a write transaction is running in this thread.
        """
        from replication.client.retry import retry  # it needs a Database

        with self._db.write() as transaction:
            key = int_key(max(number, 0))
            data = transaction.writer.record(JOURNAL, key)
            if data is None:
                raise UsageError(f"the journal has no entry {number}")
            retry(self._db, transaction, read_entry(number, data))
            _remove(transaction.writer, key)

    def clear(self) -> None:
        """Dismiss all that there is now."""
        self.dismiss(*(entry.number for entry in self))
