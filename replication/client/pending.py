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
) -> tuple[dict[ObjectName, list[int]], dict[ObjectName, int]]:
    """The client versions of the pending deltas of each object; and the objects that this file
    began without holding them, in changesets that are not acknowledged, with the greatest length
    that these wrote, counted from life 1: in which life they are is not known here.
    """
    out: dict[ObjectName, list[int]] = {}
    blind: dict[ObjectName, int] = {}
    for key, data in reader.records(PENDING):
        version, item = int_from_key(key), opened(unpack_trusted(data)[0])
        if version > acknowledged:
            for name in item.marked:
                if name in blind or name not in out:
                    note_blind(blind, name, unpack_trusted(item.deltas[name])[0])
        for name in item.deltas:
            out.setdefault(name, []).append(version)
    return out, blind


def note_blind(blind: dict[ObjectName, int], name: ObjectName, length: int) -> None:
    """A delta that is blind wrote this length."""
    blind[name] = max(blind.get(name, 0), length)


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
