"""Forgetting: what is dead leaves the state, and a reader sees what it saw before. [FORGET]

Merging needs what was deleted only as long as somebody may write who has not seen the deletion.
Past that, `forget` drops it, and `rebase.py` fits what a device had pending to what is left.

Rule 1: of a list, a place that no element stands at is *dead*. A dead place without children is
        dropped; one with exactly one child is replaced by that child, which takes over its parent,
        side and stamp; until there is none of either left. [FORGET-1] [FORGET-2]
Rule 2: a dead place stays where a sibling on its side has its stamp: the child's id could stand
        on another side of that sibling's. So do places not reachable from the root. [FORGET-3]
Rule 3: of what was erased, the record goes with the place. [FORGET-4]
Rule 4: removed members of sets and keys of dictionaries are dropped. [FORGET-5]
Rule 5: containers that nothing refers to are dropped: of two writes the later one wins whole, so
        they can't come back. Those of defaults can, while a default over the same write is what
        their property has: they stay as long. [FORGET-10]
Rule 6: lengths and incarnations stay, so that a new life is told from the old one. [FORGET-6]

What shows stays, and doing it again changes nothing. [FORGET-7] [FORGET-8]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from replication.crdt import object as obj
from replication.crdt.container import Slot, container_id, default_id, group_container, home_in
from replication.crdt.incarnation import Collection
from replication.crdt.list import Elements, Id, Place, all_elements, respread
from replication.crdt.parts import Parts, Path
from replication.crdt.register import Group, flat
from replication.crdt.sequence import Children, children_of, preorder
from replication.model.encoding import sorted_map
from replication.model.values import ERASED


def forget(state: obj.ObjectState, parts: Parts | None = None) -> obj.ObjectState:
    """The state without what is dead: Rules 1 to 6. Idempotent; consumes ``state``.

    Args:
        parts: where the parts of ``state`` are; needed where a list of it is spread over parts.
    """
    _forget_object(state, parts, ())
    return state


def _forget_object(state: obj.ObjectState, parts: Parts | None, path: Path) -> None:
    state[3] = forget_fields(state[3], parts, path)


def forget_fields(fields: obj.Fields, parts: Parts | None = None, path: Path = ()) -> obj.Fields:
    """The same for the fields of one object; consumes them."""
    for kind, held in fields.items():
        here = (*path, kind)
        if kind == obj.SET:
            for members in held.values():
                members[1] = _without(members[1], False)
        elif kind == obj.EMBEDDED:
            for name, state in held.items():
                _forget_object(state, parts, (*here, name))
        elif kind == obj.DICTIONARY:
            for name, items in held.items():
                _forget_items(items, parts, (*here, name))
        elif kind == obj.LIST:
            for name, state in held.items():
                held[name] = _forget_list(state, parts, (*here, name))
    if obj.CONTAINER in fields:
        _forget_containers(fields, parts, (*path, obj.CONTAINER))
    return fields


def _forget_containers(fields: obj.Fields, parts: Parts | None, path: Path) -> None:
    """Rule 5, then the other rules for what is in the containers that stay."""
    held = fields.pop(obj.CONTAINER)
    kept = {}
    todo = [name for name, (home, _) in held.items() if not home]
    for kind in (obj.REGISTER, obj.DICTIONARY, obj.LIST):
        todo += _references(kind, fields.get(kind, {}), held, parts, path[:-1])
    while todo:
        name = todo.pop()
        if name in kept:
            continue
        home, collection = held[name]
        kind = obj.container_kind(name)
        if kind == obj.LIST:
            collection = _forget_list(collection, parts, (*path, name))
        else:
            _forget_items(collection, parts, (*path, name))
        kept[name] = [home, collection]
        todo += _references(kind, {name: collection}, held, parts, path)
    for name in held.keys() - kept.keys():
        if parts is not None:
            parts.drop((*path, name))
    if kept:
        fields[obj.CONTAINER] = sorted_map(kept)


def _references(
    kind: int, named: Any, held: dict[bytes, Any], parts: Parts | None, path: Path
) -> Iterator[bytes]:
    """The containers that values of one kind refer to from their homes."""
    found: Iterable[tuple[list[Any], bytes | None]]
    if kind == obj.REGISTER:
        found = (
            ([kind, name], slot)
            for group in named
            for name in group[2]
            for slot in _kept_by(group, name)
        )
    else:
        found = (each for slot in named for each in _inner(kind, slot, named[slot], parts, path))
    for home, name in found:
        if name is not None and name in held and held[name][0] == home:
            yield name


def _kept_by(group: Group, name: str) -> list[bytes | None]:
    """The containers that a write to a property keeps: the one it refers to, if any.

    A default also keeps what later ones over the same write can refer to again: they share one
    container a kind.
    """
    out = [group_container(group, name)]
    if len(group) == 5:
        out += [default_id(kind, name, (group[0], group[1])) for kind in (obj.DICTIONARY, obj.LIST)]
    return out


def _inner(
    kind: int, slot: Slot, state: Any, parts: Parts | None, path: Path
) -> list[tuple[list[Any], bytes | None]]:
    if kind == obj.DICTIONARY:
        items: Iterable[tuple[Any, Any]] = flat(state[1]).items()
    else:
        here = (*path, slot) if type(slot) is bytes else (*path, kind, slot)
        values = all_elements(state, parts, here).values
        items = ((here, value) for here, (_, _, value) in values.items())
    return [(home_in(slot, step), container_id(value)) for step, value in items]


def _forget_items(items: Collection, parts: Parts | None, path: Path) -> None:
    items[1] = _without(items[1], ERASED)
    for key, state in items[2].items():
        _forget_object(state, parts, (*path, key))


def _without(groups: list[Any], gone: Any) -> list[Any]:
    """Groups of a set or dictionary, which has no defaults, without the writes of one value."""
    out = []
    for time, origin, writes in groups:
        kept = {name: value for name, value in writes.items() if value is not gone}
        if kept:
            out.append([time, origin, kept])
    return out


def _forget_list(state: Any, parts: Parts | None, path: Path) -> Any:
    elements = all_elements(state, parts, path)
    for here, fields in elements.contents.items():
        elements.contents[here] = forget_fields(fields, parts, (*path, here))
    forget_elements(elements)
    return respread(state, elements, parts, path)


def forget_elements(elements: Elements) -> None:
    """Rules 1 to 3 for the elements of one list, in place."""
    places = elements.places
    children = children_of(places)
    order = preorder(children)  # what is not reachable stays: Rule 2
    standing = {
        elements.moves[here][2] if here in elements.moves else here
        for here in (*elements.values, *elements.moves, *elements.contents)
    }
    _drop_leaves(places, order, standing)
    _replace_by_child(places, order, standing, children)
    elements.erased &= places.keys()


def _drop_leaves(places: dict[Id, Place], order: list[Id], standing: set[Id]) -> None:
    """Drop dead places with nothing but dead places below them."""
    needed: set[Id] = set()
    for here in reversed(order):
        if here in standing or here in needed:
            needed.add(places[here][0])
        else:
            del places[here]


def _replace_by_child(
    places: dict[Id, Place], order: list[Id], standing: set[Id], children: Children
) -> None:
    """Replace dead places with one child by that child."""
    shared = Counter(places.values())
    successor: dict[Id, Id] = {}  # of a replaced place: who took its place
    for here in reversed(order):
        if here in standing or here not in places or shared[places[here]] > 1:
            continue
        left, right = children.get(here, ((), ()))
        below = [successor.get(child, child) for child in (*left, *right)]
        kept = [child for child in below if child in places]
        if len(kept) == 1:
            successor[here] = kept[0]
            places[kept[0]] = places.pop(here)
