"""What a well-formed state is: the gate before merge. [STATE]

`check_object` accepts exactly the structures that merging and writing of this package produce
(given that their bytes are canonical MessagePack, which `model.encoding.unpack` has seen to), so
that nothing past this gate can make a merge raise. Everything else is a DecodeError that says what
is wrong and where.
"""

from __future__ import annotations

from typing import Any, Final

from replication.crdt import object as obj
from replication.crdt.list import ROOT, contract, expand
from replication.crdt.register import order_of
from replication.errors import DecodeError, LimitExceededError
from replication.limits import (
    DEPTH_MAX,
    DICTIONARY_KEY_BYTES_MAX,
    IDENT_MAX,
    INT64_MAX,
    INT64_MIN,
    LIST_BARE_IDS_MAX,
    LIST_PART_ELEMENTS_MAX,
    PROPERTY_NAME_BYTES_MAX,
    SEQUENCE_MAX,
    TIME_MAX,
)
from replication.model.encoding import is_value, unpack
from replication.model.values import ERASED, Based

#: A causal length grows by at most 2 a transaction; this many are out of any honest reach.
_LENGTH_MAX: Final = 2**40


def check_object(state: Any, *, spread: bool = False, depth: int = DEPTH_MAX) -> None:
    """Raise DecodeError unless ``state`` is a well-formed object state or delta.

    Args:
        spread: whether lists may be spread over parts (a head) or not (a delta).
    """
    if type(state) is not list or len(state) != 4:
        raise DecodeError(f"an object state has 4 items, this one is {_short(state)}")
    length, at, incarnation, fields = state
    if type(length) is not int or not 0 <= length <= _LENGTH_MAX:
        raise DecodeError(f"a causal length of {_short(length)}")
    if type(at) is not int or not 0 <= at <= _LENGTH_MAX or (at and at % 2 == 0):
        raise DecodeError(f"fields of causal length {_short(at)}: only odd ones have any")
    if incarnation:
        _check_incarnation(incarnation)
    elif type(incarnation) is not list:
        raise DecodeError(f"{_short(incarnation)} is no incarnation")
    if at == 0 and (incarnation or fields):
        raise DecodeError("fields that belong to no causal length")
    if at and at < length:
        raise DecodeError(f"fields of causal length {at} in an object of length {length}")
    if type(fields) is not dict:
        raise DecodeError(f"fields are a map, these are {_short(fields)}")
    check_fields(fields, spread=spread, depth=depth)


def check_fields(fields: dict[Any, Any], *, spread: bool, depth: int) -> None:
    """The same for the fields of one object."""
    if depth <= 0:
        raise LimitExceededError(f"objects nested deeper than {DEPTH_MAX}")
    for kind, content in fields.items():
        if kind == obj.REGISTER and type(kind) is int:
            _check_groups(content, _check_name, _check_field)
            continue
        if type(content) is not dict or not content:
            raise DecodeError(f"what kind {_short(kind)} holds is a map, this is {_short(content)}")
        for name in content:
            _check_name(name)
        check_one = _CHECKS.get(kind)
        if check_one is None:
            raise DecodeError(f"kind {_short(kind)} is not in use")
        for item in content.values():
            check_one(item, spread, depth - 1)


def _check_groups(groups: Any, check_name: Any, check_value: Any) -> None:
    if type(groups) is not list or not groups:
        raise DecodeError(f"groups are a list that is not empty, these are {_short(groups)}")
    last: Any = None
    count = 0
    for group in groups:
        if type(group) is not list or len(group) not in (3, 5) or type(group[2]) is not dict:
            raise DecodeError(f"{_short(group)} is no group")
        writes = group[2]
        if len(group) == 3:
            _check_stamp(group[0], group[1])
        else:
            _check_stamp(group[3], group[4])
            if [group[0], group[1]] != [0, 0] or {type(group[0]), type(group[1])} != {int}:
                _check_stamp(group[0], group[1])
        order = order_of(group)
        if last is not None and order <= last:
            raise DecodeError(f"group {_short(group)} is not later than the one before it")
        last = order
        if not writes:
            raise DecodeError("a group without a write")
        count += len(writes)
        for name, value in writes.items():
            check_name(name)
            check_value(value)
    if len(groups) > 1 and count != len({name for group in groups for name in group[2]}):
        raise DecodeError("a name that stands in two groups")


def _check_name(name: Any) -> None:
    if type(name) is not str or not name:
        raise DecodeError(f"{_short(name)} is no property name")
    if len(name) > PROPERTY_NAME_BYTES_MAX or (
        len(name) > PROPERTY_NAME_BYTES_MAX // 4 and len(name.encode()) > PROPERTY_NAME_BYTES_MAX
    ):
        raise LimitExceededError(
            f"property name {_short(name)} has more than {PROPERTY_NAME_BYTES_MAX} bytes"
        )


def _check_field(value: Any) -> None:
    if not is_value(value) or value is ERASED:
        raise DecodeError(f"{_short(value)} is no value of a property")


def _check_dictionary_key(key: Any) -> None:
    if type(key) is not str:
        raise DecodeError(f"{_short(key)} is no dictionary key")
    if len(key.encode()) > DICTIONARY_KEY_BYTES_MAX:
        raise LimitExceededError(
            f"dictionary key {_short(key)} has more than {DICTIONARY_KEY_BYTES_MAX} bytes"
        )


def _check_item(value: Any) -> None:
    if not is_value(value) or type(value) is Based:
        raise DecodeError(f"{_short(value)} is no value of a collection")


def _check_element(value: Any) -> None:
    _check_item(value)
    if value is ERASED:
        raise DecodeError("an erased list element is not marked by its value")


def _check_member(member: Any) -> None:
    if type(member) is not bytes:
        raise DecodeError(f"a set member is the bytes of a value, this is {_short(member)}")
    _check_element(unpack(member))


def _check_present(value: Any) -> None:
    if type(value) is not bool:
        raise DecodeError(f"a set member is there or not, this one is {_short(value)}")


def _check_total(total: Any, _spread: bool, _depth: int) -> None:
    if type(total) is not int or not INT64_MIN <= total <= INT64_MAX or total == 0:
        raise DecodeError(f"{_short(total)} is no total of a counter")


def _check_set(state: Any, _spread: bool, _depth: int) -> None:
    _check_collection(state, 2)
    if state[1] != []:
        _check_groups(state[1], _check_member, _check_present)


def _check_dictionary(state: Any, spread: bool, depth: int) -> None:
    _check_collection(state, 3)
    if state[1] != []:
        _check_groups(state[1], _check_dictionary_key, _check_item)
        if any(len(group) == 5 for group in state[1]):
            raise DecodeError("a default in a dictionary")
    if type(state[2]) is not dict:
        raise DecodeError(f"embedded objects by key are a map, these are {_short(state[2])}")
    for key, embedded in state[2].items():
        _check_dictionary_key(key)
        check_object(embedded, spread=spread, depth=depth)


def _check_embedded(state: Any, spread: bool, depth: int) -> None:
    check_object(state, spread=spread, depth=depth)


def _check_list(state: Any, spread: bool, depth: int) -> None:
    if type(state) is list and len(state) == 3 and spread:
        _check_collection(state, 3)
        _check_directory(state[1], state[2])
        return
    _check_collection(state, 2)
    check_chunk(state[1], spread=spread, depth=depth)


def _check_directory(directory: Any, following: Any) -> None:
    numbers = set()
    last = [-1]
    if type(directory) is not list or not directory or type(following) is not int:
        raise DecodeError(f"{_short(directory)} is no directory of parts")
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
    """Raise DecodeError unless ``data`` is a part a list may be spread over."""
    chunk = unpack(data)
    check_chunk(chunk, spread=True, depth=DEPTH_MAX)
    if len(expand(chunk).ids()) > LIST_PART_ELEMENTS_MAX:
        raise LimitExceededError(f"a part of more than {LIST_PART_ELEMENTS_MAX} elements")


def check_chunk(chunk: Any, *, spread: bool, depth: int) -> None:
    """Raise DecodeError unless ``chunk`` is a chunk of a list in canonical form."""
    if type(chunk) is not list or len(chunk) != 5 or any(type(x) is not list for x in chunk):
        raise DecodeError(f"a chunk has 5 lists, this one is {_short(chunk)}")
    runs, sets, moves, erased, contents = chunk
    bare = 0  # ids that cost no bytes: what `expand` would make of them is bounded first
    for run in runs:
        _check_run(run)
        bare += run[5] if type(run[5]) is int else 0
    for item in sets:
        _check_entry(item, 5)
        _check_stamp(item[2], item[3])
        _check_element(item[4])
    for item in moves:
        _check_entry(item, 6)
        _check_stamp(item[2], item[3])
        _check_id(item[4], item[5])
    for item in erased:
        _check_entry(item, 3)
        _check_count(item[1], item[2])
        bare += item[2]
    if bare > LIST_BARE_IDS_MAX:
        raise LimitExceededError(f"{bare} bare places and erased elements in one chunk")
    for item in contents:
        _check_entry(item, 3)
        if type(item[2]) is not dict:
            raise DecodeError(f"{_short(item[2])} are no fields of an embedded object")
        check_fields(item[2], spread=spread, depth=depth)
    if runs or sets or moves or erased or contents:
        elements = expand(chunk)
        if contract(elements) != chunk:
            raise DecodeError("a chunk that is not in canonical form")
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
        if link[:2] == list(ROOT):
            if link[2] != 0:
                raise DecodeError("the root has a shorter form")
        else:
            _check_id(link[0], link[1])
    elif type(link) is not int or abs(link) >= sequence:
        raise DecodeError(f"link {_short(link)} of place {sequence} leads nowhere")
    if type(content) is list:
        _check_count(sequence, len(content))
        for value in content:
            _check_element(value)
    else:
        _check_count(sequence, content)


def _check_entry(item: Any, length: int) -> None:
    if type(item) is not list or len(item) != length:
        raise DecodeError(f"{_short(item)} has not the {length} items of its kind")
    _check_id(item[0], item[1])


def _check_count(sequence: int, count: Any) -> None:
    if type(count) is not int or not 0 < count <= SEQUENCE_MAX - sequence:
        raise DecodeError(f"{_short(count)} elements from {sequence} on")


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
    _check_number(origin, IDENT_MAX, "file ident")


def _check_id(ident: Any, sequence: Any) -> None:
    _check_number(ident, IDENT_MAX, "file ident")
    _check_number(sequence, SEQUENCE_MAX, "sequence")
    if sequence == 0:
        raise DecodeError("sequences start at 1")


def _check_number(number: Any, most: int, what: str) -> None:
    if type(number) is not int or not 0 <= number <= most:
        raise DecodeError(f"{_short(number)} is no {what}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_CHECKS: Final[dict[Any, Any]] = {
    obj.COUNTER: _check_total,
    obj.SET: _check_set,
    obj.DICTIONARY: _check_dictionary,
    obj.LIST: _check_list,
    obj.EMBEDDED: _check_embedded,
}
