"""What a delta writes of the fields that a filter asks about, and a delta without some of it.

Rule 1: the unit is a field: of the object, or of an embedded object that the delta edits. Where it
        makes, replaces or deletes the embedded object, or the path goes through a list or
        dictionary, it is all that is written to the field above.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeAlias

from replication.crdt import object as obj
from replication.crdt.object import Fields, ObjectState
from replication.query import Query
from replication.query.ast import Field, Operand, Path, StepKind
from replication.query.query import operands_of

#: Names of fields, from the object down.
Way: TypeAlias = tuple[str, ...]

_PLAIN = (obj.COUNTER, obj.SET, obj.DICTIONARY, obj.LIST, obj.TEXT)


def asked_about(query: Query) -> frozenset[Way]:
    """The ways to what decides about an object: as far as names lead, else to all that is there."""
    ways = {_way(each) for part in query.branches for each in operands_of(part)}
    named = {way[0] for way in ways if way}
    return frozenset({way for way in ways if way} | {(name,) for name in query.fields - named})


def _way(operand: Operand) -> Way:
    if isinstance(operand, Path) and operand.name:
        if all(step.kind is StepKind.NAME for step in operand.steps):
            return (operand.name, *(step.name for step in operand.steps))
        return (operand.name,)
    return (operand.name,) if isinstance(operand, Field) else ()


def touches(fields: Fields, ways: Iterable[Way]) -> bool:
    """Whether fields of a delta write to any of what ways lead to."""
    return any(_unit(fields, way, None) for way in ways)


def touched(fields: Fields, ways: Iterable[Way], base: Fields) -> frozenset[Way]:
    """The units that fields of a delta write to of what ways lead to. Rule 1.

    Args:
        base: the fields before.
    """
    found = (_unit(fields, way, base) for way in ways)
    return frozenset(unit for unit in found if unit)


def _unit(fields: Fields, way: Way, base: Fields | None) -> Way:
    name, rest = way[0], way[1:]
    if any(name in group[2] for group in fields.get(obj.REGISTER, ())):
        return (name,)
    if any(name in fields.get(kind, ()) for kind in _PLAIN):
        return (name,)
    held = fields.get(obj.EMBEDDED, {}).get(name)
    if held is None:
        return ()
    if held[0] or not rest:
        return (name,)
    before = None
    if base is not None:
        here = base.get(obj.EMBEDDED, {}).get(name)
        if here is None or here[1:3] != held[1:3]:
            return (name,)
        before = here[3]
    inner = _unit(held[3], rest, before)
    return (name, *inner) if inner else ()


def without(delta: ObjectState, gone: Collection[Way]) -> ObjectState:
    """A delta without what it writes to some units."""
    return [*delta[:3], _left(delta[3], gone)]


def _left(fields: Fields, gone: Collection[Way]) -> Fields:
    names = {way[0] for way in gone if len(way) == 1}
    inside = [way for way in gone if len(way) > 1]
    out: Fields = {}
    for kind, held in fields.items():
        kept: Any = held
        if kind == obj.REGISTER:
            kept = groups_without(held, names)
        elif kind != obj.CONTAINER:
            kept = {name: content for name, content in held.items() if name not in names}
        if kind == obj.EMBEDDED and inside:
            kept = _embedded_left(kept, inside)
        if kept:
            out[kind] = kept
    return out


def _embedded_left(held: dict[str, Any], gone: list[Way]) -> dict[str, Any]:
    out = {}
    for name, state in held.items():
        below = [way[1:] for way in gone if way[0] == name]
        kept = without(state, below) if below else state
        if kept is state or kept[3]:
            out[name] = kept
    return out


def groups_without(groups: list[Any], gone: Collection[str]) -> list[Any]:
    """Registers without some names."""
    out = []
    for group in groups:
        kept = {name: value for name, value in group[2].items() if name not in gone}
        if kept:
            out.append([*group[:2], kept, *group[3:]])
    return out
