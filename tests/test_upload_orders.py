"""Uploads in any order come to the same, whatever lives, dies and is forgotten. [MERGE-1] [UP]

Two devices that hold an object, or its deletion, and one that does not and creates it blindly: what
they wrote offline reaches a real server in every order, past a horizon at any moment. What it ends
with is the merge of what they wrote, the blind create begun where its author stood.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations, product
from typing import Any, TypeAlias

import pytest
from campaign_horizons import chance
from replicas import Edit
from server_files import ClientFile, new_namespace

from replication.clock import time_from_ms
from replication.crdt.forget import forget
from replication.crdt.incarnation import clone
from replication.crdt.object import ObjectState, absent, is_alive, merge
from replication.history.changeset import Changeset, encode
from replication.model.encoding import pack

Act: TypeAlias = Callable[[Edit], Any]


def creates(edit: Edit) -> None:
    if not is_alive(edit.view):
        edit.create()
    scope = edit.scope()
    scope.list_insert("notes", edit.editor(scope, "notes"), 0, [1, 2])


def edits(edit: Edit) -> None:
    creates(edit)
    edit.scope().set("title", f"by {edit.author.stamp[1]}")
    edit.scope().add("copies", 1)
    edit.scope().set_member("tags", "a", present=True)


def deletes(edit: Edit) -> None:
    edit.delete()


def replaces(edit: Edit) -> None:
    edit.delete()
    edits(edit)


#: What came before the blind device's cursor, and what since; the others have seen both.
STARTS: dict[str, tuple[list[Act], list[Act]]] = {
    "never there": ([], []),
    "there": ([creates], []),
    "made since": ([], [creates]),
    "deleted": ([creates, deletes], []),
    "deleted since": ([creates], [deletes]),
    "replaced since": ([creates], [replaces]),
}
HOLDERS: list[Act] = [edits, deletes, replaces]
BLIND: list[list[Act]] = [[edits], [edits, edits], [edits, deletes], [edits, replaces]]


class Trial:
    """A server on which an object has a past, and what three devices have yet to send.

    Attributes:
        unsent: by device, what it wrote and how far it had seen.
    """

    def __init__(self, start: str, holders: Sequence[Act], blind: Sequence[Act]) -> None:
        self.namespace = new_namespace()
        origin, self.third, *self.others = (ClientFile(self.namespace) for _ in range(4))
        before, since = STARTS[start]
        for act in before:
            origin.write(act, cursor=self.namespace.version)
        seen, length = self.namespace.version, origin.state()[0]
        for act in since:
            origin.write(act, cursor=self.namespace.version)
        self.start = origin.state()
        self.unsent: list[list[Changeset]] = [[], [], []]
        self.written: list[ObjectState] = []
        for at, (device, act) in enumerate(zip(self.others, holders, strict=True)):
            if is_alive(self.start) or act is not deletes:
                self._write(at, device, act, self.start, self.namespace.version)
        view = absent()
        for act in blind:
            delta = self._write(2, self.third, act, view, seen)
            view = merge(view, clone(delta))
        self._begin(length)

    def _write(
        self, at: int, device: ClientFile, act: Act, start: ObjectState, cursor: int
    ) -> ObjectState:
        device.ms += 1000 * (at + 1)
        item = device.edit(act, start=start)
        item = item._replace(blind=at == 2)
        self.unsent[at].append(Changeset(time_from_ms(device.ms), cursor, [item]))
        self.written.append(item.delta)
        return item.delta

    def _begin(self, length: int) -> None:
        """What the blind deltas come to, which are written down behind those of the holders."""
        passed = (length if length % 2 == 1 else length + 1) - 1
        count = len(self.unsent[2])
        self.written[-count:] = [
            [long and long + passed, at and at + passed, incarnation, fields]
            for long, at, incarnation, fields in self.written[-count:]
        ]

    def end(self, order: Sequence[int], horizon: int) -> bytes:
        """The server's state once all is uploaded, forgotten; ``horizon``: before which upload."""
        devices, past = [*self.others, self.third], 0
        unsent = [list(each) for each in self.unsent]
        for at, number in enumerate(order):
            if at == horizon:
                with self.namespace.store.write() as writer:
                    past = self.namespace.forget(writer)
            changeset = unsent[number].pop(0)
            changeset.horizon = past
            integrated = devices[number].upload(encode(changeset))
            assert integrated.error is None
            assert len(devices[number].changesets) == len(self.unsent[number]) - len(unsent[number])
        return pack(forget(self.third.state()))

    def merged(self) -> bytes:
        """The merge of all that was written."""
        state = clone(self.start)
        for delta in self.written:
            state = merge(state, clone(delta))
        return pack(forget(state))


@pytest.mark.parametrize("start", STARTS)
def test_every_order_of_uploads_ends_the_same(start: str) -> None:
    """[JUDGE-1] [FORGET-9] [UP-8] [CHG-13]"""
    for holders, blind in product(product(HOLDERS, repeat=2), BLIND):
        trial = Trial(start, holders, blind)
        sent = [number for number, each in enumerate(trial.unsent) for _ in each]
        for order in sorted(set(permutations(sent))):
            horizon = chance(range(len(sent) + 1), order, holders[0].__name__, start)
            trial = Trial(start, holders, blind)
            told = (start, [act.__name__ for act in (*holders, *blind)], order, horizon)
            assert trial.end(order, horizon) == trial.merged(), told
