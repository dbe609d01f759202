"""Fan-out: what a change costs a server of many subscriptions, and how it reaches their sessions.

Sessions are real sockets on loopback, each on a connection of its own, to a real server process
over an SQLite file with full durability; all of them live in one other process, with the writer.
"""

from __future__ import annotations

import os
import random
import tracemalloc
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import trio

from bench.data import created, document, edited
from bench.harness import Figure, figure, percentile, scratch
from bench.live import cpu, rss
from bench.peers import Peer, batches, opened
from bench.servers import namespace, serving, wall_ms
from replication.clock import time_from_ms
from replication.crdt.view import query_values
from replication.history.changeset import Changeset, ObjectDelta, encode
from replication.query import parse
from replication.query.index import MatchingIndex
from replication.server.fanout import Fanout, Seat
from replication.server.view import View
from replication.storage.sqlite import SQLiteStore

#: Client file ident of whoever filled a store.
_FILLER = 2


class _Times:
    """Stamps for changesets, each later than the one before."""

    def __init__(self) -> None:
        self._last = time_from_ms(wall_ms() - 3_600_000)

    def next(self) -> int:
        self._last += 1
        return self._last


def rooms(path: Path, objects: int, rooms: int) -> None:
    """A server's store whose objects are spread evenly over rooms: ``i0 == key % rooms``."""
    r, times = random.Random(objects), _Times()
    made = []
    for keys in batches(list(range(objects)), 500):
        time = times.next()
        deltas = []
        for key in keys:
            fields = {**document(r), "i0": key % rooms, "i1": key}
            deltas.append(ObjectDelta("Item", key, created(fields, time, _FILLER)))
        made.append(encode(Changeset(time, 0, deltas)))
    store = SQLiteStore(path, query_values)
    space = namespace(store)
    with store.write() as writer:
        assert space.open_file(writer, "bench", 0, 0).ident == _FILLER
    _integrate(store, space, made)
    store.close()


def _integrate(store: SQLiteStore, space: Any, changesets: list[bytes], first: int = 1) -> None:
    for batch in batches(changesets, 1000):
        with store.write() as writer:
            done = space.integrate(writer, 1, _FILLER, first, batch)
        assert done.error is None, done.error
        first += len(batch)


def _updates(keys: list[int], origin: int) -> list[bytes]:
    """A transaction a key, each of which sets one field that nobody asks for."""
    times = _Times()
    out = []
    for number, key in enumerate(keys):
        time = times.next()
        delta = ObjectDelta("Item", key, edited({"i2": number}, time, origin))
        out.append(encode(Changeset(time, 0, [delta])))
    return out


# -- matching ----------------------------------------------------------------------------------
def _matching(texts: list[str], values: list[dict[str, Any]]) -> tuple[float, float]:
    """CPU microseconds a change, and hits of one."""
    index: MatchingIndex[int] = MatchingIndex()
    for number, text in enumerate(texts):
        index.add(number, parse(text))
    for item in values:
        index.match(item.get)  # what is compiled at its first use is compiled
    started, hits = process_time(), 0
    for item in values:
        hits += len(index.match(item.get))
    return (process_time() - started) / len(values) * 1e6, hits / len(values)


def matching(runs: int, *, quick: bool) -> list[Figure]:
    """One change beside very many subscriptions, and what one of them takes in memory."""
    count, changes = (5_000, 500) if quick else (100_000, 2_000)
    r = random.Random(7)
    equalities = [f"room == 'r{number}'" for number in range(count)]
    mixed = []
    for number in range(count):
        at = r.randrange(1_000_000)
        mixed.append(
            (
                f"price BETWEEN {{{at}, {at + 10}}}",
                f"city == 'c{r.randrange(2000)}' AND price < {at}",
                f"price > {at} AND price <= {at + 20} AND open == true",
                f"owner == 'o{r.randrange(20_000)}' AND open == true",
            )[number % 4]
        )
    objects = [
        {
            "room": f"r{r.randrange(count)}",
            "price": r.randrange(1_000_000),
            "city": f"c{r.randrange(2000)}",
            "owner": f"o{r.randrange(20_000)}",
            "open": r.random() < 0.5,
        }
        for _ in range(changes)
    ]
    out = []
    for name, texts, target in (
        ("distinct equality subscriptions", equalities, "<= 20 us + 2 us a hit"),
        ("mixed ranges and conjunctions", mixed, "<= 100 us"),
    ):
        took = [_matching(texts, objects) for _ in range(runs)]
        done = figure(f"matching a change against {count:,} {name}", "us", [us for us, _ in took])
        done.target = target
        done.extra["hits"] = took[0][1]
        out.append(done)
    sizes = [_size(mixed, objects) for _ in range(min(runs, 2))]
    size = figure("a subscription in memory, with its group", "bytes", sizes, None, "<= 1 KiB")
    size.extra["of one field that equals a value"] = _size(equalities, objects)
    return [*out, size]


def _size(texts: list[str], objects: list[dict[str, Any]]) -> float:
    """Bytes of a seat, a view with one query, its group and its place in the index.

    The query's text is one of its own, as from a message.
    """
    tracemalloc.start()
    fanout = Fanout()
    before = tracemalloc.get_traced_memory()[0]
    for number, text in enumerate(texts):
        view = View({"Item": text.encode().decode()}, None)
        fanout.sit(Seat(1000 + number, _nothing), view)
    index = fanout._indexes["Item"]
    for item in objects:
        index.match(item.get)
    size = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return size / len(texts)


def _nothing() -> None:
    """Nobody is to be woken."""


# -- the disk ----------------------------------------------------------------------------------
def _fsync_p99(folder: Path) -> float:
    """Milliseconds in which 99 of 100 writes of 4 KiB are durable on this disk."""
    took = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(300):
            started = perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            took.append(perf_counter() - started)
    return percentile(took, 0.99) * 1000


# -- connected sessions ------------------------------------------------------------------------
class _Arrivals:
    """When what was written at which time arrived."""

    def __init__(self) -> None:
        self.sent: dict[Any, float] = {}
        self.took: list[float] = []

    def heard(self, item: list[Any], now: float) -> None:
        """An operation about an object came."""
        sent = self.sent.get(item[2])
        if sent is not None:
            self.took.append(now - sent)


async def _paced(writer: Peer, keys: list[int], rate: float, arrivals: _Arrivals) -> None:
    """Write one object after the other, at a rate, whatever is still on its way."""
    start = trio.current_time()
    for number, (key, data) in enumerate(zip(keys, _updates(keys, writer.ident), strict=True)):
        await trio.sleep_until(start + number / rate)
        arrivals.sent[key] = perf_counter()
        await writer.upload([data])


async def _through(
    writer: Peer, readers: list[Peer], keys: list[int], *, per: int, each: int = 1
) -> float:
    """Updates a second, from the first upload until the last one is with ``each`` readers."""
    data, before = _updates(keys, writer.ident), writer.acknowledged
    start = perf_counter()
    for number, batch in enumerate(batches(data, per)):
        await writer.upload(batch)
        # A few on their way; a server takes in many more from one session before it waits.
        least = before + (number - 3) * per
        await writer.until(lambda least=least: writer.acknowledged >= least)
    while sum(reader.deltas for reader in readers) < each * len(keys):
        await trio.sleep(0.001)
    return len(keys) / (perf_counter() - start)


async def _with_peers(
    url: str, queries: list[str], use: Callable[[Peer, list[Peer], _Arrivals], Awaitable[Any]]
) -> Any:
    """Use a writer that asks for nothing, and a reader a query."""
    arrivals = _Arrivals()
    writer = Peer({})
    readers = [Peer({"Item": query}, arrivals.heard) for query in queries]
    async with trio.open_nursery() as nursery:
        await opened([writer, *readers], url, nursery)
        for reader in readers:
            reader.frames = reader.deltas = reader.states = reader.evictions = 0
        arrivals.took.clear()
        done = await use(writer, readers, arrivals)
        nursery.cancel_scope.cancel()
    return done


def filters(runs: int, *, quick: bool) -> list[Figure]:
    """One writer and 100 sessions with a different filter each; 1,000 of them."""
    objects, sessions = (1_000, 20) if quick else (10_000, 100)
    count = 2_000 if quick else 30_000
    rates, busy, tails, medians, syncs = [], [], [], [], []

    async def use(server: int, writer: Peer, readers: list[Peer], arrivals: _Arrivals) -> None:
        keys, before = [number % objects for number in range(count)], cpu(server)
        rates.append(await _through(writer, readers, keys, per=100))
        busy.append((cpu(server) - before) / count * 1e6)
        arrivals.took.clear()
        keys = list(range(200 if quick else 1_000))
        await _paced(writer, keys, 100, arrivals)
        await _arrived(arrivals, len(keys))
        tails.append(percentile(arrivals.took, 0.99) * 1000)
        medians.append(percentile(arrivals.took, 0.5) * 1000)

    for _ in range(runs):
        with scratch() as folder:
            rooms(folder / "server.db", objects, sessions)
            with serving(folder / "server.db") as (url, server):
                queries = [f"i0 == {number}" for number in range(sessions)]
                trio.run(_with_peers, url, queries, partial(use, server))
            syncs.append(_fsync_p99(folder))
    name = f"1 writer, {objects:,} objects, {sessions} sessions with a filter each"
    rate = figure(f"{name}: durable updates, end to end", "1/s", rates, None, ">= 6,000")
    rate.extra["CPU of the server, us an update"] = percentile(busy, 0.5)
    tail = figure(f"{name}: at 100 updates/s, p99", "ms", tails, None, "<= 10 ms")
    tail.extra["p50, ms"] = percentile(medians, 0.5)
    tail.extra["p99 of a bare fdatasync, ms"] = percentile(syncs, 0.5)
    return [rate, tail, *_thousand(min(runs, 2), quick=quick)]


async def _arrived(arrivals: _Arrivals, count: int) -> None:
    with trio.move_on_after(20):
        while len(arrivals.took) < count:
            await trio.sleep(0.01)
    assert len(arrivals.took) == count, f"{len(arrivals.took)} of {count} updates arrived"


def _thousand(runs: int, *, quick: bool) -> list[Figure]:
    sessions, seconds = (50, 4) if quick else (1_000, 30)
    tails, medians, grown = [], [], []

    async def use(server: int, writer: Peer, _: list[Peer], arrivals: _Arrivals) -> None:
        keys = list(range(200 * seconds))
        half = len(keys) // 2
        await _paced(writer, keys[:half], 200, arrivals)
        before = rss(server)
        await _paced(writer, keys[half:], 200, arrivals)
        await _arrived(arrivals, len(keys))
        grown.append((rss(server) - before) / 1024)
        tails.append(percentile(arrivals.took, 0.99) * 1000)
        medians.append(percentile(arrivals.took, 0.5) * 1000)

    for _ in range(runs):
        with scratch() as folder:
            rooms(folder / "server.db", 200 * seconds, sessions)
            with serving(folder / "server.db") as (url, server):
                queries = [f"i0 == {number}" for number in range(sessions)]
                trio.run(_with_peers, url, queries, partial(use, server))
    name = f"1 writer at 200 transactions/s for {seconds} s, {sessions:,} sessions and filters: p99"
    done = figure(name, "ms", tails, None, "<= 250 ms, memory flat")
    done.extra["p50, ms"] = percentile(medians, 0.5)
    done.extra["server's memory in the second half, MiB more"] = max(grown)
    return [done]


def everything(runs: int, *, quick: bool) -> list[Figure]:
    """One writer, 100 sessions that see everything, 1,000 transactions."""
    sessions, count = (20, 100) if quick else (100, 1_000)
    together, singly, frames, busy = [], [], [], []

    async def use(server: int, writer: Peer, readers: list[Peer], _: _Arrivals) -> None:
        keys = [number % 100 for number in range(count)]
        rate = await _through(writer, readers, keys, per=250, each=sessions)
        together.append(sessions * rate)
        for reader in readers:
            reader.deltas = reader.frames = 0
        start, before = perf_counter(), cpu(server)
        for number, data in enumerate(_updates(keys, writer.ident), start=1):
            await writer.upload([data])
            for reader in readers:
                await reader.until(lambda reader=reader, n=number: reader.deltas >= n)
        singly.append(sessions * count / (perf_counter() - start))
        busy.append((cpu(server) - before) / sessions / count * 1e6)
        frames.append(sum(reader.frames for reader in readers) / sessions / count)

    for _ in range(runs):
        with scratch() as folder:
            rooms(folder / "server.db", 100, 10)
            with serving(folder / "server.db") as (url, server):
                everything = ["TRUEPREDICATE"] * sessions
                trio.run(_with_peers, url, everything, partial(use, server))
    name = f"1 writer, {sessions} sessions that see everything, {count:,} transactions: deliveries"
    many = figure(f"{name}, frames carry many", "1/s", together, None, ">= 100,000")
    one = figure(f"{name}, a frame each", "1/s", singly, None, ">= 10,000")
    one.extra["CPU of the server, us a delivery"] = percentile(busy, 0.5)
    one.extra["frames a transaction and session"] = percentile(frames, 0.5)
    return [many, one]


# -- coming back, and asking for less ----------------------------------------------------------
def returning(runs: int, *, quick: bool) -> list[Figure]:
    """A client that missed 1,000 changes relevant to it, of few and of very many."""
    relevant = 100 if quick else 1_000
    out = []
    for times in (10, 50) if quick else (10, 1_000):
        took = []
        with scratch() as folder:
            path = folder / "server.db"
            rooms(path, 10_000, 100)
            peer = Peer({"Item": "i0 == 7"})
            with serving(path) as (url, _):
                trio.run(_visit, peer, url)
            keys = [number * 100 + 7 for number in range(100)] * (relevant // 100)
            others = [key for key in range(10_000) if key % 100 != 7]
            r = random.Random(3)
            keys += r.choices(others, k=relevant * (times - 1))
            r.shuffle(keys)
            store = SQLiteStore(path, query_values)
            _integrate(store, namespace(store), _updates(keys, _FILLER), first=21)
            store.close()
            with serving(path) as (url, _):
                for _ in range(runs):
                    took.append(trio.run(_visit, peer, url, relevant))
        name = f"a returning client that missed {relevant:,} of {relevant * times:,} changes"
        out.append(figure(name, "s", took, None, "time follows the relevant ones"))
    return out


async def _visit(peer: Peer, url: str, expected: int = 0) -> float:
    """Come, take everything, and go; the position of the first visit is kept."""
    cursor, salt = peer.cursor, peer._cursor_salt
    peer.deltas = peer.states = 0
    started = perf_counter()
    await peer.open(url)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.run)
        await peer.caught_up()
        nursery.cancel_scope.cancel()
    took = perf_counter() - started
    if expected:
        # A hundred objects: all their deltas, or the state of each, maybe of several chunks.
        assert peer.deltas == expected or peer.states >= 100, (peer.deltas, peer.states)
        peer.cursor, peer._cursor_salt = cursor, salt
    await peer.close()
    return took


def narrowing(runs: int, *, quick: bool) -> list[Figure]:
    """A query over 100,000 objects becomes one over 50,000."""
    objects = 2_000 if quick else 100_000
    took, sent, evicted = [], [], []

    async def use(_writer: Peer, readers: list[Peer], _: _Arrivals) -> None:
        (reader,) = readers
        started = perf_counter()
        await reader.subscribe({"Item": f"i1 < {objects // 2}"})
        took.append(perf_counter() - started)
        sent.append(reader.states + reader.deltas)
        evicted.append(reader.evictions)

    with scratch() as folder:
        rooms(folder / "server.db", objects, 100)
        with serving(folder / "server.db") as (url, _):
            for _ in range(min(runs, 3)):
                trio.run(_with_peers, url, [f"i1 < {objects}"], use)
    done = figure(f"narrowing {objects:,} objects to half", "objects sent", sent, None, "0")
    done.extra["evictions"] = evicted[0]
    done.extra["seconds"] = percentile(took, 0.5)
    return [done]


def fanout(runs: int, *, quick: bool) -> list[Figure]:
    """All of the above."""
    families = (matching, filters, everything, narrowing, returning)
    return [item for family in families for item in family(runs, quick=quick)]
