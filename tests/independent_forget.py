"""Forgetting and re-basing once more, from the page alone (`spec/forgetting.md`), rule by rule.

As `independent_merge.py`, of which it is a part: slow, naive, and nothing given is changed.
"""

from __future__ import annotations

from typing import Any

from independent_merge import (
    BASED,
    COLLECTION,
    ERASED,
    LEFT,
    RIGHT,
    ROOT,
    Facts,
    Id,
    chunk_of,
    facts,
    flat,
    in_order,
    merge,
)
from independent_messagepack import Ext, read, write


# -- what leaves a state -----------------------------------------------------------------------
def forget(state: list[Any]) -> list[Any]:
    """A state without what is dead."""
    return [*state[:3], forget_fields(state[3])]


def forget_fields(held: dict[int, Any]) -> dict[int, Any]:
    """Through all fields, those of embedded objects and of elements included."""
    out = dict(held)
    if 2 in held:
        out[2] = {name: [state[0], _without(state[1], False)] for name, state in held[2].items()}
    if 3 in held:
        out[3] = {name: _dictionary(state) for name, state in held[3].items()}
    if 4 in held:
        out[4] = {name: [state[0], forget_chunk(state[1])] for name, state in held[4].items()}
    if 5 in held:
        out[5] = {name: forget(state) for name, state in held[5].items()}
    if 7 in held:
        left = {}
        for name in _staying(held):
            home, state = held[7][name]
            is_list = read(name)[0] == 4
            content = [state[0], forget_chunk(state[1])] if is_list else _dictionary(state)
            left[name] = [home, content]
        out.pop(7)
        if left:
            out[7] = {name: left[name] for name in sorted(left)}
    return out


def _dictionary(state: list[Any]) -> list[Any]:
    incarnation, groups, objects = state
    kept = _without(groups, Ext(ERASED, b""))
    return [incarnation, kept, {key: forget(each) for key, each in objects.items()}]


def _without(groups: list[Any], gone: Any) -> list[Any]:
    """[FORGET-5]"""
    out = []
    for time, origin, values in groups:
        left = {name: value for name, value in values.items() if write(value) != write(gone)}
        if left:
            out.append([time, origin, left])
    return out


def forget_chunk(chunk: list[Any]) -> list[Any]:
    """[FORGET-1] to [FORGET-4], one step after the other."""
    known = facts(chunk)
    known.contents = {here: forget_fields(each) for here, each in known.contents.items()}
    while _one_step(known):
        pass
    known.erased &= known.places.keys()
    return chunk_of(known)


def _standing(known: Facts) -> set[Id]:
    out = set()
    for here in {*known.values, *known.moves, *known.contents}:
        place = known.moves.get(here, (0, 0, *here))[2:]
        out.add((place[0], place[1]))
    return out


def _children(places: dict[Id, tuple[int, ...]], here: Id) -> list[Id]:
    return [each for each, place in places.items() if place[:2] == here]


def _reached(places: dict[Id, tuple[int, ...]]) -> list[Id]:
    out = [here for here, place in places.items() if place[:3] == (*ROOT, RIGHT)]
    for here in out:
        out += _children(places, here)
    return out


def _one_step(known: Facts) -> bool:
    standing = _standing(known)
    for here in _reached(known.places):
        below = _children(known.places, here)
        record = known.places[here]
        alone = [*known.places.values()].count(record) == 1
        if here in standing or len(below) > 1 or (below and not alone):
            continue
        del known.places[here]
        for child in below:
            known.places[child] = record
        return True
    return False


def _staying(held: dict[int, Any]) -> set[bytes]:
    """The containers that stay. [FORGET-10]"""
    containers = held[7]
    stay = {name for name, (home, _) in containers.items() if not home}
    while True:
        more = set()
        for name, (home, _) in containers.items():
            is_there = bool(home) and (home[0] != 7 or home[1] in stay)
            if is_there and name in _referred(held, home):
                more.add(name)
        if more <= stay:
            return stay
        stay |= more


def _referred(held: dict[int, Any], home: list[Any]) -> set[bytes]:
    """What the value at a home refers to; of a default, what later ones can refer to as well."""
    kind, slot, *step = home
    if kind == 0:
        found = flat(held.get(0, [])).get(slot)
        if found is None:
            return set()
        order, data = found
        out = _container(data, [slot, *order[:2]] if order[2] else [])
        if order[2]:
            out |= {write([3, slot, *order[:2]]), write([4, slot, *order[:2]])}
        return out
    state = held[7][slot][1] if kind == 7 else held.get(kind, {}).get(slot)
    if state is None:
        return set()
    if isinstance(step[0], list):
        found = facts(state[1]).values.get((step[0][0], step[0][1]))
    else:
        found = flat(state[1]).get(step[0])
    return set() if found is None else _container(found[1], [])


def _container(data: bytes, default: list[Any]) -> set[bytes]:
    value = read(data)
    if isinstance(value, Ext) and value.code == BASED:
        value = read(value.data)[0]
    if not (isinstance(value, Ext) and value.code == COLLECTION):
        return set()
    name = read(value.data)
    return {write([name[0], *default]) if default and name[1:] == [0, 0] else value.data}


# -- what was pending --------------------------------------------------------------------------
class Rebase:
    """Deltas of one device on one object, one after the other.

    Args:
        before: what the first one was written on; `after`: what is left of it.
        held: whether the device holds the object.
    """

    def __init__(self, before: list[Any], after: list[Any], *, held: bool) -> None:
        self.before, self.after, self.held = before, after, held
        self.hung: set[str] = set()

    def take(self, delta: list[Any]) -> list[Any]:
        """The next delta, re-based."""
        out = self._object(delta, self.before, self.after, "")
        self.before, self.after = merge(self.before, delta), merge(self.after, out)
        return out

    def _object(self, delta: Any, before: Any, after: Any, path: str) -> list[Any]:
        def of_this_life(state: Any) -> Any:
            return state[3] if state is not None and state[1:3] == delta[1:3] else {}

        was, left = of_this_life(before), of_this_life(after)
        return [*delta[:3], self._fields(delta[3], was, left, path)]

    def _fields(self, held: Any, was: Any, left: Any, path: str) -> dict[int, Any]:
        out = dict(held)
        for kind in (3, 4, 5, 7):
            if kind in held:
                out[kind] = {
                    name: self._one(
                        kind,
                        name,
                        (state, was.get(kind, {}).get(name), left.get(kind, {}).get(name)),
                        f"{path}/{kind}/{name!r}",
                    )
                    for name, state in held[kind].items()
                }
        return out

    def _one(self, kind: int, name: Any, sides: Any, path: str) -> Any:
        state, was, left = sides
        if kind == 5:
            return self._object(state, was, left, path)
        if kind == 4:
            return self._list(state, was, left, path)
        if kind == 3:
            old, now = ({} if s is None or s[0] != state[0] else s[2] for s in (was, left))
            return [
                *state[:2],
                {
                    key: self._object(each, old.get(key), now.get(key), f"{path}/{key}")
                    for key, each in state[2].items()
                },
            ]
        if read(name)[0] == 3:
            return state
        old, now = (None if s is None else s[1] for s in (was, left))
        return [state[0], self._list(state[1], old, now, path)]

    def _list(self, delta: Any, was: Any, left: Any, path: str) -> Any:
        if left is not None and left[0] != delta[0]:
            return delta
        news = facts(delta[1])
        old = facts(was[1]) if was is not None and was[0] == delta[0] else Facts()
        now = facts(left[1]) if left is not None else Facts()
        for here, inside in news.contents.items():
            there = (old.contents.get(here, {}), now.contents.get(here, {}))
            news.contents[here] = self._fields(inside, *there, f"{path}/{here}")
        if self.held:
            self._gone(news, now)
        outside = [here for here, place in news.places.items() if place[:2] not in news.places]
        unknown = {news.places[here][:2] for here in outside} - now.places.keys() - {ROOT}
        if unknown or path in self.hung:
            self.hung.add(path)
            self._hang(news, old, now, outside)
        return [delta[0], chunk_of(news)]

    def _gone(self, news: Facts, now: Facts) -> None:
        """[REBASE-2]"""
        there = {*now.values, *(now.erased & now.places.keys()), *news.places}
        written = {*news.values, *news.moves, *news.contents}
        news.erased = (news.erased & there) | (written - there)
        for found in (news.values, news.moves, news.contents):
            for here in written - there:
                found.pop(here, None)  # type: ignore[attr-defined]

    def _hang(self, news: Facts, old: Facts, now: Facts, outside: list[Id]) -> None:
        """[REBASE-1] from the last to the first, each directly behind what is left before it."""
        order = in_order({**old.places, **news.places})
        hung = {here: place for here, place in news.places.items() if here not in outside}
        for at in reversed(range(len(order))):
            if order[at] not in outside:
                continue
            before = [here for here in order[:at] if here in now.places]
            parent, side = _behind(before[-1] if before else ROOT, {**now.places, **hung})
            hung[order[at]] = (*parent, side, *news.places[order[at]][3:])
        news.places = hung


def _behind(here: Id, places: dict[Id, tuple[int, ...]]) -> tuple[Id, int]:
    """[MERGE-ORDER-4]"""
    if not any(place[:3] == (*here, RIGHT) for place in places.values()):
        return here, RIGHT
    order = in_order(places)
    return order[0 if here == ROOT else order.index(here) + 1], LEFT
