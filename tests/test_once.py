"""What an app hears of once: by one thread at a time, under no lock, and by the next process if one
dies too early.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from test_client_subscriptions import filled, put
from worlds import Device

from replication.client.callbacks import Callbacks
from replication.crdt.view import query_values
from replication.storage.memory import MemoryStore
from replication.storage.sqlite import SQLiteStore

KINDS = ["on_refused", "on_left_view"]
#: Nothing here takes so long, unless something blocks for good.
PATIENCE_S = 30


def news(device: Device, key: int) -> None:
    """Something refused and something that leaves the view, both of these keys."""
    put(device, key, title=5)
    device.sync()


def waiting(**options: Any) -> Device:
    """A device with one untold piece of news of each kind."""
    _, _, reader = filled(3, **options)
    reader.subscribe("year < 3")
    reader.sync()
    news(reader, 50)
    return reader


def joined(*threads: threading.Thread) -> bool:
    """Whether they come to an end."""
    for each in threads:
        each.join(PATIENCE_S)
    return not any(each.is_alive() for each in threads)


def begin(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("kind", KINDS)
def test_while_one_thread_tells_another_does_not_tell_the_same(kind: str) -> None:
    """JOURNAL-10 SUB-13: it returns, and what it brings is told behind that, in order."""
    device = waiting()
    listen = getattr(device.db, kind)
    told: list[list[int]] = []
    inside, over = threading.Event(), threading.Event()

    def slow(found: list[Any]) -> None:
        told.append([each.key for each in found])
        inside.set()
        over.wait(PATIENCE_S)

    teller = begin(partial(listen, slow))
    assert inside.wait(PATIENCE_S)
    late: list[Any] = []
    second = begin(lambda: (listen(late.extend), news(device, 60), news(device, 70)))
    assert joined(second), "nobody waits for an app's callback"
    assert told == [[50]]
    over.set()
    assert joined(teller)
    assert told == [[50], [60, 70]]
    assert [each.key for each in late] == [60, 70]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_callback_waits_for_may_write(kind: str) -> None:
    """No lock is held while the app is called; it may write itself, too."""
    device = waiting()
    done: list[bool] = []

    def write(_: list[Any]) -> None:
        put(device, 1, title="by the callback")
        done.append(joined(begin(lambda: put(device, 2, title="by another thread"))))

    getattr(device.db, kind)(write)
    assert done == [True]
    assert device.view()[2]["title"] == "by another thread"


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_when_the_last_listener_has_just_left_waits_for_the_next(kind: str) -> None:
    """JOURNAL-10 SUB-13: nobody was told, so it is not noted as told."""
    device = waiting()
    listen = getattr(device.db, kind)
    listen(lambda _: None)()  # no news waits any more
    heard: list[list[int]] = []
    stops: list[Callable[[], None]] = []

    def leave(found: list[Any]) -> None:
        heard.append([each.key for each in found])
        news(device, 70)
        stops.pop()()

    stops.append(listen(leave))
    news(device, 60)
    assert heard == [[60]]
    listen(lambda found: heard.append([each.key for each in found]))
    assert heard == [[60], [70]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_callback_may_close_the_file_and_be_stopped_twice(tmp_path: Path, kind: str) -> None:
    """Closed before it could be noted, it is told once more to who opens the file next."""
    path = tmp_path / "device.db"

    def make(number: int) -> Any:
        return SQLiteStore(path, query_values) if number else MemoryStore(query_values)

    device = waiting(make=make)
    stop = getattr(device.db, kind)(lambda _: device.db.close())
    stop()
    stop()
    device.store = SQLiteStore(path, query_values)
    device.cut()
    device.open()
    told: list[int] = []
    getattr(device.db, kind)(lambda found: told.extend(each.key for each in found))
    assert told == [50]


def test_each_adding_of_one_callback_is_stopped_by_itself() -> None:
    callbacks = Callbacks[int](pytest.fail)
    told: list[int] = []
    first, second = callbacks.add(told.append), callbacks.add(told.append)
    first()
    first()
    assert callbacks.tell(1)
    second()
    assert not callbacks.tell(2)
    assert told == [1]


_CHILD = """
import os, signal, sys
from replication import open_database

with open_database(sys.argv[1]) as db:
    def told(news):
        print([each.key for each in news], flush=True)
        if sys.argv[3:]:
            os.kill(os.getpid(), signal.SIGKILL)
    getattr(db, sys.argv[2])(told)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_killed_while_it_tells_leaves_it_to_the_next(tmp_path: Path, kind: str) -> None:
    """JOURNAL-10 SUB-13: at least once whatever happens, and never again."""
    path = tmp_path / "device.db"

    def make(number: int) -> Any:
        return SQLiteStore(path, query_values) if number else MemoryStore(query_values)

    waiting(make=make).db.close()
    heard = []
    for mode in (["die"], [], []):
        child = [sys.executable, "-c", _CHILD, str(path), kind, *mode]
        done = subprocess.run(child, capture_output=True, text=True, timeout=PATIENCE_S)
        assert (done.returncode == 0) is not bool(mode), done.stderr
        heard.append(done.stdout)
    assert heard == ["[50]\n", "[50]\n", ""]
