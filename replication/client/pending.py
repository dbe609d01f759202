"""The changesets that this file has written and the server has not folded yet, in their order."""

from __future__ import annotations

from replication.client.entities import ObjectName
from replication.client.opened import opened
from replication.client.records import PENDING
from replication.errors import StoreCorruptError
from replication.model.encoding import unpack_trusted
from replication.storage.contract import Reader, int_from_key, int_key


def pending_objects(
    reader: Reader, acknowledged: int
) -> tuple[dict[ObjectName, list[int]], set[ObjectName]]:
    """The client versions of the pending deltas of each object; and the objects that this file
    began without holding them, in changesets that are not acknowledged: in which life they are is
    not known here.
    """
    out: dict[ObjectName, list[int]] = {}
    blind: set[ObjectName] = set()
    for key, data in reader.records(PENDING):
        version, item = int_from_key(key), opened(unpack_trusted(data)[0])
        if version > acknowledged:
            blind.update(name for name in item.marked if name not in out)
        for name in item.deltas:
            out.setdefault(name, []).append(version)
    return out, blind


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
