"""Subscription sets as values: what is in one, how it is edited, and what goes on the wire. [SUB]

Rule 1: a named subscription is identified by its name, an unnamed one by class and query in
        canonical form; the same query under two names stays twice. [SUB-1]
Rule 2: on the wire a set is one query a class, the union of its queries: the same set in another
        order, under other names or with one of them twice is the same query. [SUB-4]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from replication.errors import QueryError, UsageError, WrongTypeError
from replication.limits import SUBSCRIPTIONS_MAX
from replication.model.encoding import pack, unpack_trusted
from replication.model.types import broken_class_name
from replication.query import Query, parse, union


class SubscriptionState(Enum):
    """Where a subscription set stands; see `subscriptions`. Later states have greater values."""

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
        """What goes on the wire: for each class the union of its queries. Rule 2.

        Raises:
            QueryError: those of one class are too long together.
        """
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


class MutableSubscriptions:
    """A set being edited; see `Subscriptions.edit`. `subscriptions` are those in it now."""

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
        """Add a subscription, or give the one of that name another class and query.

        Args:
            class_name: the class, or its name.
            query: the objects wanted, `$0`, `$1`, ... standing for ``args``.
            name: any string; two subscriptions of one name are one.
            update: False makes another query under a name that is taken an error.

        Raises:
            QueryError: the query can't be understood.
            UsageError: the name is taken and ``update`` is False; too many subscriptions.
            WrongTypeError: the class or the name is none.
        """
        item = Subscription(_class_name(class_name), parse(query, *args).text, _checked_name(name))
        if item in self.subscriptions:
            return item
        taken = None if name is None else self.find(name)
        if taken is None:
            self.subscriptions = [*self.subscriptions, item]
        elif update:
            self.subscriptions = [item if each == taken else each for each in self.subscriptions]
        else:
            raise UsageError(
                f"the name {name!r} stands for {taken.class_name} {taken.query!r} already; "
                "remove it first, or pass update=True"
            )
        if len(self.subscriptions) > SUBSCRIPTIONS_MAX:
            raise UsageError(f"more than {SUBSCRIPTIONS_MAX} subscriptions in one set")
        return item

    def find(self, name: str) -> Subscription | None:
        """The subscription of that name."""
        return next((item for item in self.subscriptions if item.name == name), None)

    def find_query(
        self, class_name: str | type, query: str = "TRUEPREDICATE", *args: Any
    ) -> Subscription | None:
        """The unnamed subscription to a class with that query, however it is spelled."""
        item = Subscription(_class_name(class_name), parse(query, *args).text)
        return item if item in self.subscriptions else None

    def remove(self, item: Subscription | str) -> bool:
        """Remove a subscription, or the one of a name; False where there was none."""
        if isinstance(item, str):
            return bool(self._keep(lambda other: other.name != item))
        return bool(self._keep(lambda other: other != item))

    def remove_query(
        self,
        class_name: str | type,
        query: str = "TRUEPREDICATE",
        *args: Any,
        named: bool = False,
    ) -> int:
        """Remove the unnamed subscription to a class with that query; how many there were.

        Args:
            named: remove those with a name and that query, too.
        """
        gone = (_class_name(class_name), parse(query, *args).text)
        return self._keep(
            lambda each: (each.class_name, each.query) != gone or not (named or each.name is None)
        )

    def remove_class(self, class_name: str | type, *, named: bool = True) -> int:
        """Remove the subscriptions to a class; how many there were.

        Args:
            named: False leaves those that have a name.
        """
        gone = _class_name(class_name)
        return self._keep(lambda each: each.class_name != gone or not (named or each.name is None))

    def clear(self, *, named: bool = True) -> int:
        """Remove all of them, or with ``named=False`` the unnamed ones; how many there were."""
        return self._keep(lambda each: not (named or each.name is None))

    def _keep(self, stays: Callable[[Subscription], bool]) -> int:
        before = len(self.subscriptions)
        self.subscriptions = [each for each in self.subscriptions if stays(each)]
        return before - len(self.subscriptions)


def _class_name(given: object) -> str:
    if isinstance(given, type):
        return given.__name__
    if not isinstance(given, str):
        raise WrongTypeError(f"{given!r:.80} is neither a class nor the name of one")
    reason = broken_class_name(given)
    if reason is not None:
        raise QueryError(reason)
    return given


def _checked_name(name: object) -> str | None:
    if name is not None and not isinstance(name, str):
        raise WrongTypeError(f"{name!r:.80} is no name of a subscription: pass a string")
    return name
