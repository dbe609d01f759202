"""The reference model of merging: keep all operations, sort, fold.

It is written from `spec/states.md` and `spec/text.md` alone, naive on purpose, and shares nothing
with `replication.crdt` but values and their canonical bytes. A delta is taken apart into
*operations*, flat tuples `(where, what, ...)` that are kept for ever: nothing is replaced, dropped
or compacted. What a reader sees is computed from all of them, from the start, each time; of texts
once for each set of updates.

`where` is an address that spells out every life and incarnation on the way, so operations on
what was replaced go on being kept and merely are not on the way of a reader:

    place     of an object: () the top-level one, or a field, or a dictionary's key
    life      (*place, "life", at, incarnation)
    field     (*life, kind, name)
    content   (*field, "incarnation", incarnation) of a set, dictionary or list
    element   (*content, "element", id), whose fields stand there as those of a life do
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from functools import cache
from typing import Any, TypeAlias

import plain_text

from replication.model.encoding import pack, unpack_trusted
from replication.model.values import Based, Container, _Erased

Where: TypeAlias = tuple[Hashable, ...]
#: (where, what, details...)
Operation: TypeAlias = tuple[Any, ...]

REGISTER, COUNTER, SET, DICTIONARY, LIST, EMBEDDED, TEXT = range(7)
CONTAINER = 7
#: Containers inside each other.
DEPTH = 100
ROOT = (0, 0)
LEFT, RIGHT = 0, 1


class Model:
    """All operations of one object that a replica knows, by the changeset they came in."""

    def __init__(self, known: Iterable[tuple[Hashable, list[Operation]]] = ()) -> None:
        self._known: dict[Hashable, list[Operation]] = dict(known)

    def take(self, changeset: Hashable, delta: Any) -> None:
        """Receive a delta: once, however often the changeset of this name comes."""
        self._known.setdefault(changeset, operations(delta))

    def value(self) -> Any:
        """The canonical value: everything a reader sees; None if the object is not alive."""
        return _Reader(self._known.values()).object(())


def modelled(deltas: Iterable[Any]) -> bytes:
    """The canonical bytes of what a reader sees of deltas that are all different changesets."""
    return pack(Model((n, operations(delta)) for n, delta in enumerate(deltas)).value())


# -- a delta, taken apart --------------------------------------------------------------------
def operations(delta: Any) -> list[Operation]:
    """What a delta says, one fact at a time."""
    return list(_object((), delta))


def _object(place: Where, delta: Any) -> Iterator[Operation]:
    length, at, incarnation, fields = delta
    yield (place, "length", length)
    yield (place, "life", at, tuple(incarnation))
    yield from _fields((*place, "life", at, tuple(incarnation)), fields)


def _fields(life: Where, fields: Any) -> Iterator[Operation]:
    for kind, held in fields.items():
        if kind == REGISTER:
            for where, name, order, value in _writes(life, held):
                yield (life, "name", REGISTER, name)
                yield ((*where, REGISTER, name), "write", order, pack(value), value)
            continue
        for name, item in held.items():
            field = (*life, kind, name)
            if kind == CONTAINER:
                yield (field, "home", pack(item[0]))
                yield from _collection(field, unpack_trusted(name)[0], item[1])
                continue
            yield (life, "name", kind, name)
            if kind == COUNTER:
                yield (field, "add", item)
            elif kind == EMBEDDED:
                yield from _object(field, item)
            elif kind == TEXT:
                yield (field, "typed", item[1])
            else:
                yield from _collection(field, kind, item)


def _collection(field: Where, kind: int, item: Any) -> Iterator[Operation]:
    yield (field, "incarnation", tuple(item[0]))
    yield from _COLLECTIONS[kind]((*field, "incarnation", tuple(item[0])), *item[1:])


def _writes(where: Where, groups: Any) -> Iterator[tuple[Where, Any, Any, Any]]:
    for group in groups:
        if len(group) == 3:
            time, origin, writes = group
            order = (time, origin, 0, time, origin)
        else:
            seen, seen_origin, writes, time, origin = group
            order = (seen, seen_origin, 1, time, origin)
        for name, value in writes.items():
            yield where, name, order, value


def _set(content: Where, groups: Any) -> Iterator[Operation]:
    for where, member, order, value in _writes(content, groups):
        yield (where, "key", member)
        yield ((*where, "key", member), "write", order, pack(value), value)


def _dictionary(content: Where, groups: Any, objects: Any) -> Iterator[Operation]:
    yield from _set(content, groups)
    for key, item in objects.items():
        yield (content, "object", key)
        yield from _object((*content, "object", key), item)


def _list(content: Where, chunk: Any) -> Iterator[Operation]:
    runs, sets, moves, erased, contents = chunk
    for ident, first, link, time, origin, values in runs:
        parent, side = _parent(ident, first, link)
        for offset in range(len(values) if isinstance(values, list) else values):
            here = (ident, first + offset)
            yield (content, "place", here, (parent, side, time, origin))
            if isinstance(values, list):
                value = values[offset]
                yield (content, "value", here, (time, origin, pack(value)), value)
            parent, side = here, RIGHT
    for ident, sequence, time, origin, value in sets:
        yield (content, "value", (ident, sequence), (time, origin, pack(value)), value)
    for ident, sequence, time, origin, place, number in moves:
        yield (content, "move", (ident, sequence), (time, origin, (place, number)))
    for ident, first, count in erased:
        for offset in range(count):
            yield (content, "erase", (ident, first + offset))
    for ident, sequence, fields in contents:
        yield (content, "fields", (ident, sequence))
        yield from _fields((*content, "element", (ident, sequence)), fields)


def _parent(ident: int, sequence: int, link: Any) -> tuple[tuple[int, int], int]:
    if isinstance(link, list):
        return (link[0], link[1]), link[2]
    if link == 0:
        return ROOT, RIGHT
    return (ident, sequence - abs(link)), RIGHT if link > 0 else LEFT


_COLLECTIONS: dict[int, Any] = {SET: _set, DICTIONARY: _dictionary, LIST: _list}


# -- what a reader sees ----------------------------------------------------------------------
class _Reader:
    """All operations, found by where and what.

    Args:
        named: whether lists are shown as (id, current place, value) of each element.
    """

    def __init__(self, known: Iterable[list[Operation]], *, named: bool = False) -> None:
        self._named = named
        self._at: dict[tuple[Where, str], list[Any]] = {}
        for changeset in known:
            for where, what, *details in changeset:
                self._at.setdefault((where, what), []).append(details)

    def _all(self, where: Where, what: str) -> list[Any]:
        return self._at.get((where, what), [])

    def object(self, place: Where) -> Any:
        """The fields of an object, or None where it is not alive."""
        length = max((n for (n,) in self._all(place, "length")), default=0)
        at, incarnation = max(map(tuple, self._all(place, "life")), default=(0, ()))
        if length % 2 == 0 or at != length:
            return None
        return self._fields((*place, "life", at, incarnation))

    def _fields(self, life: Where) -> dict[str, Any]:
        out: dict[str, Any] = {}
        # In the order of kinds: the greatest one that shows something stays.
        for kind, name in sorted({(kind, name) for kind, name in self._all(life, "name")}):
            if kind in (REGISTER, COUNTER):
                self._register(life, name, out)
            elif kind == EMBEDDED:
                inner = self.object((*life, EMBEDDED, name))
                if inner is not None:
                    out[name] = inner
                else:
                    out.setdefault(name, None)
            elif kind == TEXT:
                out[name] = _text(frozenset(u for (u,) in self._all((*life, TEXT, name), "typed")))
            else:
                out[name] = self._collection((*life, kind, name), kind)
        return dict(sorted(out.items()))

    def _collection(self, field: Where, kind: int) -> Any:
        incarnation = max(i for (i,) in self._all(field, "incarnation"))
        return _SHOWN[kind](self, (*field, "incarnation", incarnation))

    def _home(self, life: Where, name: Hashable) -> Any:
        homes = [home for (home,) in self._all((*life, CONTAINER, name), "home")]
        return unpack_trusted(min((home for home in homes if home != pack([])), default=pack([])))

    def _value(self, life: Where, home: list[Any], value: Any, order: Any = (0, 0, 0)) -> Any:
        """What a value shows at its place; ``order``: of the write, where that is a property."""
        if not isinstance(value, Container):
            return value
        name = pack([value.kind, value.ident, value.sequence])
        if order[2] and (value.ident, value.sequence) == (0, 0):
            name = pack([value.kind, home[1], *order[:2]])
        depth, outer = 1, home
        while outer and outer[0] == CONTAINER and depth <= DEPTH:
            depth, outer = depth + 1, self._home(life, outer[1])
        if self._home(life, name) != home or depth > DEPTH:
            return None
        return self._collection((*life, CONTAINER, name), value.kind)

    def _item(self, content: Where, step: Any, value: Any) -> Any:
        """What a value shows at a key or element of a collection."""
        *life, kind, name, _, _ = content
        return self._value(tuple(life), [kind, name, step], value)

    def _latest(self, where: Where) -> list[Any]:
        """The writes to one place, sorted: [] or [what the last one wrote]."""
        return [value for _, _, value in self._writes(where)][-1:]

    def _writes(self, where: Where) -> list[Any]:
        return sorted(self._all(where, "write"), key=_rank)

    def _register(self, life: Where, name: str, out: dict[str, Any]) -> None:
        total = sum(amount for (amount,) in self._all((*life, COUNTER, name), "add"))
        writes = self._writes((*life, REGISTER, name))
        if writes:
            (order, _, value), seen = writes[-1], 0
            if isinstance(value, Based):
                value, seen = value.value, value.seen
            if type(value) is int:
                value = _wrapped(value + total - seen)
            out[name] = self._value(life, [REGISTER, name], value, order)
        elif _wrapped(total):
            out[name] = _wrapped(total)

    def _set(self, content: Where) -> list[Any]:
        members = sorted({member for (member,) in self._all(content, "key")})
        return [unpack_trusted(m) for m in members if self._latest((*content, "key", m)) == [True]]

    def _dictionary(self, content: Where) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for (key,) in self._all(content, "key"):
            (value,) = self._latest((*content, "key", key))
            if not isinstance(value, _Erased):
                out[key] = self._item(content, key, value)
        for (key,) in [] if content[-4] == CONTAINER else self._all(content, "object"):
            inner = self.object((*content, "object", key))
            if inner is not None:
                out[key] = inner
        return dict(sorted(out.items()))

    def _list(self, content: Where) -> list[Any]:
        places: dict[Any, Any] = {}
        for here, record in self._all(content, "place"):
            places[here] = min(places.get(here, record), record)
        values = {}
        for here, _, value in sorted(self._all(content, "value"), key=lambda each: each[1]):
            values[here] = value
        current = {here: here for here in values}
        for here, (_, _, place) in sorted(self._all(content, "move"), key=lambda each: each[1]):
            current[here] = place
        erased = {here for (here,) in self._all(content, "erase")}
        fields = {here for (here,) in self._all(content, "fields")}
        if content[-4] == CONTAINER:  # objects in it are kept and not shown
            fields = set()
        out: list[Any] = []
        for place in _in_order(places):
            for here in sorted(values):
                if current[here] == place and here not in erased:
                    if here in fields:
                        shown: Any = self._fields((*content, "element", here))
                    else:
                        shown = self._item(content, list(here), values[here])
                    out.append((here, place, shown) if self._named else shown)
        return out


@cache
def _text(updates: frozenset[bytes]) -> Any:
    """What a text shows of the units in these updates; see `plain_text.py`."""
    together = plain_text.Text({}, set())
    for update in updates:
        together = plain_text.merge(together, plain_text.read(update))
    pieces = plain_text.shows(together)
    if any(formats for _, formats in pieces):
        return [[piece, dict(sorted(formats.items()))] for piece, formats in pieces]
    return "".join(piece for piece, _ in pieces)


def _in_order(places: dict[Any, Any]) -> list[Any]:
    """All places, as the definition of the Fugue tree has it; unreachable ones last, by id."""

    def children(parent: Any, side: int) -> list[Any]:
        found = [here for here, record in places.items() if record[:2] == (parent, side)]
        return sorted(found, key=lambda here: (places[here][2:], here))

    def below(here: Any) -> Iterator[Any]:
        for child in children(here, LEFT):
            yield from below(child)
        yield here
        for child in children(here, RIGHT):
            yield from below(child)

    reached = [here for top in children(ROOT, RIGHT) for here in below(top)]
    return [*reached, *sorted(places.keys() - set(reached))]


_SHOWN: dict[int, Any] = {
    SET: _Reader._set,
    DICTIONARY: _Reader._dictionary,
    LIST: _Reader._list,
}


def _rank(write: Any) -> Any:
    order, canonical, _ = write
    return order, canonical


def _wrapped(number: int) -> int:
    return (number + 2**63) % 2**64 - 2**63
