"""A client file that is opened with a partition: one value of a property that the server knows.

Rule 1: a file belongs to one partition for good. What it asks for is `key == value` of every class;
        the server says what the key is called, so nothing is asked for before the first contact.
        [PART-3]
Rule 2: while the server serves partitions as such, the set is this rule's, not the app's. Where it
        serves them as subscriptions, the file goes on by itself: the same subscriptions stay, the
        app may edit them, and classes that appear get one. Back again, the set is as it was before.
        Both ways nothing is sent again and nothing pending is lost. [PART-6] [PART-7]
Rule 3: a file that is opened without its partition again is one with subscriptions of its own from
        then on. What was written before is uploaded first, as of the partition: the server still
        adds the key to it. [PART-8]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from replication.client.records import META
from replication.client.subscription_set import Subscription
from replication.errors import UsageError, WrongTypeError
from replication.limits import INT64_MAX, INT64_MIN
from replication.model.encoding import is_key, pack, unpack_trusted
from replication.protocol.partitions import partition_query

if TYPE_CHECKING:
    from replication.client.database import Database


class _Unpartitioned:
    """Stands for no partition where None is one."""

    def __repr__(self) -> str:
        return "UNPARTITIONED"


UNPARTITIONED: Final = _Unpartitioned()
_RECORD: Final = b"partition"


class _State(NamedTuple):
    value: Any
    #: What the key is called; None before the server said so.
    key: str | None = None
    #: Whether it is served as subscriptions.
    flexible: bool = False
    #: Classes that have been given a subscription.
    classes: list[str] = []  # noqa: RUF012
    #: The last client version of the partition's time, once it was opened without. Rule 3.
    until: int | None = None


class Partitioning:
    """Of which partition a file is, if of any. `Database.partition`.

    Args:
        db: the file.
        asked: the value it is opened with, or UNPARTITIONED.

    Raises:
        UsageError: the file is of another partition, or has subscriptions of its own.
        WrongTypeError: a value that can't be a partition.
    """

    def __init__(self, db: Database, asked: Any) -> None:
        self._db = db
        with db.reading() as reader:
            data = reader.record(META, _RECORD)
            sets = next(iter(reader.records("subscriptions", limit=1)), None)
        self._state = None if data is None else _State(*unpack_trusted(data))
        if isinstance(asked, _Unpartitioned):
            self._leave()
            return
        _check_value(asked)
        state = self._state
        if state is None:
            if sets is not None:
                raise UsageError("this file has subscriptions of its own; open another file")
            self._store(_State(asked))
        elif type(state.value) is not type(asked) or state.value != asked:
            raise UsageError(
                f"this file holds the partition {state.value!r}; open another one for {asked!r}"
            )
        elif state.until is not None:
            self._store(state._replace(until=None))

    def _leave(self) -> None:
        """Rule 3."""
        state, db = self._state, self._db
        if state is None or state.until is not None or db.read_only:
            return
        self._store(state._replace(until=db.local.client_version))
        self.settle()

    @property
    def bound(self) -> list[Any] | None:
        """What BIND says."""
        return None if self._state is None else [self._state.value]

    @property
    def until(self) -> int | None:
        """The client version up to which uploads go in this session; None for all. Rule 3."""
        return None if self._state is None else self._state.until

    @property
    def keeps_to_it(self) -> bool:
        """Whether the subscription set is not the app's. Rule 2."""
        state = self._state
        return state is not None and not state.flexible and state.until is None

    # -- for the agent ---------------------------------------------------------------------------
    def told(self, key: str, *, flexible: bool) -> None:
        """The server serves it, like that. Rule 2."""
        state = self._state
        if state is None or state.until is not None:
            return
        if (state.key, state.flexible) != (key, flexible):
            self._store(state._replace(key=key, flexible=flexible))
        self.keep_up()

    def keep_up(self) -> None:
        """Ask for what the partition stands for, of the classes there are by now."""
        state, db = self._state, self._db
        if state is None or state.key is None or state.until is not None:
            return
        query = partition_query(state.key, state.value)
        names = [each.name for each in db.schema if not each.embedded]
        wanted = [Subscription(name, query, f"partition_{name}") for name in names]
        with db.subscriptions.editing() as edit:
            if not state.flexible:
                edit.subscriptions = wanted
            else:
                covered = {each.class_name for each in edit.subscriptions} | set(state.classes)
                edit.subscriptions += [each for each in wanted if each.class_name not in covered]
        if set(names) - set(state.classes):
            self._store(state._replace(classes=sorted({*names, *state.classes})))

    def settle(self) -> bool:
        """Forget the partition once what was written in its time is acknowledged; whether it is."""
        state, db = self._state, self._db
        if state is None or state.until is None or db.synced.acknowledged < state.until:
            return False
        self._store(None)
        return True

    def _store(self, state: _State | None) -> None:
        db = self._db
        if db.read_only:
            return
        with db.store.write() as writer:
            if state is None:
                writer.delete_record(META, _RECORD)
            else:
                writer.put_record(META, _RECORD, pack(list(state)))
        self._state = state


def _check_value(value: Any) -> None:
    fits = value is None or (is_key(value) and type(value) is not bool)
    if not fits or (type(value) is int and not INT64_MIN <= value <= INT64_MAX):
        raise WrongTypeError(
            f"{value!r:.80} is no partition: pass a str, int, ObjectId, uuid.UUID or None"
        )
