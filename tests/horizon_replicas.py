"""A naive server and devices that pass horizons, for tests of forgetting. [FORGET] [REBASE]

The server is a log of deltas of one object, with horizons between them. A device has a cursor into
it, what it has pending, and writes on both. It uploads only where it has passed all horizons,
and re-bases what it has pending when it passes some. Nobody refuses anything.

Each replica says for itself what it should show (`Replicated.check`): see `reference_ages.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from reference import Model, operations
from reference_ages import Aged, alike, places_in
from replicas import Edit, Replica

from replication.crdt.check import check_object
from replication.crdt.forget import forget
from replication.crdt.incarnation import clone
from replication.crdt.object import ObjectState, absent, merge
from replication.crdt.rebase import Rebase
from replication.crdt.stamps import latest_time
from replication.crdt.view import object_view
from replication.model.encoding import pack


@dataclass
class Entry:
    """A changeset: as it is merged, and as it was written.

    Attributes:
        knew: the places its author knew of, its own among them.
        age: how many horizons its author had passed when it was written.
        merged_in: and when it was merged; the server's say.
    """

    name: tuple[int, int]
    delta: ObjectState
    written: ObjectState
    knew: frozenset[Any]
    age: int
    merged_in: int = -1


@dataclass
class Server:
    """The log; None is a horizon.

    Attributes:
        settled: the age up to which ``state`` is forgotten.
    """

    log: list[Entry | None] = field(default_factory=list)
    state: ObjectState = field(default_factory=absent)
    age: int = 0
    settled: int = 0

    def horizon(self) -> None:
        self.log.append(None)
        self.age += 1

    def settle(self) -> None:
        """Forget what is dead, now or when it is next written to: nobody can tell."""
        if self.settled < self.age:
            self.state = forget(self.state)
            self.settled = self.age

    def take(self, entry: Entry) -> None:
        self.settle()
        entry.merged_in = self.age
        self.log.append(entry)
        self.state = merge(self.state, entry.delta)


class Device:
    """A device that has the object, or will.

    Attributes:
        synced: the state as of ``cursor``, forgotten up to the age ``settled``.
    """

    def __init__(self, ident: int, server: Server) -> None:
        self.replica = Replica(ident)
        self.server = server
        self.synced = absent()
        self.pending: list[Entry] = []
        self.cursor = self.age = self.settled = 0

    def write(self, act: Callable[[Edit], None]) -> ObjectState:
        self.settle()
        delta = self.replica.write(act)
        known = [entry.delta for entry in self.known()] + [delta]
        knew = frozenset().union(*(places_in(operations(each)) for each in known))
        name = (self.replica.ident, self.replica.written)
        self.pending.append(Entry(name, delta, delta, knew, self.age))
        return delta

    def known(self) -> list[Entry]:
        """All that it has merged."""
        taken = [entry for entry in self.server.log[: self.cursor] if entry is not None]
        return [*taken, *self.pending]

    def upload(self, count: int) -> None:
        """Send what is pending; nothing comes of it before a horizon that was not passed."""
        if self.age == self.server.age:
            sent = [entry for entry in self.pending if entry.merged_in < 0]
            for entry in sent[:count]:
                self.server.take(entry)

    def download(self, count: int) -> None:
        """Take in the next entries of the log: what it sent itself, others', horizons."""
        before, passed = clone(self.synced), self.age
        for entry in self.server.log[self.cursor : self.cursor + count]:
            self.cursor += 1
            if entry is None:
                self.age += 1
                continue
            if entry.name[0] == self.replica.ident:
                own = self.pending.pop(0)
                assert own.name == entry.name
                before = merge(before, entry.delta)
            self._settle_synced(entry.merged_in)
            self.synced = merge(self.synced, entry.delta)
            self.replica.clock.receive(latest_time(entry.delta))
        if self.age > passed and any(entry.merged_in < 0 for entry in self.pending):
            self._settle_synced(self.age)
            past = Rebase(before, clone(self.synced), held=self.synced != absent())
            for entry in self.pending:
                entry.delta = past.take(clone(entry.delta))
                check_object(entry.delta)
        self._show()

    def settle(self) -> None:
        """Forget in the synced state what it has passed; pending deltas fit on it already."""
        self._settle_synced(self.age)
        self._show()

    def _settle_synced(self, age: int) -> None:
        if self.settled < age:
            self.synced = forget(self.synced)
            self.settled = age

    def _show(self) -> None:
        state = clone(self.synced)
        for entry in self.pending:
            state = merge(state, entry.delta)
        self.replica.state = state


# -- what they should show -------------------------------------------------------------------
def check_server(server: Server) -> None:
    check(server.state, server.log, [], server.age)


def check_device(device: Device) -> None:
    log = device.server.log[: device.cursor]
    check(device.replica.state, log, device.pending, device.age)


def check(state: ObjectState, log: list[Entry | None], pending: list[Entry], age: int) -> None:
    """Laws 1 to 3 for a state: of a part of the log, and what is pending on it."""
    check_object(state)
    model, original, ageless = Aged(), Aged(), Model()
    late = []
    for entry in [*log, *pending]:
        if entry is None:
            model.forget()
            original.forget()
            continue
        model.take(entry.name, entry.delta)
        original.take(entry.name, entry.written)
        ageless.take(entry.name, entry.written)
        if (age if entry.merged_in < 0 else entry.merged_in) > entry.age:
            late.append(entry)
    value = model.value()
    assert pack(object_view(state)) == pack(value), "Law 1"
    assert pack(object_view(forget(clone(state)))) == pack(value), "Law 1, forgotten"
    if not late:
        assert pack(ageless.value()) == pack(value), "Law 2"
    if any(entry.delta != entry.written for entry in late):
        known = [entry.knew for entry in late]
        assert alike(model.value(named=True), original.value(named=True), known), "Law 3"


def forgotten(states: Iterable[ObjectState]) -> set[bytes]:
    """The bytes of states once all that is dead in them is forgotten."""
    return {pack(forget(clone(state))) for state in states}
