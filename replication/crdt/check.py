"""What a well-formed state is: the gate before merge. [STATE]

`unpack_object` and `check_object` accept exactly the structures that merging and writing of this
package produce, so that nothing past this gate can make a merge raise. Everything else is a
DecodeError that says what is wrong.

Rule 1: every map, list, number and value is visited once, here: what `model.encoding` leaves
        open in `unpack_for_check` and its kin is closed here.
Rule 2: ids that cost no bytes (ranges of bare places and of erased elements) are counted before
        anything is made of them: for one changeset together, in a head or part for each chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from reprlib import repr as _short
from typing import Any, Final, TypeAlias

from replication.crdt import object as obj
from replication.crdt.list import expand, id_count, is_canonical
from replication.crdt.register import order_of
from replication.crdt.text import check_text, check_update
from replication.errors import DecodeError, LimitExceededError
from replication.limits import (
    CHANGESET_BYTES_MAX,
    DICTIONARY_KEY_BYTES_MAX,
    IDENT_MAX,
    INT64_MAX,
    INT64_MIN,
    LIST_BARE_IDS_MAX,
    LIST_PART_ELEMENTS_MAX,
    NESTING_MAX,
    PROPERTY_NAME_BYTES_MAX,
    SEQUENCE_MAX,
    TIME_MAX,
)
from replication.model.encoding import (
    VALUE_TYPES,
    check_ascending,
    pack,
    unpack,
    unpack_each_for_check,
    unpack_for_check,
)
from replication.model.values import ERASED, Based, Container

#: A causal length grows by at most 2 a transaction; this many are out of any honest reach.
LENGTH_MAX: Final = 2**40

_Map: TypeAlias = dict[Any, Any]
_FIELD_TYPES: Final = VALUE_TYPES - {type(ERASED)}
_ITEM_TYPES: Final = VALUE_TYPES - {Based}
_ELEMENT_TYPES: Final = _ITEM_TYPES - {type(ERASED)}
_MEMBER_TYPES: Final = _ELEMENT_TYPES - {Container}


class Bounds:
    """What is being checked: a head or part, or the deltas of one changeset.

    Attributes:
        spread: whether lists may be spread over parts (a head) or not (a delta).
        bare_ids: how many ids without bytes of their own the deltas may still name.
    """

    __slots__ = ("bare_ids", "spread")

    def __init__(self, *, spread: bool) -> None:
        self.spread = spread
        self.bare_ids = LIST_BARE_IDS_MAX

    def take(self, bare_ids: int) -> None:
        """Count the bare ids of one chunk. Rule 2."""
        if self.spread:
            if bare_ids > 2 * LIST_PART_ELEMENTS_MAX:  # an id can be a bare place and erased
                raise LimitExceededError(f"{bare_ids} bare places and erased elements in one part")
            return
        self.bare_ids -= bare_ids
        if self.bare_ids < 0:
            raise LimitExceededError(
                f"more than {LIST_BARE_IDS_MAX} bare places and erased elements in one changeset"
            )


_HEAD: Final = Bounds(spread=True)  # which counts nothing, so one will do


def unpack_object(data: bytes, *, spread: bool = False) -> obj.ObjectState:
    """An object state from its bytes: `unpack` and `check_object` in one go, and faster.

    Args:
        spread: whether lists may be spread over parts (a head) or not (a delta).

    Raises:
        DecodeError: bytes that are not the canonical encoding of a well-formed state.
    """
    state: obj.ObjectState = unpack_for_check(data, CHANGESET_BYTES_MAX)
    check_within(state, _HEAD if spread else Bounds(spread=False), NESTING_MAX)
    return state


def unpack_objects(items: list[bytes], *, spread: bool = False) -> list[obj.ObjectState]:
    """Some states from their bytes: `unpack_object` of each, and faster.

    Raises:
        DecodeError: one of them is not the canonical encoding of a well-formed state.
    """
    if max(map(len, items), default=0) > CHANGESET_BYTES_MAX:
        raise LimitExceededError(f"a state of more than {CHANGESET_BYTES_MAX} bytes")
    states: list[obj.ObjectState] = unpack_each_for_check(items)
    for data, state in zip(items, states, strict=True):
        if not (data.startswith(_REGISTERS) and _are_explicit(state[3][obj.REGISTER])):
            check_within(state, _HEAD if spread else Bounds(spread=False), NESTING_MAX)
    return states


#: How most states begin: an object created once, or an edit of one, with nothing but registers.
_REGISTERS: Final = tuple([pack([n, 1, [], {obj.REGISTER: 0}])[:-1] for n in (1, 0)])


def _are_explicit(groups: Any) -> bool:
    """Whether these are well-formed groups of explicit writes; what takes long to say is False."""
    if type(groups) is not list or not groups:
        return False
    last = 0
    count = 0
    for group in groups:
        if type(group) is not list or len(group) != 3:
            return False
        time, origin, writes = group
        if type(time) is not int or not last < time <= TIME_MAX:
            return False
        if type(origin) is not int or not 0 <= origin <= IDENT_MAX:
            return False
        if type(writes) is not dict or not writes:
            return False
        if not _FIELD_TYPES.issuperset(map(type, writes.values())):
            return False
        last = time
        count += len(writes)
    return count <= _NAMES_REMEMBERED and _are_names(tuple([tuple(group[2]) for group in groups]))


@lru_cache(maxsize=1024)
def _are_names(groups: tuple[tuple[Any, ...], ...]) -> bool:
    """Whether these are the names of some groups of writes. How they stand together repeats."""
    for names in groups:
        _check_few_names(names)
    return len({name for names in groups for name in names}) == sum(map(len, groups))


def check_object(state: Any, *, spread: bool = False) -> None:
    """Raise DecodeError unless ``state`` is a well-formed object state or delta."""
    check_within(state, Bounds(spread=spread), NESTING_MAX)


def check_within(state: Any, bounds: Bounds, nesting: int) -> None:
    """The same as a part of something greater.

    Args:
        nesting: how many embedded objects may still stand inside each other.
    """
    if type(state) is not list or len(state) != 4:
        raise DecodeError(f"an object state has 4 items, this one is {_short(state)}")
    length, at, incarnation, fields = state
    if type(length) is not int or not 0 <= length <= LENGTH_MAX:
        raise DecodeError(f"a causal length of {_short(length)}")
    if type(at) is not int or not 0 <= at <= LENGTH_MAX:
        raise DecodeError(f"fields of causal length {_short(at)}")
    if incarnation != []:
        _check_incarnation(incarnation)
    if type(fields) is not dict:
        raise DecodeError(f"fields are a map, these are {_short(fields)}")
    if at == 0:
        if incarnation or fields:
            raise DecodeError("fields that belong to no causal length")
    elif at % 2 == 0:
        raise DecodeError(f"fields of causal length {at}: only odd ones have any")
    elif at < length:
        raise DecodeError(f"fields of causal length {at} in an object of length {length}")
    _check_fields(fields, bounds, nesting)


def _check_fields(fields: _Map, bounds: Bounds, nesting: int) -> None:
    if nesting < 0:
        raise LimitExceededError(f"more than {NESTING_MAX} embedded objects inside each other")
    if len(fields) > 1:
        check_ascending(fields)
    for kind, content in fields.items():
        if kind == obj.REGISTER and type(kind) is int:
            _check_groups(content, _check_names, _FIELD_TYPES)
            continue
        if kind == obj.CONTAINER and type(kind) is int:
            _check_containers(content, bounds, nesting - 1)
            continue
        check_one = _CHECKS.get(kind)
        if check_one is None or type(kind) is not int:
            raise DecodeError(f"kind {_short(kind)} is not in use")
        if type(content) is not dict or not content:
            raise DecodeError(f"what kind {kind} holds is a map, this is {_short(content)}")
        _check_names(content)
        for item in content.values():
            check_one(item, bounds, nesting - 1)


# -- names, keys, members --------------------------------------------------------------------
def _check_names(named: _Map) -> None:
    # The names of a class's fields repeat from object to object.
    if len(named) <= _NAMES_REMEMBERED:
        _check_few_names(tuple(named))
    else:
        check_ascending(named)
        for name in named:
            _check_name(name)


_NAMES_REMEMBERED: Final = 64


@lru_cache(maxsize=1024)
def _check_few_names(names: tuple[Any, ...]) -> None:
    check_ascending(dict.fromkeys(names))
    for name in names:
        _check_name(name)


def _check_name(name: Any) -> None:
    if type(name) is not str or not name:
        raise DecodeError(f"{_short(name)} is no property name")
    if len(name.encode()) > PROPERTY_NAME_BYTES_MAX:
        raise LimitExceededError(
            f"property name {_short(name)} has more than {PROPERTY_NAME_BYTES_MAX} bytes"
        )


def _check_keys(keyed: _Map) -> None:
    check_ascending(keyed)
    for key in keyed:
        _check_key(key)


def _check_key(key: Any) -> None:
    if type(key) is not str:
        raise DecodeError(f"{_short(key)} is no dictionary key")
    if len(key.encode()) > DICTIONARY_KEY_BYTES_MAX:
        raise LimitExceededError(
            f"dictionary key {_short(key)} has more than {DICTIONARY_KEY_BYTES_MAX} bytes"
        )


def _check_members(members: _Map) -> None:
    check_ascending(members)
    for member in members:
        if type(member) is not bytes:
            raise DecodeError(f"a set member is the bytes of a value, this is {_short(member)}")
        _check_value(unpack(member), _MEMBER_TYPES)


# -- values and groups -----------------------------------------------------------------------
def _check_value(value: Any, types: frozenset[type]) -> None:
    if type(value) not in types:
        raise DecodeError(
            f"a value of type {type(value).__name__} can't stand here: {_short(value)}"
        )


def _check_groups(groups: Any, check_names: Callable[[_Map], None], types: frozenset[type]) -> None:
    if type(groups) is not list or not groups:
        raise DecodeError(f"groups are a list that is not empty, these are {_short(groups)}")
    last: Any = None
    for group in groups:
        if type(group) is not list or len(group) not in (3, 5) or type(group[2]) is not dict:
            raise DecodeError(f"{_short(group)} is no group")
        if len(group) == 3:
            _check_stamp(group[0], group[1])
        else:
            _check_default(*group)
        if len(groups) > 1:
            order = order_of(group)
            if last is not None and order <= last:
                raise DecodeError(f"group {_short(group)} is not later than the one before it")
            last = order
        writes = group[2]
        if not writes:
            raise DecodeError("a group without a write")
        check_names(writes)
        if not types.issuperset(map(type, writes.values())):
            _check_value(next(v for v in writes.values() if type(v) not in types), types)
    if len(groups) > 1:
        names = set().union(*(group[2] for group in groups))
        if len(names) != sum(len(group[2]) for group in groups):
            raise DecodeError("a name that stands in two groups")


def _check_default(seen: Any, seen_origin: Any, _writes: _Map, time: Any, origin: Any) -> None:
    _check_stamp(time, origin)
    if type(seen) is not int or seen != 0 or type(seen_origin) is not int or seen_origin != 0:
        _check_stamp(seen, seen_origin)
    if seen >= time:
        raise DecodeError(f"a default of time {time} that saw a write of time {seen}")


# -- kinds -----------------------------------------------------------------------------------
def _check_total(total: Any, _bounds: Bounds, _nesting: int) -> None:
    if type(total) is not int or not INT64_MIN <= total <= INT64_MAX or total == 0:
        raise DecodeError(f"{_short(total)} is no total of a counter")


def _check_set(state: Any, _bounds: Bounds, _nesting: int) -> None:
    _check_collection(state, 2)
    _check_writes(state[1], _check_members, frozenset({bool}))


def _check_dictionary(state: Any, bounds: Bounds, nesting: int) -> None:
    _check_collection(state, 3)
    _check_writes(state[1], _check_keys, _ITEM_TYPES)
    if type(state[2]) is not dict:
        raise DecodeError(f"embedded objects by key are a map, these are {_short(state[2])}")
    _check_keys(state[2])
    for embedded in state[2].values():
        check_within(embedded, bounds, nesting)


def _check_writes(groups: Any, check_names: Callable[[_Map], None], types: frozenset[type]) -> None:
    if groups == []:
        return
    _check_groups(groups, check_names, types)
    if any(len(group) == 5 for group in groups):
        raise DecodeError("a default in a set or dictionary")


def _check_text(state: Any, bounds: Bounds, _nesting: int) -> None:
    check_text(state, spread=bounds.spread)


def _check_containers(containers: Any, bounds: Bounds, nesting: int) -> None:
    if type(containers) is not dict or not containers:
        raise DecodeError(f"containers are a map that is not empty, this is {_short(containers)}")
    check_ascending(containers)
    for name, held in containers.items():
        owner = _check_container_id(name)
        if type(held) is not list or len(held) != 2:
            raise DecodeError(f"a container is a home and its content, this one is {_short(held)}")
        home, content = held
        if home != []:
            _check_home(home)
            if owner is not None and home != [obj.REGISTER, owner]:
                raise DecodeError(f"a default of {owner!r} whose home is {_short(home)}")
        check_content = _check_list if obj.container_kind(name) == obj.LIST else _check_dictionary
        check_content(content, bounds, nesting)


def _check_container_id(name: Any) -> str | None:
    """Returns the property that it is a default of; None if it was minted."""
    items = unpack(name) if type(name) is bytes else None
    if type(items) is not list or len(items) not in (3, 4) or not _is_kind(items[0]):
        raise DecodeError(f"{_short(name)} is no id of a container")
    if len(items) == 3:
        _check_id(items[1], items[2])
        return None
    _, owner, time, origin = items
    _check_name(owner)
    if type(time) is not int or time != 0 or type(origin) is not int or origin != 0:
        _check_stamp(time, origin)
    assert isinstance(owner, str)
    return owner


def _is_kind(kind: Any) -> bool:
    return type(kind) is int and kind in (obj.DICTIONARY, obj.LIST)


def _check_home(home: Any) -> None:
    if type(home) is not list or len(home) not in (2, 3) or type(home[0]) is not int:
        raise DecodeError(f"{_short(home)} is no home of a container")
    kind, slot, *steps = home
    if kind == obj.CONTAINER:
        _check_container_id(slot)
        kind = obj.container_kind(slot)
    else:
        _check_name(slot)
    if kind == obj.DICTIONARY and steps:
        _check_key(steps[0])
    elif kind == obj.LIST and steps and type(steps[0]) is list and len(steps[0]) == 2:
        _check_id(*steps[0])
    elif kind != obj.REGISTER or steps:
        raise DecodeError(f"{_short(home)} is no home of a container")


def _check_list(state: Any, bounds: Bounds, nesting: int) -> None:
    if bounds.spread and type(state) is list and len(state) == 3:
        _check_collection(state, 3)
        _check_directory(state[1], state[2])
        return
    _check_collection(state, 2)
    _check_chunk(state[1], bounds, nesting)


def _check_directory(directory: Any, following: Any) -> None:
    if type(directory) is not list or not directory:
        raise DecodeError(f"{_short(directory)} is no directory of parts")
    _check_number(following, SEQUENCE_MAX, "part number")
    numbers = set()
    last = [-1]
    for entry in directory:
        if type(entry) is not list or len(entry) != 3:
            raise DecodeError(f"{_short(entry)} is no entry of a directory of parts")
        _check_number(entry[0], IDENT_MAX, "file ident")
        _check_number(entry[1], SEQUENCE_MAX, "sequence")
        _check_number(entry[2], following - 1, "part number")
        if entry[:2] <= last:
            raise DecodeError("a directory of parts that does not ascend")
        last = entry[:2]
        numbers.add(entry[2])
    if len(numbers) != len(directory) or directory[0][:2] != [0, 0]:
        raise DecodeError("a directory of parts that names one twice, or not the first")


def check_part(data: bytes) -> None:
    """Raise DecodeError unless ``data`` is a part a list or text may be spread over."""
    chunk = unpack_for_check(data, CHANGESET_BYTES_MAX)
    if type(chunk) is bytes:
        check_update(chunk)
        return
    _check_chunk(chunk, _HEAD, NESTING_MAX - 1)
    ids = id_count(chunk)
    if not 0 < ids <= LIST_PART_ELEMENTS_MAX:
        raise LimitExceededError(f"a part of {ids} elements, not 1 to {LIST_PART_ELEMENTS_MAX}")


def _check_chunk(chunk: Any, bounds: Bounds, nesting: int) -> None:
    if type(chunk) is not list or len(chunk) != 5 or any(type(x) is not list for x in chunk):
        raise DecodeError(f"a chunk has 5 lists, this one is {_short(chunk)}")
    runs, sets, moves, erased, contents = chunk
    bare = 0
    for run in runs:
        _check_run(run)
        bare += run[5] if type(run[5]) is int else 0
    for item in sets:
        _check_entry(item, 5)
        _check_stamp(item[2], item[3])
        _check_value(item[4], _ELEMENT_TYPES)
    for item in moves:
        _check_entry(item, 6)
        _check_stamp(item[2], item[3])
        _check_id(item[4], item[5])
    for item in erased:
        _check_entry(item, 3)
        _check_count(item[1], item[2])
        bare += item[2]
    for item in contents:
        _check_entry(item, 3)
        if type(item[2]) is not dict:
            raise DecodeError(f"{_short(item[2])} are no fields of an embedded object")
        _check_fields(item[2], bounds, nesting)
    bounds.take(bare)
    if not is_canonical(chunk):
        raise DecodeError("a chunk that is not in canonical form")
    if erased:
        elements = expand(chunk)
        known = elements.values.keys() | elements.moves.keys() | elements.contents.keys()
        if elements.erased & known:
            raise DecodeError("an erased element that still has a value, a move or content")


def _check_run(run: Any) -> None:
    _check_entry(run, 6)
    _, sequence, link, time, origin, content = run
    _check_stamp(time, origin)
    if type(link) is list:
        if len(link) != 3 or type(link[2]) is not int or link[2] not in (0, 1):
            raise DecodeError(f"{_short(link)} is no link to a parent")
        # The root, [0, 0], has right children only, and a shorter form for them.
        _check_id(link[0], link[1])
    elif type(link) is not int or abs(link) >= sequence:
        raise DecodeError(f"link {_short(link)} of place {sequence} leads nowhere")
    if type(content) is list:
        _check_count(sequence, len(content))
        for value in content:
            _check_value(value, _ELEMENT_TYPES)
    else:
        _check_count(sequence, content)


def _check_entry(item: Any, length: int) -> None:
    if type(item) is not list or len(item) != length:
        raise DecodeError(f"{_short(item)} has not the {length} items of its kind")
    _check_id(item[0], item[1])


def _check_count(sequence: int, count: Any) -> None:
    if type(count) is not int or not 0 < count <= SEQUENCE_MAX - sequence + 1:
        raise DecodeError(f"{_short(count)} elements from {sequence} on")


# -- stamps and ids --------------------------------------------------------------------------
def _check_collection(state: Any, length: int) -> None:
    if type(state) is not list or len(state) != length:
        raise DecodeError(f"{_short(state)} has not the {length} items of its kind")
    if state[0] != []:
        _check_incarnation(state[0])


def _check_incarnation(incarnation: Any) -> None:
    if type(incarnation) is not list or len(incarnation) != 4:
        raise DecodeError(f"{_short(incarnation)} is no incarnation")
    _check_stamp(incarnation[0], incarnation[1])
    _check_id(incarnation[2], incarnation[3])


def _check_stamp(time: Any, origin: Any) -> None:
    if type(time) is not int or not 0 < time <= TIME_MAX:
        raise DecodeError(f"{_short(time)} is no time")
    if type(origin) is not int or not 0 <= origin <= IDENT_MAX:
        raise DecodeError(f"{_short(origin)} is no file ident")


def _check_id(ident: Any, sequence: Any) -> None:
    _check_number(ident, IDENT_MAX, "file ident")
    _check_number(sequence, SEQUENCE_MAX, "sequence")
    if sequence == 0:
        raise DecodeError("sequences start at 1")


def _check_number(number: Any, most: int, what: str) -> None:
    if type(number) is not int or not 0 <= number <= most:
        raise DecodeError(f"{_short(number)} is no {what}")


_CHECKS: Final[dict[Any, Callable[[Any, Bounds, int], None]]] = {
    obj.COUNTER: _check_total,
    obj.SET: _check_set,
    obj.DICTIONARY: _check_dictionary,
    obj.LIST: _check_list,
    obj.EMBEDDED: check_within,
    obj.TEXT: _check_text,
}
