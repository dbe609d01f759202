"""Lists: elements with an identity, in an order that is a pure function of places. [MERGE-LIST]

Two sets. *Places* `id -> (parent, side, stamp)` never change once made; *elements*
`id -> (value register, current-place register, erased)`. An element is born at the place that has
its own id; a move mints a further place. Ids are `(file ident, sequence)`. Nothing here is an
index. `sequence.py` derives the order.

Rule 1: two records for one place: the lesser wins. [MERGE-LIST-1]
Rule 2: value and current place: last writer wins by stamp, ties by canonical bytes. [MERGE-LIST-2]
Rule 3: erased stays erased; it drops the element's value, moves and content, and never its
        place. [MERGE-LIST-3]
Rule 4: a record about an id whose place is not known is kept and shows nothing. [MERGE-LIST-4]

State: `[incarnation, chunk]`, or, past LIST_PART_ELEMENTS_MAX ids, `[incarnation, directory,
number of the next part]` with the ids spread over parts (see `parts.py`). A **chunk** is

    [runs, sets, moves, erased, contents]
    run      [ident, sequence, link, time, origin, values | count]
             consecutive ids of one transaction, each the right child of the one before;
             `values`: elements whose value is the one they were born with; `count`: bare places
    link     0: right child of the root (it has no left ones); +d / -d: right / left child of
             (ident, sequence - d);
             else [parent ident, parent sequence, side] with side 1 right, 0 left
    set      [ident, sequence, time, origin, value]      a value of another stamp than its place
    move     [ident, sequence, time, origin, place ident, place sequence]
    erased   [ident, first sequence, count]
    content  [ident, sequence, fields]                   of an embedded object

all in ascending order of ids, runs and erased ranges as long as they can be: `expand` and
`contract` are inverse, so a chunk has one canonical form.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from replication.crdt.incarnation import Collection
from replication.limits import LIST_PART_ELEMENTS_MAX
from replication.model.encoding import greater

if TYPE_CHECKING:
    from replication.crdt.parts import Parts, Path

Id: TypeAlias = tuple[int, int]
#: (parent id or ROOT, side, time, origin)
Place: TypeAlias = tuple[Id, int, int, int]
Chunk: TypeAlias = list[list[Any]]

LEFT: Final = 0
RIGHT: Final = 1
#: The parent of what hangs at the start of the list; no file has ident 0 and sequence 0.
ROOT: Final[Id] = (0, 0)


def empty_chunk() -> Chunk:
    """A chunk that says nothing."""
    return [[], [], [], [], []]


@dataclass(slots=True)
class Elements:
    """A chunk spread out by id: what merging and reading work on."""

    places: dict[Id, Place] = field(default_factory=dict)
    #: (time, origin, value)
    values: dict[Id, tuple[int, int, Any]] = field(default_factory=dict)
    #: (time, origin, place id)
    moves: dict[Id, tuple[int, int, Id]] = field(default_factory=dict)
    erased: set[Id] = field(default_factory=set)
    contents: dict[Id, Any] = field(default_factory=dict)

    def ids(self) -> set[Id]:
        """Every id that anything is known about."""
        return {*self.places, *self.values, *self.moves, *self.erased, *self.contents}


def expand(chunk: Chunk) -> Elements:
    """A chunk, spread out by id."""
    out = Elements()
    runs, sets, moves, erased, contents = chunk
    places, values = out.places, out.values
    for ident, sequence, link, time, origin, content in runs:
        parent, side = _parent(ident, sequence, link)
        here = (ident, sequence)
        if type(content) is not list:
            for following in range(sequence + 1, sequence + content + 1):
                places[here] = (parent, side, time, origin)
                parent, side, here = here, RIGHT, (ident, following)
            continue
        for value in content:
            places[here] = (parent, side, time, origin)
            values[here] = (time, origin, value)
            parent, side, here = here, RIGHT, (ident, here[1] + 1)
    for ident, sequence, time, origin, value in sets:
        values[ident, sequence] = (time, origin, value)
    for ident, sequence, time, origin, place_ident, place_sequence in moves:
        out.moves[ident, sequence] = (time, origin, (place_ident, place_sequence))
    for ident, first, count in erased:
        out.erased.update((ident, first + offset) for offset in range(count))
    for ident, sequence, fields in contents:
        out.contents[ident, sequence] = fields
    return out


def _parent(ident: int, sequence: int, link: Any) -> tuple[Id, int]:
    if type(link) is list:
        return (link[0], link[1]), link[2]
    if link == 0:
        return ROOT, RIGHT
    return ((ident, sequence - link), RIGHT) if link > 0 else ((ident, sequence + link), LEFT)


def parent_of(run: Any) -> Id:
    """The place on which the first place of a run hangs."""
    return _parent(*run[:3])[0]


def _link(here: Id, parent: Id, side: int) -> Any:
    if parent == ROOT and side == RIGHT:
        return 0
    back = here[1] - parent[1]
    if parent[0] == here[0] and back > 0:
        return back if side == RIGHT else -back
    return [parent[0], parent[1], side]


def contract(elements: Elements) -> Chunk:
    """The canonical chunk of what is known: the inverse of `expand`."""
    places, values = elements.places, elements.values
    chunk = empty_chunk()
    runs: list[Any] = chunk[0]
    inline: set[Id] = set()
    last: Id = ROOT
    for here in sorted(places):
        parent, side, time, origin = places[here]
        held = values.get(here)
        valued = held is not None and held[0] == time and held[1] == origin
        if valued:
            inline.add(here)
        run = runs[-1] if runs else None
        if (
            run is not None
            and parent == last
            and side == RIGHT
            and here[0] == last[0]
            and here[1] == last[1] + 1
            and run[3] == time
            and run[4] == origin
            and (type(run[5]) is list) == valued
        ):
            if valued:
                run[5].append(held[2])  # type: ignore[index]
            else:
                run[5] += 1
        else:
            content = [held[2]] if valued else 1  # type: ignore[index]
            runs.append([*here, _link(here, parent, side), time, origin, content])
        last = here
    chunk[1] = [[*i, *values[i]] for i in sorted(values) if i not in inline]
    chunk[2] = [
        [*i, time, origin, *place] for i, (time, origin, place) in sorted(elements.moves.items())
    ]
    chunk[3] = _ranges(elements.erased)
    chunk[4] = [[*i, elements.contents[i]] for i in sorted(elements.contents)]
    return chunk


def is_canonical(chunk: Chunk) -> bool:
    """Whether `contract` gives this chunk back, told without spreading it out.

    Its entries have the shapes and ranges of their kinds already.
    """
    runs, sets, moves, erased, contents = chunk
    last: Any = None
    for run in runs:
        ident, sequence, link = run[:3]
        if type(link) is list and (
            link == [0, 0, RIGHT] or (link[0] == ident and link[1] < sequence)
        ):
            return False
        if last is not None:
            if ident < last[0]:
                return False
            end = last[1] + _size(last)
            if ident == last[0] and (sequence < end or (sequence == end and _continues(last, run))):
                return False
        last = run
    for items in (sets, moves, contents):
        if any(left[:2] >= right[:2] for left, right in pairwise(items)):
            return False
    for left, right in pairwise(erased):
        if right[:2] <= [left[0], left[1] + left[2]]:
            return False
    for ident, sequence, time, origin, _ in sets:
        run = _run_of(runs, ident, sequence)
        # The value of such an element stands in the run.
        if run is not None and (type(run[5]) is list or (run[3] == time and run[4] == origin)):
            return False
    return True


def _size(run: Any) -> int:
    content = run[5]
    size: int = len(content) if type(content) is list else content
    return size


def _continues(left: Any, right: Any) -> bool:
    """Whether two runs, the ids of the right one following the left one's, are one run."""
    return bool(
        right[2] == 1
        and right[3] == left[3]
        and right[4] == left[4]
        and (type(right[5]) is list) == (type(left[5]) is list)
    )


def _run_of(runs: list[Any], ident: int, sequence: int) -> Any:
    """The run with that place, or None."""
    at = bisect_right(runs, (ident, sequence), key=_first) - 1
    if at < 0 or runs[at][0] != ident or sequence >= runs[at][1] + _size(runs[at]):
        return None
    return runs[at]


def has_place(chunk: Chunk, here: Id) -> bool:
    """Whether a place is known in a chunk."""
    return _run_of(chunk[0], *here) is not None


def places_alone(chunk: Chunk) -> Chunk:
    """A chunk that `has_place` answers the same for, and that has nothing else.

    Ids of a file are dense, so of hundreds of runs one range or two are left.
    """
    runs: list[Any] = []
    for run in chunk[0]:
        ident, first = run[:2]
        last = runs[-1] if runs else None
        if last is not None and last[0] == ident and last[1] + last[5] == first:
            last[5] += _size(run)
        else:
            runs.append([ident, first, 0, 0, 0, _size(run)])
    return [runs, [], [], [], []]


_first = itemgetter(0, 1)
_content = itemgetter(5)


def _ranges(ids: set[Id]) -> list[list[int]]:
    out: list[list[int]] = []
    for ident, sequence in sorted(ids):
        if out and out[-1][0] == ident and out[-1][1] + out[-1][2] == sequence:
            out[-1][2] += 1
        else:
            out.append([ident, sequence, 1])
    return out


def merge_elements(
    state: Elements, delta: Elements, parts: Parts | None = None, path: Path = ()
) -> Elements:
    """Rules 1 to 4, id by id. Consumes ``state``."""
    for here, place in delta.places.items():
        known = state.places.get(here)
        state.places[here] = place if known is None else min(known, place)
    for here, value in delta.values.items():
        rival = state.values.get(here)
        if rival is None or _later(value, rival):
            state.values[here] = value
    for here, move in delta.moves.items():
        held = state.moves.get(here)
        # Equal stamps: the greater place id, whose canonical bytes are the greater ones.
        if held is None or move > held:
            state.moves[here] = move
    if delta.contents:
        from replication.crdt.object import merge_fields  # the types nest in each other

        for here, fields in delta.contents.items():
            known_fields = state.contents.get(here, {})
            state.contents[here] = merge_fields(known_fields, fields, parts, (*path, here))
    if delta.erased or state.erased:
        state.erased |= delta.erased
        for here in state.erased if len(delta.values) > 8 else _touched(state, delta):
            state.values.pop(here, None)
            state.moves.pop(here, None)
            if state.contents.pop(here, None) is not None and parts is not None:
                parts.drop((*path, here))
    return state


def _touched(state: Elements, delta: Elements) -> set[Id]:
    return delta.erased | (state.erased & delta.ids())


def _later(left: tuple[int, int, Any], right: tuple[int, int, Any]) -> bool:
    ours, theirs = left[:2], right[:2]
    return ours > theirs or (ours == theirs and greater(left[2], right[2]))


def merge_chunk(state: Chunk, delta: Chunk, parts: Parts | None = None, path: Path = ()) -> Chunk:
    """What two chunks say together. May consume ``state``; what comes back shares with both."""
    if not any(delta[1:]):
        runs = _merged_runs(state, delta[0])
        if runs is not None:
            return [runs, *state[1:]]
    return contract(merge_elements(expand(state), expand(delta), parts, path))


def _merged_runs(state: Chunk, news: list[Any]) -> list[Any] | None:
    """The runs of a chunk and those of new places; None where anything is known of one.

    Most deltas only insert, and all ids are new: then nothing has to be spread out. What one file
    minted in a row goes in as a row, between two runs there are.
    """
    if not news:
        return state[0]
    first, last = news[0][:2], [news[-1][0], news[-1][1] + _size(news[-1]) - 1]
    _, sets, moves, erased, contents = state
    if any(first <= item[:2] <= last for items in (sets, moves, contents) for item in items):
        return None
    if any([e[0], e[1] + e[2]] > first and e[:2] <= last for e in erased):
        return None
    runs = state[0]
    gaps = []
    start = 0
    while start < len(news):
        at = bisect_right(runs, _first(news[start]), key=_first)
        following = runs[at] if at < len(runs) else None
        stop = len(news) if following is None else bisect_left(news, _first(following), key=_first)
        if at and _end(runs[at - 1]) > news[start][:2]:
            return None
        if following is not None and _end(news[stop - 1]) > following[:2]:
            return None
        gaps.append((at, news[start:stop]))
        start = stop
    for at, row in reversed(gaps):
        runs[at:at] = row
        if at + len(row) < len(runs):
            _join(runs, at + len(row) - 1)
        if at:
            _join(runs, at - 1)
    return runs


def _end(run: Any) -> list[int]:
    """The id that follows a run."""
    return [run[0], run[1] + _size(run)]


def _join(runs: list[Any], at: int) -> None:
    """Make a run and the one behind it one, if they are."""
    left, right = runs[at : at + 2]
    if _end(left) == right[:2] and _continues(left, right):
        runs[at : at + 2] = [[*left[:5], left[5] + right[5]]]


def merge_list(state: Collection, delta: Collection, parts: Parts | None, path: Path) -> Collection:
    """The later incarnation, or id by id. A delta is never spread over parts."""
    if delta[0] > state[0]:
        if parts is not None:
            parts.drop(path)
        state = [list(delta[0]), empty_chunk()]
    elif delta[0] < state[0]:
        return state
    if len(state) == 2:
        return _placed(state[0], merge_chunk(state[1], delta[1], parts, path), parts, path)
    assert parts is not None, "a list spread over parts merges where its parts are"
    return _merge_spread(state, delta[1], parts, path)


def _placed(incarnation: list[int], chunk: Chunk, parts: Parts | None, path: Path) -> Collection:
    if parts is None or id_count(chunk) <= LIST_PART_ELEMENTS_MAX:
        return [incarnation, chunk]
    state: Collection = [incarnation, [], 0]
    _spread(state, 0, _pieces(chunk, LIST_PART_ELEMENTS_MAX), parts, path)
    return state


def id_count(chunk: Chunk) -> int:
    """How many ids a chunk is about."""
    if any(chunk[1:]):
        return len(expand(chunk).ids())
    try:
        return sum(map(len, map(_content, chunk[0])))
    except TypeError:  # bare places, which few lists have
        return sum(map(_size, chunk[0]))


def _last_id(chunk: Chunk) -> list[int]:
    """The greatest id a chunk that is not empty is about."""
    runs, sets, moves, erased, contents = chunk
    last = [items[-1][:2] for items in (sets, moves, contents) if items]
    last += [[run[0], run[1] + _size(run) - 1] for run in runs[-1:]]
    last += [[ident, first + count - 1] for ident, first, count in erased[-1:]]
    return max(last)


def _spread(
    state: Collection, at: int, pieces: list[tuple[Id, Chunk]], parts: Parts, path: Path
) -> None:
    """Write parts, each with its first id; their entries in the directory go in at ``at``."""
    for first, piece in pieces:
        number = state[2]
        state[2] += 1
        # The first part also takes whatever sorts before all: its bound is the least id.
        bound = [0, 0] if at == 0 else list(first)
        state[1].insert(at, [*bound, number])
        parts.store(path, state[0], number, piece)
        at += 1


def _pieces(chunk: Chunk, size: int) -> list[tuple[Id, Chunk]]:
    """A chunk in pieces of at most ``size`` ids, each with its first id."""
    firsts = _ids(chunk)[::size]
    pieces = _by_part([[*here, 0] for here in firsts], chunk)
    return [(here, pieces[at]) for at, here in enumerate(firsts)]


def _ids(chunk: Chunk) -> list[Id]:
    """The ids a chunk is about, in order."""
    if any(chunk[1:]):
        return sorted(expand(chunk).ids())
    return [(run[0], run[1] + offset) for run in chunk[0] for offset in range(_size(run))]


def part_of(directory: list[list[int]], here: Id) -> int:
    """Position in the directory of the part that is about ``here``."""
    return bisect_right(directory, [*here, 2**63]) - 1


def _merge_spread(state: Collection, delta: Chunk, parts: Parts, path: Path) -> Collection:
    by_part = _by_part(state[1], delta)
    for at in sorted(by_part, reverse=True):
        number = state[1][at][2]
        chunk = parts.load(path, state[0], number)
        last, news = _last_id(chunk), by_part[at]
        first = min(items[0][:2] for items in news if items)
        merged = merge_chunk(chunk, news, parts, path)
        if id_count(merged) <= LIST_PART_ELEMENTS_MAX:
            parts.store(path, state[0], number, merged)
            continue
        # Growth at the end leaves full parts behind; growth in the middle leaves room.
        size = LIST_PART_ELEMENTS_MAX if first > last else LIST_PART_ELEMENTS_MAX // 2
        (_, left), *others = _pieces(merged, size)
        parts.store(path, state[0], number, left)
        _spread(state, at + 1, others, parts, path)
    return state


def _by_part(directory: list[list[int]], chunk: Chunk) -> dict[int, Chunk]:
    """A chunk cut up along the bounds of parts: pieces by position in the directory."""
    out: dict[int, Chunk] = {}
    for kind, held in enumerate(chunk):
        items, start = list(held), 0
        while start < len(items):
            at = part_of(directory, _first(items[start]))
            stop, rest = len(items), None
            if at + 1 < len(directory):
                bound = _first(directory[at + 1])
                stop = bisect_left(items, bound, lo=start, key=_first)
                items[stop - 1], rest = _cut(kind, items[stop - 1], bound)
            out.setdefault(at, empty_chunk())[kind] = items[start:stop]
            start = stop
            if rest is not None:
                start -= 1
                items[start] = rest
    return out


def _cut(kind: int, item: Any, bound: Id) -> tuple[Any, Any]:
    """What of an entry of a chunk is before a bound, and what is behind it: None for nothing.

    Args:
        kind: 0 for a run, 3 for a range of erased ids; others are about one id.
    """
    ident, first = item[:2]
    if kind not in (0, 3) or ident != bound[0]:
        return item, None
    content, room = item[-1], bound[1] - first
    size = len(content) if type(content) is list else content
    if size <= room:
        return item, None
    if kind == 3:
        return [ident, first, room], [ident, first + room, size - room]
    left, right = room, size - room
    if type(content) is list:
        left, right = content[:room], content[room:]
    return [*item[:5], left], [ident, first + room, 1, *item[3:5], right]


def respread(state: Collection, elements: Elements, parts: Parts | None, path: Path) -> Collection:
    """A list of which only ``elements`` are left: parts are written where that changes them."""
    chunk = contract(elements)
    if len(state) == 2:
        return [state[0], chunk]
    assert parts is not None, "a list spread over parts changes where its parts are"
    if chunk == contract(all_elements(state, parts, path)):
        return state
    for *_, number in state[1]:
        parts.remove(path, state[0], number)
    return _placed(state[0], chunk, parts, path)


def all_elements(state: Collection, parts: Parts | None, path: Path) -> Elements:
    """Every element of a list, whether it is spread over parts or not."""
    if len(state) == 2:
        return expand(state[1])
    assert parts is not None, "a list spread over parts is read where its parts are"
    out = Elements()
    for *_, number in state[1]:
        piece = expand(parts.load(path, state[0], number))
        out.places.update(piece.places)
        out.values.update(piece.values)
        out.moves.update(piece.moves)
        out.erased |= piece.erased
        out.contents.update(piece.contents)
    return out
