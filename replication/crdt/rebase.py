"""Pending deltas past a forgetting: made to fit on what is left. [REBASE]

A device has written on a state in which something was dead that is forgotten by now. `Rebase` takes
the state it wrote on, the state it is to stand on, and what was written, delta by delta.

Rule 1: where a new place's parent is gone, the places that this and later deltas add to that list
        are hung anew, each right behind the nearest place to its left that is left, in the order
        their author saw; at the start where there is none. So they keep their order. [REBASE-1]
Rule 2: a write to an element that is gone becomes its erasure, for the server to refuse; erasing
        such an element again goes. [REBASE-2]
Rule 3: nothing else changes: stamps and ids are what they were, so a write from long ago does not
        win over those made since. [REBASE-3]
Rule 4: of an object that is not held here nobody can say what is gone of it. What its pending
        deltas hang on it hangs on its root, and elements are taken to be there. [REBASE-4]
"""

from __future__ import annotations

from typing import Any, Final

from replication.crdt import object as obj
from replication.crdt.incarnation import clone
from replication.crdt.list import LEFT, RIGHT, ROOT, Elements, Id, contract, expand
from replication.crdt.object import ObjectState, merge
from replication.crdt.parts import Path
from replication.crdt.sequence import Children, children_of, in_order

_NOTHING: Final[tuple[list[Id], list[Id]]] = ([], [])


class Rebase:
    """Re-bases the pending deltas of one object, one after the other.

    Args:
        before: what the first of them was written on, joined; consumed.
        after: what it is to stand on, joined; consumed.
        held: whether ``after`` says all that is left of the object. Rule 4.
    """

    __slots__ = ("_after", "_before", "_held", "_hung")

    def __init__(self, before: ObjectState, after: ObjectState, *, held: bool) -> None:
        self._before = before
        self._after = after
        self._held = held
        #: The lists in which something was hung anew.
        self._hung: set[Path] = set()

    def take(self, delta: ObjectState) -> ObjectState:
        """The next delta as it is to be; it may share structure with ``delta``."""
        fields = delta[3]
        if fields:
            was, left = _same(self._before, delta), _same(self._after, delta)
            fields = self._fields(fields, was, left, ())
        out = [*delta[:3], fields]
        self._before = merge(self._before, clone(delta))
        self._after = merge(self._after, clone(out))
        return out

    def _fields(
        self, fields: obj.Fields, before: obj.Fields, after: obj.Fields, path: Path
    ) -> obj.Fields:
        out: obj.Fields = {}
        for kind, named in fields.items():
            olds, nows, here = before.get(kind, {}), after.get(kind, {}), (*path, kind)
            if kind == obj.EMBEDDED:
                out[kind] = self._objects(named, olds, nows, here)
            elif kind == obj.DICTIONARY:
                out[kind] = {
                    name: [
                        *held[:2],
                        self._items(held, olds.get(name), nows.get(name), (*here, name)),
                    ]
                    for name, held in named.items()
                }
            elif kind == obj.LIST:
                out[kind] = {
                    name: self._list(held, olds.get(name), nows.get(name), (*here, name))
                    for name, held in named.items()
                }
            elif kind == obj.CONTAINER:
                out[kind] = {
                    name: [home, self._content(name, held, olds.get(name), nows.get(name), here)]
                    for name, (home, held) in named.items()
                }
            else:
                out[kind] = named
        return out

    def _content(self, name: bytes, delta: Any, old: Any, now: Any, path: Path) -> Any:
        """What is in a container."""
        if obj.container_kind(name) != obj.LIST:
            return delta
        before, after = (None if held is None else held[1] for held in (old, now))
        return self._list(delta, before, after, (*path, name))

    def _objects(self, named: Any, olds: Any, nows: Any, path: Path) -> Any:
        out = {}
        for name, delta in named.items():
            before, after = _same(olds.get(name), delta), _same(nows.get(name), delta)
            out[name] = [*delta[:3], self._fields(delta[3], before, after, (*path, name))]
        return out

    def _items(self, delta: Any, old: Any, now: Any, path: Path) -> Any:
        """The embedded objects of a dictionary."""
        before, after = ({} if s is None or s[0] != delta[0] else s[2] for s in (old, now))
        return self._objects(delta[2], before, after, path)

    def _list(self, delta: Any, old: Any, now: Any, path: Path) -> Any:
        incarnation = delta[0]
        if now is not None and now[0] != incarnation:
            return delta  # it starts a new one, or is about one that is past
        was = expand(old[1]) if old is not None and old[0] == incarnation else Elements()
        left = Elements() if now is None else expand(now[1])
        news = expand(delta[1])
        for here, fields in news.contents.items():
            inner = (was.contents.get(here, {}), left.contents.get(here, {}))
            news.contents[here] = self._fields(fields, *inner, (*path, here))
        if self._held:
            _erase_gone(news, left)
        self._hang(news, was, left, path)
        return [incarnation, contract(news)]

    def _hang(self, news: Elements, was: Elements, left: Elements, path: Path) -> None:
        """Rule 1."""
        roots = {here for here, (parent, *_) in news.places.items() if parent not in news.places}
        parents = {news.places[here][0] for here in roots} - {ROOT}
        if parents <= left.places.keys() and path not in self._hung:
            return
        self._hung.add(path)
        seen = {**was.places, **news.places}
        neighbour: Id = ROOT
        found: list[tuple[Id, Id]] = []
        for here in in_order(seen, children_of(seen)):
            if here in left.places:
                neighbour = here
            elif here in roots:
                found.append((here, neighbour))
        below = {here: place for here, place in news.places.items() if here not in roots}
        children = children_of({**left.places, **below})
        # From the right, so that of those with one neighbour the leftmost ends up next to it.
        for here, neighbour in reversed(found):
            parent, side = _behind(neighbour, children)
            children.setdefault(parent, ([], []))[side].append(here)
            news.places[here] = (parent, side, *news.places[here][2:])


def _same(state: ObjectState | None, delta: ObjectState) -> obj.Fields:
    """The fields of the life a delta is about."""
    if state is None or state[1:3] != delta[1:3]:
        return {}
    fields: obj.Fields = state[3]
    return fields


def _erase_gone(news: Elements, left: Elements) -> None:
    """Rule 2."""
    # An erasure without a place is of an element that was gone for an earlier delta.
    known = left.values.keys() | (left.erased & left.places.keys()) | news.places.keys()
    gone = {*news.values, *news.moves, *news.contents} - known
    for here in gone:
        for written in (news.values, news.moves, news.contents):
            written.pop(here, None)
    news.erased = (news.erased & known) | gone


def _behind(here: Id, children: Children) -> tuple[Id, int]:
    """Parent and side of a new place right behind one."""
    right = children.get(here, _NOTHING)[RIGHT]
    if not right:
        return here, RIGHT
    follower = right[0]
    while children.get(follower, _NOTHING)[LEFT]:
        follower = children[follower][LEFT][0]
    return follower, LEFT
