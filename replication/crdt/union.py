"""Updates of collaborative text, made one, and what of them can be shown. [TEXT]

Rule 1: merging is a union, unit by unit. Of two units with one id the lesser stays, by `left`,
        `right`, then content. [MERGE-TEXT-1] [MERGE-TEXT-2]
Rule 2: a unit can be shown once those it was put between can, and the one of the clock before it.
        [MERGE-TEXT-4]
Rule 3: work is bounded by the runs and ranges: what they cover is never counted out.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from operator import itemgetter
from typing import Any

from replication.crdt.units import (
    Ranges,
    Run,
    UnitId,
    Update,
    joined,
    normalise,
    piece_of,
    unit_key,
)


def union(updates: Iterable[Update]) -> Update:
    """All units and deletions of all of them: Rule 1. Nothing given is changed."""
    held = list(updates)
    if len(held) == 1:
        return held[0]
    runs: dict[int, list[Run]] = {}
    deleted: dict[int, Ranges] = {}
    for each in held:
        for client, found in each.runs.items():
            runs.setdefault(client, []).extend(found)
        for client, ranges in each.deleted.items():
            deleted.setdefault(client, []).extend(ranges)
    out = Update(
        {client: _apart(client, found) for client, found in runs.items()},
        {client: joined(ranges) for client, ranges in deleted.items()},
    )
    normalise(out)
    return out


def _apart(client: int, runs: list[Run]) -> list[Run]:
    """Runs in order, and of what overlaps the lesser units."""
    runs.sort(key=itemgetter(0))
    if all(one[0] + one[1] <= other[0] for one, other in pairwise(runs)):
        return runs
    bounds = sorted({clock for run in runs for clock in (run[0], run[0] + run[1])})
    pieces: dict[int, list[Run]] = {}
    for run in runs:
        at = bisect_right(bounds, run[0])
        start, end = run[0], run[0] + run[1]
        while start < end:
            piece = piece_of(client, run, start, bounds[at])
            if piece not in pieces.setdefault(start, []):
                pieces[start].append(piece)
            start = bounds[at]
            at += 1
    out: list[Run] = []
    for start in sorted(pieces):
        out.extend(_least(client, pieces[start]))
    return out


def _least(client: int, rivals: list[Run]) -> list[Run]:
    """Of runs of the same ids the lesser units."""
    if len(rivals) == 1:
        return rivals
    start, length = rivals[0][:2]
    found = [min((piece_of(client, run, start, start + 1) for run in rivals), key=_first_key)]
    if length == 1:
        return found
    # From the second unit on `left` is the unit before, in all of them.
    rests = [piece_of(client, run, start + 1, start + length) for run in rivals]
    right = min(_id_key(run[3]) for run in rests)
    rests = [run for run in rests if _id_key(run[3]) == right]
    contents = [run[4] for run in rests if isinstance(run[4], str)]
    if len(contents) < len(rests):  # deleted in one, so in all of them soon
        return [*found, (*rests[0][:4], None)]
    units = "".join(min(each, key=unit_key) for each in zip(*contents, strict=True))
    return [*found, (*rests[0][:4], units)]


def _first_key(run: Run) -> Any:
    content = run[4]
    kind: Any = ()
    if isinstance(content, str):
        kind = (0, *unit_key(content[0]))
    elif content is not None:
        kind = (1, *content)
    return (_id_key(run[2]), _id_key(run[3]), kind)


def _id_key(unit: UnitId | None) -> tuple[int, ...]:
    return () if unit is None else unit


def before(update: Update, ends: Mapping[int, int]) -> Update:
    """What of an update is about units before the clocks ``ends``, all deletions included."""
    runs = {}
    for client, found in update.runs.items():
        end = ends.get(client, 0)
        early = [
            piece_of(client, run, run[0], min(end, run[0] + run[1]))
            for run in found
            if run[0] < end
        ]
        if early:
            runs[client] = early
    return Update(runs, update.deleted)


# -- what can be shown -------------------------------------------------------------------------
def causal_runs(update: Update, ends: dict[int, int]) -> Iterator[tuple[int, Run]]:
    """The runs of an update that follow what is known, each with its client, in such an order.

    A unit follows if the one of the clock before it and those it was put between are known or
    follow.

    Args:
        ends: the clock after the last unit of each client, from 0 on; what is before it is left
            out. It is kept up to date.
    """
    #: (clock, client): what waits for units of a client, the least clock first.
    waiting: dict[int, list[UnitId]] = {}
    rests = {client: iter(found) for client, found in update.runs.items()}
    heads: dict[int, Run] = {}
    ready = sorted(update.runs)
    while ready:
        client = ready.pop()
        while True:
            run = heads.pop(client, None) or next(rests[client], None)
            known = ends.get(client, 0)
            if run is None or run[0] > known:
                break
            end = run[0] + run[1]
            if end <= known:
                continue
            missing = next(
                (unit for unit in run[2:4] if unit and unit[1] >= ends.get(unit[0], 0)), None
            )
            if missing is not None:
                heads[client] = run
                heapq.heappush(waiting.setdefault(missing[0], []), (missing[1], client))
                break
            ends[client] = end
            yield client, piece_of(client, run, max(run[0], known), end)
        waiters = waiting.get(client, [])
        while waiters and waiters[0][0] < ends.get(client, 0):
            ready.append(heapq.heappop(waiters)[1])


def causal(update: Update, known: Mapping[int, int]) -> Update:
    """What of an update follows what is known: all of it, where nothing is missing.

    See `causal_runs` for units; a deletion follows if its unit does.
    """
    ends = dict(known)
    runs: dict[int, list[Run]] = {}
    for client, run in causal_runs(update, ends):
        runs.setdefault(client, []).append(run)
    deleted = {
        client: [(start, min(end, ends[client])) for start, end in ranges if start < ends[client]]
        for client, ranges in update.deleted.items()
        if client in ends
    }
    return Update(runs, {client: ranges for client, ranges in deleted.items() if ranges})


def is_whole(following: Update, update: Update, known: Mapping[int, int]) -> bool:
    """Whether ``following``, which is `causal` of an update and what is known, is all of it."""
    ends = dict(known)
    for client in update.runs:
        ends[client] = max(following.end(client), known.get(client, 0))
        if ends[client] < update.end(client):
            return False
    return all(ranges[-1][1] <= ends.get(c, 0) for c, ranges in update.deleted.items())
