"""Collaborative text: a set of units and deletions, kept as updates. [MERGE-TEXT]

State: `[owners, update]`. The update (see `updates.py`) is canonical; the owners are
`[client, ident, end]` for every client that made a unit in it, ascending: which file the client id
belongs to, and the clock after its last unit.

In a head it is `[owners, tail, directory, next part number]`: the text is the union of the
updates in the tail and in the parts of the directory. What comes is appended to the tail, or to
the last of it where that goes on. A tail that is full becomes one update and moves into a part,
together with parts that are not much larger than it: each unit is written again only as often as
the text doubles. An entry of the directory is `[part number, bytes, CRC-32]` of an update.

Rule 1: units and deletions merge by union. [MERGE-TEXT-1]
Rule 2: of two idents for one client the lesser stays. [MERGE-TEXT-2]
Rule 3: nothing here asks whether a unit can be shown: one between units that are not known is
        kept until they come. [MERGE-TEXT-3]
"""

from __future__ import annotations

import zlib
from reprlib import repr as _short
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from replication.crdt.parts import part_name
from replication.crdt.typed_on import typed_on
from replication.crdt.union import union
from replication.crdt.units import Update
from replication.crdt.updates import EMPTY, read_update, write_update
from replication.errors import DecodeError, LimitExceededError
from replication.limits import (
    IDENT_MAX,
    SEQUENCE_MAX,
    TEXT_CLIENT_MAX,
    TEXT_CLOCK_MAX,
    TEXT_PART_BYTES_TARGET,
    TEXT_TAIL_BYTES_MAX,
    TEXT_TAIL_UPDATES_MAX,
)
from replication.model.encoding import unpack_trusted

if TYPE_CHECKING:
    from replication.crdt.parts import Parts, Path

#: [owners, update] or, in a head, [owners, tail, directory, next part number].
Text: TypeAlias = list[Any]
#: [client, ident, end], ascending.
Owners: TypeAlias = list[list[int]]

#: A text that still fits here stays in the head.
_SMALL_BYTES: Final = TEXT_TAIL_BYTES_MAX // 4
#: What parts are made one with: what is less than this many times as large.
_FACTOR: Final = 2


def empty_text() -> Text:
    """A text that nobody has written in."""
    return [[], EMPTY]


def text_of(update: Update, ident: int) -> Text:
    """The text that one file wrote."""
    owners = [[client, ident, update.end(client)] for client in sorted(update.runs)]
    return [owners, write_update(update)]


def end_of(state: Text, client: int) -> int:
    """The clock after the last unit of a client; 0 where there is none."""
    for owner in state[0]:
        if owner[0] == client:
            end: int = owner[2]
            return end
    return 0


def all_updates(state: Text, parts: Parts | None, path: Path) -> list[bytes]:
    """The updates whose union the text is."""
    if len(state) == 2:
        return [] if state[1] == EMPTY else [state[1]]
    if not state[2]:
        return list(state[1])
    assert parts is not None, "a text spread over parts is read where its parts are"
    return [*(parts.load(path, [], entry[0]) for entry in state[2]), *state[1]]


def whole_text(state: Text, parts: Parts | None, path: Path) -> Text:
    """The text in one piece."""
    updates = [read_update(data) for data in all_updates(state, parts, path)]
    owners = [list(owner) for owner in state[0]]
    return [owners, write_update(union(updates))]


def blank(state: Text) -> Text:
    """What is left of a delta that is refused: its units, deleted, so that others can follow."""
    runs = read_update(state[1]).runs
    deleted = {
        client: [(run[0], run[0] + run[1]) for run in found] for client, found in runs.items()
    }
    owners = [list(owner) for owner in state[0]]
    return [owners, write_update(union([Update(runs), Update({}, deleted)]))]


def merge_text(state: Text, delta: Text, parts: Parts | None, path: Path) -> Text:
    """Rules 1 and 2. A delta is never spread over parts."""
    if parts is None:
        owners = _merged_owners(state[0], delta[0])
        held = [read_update(data) for data in all_updates(state, parts, path)]
        return [owners, write_update(union([*held, read_update(delta[1])]))]
    owners, tail, directory, following = appended(state, delta)
    if len(tail) > TEXT_TAIL_UPDATES_MAX or sum(map(len, tail)) > TEXT_TAIL_BYTES_MAX:
        tail, following = _moved(tail, directory, following, parts, path)
    return [owners, tail, directory, following]


def appended(state: Text, delta: Text) -> Text:
    """The text of a head with an update more in its tail, however long that is then."""
    owners = _merged_owners(state[0], delta[0])
    directory: list[list[int]] = []
    following = 0
    if len(state) == 2:
        tail = all_updates(state, None, ())
    else:
        _, tail, directory, following = state
    if delta[1] != EMPTY:
        longer = typed_on(tail[-1], delta[1]) if tail else None
        if longer is None:
            tail.append(delta[1])
        else:
            tail[-1] = longer
    return [owners, tail, directory, following]


def _merged_owners(held: Owners, news: Owners) -> Owners:
    if len(news) == 1:
        for owner in held:
            if owner[0] == news[0][0]:
                owner[1] = min(owner[1], news[0][1])
                owner[2] = max(owner[2], news[0][2])
                return held
    owners = {owner[0]: owner for owner in held}
    for client, ident, end in news:
        known = owners.get(client)
        if known is None:
            owners[client] = [client, ident, end]
        else:
            known[1], known[2] = min(known[1], ident), max(known[2], end)
    return [owners[client] for client in sorted(owners)]


def _moved(
    tail: list[bytes], directory: list[list[int]], following: int, parts: Parts, path: Path
) -> tuple[list[bytes], int]:
    """Make a full tail one update and move it into a part; returns the tail and next number."""
    update = union(map(read_update, tail))
    data = write_update(update)
    if not directory and len(data) <= _SMALL_BYTES:
        return [data], following
    while directory:
        number, size, _ = directory[-1]
        if size >= len(data) * _FACTOR or size + len(data) > TEXT_PART_BYTES_TARGET:
            break
        update = union([read_update(parts.load(path, [], number)), update])
        data = write_update(update)
        parts.remove(path, [], number)
        directory.pop()
    directory.append([following, len(data), zlib.crc32(data)])
    parts.store(path, [], following, data)
    return [], following + 1


# -- what is well-formed -----------------------------------------------------------------------
def check_text(state: Any, *, spread: bool) -> None:
    """Raise DecodeError unless ``state`` is a well-formed text.

    Args:
        spread: whether it may be spread over parts (in a head) or not (in a delta).
    """
    if type(state) is not list or len(state) != (4 if spread and len(state) == 4 else 2):
        raise DecodeError(f"{_short(state)} is no text")
    ends = _checked_owners(state[0])
    if len(state) == 2:
        update = check_update(state[1])
        if {client: update.end(client) for client in update.runs} != ends:
            raise DecodeError("a text whose owners are not those of its update")
        if spread and len(state[1]) > TEXT_TAIL_BYTES_MAX:
            raise LimitExceededError(f"a text of {len(state[1])} bytes in a head")
        return
    _check_tail(state[1], ends)
    _check_directory(state[2], state[3])


def _checked_owners(owners: Any) -> dict[int, int]:
    """The clock after the last unit of each client."""
    if type(owners) is not list:
        raise DecodeError(f"the owners of a text are a list, these are {_short(owners)}")
    ends: dict[int, int] = {}
    last = -1
    for owner in owners:
        if type(owner) is not list or [type(item) for item in owner] != [int, int, int]:
            raise DecodeError(f"{_short(owner)} is no owner in a text")
        client, ident, end = owner
        if not (last < client <= TEXT_CLIENT_MAX and 0 <= ident <= IDENT_MAX):
            raise DecodeError(f"{_short(owner)} is no owner in a text, or not in order")
        if not 0 < end <= TEXT_CLOCK_MAX:
            raise DecodeError(f"{_short(owner)} is an owner of no clock, or of one past all")
        ends[client] = end
        last = client
    return ends


def check_update(data: Any) -> Update:
    """A canonical update, decoded.

    Raises:
        DecodeError: anything else.
    """
    if type(data) is not bytes:
        raise DecodeError(f"an update is bytes, this is {_short(data)}")
    update = read_update(data)
    if write_update(update) != data:
        raise DecodeError("an update that is not in canonical form")
    return update


def _check_tail(tail: Any, ends: dict[int, int]) -> None:
    if type(tail) is not list or len(tail) > TEXT_TAIL_UPDATES_MAX:
        raise DecodeError(f"{_short(tail)} is no tail of a text")
    size = 0
    for data in tail:
        update = check_update(data)
        size += len(data)
        if data == EMPTY or any(update.end(c) > ends.get(c, 0) for c in update.runs):
            raise DecodeError("an update in a tail that says nothing, or units of nobody")
    if size > TEXT_TAIL_BYTES_MAX:
        raise LimitExceededError(f"a tail of {size} bytes, at most {TEXT_TAIL_BYTES_MAX} are kept")


def _check_directory(directory: Any, following: Any) -> None:
    if type(following) is not int or not 0 <= following <= SEQUENCE_MAX:
        raise DecodeError(f"{_short(following)} is no part number")
    if type(directory) is not list:
        raise DecodeError(f"{_short(directory)} is no directory of parts")
    last = -1
    for entry in directory:
        if type(entry) is not list or [type(item) for item in entry] != [int, int, int]:
            raise DecodeError(f"{_short(entry)} is no entry of a directory of parts")
        number, size, checksum = entry
        if not last < number < following or size < 0 or not 0 <= checksum < 2**32:
            raise DecodeError(f"{_short(entry)} is no entry of a directory, or out of order")
        last = number


def check_text_parts(state: Text, parts: Parts, path: Path) -> list[bytes]:
    """The names of the parts of a checked text.

    Raises:
        DecodeError: one is missing, or not what the directory says; the owners are others.
    """
    ends: dict[int, int] = {}
    names = []
    updates = list(state[1])
    for number, size, checksum in state[2]:
        name = part_name(path, [], number)
        packed = parts.read(name)
        data = None if packed is None else unpack_trusted(packed)
        if type(data) is not bytes or len(data) != size or zlib.crc32(data) != checksum:
            raise DecodeError(f"part {number} of {path!r} is missing, or is another one")
        check_update(data)
        names.append(name)
        updates.append(data)
    for data in updates:
        update = read_update(data)
        for client in update.runs:
            ends[client] = max(ends.get(client, 0), update.end(client))
    if ends != {client: end for client, _, end in state[0]}:
        raise DecodeError(f"the owners of {path!r} are not those of its updates")
    return names
