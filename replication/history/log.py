"""The server's log: one entry for each changeset it integrated, in one dense order.

    [salt, origin, client version, user, received, digest, changeset, before,
     since, schema]

* `salt`: random, drawn when the version was given out: a history that was restored from a backup
  and went on differently has the same versions and other salts.
* `origin`, `client version`: whose changeset it is. `digest`: that file's chain up to here, over
  the bytes as they were uploaded.
* `user`, `received`: who sent it, and when in milliseconds since 2015.
* `changeset`: as it was integrated, without what was refused.
* `before`: for each of its objects the head before it, null where there was none. Never sent.
* `since`: for each of them the version that head was of, 0 where there was none.
* `schema`: the classes and properties it added.

Rule 1: server versions are dense, from 1 on. Version 0 is the empty data set; its salt is 0.
Rule 2: an entry is never changed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from replication.model.encoding import pack, unpack_trusted


class Entry(NamedTuple):
    """One entry, with its server version."""

    version: int
    salt: int
    origin: int
    client_version: int
    user: str
    #: Milliseconds since 2015.
    received_ms: int
    digest: bytes
    changeset: bytes
    before: list[bytes | None]
    since: list[int]
    schema: dict[str, Any]


def encode_entry(entry: Entry) -> bytes:
    """The bytes an entry is stored as, under its version."""
    return pack(list(entry[1:]))


def decode_entry(version: int, data: bytes) -> Entry:
    """What `encode_entry` wrote."""
    return Entry(version, *unpack_trusted(data))
