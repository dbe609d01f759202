"""Renaming files and times inside a state. [SUBST]

Two occasions: a device that wrote before it was identified (or as a copied file) gets its ident,
and a device whose clock ran ahead stamps its pending deltas anew.

Rule 1: one renaming holds wherever a stamp or id stands, so that what refers to one another keeps
        doing so. The root of lists and the zero stamp of "nothing seen" keep their names.
        [SUBST-4]
Rule 2: a renaming that is one to one and keeps the order of stamps commutes with merging (where
        two writes tie, it must keep the order of ids, too). [SUBST-5]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from replication.crdt import object as obj
from replication.crdt.container import Home, default_id
from replication.crdt.list import ROOT, Elements, Id, contract, expand
from replication.crdt.register import Groups, Stamp, grouped, order_of
from replication.crdt.text import Text
from replication.limits import SEQUENCE_MAX
from replication.model.encoding import pack, sorted_map, unpack_trusted
from replication.model.values import Based, Container

StampMap = Callable[[int, int], Stamp]
IdMap = Callable[[int, int], Id]


class Substitution:
    """One renaming.

    Args:
        stamp: the new (time, origin) of an old one.
        id: the new (ident, sequence) of an old one.
    """

    __slots__ = ("_id", "_stamp")

    def __init__(self, stamp: StampMap, id: IdMap) -> None:  # noqa: A002  the field's word
        self._stamp = stamp
        self._id = id

    def object(self, state: obj.ObjectState) -> obj.ObjectState:
        """An object state or delta, renamed; its lists must not be spread over parts."""
        length, at, incarnation, fields = state
        return [length, at, self._incarnation(incarnation), self.fields(fields)]

    def fields(self, fields: obj.Fields) -> obj.Fields:
        """The fields of one object, renamed."""
        out: obj.Fields = {}
        for kind, held in fields.items():
            if kind == obj.REGISTER:
                out[kind] = self._groups(held)
            elif kind == obj.COUNTER:
                out[kind] = dict(held)
            elif kind == obj.EMBEDDED:
                out[kind] = {name: self.object(state) for name, state in held.items()}
            elif kind == obj.CONTAINER:
                out[kind] = self._containers(held)
            elif kind == obj.TEXT:
                out[kind] = {name: self._text(state) for name, state in held.items()}
            else:
                out[kind] = {name: self._collection(kind, state) for name, state in held.items()}
        return out

    def _collection(self, kind: int, state: Any) -> Any:
        incarnation = self._incarnation(state[0])
        if kind == obj.SET:
            return [incarnation, self._groups(state[1])]
        if kind == obj.DICTIONARY:
            embedded = {key: self.object(held) for key, held in state[2].items()}
            return [incarnation, self._groups(state[1]), embedded]
        return [incarnation, contract(self._elements(expand(state[1])))]

    def _text(self, state: Text) -> Text:
        # A former ident stays valid as an owner; of a copied file see `reclient.py`.
        mine = self._id(0, SEQUENCE_MAX)[0]
        owners = [[client, ident or mine, end] for client, ident, end in state[0]]
        return [owners, *state[1:]]

    def _incarnation(self, incarnation: list[int]) -> list[int]:
        if not incarnation:
            return []
        return [*self._stamp(incarnation[0], incarnation[1]), *self._id(*incarnation[2:])]

    def _groups(self, groups: Groups) -> Groups:
        writes = {}
        for group in groups:
            first, second, default, *own = order_of(group)
            seen = self._stamp(first, second) if (first, second) != (0, 0) else (0, 0)
            order = (*seen, default, *self._stamp(own[0], own[1]))
            for name, value in group[2].items():
                writes[name] = (order, self._value(value))
        return grouped(writes)

    def _value(self, value: Any) -> Any:
        if type(value) is Container and value.sequence:
            return Container(value.kind, *self._id(value.ident, value.sequence))
        if type(value) is Based:
            return Based(self._value(value.value), value.seen)
        return value

    def _containers(self, containers: dict[bytes, Any]) -> dict[bytes, Any]:
        return sorted_map(
            {
                self.container_id(name): [
                    self._home(home),
                    self._collection(obj.container_kind(name), content),
                ]
                for name, (home, content) in containers.items()
            }
        )

    def container_id(self, name: bytes) -> bytes:
        """The id of a container, renamed."""
        kind, *rest = unpack_trusted(name)
        if len(rest) == 2:
            return pack([kind, *self._id(*rest)])
        owner, time, origin = rest
        seen = self._stamp(time, origin) if (time, origin) != (0, 0) else (0, 0)
        return default_id(kind, owner, seen)

    def _home(self, home: Home) -> Home:
        if len(home) < 3:
            return list(home)
        kind, slot, step = home
        if kind == obj.CONTAINER:
            slot = self.container_id(slot)
        return [kind, slot, list(self._id(*step)) if type(step) is list else step]

    def _elements(self, old: Elements) -> Elements:
        def new(here: Id) -> Id:
            return ROOT if here == ROOT else self._id(*here)

        return Elements(
            {
                new(here): (new(parent), side, *self._stamp(time, origin))
                for here, (parent, side, time, origin) in old.places.items()
            },
            {
                new(here): (*self._stamp(time, origin), self._value(value))
                for here, (time, origin, value) in old.values.items()
            },
            {
                new(here): (*self._stamp(time, origin), new(place))
                for here, (time, origin, place) in old.moves.items()
            },
            {new(here) for here in old.erased},
            {new(here): self.fields(fields) for here, fields in old.contents.items()},
        )
