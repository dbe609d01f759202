"""Partitions on the wire: which values name one, and the query that one is. [PART-3]"""

from __future__ import annotations

from typing import Any

from replication.model.encoding import is_key
from replication.query import parse
from replication.query.canonical import name_text


def is_partition(value: Any) -> bool:
    """Whether BIND may carry this: nil, or a list of the value of a partition, nil or a key."""
    if value is None:
        return True
    return type(value) is list and len(value) == 1 and (value[0] is None or is_key(value[0]))


def partition_query(key: str, value: Any) -> str:
    """What a session of a partition asks for of every class, in canonical form."""
    return parse(f"{name_text(key)} == $0", value).text
