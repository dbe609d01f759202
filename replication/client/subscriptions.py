"""Subscriptions: which objects this device wants, as one persistent, versioned set. [SUB]

Rule 1: a set is edited whole, atomically: an edit makes a new version; versions only grow. An edit
        that changes nothing makes none, unless the set before was refused: then it is another try.
        [SUB-5]
Rule 2: states: PENDING (committed, not served yet), BOOTSTRAPPING (the first staged message came),
        AWAITING_MARK (its objects are here), COMPLETE, ERROR (the server can't serve it; the set
        before stays active, and it is asked for anew), SUPERSEDED (a later one is active). [SUB-2]
Rule 3: writes made before an edit are judged under the old set: the query is sent behind them,
        and nothing newer is sent before it. [SUB-3]
Rule 4: a file that never had a set is its device's own: anything may be written to it. Once it has
        one, new objects are of classes that its latest set asks for, or may bring along. [SUB-7]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from replication.client.callbacks import Callbacks
from replication.client.records import SUBSCRIPTIONS
from replication.client.subscription_set import (
    MutableSubscriptions,
    Subscription,
    SubscriptionSet,
    SubscriptionState,
)
from replication.errors import NoSubscriptionError, QueryError, UsageError
from replication.model.schema import Schema
from replication.query import parse
from replication.query.reach import brought, unsubscribable
from replication.storage.contract import Reader, Writer, int_from_key, int_key

if TYPE_CHECKING:
    from replication.client.database import Database


class Subscriptions:
    """The subscription sets of a client file."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._changed: Callbacks[None] = Callbacks(db._callback_failed)
        #: What the last set that was asked brings along, under the schema of that moment.
        self._along: tuple[SubscriptionSet, Schema, frozenset[str] | None] | None = None
        with db.reading() as reader:
            self._sets = list(load_sets(reader))

    @property
    def sets(self) -> list[SubscriptionSet]:
        """Every set that is kept, oldest first: the active one and what came after it."""
        return list(self._sets)

    @property
    def latest(self) -> SubscriptionSet:
        """The last one committed, whatever its state."""
        sets = self._sets
        return sets[-1] if sets else SubscriptionSet()

    @property
    def active(self) -> SubscriptionSet:
        """The one whose objects are here."""
        version = self._db.synced.query_version
        return self.get(version) if version else SubscriptionSet()

    def get(self, version: int) -> SubscriptionSet:
        """A set by its version; one that is gone is SUPERSEDED."""
        for item in self._sets:
            if item.version == version:
                return item
        return SubscriptionSet(version, state=SubscriptionState.SUPERSEDED)

    def is_asked_anew(self, version: int) -> bool:
        """Whether the next session asks for a set again that could not be served."""
        last = (self.latest.version, self._db.synced.query_version)
        return version in last and self.get(version).state is SubscriptionState.ERROR

    def __iter__(self) -> Iterator[Subscription]:
        return iter(self.latest.subscriptions)

    def __len__(self) -> int:
        return len(self.latest.subscriptions)

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` whenever a set came, went or changed its state; returns how to stop it.

        It is called in the thread that changed it, after that is durable. It must not write.
        """
        return self._changed.add(lambda _none: callback())

    @contextmanager
    def edit(self) -> Iterator[MutableSubscriptions]:
        """Edit the latest set; what results is committed on normal exit as a new version. Rule 1.

        Other threads wait, to write as well.

        Raises:
            QueryError: a query that does not fit the class, as far as its schema is known, or
                queries of one class that are too long together.
            NoTransactionError: a write transaction is running in this thread; the file is closed
                or read-only.
            UsageError: the file is of a partition, which says what is in the set.
        """
        if self._db.partition.keeps_to_it:
            raise UsageError("this file is opened with a partition: what it holds is that, whole")
        with self.editing() as mutable:
            before = list(mutable.subscriptions)
            yield mutable
            for item in mutable.subscriptions:
                if item not in before:
                    self._check(item)

    @contextmanager
    def editing(self) -> Iterator[MutableSubscriptions]:
        """The same, whoever's the set is and whatever fits the classes. For `Partitioning`."""
        db = self._db
        with db.lock:  # one edit at a time, each of what the one before left
            latest = self.latest
            mutable = MutableSubscriptions(list(latest.subscriptions))
            yield mutable
            same = mutable.subscriptions == latest.subscriptions
            if same and latest.version and latest.state is not SubscriptionState.ERROR:
                return
            fresh = SubscriptionSet(
                latest.version + 1,
                state=SubscriptionState.PENDING,
                subscriptions=mutable.subscriptions,
            )
            fresh.queries()
            with db.integrating() as work:
                fresh.after = work.local.client_version
                store_set(work.writer, fresh)
            self.reload()
            db.outgoing()

    def initialise(
        self, fill: Callable[[MutableSubscriptions], object], *, rerun: bool = False
    ) -> None:
        """Let ``fill`` edit the set, if this file never had one.

        Args:
            rerun: let it edit whatever set there is, as it has to be done where queries depend on
                the day: it should name its subscriptions, so that they replace one another.

        Raises:
            Exception: whatever ``fill`` raises, and what `edit` does; nothing has changed then.
        """
        if rerun or not self.latest.version:
            with self.edit() as mutable:
                fill(mutable)

    def check_covers(self, class_name: str) -> None:
        """Raise NoSubscriptionError if an object of a class would never be synchronised. Rule 4."""
        latest = self.latest
        if not latest.version or any(i.class_name == class_name for i in latest.subscriptions):
            return
        brought = self._brought(latest)
        if brought is not None and class_name not in brought:
            raise NoSubscriptionError(
                f"no subscription of this device is for {class_name}: what is created would never "
                "be synchronised; add one with `with db.subscriptions.edit() as edit: ...`"
            )

    def _brought(self, latest: SubscriptionSet) -> frozenset[str] | None:
        """The classes that a set brings along without asking for them; None if that may be any."""
        schema = self._db.known_schema
        held = self._along
        if held is None or held[0] is not latest or held[1] is not schema:
            found = [brought(i.class_name, parse(i.query), schema) for i in latest.subscriptions]
            known = [each for each in found if each is not None]
            classes = frozenset[str]().union(*known) if len(known) == len(found) else None
            held = self._along = (latest, schema, classes)
        return held[2]

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
        types[known.key.name] = known.key.spelling
        query = parse(item.query).check(types, self._db.schema)
        reason = unsubscribable(query, known=True)
        if reason is not None:
            raise QueryError(f"{item.class_name}: {reason}")

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
        db = self._db
        with db.lock:
            with db.store.read() as reader:
                fresh = list(load_sets(reader))
            if fresh == self._sets:
                return
            self._sets = fresh
            self._changed.tell(None)


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
        if item.version == version and (item.state, item.message) != (state, message):
            item.state, item.message = state, message
            store_set(writer, item)
        elif item.version < version and state is SubscriptionState.AWAITING_MARK:
            writer.delete_record(SUBSCRIPTIONS, int_key(item.version))
