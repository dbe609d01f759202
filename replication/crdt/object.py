"""Objects, top-level and embedded: causal length and fields. [MERGE-OBJ]

State: `[length, at, incarnation, fields]`.

* `length` is the causal length: odd says alive, even says deleted. Only create and delete raise it.
* `fields` belong to the incarnation `(at, incarnation)`. For a top-level object and for an
  embedded one created from null the second is `[]`; assigning over a living embedded object keeps
  the length and starts a new one by stamp.
* alive iff the length is odd and equals `at`. A delta that only edits has length 0.

Rule 1: lengths merge by maximum. [MERGE-OBJ-1]
Rule 2: the fields of the greater `(at, incarnation)` replace those of the lesser whole; equal
        ones merge. [MERGE-OBJ-2]
Rule 3: fields of a length that has been passed can never show again and are dropped
        (`at` 0, incarnation `[]`, no fields). [MERGE-OBJ-3]
Rule 4: fields of a length not reached yet are kept and not shown. [MERGE-OBJ-4]

`fields` maps a kind to what is held under it, so that contradicting writes of different types
stand side by side and the schema says which is shown:
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from replication.crdt.counter import merge_totals
from replication.crdt.dictionary import merge_dictionary
from replication.crdt.list import empty_chunk, merge_list
from replication.crdt.parts import Parts, Path
from replication.crdt.register import merge_groups
from replication.crdt.set import merge_set
from replication.crdt.text import empty_text, merge_text
from replication.model.encoding import pack, sorted_map

#: Plain values, links and mixed: groups. See `register`.
REGISTER: Final = 0
#: {name: total}. See `counter`.
COUNTER: Final = 1
#: {name: set}, {name: dictionary}, {name: list}, {name: embedded object}.
SET: Final = 2
DICTIONARY: Final = 3
LIST: Final = 4
EMBEDDED: Final = 5
#: {name: collaborative text}. See `text`.
TEXT: Final = 6
#: {id: container}: lists and dictionaries inside mixed values. See `container`.
CONTAINER: Final = 7

Fields: TypeAlias = dict[int, Any]
#: [length, at, incarnation, fields]
ObjectState: TypeAlias = list[Any]


def absent() -> ObjectState:
    """The state of an object nobody has written."""
    return [0, 0, [], {}]


def is_deleted(state: ObjectState) -> bool:
    """Whether the object was there and is deleted."""
    length: int = state[0]
    return length > 0 and length % 2 == 0


def is_alive(state: ObjectState) -> bool:
    """Whether a reader sees the object."""
    length: int = state[0]
    return length == state[1] and length % 2 == 1


#: Kinds of which nothing is ever spread over parts.
_WITHOUT_PARTS: Final = frozenset({REGISTER, COUNTER, SET})


def may_have_parts(fields: Fields) -> bool:
    """Whether anything of an object with these fields may be spread over parts, or come to be."""
    return not _WITHOUT_PARTS.issuperset(fields)


def merge(state: ObjectState, delta: ObjectState, parts: Parts | None = None) -> ObjectState:
    """The merge function: Rules 1 to 4, for a top-level object.

    Args:
        parts: where the parts of ``state`` are; needed once any list of it is spread over parts.
    """
    return merge_object(state, delta, parts, ())


def merge_all(deltas: list[ObjectState]) -> ObjectState:
    """Some deltas as one; consumes them.

    Neighbours are merged until one is left, so that none of them is merged with more than as much
    again: many small ones take little longer than one large one.
    """
    while len(deltas) > 1:
        pairs = zip(deltas[::2], deltas[1::2], strict=False)
        deltas = [merge(left, right) for left, right in pairs] + deltas[len(deltas) & ~1 :]
    return deltas[0]


def merge_object(
    state: ObjectState, delta: ObjectState, parts: Parts | None, path: Path
) -> ObjectState:
    """The same for an object at a path inside another one. A delta is never spread over parts."""
    held, theirs = (state[1], state[2]), (delta[1], delta[2])
    if theirs > held:
        if parts is not None and state[3]:
            parts.drop(path)
        state[1], state[2] = delta[1], list(delta[2])
        # Merged into nothing rather than copied, so that long lists are spread over parts.
        state[3] = merge_fields({}, delta[3], parts, path)
    elif theirs == held and delta[3]:
        state[3] = merge_fields(state[3], delta[3], parts, path)
    state[0] = max(state[0], delta[0])
    if state[1] < state[0]:
        if parts is not None and state[3]:
            parts.drop(path)
        state[1], state[2], state[3] = 0, [], {}
    return state


def merge_fields(state: Fields, delta: Fields, parts: Parts | None, path: Path) -> Fields:
    """Kind by kind, name by name."""
    fresh = False
    for kind, news in delta.items():
        held = state.get(kind)
        fresh = fresh or held is None
        if kind == REGISTER:
            state[REGISTER] = merge_groups(held or [], news)
        elif kind == COUNTER:
            state[COUNTER] = merge_totals(held or {}, news)
            if not state[COUNTER]:
                del state[COUNTER]
        elif kind == EMBEDDED:
            state[EMBEDDED] = merge_objects(held or {}, news, parts, (*path, EMBEDDED))
        elif kind == CONTAINER:
            state[CONTAINER] = merge_containers(held or {}, news, parts, (*path, CONTAINER))
        else:
            state[kind] = _merge_collections(kind, held or {}, news, parts, (*path, kind))
    return sorted_map(state) if fresh else state


def merge_objects(
    state: dict[str, ObjectState], delta: dict[str, ObjectState], parts: Parts | None, path: Path
) -> dict[str, ObjectState]:
    """Embedded objects by name or key."""
    known = len(state)
    for name, news in delta.items():
        state[name] = merge_object(state.get(name) or absent(), news, parts, (*path, name))
    return state if len(state) == known else sorted_map(state)


def _merge_collections(
    kind: int, state: dict[str, Any], delta: dict[str, Any], parts: Parts | None, path: Path
) -> dict[str, Any]:
    known = len(state)
    for name, news in delta.items():
        here = (*path, name)
        if kind == LIST:
            state[name] = merge_list(state.get(name) or empty_collection(LIST), news, parts, here)
        elif kind == TEXT:
            state[name] = merge_text(state.get(name) or empty_text(), news, parts, here)
        elif kind == SET:
            state[name] = merge_set(state.get(name) or [[], []], news)
        else:
            state[name] = merge_dictionary(state.get(name) or [[], [], {}], news, parts, here)
    return state if len(state) == known else sorted_map(state)


def merge_containers(
    state: dict[bytes, Any], delta: dict[bytes, Any], parts: Parts | None, path: Path
) -> dict[bytes, Any]:
    """Containers by id: the home, then the content as its kind merges."""
    known = len(state)
    for name, (home, news) in delta.items():
        held = state.get(name)
        kind = container_kind(name)
        if held is None:
            held = state[name] = [[], empty_collection(kind)]
        if home and (not held[0] or pack(home) < pack(held[0])):
            held[0] = home
        merge_content = merge_list if kind == LIST else merge_dictionary
        held[1] = merge_content(held[1], news, parts, (*path, name))
    return state if len(state) == known else sorted_map(state)


def container_kind(name: bytes) -> int:
    """The kind of the container of that id: LIST or DICTIONARY."""
    return name[1]  # behind the header of an array: a small integer is its own byte


def empty_collection(kind: int) -> list[Any]:
    """What a list or dictionary is before anybody wrote into it."""
    return [[], empty_chunk()] if kind == LIST else [[], [], {}]
