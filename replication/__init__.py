"""Objects that are edited offline on several devices and converge through a server.

The names below are what apps need; each is loaded when it is first used, so that importing the
package costs nothing. The rooms behind them are public too: `replication.client`,
`replication.server`, `replication.storage.conformance`, ...
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bson.decimal128 import Decimal128
    from bson.objectid import ObjectId

    from replication.client.database import Database
    from replication.client.entities import LinkState
    from replication.client.results import ObjectChange, Results, ResultsChange
    from replication.client.subscription_set import (
        Subscription,
        SubscriptionSet,
        SubscriptionState,
    )
    from replication.errors import (
        ErrorCode,
        NoSubscriptionError,
        NoSuchObjectError,
        NoTransactionError,
        ObjectExistsError,
        QueryError,
        RemoteProtocolError,
        ReplicationError,
        SchemaError,
        SessionError,
        StoreBusyError,
        StoreCorruptError,
        StoreError,
        StoreFullError,
        SubscriptionError,
        UsageError,
        WrongTypeError,
    )
    from replication.model.declare import Counter, EmbeddedObject, Indexed, Mixed, Object
    from replication.model.schema import Schema
    from replication.model.values import Float32, Link, Timestamp
    from replication.net.local import open_database

__all__ = [
    "Counter",
    "Database",
    "Decimal128",
    "EmbeddedObject",
    "ErrorCode",
    "Float32",
    "Indexed",
    "Link",
    "LinkState",
    "Mixed",
    "NoSubscriptionError",
    "NoSuchObjectError",
    "NoTransactionError",
    "Object",
    "ObjectChange",
    "ObjectExistsError",
    "ObjectId",
    "QueryError",
    "RemoteProtocolError",
    "ReplicationError",
    "Results",
    "ResultsChange",
    "Schema",
    "SchemaError",
    "SessionError",
    "StoreBusyError",
    "StoreCorruptError",
    "StoreError",
    "StoreFullError",
    "Subscription",
    "SubscriptionError",
    "SubscriptionSet",
    "SubscriptionState",
    "Timestamp",
    "UsageError",
    "WrongTypeError",
    "open_database",
]

#: Where each name comes from, if not from `replication.errors`.
_HOMES = {
    "bson.decimal128": ("Decimal128",),
    "bson.objectid": ("ObjectId",),
    "replication.client.database": ("Database",),
    "replication.client.entities": ("LinkState",),
    "replication.client.results": ("ObjectChange", "Results", "ResultsChange"),
    "replication.client.subscription_set": (
        "Subscription",
        "SubscriptionSet",
        "SubscriptionState",
    ),
    "replication.model.declare": ("Counter", "EmbeddedObject", "Indexed", "Mixed", "Object"),
    "replication.model.schema": ("Schema",),
    "replication.model.values": ("Float32", "Link", "Timestamp"),
    "replication.net.local": ("open_database",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'replication' has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOME_OF.get(name, "replication.errors")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__]
