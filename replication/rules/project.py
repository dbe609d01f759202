"""What is left of an object where only some of its fields may be read.

Rule 1: projecting commutes with merging: the projections of deltas, merged, are the projection of
        the merged state. So whoever is sent projections alone converges. [RULES-HIDE-1]
Rule 2: nothing of a hidden field is left: no value, no member, key or element, no stamp that no
        visible field shares, no part. [RULES-HIDE-2]
Rule 3: a container belongs to the property that its home leads to; one that has no home in a state
        is hidden. Where a delta edits one that is not known here any more, that can't be told:
        `UnknownHomeError`, and the state has to be sent.
Rule 4: an object in a list is looked up like any other. Where the list is spread over parts, those
        of a state are at hand; for a delta that edits a container in it, Rule 3 holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replication.crdt import object as obj
from replication.crdt.list import Id
from replication.crdt.lookup import Here
from replication.crdt.object import Fields, ObjectState
from replication.crdt.parts import Parts
from replication.crdt.register import Groups
from replication.crdt.view import QueryFields
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import ERASED
from replication.rules.access import Access

#: Kinds whose names are readable as a whole or not at all.
_WHOLE = frozenset({obj.COUNTER, obj.SET, obj.TEXT})


class UnknownHomeError(Exception):
    """Rule 3; it never leaves the server."""


def projected_head(head: bytes, access: Access) -> bytes:
    """A head with the readable fields alone."""
    state = unpack_trusted(head)
    return pack(projected(state, access, state))


def projected_delta(delta: bytes, access: Access, now: ObjectState) -> bytes | None:
    """A delta with the readable fields alone; None where nothing is left.

    Args:
        now: the state of the object here, to look up containers in.

    Raises:
        UnknownHomeError: Rule 3.
    """
    state = unpack_trusted(delta)
    fields = projected(state, access, now)
    return pack(fields) if fields[3] or state[0] else None


def is_hidden(delta: bytes, access: Access, now: ObjectState) -> bool:
    """Whether nothing is left of a delta, as far as can be told; see `projected_delta`."""
    try:
        return projected_delta(delta, access, now) is None
    except UnknownHomeError:
        return False


def projected(state: ObjectState, access: Access, now: ObjectState) -> ObjectState:
    """A decoded state or delta with the readable fields alone; `now`: as there."""
    return [*state[:3], _fields(state[3], access, now[3])]


def seen_fields(fields: QueryFields, access: Access) -> QueryFields:
    """What queries see of an object of which some fields may be read; the others are null."""
    held, parts = fields.held, fields.parts
    kept = _fields(held, access, held)
    if parts is None:
        return QueryFields(kept)

    def read(name: bytes) -> bytes | None:
        data = parts.read(name)
        path = unpack_trusted(name)[0]
        return None if data is None else _part(path, 0, data, access, held, parts)

    return QueryFields(kept, Parts(read))


def projected_parts(parts: list[list[Any]], access: Access, state: ObjectState) -> list[list[Any]]:
    """Parts as they travel, [name, version, data], of the readable fields alone.

    Args:
        state: the decoded head, whole.
    """
    out = []
    held = {name: data for name, _, data in parts}
    for name, version, data in parts:
        path = unpack_trusted(name)[0]
        kept = _part(path, 0, data, access, state[3], Parts(held.get))
        if kept is not None:
            out.append([name, version, kept])
    return out


def _fields(fields: Fields, access: Access, base: Fields) -> Fields:
    """Args: base: the fields here."""
    out: Fields = {}
    for kind, held in fields.items():
        kept: Any
        if kind == obj.REGISTER:
            kept = _groups(held, access)
        elif kind == obj.CONTAINER:
            kept = _containers(held, access, base)
        else:
            kept = _named(kind, held, access, base.get(kind) or {})
        if kept:
            out[kind] = kept
    return out


def _groups(groups: Groups, access: Access) -> Groups:
    out = []
    for group in groups:
        kept = {name: value for name, value in group[2].items() if access.of(name).is_all}
        if kept:
            out.append([*group[:2], kept, *group[3:]])
    return out


def _named(kind: int, held: dict[str, Any], access: Access, base: dict[str, Any]) -> dict[str, Any]:
    out = {}
    for name, content in held.items():
        inner = access.of(name)
        if inner.is_all:
            out[name] = content
        elif not inner.is_none and kind not in _WHOLE:
            out[name] = _partly(kind, content, inner, base.get(name))
    return out


def _partly(kind: int, content: Any, access: Access, base: Any) -> Any:
    """An embedded object, or a collection of them, of which some fields are readable."""
    if kind == obj.EMBEDDED:
        return [*content[:3], _fields(content[3], access, base[3] if base else {})]
    if kind == obj.DICTIONARY:
        held = base[2] if base else {}
        items = {
            key: _partly(obj.EMBEDDED, item, access, held.get(key))
            for key, item in content[2].items()
        }
        return [content[0], _erasures(content[1]), items]
    if len(content) != 2:
        return content  # its elements are in parts
    return [content[0], _chunk(content[1], access, _objects_in(base))]


def _objects_in(held: Any) -> dict[Id, Fields]:
    """The objects in a list, as far as they are not in parts."""
    return _objects(held[1]) if held and len(held) == 2 else {}


def _objects(chunk: Any) -> dict[Id, Fields]:
    return {(ident, sequence): fields for ident, sequence, fields in chunk[4]}


def _erasures(groups: Groups) -> Groups:
    """Of the plain values of a dictionary only that keys were removed."""
    out = []
    for group in groups:
        kept = {key: value for key, value in group[2].items() if value is ERASED}
        if kept:
            out.append([*group[:2], kept, *group[3:]])
    return out


def _chunk(chunk: Any, access: Access, base: Mapping[Id, Fields]) -> Any:
    """A list's places and elements stay; of what is in it only objects, in part."""
    runs, sets, moves, erased, contents = chunk
    runs = [[*run[:5], [None] * len(run[5])] if type(run[5]) is list else run for run in runs]
    sets = [[*item[:4], None] for item in sets]
    contents = [
        [ident, sequence, _fields(fields, access, base.get((ident, sequence), {}))]
        for ident, sequence, fields in contents
    ]
    return [runs, sets, moves, erased, contents]


def _containers(held: dict[bytes, Any], access: Access, base: Fields) -> dict[bytes, Any]:
    here = base.get(obj.CONTAINER) or {}
    out = {}
    for name, content in held.items():
        owner = owner_of(name, held, here)
        if owner is None and held is not here:
            raise UnknownHomeError
        if owner is not None and access.of(owner).is_all:
            out[name] = content
    return out


def owner_of(name: bytes, held: dict[bytes, Any], here: dict[bytes, Any]) -> str | None:
    """The property that a container belongs to, as far as is known.

    Args:
        held, here: containers of a delta and of the state, by id.
    """
    seen = set()
    while name not in seen:
        seen.add(name)
        _, *rest = unpack_trusted(name)
        if type(rest[0]) is str:  # of a default
            return rest[0]
        home = _home(name, here) or _home(name, held)  # what a delta says may be a lie
        if not home:
            return None
        if home[0] != obj.CONTAINER:
            owner: str = home[1]
            return owner
        name = home[1]
    return None  # a cycle: it shows nothing


def _home(name: bytes, held: dict[bytes, Any]) -> Any:
    return held[name][0] if name in held else None


def _part(
    path: list[Any], at: int, data: bytes, access: Access, base: Fields | None, parts: Parts | None
) -> bytes | None:
    """What is left of one part; None where it is hidden.

    Args:
        at: where in the path the fields are that `access` and `base` are about.
        base: None for those of an object that is not here.
        parts: the parts as they are, to look up objects in lists. Rule 4.
    """
    kind, slot = path[at : at + 2]
    if kind == obj.CONTAINER:
        containers = (base or {}).get(obj.CONTAINER) or {}
        owner = owner_of(slot, containers, {}) if slot in containers else None
        readable = access.is_all if owner is None else access.of(owner).is_all
        return data if readable else None
    inner = access.of(slot)
    if inner.is_all:
        return data
    if inner.is_none or kind in _WHOLE:
        return None
    held = (base or {}).get(kind, {}).get(slot)
    at += 2
    if kind == obj.EMBEDDED:
        return _part(path, at, data, inner, held and held[3], parts)
    if kind == obj.DICTIONARY:
        item = held and held[2].get(path[at])
        return _part(path, at + 1, data, inner, item and item[3], parts)
    if at == len(path):
        chunk = unpack_trusted(data)
        return pack(_chunk(chunk, inner, _objects(chunk)))
    here = (path[at][0], path[at][1])
    found = Here(held, parts, tuple(path[:at])).about(here).contents.get(here) if held else None
    return _part(path, at + 1, data, inner, found, parts)
