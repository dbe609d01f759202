"""Opening a client file: the store on disk and the device's clock, put together."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from typing import Any

from replication.client.database import Database
from replication.client.partition import UNPARTITIONED
from replication.client.subscription_set import MutableSubscriptions
from replication.clock import ms_from_unix
from replication.crdt.view import query_values
from replication.errors import SchemaError, UsageError
from replication.model.declare import Declared, declaration_of
from replication.model.schema import Schema
from replication.storage.sqlite import SQLiteStore


def open_database(
    path: str | os.PathLike[str],
    *classes: Declared | Schema,
    read_only: bool = False,
    initial_subscriptions: Callable[[MutableSubscriptions], object] | None = None,
    rerun_on_open: bool = False,
    partition: Any = UNPARTITIONED,
) -> Database:
    """Open the client file at ``path``, or make it there.

    Args:
        classes: what the app declares: its classes, or one schema; nothing to use what the file
            knows.
        read_only: a snapshot of a file that another process may be writing.
        initial_subscriptions: is passed the subscription set to edit, if this file never had one.
        rerun_on_open: call it every time, whatever set there is.
        partition: the value of the partition this file holds, at a server that cuts its data set by
            one property: a str, int, ObjectId, uuid.UUID, or None for the null partition. What the
            file holds is that partition then, of the classes it declares; without it, what it
            subscribes to.

    Raises:
        StoreBusyError: another process, or another database in this one, writes to it.
        StoreError: it can't be opened, or is no client file.
        SchemaError: the classes contradict each other or what the file holds.
        UsageError: initial subscriptions for a file that is opened read-only or with a partition;
            a file of another partition.
        WrongTypeError: a value that can't be a partition.
        Exception: whatever ``initial_subscriptions`` raises; the file has no set then.
    """
    if read_only and initial_subscriptions is not None:
        raise UsageError("a file that is opened read-only keeps the subscriptions it has")
    if partition is not UNPARTITIONED and initial_subscriptions is not None:
        raise UsageError("a file that is opened with a partition holds that, whole")
    schemas = [each for each in classes if isinstance(each, Schema)]
    declared = [each for each in classes if not isinstance(each, Schema)]
    if schemas and len(classes) > 1:
        raise SchemaError("pass the classes of the app, or one schema, not both")
    schema = schemas[0] if schemas else declaration_of(*declared) if declared else None
    store = SQLiteStore(path, query_values, read_only=read_only)
    try:
        db = Database(
            store,
            schema,
            wall_ms=_wall_ms,
            entropy=_entropy,
            read_only=read_only,
            partition=partition,
        )
        if initial_subscriptions is not None:
            db.subscriptions.initialise(initial_subscriptions, rerun=rerun_on_open)
        return db
    except BaseException:
        store.close()
        raise


def _wall_ms() -> int:
    return ms_from_unix(time.time())


def _entropy() -> int:
    return secrets.randbits(64)
