"""The importer: the rows of a file, as objects of a client file.

Rule 1: a file is read three times: to infer the schema, to check every row against it, to write.
        So a bad row is found before anything is written: nothing is imported, or, where bad rows
        are to be skipped, everything else.
Rule 2: objects are committed in transactions of `_BATCH`; a crash leaves whole batches, and the
        same import as an update goes on.
Rule 3: what the store declares of a class already counts: a second file's columns are read as
        the types that are known.
"""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeAlias

from replication.cli.documents import put
from replication.cli.rows import BadRowError, Row, rows
from replication.cli.stores import Snapshot, client_snapshot, writing
from replication.client.database import Database
from replication.crdt.object import is_alive
from replication.errors import (
    NoSubscriptionError,
    ReplicationError,
    SchemaError,
    UsageError,
    WrongTypeError,
)
from replication.model.encoding import key_bytes, unpack_trusted
from replication.model.infer import Inferred, infer
from replication.model.schema import ClassSchema, Schema
from replication.model.values import Key

#: Objects a transaction: enough to share a commit, few enough for changesets of some 100 KB.
_BATCH: Final = 500

#: Tells the progress of a pass: bytes of the file read so far.
Told: TypeAlias = Callable[[int], None]
#: Begins a pass over the file under a name; gives what is to be told the bytes read.
Passing: TypeAlias = Callable[[str], AbstractContextManager[Told]]


@dataclass(frozen=True)
class Source:
    """A file, and how its rows are read."""

    path: Path
    kind: str
    key: str
    #: What the user said of types.
    types: dict[str, str]
    without: frozenset[str]
    separator: str

    def rows(self, told: Told) -> Iterator[Row | BadRowError]:
        """The rows, without the fields that are left out; one without its key is bad."""
        for row in rows(self.path, self.kind, told=told):
            if isinstance(row, BadRowError):
                yield row
                continue
            cells = row.cells
            if self.without:
                cells = {name: cell for name, cell in cells.items() if name not in self.without}
            if cells.get(self.key) is None and cells:
                found = ", ".join(repr(name) for name in list(cells)[:8])
                reason = f"field {self.key!r}, the primary key, is missing; there are {found}"
                yield BadRowError(self.path, row.number, reason)
            elif cells:
                yield Row(row.number, cells)

    def split(self, cells: dict[str, Any]) -> dict[str, Any]:
        """The texts of a CSV row; where a list or set is wanted, its elements."""
        if self.kind != "csv":
            return cells
        out = dict(cells)
        for name in self._lists & cells.keys():
            parts = (part.strip() for part in cells[name].split(self.separator))
            out[name] = [part for part in parts if part]
        return out

    @property
    def _lists(self) -> frozenset[str]:
        return frozenset(n for n, text in self.types.items() if text.startswith(("list<", "set<")))


@dataclass(frozen=True)
class Plan:
    """What is to be imported into what, and how."""

    source: Source
    store: Path
    class_name: str
    update: bool
    skip_bad: bool
    subscribe: bool


@dataclass
class Done:
    """What an import did."""

    schema: Schema
    notes: list[str]
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    transactions: int = 0
    skipped: list[BadRowError] = field(default_factory=list)

    def tree(self, plan: Plan) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "file": str(plan.source.path),
            "store": str(plan.store),
            "class": plan.class_name,
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "transactions": self.transactions,
            "skipped": [{"row": each.number, "reason": each.reason} for each in self.skipped],
            "schema": self.schema.to_packed(),
            "notes": self.notes,
        }


def run(plan: Plan, queryable: list[str], passing: Passing) -> Done:
    """Import.

    Raises:
        ReplicationError: a file that can't be read, a row that does not fit, a store in use;
            nothing was written, except where a row is bad that an earlier pass found good.
    """
    known = _Known(plan)
    with passing("reading") as told:
        inferred = _inferred(plan, known, told)
    schema = _marked(inferred.schema, plan.class_name, queryable)
    done = Done(schema, inferred.notes)
    with passing("checking") as told:
        _check(plan, known, inferred, done, told)
    merged, contradictions = known.schema.merge(schema)
    if contradictions:
        raise SchemaError("; ".join(str(each) for each in contradictions))
    with writing(plan.store, merged) as db, passing("writing") as told:
        # Before the objects: a server is asked for them before it is given them, so that they
        # stay where they are.
        if plan.subscribe:
            _subscribe(db, plan.class_name)
        try:
            _write(db, plan, inferred, done, told)
        except NoSubscriptionError:
            raise UsageError(
                f"{plan.store} subscribes to other classes only, so what is imported would never "
                f"be synchronised: first `replication subscribe {plan.store} {plan.class_name}`"
            ) from None
    return done


def _subscribe(db: Database, class_name: str) -> None:
    with db.subscriptions.edit() as edited:
        if all(each.class_name != class_name for each in edited.subscriptions):
            edited.add(class_name)


class _Known:
    """What the store holds before the import."""

    def __init__(self, plan: Plan) -> None:
        self.schema: Schema = Schema()
        self._plan = plan
        self._opening: AbstractContextManager[Snapshot | None] = nullcontext(None)
        if plan.store.exists() and plan.store.stat().st_size:
            self._opening = client_snapshot(plan.store)
            with client_snapshot(plan.store) as held:
                self.schema = held.schema

    @contextmanager
    def exists(self) -> Iterator[Callable[[Key], bool]]:
        """Whether an object with a key is alive."""
        with self._opening as held:

            def alive(key: Key) -> bool:
                assert held is not None
                row = held.reader.get_object(self._plan.class_name, key)
                return row is not None and is_alive(unpack_trusted(row.head))

            yield (lambda _key: False) if held is None else alive


# -- the three passes ------------------------------------------------------------------------
def _inferred(plan: Plan, known: _Known, told: Told) -> Inferred:
    types = dict(plan.source.types)
    inferred = _infer_once(plan, types, told)
    class_known = known.schema.get(plan.class_name)
    if class_known is None:
        return inferred
    differing = _known_types(known.schema, inferred.schema, plan.class_name, ())
    differing = {name: text for name, text in differing.items() if name not in types}
    return _infer_once(plan, types | differing, told) if differing else inferred


def _infer_once(plan: Plan, types: dict[str, str], told: Told) -> Inferred:
    at = 0

    def documents() -> Iterator[dict[str, Any]]:
        nonlocal at
        for row in plan.source.rows(told):
            if not isinstance(row, BadRowError):
                at = row.number
                yield row.cells
            elif not plan.skip_bad:
                raise row

    source = plan.source
    try:
        return infer(documents(), plan.class_name, source.key, types, text=source.kind == "csv")
    except WrongTypeError as error:
        raise BadRowError(source.path, at, _reason(error)) from None
    except SchemaError as error:
        raise UsageError(f"{source.path.name}: {error}") from None


def _reason(error: Exception) -> str:
    # `infer` counts rows where the file is known by its lines; the number goes, the rest stays.
    return re.sub(r"^row \d+, ", "", str(error))


def _known_types(
    known: Schema, fresh: Schema, class_name: str, path: tuple[str, ...]
) -> dict[str, str]:
    """The types known of fields that would be inferred otherwise, by dotted path."""
    out: dict[str, str] = {}
    old, new = known.get(class_name), fresh.get(class_name)
    if old is None or new is None:
        return out
    for name, item in new.properties.items():
        held = old.properties.get(name)
        if held is None:
            continue
        if held.spelling != item.spelling:
            out[".".join((*path, name))] = held.spelling
        elif item.type == "embedded":
            out |= _known_types(known, fresh, str(item.target), (*path, name))
    return out


def _marked(schema: Schema, class_name: str, queryable: list[str]) -> Schema:
    own = schema[class_name]
    for name in queryable:
        own[name]  # raises, naming those that are alike
    marked: ClassSchema = ClassSchema(
        class_name,
        (
            replace(item, queryable=True) if item.name in queryable else item
            for item in own.properties.values()
        ),
        key=own.key_type,
    )
    return Schema(marked if item.name == class_name else item for item in schema)


def _check(plan: Plan, known: _Known, inferred: Inferred, done: Done, told: Told) -> None:
    first_at: dict[bytes, int] = {}
    with known.exists() as exists:

        def checked(row: Row) -> None:
            document = inferred.convert(plan.source.split(row.cells), row.number)
            key = document["_id"]
            before = first_at.setdefault(key_bytes(key), row.number)
            if before != row.number:
                raise UsageError(f"key {key!r} stands in row {before} already")
            if not plan.update and exists(key):
                raise UsageError(
                    f"{plan.class_name} {key!r} exists already; --update writes over it"
                )

        for row in plan.source.rows(told):
            bad = row if isinstance(row, BadRowError) else None
            if bad is None:
                assert not isinstance(row, BadRowError)
                try:
                    checked(row)
                except ReplicationError as error:
                    bad = BadRowError(plan.source.path, row.number, _reason(error))
            if bad is None:
                continue
            if not plan.skip_bad:
                raise bad
            done.skipped.append(bad)


def _write(db: Database, plan: Plan, inferred: Inferred, done: Done, told: Told) -> None:
    bad = {each.number for each in done.skipped}

    def documents() -> Iterator[dict[str, Any]]:
        for row in plan.source.rows(told):
            if row.number not in bad:
                assert not isinstance(row, BadRowError)
                yield inferred.convert(plan.source.split(row.cells), row.number)

    own = db.known_schema[plan.class_name]
    tally = Tally[str]()
    version = db.local.client_version
    for batch in _batches(documents()):
        with db.write():
            tally.update(put(db, own, db.known_schema, document) for document in batch)
    done.transactions = db.local.client_version - version
    done.created, done.updated = tally["created"], tally["updated"]
    done.unchanged = tally["unchanged"]


def _batches(documents: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(documents, _BATCH)):
        yield batch
