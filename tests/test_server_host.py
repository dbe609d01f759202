"""The host: many sessions, one commit; whose error it is; what a failing disk takes away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest
from faults import FaultyDisk
from replicas import Edit
from server_devices import Device, World
from server_files import WALL_MS

from replication.crdt.view import query_values
from replication.errors import ErrorCode, SessionError, StoreFullError
from replication.history.changeset import Changeset, ObjectDelta, encode
from replication.protocol import messages
from replication.protocol.body import encode_changesets
from replication.protocol.server_session import Integrate, Send
from replication.rules.roles import OPEN
from replication.server import tables
from replication.server.host import Host, check_name
from replication.server.jobs import Job, Outcome
from replication.server.links import Link
from replication.server.pump import Pump
from replication.server.users import User
from replication.server.writer import CommitThread
from replication.storage.memory import MemoryStore
from replication.storage.sqlite import SQLiteStore

BOOK = ("Book", 1)


def setting(name: str, value: Any) -> Callable[[Edit], None]:
    def act(edit: Edit) -> None:
        if not edit.view[0] % 2:
            edit.create()
        edit.scope().set(name, value)

    return act


def changeset(ident: int, key: int, *, time: int = WALL_MS << 16, length: int = 1) -> bytes:
    """A create of a book."""
    fields = {0: [[time, ident, {"r": 1}]]}
    return encode(Changeset(time, 0, [ObjectDelta("Book", key, [length, length, [], fields])]))


class Hosted:
    """A host over stores by name, with sessions that are ready to upload."""

    def __init__(self, stores: dict[str, Any] | None = None, **options: Any) -> None:
        self.stores = stores or {"a": MemoryStore(query_values), "b": MemoryStore(query_values)}
        self.rng = Random(3)
        self.reports: list[Exception] = []
        settings: dict[str, Any] = {
            "entropy": lambda: self.rng.getrandbits(63),
            "wall_ms": lambda: WALL_MS,
            "report": self.reports.append,
            "rules": lambda _name: OPEN,
        }
        make = options.pop("make", Host)
        self.host: Host = make(self.open, authenticate, **{**settings, **options})

    def open(self, name: str) -> Any:
        if name not in self.stores:
            raise SessionError(ErrorCode.BAD_NAMESPACE, f"there is no namespace {name}")
        return self.stores[name]

    def ready(self, name: str = "a") -> Link:
        """A session of a new client file."""
        link = self.host.connect(1, lambda: None)
        sent = self.feed(link, messages.Bind(1, name, "ann", 0, 0))
        (assign,) = sent
        assert isinstance(assign, messages.Assign)
        sent += self.feed(link, messages.Ident(1, assign.ident, 0, 0, 0, bytes(16), 0, 0, {}))
        assert len(sent) == 1
        return link

    def feed(self, link: Link, message: messages.Message) -> list[messages.Message]:
        """Feed a message, perform what it leads to, and return what is sent."""
        return self.after(link, link.session.receive(message))

    def after(self, link: Link, effects: Iterable[Any]) -> list[messages.Message]:
        """Perform effects."""
        out = []
        for effect in effects:
            if isinstance(effect, Send):
                out.append(effect.message)
            else:
                out += self.after(link, self.host.perform(link, effect))
        return out

    def job(self, link: Link, *changesets: bytes, first: int = 1) -> Job:
        """The job of an UPLOAD."""
        size, body = encode_changesets(list(changesets))
        (effect,) = link.session.receive(messages.Upload(1, first, size, body))
        assert isinstance(effect, Integrate)
        job = self.host.begin(link, effect)
        assert isinstance(job, Job)
        return job

    def versions(self, name: str = "a") -> int:
        """The latest server version of a namespace."""
        with self.stores[name].read() as reader:
            return self.host.namespace(name).latest(reader)


def authenticate(token: str) -> User:
    if token == "expired":
        raise SessionError(ErrorCode.TOKEN_EXPIRED, "the token has expired")
    return User(token)


def told(hosted: Hosted, jobs: list[Job]) -> list[list[Any]]:
    """Commit jobs; for each what its session is told: client versions and codes."""
    out = []
    for job, outcome in zip(jobs, hosted.host.commit(jobs), strict=True):
        sent = hosted.after(job.link, outcome())
        out.append(
            [
                message.client_version if isinstance(message, messages.Ack) else message.code  # type: ignore[union-attr]
                for message in sent
            ]
        )
    return out


# -- group commit ----------------------------------------------------------------------------
def test_an_error_ends_its_own_session_and_leaves_no_trace_in_the_others_work() -> None:
    hosted = Hosted()
    links = [hosted.ready(name) for name in "aaabab"]
    good = [changeset(link.session.ident, key) for key, link in enumerate(links)]
    hosted.host.namespace("b")
    jobs = [
        hosted.job(links[0], good[0]),
        hosted.job(links[1], good[1], b"nonsense", good[1]),
        hosted.job(links[2], changeset(links[2].session.ident, 2, time=(WALL_MS + 10**6) << 16)),
        hosted.job(links[3], good[3]),
        hosted.job(links[4], good[4], changeset(links[4].session.ident, 9)),
        hosted.job(links[5], b"nonsense"),
    ]
    assert told(hosted, jobs) == [
        [1], [1, ErrorCode.BAD_CHANGESET], [ErrorCode.CLOCK_SKEW], [1], [2],
        [ErrorCode.BAD_CHANGESET],
    ]  # fmt: skip
    assert (hosted.versions("a"), hosted.versions("b")) == (4, 1)
    with hosted.stores["a"].read() as reader:
        assert [item.key for item in reader.all_objects("Book")] == [0, 1, 4, 9]
    assert hosted.reports == []


def test_a_defect_of_ours_ends_the_session_it_happened_in() -> None:
    draws = iter([*range(1, 5), None, *range(5, 99)])

    def entropy() -> int:
        drawn = next(draws)
        if drawn is None:
            raise RuntimeError("no entropy")
        return drawn

    hosted = Hosted(entropy=entropy)
    links = [hosted.ready() for _ in range(3)]
    jobs = [
        hosted.job(link, changeset(link.session.ident, n), changeset(link.session.ident, n + 5))
        for n, link in enumerate(links)
    ]
    assert told(hosted, jobs) == [[ErrorCode.INTERNAL], [2], [2]]
    assert [str(error) for error in hosted.reports] == ["no entropy"]
    with hosted.stores["a"].read() as reader:
        assert [item.key for item in reader.all_objects("Book")] == [1, 6, 2, 7]


def test_a_namespace_that_can_not_be_opened_disturbs_no_other() -> None:
    hosted = Hosted()
    link = hosted.ready()
    lost = hosted.host.connect(1, lambda: None)
    (effect,) = lost.session.receive(messages.Bind(1, "c", "ann", 0, 0))
    job = hosted.host.begin(lost, effect)
    assert isinstance(job, Job)
    jobs = [job, hosted.job(link, changeset(link.session.ident, 1))]
    assert told(hosted, jobs) == [[ErrorCode.BAD_NAMESPACE], [1]]


@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError])
def test_a_disk_that_fails_ends_the_sessions_of_that_commit_alone(
    tmp_path: Path, error: type[apsw.Error]
) -> None:
    disk = FaultyDisk()
    stores = {
        "a": SQLiteStore(tmp_path / "a.db", query_values, connect=disk.connect),
        "b": SQLiteStore(tmp_path / "b.db", query_values),
    }
    hosted = Hosted(stores)
    first, second, third = (hosted.ready(name) for name in "aab")
    idle = hosted.ready("a")
    jobs = [hosted.job(link, changeset(link.session.ident, 1)) for link in (first, second, third)]
    disk.fail(0, error, forever=True)
    assert told(hosted, jobs) == [[ErrorCode.STORE_UNAVAILABLE]] * 2 + [[1]]
    disk.heal()
    assert (hosted.versions("a"), hosted.versions("b")) == (0, 1)
    assert len(hosted.reports) == 2
    assert isinstance(hosted.reports[0], StoreFullError) == (error is apsw.FullError)
    assert told(hosted, [hosted.job(idle, changeset(idle.session.ident, 1))]) == [[1]]
    hosted.host.close()


def test_nothing_acknowledged_is_lost_wherever_the_disk_fails(tmp_path: Path) -> None:
    """The disk fails for good at its n-th change, the process ends, another one goes on."""
    acknowledged = []
    for at in range(0, 400, 11):
        disk = FaultyDisk()
        path = tmp_path / f"{at}.db"
        world = World(SQLiteStore(path, query_values, connect=disk.connect))
        devices = [Device(world), Device(world)]
        disk.fail(at, apsw.FullError if at % 2 else apsw.IOError, forever=True)
        for number in range(6):
            for device in devices:
                if device.session is None:
                    device.connect()
                device.subscribe(Book="r > 0")
                device.write(setting("r", number), ("Book", number % 3))
                device.write(lambda edit: edit.scope().add("n", 1), ("Book", number % 3))
                device.run()
        for device in devices:
            acknowledged.append((disk.failed > 0, device.acknowledged))
            device.cut()
        disk.heal()
        world.host.close()
        world.store = SQLiteStore(path, query_values)
        world.start()
        for device in [*devices, *devices]:
            device.ended = None
            device.connect()
            device.run()
            assert device.ended is None, "the server knows all that it acknowledged"
        totals = [state[3][1]["n"] for state in world.states().values()]
        assert totals == [4, 4, 4], "each increment counts once"
        for device in devices:
            device.check()
        world.host.close()
    broken = {count for failed, count in acknowledged if failed}
    assert {0, 2, 4, 8} < broken, "the disk failed early, late and in between"
    assert (False, 12) in acknowledged, "and after all was done"


def test_a_download_waits_for_the_ack_of_what_it_covers() -> None:
    hosted = Hosted()
    link = hosted.ready()
    hosted.feed(link, messages.Query(1, 1, {"Book": "TRUEPREDICATE"}, 0, b""))
    sent = hosted.after(link, hosted.host.fetch(link)())
    assert [type(message) for message in sent] == [messages.Download]
    (outcome,) = hosted.host.commit([hosted.job(link, changeset(link.session.ident, 1))])
    assert hosted.after(link, hosted.host.fetch(link)()) == []
    (ack,) = hosted.after(link, outcome())
    (download,) = hosted.after(link, hosted.host.fetch(link)())
    assert isinstance(ack, messages.Ack)
    assert isinstance(download, messages.Download)
    assert (ack.client_version, download.mark) == (1, 1)


# -- sessions --------------------------------------------------------------------------------
def test_the_newest_session_of_a_client_file_wins() -> None:
    world = World()
    device = Device(world)
    device.subscribe(Book="TRUEPREDICATE")
    device.run()
    old, device.pump = device.pump, None
    assert old is not None
    old.awake.clear()
    device.connect()
    device.run()
    assert device.ended is None
    assert old.awake == {1}, "it is told at once"
    (error,) = old.poll(1)
    assert isinstance(error, messages.Error)
    assert error.code == ErrorCode.SUPERSEDED
    assert old.poll(1) == []
    device.write(setting("r", 1), BOOK)
    device.run()
    device.check()


def test_what_a_session_had_under_way_when_it_was_superseded_is_dropped() -> None:
    hosted = Hosted()
    old = hosted.ready()
    ident = old.session.ident
    upload = hosted.job(old, changeset(ident, 1))
    with hosted.stores["a"].read() as reader:
        file = tables.load_file(reader, ident)
    assert file is not None
    new = hosted.host.connect(1, lambda: None)
    (effect,) = new.session.receive(messages.Bind(1, "a", "ann", ident, file.salt))
    opening = hosted.host.begin(new, effect)
    assert isinstance(opening, Job)
    assert told(hosted, [opening, upload]) == [[], [ErrorCode.SUPERSEDED]]
    assert hosted.versions() == 0


def test_what_is_under_way_when_its_connection_is_lost_is_dropped() -> None:
    hosted = Hosted()
    link = hosted.ready()
    upload = hosted.job(link, changeset(link.session.ident, 1))
    fresh = hosted.host.connect(1, lambda: None)
    (effect,) = fresh.session.receive(messages.Bind(1, "a", "ann", 0, 0))
    opening = hosted.host.begin(fresh, effect)
    assert isinstance(opening, Job)
    for gone in (link, fresh, fresh):
        hosted.host.disconnect(gone)
    hosted.host.commit([upload, opening])
    assert hosted.versions() == 0
    with hosted.stores["a"].read() as reader:
        assert len(list(reader.records("files"))) == 1


def test_a_session_of_another_file_is_none_of_its_business() -> None:
    world = World()
    first, second = Device(world, "ann"), Device(world, "bob")
    first.subscribe(Book="TRUEPREDICATE")
    first.run()
    second.ident, second.salt = first.ident, first.salt
    second.connect()
    second.run()
    assert second.ended is ErrorCode.USER_MISMATCH
    first.write(setting("r", 1), BOOK)
    first.run()
    assert first.ended is None
    first.check()


def test_tokens() -> None:
    hosted = Hosted()
    link = hosted.host.connect(1, lambda: None)
    (error,) = hosted.feed(link, messages.Bind(1, "a", "expired", 0, 0))
    assert error.code == ErrorCode.TOKEN_EXPIRED  # type: ignore[union-attr]
    link = hosted.ready()
    assert hosted.feed(link, messages.Token(1, "ann")) == []
    (error,) = hosted.feed(link, messages.Token(1, "bob"))
    assert error.code == ErrorCode.USER_MISMATCH  # type: ignore[union-attr]
    link = hosted.ready()
    (error,) = hosted.feed(link, messages.Token(1, "expired"))
    assert error.code == ErrorCode.TOKEN_EXPIRED  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["a", "A-b_c.9", "x" * 128, "...", ".a"])
def test_names_of_namespaces(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "é", "x" * 129, "a\0", "a\n"])
def test_what_is_no_name_of_a_namespace(name: str) -> None:
    with pytest.raises(SessionError) as caught:
        check_name(name)
    assert caught.value.code is ErrorCode.BAD_NAMESPACE


def test_a_session_that_is_over_is_left_alone() -> None:
    world = World()
    device = Device(world)
    assert device.session is not None
    device.perform(device.session.unbind())
    device.run()
    assert device.ended is None
    assert device.session is None
    pump = Pump(world.host)
    assert pump.poll(1) == []
    for message in (messages.Mark(1, 1), messages.Unbind(1)):
        (error,) = Pump(world.host).deliver(message)
        assert isinstance(error, messages.Error)
        assert error.code == ErrorCode.BAD_MESSAGE


def test_what_somebody_else_wrote_is_published() -> None:
    world = World()
    device = Device(world)
    device.subscribe(Book="TRUEPREDICATE")
    device.run()
    namespace = world.host.namespace("data")

    def make(author: Any) -> list[ObjectDelta]:
        edit = Edit([0, 0, [], {}], author)
        setting("r", 1)(edit)
        return [ObjectDelta("Book", 1, edit.finish()[0])]

    with world.store.write() as writer:
        namespace.write(writer, make)
    device.run()
    assert device.holds() == {}
    world.host.published("data")
    device.run()
    assert list(device.holds()) == [BOOK]


# -- the commit thread -----------------------------------------------------------------------
class GatedHost(Host):
    """Waits before each commit until it is let in, and remembers what was in it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.gate = threading.Semaphore(0)
        self.began = threading.Semaphore(0)
        self.gated = False
        self.groups: list[int] = []

    def commit(self, jobs: Iterable[Job]) -> list[Outcome]:
        jobs = list(jobs)
        if self.gated:
            self.groups.append(len(jobs))
            self.began.release()
            assert self.gate.acquire(timeout=30)
        return super().commit(jobs)


def test_the_commit_thread_takes_what_waits_up_to_a_size() -> None:
    hosted = Hosted(make=GatedHost)
    host = hosted.host
    assert isinstance(host, GatedHost)
    links = [hosted.ready() for _ in range(9)]
    sizes = [1, 3, 3, 3, 1, 12, 1, 9, 2]
    jobs = [
        hosted.job(link, *(changeset(link.session.ident, 100 * n + k) for k in range(size)))
        for n, (link, size) in enumerate(zip(links, sizes, strict=True))
    ]
    host.gated = True
    thread = CommitThread(host, changesets_max=10)
    order: list[int] = []

    def done(number: int) -> Callable[[Outcome], None]:
        def callback(outcome: Outcome) -> None:
            hosted.after(links[number], outcome())
            order.append(number)

        return callback

    thread.submit(jobs[0], done(0))
    assert host.began.acquire(timeout=30), "a job that comes alone waits for nobody"
    for number in range(1, 9):
        thread.submit(jobs[number], done(number))
    for _ in range(9):
        host.gate.release()
    thread.close()
    thread.close()
    assert host.groups == [1, 4, 1, 2, 1]
    assert order == list(range(9))
    assert hosted.versions() == sum(sizes)
