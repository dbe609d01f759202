"""The vectors of partitions: the query that each value of each type of key stands for."""

from __future__ import annotations

import uuid
from typing import Any

from bson.objectid import ObjectId

from replication.model.notation import to_json
from replication.protocol.partitions import partition_query

_PARTITIONS: list[tuple[str, str, Any]] = [
    ("string", "owner_id", "red"),
    ("string-quoted", "owner_id", 'a "b"\n\\'),
    ("string-empty", "owner_id", ""),
    ("int", "tenant", -7),
    ("objectId", "realm", ObjectId("507f1f77bcf86cd799439011")),
    ("uuid", "realm", uuid.UUID("12345678-1234-5678-1234-567812345678")),
    ("null", "owner_id", None),
    ("key-is-a-word", "limit", "red"),
    ("key-with-a-space", "owner id", "red"),
]


def partitions() -> list[dict[str, Any]]:
    """Each with its key, value and query."""
    return [
        {
            "name": f"partition/{name}",
            "covers": ["PART-3"],
            "key": key,
            "value": to_json(value),
            "query": partition_query(key, value),
        }
        for name, key, value in _PARTITIONS
    ]
