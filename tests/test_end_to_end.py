"""The whole thing, with real processes: killed at random moments, nothing acknowledged is lost.

Each write is one transaction with a name of its own: it puts the name into a set and into a list,
and adds to a counter. So for each name three things must hold in the end, or none of them; all of
them where the device was told that it is committed; and the counters must add up.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bson
import pytest

from replication.cli.demo.agreement import compare
from replication.cli.demo.processes import Device, ProcessFailedError, Server
from tests.command_line import data_file, ok
from tests.test_cli_serve import serving

BOOKS = 6
DEVICES = ("one", "two", "three")
EVERYTHING = [["Book", "TRUEPREDICATE"]]


@dataclass
class World:
    """A server and devices that are killed and started again.

    Attributes:
        asked: what each named transaction adds to the counter of which book.
        told: names whose commit was confirmed to this process.
    """

    folder: Path
    chance: random.Random
    stack: ExitStack
    server: Server
    devices: dict[str, Device] = field(default_factory=dict)
    asked: dict[str, tuple[int, int]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    def start(self, name: str) -> Device:
        """Start a device, on its old file if it has one, and connect it."""
        device = self.devices[name] = self.stack.enter_context(Device(name, self.folder))
        device.ask("connect", url=self.server.url)
        return device

    def write(self, name: str) -> dict[str, Any]:
        """The request for a transaction of a name nobody had before."""
        book, amount = self.chance.randrange(BOOKS), self.chance.randrange(-5, 9)
        title = f"{name}-{len(self.asked)}"
        self.asked[title] = (book, amount)
        ops = [
            ["include", "Book", book, "tags", title],
            ["insert", "Book", book, "notes", 0, [title]],
            ["add", "Book", book, "loans", amount],
        ]
        return {"do": "write", "ops": ops}

    def wrote(self, name: str, count: int) -> None:
        """Have a device commit some transactions."""
        for _ in range(count):
            request = self.write(name)
            self.devices[name].say(request)
            self.devices[name].hear()
            self.told.add(list(self.asked)[-1])

    # -- faults ----------------------------------------------------------------------------------
    def kill_device(self, name: str) -> None:
        """Kill a device while it commits and synchronises, and start it again."""
        device = self.devices[name]
        titles = []
        for _ in range(self.chance.randrange(1, 8)):
            device.say(self.write(name))
            titles.append(list(self.asked)[-1])
        ends = self.chance.random() * 0.05
        with suppress(ProcessFailedError):
            for title in titles:
                device.hear(ends)
                self.told.add(title)
        device.kill()
        self.start(name)

    def kill_server(self) -> None:
        """Kill the server while devices upload, and start it again where it was."""
        for name in DEVICES:
            self.wrote(name, self.chance.randrange(3))
        self.server.kill()
        port = int(self.server.url.rpartition(":")[2])
        self.server = self.stack.enter_context(
            Server(self.folder / "server", message_bytes=2048, port=port)
        )
        for device in self.devices.values():
            # Rather than wait for its next attempt.
            device.ask("disconnect")
            device.ask("connect", url=self.server.url)

    def cut_device(self, name: str) -> None:
        """Take a device off the network, let it write, and bring it back."""
        self.devices[name].ask("disconnect")
        self.wrote(name, self.chance.randrange(1, 5))
        self.devices[name].ask("connect", url=self.server.url)


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    (tmp_path / "server").mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(Server(tmp_path / "server", message_bytes=2048))
        made = World(tmp_path, random.Random(request.param), stack, server)
        for name in DEVICES:
            made.start(name).ask("subscribe", queries=EVERYTHING)
        first = made.devices[DEVICES[0]]
        first.ask(
            "write", ops=[["create", "Book", key, {"title": f"{key}"}] for key in range(BOOKS)]
        )
        first.ask("settle")
        for name in DEVICES[1:]:
            made.devices[name].ask("settle")
        yield made


@pytest.mark.parametrize("world", [7, 2024], indirect=True, ids=str)
def test_killed_at_random_moments(world: World) -> None:
    for _ in range(10):
        name = world.chance.choice(DEVICES)
        fault = world.chance.choice((world.kill_device, world.cut_device, None))
        if fault is None:
            world.kill_server()
        else:
            fault(name)
        world.wrote(world.chance.choice(DEVICES), world.chance.randrange(3))

    for _ in range(2):  # what the first settling of the last device brought, the others see now
        for device in world.devices.values():
            device.ask("settle")
    books = world.devices["two"].ask("read", keys=[["Book", key] for key in range(BOOKS)])
    check(world, books["objects"])
    paths = {name: device.path for name, device in world.devices.items()}
    for device in world.devices.values():
        assert device.close() == 0
    assert world.server.interrupt() == 0
    found = compare(world.server.path, paths)
    assert [each.differences for each in found] == [[]] * 4
    assert all(each.agrees and each.objects == BOOKS for each in found)


def check(world: World, books: list[dict[str, Any]]) -> None:
    """Each transaction is there as a whole or not at all, once, and whatever was told is there."""
    there = set()
    for key, book in enumerate(books):
        assert len(book["tags"]) == len(book["notes"])
        assert set(book["tags"]) == set(book["notes"])
        assert all(world.asked[title][0] == key for title in book["tags"])
        assert book["loans"] == sum(world.asked[title][1] for title in book["tags"])
        there |= set(book["tags"])
    assert world.told <= there <= world.asked.keys()
    assert len(world.told) > 10


def test_a_server_killed_while_it_is_uploaded_to(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(Server(tmp_path / "server", message_bytes=4096))
        laptop = stack.enter_context(Device("laptop", tmp_path))
        laptop.ask("subscribe", queries=[*EVERYTHING, ["Author", "TRUEPREDICATE"]])
        laptop.ask("load", path=None, batch=2)
        laptop.ask("connect", url=server.url)
        acknowledged = 0
        while acknowledged < 20:
            acknowledged = laptop.ask("status")["acknowledged"]
        server.kill()
        before = laptop.ask("status")
        assert before["acknowledged"] >= acknowledged
        port = int(server.url.rpartition(":")[2])
        server = stack.enter_context(Server(tmp_path / "server", message_bytes=4096, port=port))
        laptop.ask("disconnect")
        laptop.ask("connect", url=server.url)
        after = laptop.ask("settle")
        assert after["acknowledged"] == after["client_version"] >= before["client_version"]
        assert laptop.close() == 0
        assert server.interrupt() == 0
        found = compare(server.path, {"laptop": laptop.path})
        assert [(each.agrees, each.objects) for each in found] == [(True, 350)] * 2


def test_import_and_bootstrap_of_thirty_thousand_documents(tmp_path: Path) -> None:
    dump = data_file("zips.bson")
    into = tmp_path / "zips.db"
    done = ok(
        "import", dump, "--into", into, "--class", "Zip", "--queryable", "state,pop", "--json"
    )
    assert done.json["created"] == 29_470
    with dump.open("rb") as raw:
        wanted = {
            str(each["_id"]): each
            for each in bson.decode_file_iter(raw)
            if each["state"] == "NY" and each["pop"] > 10_000
        }
    other = tmp_path / "york.db"
    ok("subscribe", other, "Zip", 'state == "NY" AND pop > 10000')
    with serving(tmp_path / "served", "--development") as url:
        where = ("--url", url, "--namespace", "zips", "--token", "dev:ada", "--timeout", "600")
        assert ok("sync", into, *where, "--json").json["refusals"] == 0
        ok("sync", other, *where)
    found = {each["_id"]["$oid"]: each for each in ok("query", other, "Zip", "--json").lines}
    assert found.keys() == wanted.keys()
    assert len(found) > 100
    for key, each in found.items():
        loc = {name: float(value) for name, value in wanted[key]["loc"].items()}
        assert {**each, "_id": None} == {**wanted[key], "_id": None, "loc": loc}
    assert ok("query", into, "Zip", "--count").out == "29470\n"
    replicas = compare(tmp_path / "served" / "zips.db", {"zips": into, "york": other})
    assert [each.differences for each in replicas] == [[], [], []]
