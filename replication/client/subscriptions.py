"""Subscriptions: which objects this device wants, as one persistent, versioned set. [SUB]

Rule 1: a set is edited whole, atomically: an edit makes a new version; versions only grow.
Rule 2: a named subscription is identified by its name, an unnamed one by class and query; the
        same query under two names stays twice. [SUB-1]
Rule 3: states: PENDING (committed, not served yet), BOOTSTRAPPING (the first staged message came),
        AWAITING_MARK (its objects are here), COMPLETE, ERROR (the server can't serve it; the set
        before stays active), SUPERSEDED (a later one is active). [SUB-2]
Rule 4: writes made before an edit are judged under the old set: the query is sent behind them,
        and nothing newer is sent before it. [SUB-3]
Rule 5: the same set in another order is the same query on the wire. [SUB-4]
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from replication.client.records import SUBSCRIPTIONS
from replication.errors import QueryError, UsageError
from replication.limits import SUBSCRIPTIONS_MAX
from replication.model.encoding import pack, unpack_trusted
from replication.query import Query, parse, union
from replication.storage.contract import Reader, Writer, int_from_key, int_key

if TYPE_CHECKING:
    from replication.client.database import Database


class SubscriptionState(Enum):
    """Where a subscription set stands; see Rule 3."""

    PENDING = 1
    BOOTSTRAPPING = 2
    AWAITING_MARK = 3
    COMPLETE = 4
    ERROR = 5
    SUPERSEDED = 6


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription: objects of a class that match a query."""

    class_name: str
    query: str
    name: str | None = None


@dataclass(slots=True)
class SubscriptionSet:
    """One version of the set.

    Attributes:
        version: query version; 0 is the empty set every file starts with.
        after: the client version that was the last one when it was committed.
    """

    version: int = 0
    after: int = 0
    state: SubscriptionState = SubscriptionState.COMPLETE
    message: str = ""
    subscriptions: list[Subscription] = field(default_factory=list)

    def queries(self) -> dict[str, str]:
        """What goes on the wire: for each class the union of its queries. Rule 5."""
        by_class: dict[str, list[Query]] = {}
        for item in self.subscriptions:
            by_class.setdefault(item.class_name, []).append(parse(item.query))
        return {name: union(queries).text for name, queries in sorted(by_class.items())}

    def pack(self) -> bytes:
        """The stored form."""
        items = [[item.class_name, item.query, item.name] for item in self.subscriptions]
        return pack([self.after, self.state.value, self.message, items])

    @classmethod
    def unpack(cls, version: int, data: bytes) -> SubscriptionSet:
        """From the stored form."""
        after, state, message, items = unpack_trusted(data)
        return cls(
            version, after, SubscriptionState(state), message, [Subscription(*i) for i in items]
        )


#: The states of a set whose objects are here.
_HERE: Final = (SubscriptionState.AWAITING_MARK, SubscriptionState.COMPLETE)


class MutableSubscriptions:
    """A set being edited; see `Subscriptions.edit`."""

    def __init__(self, subscriptions: list[Subscription]) -> None:
        self.subscriptions = subscriptions

    def add(
        self,
        class_name: str | type,
        query: str = "TRUEPREDICATE",
        *args: Any,
        name: str | None = None,
        update: bool = True,
    ) -> Subscription:
        """Add a subscription, or replace the one of the same name.

        Args:
            query: the objects wanted, `$0`, `$1`, ... standing for ``args``.
            update: False makes another query under a name that is taken an error.

        Raises:
            QueryError: the query can't be understood.
            UsageError: the name is taken and ``update`` is False; too many subscriptions.
        """
        class_name = class_name if isinstance(class_name, str) else class_name.__name__
        item = Subscription(class_name, parse(query, *args).text, name)
        if name is None:
            if item not in self.subscriptions:
                self.subscriptions.append(item)
        else:
            taken = self.find(name)
            if taken is not None and taken != item and not update:
                raise UsageError(
                    f"the name {name!r} stands for {taken.class_name} {taken.query!r} already; "
                    "remove it first, or pass update=True"
                )
            self.subscriptions = [other for other in self.subscriptions if other != taken]
            self.subscriptions.append(item)
        if len(self.subscriptions) > SUBSCRIPTIONS_MAX:
            raise UsageError(f"more than {SUBSCRIPTIONS_MAX} subscriptions in one set")
        return item

    def find(self, name: str) -> Subscription | None:
        """The subscription of that name."""
        return next((item for item in self.subscriptions if item.name == name), None)

    def remove(self, item: Subscription | str) -> bool:
        """Remove a subscription, or the one of a name; False where there was none."""
        before = len(self.subscriptions)
        self.subscriptions = [
            other
            for other in self.subscriptions
            if (other.name != item if isinstance(item, str) else other != item)
        ]
        return len(self.subscriptions) < before

    def clear(self) -> None:
        """Remove all of them."""
        self.subscriptions = []


class Subscriptions:
    """The subscription sets of a client file."""

    def __init__(self, db: Database) -> None:
        self._db = db
        with db.store.read() as reader:
            self._sets = list(load_sets(reader))

    @property
    def sets(self) -> list[SubscriptionSet]:
        """Every set that is kept, oldest first: the active one and what came after it."""
        return list(self._sets)

    @property
    def latest(self) -> SubscriptionSet:
        """The last one committed, whatever its state."""
        return self._sets[-1] if self._sets else SubscriptionSet()

    @property
    def active(self) -> SubscriptionSet:
        """The one whose objects are here."""
        for item in reversed(self._sets):
            if item.state in _HERE:
                return item
        return SubscriptionSet()

    def get(self, version: int) -> SubscriptionSet:
        """A set by its version; one that is gone is SUPERSEDED."""
        for item in self._sets:
            if item.version == version:
                return item
        return SubscriptionSet(version, state=SubscriptionState.SUPERSEDED)

    def __iter__(self) -> Iterator[Subscription]:
        return iter(self.latest.subscriptions)

    @contextmanager
    def edit(self) -> Iterator[MutableSubscriptions]:
        """Edit the latest set; what results is committed on normal exit as a new version.

        Nothing happens if nothing changed. Other threads wait, to write as well.

        Raises:
            QueryError: a query that does not fit the class, as far as its schema is known.
        """
        db = self._db
        with db.lock:  # one edit at a time, each of what the one before left
            latest = self.latest
            mutable = MutableSubscriptions(list(latest.subscriptions))
            yield mutable
            if mutable.subscriptions == latest.subscriptions and latest.version:
                return
            for item in mutable.subscriptions:
                self._check(item)
            with db.integrating() as work:
                fresh = SubscriptionSet(
                    latest.version + 1,
                    work.local.client_version,
                    SubscriptionState.PENDING,
                    "",
                    mutable.subscriptions,
                )
                store_set(work.writer, fresh)
            self.reload()
            db.outgoing()

    def _check(self, item: Subscription) -> None:
        known = self._db.schema.get(item.class_name) or self._db.known_schema.get(item.class_name)
        if known is None:
            return
        if known.embedded:
            raise QueryError(
                f"{item.class_name} is an embedded class: subscribe to the classes that hold it"
            )
        types = {name: each.spelling for name, each in known.properties.items()}
        assert known.key is not None
        parse(item.query).check({**types, known.key.name: known.key.spelling})

    # -- for synchronisation -----------------------------------------------------------------
    def next_unsent(self, after: int) -> SubscriptionSet | None:
        """The next set to send behind query version ``after``."""
        if self.latest.version <= after:
            return None
        pending = (SubscriptionState.PENDING, SubscriptionState.BOOTSTRAPPING)
        return next(
            (item for item in self._sets if item.version > after and item.state in pending), None
        )

    def reload(self) -> None:
        """Look again at what is stored, after a synchronisation transaction changed it."""
        with self._db.lock, self._db.store.read() as reader:
            self._sets = list(load_sets(reader))


def load_sets(reader: Reader) -> Iterator[SubscriptionSet]:
    """The stored sets, oldest first."""
    for key, data in reader.records(SUBSCRIPTIONS):
        yield SubscriptionSet.unpack(int_from_key(key), data)


def store_set(writer: Writer, item: SubscriptionSet) -> None:
    """Write one."""
    writer.put_record(SUBSCRIPTIONS, int_key(item.version), item.pack())


def renumber(writer: Writer, shift: int) -> None:
    """Client versions have other numbers now: what a set is sent behind, too."""
    for item in list(load_sets(writer)):
        item.after = max(0, item.after + shift)
        store_set(writer, item)


def set_state(writer: Writer, version: int, state: SubscriptionState, message: str = "") -> None:
    """Move a set to another state; one that has its objects drops all before it."""
    for item in list(load_sets(writer)):
        if item.version == version and item.state is not state:
            item.state, item.message = state, message
            store_set(writer, item)
        elif item.version < version and state is SubscriptionState.AWAITING_MARK:
            writer.delete_record(SUBSCRIPTIONS, int_key(item.version))
