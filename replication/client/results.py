"""Queries over the objects of one class, and what keeps an app up to date about them.

Rule 1: `Results` are evaluated when they are first used, on one snapshot and, inside a write
        transaction, with what that wrote; then they stay as they are. While they are observed they
        keep up: what a callback sees in them is the state it is told about, or a later one.
Rule 2: an observer is called once with the first state, then once for each transaction that
        changed what it observes: after the commit is durable, in the thread that committed, before
        `Database.write` returns there. What a callback writes is told after that.
Rule 3: an object that starts to match is inserted, one that no longer does is deleted, whether it
        was created, edited into the query, downloaded, evicted or deleted. Of an object that
        matched before and after, the properties that look different are named (see `changes.py`);
        where none does, nothing is told, unless a write of this device lost.
Rule 4: where a query looks at other objects, or at an order, an object may come or go without
        having changed itself: what matches is then worked out anew, and the difference is told.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from replication.client.changes import NetChanges, changed_fields
from replication.client.entities import Entity, PartsMissingError, unread
from replication.client.evaluation import Found, found_by, plan, seen
from replication.client.journal import Entry
from replication.client.replica import Change
from replication.crdt.parts import Parts
from replication.crdt.view import QueryFields, register_value, shows
from replication.errors import QueryError, UsageError, WrongTypeError
from replication.model.check import ZEROS, convert, shown
from replication.model.encoding import key_bytes, unpack_trusted
from replication.model.schema import ClassSchema
from replication.model.types import KEY_NAME
from replication.model.values import Key
from replication.query import Query, parse
from replication.query.ordering import sort_key

if TYPE_CHECKING:
    from replication.client.database import Database
    from replication.client.subscription_set import Subscription

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ResultsChange:
    """What one transaction changed in results.

    Attributes:
        initial: the first call, which inserts everything there is.
        inserted: keys of objects that match now, in the order they were changed in.
        deleted: keys of objects that no longer do, or are not there any more.
        modified: the properties that look different, of objects that matched and still do.
        reordered: whether objects that matched before and after stand in another order, where
            SORT says in which.
        overridden: what writes of this device lost by it, of objects that matched before or do now:
            the entries that the journal got.
    """

    initial: bool = False
    inserted: list[Key] = field(default_factory=list)
    deleted: list[Key] = field(default_factory=list)
    modified: dict[Key, list[str]] = field(default_factory=dict)
    reordered: bool = False
    overridden: dict[Key, list[Entry]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """What one transaction changed in an object.

    Attributes:
        initial: the first call, which changes nothing.
        is_valid: whether the object is there now; False when it was deleted or evicted.
        fields: the properties that look different; all of an object that came back.
        overridden: what writes of this device lost by it: the entries that the journal got.
    """

    initial: bool = False
    is_valid: bool = True
    fields: list[str] = field(default_factory=list)
    overridden: list[Entry] = field(default_factory=list)


class Results(Generic[T]):
    """The objects of a class that match a query. Made by `Database.objects`.

    Lazy, iterable, with a length and indexes. Without `sort` the objects are in the order in which
    they came to this device.
    """

    def __init__(
        self,
        db: Database,
        schema: ClassSchema,
        query: Query | None,
        order: tuple[tuple[str, bool], ...] = (),
    ) -> None:
        self._db = db
        self._schema = schema
        self._query = query
        self._order = order
        self._rows: list[Found] | None = None
        self._commits = 0

    @classmethod
    def of(cls, db: Database, schema: ClassSchema, text: str, args: tuple[Any, ...]) -> Results[T]:
        """The results of a query; see `Database.objects`."""
        query = parse(text, *(_argument(db, each) for each in args))
        types = {name: item.spelling for name, item in schema.properties.items()}
        assert schema.key is not None
        query = query.check({**types, KEY_NAME: schema.key.spelling}, db.schema)
        return cls(db, schema, None if query.text == "TRUEPREDICATE" else query)

    def sort(self, name: str, *, descending: bool = False) -> Results[T]:
        """The same objects, ordered by a property; objects with equal values stay in order.

        Nulls come first. Of several calls the last one counts most.

        Raises:
            SchemaError: the class has no such property.
            QueryError: values of its type have no order.
        """
        item = self._schema[name]
        if not item.is_plain or item.type in ("link", "bool"):
            raise QueryError(f"{item} is {item.spelling}, which has no order")
        return Results(self._db, self._schema, self._query, (*self._order, (name, descending)))

    # -- subscribing -------------------------------------------------------------------------
    def subscribe(self, name: str | None = None, *, update: bool = True) -> Subscription:
        """Subscribe to these objects, in whatever order; see `Subscriptions.edit`.

        Args:
            name: names the subscription; a later one of that name replaces it.
            update: False makes another query under a name that is taken an error.

        Raises:
            UsageError: the name is taken and ``update`` is False; too many subscriptions.
            NoTransactionError: a write transaction is running in this thread.
        """
        with self._db.subscriptions.edit() as edit:
            return edit.add(self._schema.name, self._query_text, name=name, update=update)

    def unsubscribe(self) -> bool:
        """Remove the unnamed subscription to these objects; False where there was none.

        What nothing else asks for goes away with a later synchronisation.
        """
        with self._db.subscriptions.edit() as edit:
            return bool(edit.remove_query(self._schema.name, self._query_text))

    @property
    def _query_text(self) -> str:
        return "TRUEPREDICATE" if self._query is None else self._query.text

    # -- reading -----------------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self._evaluated())

    def __iter__(self) -> Iterator[T]:
        return (self._handle(row) for row in self._evaluated())

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._handle(row) for row in self._evaluated()[index]]
        return self._handle(self._evaluated()[index])

    def __repr__(self) -> str:
        query = "TRUEPREDICATE" if self._query is None else self._query.text
        return f"<Results of {self._schema.name}: {query}>"

    def count(self) -> int:
        """How many there are, without keeping them where they have not been looked at yet."""
        simple = self._query is None or self._query.is_local
        if not simple or self._rows is not None or self._db.transaction is not None:
            return len(self)
        with self._db.reading() as reader:
            name = self._schema.name
            return reader.count(name, self._query, source=seen(reader, name))

    def explain(self) -> str:
        """How the query is answered: which indexes serve it and what is left to work out.

        A line a step, for people to read; the words may change.
        """
        with self._db.reading() as reader:
            steps = list(plan(reader, self._schema.name, self._query))
        steps += [
            f"sort by {name}, {'downwards' if descending else 'upwards'}, in memory"
            for name, descending in self._order
        ]
        return "\n".join(steps)

    def keys(self) -> list[Key]:
        """Their primary keys, in order."""
        return [row.key for row in self._evaluated()]

    def observe(self, callback: Callable[[ResultsChange], None]) -> Observation:
        """Call ``callback`` now with the first state, and after each transaction that changed it.

        See Rules 2 and 3. What it raises goes to `Database.on_callback_error`. Nobody else can
        write while it runs, so it must not wait for another thread that does.

        Returns:
            The observation: a context manager; `stop` ends it.

        Raises:
            UsageError: a write transaction is running in this thread.
        """
        return ResultsObservation(self, callback)

    def _handle(self, row: Found) -> T:
        entities, name = self._db.entities, self._schema.name
        if row.head is None:
            entity = entities.entity(name, row.key)
        else:
            entity = entities.seeded(name, row.key, row.head, self._commits)
        return self._db.handles.handle(entity)  # type: ignore[return-value]

    # -- evaluation --------------------------------------------------------------------------
    def _evaluated(self) -> list[Found]:
        if self._rows is None:
            self._rows = self._evaluate()
        return self._rows

    def _evaluate(self) -> list[Found]:
        self._commits = self._db.entities.commits  # before the snapshot: see `seeded`
        with self._db.reading() as reader:
            rows = found_by(reader, self._db.transaction, self._schema.name, self._query)
        for name, descending in self._order:
            values = self._sort_values(rows, name)
            rows = [
                row
                for _, row in sorted(
                    zip(values, rows, strict=True), key=lambda each: each[0], reverse=descending
                )
            ]
        return rows

    def accepts(self, key: Key, get: Callable[[str], Any] | None) -> bool:
        """Whether an object with these values matches; None for one that is not there."""
        if get is None or self._query is None:
            return get is not None
        return self._query.matches(lambda name: key if name == KEY_NAME else get(name))

    def _sort_values(self, rows: list[Found], name: str) -> list[tuple[int, Any]]:
        if name == KEY_NAME:
            return [sort_key(row.key) for row in rows]
        item, entities = self._schema[name], self._db.entities
        zero = None if item.nullable else ZEROS.get(item.type)
        out = []
        for row in rows:
            if row.head is not None:
                fields = unpack_trusted(row.head)[3]
            else:
                fields = entities.entity(self._schema.name, row.key).fields() or {}
            value = register_value(fields, name)
            out.append(sort_key(zero if value is None else value))
        return out

    # -- keeping up --------------------------------------------------------------------------
    def outdated(self) -> None:
        """Evaluate again when next used. For `ResultsObservation`."""
        self._rows = None

    @property
    def database(self) -> Database:
        """Where the objects are."""
        return self._db

    def changed_by(self, net: NetChanges, keys: dict[Key, None]) -> ResultsChange | None:
        """What a transaction changed in these results; None for nothing.

        Args:
            keys: of the objects that matched before it; kept up to date. In order, where that
                is the query's.
        """
        query = self._query
        if query is not None and not query.is_local:
            mine = self._schema.name in net
            return self._compared(net, keys) if mine or query.reaches else None
        changes = net.get(self._schema.name, ())
        try:
            found = [self._is_found(change) for change in changes]
        except PartsMissingError:
            return self._compared(net, keys)
        out = ResultsChange()
        for change, matches in zip(changes, found, strict=True):
            key = change.key
            if change.overridden and (matches or key in keys):
                out.overridden[key] = list(change.overridden)
            if matches and key not in keys:
                keys[key] = None
                out.inserted.append(key)
            elif not matches and key in keys:
                del keys[key]
                out.deleted.append(key)
            elif matches:
                names = changed_fields(change, self._schema, self._db.class_schema)
                if names:
                    out.modified[key] = names
        return out if out != ResultsChange() else None

    def _is_found(self, change: Change) -> bool:
        if not shows(change.head_after):
            return False
        fields = QueryFields(change.after[3], Parts(unread))
        return self.accepts(change.key, fields.get)

    def _compared(self, net: NetChanges, keys: dict[Key, None]) -> ResultsChange | None:
        """The same by evaluating again: a change alone does not tell what matches."""
        self._rows = None
        is_ordered = self._query is not None and not self._query.is_local
        now = self.keys()
        changes = {change.key: change for change in net.get(self._schema.name, ())}
        stayed = [key for key in now if key in keys]
        out = ResultsChange(
            inserted=[key for key in now if key not in keys],
            deleted=list(keys.keys() - set(now)),
            reordered=is_ordered and stayed != [key for key in keys if key in set(stayed)],
        )
        for key in stayed:
            if key in changes:
                names = changed_fields(changes[key], self._schema, self._db.class_schema)
                if names:
                    out.modified[key] = names
        for key, change in changes.items():
            if change.overridden and (key in keys or key in out.inserted):
                out.overridden[key] = list(change.overridden)
        keys.clear()
        keys.update(dict.fromkeys(now))
        return out if out != ResultsChange() else None


def _argument(db: Database, value: Any) -> Any:
    """What stands for ``$0`` and the like, as queries take it."""
    if isinstance(value, Collection) and not isinstance(value, str | bytes | bytearray):
        return [_argument(db, each) for each in value]
    link = db.handles.link(value)
    if link is not None or value is None:
        return link
    try:
        return convert("mixed", value)
    except WrongTypeError as error:
        raise WrongTypeError(f"{shown(value)} can't stand in a query: {error}") from None


class Observation(ABC):
    """Something that is told what transactions changed, until `stop`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._stopped = False

    def start(self) -> None:
        """Be told from now on; the first state right now, before anybody commits.

        Raises:
            UsageError: a write transaction is running in this thread.
        """
        with self._db.lock:
            if self._db.transaction is not None:
                raise UsageError(
                    "a write transaction is running in this thread: observe before or after it"
                )
            self._db.observe(self)
            try:
                self.first()
            except BaseException:
                self.stop()
                raise

    @abstractmethod
    def first(self) -> None:
        """Tell the first state."""

    def tell(self, net: NetChanges) -> None:
        """A transaction is durable."""
        if not self._stopped:
            self.update(net)

    @abstractmethod
    def update(self, net: NetChanges) -> None:
        """Tell what a transaction changed, if it did."""

    def stop(self) -> None:
        """Be told nothing more. Idempotent; from any thread, callbacks included."""
        self._stopped = True
        self._db.unobserve(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class ResultsObservation(Observation):
    """See `Results.observe`."""

    def __init__(self, results: Results[Any], callback: Callable[[ResultsChange], None]) -> None:
        super().__init__(results.database)
        self._results = results
        self._callback = callback
        self._keys: dict[Key, None] = {}
        self.start()

    def first(self) -> None:
        self._results.outdated()
        keys = self._results.keys()
        self._keys.update(dict.fromkeys(keys))
        self._callback(ResultsChange(initial=True, inserted=keys))

    def update(self, net: NetChanges) -> None:
        change = self._results.changed_by(net, self._keys)
        if change is not None:
            self._results.outdated()
            self._callback(change)


class ObjectObservation(Observation):
    """See `Handle.observe`."""

    def __init__(
        self, entity: Entity, schema: ClassSchema, callback: Callable[[ObjectChange], None]
    ) -> None:
        super().__init__(entity.db)
        self._entity = entity
        self._schema = schema
        self._callback = callback
        self.start()

    def first(self) -> None:
        self._callback(ObjectChange(initial=True, is_valid=self._entity.fields() is not None))

    def update(self, net: NetChanges) -> None:
        for change in net.get(self._schema.name, ()):
            if key_bytes(change.key) == self._entity.name[1]:
                names = changed_fields(change, self._schema, self._db.class_schema)
                shown_now = shows(change.head_after)
                if names or change.overridden or shows(change.head_before) is not shown_now:
                    lost = list(change.overridden)
                    self._callback(ObjectChange(False, shown_now, names, lost))
