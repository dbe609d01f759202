"""Pending deltas renamed: at the first IDENT, as a forked file, and when the clock ran ahead.

Rule 1: ident 0 (or a copied file's old ident) becomes the new one everywhere this file's pending
        deltas put it: stamps and the ids they minted, in pending changesets and views, in one
        transaction. Ids minted earlier, which others know, stay. [SUBST-1]
        The units of a copied file's pending texts get other client ids, too. [SUBST-6]
Rule 2: when the server refuses a stamp as too far in its future, all pending stamps from there on
        move back, keeping their order, and the clock goes on from them. [SUBST-2]
Rule 3: views are computed again from the synced state and the renamed deltas. [SUBST-3]
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import NamedTuple

from replication.client import kept
from replication.client.apply import rebuild
from replication.client.entities import ObjectName
from replication.client.integration import Integration
from replication.client.records import PENDING
from replication.client.subscriptions import renumber
from replication.clock import time_from_ms
from replication.crdt.list import Id
from replication.crdt.reclient import Reclient
from replication.crdt.register import Stamp
from replication.crdt.substitute import Substitution
from replication.history.changeset import (
    DIGEST_START,
    Changeset,
    ObjectDelta,
    decode_trusted,
    encode,
)
from replication.limits import TEXT_CLIENT_MAX
from replication.model.encoding import key_bytes, pack, unpack_trusted
from replication.model.values import Key
from replication.storage.contract import int_from_key, int_key


class Pending(NamedTuple):
    """One pending changeset and the first and last sequence minted in it."""

    version: int
    changeset: Changeset
    first: int
    last: int


def adopt(work: Integration, ident: int, salt: int) -> None:
    """Take the ident the server assigned: Rule 1.

    A forked file's unacknowledged changesets are numbered from 1 in the new ident's history; what
    was acknowledged under the old one comes back with the next DOWNLOAD, as another file's.
    """
    old = work.local.ident
    first = work.synced.acknowledged + 1
    dropped = _drop(work, work.synced.folded + 1, first) if old else {}
    pending = _pending(work, first)
    minted_from = min((item.first for item in pending), default=work.local.sequence + 1)

    def new_stamp(time: int, origin: int) -> Stamp:
        return (time, ident if origin == old else origin)

    def new_id(owner: int, sequence: int) -> Id:
        mine = owner == old and sequence >= minted_from
        return (ident if mine else owner, sequence)

    work.rename(old, minted_from, ident)
    work.local = work.local._replace(ident=ident, salt=salt, forking=False)
    if old:
        kept.forget_all(work)
        former = (*work.local.former, old)
        work.local = work.local._replace(former=former, client_version=len(pending))
        work.synced = work.synced._replace(acknowledged=0, folded=0, digest=DIGEST_START)
        pending = _renumber(work, pending, 1 - first)
        renumber(work.writer, 1 - first)
        pending = _reclient(pending, ident, salt)
    _rename(work, pending, Substitution(new_stamp, new_id), {}, dropped)


def _reclient(pending: list[Pending], ident: int, salt: int) -> list[Pending]:
    """Rename who typed what is pending: the other copy of the file says that it did. [SUBST-6]"""

    def client(old: int) -> int:
        drawn = hashlib.sha256(pack([salt, old])).digest()[:8]
        return int.from_bytes(drawn, "big") % TEXT_CLIENT_MAX + 1

    renaming = Reclient(ident, client)
    out = []
    for item in pending:
        objects = [
            each._replace(delta=renaming.object((each.class_name, key_bytes(each.key)), each.delta))
            for each in item.changeset.objects
        ]
        out.append(item._replace(changeset=replace(item.changeset, objects=objects)))
    return out


def pull_back(work: Integration, first: int, server_ms: int, wall_ms: int) -> None:
    """Stamp everything from client version ``first`` on anew: Rule 2.

    Args:
        server_ms, wall_ms: what the server's and this device's clocks say now.
    """
    pending = _pending(work, first)
    own = work.local.ident
    floor = max(time_from_ms(server_ms), work.local.received)
    for version in range(work.synced.folded + 1, first):
        floor = max(floor, work.opened(version).time)
    times: dict[int, int] = {}
    for _, changeset, *_ in pending:
        floor += 1
        times[changeset.time] = floor

    def new_stamp(time: int, origin: int) -> Stamp:
        return (times.get(time, time) if origin == own else time, origin)

    work.local = work.local._replace(clock=floor, skew_ms=min(0, server_ms - wall_ms))
    same_ids = Substitution(new_stamp, lambda ident, sequence: (ident, sequence))
    _rename(work, pending, same_ids, times, {})


def _pending(work: Integration, first: int) -> list[Pending]:
    out = []
    for version, data in work.writer.records(PENDING, first=int_key(first)):
        changeset, *sequences = unpack_trusted(data)
        out.append(Pending(int_from_key(version), decode_trusted(changeset), *sequences))
    return out


def _drop(work: Integration, first: int, end: int) -> dict[ObjectName, Key]:
    """Forget the pending changesets ``first <= version < end``; returns the objects in them."""
    touched: dict[ObjectName, Key] = {}
    for version in range(first, end):
        for name, key in work.opened(version).objects():
            touched[name] = key
            work.pending[name].remove(version)
        work.writer.delete_record(PENDING, int_key(version))
    return touched


def _renumber(work: Integration, pending: list[Pending], shift: int) -> list[Pending]:
    for version, *_ in pending:
        work.writer.delete_record(PENDING, int_key(version))
    for name, versions in work.pending.items():
        work.pending[name] = [version + shift for version in versions]
    return [item._replace(version=item.version + shift) for item in pending]


def _rename(
    work: Integration,
    pending: list[Pending],
    substitution: Substitution,
    times: dict[int, int],
    touched: dict[ObjectName, Key],
) -> None:
    """Write the renamed changesets, then compute the views of their objects anew. Rule 3."""
    for version, changeset, *sequences in pending:
        objects = [
            ObjectDelta(item.class_name, item.key, substitution.object(item.delta), item.blind)
            for item in changeset.objects
        ]
        time = times.get(changeset.time, changeset.time)
        renamed = encode(replace(changeset, time=time, objects=objects))
        work.writer.put_record(PENDING, int_key(version), pack([renamed, *sequences]))
        for item in objects:
            touched[item.class_name, key_bytes(item.key)] = item.key
    for name, key in touched.items():
        rebuild(work, name, key)
