"""Whole worlds on disks that fail, with processes that die and servers that come back as they were.

Every failing world is reproduced by the numbers in the test's id.
"""

from __future__ import annotations

import itertools
import random
import shutil
from pathlib import Path

import apsw
import pytest
from client_files import check as check_client
from client_files import contents
from faults import FaultyDisk
from test_convergence import act, write
from test_convergence import check as check_converged
from worlds import Device, World

from replication.crdt.object import ObjectState, absent, merge
from replication.crdt.parts import Parts
from replication.crdt.view import query_values
from replication.crdt.whole import joined
from replication.errors import Action, ErrorCode, StoreError, StoreFullError
from replication.history.changeset import decode_trusted
from replication.model.encoding import key_bytes, pack, unpack_trusted
from replication.server import tables
from replication.storage.sqlite import Handle, SQLiteStore

SERVER, DEVICE = FaultyDisk(), FaultyDisk()


class KilledError(BaseException):
    """The process that has this store open is gone: no handler of it runs any more."""

    def __init__(self, store: MortalStore) -> None:
        self.store = store


class MortalStore(SQLiteStore):
    """A store whose process dies before or after one of its commits.

    Attributes:
        commits: how many there were.
        dies: 2 n for death before commit n, 2 n + 1 for death right behind it.
    """

    commits = 0
    dies: int | None = None

    def commit(self, handle: Handle) -> None:
        number = self.commits
        self.commits += 1
        if self.dies == 2 * number:
            raise KilledError(self)
        super().commit(handle)
        if self.dies == 2 * number + 1:
            raise KilledError(self)


class Disks:
    """The stores of a world, each in a directory of its own."""

    def __init__(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        self._path = path
        self._numbers = itertools.count()
        self.open: list[MortalStore] = []

    def make(self, disk: FaultyDisk, image: Path | None = None) -> MortalStore:
        """A new store, or one that starts from the image of another."""
        place = self._path / str(next(self._numbers)) if image is None else image
        place.mkdir(exist_ok=True)
        store = MortalStore(
            place / "store.db", query_values, connect=disk.connect, cache_bytes=64 * 1024
        )
        self.open.append(store)
        return store

    def image(self, store: MortalStore) -> Path:
        """What is on the disk now: what a process that dies leaves, or a backup."""
        place = self._path / str(next(self._numbers))
        place.mkdir()
        for suffix in ("", "-wal"):
            if Path(f"{store.path}{suffix}").exists():
                shutil.copy(f"{store.path}{suffix}", place / f"store.db{suffix}")
        return place

    def close(self) -> None:
        for store in self.open:
            store.close()


def build(disks: Disks, seed: int) -> tuple[World, random.Random]:
    r = random.Random(seed)
    world = World(
        2,
        store=disks.make(SERVER),
        make=lambda _number: disks.make(DEVICE),
        bytes_target=r.choice([1, 300, 10**6]),
        entries_max=r.choice([1, 3, 1000]),
    )
    for device in world.devices:
        device.subscribe()
    return world, r


def stores(world: World) -> list[MortalStore]:
    """The server's first."""
    found = [world.store, *(device.store for device in world.devices)]
    assert all(isinstance(store, MortalStore) for store in found)
    return found  # type: ignore[return-value]


def revive(world: World, disks: Disks, store: MortalStore) -> None:
    """A process died: another one takes over what it left on the disk."""
    fresh = disks.make(SERVER if store is world.store else DEVICE, disks.image(store))
    if store is world.store:
        world.store = fresh
        world.restart()
        return
    (device,) = (device for device in world.devices if device.store is store)
    device.cut()
    device.store = fresh
    device.open()


def check_server(world: World) -> None:
    """[SESSION-1] [UP-1]: whatever a device knows to be acknowledged is in the log, and the log
    and the objects say the same: no transaction was kept by halves.
    """
    states: dict[tuple[str, bytes], ObjectState] = {}
    counts: dict[int, int] = {}
    with world.store.read() as reader:
        ledger = tables.load_ledger(reader)
        log = list(tables.entries(reader, 1, ledger.version + 1))
        assert [entry.version for entry in log] == list(range(1, ledger.version + 1))
        for entry in log:
            counts[entry.origin] = counts.get(entry.origin, 0) + 1
            assert entry.client_version == counts[entry.origin]
            for item in decode_trusted(entry.changeset).objects:
                name = (item.class_name, key_bytes(item.key))
                states[name] = merge(states.get(name, absent()), item.delta)
        held = {}
        for class_name in reader.classes():
            for row in reader.all_objects(class_name):
                parts = {part.name: part.data for part in reader.parts(class_name, row.row)}
                state = joined(unpack_trusted(row.head), Parts(parts.get, parts.keys))
                held[class_name, key_bytes(row.key)] = pack(state)
        assert held == {name: pack(state) for name, state in states.items()}
        for device in world.devices:
            local, synced = device.db.local, device.db.synced
            if local.ident and synced.acknowledged:
                entry = tables.entry_at(
                    reader, tables.version_of(reader, local.ident, synced.acknowledged)
                )
                assert entry is not None
                assert entry.digest == synced.digest


def check_all(world: World) -> None:
    check_server(world)
    for device in world.devices:
        check_client(device.db)


def run(world: World, disks: Disks, r: random.Random, events: int) -> int:
    """Random events; returns how many processes died."""
    deaths = 0
    for _ in range(events):
        try:
            act(world, r)
        except KilledError as killed:
            deaths += 1
            revive(world, disks, killed.store)
            check_all(world)
    return deaths


@pytest.mark.parametrize(
    ("who", "seed", "events"), [(0, 3, 9), (1, 8, 20)], ids=["server", "device"]
)
def test_processes_die_at_every_commit(who: int, seed: int, events: int, tmp_path: Path) -> None:
    """SESSION-1 SESSION-4 UP-1 CLIENT-10 DOWN-3: before a commit and right behind it, on either
    side: what was acknowledged is kept, what was not is sent again and counts once.
    """
    deaths = 0
    for dies in itertools.count():
        disks = Disks(tmp_path / str(dies))
        world, r = build(disks, seed)
        store = stores(world)[who]
        store.dies = 2 * store.commits + dies
        died = run(world, disks, r, events)
        if died:
            check_converged(world)
            check_all(world)
        disks.close()
        deaths += died
        if not died:
            break
    assert deaths > 10


@pytest.mark.parametrize("who", [0, 1], ids=["server", "device"])
@pytest.mark.parametrize("injected", [apsw.FullError, apsw.IOError], ids=["full", "error"])
def test_disks_fail_once(
    injected: type[apsw.Error], who: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HOST-2 CLIENT-10: the local write raises, or the session ends with a clear error; nothing
    that failed is there, and all goes on as soon as the disk is well.
    """
    raised: list[StoreError] = []
    told: list[tuple[ErrorCode | None, str]] = []
    cut = Device.cut

    def noted(device: Device) -> None:
        if device.agent is not None and device.agent.ended is not None:
            told.append(device.agent.ended)
        cut(device)

    monkeypatch.setattr(Device, "cut", noted)
    disk = (SERVER, DEVICE)[who]
    for at in range(0, 60, 4):
        disks = Disks(tmp_path / str(at))
        world, r = build(disks, at)
        disk.fail(at, injected)
        for _ in range(14):
            try:
                act(world, r)
            except StoreError as error:
                raised.append(error)
                for device in world.devices:
                    device.cut()
        check_all(world)
        assert disk.failed
        disk.heal()
        check_converged(world)
        check_all(world)
        disks.close()
    if who == 1:
        expected = StoreFullError if injected is apsw.FullError else StoreError
        assert {type(error) for error in raised} == {expected}
        assert all("store.db" in str(error) for error in raised)
    else:
        assert not raised, "a server's troubles are its own"
        assert (ErrorCode.STORE_UNAVAILABLE, "the server can't write its storage") in told


def test_the_server_restarts_between_any_two_messages() -> None:
    """SESSION-4 DOWN-4: whatever was on its way is lost, and nothing else."""
    for at in itertools.count():
        world = World(2, bytes_target=200, entries_max=2)
        r = random.Random(5)
        messages = 0
        for device in world.devices:
            device.subscribe()
        for _ in range(4):
            for device in world.devices:
                write(device, r)
                device.connect()
                while device.agent is not None and device.step():
                    messages += 1
                    if messages == at:
                        world.restart()
                device.cut()
        check_converged(world)
        check_all(world)
        if messages < at:
            break
    assert at > 20


@pytest.mark.parametrize("seed", range(4))
def test_a_restored_server_is_noticed(seed: int, tmp_path: Path) -> None:
    """NS-2: a client that has seen what is no more is told so, and keeps all it has."""
    disks = Disks(tmp_path)
    world, r = build(disks, seed)
    world.settle()
    write(world.devices[0], r)
    world.settle()
    backup = disks.image(stores(world)[0])
    for _ in range(r.randrange(1, 4)):
        write(world.devices[0], r)
    world.settle()
    write(world.devices[1], r)
    for device in world.devices:
        device.cut()
    world.store = disks.make(SERVER, backup)
    world.restart()
    if seed % 2:  # another history of the same length and more
        other = Device(world, 2, disks.make(DEVICE))
        other.subscribe()
        for _ in range(9):
            write(other, r)
        other.sync()
    for device in world.devices:
        before = contents(device.db)
        device.connect()
        agent = device.agent
        assert agent is not None
        while device.agent is not None and device.step():
            pass
        assert agent.ended is not None, "it does not go on as if nothing had happened"
        assert agent.ended[0] is ErrorCode.DIVERGED
        assert agent.next_action is Action.RESET
        assert "server version" in agent.ended[1] or "client version" in agent.ended[1]
        assert contents(device.db) == before
        check_client(device.db)
        write(device, r)
    disks.close()
