"""A second implementation of merging, written from the pages of the spec and nothing else.

It shares no code with the product: it takes a state apart into facts, merges each by one `max`, and
puts the state together again. It is slow and does not check what it reads. Where both disagree,
one of them is wrong, or a page is not clear enough.

Values are what MessagePack has; ext types stay `Ext`. Nothing given is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import plain_text
from independent_messagepack import Ext, ordered, read, write

Id: TypeAlias = tuple[int, int]
#: Where a write stands and what it says: order key, canonical bytes. The greater one wins.
Write: TypeAlias = tuple[tuple[int, ...], bytes]
ROOT: Id = (0, 0)
LEFT, RIGHT = 0, 1
ERASED, BASED, COLLECTION = 7, 8, 9
ABSENT: list[Any] = [0, 0, [], {}]


#: Containers inside each other (limits.md).
CONTAINERS_MAX = 100


# -- objects (states.md, Objects) ------------------------------------------------------------
def merge(left: list[Any], right: list[Any]) -> list[Any]:
    """The merge of two object states, top-level or embedded."""
    length = max(left[0], right[0])
    if left[1:3] == right[1:3]:
        at, incarnation, held = left[1], left[2], merge_fields(left[3], right[3])
    else:
        _, at, incarnation, held = max(left, right, key=lambda state: state[1:3])
    return [length, at, incarnation, held] if at >= length else [length, 0, [], {}]


def is_alive(state: list[Any]) -> bool:
    """[MERGE-OBJ-4]"""
    return bool(state[0] % 2 == 1 and state[0] == state[1])


def merge_fields(left: dict[int, Any], right: dict[int, Any]) -> dict[int, Any]:
    """Kind by kind, name by name."""
    out: dict[int, Any] = {}
    for kind in sorted({*left, *right}):
        out[kind] = _MERGES[kind](left.get(kind), right.get(kind))
    return {kind: held for kind, held in out.items() if held or kind not in (0, 1)}


def _by_name(
    merge_two: Callable[[Any, Any], Any], nothing: Any
) -> Callable[[Any, Any], dict[str, Any]]:
    def merged(left: Any, right: Any) -> dict[str, Any]:
        left, right = left or {}, right or {}
        return {
            name: merge_two(left.get(name, nothing), right.get(name, nothing))
            for name in sorted({*left, *right}, key=ordered)
        }

    return merged


# -- registers and counters ------------------------------------------------------------------
def flat(groups: list[Any]) -> dict[Any, Write]:
    """Each write by name."""
    out: dict[Any, Write] = {}
    for time, origin, values, *own in groups:
        order = (time, origin, 1, *own) if own else (time, origin, 0, time, origin)
        for name, value in values.items():
            out[name] = (order, write(value))
    return out


def merge_groups(left: Any, right: Any) -> list[Any]:
    """The greater write to each name, and its group."""
    winners = flat(left or [])
    for name, theirs in flat(right or []).items():
        winners[name] = max(winners.get(name, theirs), theirs)
    out = []
    for order in sorted({order for order, _ in winners.values()}):
        values = {name: read(data) for name, (key, data) in winners.items() if key == order}
        group = [*order[:2], values]
        out.append(group if order[2] == 0 else [*group, *order[3:]])
    return out


def wrap(number: int) -> int:
    """Two's complement of 64 bits."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def merge_totals(left: Any, right: Any) -> dict[str, int]:
    """Sums, without those that are 0."""
    left, right = left or {}, right or {}
    sums = {name: wrap(left.get(name, 0) + right.get(name, 0)) for name in {*left, *right}}
    return {name: total for name, total in sums.items() if total}


# -- collections -----------------------------------------------------------------------------
def _newest(left: list[Any], right: list[Any], contents: Callable[..., list[Any]]) -> list[Any]:
    if left[0] == right[0]:
        return [left[0], *contents(left[1:], right[1:])]
    return left if left[0] > right[0] else right


def merge_set(left: list[Any], right: list[Any]) -> list[Any]:
    """Member by member."""
    return _newest(left, right, lambda mine, theirs: [merge_groups(mine[0], theirs[0])])


def merge_dictionary(left: list[Any], right: list[Any]) -> list[Any]:
    """Key by key, plain values and embedded objects apart."""
    return _newest(
        left,
        right,
        lambda mine, theirs: [merge_groups(mine[0], theirs[0]), _objects(mine[1], theirs[1])],
    )


_objects = _by_name(merge, ABSENT)


# -- lists -----------------------------------------------------------------------------------
@dataclass
class Facts:
    """What is known of each id."""

    #: (parent ident, parent sequence, side, time, origin): the lesser record stays
    places: dict[Id, tuple[int, ...]] = field(default_factory=dict)
    values: dict[Id, Write] = field(default_factory=dict)
    #: (time, origin, place ident, place sequence)
    moves: dict[Id, tuple[int, ...]] = field(default_factory=dict)
    erased: set[Id] = field(default_factory=set)
    contents: dict[Id, dict[int, Any]] = field(default_factory=dict)


def facts(chunk: list[Any]) -> Facts:
    """A chunk, taken apart."""
    out = Facts()
    for ident, sequence, link, time, origin, content in chunk[0]:
        values = content if isinstance(content, list) else None
        parent = _parent(ident, sequence, link)
        for offset in range(content if values is None else len(values)):
            here = (ident, sequence + offset)
            out.places[here] = (*parent, time, origin)
            if values is not None:
                out.values[here] = ((time, origin), write(values[offset]))
            parent = (*here, RIGHT)
    for ident, sequence, time, origin, value in chunk[1]:
        out.values[ident, sequence] = ((time, origin), write(value))
    for ident, sequence, *move in chunk[2]:
        out.moves[ident, sequence] = tuple(move)
    for ident, first, count in chunk[3]:
        out.erased.update((ident, first + offset) for offset in range(count))
    for ident, sequence, held in chunk[4]:
        out.contents[ident, sequence] = held
    return out


def _parent(ident: int, sequence: int, link: Any) -> tuple[int, int, int]:
    if isinstance(link, list):
        return (link[0], link[1], link[2])
    if link == 0:
        return (*ROOT, RIGHT)
    return (ident, sequence - abs(link), RIGHT if link > 0 else LEFT)


def chunk_of(known: Facts) -> list[Any]:
    """Facts, put together again."""
    runs: list[list[Any]] = []
    born = {
        here
        for here, place in known.places.items()
        if known.values.get(here, ((),))[0] == place[3:]
    }
    for here in sorted(known.places):
        *parent, side, time, origin = known.places[here]
        before = (here[0], here[1] - 1)
        follows = [*before, RIGHT, time, origin] == [
            *parent,
            side,
            *known.places.get(before, ())[3:],
        ]
        value = [read(known.values[here][1])] if here in born else 1
        if follows and (before in born) == (here in born):
            runs[-1][5] += value
        else:
            runs.append([*here, _link(here, (parent[0], parent[1]), side), time, origin, value])
    sets = [
        [*i, *known.values[i][0], read(known.values[i][1])]
        for i in sorted(known.values)
        if i not in born
    ]
    moves = [[*here, *known.moves[here]] for here in sorted(known.moves)]
    erased: list[list[int]] = []
    for ident, sequence in sorted(known.erased):
        if (ident, sequence - 1) in known.erased:
            erased[-1][2] += 1
        else:
            erased.append([ident, sequence, 1])
    return [runs, sets, moves, erased, [[*i, known.contents[i]] for i in sorted(known.contents)]]


def _link(here: Id, parent: Id, side: int) -> Any:
    if (parent, side) == (ROOT, RIGHT):
        return 0
    back = here[1] - parent[1]
    if parent[0] == here[0] and back > 0:
        return back if side == RIGHT else -back
    return [*parent, side]


def merge_chunks(left: list[Any], right: list[Any]) -> list[Any]:
    """Fact by fact."""
    mine, theirs = facts(left), facts(right)
    out = Facts(erased=mine.erased | theirs.erased)
    for here in {*mine.places, *theirs.places}:
        out.places[here] = min(
            known.places[here] for known in (mine, theirs) if here in known.places
        )
    for here in {*mine.values, *theirs.values} - out.erased:
        out.values[here] = max(
            known.values[here] for known in (mine, theirs) if here in known.values
        )
    for here in {*mine.moves, *theirs.moves} - out.erased:
        out.moves[here] = max(known.moves[here] for known in (mine, theirs) if here in known.moves)
    for here in {*mine.contents, *theirs.contents} - out.erased:
        out.contents[here] = merge_fields(
            mine.contents.get(here, {}), theirs.contents.get(here, {})
        )
    return chunk_of(out)


def merge_list(left: list[Any], right: list[Any]) -> list[Any]:
    """The later incarnation, or both."""
    return _newest(left, right, lambda mine, theirs: [merge_chunks(mine[0], theirs[0])])


def in_order(places: dict[Id, tuple[int, ...]]) -> list[Id]:
    """All places as they stand in the list."""
    below: dict[tuple[int, ...], list[Id]] = {}
    for here in sorted(places, key=lambda here: (places[here][3:], here)):
        below.setdefault(places[here][:3], []).append(here)

    def walk(here: Id) -> Iterator[Id]:
        for child in below.get((*here, LEFT), []):
            yield from walk(child)
        yield here
        for child in below.get((*here, RIGHT), []):
            yield from walk(child)

    reached = [here for top in below.get((*ROOT, RIGHT), []) for here in walk(top)]
    return [*reached, *sorted(places.keys() - set(reached))]


def elements(
    chunk: list[Any], show: Callable[[Id, Any], Any], contents: dict[Id, Any] | None = None
) -> list[Any]:
    """What a reader sees of a list.

    Args:
        show: what a value shows at an element.
        contents: the fields of elements that are objects, if not what the chunk says.
    """
    known = facts(chunk)
    if contents is not None:
        known.contents = contents
    standing: dict[Id, list[Id]] = {}
    for here in sorted(known.values.keys() - known.erased):
        place = known.moves.get(here, (0, 0, *here))[2:]
        standing.setdefault((place[0], place[1]), []).append(here)
    return [
        fields_view(known.contents[here])
        if here in known.contents
        else show(here, read(known.values[here][1]))
        for place in in_order(known.places)
        for here in standing.get(place, [])
    ]


# -- containers ------------------------------------------------------------------------------
def _merge_container(name: bytes, left: Any, right: Any) -> list[Any]:
    if left is None or right is None:
        left, right = left or right, left or right
        return [left[0], left[1]]
    homes = [held[0] for held in (left, right) if held[0]]
    merge_two = merge_list if read(name)[0] == 4 else merge_dictionary
    return [min(homes, key=write, default=[]), merge_two(left[1], right[1])]


def merge_containers(left: Any, right: Any) -> dict[bytes, Any]:
    """Id by id."""
    left, right = left or {}, right or {}
    return {
        name: _merge_container(name, left.get(name), right.get(name))
        for name in sorted({*left, *right})
    }


class Showing:
    """What the values of some fields show, references to containers followed."""

    def __init__(self, held: dict[int, Any]) -> None:
        self.containers = held.get(7, {})

    def at(self, home: list[Any], value: Any, seen: tuple[int, ...] = ()) -> Any:
        """A value at its place; ``seen``: what a default there carries."""
        if not (isinstance(value, Ext) and value.code == COLLECTION):
            return value
        name = value.data
        if seen and read(name)[1:] == [0, 0]:
            name = write([read(name)[0], home[1], *seen])
        deep, outer = 1, home
        while outer and outer[0] == 7 and deep <= CONTAINERS_MAX:
            deep, outer = deep + 1, self.containers.get(outer[1], [[]])[0]
        held = self.containers.get(name)
        if held is None or held[0] != home or deep > CONTAINERS_MAX:
            return None
        if read(name)[0] == 4:
            return elements(held[1][1], lambda i, inner: self.at([7, name, list(i)], inner), {})
        values = {key: read(data) for key, (_, data) in flat(held[1][1]).items()}
        return {
            key: self.at([7, name, key], inner)
            for key, inner in values.items()
            if inner != Ext(ERASED, b"")
        }


# -- texts (text.md) -------------------------------------------------------------------------
def merge_text(left: list[Any], right: list[Any]) -> list[Any]:
    """Owners client by client; the updates unit by unit."""
    owners: dict[int, list[int]] = {}
    for client, ident, end in [*left[0], *right[0]]:
        _, known, last = owners.get(client, [client, ident, end])
        owners[client] = [client, min(known, ident), max(last, end)]
    return [[owners[client] for client in sorted(owners)], in_one([left[1], right[1]])]


def in_one(updates: list[bytes]) -> bytes:
    """The canonical update of a union."""
    together = plain_text.Text({}, set())
    for update in updates:
        together = plain_text.merge(together, plain_text.read(update))
    return plain_text.write(together)


def text_view(update: bytes) -> Any:
    """The canonical value of a text."""
    pieces = plain_text.shows(plain_text.read(update))
    if any(formats for _, formats in pieces):
        return [[piece, dict(sorted(formats.items()))] for piece, formats in pieces]
    return "".join(piece for piece, _ in pieces)


_MERGES: dict[int, Callable[[Any, Any], Any]] = {
    0: merge_groups,
    1: merge_totals,
    2: _by_name(merge_set, [[], []]),
    3: _by_name(merge_dictionary, [[], [], {}]),
    4: _by_name(merge_list, [[], [[], [], [], [], []]]),
    5: _by_name(merge, ABSENT),
    6: _by_name(merge_text, [[], b"\0\0"]),
    7: merge_containers,
}


# -- what a reader sees (states.md, Views) ---------------------------------------------------
def view(state: list[Any]) -> dict[str, Any] | None:
    """The canonical value of an object."""
    return fields_view(state[3]) if is_alive(state) else None


def plain(value: Any, total: int = 0) -> Any:
    """A register's value with its counter's total."""
    seen = 0
    if isinstance(value, Ext) and value.code == BASED:
        value, seen = read(value.data)
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return wrap(value + total - seen) if is_int else value


def fields_view(held: dict[int, Any]) -> dict[str, Any]:
    """The fields of an object, the greater kind over the lesser."""
    totals = held.get(1, {})
    out: dict[str, Any] = dict(totals)
    show = Showing(held).at
    for name, (order, data) in flat(held.get(0, [])).items():
        seen = order[:2] if order[2] else ()
        out[name] = show([0, name], plain(read(data), totals.get(name, 0)), seen)
    for name, (_, groups) in held.get(2, {}).items():
        there = sorted(member for member, (_, data) in flat(groups).items() if read(data))
        out[name] = [read(member) for member in there]
    for name, (_, groups, objects) in held.get(3, {}).items():
        values = {key: read(data) for key, (_, data) in flat(groups).items()}
        items = {
            key: show([3, name, key], value)
            for key, value in values.items()
            if value != Ext(ERASED, b"")
        }
        items.update({key: view(state) for key, state in objects.items() if is_alive(state)})
        out[name] = items
    for name, (_, chunk) in held.get(4, {}).items():
        out[name] = elements(chunk, _showing_elements(show, name))
    for name, state in held.get(5, {}).items():
        if is_alive(state):
            out[name] = view(state)
        else:
            out.setdefault(name)
    for name, (_, update) in held.get(6, {}).items():
        out[name] = text_view(update)
    return out


def _showing_elements(show: Callable[..., Any], name: str) -> Callable[[Id, Any], Any]:
    return lambda here, value: show([4, name, list(here)], value)


# -- heads and parts (states.md, Heads and parts) --------------------------------------------
def whole(head: list[Any], parts: dict[bytes, bytes]) -> list[Any]:
    """A head with every list in one piece."""
    return [*head[:3], _whole_fields(head[3], parts, [])]


def _whole_fields(
    held: dict[int, Any], parts: dict[bytes, bytes], path: list[Any]
) -> dict[int, Any]:
    def inner(state: list[Any], *steps: Any) -> list[Any]:
        return [*state[:3], _whole_fields(state[3], parts, [*path, *steps])]

    def one_list(state: list[Any], here: list[Any]) -> list[Any]:
        if len(state) == 2:
            pieces = [state[1]]
        else:
            pieces = [read(parts[write([here, state[0], number])]) for *_, number in state[1]]
        lists = zip(*pieces, strict=True)
        chunk = chunk_of(facts([[entry for each in pair for entry in each] for pair in lists]))
        contents = [[*i, _whole_fields(inside, parts, [*here, list(i)])] for *i, inside in chunk[4]]
        return [state[0], [*chunk[:4], contents]]

    def one_text(state: list[Any], here: list[Any]) -> list[Any]:
        if len(state) == 2:
            return state
        stored = [read(parts[write([here, [], number])]) for number, _, _ in state[2]]
        return [state[0], in_one([*stored, *state[1]])]

    out = dict(held)
    if 6 in held:
        out[6] = {name: one_text(state, [*path, 6, name]) for name, state in held[6].items()}
    if 3 in held:
        out[3] = {
            name: [
                state[0],
                state[1],
                {key: inner(each, 3, name, key) for key, each in state[2].items()},
            ]
            for name, state in held[3].items()
        }
    if 4 in held:
        out[4] = {name: one_list(state, [*path, 4, name]) for name, state in held[4].items()}
    if 7 in held:
        out[7] = {
            name: [home, one_list(state, [*path, 7, name]) if read(name)[0] == 4 else state]
            for name, (home, state) in held[7].items()
        }
    if 5 in held:
        out[5] = {name: inner(state, 5, name) for name, state in held[5].items()}
    return out
