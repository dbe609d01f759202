"""The checks of `storage.conformance`, by subject, and what they have in common.

A check is a function of a new, empty store, or of one and of what opens it again. It asserts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias

from replication.model.encoding import pack, sorted_map, unpack_trusted
from replication.model.values import Key, Value
from replication.storage.contract import Reader, Store, StoredObject, Writer, int_key

#: Closes a store, as a process does that ends, and opens what it left behind.
Reopen: TypeAlias = Callable[[Store], Store]


class Check(NamedTuple):
    """One check, and the promise of the contract that it holds a store to."""

    promise: str
    run: Callable[..., None]
    #: Whether it takes a `Reopen` beside the store.
    reopens: bool


class Checks(dict[str, Check]):
    """The checks of one subject, by name; calling it makes a function one of them.

    The promise is the function's docstring.
    """

    def __call__(self, function: Callable[[Store], None]) -> None:
        self._add(function, reopens=False)

    def reopening(self, function: Callable[[Store, Reopen], None]) -> None:
        """The same for a check that opens its store again."""
        self._add(function, reopens=True)

    def _add(self, function: Callable[..., None], *, reopens: bool) -> None:
        assert function.__doc__ is not None
        self[function.__name__] = Check(function.__doc__, function, reopens)


def head(**fields: Value | list[Value]) -> bytes:
    """A head that `read_head` can read."""
    return pack(sorted_map(fields))


def read_head(data: bytes) -> Mapping[str, Value | list[Value]]:
    """The field values of such a head."""
    fields: dict[str, Value | list[Value]] = unpack_trusted(data)
    return fields


class OopsError(Exception):
    """What a check raises inside of a transaction."""


class Fatal(BaseException):
    """The same, of the kind that `except Exception` lets through."""


class raises:  # noqa: N801  # reads as a statement
    """Asserts that a block raises an exception of a kind."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        assert kind is not None, f"{self.kind.__name__} was not raised"
        return issubclass(kind, self.kind)


def put(
    txn: Writer, class_name: str, key: Key, version: int = 1, /, **fields: Value | list[Value]
) -> int:
    """Put a living object with these field values."""
    return txn.put_object(class_name, key, version, head(**fields), fields)


def stage(
    txn: Writer, class_name: str, key: Key, version: int = 1, /, **fields: Value | list[Value]
) -> None:
    """Stage a living object with these field values."""
    values = [fields.get(name) for name in txn.columns(class_name)]
    txn.stage_objects(class_name, [(key, version, head(**fields), values)])


def pairs(txn: Reader, table: str, **options: Any) -> list[tuple[bytes, bytes]]:
    """What `records` iterates over."""
    return list(txn.records(table, **options))


def keys(objects: Iterable[StoredObject]) -> list[Key]:
    """The keys of rows, in their order."""
    return [stored.key for stored in objects]


def fill(txn: Writer) -> None:
    """Put something of each kind."""
    txn.put_record("r", int_key(1), b"one")
    txn.put_record("r", b"word", b"two")
    txn.declare("Book", ["price"])
    row = put(txn, "Book", 1, price=10)
    put(txn, "Book", "b", price=20)
    txn.put_part("Book", row, b"p", 1, b"part")
    txn.declare("Staged", ["price"])
    stage(txn, "Staged", 1, price=10)
    stage(txn, "Book", 1, price=10)


def change(txn: Writer) -> None:
    """Insert, replace and delete, after `fill`, something of each kind."""
    txn.put_record("r", int_key(1), b"uno")
    txn.put_record("r", int_key(2), b"due")
    txn.put_record("s", b"new", b"table")
    txn.delete_record("r", b"word")
    txn.declare("Book", ["title"])
    txn.declare("Author")
    row = put(txn, "Book", 1, 2, price=99)
    txn.put_part("Book", row, b"p", 2, b"changed")
    txn.put_part("Book", row, b"q", 2, b"new")
    txn.delete_object("Book", "b")
    put(txn, "Book", "c", price=30)
    stage(txn, "Book", "c", price=10)
    txn.adopt_staged("Staged")


def everything(txn: Reader) -> list[object]:
    """All that `fill` and `change` put anywhere."""
    seen: list[object] = [pairs(txn, table) for table in ("r", "s")]
    for name in txn.classes():
        rows = list(txn.all_objects(name))
        parts = [txn.parts(name, stored.row) for stored in rows]
        seen += [name, txn.columns(name), rows, parts, list(txn.scan(name))]
        seen.append(list(txn.staged_objects(name)))
    return seen
