"""Stores as commands open them: client files and served namespaces.

Rule 1: to look at, a store is opened read-only, as a snapshot: whoever writes to it goes on.
Rule 2: only client files are written to; a namespace is the server's.
Rule 3: what it is, a client file or a namespace, is told from what it holds.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from replication.errors import UsageError

if TYPE_CHECKING:
    from replication.client.database import Database
    from replication.model.schema import Schema
    from replication.model.values import Key
    from replication.storage.contract import Reader, StoredObject

#: The STORE argument of every command that only reads one.
store_argument: Callable[[Any], Any] = click.argument(
    "store", type=click.Path(exists=True, dir_okay=False)
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A store at one moment.

    Attributes:
        kind: whose file it is.
        schema: what it knows of classes and properties.
    """

    path: str
    kind: Literal["client", "namespace"]
    reader: Reader
    schema: Schema

    def known_class(self, name: str) -> str:
        """``name``, if the store holds such a class.

        Raises:
            UsageError: it does not; the message names those it holds.
        """
        known = self.reader.classes()
        if name not in known:
            held = f"it holds {', '.join(known)}" if known else "it holds no class yet"
            raise UsageError(f"{self.path} has no class {name!r}; {held}")
        return name

    def key(self, class_name: str, text: str) -> Key:
        """A primary key as it is typed on a command line.

        Raises:
            UsageError: it is none of that class.
        """
        found = self.schema.get(class_name)
        kind = None if found is None else found.key_type
        try:
            return _KEYS[kind](text)
        except (ValueError, TypeError):
            raise UsageError(f"{text!r} is no key of {class_name}: its keys are {kind}") from None

    def view(self, class_name: str, row: StoredObject) -> dict[str, Any]:
        """What a reader sees of a living object: its key, then its fields by name."""
        from replication.crdt.view import object_view
        from replication.model.encoding import unpack_trusted

        state = unpack_trusted(self.whole(class_name, row).head)
        fields = object_view(state, self.parts(class_name, row.row))
        return {"_id": row.key, **(fields or {})}

    def whole(self, class_name: str, row: StoredObject) -> StoredObject:
        """A row with what was typed last: see `client/typed.py`."""
        from replication.client.typed import as_shown

        return as_shown(self.reader, class_name, row) if self.kind == "client" else row

    def parts(self, class_name: str, row: int) -> Any:
        """The parts of a row, for those who read its lists."""
        from replication.crdt.parts import Parts

        reader = self.reader

        def read(name: bytes) -> bytes | None:
            part = reader.part(class_name, row, name)
            return None if part is None else part.data

        return Parts(read, lambda: (part.name for part in reader.parts(class_name, row)))


def _guessed(text: str) -> Key:
    try:
        return int(text)
    except ValueError:
        return text


def _object_id(text: str) -> Key:
    from bson.errors import InvalidId
    from bson.objectid import ObjectId

    try:
        return ObjectId(text)
    except InvalidId:
        raise ValueError(text) from None


_KEYS: dict[str | None, Callable[[str], Key]] = {
    None: _guessed,
    "int": int,
    "string": str,
    "objectId": _object_id,
    "uuid": uuid.UUID,
}


@contextmanager
def snapshot(path: str) -> Iterator[Snapshot]:
    """Open a store for reading.

    Raises:
        StoreError: it is no store.
    """
    from replication.crdt.view import query_values
    from replication.model.schema import Schema
    from replication.storage.sqlite import SQLiteStore

    store = SQLiteStore(path, query_values, read_only=True)
    try:
        with store.read() as reader:
            packed = reader.record("meta", b"schema")
            schema = Schema() if packed is None else Schema.from_stored(packed)
            yield Snapshot(Path(path).name, _kind(reader), reader, schema)
    finally:
        store.close()


@contextmanager
def client_snapshot(path: str | Path) -> Iterator[Snapshot]:
    """Open a client file for reading.

    Raises:
        StoreError: it is no store.
        UsageError: it is a namespace.
    """
    with snapshot(str(path)) as held:
        if held.kind == "namespace":
            raise UsageError(
                f"{path} is a namespace of a server; give a client file, and `replication sync` "
                "it with the server"
            )
        yield held


@contextmanager
def writing(path: str | Path, schema: Schema | None = None) -> Iterator[Database]:
    """Open a client file for writing, or make one.

    Args:
        schema: what is to be declared; None: what the file knows already.

    Raises:
        StoreError: another process writes to it, or it is no store.
        UsageError: it is a namespace of a server.
    """
    from replication.net.local import open_database

    if Path(path).exists() and Path(path).stat().st_size:
        with client_snapshot(path):
            pass
    with open_database(path, *([] if schema is None else [schema])) as db:
        yield db


def _kind(reader: Reader) -> Literal["client", "namespace"]:
    # An empty store could become either; as a client file it has more to show.
    return "client" if reader.record("meta", b"ledger") is None else "namespace"
