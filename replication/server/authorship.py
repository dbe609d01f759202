"""Whether a changeset is what its author may say at all; no state is looked at.

What is found wrong here is no conflict but a broken or hostile client, so the changeset is
rejected, not refused in part.

Rule 1: every stamp a changeset writes is the one of its transaction: its own time, one of its
        file's idents. Whatever it minted is named by one of its file's idents. [UP-4]
Rule 2: what a default says it saw is not ahead of what the server accepts: it would win against
        all later writes.
Rule 3: a create names the fields of the length it creates, a delete none; a top-level object has
        no incarnations but its lengths.

References to what others minted (parents of places, elements, incarnations) are for `judge`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from replication.crdt import object as obj
from replication.crdt.list import Chunk
from replication.crdt.register import Groups
from replication.crdt.text import Owners
from replication.errors import DecodeError
from replication.history.changeset import Changeset
from replication.model.encoding import unpack_trusted


def check_authorship(changeset: Changeset, idents: Collection[int], time_max: int) -> None:
    """Raise DecodeError unless the rules above hold.

    Args:
        idents: of the file it came from, its former ones included.
        time_max: the greatest time the server accepts now.
    """
    check = _Check(changeset.time, idents, time_max)
    for item in changeset.objects:
        if item.delta[2]:
            raise DecodeError(
                f"{item.class_name} {item.key!r:.80}: an incarnation beside its causal length"
            )
        check.object(item.delta)


class _Check:
    __slots__ = ("_idents", "_time", "_time_max")

    def __init__(self, time: int, idents: Collection[int], time_max: int) -> None:
        self._time = time
        self._idents = idents
        self._time_max = time_max

    def object(self, delta: obj.ObjectState) -> None:
        length, at = delta[0], delta[1]
        if length and at != (length if length % 2 else 0):
            raise DecodeError(f"fields of causal length {at} in a delta of length {length}")
        self.fields(delta[3])

    def fields(self, fields: obj.Fields) -> None:
        for kind, held in fields.items():
            if kind == obj.REGISTER:
                self.groups(held)
            elif kind == obj.EMBEDDED:
                for embedded in held.values():
                    self.object(embedded)
            elif kind == obj.CONTAINER:
                for name, (home, state) in held.items():
                    if home:
                        self.container(name)
                    self.collection(obj.container_kind(name), state)
            elif kind == obj.TEXT:
                for owners, _ in held.values():
                    self.owners(owners)
            elif kind != obj.COUNTER:
                for state in held.values():
                    self.collection(kind, state)

    def owners(self, owners: Owners) -> None:
        for client, ident, _ in owners:
            if ident not in self._idents:
                raise DecodeError(
                    f"client id {client} of a text in the name of file {ident}, not its author"
                )

    def container(self, name: bytes) -> None:
        _, *rest = unpack_trusted(name)
        if len(rest) == 2 and rest[0] not in self._idents:
            raise DecodeError(f"a container named by file {rest[0]}, which is not its author")

    def collection(self, kind: int, state: Any) -> None:
        if kind == obj.LIST:
            self.chunk(state[1])
            return
        self.groups(state[1])
        if kind == obj.DICTIONARY:
            for embedded in state[2].values():
                self.object(embedded)

    def groups(self, groups: Groups) -> None:
        for group in groups:
            if len(group) == 3:
                self.stamp(group[0], group[1])
                continue
            self.stamp(group[3], group[4])
            if group[0] > self._time_max:
                raise DecodeError(f"a default that saw a write of time {group[0]}, not yet come")

    def chunk(self, chunk: Chunk) -> None:
        runs, sets, moves, _, contents = chunk
        for run in runs:
            if run[0] not in self._idents:
                raise DecodeError(f"a place named by file {run[0]}, which is not its author")
            self.stamp(run[3], run[4])
        for item in (*sets, *moves):
            self.stamp(item[2], item[3])
        for item in contents:
            self.fields(item[2])

    def stamp(self, time: Any, origin: Any) -> None:
        if time != self._time or origin not in self._idents:
            raise DecodeError(
                f"a write stamped {time} by file {origin} in a changeset of time {self._time}"
            )
