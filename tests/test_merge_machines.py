"""Two to five replicas write, exchange some of what they know, and agree with the model. [MERGE]

After each step a replica shows what the reference model makes of the same deltas; after each
transaction also what plain Python values would be (`plain_operations.py`). Replicas that know the
same have the same bytes, however it came. Clocks jump, deliveries are partial, changesets come
twice, and in the end come in any order at all.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from plain_operations import transaction
from reference import Model
from replicas import Replica, folded
from state_strategies import without_counters

from replication.crdt.check import unpack_object
from replication.crdt.incarnation import clone
from replication.crdt.object import merge
from replication.crdt.view import object_view
from replication.model.encoding import pack

which = st.integers(0, 4)
JUMPS = [0, 1, 1000, -1000, 10_000_000, -10_000_000]


def _sorted_keys(value: Any) -> Any:
    """A value with its maps in canonical order."""
    if isinstance(value, dict):
        return {key: _sorted_keys(item) for key, item in sorted(value.items())}
    return [_sorted_keys(item) for item in value] if isinstance(value, list) else value


class Replicas(RuleBasedStateMachine):
    """Devices with clocks of their own, a model of what each knows, and what each knew when."""

    @initialize(count=st.integers(2, 5), shared=st.integers(0, 5))
    def begin(self, count: int, shared: int) -> None:
        """The first ``shared`` devices start from one object, the others from nothing."""
        self.devices = [Replica(ident) for ident in range(2, 2 + count)]
        self.models = [Model() for _ in self.devices]
        self.bytes_of: dict[frozenset[Any], bytes] = {}
        self.devices[0].write(lambda edit: (edit.create(), edit.scope().set("n", 0)))
        self.check(0)
        for number in range(1, min(shared, count)):
            self.devices[number].read(self.devices[0])
            self.check(number)

    def check(self, number: int) -> None:
        device, model = self.devices[number], self.models[number]
        for name, delta in device.known.items():
            model.take(name, delta)
        assert pack(object_view(device.state)) == pack(model.value())
        state = pack(device.state)
        assert self.bytes_of.setdefault(frozenset(device.known), state) == state

    @rule(number=which, jump=st.sampled_from(JUMPS), data=st.data())
    def write(self, number: int, jump: int, data: st.DataObject) -> None:
        """A transaction, after the wall clock jumped."""
        number %= len(self.devices)
        device = self.devices[number]
        device.wall_ms += jump
        act, expected = transaction(data.draw, deepcopy(object_view(device.state)))
        delta = device.write(act)
        assert pack(unpack_object(pack(delta))) == pack(delta)
        assert pack(object_view(device.state)) == pack(_sorted_keys(expected[0]))
        self.check(number)

    @rule(number=which, other=which, count=st.integers(1, 4))
    def deliver(self, number: int, other: int, count: int) -> None:
        """Some of what another replica knows, in its order."""
        number, other = number % len(self.devices), other % len(self.devices)
        device = self.devices[number]
        known = self.devices[other].known.items()
        for name, delta in [each for each in known if each[0] not in device.known][:count]:
            device.receive(name, delta)
        self.check(number)

    @rule(number=which, data=st.data())
    def deliver_twice(self, number: int, data: st.DataObject) -> None:
        """[MERGE-2]: without its increments a changeset may come again and again."""
        device = self.devices[number % len(self.devices)]
        if device.known:
            again = without_counters(data.draw(st.sampled_from(list(device.known.values()))))
            assert pack(merge(clone(device.state), again)) == pack(device.state)

    @rule(data=st.data())
    def deliver_in_any_order(self, data: st.DataObject) -> None:
        """[MERGE-1]: what everyone knows, whatever comes before what it was written upon."""
        known = {name: delta for device in self.devices for name, delta in device.known.items()}
        names = data.draw(st.permutations(sorted(known)))
        half = data.draw(st.integers(0, len(names)))
        left, right = (
            folded([known[name] for name in part]) for part in (names[:half], names[half:])
        )
        together = Model()
        for name, delta in known.items():
            together.take(name, delta)
        state = merge(left, right)
        assert pack(object_view(state)) == pack(together.value())
        packed = pack(state)
        assert self.bytes_of.setdefault(frozenset(known), packed) == packed

    def teardown(self) -> None:
        """All is delivered to all."""
        devices = getattr(self, "devices", [])
        for _ in range(2):
            for number, device in enumerate(devices):
                for other in devices:
                    device.read(other)
                self.check(number)
        assert len({pack(device.state) for device in devices}) <= 1


Replicas.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=30,
    phases=[phase for phase in Phase if phase is not Phase.explain],  # which takes minutes here
)
TestReplicas = Replicas.TestCase
