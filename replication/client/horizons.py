"""Horizons: a client file passes them with the DOWNLOAD that tells of them. [CLIENT-14] [CLIENT-15]

Rule 1: what the server integrated of this file up to the mark came before the horizon, or the file
        had passed it before. So the mark is folded first, then others' deltas of versions up to the
        horizon merge, then it is forgotten, then later ones merge.
Rule 2: objects without pending deltas are forgotten when they are next written to; see `replica`.
Rule 3: what is pending is re-based at once, all of it, from the synced state that it was written on
        to the one that is left; every pending changeset then says that it fits on the horizon. What
        the server has integrated stays as it was: the digest chain is made of its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

from replication.client.entities import ObjectName
from replication.client.integration import Integration
from replication.client.records import PENDING
from replication.crdt.object import ObjectState, absent, merge
from replication.crdt.rebase import Rebase
from replication.crdt.whole import joined
from replication.errors import DecodeError
from replication.history.changeset import decode_trusted, encode
from replication.model.encoding import key_bytes, pack, unpack_trusted
from replication.model.values import Key
from replication.protocol.body import ForgetOp, Operation
from replication.storage.contract import int_key


def leading(
    operations: Iterator[tuple[Operation, Any]],
) -> tuple[list[int], Iterator[tuple[Operation, Any]]]:
    """The horizons that a DOWNLOAD begins with, and the operations behind them. [DOWN-11]"""
    passed: list[int] = []
    for operation, state in operations:
        if type(operation) is not ForgetOp:
            return passed, chain([(operation, state)], operations)
        passed.append(operation.version)
    return passed, operations


def begin(work: Integration, passed: list[int], version: int) -> dict[ObjectName, ObjectState]:
    """Note the horizons that a DOWNLOAD up to ``version`` passes.

    Returns the joined synced states of the objects with pending deltas; empty if there are none.

    Raises:
        DecodeError: horizons that do not ascend, or past the version.
    """
    work.horizons = [work.synced.horizon]
    last = 0
    for horizon in passed:
        if not last < horizon <= version:
            raise DecodeError(f"horizon {horizon} after {last}, up to {version}")
        last = horizon
        if last > work.synced.horizon:
            work.horizons.append(last)
    if len(work.horizons) == 1:
        return {}
    out: dict[ObjectName, ObjectState] = {}
    for name, key in _objects(work).items():
        row = work.replica.row(name[0], key)
        _, state, parts = work.replica.settled_base(name[0], key, row, 0)
        out[name] = joined(state, parts)
    return out


def before(work: Integration, version: int) -> int:
    """The last horizon that a delta of a version comes after.

    Raises:
        DecodeError: it comes before the horizon this file has passed.
    """
    passed = work.horizons
    if version <= passed[0]:
        raise DecodeError(f"a delta of version {version}, which is forgotten up to {passed[0]}")
    return passed[0] if len(passed) == 1 else max(each for each in passed if each < version)


def view(work: Integration, name: ObjectName, key: Key, version: int) -> ObjectState | None:
    """What an object with pending deltas would show before a delta of a version merges, joined.

    None where no horizon is passed: then the view is kept up to date.
    """
    if len(work.horizons) == 1:
        return None
    row = work.replica.row(name[0], key)
    _, state, parts = work.replica.settled_base(name[0], key, row, before(work, version))
    state = joined(state, parts)
    for delta in work.deltas(name, work.pending[name]):
        state = merge(state, delta)
    return state


def end(work: Integration, was: dict[ObjectName, ObjectState], mark: int) -> dict[ObjectName, Key]:
    """Pass the horizons: all operations are done. Rule 3.

    Args:
        was: what `begin` returned.

    Returns:
        The objects whose view is to be computed again.
    """
    if len(work.horizons) == 1:
        return {}
    horizon = work.replica.horizon = work.horizons[-1]
    work.synced = work.synced._replace(horizon=horizon)
    work.horizons = [horizon]
    objects = _objects(work)
    pasts = {name: _past(work, name, key, was.get(name)) for name, key in objects.items()}
    for version in _pending(work, mark):
        record = work.writer.record(PENDING, int_key(version))
        assert record is not None, "pending changesets are dense"
        data, *sequences = unpack_trusted(record)
        changeset = decode_trusted(data)
        deltas = [
            item._replace(delta=pasts[item.class_name, key_bytes(item.key)].take(item.delta))
            for item in changeset.objects
        ]
        if version > work.synced.acknowledged:
            rebased = encode(replace(changeset, objects=deltas, horizon=horizon))
            work.writer.put_record(PENDING, int_key(version), pack([rebased, *sequences]))
    return objects


def _pending(work: Integration, mark: int) -> range:
    return range(max(work.synced.folded, mark) + 1, work.local.client_version + 1)


def _objects(work: Integration) -> dict[ObjectName, Key]:
    """The objects that have pending deltas."""
    out: dict[ObjectName, Key] = {}
    for version in sorted({version for held in work.pending.values() for version in held}):
        out.update(work.opened(version).objects())
    return out


def _past(work: Integration, name: ObjectName, key: Key, was: ObjectState | None) -> Rebase:
    """Forget in the synced state of an object; returns what re-bases its pending deltas."""
    class_name, horizon = name[0], work.replica.horizon
    row = work.replica.row(class_name, key)
    version, state, parts = work.replica.settled_base(class_name, key, row, horizon)
    held = version > 0
    left = joined(state, parts)
    if held:
        work.replica.put_base(class_name, key, version, state, parts)
    return Rebase(absent() if was is None else was, left, held=held)
