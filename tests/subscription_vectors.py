"""The vectors of subscriptions: sets, and what travels of them."""

from __future__ import annotations

from typing import Any

from replication.client.subscription_set import Subscription, SubscriptionSet

#: Name, covered rules, subscriptions as [class, query, name].
_SETS: list[tuple[str, list[str], list[tuple[str, str, str | None]]]] = [
    ("empty", ["SUB-4"], []),
    ("one", ["SUB-4"], [("Book", "year > 1990", None)]),
    ("two", ["SUB-4"], [("Book", "year > 1990", None), ("Book", "genre == 'sf'", None)]),
    ("two-turned", ["SUB-4"], [("Book", "genre == 'sf'", None), ("Book", "year > 1990", None)]),
    ("names", ["SUB-1", "SUB-4"], [("Book", "year > 1990", "a"), ("Book", "year > 1990", "b")]),
    ("spelling", ["SUB-1", "SUB-4"], [("Book", '1990 < year && genre = "sf"', "")]),
    (
        "flat",
        ["SUB-4"],
        [("Book", "year == 1 OR year == 2", None), ("Book", "year == 3 OR year == 1", None)],
    ),
    ("all-of-it", ["SUB-4"], [("Book", "year == 1", None), ("Book", "TRUEPREDICATE", None)]),
    ("nothing", ["SUB-4"], [("Book", "FALSEPREDICATE", None)]),
    ("classes", ["SUB-4"], [("Pen", "ink IN {2, 1}", None), ("Book", "TRUEPREDICATE", "all")]),
]


def subscriptions() -> list[dict[str, Any]]:
    """Each set with its queries."""
    return [
        {
            "name": f"subscriptions/{name}",
            "covers": covers,
            "subscriptions": [list(each) for each in items],
            "queries": wired(items),
        }
        for name, covers, items in _SETS
    ]


def wired(items: list[Any]) -> dict[str, str]:
    """What travels of subscriptions, each [class, query, name]."""
    return SubscriptionSet(subscriptions=[Subscription(*each) for each in items]).queries()
