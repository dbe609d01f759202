"""An object as a whole: its head together with the parts of its long lists. [STATE-WHOLE]

*Canonical state* is the head with every list in one piece. Two replicas that merged the same deltas
have equal canonical states, however the lists are spread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from replication.crdt import object as obj
from replication.crdt.check import check_part
from replication.crdt.incarnation import clone
from replication.crdt.list import all_elements, contract, expand
from replication.crdt.parts import Parts, Path, part_name
from replication.crdt.text import check_text_parts, whole_text
from replication.errors import DecodeError
from replication.model.encoding import unpack_trusted

#: Kinds whose content can be spread over parts, or hold what can.
_WITH_PARTS: Final = (obj.DICTIONARY, obj.LIST, obj.EMBEDDED, obj.TEXT, obj.CONTAINER)


def joined(state: obj.ObjectState, parts: Parts | None = None, path: Path = ()) -> obj.ObjectState:
    """The canonical state: a copy of ``state`` with no list spread over parts."""
    return [*state[:2], list(state[2]), joined_fields(state[3], parts, path)]


def joined_fields(fields: obj.Fields, parts: Parts | None, path: Path) -> obj.Fields:
    """The same for the fields of one object."""
    out: obj.Fields = {}
    for kind, held in fields.items():
        here = (*path, kind)
        if kind == obj.REGISTER:
            out[kind] = _groups(held)
        elif kind == obj.COUNTER:
            out[kind] = dict(held)
        elif kind == obj.EMBEDDED:
            out[kind] = {name: joined(state, parts, (*here, name)) for name, state in held.items()}
        elif kind == obj.CONTAINER:
            out[kind] = {
                name: [
                    clone(home),
                    _collection(obj.container_kind(name), content, parts, (*here, name)),
                ]
                for name, (home, content) in held.items()
            }
        else:
            out[kind] = {
                name: _collection(kind, state, parts, (*here, name)) for name, state in held.items()
            }
    return out


def _collection(kind: int, state: Any, parts: Parts | None, path: Path) -> Any:
    if kind == obj.TEXT:
        return whole_text(state, parts, path)
    if kind == obj.SET:
        return [list(state[0]), _groups(state[1])]
    if kind == obj.DICTIONARY:
        embedded = {key: joined(held, parts, (*path, key)) for key, held in state[2].items()}
        return [list(state[0]), _groups(state[1]), embedded]
    elements = all_elements(state, parts, path)
    elements.contents = {
        here: joined_fields(fields, parts, (*path, here))
        for here, fields in elements.contents.items()
    }
    return [list(state[0]), contract(elements)]


def _groups(groups: list[Any]) -> list[Any]:
    return [[*group[:2], dict(group[2]), *group[3:]] for group in groups]


def check_parts(state: obj.ObjectState, parts: Parts) -> set[bytes]:
    """The names of all parts that a checked head needs.

    Raises:
        DecodeError: one is missing, malformed, or about ids that are not its own.
    """
    return set(_parts_of(state[3], parts, ()))


def _parts_of(fields: obj.Fields, parts: Parts, path: Path) -> Iterator[bytes]:
    for kind, held in fields.items():
        if kind not in _WITH_PARTS:
            continue
        for name, state in held.items():
            here = (*path, kind, name)
            of = kind
            if kind == obj.CONTAINER:
                of, state = obj.container_kind(name), state[1]
            if of == obj.EMBEDDED:
                yield from _parts_of(state[3], parts, here)
            elif of == obj.TEXT:
                if len(state) == 4:
                    yield from check_text_parts(state, parts, here)
            elif of == obj.DICTIONARY:
                for key, embedded in state[2].items():
                    yield from _parts_of(embedded[3], parts, (*here, key))
            else:
                yield from _parts_of_list(state, parts, here)


def _parts_of_list(state: Any, parts: Parts, path: Path) -> Iterator[bytes]:
    chunks = [state[1]] if len(state) == 2 else []
    if len(state) == 3:
        bounds = [tuple(entry[:2]) for entry in state[1]]
        for at, (*_, number) in enumerate(state[1]):
            name = part_name(path, state[0], number)
            data = parts.read(name)
            if data is None:
                raise DecodeError(f"part {number} of {path!r} is missing")
            check_part(data)
            chunk = unpack_trusted(data)
            ids = expand(chunk).ids()
            if min(ids) < bounds[at] or (at + 1 < len(bounds) and max(ids) >= bounds[at + 1]):
                raise DecodeError(f"part {number} of {path!r} is about ids of another part")
            chunks.append(chunk)
            yield name
    for chunk in chunks:
        for ident, sequence, fields in chunk[4]:
            yield from _parts_of(fields, parts, (*path, (ident, sequence)))
