"""The latest time in a state: what a clock must be past before it stamps a later write."""

from __future__ import annotations

from typing import Any

from replication.crdt import object as obj
from replication.crdt.list import Chunk
from replication.crdt.register import Groups


def latest_time(state: obj.ObjectState) -> int:
    """The latest time of any stamp in a state or delta (parts beside it not included); 0: none."""
    latest = latest_in_fields(state[3]) if state[3] else 0
    return max(latest, state[2][0]) if state[2] else latest


def latest_in_fields(fields: obj.Fields) -> int:
    """The same for the fields of one object."""
    latest = 0
    for kind, held in fields.items():
        if kind == obj.REGISTER:
            latest = max(latest, _in_groups(held))
        elif kind == obj.EMBEDDED:
            latest = max(latest, *map(latest_time, held.values()))
        elif kind == obj.CONTAINER:
            for name, (_, content) in held.items():
                latest = max(latest, _in_collection(obj.container_kind(name), content))
        elif kind not in (obj.COUNTER, obj.TEXT):
            latest = max(latest, *(_in_collection(kind, state) for state in held.values()))
    return latest


def latest_in_part(part: Chunk | bytes) -> int:
    """The same for a part: a chunk of a list, or a text's update, which has no stamps."""
    return latest_in_chunk(part) if isinstance(part, list) else 0


def latest_in_chunk(chunk: Chunk) -> int:
    """The same for a chunk of a list."""
    runs, sets, moves, _, contents = chunk
    latest = 0
    for run in runs:
        latest = max(latest, run[3])
    for item in (*sets, *moves):
        latest = max(latest, item[2])
    for item in contents:
        latest = max(latest, latest_in_fields(item[2]))
    return latest


def _in_groups(groups: Groups) -> int:
    if len(groups) == 1 and len(groups[0]) == 3:
        return int(groups[0][0])
    return max([group[0] if len(group) == 3 else group[3] for group in groups], default=0)


def _in_collection(kind: int, state: Any) -> int:
    latest = state[0][0] if state[0] else 0
    if kind in (obj.SET, obj.DICTIONARY):
        latest = max(latest, _in_groups(state[1]))
        if kind == obj.DICTIONARY:
            for embedded in state[2].values():
                latest = max(latest, latest_time(embedded))
    elif len(state) == 2:  # a list that is not spread over parts
        latest = max(latest, latest_in_chunk(state[1]))
    return int(latest)
