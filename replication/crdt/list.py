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

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
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

    def only(self, ids: Iterable[Id]) -> Elements:
        """The part of this that is about ``ids``."""
        chosen = set(ids)
        return Elements(
            {i: x for i, x in self.places.items() if i in chosen},
            {i: x for i, x in self.values.items() if i in chosen},
            {i: x for i, x in self.moves.items() if i in chosen},
            self.erased & chosen,
            {i: x for i, x in self.contents.items() if i in chosen},
        )


def expand(chunk: Chunk) -> Elements:
    """A chunk, spread out by id."""
    out = Elements()
    runs, sets, moves, erased, contents = chunk
    for ident, sequence, link, time, origin, content in runs:
        parent, side = _parent(ident, sequence, link)
        valued = type(content) is list
        for offset in range(len(content) if valued else content):
            here = (ident, sequence + offset)
            out.places[here] = (parent, side, time, origin)
            if valued:
                out.values[here] = (time, origin, content[offset])
            parent, side = here, RIGHT
    for ident, sequence, time, origin, value in sets:
        out.values[ident, sequence] = (time, origin, value)
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
    if left[:2] != right[:2]:
        return left[:2] > right[:2]
    return greater(left[2], right[2])


def merge_list(state: Collection, delta: Collection, parts: Parts | None, path: Path) -> Collection:
    """The later incarnation, or id by id. A delta is never spread over parts."""
    if delta[0] > state[0]:
        if parts is not None:
            parts.drop(path)
        state = [list(delta[0]), empty_chunk()]
    elif delta[0] < state[0]:
        return state
    news = expand(delta[1])
    if len(state) == 2:
        return _placed(state[0], merge_elements(expand(state[1]), news, parts, path), parts, path)
    assert parts is not None, "a list spread over parts merges where its parts are"
    return _merge_spread(state, news, parts, path)


def _placed(
    incarnation: list[int], elements: Elements, parts: Parts | None, path: Path
) -> Collection:
    if parts is None or len(elements.ids()) <= LIST_PART_ELEMENTS_MAX:
        return [incarnation, contract(elements)]
    state: Collection = [incarnation, [], 0]
    _spread(state, 0, elements, sorted(elements.ids()), LIST_PART_ELEMENTS_MAX, parts, path)
    return state


def _spread(
    state: Collection,
    at: int,
    elements: Elements,
    ids: list[Id],
    size: int,
    parts: Parts,
    path: Path,
) -> None:
    """Write ``elements`` as parts of at most ``size`` ids; their entries go in at ``at``."""
    for start in range(0, len(ids), size):
        piece = ids[start : start + size]
        number = state[2]
        state[2] += 1
        # The first part also takes whatever sorts before all: its bound is the least id.
        bound = [0, 0] if at == 0 else list(piece[0])
        state[1].insert(at, [*bound, number])
        parts.store(path, state[0], number, contract(elements.only(piece)))
        at += 1


def part_of(directory: list[list[int]], here: Id) -> int:
    """Position in the directory of the part that is about ``here``."""
    return bisect_right(directory, [*here, 2**63]) - 1


def _merge_spread(state: Collection, news: Elements, parts: Parts, path: Path) -> Collection:
    by_part: dict[int, list[Id]] = {}
    for here in sorted(news.ids()):
        by_part.setdefault(part_of(state[1], here), []).append(here)
    for at in sorted(by_part, reverse=True):
        number = state[1][at][2]
        elements = expand(parts.load(path, state[0], number))
        last = max(elements.ids())
        merged = merge_elements(elements, news.only(by_part[at]), parts, path)
        ids = sorted(merged.ids())
        if len(ids) <= LIST_PART_ELEMENTS_MAX:
            parts.store(path, state[0], number, contract(merged))
            continue
        # Growth at the end leaves full parts behind; growth in the middle leaves room.
        full = by_part[at][0] > last
        size = LIST_PART_ELEMENTS_MAX if full else LIST_PART_ELEMENTS_MAX // 2
        parts.store(path, state[0], number, contract(merged.only(ids[:size])))
        _spread(state, at + 1, merged, ids[size:], size, parts, path)
    return state


def respread(state: Collection, elements: Elements, parts: Parts | None, path: Path) -> Collection:
    """A list of which only ``elements`` are left: parts are written where that changes them."""
    if len(state) == 2:
        return [state[0], contract(elements)]
    assert parts is not None, "a list spread over parts changes where its parts are"
    if contract(elements) == contract(all_elements(state, parts, path)):
        return state
    for *_, number in state[1]:
        parts.remove(path, state[0], number)
    return _placed(state[0], elements, parts, path)


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
