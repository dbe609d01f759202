"""`replication device`: one device of the demo, in a process of its own, told what to do by lines.

Each line of stdin is a JSON object `{"do": NAME, ...}`; each gets one line on stdout, with what
came of it or `{"error": SENTENCE}`. The end of stdin ends the process. The database of a device is
opened as any app opens it; only that its user is another process is special.

| do | what |
| --- | --- |
| status | ident, cursor, staged messages, counts |
| load | the library, into transactions of `batch` objects; `path` null for the project's own |
| write | `ops` in one transaction, see `_OPERATIONS` |
| read | `keys`: [class, key] pairs; what this device sees of them |
| subscribe | `queries`: [class, query] pairs, replacing what was asked for |
| connect, disconnect | start and stop synchronising with the server at `url` |
| settle | wait until everything is uploaded and everything asked for is here |

With `halt_after` N in `connect`, the device prints `{"halted": N}` once N messages of a download
are durable, and does nothing more: whoever started it can kill it at that very moment.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from replication.cli.output import noted
from replication.errors import ReplicationError, UsageError

if TYPE_CHECKING:
    from replication.client.database import Database
    from replication.client.integration import Integration
    from replication.net.facade import Sync


@click.command("device", hidden=True)
@click.argument("store", type=click.Path(dir_okay=False))
@click.option("--namespace", required=True)
@click.option("--token", required=True)
def command(store: str, namespace: str, token: str) -> None:
    """One device of the demo; reads what to do from stdin, a JSON object a line."""
    from replication.cli.demo.library import SCHEMA
    from replication.cli.stores import writing

    with writing(store, SCHEMA) as db:
        device = Device(db, namespace, token)
        try:
            for line in sys.stdin:
                _say(device.answer(json.loads(line)))
        finally:
            device.disconnect()


def _say(answer: dict[str, Any]) -> None:
    with _SAYING:
        sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
        sys.stdout.flush()


#: A download may halt while an answer is being given.
_SAYING: Final = threading.Lock()


class Device:
    """A database, its synchronisation, and what can be asked of them."""

    def __init__(self, db: Database, namespace: str, token: str) -> None:
        self._db = db
        self._who = (namespace, token)
        self._sync: Sync | None = None
        #: Messages of downloads that became durable since this process started.
        self._staged = 0

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what a line asks for."""
        asked = dict(request)
        name = asked.pop("do")
        try:
            done: dict[str, Any] | None = getattr(self, name)(**asked)
        except (ReplicationError, TimeoutError) as error:
            return {"error": f"{type(error).__name__}: {error}"}
        return done or {}

    def status(self) -> dict[str, Any]:
        db = self._db
        with db.reading() as reader:
            counts = {name: reader.count(name) for name in reader.classes()}
        return {
            "ident": db.local.ident,
            "client_version": db.local.client_version,
            "acknowledged": db.synced.acknowledged,
            "cursor": db.synced.cursor,
            "staged": db.synced.staged_count,
            "messages": self._staged,
            "counts": counts,
            "refusals": len(db.refusals()),
        }

    # -- writing -------------------------------------------------------------------------------
    def load(self, path: str | None, batch: int, limit: int | None = None) -> dict[str, Any]:
        from replication.cli.demo.library import load

        documents = load(None if path is None else Path(path), limit).documents()
        started = time.monotonic()
        for first in range(0, len(documents), batch):
            with self._db.write():
                for class_name, fields in documents[first : first + batch]:
                    self._db.create(class_name, **fields)
        seconds = time.monotonic() - started
        return {"objects": len(documents), "seconds": seconds, **self.status()}

    def write(self, ops: list[list[Any]]) -> dict[str, Any]:
        with self._db.write():
            for name, class_name, key, *arguments in ops:
                _OPERATIONS[name](self._db, class_name, key, *arguments)
        return {"client_version": self._db.local.client_version}

    # -- reading -------------------------------------------------------------------------------
    def read(self, keys: list[list[Any]]) -> dict[str, Any]:
        return {"objects": [self._shown(*name) for name in keys]}

    def _shown(self, class_name: str, key: Any) -> Any:
        found = self._db.get(class_name, key)
        return None if found is None else noted(found.to_dict())

    # -- synchronising -------------------------------------------------------------------------
    def subscribe(self, queries: list[list[str]]) -> dict[str, Any]:
        with self._db.subscriptions.edit() as edited:
            edited.clear()
            for class_name, query in queries:
                edited.add(class_name, query)
        return {"version": self._db.subscriptions.latest.version}

    def connect(self, url: str, halt_after: int = 0) -> None:
        from replication.net.facade import Sync

        if self._sync is not None:
            raise UsageError("this device is connected already")
        self._watch(halt_after)
        self._sync = Sync(self._db, url, *self._who)
        self._sync.start()

    def disconnect(self) -> None:
        if self._sync is not None:
            self._sync.stop()
            self._sync = None

    def settle(self, timeout: float = 60.0) -> dict[str, Any]:
        if self._sync is None:
            raise UsageError("this device is not connected")
        started = time.monotonic()
        self._sync.wait_for_upload(timeout)
        self._sync.wait_for_download(timeout)
        latest = self._db.subscriptions.latest
        if latest.message:
            raise UsageError(latest.message)
        return {"seconds": time.monotonic() - started, **self.status()}

    def _watch(self, halt_after: int) -> None:
        """Count the messages of downloads as they become durable, and stop at one."""
        db = self._db
        integrating = type(db).integrating

        @contextmanager
        def counted() -> Iterator[Integration]:
            before = db.synced.staged_count
            with integrating(db) as work:
                yield work
            if db.synced.staged_count > before:
                self._staged += 1
            if halt_after and db.synced.staged_count >= halt_after:
                _say({"halted": db.synced.staged_count})
                threading.Event().wait()

        db.integrating = counted  # type: ignore[method-assign]


# -- operations --------------------------------------------------------------------------------
def _create(db: Database, class_name: str, key: Any, fields: dict[str, Any]) -> None:
    db.create(class_name, _id=key, **fields)


def _delete(db: Database, class_name: str, key: Any) -> None:
    db.delete(_held(db, class_name, key))


def _set(db: Database, class_name: str, key: Any, name: str, value: Any) -> None:
    _held(db, class_name, key)[name] = value


def _add(db: Database, class_name: str, key: Any, name: str, amount: int) -> None:
    _held(db, class_name, key).add(name, amount)


def _insert(
    db: Database, class_name: str, key: Any, name: str, index: int, values: list[Any]
) -> None:
    _held(db, class_name, key)[name][index:index] = values


def _move(db: Database, class_name: str, key: Any, name: str, source: int, target: int) -> None:
    _held(db, class_name, key)[name].move(source, target)


def _erase(db: Database, class_name: str, key: Any, name: str, index: int) -> None:
    del _held(db, class_name, key)[name][index]


def _include(db: Database, class_name: str, key: Any, name: str, member: Any) -> None:
    _held(db, class_name, key)[name].add(member)


def _exclude(db: Database, class_name: str, key: Any, name: str, member: Any) -> None:
    _held(db, class_name, key)[name].discard(member)


def _held(db: Database, class_name: str, key: Any) -> Any:
    found = db.get(class_name, key)
    if found is None:
        raise UsageError(f"there is no {class_name} {key!r} here")
    return found


_OPERATIONS: Final[dict[str, Callable[..., None]]] = {
    "create": _create,
    "delete": _delete,
    "set": _set,
    "add": _add,
    "insert": _insert,
    "move": _move,
    "erase": _erase,
    "include": _include,
    "exclude": _exclude,
}
