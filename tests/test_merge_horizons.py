"""Forgetting at any moment, against the reference model with horizons. [FORGET] [REBASE]

Devices write, send and receive as `horizon_replicas.py` has it, while the server's horizon moves.
Each forgets when it has to or any time before its next write; what was written before a horizon
comes behind it; all of that shows what `reference_ages.py` says, and ends with the same bytes.
"""

from __future__ import annotations

from copy import deepcopy
from random import Random

import pytest
from horizon_replicas import Device, Server, check_device, check_server, forgotten
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from merge_families import FAMILIES
from plain_operations import transaction
from reference import Model
from replicas import Replica, wander
from state_strategies import without_counters

from replication.crdt.forget import forget
from replication.crdt.incarnation import clone
from replication.crdt.object import ObjectState, merge
from replication.crdt.view import object_view
from replication.model.encoding import pack

which = st.integers(0, 4)
JUMPS = [0, 0, 1, 1000, -1000, 10_000_000]


class Horizons(RuleBasedStateMachine):
    """A server, two to five devices, and horizons at any moment."""

    @initialize(count=st.integers(2, 5))
    def begin(self, count: int) -> None:
        self.server = Server()
        self.devices = [Device(ident, self.server) for ident in range(2, 2 + count)]
        #: The bytes of whoever has nothing pending, by cursor.
        self.bytes_at: dict[int, bytes] = {}
        self.devices[0].write(lambda edit: (edit.create(), edit.scope().set("n", 0)))
        self.devices[0].upload(1)
        for device in self.devices:
            device.download(1)

    def check(self, device: Device) -> None:
        check_device(device)
        self.agree(device.cursor, device.synced)

    def agree(self, cursor: int, state: ObjectState) -> None:
        """Replicas that took in as much are the same, but for what they have yet to forget."""
        packed = pack(forget(clone(state)))
        assert self.bytes_at.setdefault(cursor, packed) == packed

    @rule(number=which, jump=st.sampled_from(JUMPS), data=st.data())
    def write(self, number: int, jump: int, data: st.DataObject) -> None:
        device = self.devices[number % len(self.devices)]
        device.replica.wall_ms += jump
        act, _ = transaction(data.draw, deepcopy(object_view(device.replica.state)))
        device.write(act)
        self.check(device)

    @rule(number=which, count=st.integers(1, 3))
    def upload(self, number: int, count: int) -> None:
        self.devices[number % len(self.devices)].upload(count)
        check_server(self.server)
        self.agree(len(self.server.log), self.server.state)

    @rule(number=which, count=st.integers(1, 8))
    def download(self, number: int, count: int) -> None:
        device = self.devices[number % len(self.devices)]
        device.download(count)
        self.check(device)

    @rule()
    def horizon(self) -> None:
        self.server.horizon()

    @rule(number=st.integers(-1, 4))
    def settle(self, number: int) -> None:
        """Somebody forgets now what it may forget later."""
        if number < 0:
            self.server.settle()
            check_server(self.server)
        else:
            device = self.devices[number % len(self.devices)]
            device.settle()
            self.check(device)

    @rule(data=st.data())
    def deliver_twice(self, data: st.DataObject) -> None:
        """[MERGE-2]: what was merged since the last horizon may come again, without increments."""
        entries = [entry for entry in self.server.log if entry is not None]
        since = [entry for entry in entries if entry.merged_in == self.server.age]
        if since:
            again = without_counters(data.draw(st.sampled_from(since)).delta)
            state = self.server.state
            assert pack(merge(clone(state), again)) == pack(state)

    def teardown(self) -> None:
        """All is delivered to all."""
        for _ in range(2):
            for device in getattr(self, "devices", []):
                device.download(10**6)
                device.upload(10**6)
        for device in getattr(self, "devices", []):
            device.download(10**6)
            self.check(device)


Horizons.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=30,
    phases=[phase for phase in Phase if phase is not Phase.explain],  # which takes minutes here
)
TestHorizons = Horizons.TestCase


@pytest.mark.parametrize("seed", range(150))
def test_worlds_with_horizons(seed: int) -> None:
    """The same by seeds, mostly with operations of one family, which meet more often."""
    rng = Random(seed)
    server = Server()
    devices = [Device(ident, server) for ident in range(2, 2 + rng.randint(2, 4))]
    family = rng.choice([None, *FAMILIES.values()])
    devices[0].write(family.fill if family else lambda edit: edit.create())
    devices[0].upload(1)
    for device in devices:
        device.download(9)
    for _ in range(rng.randint(8, 30)):
        device, choice = rng.choice(devices), rng.random()
        if choice < 0.1:
            server.horizon()
        elif choice < 0.55:
            device.replica.wall_ms += rng.choice([0, 1, 1000])
            device.write(rng.choice(list(family.operations.values())) if family else wander(rng))
            check_device(device)
        elif choice < 0.75:
            device.upload(rng.randint(1, 3))
            check_server(server)
        else:
            device.download(rng.randint(1, 6))
            check_device(device)
    for device in 2 * devices:
        device.download(999)
        device.upload(999)
    for device in devices:
        device.download(999)
        check_device(device)
    assert len(forgotten([server.state, *(device.replica.state for device in devices)])) == 1


# -- found by these ----------------------------------------------------------------------------
def test_what_defaults_share_comes_back_past_a_horizon() -> None:
    """[FORGET-10] Two devices' lists by default are one list, whatever another default showed
    instead for a while, and whether that was forgotten or not.
    """
    device = Replica(2)
    device.write(lambda edit: edit.create())
    device.write(lambda edit: edit.nested(edit.scope()).set_default("v", ["a"]))
    device.write(lambda edit: edit.nested(edit.scope()).set_default("v", {"k": 1}))
    device.state = forget(device.state)
    assert object_view(device.state) == {"v": {"k": 1}}
    device.write(lambda edit: edit.nested(edit.scope()).set_default("v", ["b"]))
    assert object_view(device.state) == {"v": ["a", "b"]}
    device.write(lambda edit: edit.scope().set("v", 1))
    assert list(forget(device.state)[3]) == [0], "an explicit write lets them go"


def test_formats_1_and_true_are_two_formats() -> None:
    """In the model, too, though Python has them equal."""
    device, model = Replica(2), Model()
    device.write(lambda edit: (edit.create(), edit.text_insert(edit.scope(), "t", 0, "bc")))
    device.write(lambda edit: edit.text_format(edit.scope(), "t", 0, 2, {"b": 1}))
    device.write(lambda edit: edit.text_format(edit.scope(), "t", 0, 1, {"b": True}))
    for name, delta in device.known.items():
        model.take(name, delta)
    expected = pack({"t": [["b", {"b": True}], ["c", {"b": 1}]]})
    assert pack(model.value()) == pack(object_view(device.state)) == expected
