"""What an update says: units of text in runs, and deletions. [TEXT]

An update is a set of **units** and a set of **deletions**. A unit is one UTF-16 code unit or one
mark of formatting; it has an id (client, clock), the ids of the units it was put between (`left`,
`right`; None at an end of the text) and content. Deletions are ids, of units known or not yet.

Rule 1: units that follow each other, in a row and made in a row, are one run, as long as it can
        be: one set of units and deletions has one form. [TEXT-6]
Rule 2: a deleted unit has no content. [TEXT-7]
Rule 3: work is bounded by the runs and ranges: what they cover is never counted out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, TypeAlias

#: (client, clock)
UnitId: TypeAlias = tuple[int, int]
#: Half-open ranges of clocks, ascending, apart from each other.
Ranges: TypeAlias = list[tuple[int, int]]
#: A string of UTF-16 code units, a format (name, JSON), or None: deleted.
Content: TypeAlias = str | tuple[str, str] | None
#: (first clock, length, left, right, content)
Run: TypeAlias = tuple[int, int, UnitId | None, UnitId | None, Content]

_LONE: Final = "\ufffd"
_HALF: Final = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")
_ASTRAL: Final = re.compile("[\U00010000-\U0010ffff]")


@dataclass(slots=True)
class Update:
    """An update, decoded.

    Attributes:
        runs: the units by client, ascending and without overlaps.
        deleted: the deletions by client.
    """

    runs: dict[int, list[Run]] = field(default_factory=dict)
    deleted: dict[int, Ranges] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return not self.runs and not self.deleted

    def end(self, client: int) -> int:
        """The clock after the last unit of a client; 0 where there is none."""
        runs = self.runs.get(client)
        return 0 if not runs else runs[-1][0] + runs[-1][1]


# -- code units --------------------------------------------------------------------------------
def units_of(text: str) -> str:
    """A string of code units: what is past U+FFFF as two surrogates."""
    if text.isascii() or not _ASTRAL.search(text):
        return text
    return _ASTRAL.sub(_pair, text)


def _pair(found: re.Match[str]) -> str:
    code = ord(found[0]) - 0x10000
    return chr(0xD800 + (code >> 10)) + chr(0xDC00 + (code & 0x3FF))


def text_of_units(units: str) -> str:
    """The inverse: pairs of surrogates joined; one that is alone is U+FFFD."""
    try:
        units.encode()
    except UnicodeEncodeError:
        return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return units


def _whole(run: Run) -> Run:
    """A run as it is written: a surrogate without the other half is U+FFFD."""
    content = run[4]
    if isinstance(content, str) and not content.isascii():
        return (*run[:4], _HALF.sub(_LONE, content))
    return run


def unit_key(unit: str) -> tuple[str, str]:
    """What units of one id compare by: a surrogate without its half is written as U+FFFD."""
    return (_LONE if "\ud800" <= unit <= "\udfff" else unit, unit)


# -- one form ----------------------------------------------------------------------------------
def joined(ranges: Ranges) -> Ranges:
    """Ranges in order, what touches or overlaps joined."""
    if len(ranges) == 1:
        return ranges
    out: Ranges = []
    for start, end in sorted(ranges):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def normalise(update: Update) -> None:
    """Take the content of what is deleted away, and make runs as long as they can be. Rule 1."""
    for client, runs in update.runs.items():
        ranges = update.deleted.get(client)
        if ranges is not None and ranges[-1][1] > runs[0][0]:
            runs = _without(client, runs, ranges)
        if len(runs) > 1:
            runs = _in_runs(client, runs)
        update.runs[client] = [_whole(run) for run in runs]


def _without(client: int, runs: list[Run], ranges: Ranges) -> list[Run]:
    out: list[Run] = []
    at = 0
    for run in runs:
        start, end = run[0], run[0] + run[1]
        while at < len(ranges) and ranges[at][1] <= start:
            at += 1
        here = at
        while here < len(ranges) and ranges[here][0] < end:
            first, last = max(start, ranges[here][0]), min(end, ranges[here][1])
            if first > start:
                out.append(piece_of(client, run, start, first))
            out.append((*piece_of(client, run, first, last)[:4], None))
            start = last
            here += 1
        if start < end:
            out.append(piece_of(client, run, start, end))
    return out


def piece_of(client: int, run: Run, start: int, end: int) -> Run:
    """The units of a run from clock ``start`` up to ``end``."""
    first, length, left, right, content = run
    if end - start == length:
        return run
    if isinstance(content, str):
        content = content[start - first : end - first]
    return (start, end - start, left if start == first else (client, start - 1), right, content)


def _in_runs(client: int, runs: list[Run]) -> list[Run]:
    out: list[Run] = []
    row: list[Run] = [runs[0]]
    for run in runs[1:]:
        last = row[-1]
        clock = last[0] + last[1]
        if not (
            run[0] == clock
            and run[2] == (client, clock - 1)
            and run[3] == last[3]
            and type(run[4]) is type(last[4])
            and type(run[4]) is not tuple
        ):
            out.append(_in_one(row))
            row = []
        row.append(run)
    out.append(_in_one(row))
    return out


def _in_one(row: list[Run]) -> Run:
    if len(row) == 1:
        return row[0]
    start, _, left, right, content = row[0]
    if content is not None:
        content = "".join([run[4] for run in row])  # type: ignore[misc]
    return (start, sum(run[1] for run in row), left, right, content)
