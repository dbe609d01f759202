"""One state with everything in it: each kind, each place where a time, id or name may stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from made_updates import typed

from replication.crdt import object as obj
from replication.crdt.incarnation import clone
from replication.crdt.register import Stamp
from replication.model.encoding import pack
from replication.model.values import Based, Container

#: How many times stand in it: `full_state(stamp)` asks so often.
STAMPS = 22
#: Which of them name what an author saw.
SEEN = [0, 7]


def full_state(
    stamp: Callable[[int, int], Stamp] = lambda time, origin: (time, origin),
    name: Callable[[int, int], tuple[int, int]] = lambda ident, sequence: (ident, sequence),
    owner: tuple[int, int] = (100, 2),
) -> obj.ObjectState:
    """The state, its stamps and ids renamed on the way; no value in it is an integer.

    Args:
        stamp: the (time, origin) in place of one.
        name: the (ident, sequence) in place of one.
        owner: client and ident of the text.
    """

    def inner(time: int) -> Any:
        return {obj.REGISTER: [[*stamp(time, 2), {"x": f"at {time}"}]]}

    def begun(time: int) -> Any:
        return [*stamp(time, 2), *name(6, time)]

    def text() -> Any:
        client, ident = owner
        return [[[client, ident, 2]], typed(client, 0, None, None, "hi")]

    mixed = pack([obj.LIST, *name(2, 9)])
    shared = pack([obj.DICTIONARY, "def", *stamp(4, 3)])
    contained = [[[*name(2, 60), 0, *stamp(21, 2), ["c"]]], [], [], [], []]
    chunk = [
        [
            [*name(2, 30), 0, *stamp(13, 2), ["p", "q"]],
            [*name(2, 40), [*name(5, 7), 0], *stamp(13, 2), 2],
        ],
        [[*name(2, 40), *stamp(14, 2), "set"]],
        [[*name(2, 30), *stamp(15, 2), *name(2, 41)]],
        [[*name(2, 50), 3]],
        [[*name(2, 31), inner(16)]],
    ]
    fields = {
        obj.REGISTER: [
            [*stamp(4, 3), {"def": Container(obj.DICTIONARY, 0, 0)}, *stamp(6, 2)],
            [*stamp(5, 2), {"a": "b", "n": Based("t", 3)}],
            [*stamp(6, 3), {"mix": Container(obj.LIST, *name(2, 9))}],
        ],
        obj.COUNTER: {"n": 3},
        obj.SET: {"s": [begun(7), [[*stamp(8, 2), {pack("m"): True, pack("no"): False}]]]},
        obj.DICTIONARY: {
            "d": [begun(9), [[*stamp(10, 2), {"k": "v"}]], {"e": [1, 1, begun(11), inner(12)]}]
        },
        obj.LIST: {"l": [begun(12), chunk]},
        obj.EMBEDDED: {"o": [1, 1, begun(17), {**inner(18), obj.TEXT: {"t": text()}}]},
        obj.TEXT: {"t": text()},
        obj.CONTAINER: {
            mixed: [[obj.REGISTER, "mix"], [begun(19), contained]],
            shared: [[obj.REGISTER, "def"], [[], [[*stamp(20, 2), {"in": "it"}]], {}]],
        },
    }
    return [1, 1, [], fields]


Path = tuple[Any, ...]


def nodes(state: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Everything in a structure of lists and maps, with the way to it."""
    yield path, state
    if type(state) is list:
        for at, item in enumerate(state):
            yield from nodes(item, (*path, at))
    elif type(state) is dict:
        for key, item in state.items():
            yield from nodes(item, (*path, key))


def node_at(state: Any, path: Path) -> Any:
    """What is at the end of a way."""
    for step in path:
        state = state[step]
    return state


def with_node(state: Any, path: Path, fresh: Any) -> Any:
    """A copy with something else at one place."""
    if not path:
        return fresh
    out = clone(state)
    node_at(out, path[:-1])[path[-1]] = fresh
    return out


def with_key(state: Any, path: Path, fresh: Any) -> Any:
    """A copy where the last step of a path, a key of a map, is another one, at the same place."""
    held = node_at(state, path[:-1]).items()
    return with_node(
        state, path[:-1], {fresh if key == path[-1] else key: item for key, item in held}
    )
