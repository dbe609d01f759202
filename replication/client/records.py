"""What a client file keeps beside its objects, and how.

| table | key | value |
| --- | --- | --- |
| meta | b"local" | `Local` as of the last synchronisation; see Rule 2 |
| meta | b"synced" | `Synced`: what only synchronisation changes |
| meta | b"schema" | the schema this file knows, packed |
| meta | b"typed" | what the row of an object lacks: see `typed.py` |
| pending | client version | [changeset, first and last sequence minted in it] |
| base | class, key | [version, head]: the synced state of an object with pending deltas, or null |
| base_parts | class, key, part name | [version, data] of a part pending deltas changed, or null |
| staged | position in the download | [latest time of its rows, what is no row]: a staged DOWNLOAD |
| subscriptions | query version | see `subscriptions.py` |
| journal, journal_of | number; class, key, number | see `journal.py` |
| left | number | what is to be told of the view; see `left.py` |
| written, acked | client version | see `kept.py` |

Rule 1: the object row is the view, `merge(synced, pending)`; `base` holds the synced state only
        while the object has pending deltas: copied on the first local write, gone with the last.
        One row may be without what was typed last (`typed.py`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from replication.client.progress import DownloadProgress
from replication.history.changeset import DIGEST_START, decode_trusted
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import Key
from replication.storage.contract import Reader, Writer, int_from_key

META: Final = "meta"
PENDING: Final = "pending"
BASE: Final = "base"
BASE_PARTS: Final = "base_parts"
STAGED: Final = "staged"
SUBSCRIPTIONS: Final = "subscriptions"
JOURNAL: Final = "journal"
JOURNAL_OF: Final = "journal_of"
LEFT: Final = "left"
KEPT: Final = "written"
ACKED: Final = "acked"


class Local(NamedTuple):
    """What every local commit changes.

    `ident` 0: not identified yet. `clock` is the last time given out or received, `received` the
    last one received, `skew_ms` what is added to the wall clock since a server refused stamps too
    far ahead. `forking`: the ident turned out to be used by a copy of this file, and another one
    is to be asked for. `former` are idents this file had before and minted ids under.
    """

    ident: int = 0
    salt: int = 0
    clock: int = 0
    received: int = 0
    skew_ms: int = 0
    sequence: int = 0
    client_version: int = 0
    forking: bool = False
    former: tuple[int, ...] = ()

    def after(self, clock: int, sequence: int) -> Local:
        """The same after one more commit."""
        return self._replace(clock=clock, sequence=sequence, client_version=self.client_version + 1)


class Synced(NamedTuple):
    """What only synchronisation changes.

    `folded` is the last mark: pending up to there is gone. `acknowledged` and `digest` are the
    last ACK. `staged_query`, `staged_base`, `staged_position`, `staged_count` describe a staged
    download that is under way; `staged_mixed`: nothing more of it becomes staged rows.
    `horizon` is the last server version as of which everything dead is forgotten. `progress` is
    that of the last download in several messages. `integrated` is the server version of the last
    ACK; `kept_count` and `kept_bytes` say how much `kept.py` keeps.
    """

    cursor: int = 0
    cursor_salt: int = 0
    folded: int = 0
    acknowledged: int = 0
    digest: bytes = DIGEST_START
    query_version: int = 0
    staged_query: int = 0
    staged_base: int = 0
    staged_position: bytes = b""
    staged_count: int = 0
    staged_mixed: bool = False
    horizon: int = 0
    integrated: int = 0
    kept_count: int = 0
    kept_bytes: int = 0
    progress: DownloadProgress = DownloadProgress()


def load_local(reader: Reader) -> Local:
    """`Local` as it is after the last commit. Rule 2."""
    data = reader.record(META, b"local")
    local = Local()
    if data is not None:
        items = unpack_trusted(data)
        items[-1] = tuple(items[-1])
        local = Local(*items)
    for key, pending in reader.records(PENDING, reverse=True, limit=1):
        version = int_from_key(key)
        if version > local.client_version:
            changeset, _, sequence = unpack_trusted(pending)
            time = decode_trusted(changeset).time
            return local._replace(client_version=version, sequence=sequence, clock=time)
    return local


def store_local(writer: Writer, local: Local) -> None:
    """Write it. For synchronisation; see Rule 2."""
    writer.put_record(META, b"local", pack([*local[:-1], list(local.former)]))


def load_synced(reader: Reader) -> Synced:
    """The stored `Synced`, or a fresh one."""
    data = reader.record(META, b"synced")
    if data is None:
        return Synced()
    *items, progress = unpack_trusted(data)
    return Synced(*items)._replace(progress=DownloadProgress(*progress))


def store_synced(writer: Writer, synced: Synced) -> None:
    """Write it."""
    writer.put_record(META, b"synced", pack([*synced[:-1], list(synced.progress)]))


def object_key(class_name: str, key: Key) -> bytes:
    """The record key of an object in `base`, and the prefix of its parts in `base_parts`."""
    return pack(class_name) + pack(key)
