"""Containers: lists and dictionaries that are values, in mixed properties. [MERGE-CONTAINER]

Whatever may hold a mixed value (a property, an element of a list, a key of a dictionary) refers
to a container by a `Container` value. What is in it lies flat beside the other fields of the same
object, so that a value may nest deeply and no structure does. Under kind 7 (see `object`):

    {id: [home, collection]}

    id          canonical bytes of [kind, ident, sequence], minted by who put it there; of one
                that was set as a default: of [kind, name, seen time, seen origin]
    home        the one place that may show it; [] where only edits of it are known
    collection  a list or dictionary in the form of its kind, incarnation included

    [0, name]                           a property
    [3, name, key]                      a key of a dictionary
    [4, name, [ident, sequence]]        an element of a list
    [7, id, key or [ident, sequence]]   a place in another container

Rule 1: a container belongs to the write that put it there: a later write refers to another one,
        so of two such writes the later wins whole; edits inside of a surviving one merge.
        [MERGE-CONTAINER-1]
Rule 2: the id of a default says what its author saw, so that all devices' defaults over one base
        share one container a kind. [MERGE-CONTAINER-2]
Rule 3: of two homes of one container the one with the lesser canonical bytes stays.
        [MERGE-CONTAINER-3]
Rule 4: a container is shown at its home, while that refers to it, and nowhere else; any other
        reference shows null. Content that nothing shows is kept. So what refers to itself is
        never reached, and nothing is shown twice. [MERGE-CONTAINER-4]
Rule 5: what is more than CONTAINER_NESTING_MAX containers deep shows null. [MERGE-CONTAINER-5]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from replication.crdt import object as obj
from replication.crdt import register
from replication.crdt.incarnation import Collection
from replication.crdt.list import Id
from replication.crdt.parts import Path
from replication.crdt.register import Group
from replication.limits import CONTAINER_NESTING_MAX
from replication.model.encoding import pack
from replication.model.values import Based, Container

#: Where a container stands; see above.
Home: TypeAlias = list[Any]
#: What names a list or dictionary among the fields of an object: a property or a container's id.
Slot: TypeAlias = str | bytes
#: Gives the stored value of an element of a list, None where it has none.
ElementValue: TypeAlias = Callable[[Slot, Id], Any]


def container_id(value: Any) -> bytes | None:
    """The id of the container that a stored value refers to; None for any other value."""
    if type(value) is not Container:
        return None
    return pack([value.kind, value.ident, value.sequence])


def default_id(kind: int, name: str, seen: register.Stamp) -> bytes:
    """The id of what defaults of a property share whose authors saw the write ``seen``. Rule 2."""
    return pack([kind, name, *seen])


def property_container(fields: obj.Fields, name: str) -> bytes | None:
    """The id of the container that a property refers to; None where it holds anything else."""
    group = register.find(fields.get(obj.REGISTER, []), name)
    return None if group is None else group_container(group, name)


def group_container(group: Group, name: str) -> bytes | None:
    """The same for a name in a group of writes."""
    stored = group[2][name]
    value = stored.value if type(stored) is Based else stored
    if type(value) is Container and len(group) == 5 and (value.ident, value.sequence) == (0, 0):
        return default_id(value.kind, name, (group[0], group[1]))
    return container_id(value)


def home_in(slot: Slot, step: str | Id) -> Home:
    """The home of what stands at a key or element of a list or dictionary."""
    here: Any = list(step) if type(step) is tuple else step
    if type(slot) is bytes:
        return [obj.CONTAINER, slot, here]
    return [obj.LIST if type(step) is tuple else obj.DICTIONARY, slot, here]


def content(fields: obj.Fields, name: bytes, home: Home) -> Collection | None:
    """What is in a container that is referred to at ``home``; None where it is not shown there.

    How deep it is, is for the caller to know.
    """
    held = fields.get(obj.CONTAINER, {}).get(name)
    collection: Collection | None = held[1] if held is not None and held[0] == home else None
    return collection


def collection_of(fields: obj.Fields, kind: int, slot: Slot) -> Collection | None:
    """The state of a list or dictionary, of a property or a container; None where none is."""
    if type(slot) is bytes:
        held = fields.get(obj.CONTAINER, {}).get(slot)
        return None if held is None else held[1]
    found: Collection | None = fields.get(kind, {}).get(slot)
    return found


def trail(fields: obj.Fields, name: bytes, element: ElementValue) -> list[Home] | None:
    """The homes on the way to a container, the property's first; None where it is not shown."""
    out: list[Home] = []
    while len(out) < CONTAINER_NESTING_MAX:
        held = fields.get(obj.CONTAINER, {}).get(name)
        if held is None or not held[0] or referred(fields, held[0], element) != name:
            return None
        out.append(held[0])
        if held[0][0] != obj.CONTAINER:
            return out[::-1]
        name = held[0][1]
    return None


def depth(fields: obj.Fields, home: Home) -> int:
    """How many containers the place ``home`` is inside of; more than the limit for a cycle."""
    deep = 0
    while home and home[0] == obj.CONTAINER and deep <= CONTAINER_NESTING_MAX:
        deep += 1
        held = fields.get(obj.CONTAINER, {}).get(home[1])
        home = [] if held is None else held[0]
    return deep


def referred(fields: obj.Fields, home: Home, element: ElementValue) -> bytes | None:
    """The id of the container that the value at a place refers to; None for any other value."""
    kind, slot = home[:2]
    if kind == obj.REGISTER:
        return property_container(fields, slot)
    step = home[2]
    if type(step) is list:
        return container_id(element(slot, (step[0], step[1])))
    dictionary = collection_of(fields, obj.DICTIONARY, slot)
    return None if dictionary is None else container_id(register.read(dictionary[1], step))


def list_path(path: Path, slot: Slot) -> Path:
    """The path to a list of the fields at ``path``, as `parts` spells it."""
    return (*path, obj.CONTAINER if type(slot) is bytes else obj.LIST, slot)


def way_of(homes: list[Home]) -> tuple[Any, ...]:
    """A way down as people name it: names, keys and elements, no ids of containers."""
    out: list[Any] = []
    for kind, slot, *step in homes:
        if kind != obj.CONTAINER:
            out.append(slot)
        out += [(each[0], each[1]) if type(each) is list else each for each in step]
    return tuple(out)
