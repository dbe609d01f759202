"""The changesets that this file has written and the server has not folded yet, in their order."""

from __future__ import annotations

from replication.client.entities import ObjectName
from replication.client.opened import opened
from replication.client.records import PENDING
from replication.errors import StoreCorruptError
from replication.model.encoding import unpack_trusted
from replication.storage.contract import Reader, int_from_key, int_key


def pending_objects(reader: Reader) -> dict[ObjectName, list[int]]:
    """The client versions of the pending deltas of each object."""
    out: dict[ObjectName, list[int]] = {}
    for version, data in reader.records(PENDING):
        for name in opened(unpack_trusted(data)[0]).deltas:
            out.setdefault(name, []).append(int_from_key(version))
    return out


def unsent(reader: Reader, first: int, count: int, bytes_target: int) -> list[bytes]:
    """Consecutive pending changesets from client version ``first`` on, at least one if any.

    Args:
        count: at most so many.
        bytes_target: none more once they are larger than that.

    Raises:
        StoreCorruptError: one is missing.
    """
    out: list[bytes] = []
    size = 0
    for version, data in reader.records(PENDING, first=int_key(first), limit=count):
        if int_from_key(version) != first + len(out):
            raise StoreCorruptError(f"pending changeset {first + len(out)} is missing")
        changeset = unpack_trusted(data)[0]
        size += len(changeset)
        if out and size > bytes_target:
            break
        out.append(changeset)
    return out
