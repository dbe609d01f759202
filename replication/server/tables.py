"""What a server keeps beside the objects, and how.

| table | key | value |
| --- | --- | --- |
| meta | b"ledger" | `Ledger`: where the data set stands |
| meta | b"schema" | the schema, packed; absent where nothing is checked |
| meta | b"asked" | the properties whose long lists are kept; see `lists` |
| log | server version | see `history.log` |
| files | file ident | `File` |
| runs | ident, client version | the server version of that changeset, and so of those that follow |
| refusals | ident, client version | [server version, refusals, what was integrated, or null] |
| lengths | class and key, server version | the causal length of the object before that version |
| sizes | class and key | bytes of the parts of an object that has any |
| postings | chunk of the log | see `log_index` |
| pasts | class, key, part, server version | the part before that version; see `lists` |
| sights | file ident, server version | what its user may read from then on: a `Sight` |

Rule 1: `runs` has a row wherever a file's changesets do not simply follow one another in the log.
Rule 2: `refusals` keeps what a client may not have seen yet; its IDENT says what it has.
Rule 4: `sights` has no row for a file whose user was always shown everything; none for what came to
        an end before the file's last cursor.
Rule 3: `lengths` has a row for each rise of a length past 1: deletions and re-creations, also what
        was created and deleted in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from replication.errors import StoreCorruptError
from replication.history.changeset import DIGEST_START
from replication.history.log import Entry, decode_entry
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import Key
from replication.rules.sight import EVERYTHING, Sight, from_key
from replication.storage.contract import Reader, Writer, int_from_key, int_key

META: Final = "meta"
LOG: Final = "log"
FILES: Final = "files"
RUNS: Final = "runs"
REFUSALS: Final = "refusals"
LENGTHS: Final = "lengths"
SIZES: Final = "sizes"
POSTINGS: Final = "postings"
SIGHTS: Final = "sights"
PASTS: Final = "pasts"

LEDGER: Final = b"ledger"
SCHEMA: Final = b"schema"
QUERYABLE: Final = b"queryable"
ASKED: Final = b"asked"
PARTITIONS: Final = b"partitions"
#: The file ident of the server itself.
SERVER_IDENT: Final = 1


@dataclass(slots=True)
class Ledger:
    """Where a data set stands: the latest version and what comes next.

    `clock` is the greatest time of any stamp here, `sequence` the last id the server minted,
    `horizon` the last version as of which everything dead is forgotten, 0 for none.
    """

    version: int = 0
    salt: int = 0
    clock: int = 0
    next_ident: int = SERVER_IDENT + 1
    sequence: int = 0
    horizon: int = 0


def load_ledger(reader: Reader) -> Ledger:
    """The stored ledger, or that of an empty data set."""
    data = reader.record(META, LEDGER)
    return Ledger() if data is None else Ledger(*unpack_trusted(data))


def store_ledger(writer: Writer, ledger: Ledger) -> None:
    """Write it."""
    record = [ledger.version, ledger.salt, ledger.clock, ledger.next_ident, ledger.sequence,
              ledger.horizon]  # fmt: skip
    writer.put_record(META, LEDGER, pack(record))


@dataclass(slots=True)
class File:
    """One client file as the server knows it.

    `client_version`, `version`, `digest` are of the last changeset integrated; `former` are idents
    it had before; `remembered` counts what `refusals` keeps for it.
    """

    salt: int
    user: str
    client_version: int = 0
    version: int = 0
    digest: bytes = DIGEST_START
    former: list[int] = field(default_factory=list)
    remembered: int = 0


def load_file(reader: Reader, ident: int) -> File | None:
    """A client file, or None."""
    data = reader.record(FILES, int_key(ident))
    return None if data is None else File(*unpack_trusted(data))


def store_file(writer: Writer, ident: int, file: File) -> None:
    """Write it."""
    record = [file.salt, file.user, file.client_version, file.version, file.digest, file.former,
              file.remembered]  # fmt: skip
    writer.put_record(FILES, int_key(ident), pack(record))


def entry_at(reader: Reader, version: int) -> Entry | None:
    """One entry of the log."""
    data = reader.record(LOG, int_key(version))
    return None if data is None else decode_entry(version, data)


def entries(reader: Reader, first: int, last: int) -> Iterator[Entry]:
    """The entries ``first <= version <= last``, by version."""
    for key, data in reader.records(LOG, first=int_key(first), last=int_key(last)):
        yield decode_entry(int_from_key(key), data)


def entries_at(reader: Reader, versions: list[int]) -> Iterator[Entry]:
    """The entries of some versions, which ascend."""
    start = 0
    for at in range(1, len(versions) + 1):
        if at == len(versions) or versions[at] != versions[at - 1] + 1:
            yield from entries(reader, versions[start], versions[at - 1])
            start = at


def file_key(ident: int, client_version: int) -> bytes:
    """The key of something about one changeset of one file."""
    return int_key(ident) + int_key(client_version)


def begin_run(writer: Writer, ident: int, client_version: int, version: int) -> None:
    """From here on, this file's changesets follow one another in the log. Rule 1."""
    writer.put_record(RUNS, file_key(ident, client_version), int_key(version))


def version_of(reader: Reader, ident: int, client_version: int) -> int:
    """The server version of a changeset that is integrated."""
    found = reader.records(
        RUNS,
        first=file_key(ident, 0),
        last=file_key(ident, client_version),
        reverse=True,
        limit=1,
    )
    for key, version in found:
        return int_from_key(version) + client_version - int_from_key(key[8:])
    raise StoreCorruptError(f"changeset {client_version} of file {ident} is not in the log")


def run_ends(reader: Reader, ident: int, first: int, last: int) -> list[tuple[int, int]]:
    """Client and server version at the end of each run of the client versions first to last.

    Within a run server versions are consecutive. Ascending; the last one is at ``last``.
    """
    starts = reader.records(RUNS, first=file_key(ident, first + 1), last=file_key(ident, last))
    ends = [*(int_from_key(key[8:]) - 1 for key, _ in starts), last]
    return [(end, version_of(reader, ident, end)) for end in ends]


def versions_between(
    reader: Reader, ident: int, file: File, after: int, last: int, *, most: int
) -> list[int] | None:
    """The server versions ``after < version <= last`` of a file's changesets, latest first.

    Returns:
        None if there are more than ``most``.
    """
    out: list[int] = []
    end = file.client_version
    runs = reader.records(RUNS, first=file_key(ident, 0), last=file_key(ident, end), reverse=True)
    for key, value in runs:
        first, version = int_from_key(key[8:]), int_from_key(value)
        run_end = version + end - first
        if run_end <= after:
            break
        for number in range(min(run_end, last), max(version - 1, after), -1):
            out.append(number)
            if len(out) > most:
                return None
        end = first - 1
    return out


class Remembered(NamedTuple):
    """What is remembered of a changeset that was not integrated as it was sent."""

    client_version: int
    version: int
    #: As an ACK carries them.
    refusals: list[Any]
    rewritten: bytes | None


def remember(writer: Writer, ident: int, item: Remembered) -> None:
    """Keep it until the client has seen it. Rule 2."""
    writer.put_record(REFUSALS, file_key(ident, item.client_version), pack(list(item[1:])))


def remembered(reader: Reader, ident: int, first: int, last: int) -> list[Remembered]:
    """What is kept of the client versions ``first`` to ``last``."""
    found = reader.records(REFUSALS, first=file_key(ident, first), last=file_key(ident, last))
    return [Remembered(int_from_key(key[8:]), *unpack_trusted(data)) for key, data in found]


def forget(writer: Writer, ident: int, file: File, last: int) -> None:
    """The client has seen everything up to client version ``last``; changes and stores ``file``."""
    seen = remembered(writer, ident, 0, last)
    if seen:
        writer.delete_records(REFUSALS, first=file_key(ident, 0), last=file_key(ident, last))
        file.remembered -= sum(weight(item) for item in seen)
        store_file(writer, ident, file)


def weight(item: Remembered) -> int:
    """How much of REFUSALS_MAX it takes."""
    return 1 + len(item.refusals)


def object_key(class_name: str, key: Key) -> bytes:
    """What names an object in a table; none of these is the beginning of another."""
    return pack(class_name) + pack(key)


def store_length(writer: Writer, name: bytes, version: int, length: int) -> None:
    """The object ``name`` had the causal length ``length`` before ``version``. Rule 3."""
    writer.put_record(LENGTHS, name + int_key(version), pack(length))


def length_at(reader: Reader, name: bytes, version: int, now: int) -> int:
    """The causal length an object had at a server version.

    One that was not created yet then counts as alive for the first time: both make of a create
    the same thing.

    Args:
        now: its length now.
    """
    later = reader.records(
        LENGTHS, first=name + int_key(version + 1), last=name + int_key(2**63 - 1), limit=1
    )
    for _, length in later:
        return int(unpack_trusted(length))
    return now


def load_size(reader: Reader, class_name: str, key: Key) -> int:
    """Bytes of the parts of an object."""
    data = reader.record(SIZES, object_key(class_name, key))
    return 0 if data is None else int(unpack_trusted(data))


def store_size(writer: Writer, class_name: str, key: Key, size: int) -> None:
    """The parts of an object have ``size`` bytes now."""
    name = object_key(class_name, key)
    if size:
        writer.put_record(SIZES, name, pack(size))
    else:
        writer.delete_record(SIZES, name)


def has_parts(reader: Reader, class_name: str) -> bool:
    """Whether any object of a class has parts."""
    prefix = pack(class_name)
    # No key packs to bytes past this one.
    found = reader.records(SIZES, first=prefix, last=prefix + b"\xff", limit=1)
    return any(True for _ in found)


def sight_at(reader: Reader, ident: int, version: int) -> tuple[int, Sight]:
    """What a file's user might read at a server version, and since which one."""
    last = file_key(ident, version)
    found = reader.records(SIGHTS, first=file_key(ident, 0), last=last, reverse=True, limit=1)
    for key, data in found:
        return int_from_key(key[8:]), from_key(unpack_trusted(data))
    return 0, EVERYTHING


def store_sight(writer: Writer, ident: int, version: int, sight: Sight) -> None:
    """From a server version on a file's user may read this."""
    writer.put_record(SIGHTS, file_key(ident, version), pack(sight.key))


def begin_sight(writer: Writer, ident: int, sight: Sight) -> None:
    """A new file's user may read this. Rule 4."""
    if sight.key != EVERYTHING.key:
        store_sight(writer, ident, 0, sight)


def forget_sights(writer: Writer, ident: int, version: int) -> None:
    """Forget what a file's user might read before that of a server version. Rule 4."""
    since, _ = sight_at(writer, ident, version)
    if since:
        last = file_key(ident, since - 1)
        writer.delete_records(SIGHTS, first=file_key(ident, 0), last=last)
