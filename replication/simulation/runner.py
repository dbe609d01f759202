"""Running scenarios: real client files and a real server, over a network pumped by hand.

Rule 1: the lowest peer creates the schema, everybody asks for every class and is synchronised;
        only then the first step runs. Worlds that stand there are kept, as what their stores
        hold: the next scenario with the same schema and peers starts from that, everybody
        restarted.
Rule 2: a peer's clock shows the time of its transaction, the server's the latest so far.
Rule 3: a peer that downloads by count somewhere is sent what others upload changeset by
        changeset, as they come; the others are sent what there is when they download.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from replication.client.database import Database
from replication.crdt.view import query_values
from replication.errors import ReplicationError
from replication.limits import UPLOAD_CHANGESETS_MAX
from replication.model.schema import Schema
from replication.server import tables
from replication.simulation import scenario as steps
from replication.simulation.explained import explained
from replication.simulation.operations import CannotRunError, perform
from replication.simulation.scenario import SERVER, Declared, Scenario, ScenarioError
from replication.simulation.shown import Objects, shown
from replication.simulation.world import Device, Server
from replication.storage.memory import MemoryStore

#: What everybody sees, by class.
State = dict[str, Objects]
#: Rounds of synchronisation within which every scenario must come to rest.
_ROUNDS_MAX: Final = 100


@dataclass
class Outcome:
    """What came out of a scenario.

    Attributes:
        state: what the server shows.
        peers: what each peer shows.
        diverged: the peers that show anything else than the server.
        skipped: operations that could not run.
        snapshots: what everybody showed in between, by label and peer; 1 is the server.
        lost: each value that lost to another one, if that was asked for; see `explained`.
    """

    name: str
    state: State = field(default_factory=dict)
    peers: dict[int, State] = field(default_factory=dict)
    diverged: list[int] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    snapshots: dict[str, dict[int, State]] = field(default_factory=dict)
    lost: list[dict[str, Any]] | None = None

    @property
    def converged(self) -> bool:
        """Whether all show the same."""
        return not self.diverged

    def as_json(self, *, peers: bool = False) -> dict[str, Any]:
        """What the command prints; ``peers``: everybody's state, not only of those that differ."""
        out: dict[str, Any] = {
            "scenario": self.name,
            "converged": self.converged,
            "state": self.state,
            "skipped": self.skipped,
        }
        if self.snapshots:
            out["snapshots"] = {
                label: {str(peer): state for peer, state in found.items()}
                for label, found in self.snapshots.items()
            }
        if self.lost is not None:
            out["lost"] = self.lost
        if self.diverged:
            out["diverged"] = self.diverged
        if peers or self.diverged:
            listed = self.peers if peers else self.diverged
            out["peers"] = {str(peer): self.peers[peer] for peer in listed}
        return out


def run(scenario: Scenario, *, strict: bool = False, explain: bool = False) -> Outcome:
    """Run one scenario.

    Args:
        strict: an operation that can't run is an error.
        explain: say what was lost.

    Raises:
        ScenarioError: a line that can't be run.
    """
    running = _Running(scenario, strict=strict)
    for line, step in scenario.steps:
        try:
            running.take(line, step)
        except ScenarioError:
            raise
        except ReplicationError as error:
            raise ScenarioError(line, f"{type(error).__name__}: {error}") from error
    running.settle()
    out = running.finish()
    if explain:
        out.lost = running.explain()
    return out


class _Clock:
    """A wall clock that shows what it is set to."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> int:
        return self.ms


class _Peer:
    """A peer: its store, its clock and its device."""

    def __init__(
        self,
        number: int,
        server: Server,
        store: MemoryStore,
        *,
        eager: bool = False,
        uploads_max: int = UPLOAD_CHANGESETS_MAX,
    ) -> None:
        self.number = number
        self.server = server
        self.store = store
        self.clock = _Clock()
        #: Rule 3.
        self.eager = eager
        self._uploads_max = uploads_max
        #: What it subscribed to, if not to everything.
        self.queries: dict[str, str] | None = None
        self._opened = 0
        self.open()

    def open(self, schema: Schema | None = None) -> None:
        """Open the client file."""
        db = Database(self.store, schema, wall_ms=self.clock, entropy=self._client_id)
        name = f"peer {self.number}"
        self.device = Device(self.server, db, name, uploads_max=self._uploads_max)

    def _client_id(self) -> int:
        # Of two that type at one place at once the lower peer comes first, whichever runs it.
        self._opened += 1
        return self.number * 65_536 + self._opened

    def restart(self) -> None:
        """Close the client file and open it again."""
        self.device.cut()
        self.device.db.close()
        self.store = self.store.reopen()
        self.open()
        if self.eager:
            self.device.download(0)

    def state(self, declared: Declared) -> State:
        """What it shows."""
        with self.store.read() as reader:
            return shown(reader, declared.schema, declared.keys)


# -- the beginning -------------------------------------------------------------------------------
def _server(store: MemoryStore, clock: _Clock) -> Server:
    numbers = itertools.count(1)
    return Server(store, wall_ms=clock, entropy=lambda: next(numbers))


@lru_cache(maxsize=64)
def _prepared(declared: Declared, peers: tuple[int, ...]) -> tuple[MemoryStore, ...]:
    """The stores of the server and of each peer before the first step. Rule 1."""
    store = MemoryStore(query_values)
    server = _server(store, _Clock())
    made: list[_Peer] = []
    for number in peers:
        peer = _Peer(number, server, MemoryStore(query_values))
        if not made:
            peer.device.db.close()
            peer.store = peer.store.reopen()
            peer.open(declared.schema)
        made.append(peer)
        with store.write() as writer:
            ledger = tables.load_ledger(writer)
            ledger.next_ident = number
            tables.store_ledger(writer, ledger)
        peer.device.sync()
        with peer.device.db.subscriptions.edit() as edit:
            for name in declared.keys:
                edit.add(name)
        peer.device.sync()
        # The schema travels without its time: whoever has it is as late as who made it, so that
        # equal wall clocks give equal times from the first transaction on.
        with peer.device.db.integrating() as work:
            time = made[0].device.db.local.clock
            work.local = work.local._replace(clock=time)
    for peer in made:
        peer.device.sync()
        peer.device.cut()
    return (store, *(peer.store for peer in made))


class _Running:
    """A scenario while it runs."""

    def __init__(self, scenario: Scenario, *, strict: bool) -> None:
        assert scenario.declared is not None
        self._scenario = scenario
        self._declared = scenario.declared
        self._strict = strict
        self._outcome = Outcome(scenario.name)
        self._clock = _Clock()
        numbers = sorted(scenario.peers)
        store, *held = _prepared(self._declared, tuple(numbers))
        self._store = store.reopen()
        self._server = _server(self._store, self._clock)
        counting = [
            step
            for _, step in scenario.steps
            if isinstance(step, steps.Upload | steps.Download) and step.most is not None
        ]
        # What is counted travels one by one.
        uploads_max = 1 if counting else UPLOAD_CHANGESETS_MAX
        eager = {step.peer for step in counting if isinstance(step, steps.Download)}
        self._peers = {
            number: _Peer(
                number,
                self._server,
                mine.reopen(),
                eager=number in eager,
                uploads_max=uploads_max,
            )
            for number, mine in zip(numbers, held, strict=True)
        }
        self._eager = [peer for peer in self._peers.values() if peer.eager]
        for peer in self._eager:
            peer.device.download(0)

    # -- steps ---------------------------------------------------------------------------------
    def take(self, line: int, step: steps.Step) -> None:
        """Do one step."""
        match step:
            case steps.Txn():
                self._write(line, step)
            case steps.Sync():
                self._sync(step.peers or self._scenario.peers)
            case steps.Upload():
                self._upload(step.peer, step.most)
            case steps.Download():
                self._peers[step.peer].device.download(step.most)
            case steps.Snapshot():
                found = {SERVER: self._server_state()}
                found |= {number: self._state(peer) for number, peer in self._peers.items()}
                self._outcome.snapshots[step.label] = found
            case steps.Restart(peer) if peer == SERVER:
                self._restart_server()
            case steps.Restart():
                self._peers[step.peer].restart()
            case steps.Subscribe():
                self._subscribe(self._peers[step.peer], step.queries)

    def _write(self, line: int, txn: steps.Txn) -> None:
        peer = self._peers[txn.peer]
        peer.clock.ms = txn.ms
        self._clock.ms = max(self._clock.ms, txn.ms)
        db = peer.device.db
        with db.write():
            for position, operation in enumerate(txn.operations):
                try:
                    perform(db, operation)
                except CannotRunError as error:
                    reason = f"operation {position + 1}: {error}"
                    if self._strict:
                        raise ScenarioError(line, f"{operation.name}: {reason}") from None
                    skipped = {"line": line, "op": operation.name, "reason": reason}
                    self._outcome.skipped.append(skipped)

    def _upload(self, number: int, count: int | None) -> None:
        device = self._peers[number].device
        if not self._eager:
            device.upload(count)
            return
        for _ in itertools.repeat(None) if count is None else range(count):
            device.upload(1)
            for peer in self._eager:
                while peer.device.fetch():
                    pass
            if not device.outbox:
                return

    def _sync(self, order: Iterable[int]) -> None:
        for number in order:
            self._upload(number, None)
        for number in order:
            self._peers[number].device.download()

    def _restart_server(self) -> None:
        for peer in self._peers.values():
            peer.device.cut()
        self._store.close()
        self._store = self._server.store = self._store.reopen()
        self._server.start()
        for peer in self._eager:
            peer.device.download(0)

    def _subscribe(self, peer: _Peer, queries: dict[str, str]) -> None:
        peer.queries = queries
        with peer.device.db.subscriptions.edit() as edit:
            edit.clear()
            for table, query in queries.items():
                edit.add(table, query)

    # -- the end -------------------------------------------------------------------------------
    def settle(self) -> None:
        """Synchronise everybody until nothing moves.

        Raises:
            AssertionError: that never happens.
        """
        for _ in range(_ROUNDS_MAX):
            self._sync(self._scenario.final_order)
            if all(peer.device.is_idle for peer in self._peers.values()):
                return
        raise AssertionError(f"no rest after {_ROUNDS_MAX} rounds of synchronisation")

    def finish(self) -> Outcome:
        """What came out."""
        out = self._outcome
        out.state = self._server_state()
        for number, peer in self._peers.items():
            out.peers[number] = self._state(peer)
            expected = out.state
            if peer.queries is not None:
                expected = self._server_state(peer.queries)
            if out.peers[number] != expected:
                out.diverged.append(number)
        return out

    def explain(self) -> list[dict[str, Any]]:
        """What was lost."""
        journals = [(number, peer.device.db.journal) for number, peer in self._peers.items()]
        with self._store.read() as reader:
            return explained(journals, reader)

    def _state(self, peer: _Peer) -> State:
        return peer.state(self._declared)

    def _server_state(self, queries: dict[str, str] | None = None) -> State:
        with self._store.read() as reader:
            return shown(reader, self._declared.schema, self._declared.keys, queries)
