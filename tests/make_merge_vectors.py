"""The vectors of the page on merging: histories of one object, as people write them.

What devices do is written by hand here, and so is what Realm makes of it; what comes of it is what
the implementation does, and is read by people before it is committed.
"""

from __future__ import annotations

from itertools import count
from typing import Any, Final, TypeAlias

from vector_operations import replayed, shown

from replication.crdt.object import absent, merge
from replication.model.encoding import pack

Vector: TypeAlias = dict[str, Any]
Operation: TypeAlias = tuple[Any, ...]
#: Nothing is said of what Realm shows.
UNKNOWN: Final = object()
#: Ids of a file start at 1 in its first transaction, at 11 in its second.
SEQUENCES_EACH: Final = 10


def tx(time: int, origin: int, *operations: Operation, saw: tuple[int, ...] = (0,)) -> Vector:
    """One transaction, of a device that saw some earlier ones (by position)."""
    return {
        "stamp": [time, origin],
        "saw": list(saw),
        "operations": [list(operation) for operation in operations],
    }


def base(*operations: Operation) -> Vector:
    """The first transaction, which creates what the others saw."""
    return tx(1, 2, ("create_object",), *operations, saw=())


def history(name: str, covers: list[str], *transactions: Vector, realm: Any = UNKNOWN) -> Vector:
    """A vector.

    Args:
        realm: what Realm shows, or says, of the same history; a text where it depends.
    """
    sequences: dict[int, Any] = {}
    written = []
    for transaction in transactions:
        fresh = sequences.setdefault(transaction["stamp"][1], count(1, SEQUENCES_EACH))
        written.append({**transaction, "sequence": next(fresh)})
    deltas = replayed(written)
    state = absent()
    for delta, transaction in zip(deltas, written, strict=True):
        transaction["delta"] = pack(delta).hex()
        state = merge(state, delta)
    out = {"name": f"concurrent/{name}", "covers": covers, "transactions": written}
    out |= {"merged": pack(state).hex(), "shows": shown(state)}
    if realm is not UNKNOWN:
        out["realm"] = realm
    return out


def concurrent() -> list[Vector]:
    """All of them, type by type."""
    return [
        *_objects(),
        *_registers(),
        *_counters(),
        *_sets(),
        *_dictionaries(),
        *_embedded(),
        *_elements(),
        *_order(),
        *_cleared_lists(),
        *_containers(),
    ]


def _objects() -> list[Vector]:
    create, delete = ("create_object",), ("delete_object",)
    one = base(("set", "a", 1))
    return [
        history("an object created twice", ["MERGE-OBJ-2", "MERGE-REG-1"],
                tx(5, 2, create, ("set", "a", 1), ("set", "b", 1), saw=()),
                tx(6, 3, create, ("set", "a", 2), ("set", "c", 3), saw=()),
                realm={"a": 2, "b": 1, "c": 3}),
        history("an object deleted, and edited later", ["MERGE-OBJ-1", "MERGE-OBJ-3"], one,
                tx(5, 3, delete), tx(9, 4, ("set", "a", 2)), realm=None),
        history("an object deleted twice", ["MERGE-OBJ-1"], one, tx(5, 3, delete),
                tx(9, 4, delete), realm=None),
        history("an object deleted, and replaced later", ["MERGE-OBJ-1", "MERGE-OBJ-2"], one,
                tx(5, 3, delete), tx(9, 4, delete, create, ("set", "a", 2)),
                realm={"a": 2}),
        history("an object replaced, and deleted later", ["MERGE-OBJ-1", "MERGE-OBJ-4"], one,
                tx(5, 3, delete, create, ("set", "a", 2)), tx(9, 4, delete),
                realm=None),
        history("an object deleted, and created again later", ["MERGE-OBJ-1", "EDIT-3"], one,
                tx(5, 4, delete), tx(3, 3, delete),
                tx(9, 3, create, ("set", "a", 2), saw=(0, 2)), realm=None),
        history("an object replaced, and edited later", ["MERGE-OBJ-2", "MERGE-OBJ-3"], one,
                tx(5, 3, delete, create, ("set", "b", 2)), tx(9, 4, ("set", "a", 3)),
                realm={"b": 2}),
        history("an object replaced twice", ["MERGE-OBJ-2", "EDIT-3"], one,
                tx(5, 3, delete, create, ("set", "b", 1)),
                tx(9, 4, delete, create, ("set", "a", 2)), realm={"a": 2}),
        history("a link to an object that is deleted", ["MERGE-REG-1"],
                base(("set", "to", {"$link": ["Book", 7]})), tx(5, 3, ("set", "a", 1)),
                realm="null, where the target was deleted by a device that held both"),
    ]  # fmt: skip


def _registers() -> list[Vector]:
    empty, one = base(), base(("set", "a", 1))
    return [
        history("two writes", ["MERGE-REG-1"], one, tx(5, 3, ("set", "a", 2)),
                tx(9, 4, ("set", "a", 3)),
                realm={"a": 3}),
        history("two writes at one time", ["MERGE-REG-1"], one, tx(5, 3, ("set", "a", 2)),
                tx(5, 4, ("set", "a", 3)),
                realm={"a": 3}),
        history("writes to two names", ["MERGE-REG-1", "MERGE-REG-3"], one,
                tx(5, 3, ("set", "a", 2)), tx(9, 4, ("set", "b", 3)),
                realm={"a": 2, "b": 3}),
        history("null is a value", ["MERGE-REG-1"], one, tx(5, 3, ("set", "a", 2)),
                tx(9, 4, ("set", "a", None)),
                realm={"a": None}),
        history("a default after an earlier write", ["MERGE-REG-1", "MERGE-REG-2"], empty,
                tx(5, 3, ("set", "a", 1)), tx(9, 4, ("set_default", "a", 2)),
                realm={"a": 1}),
        history("two defaults", ["MERGE-REG-1", "MERGE-REG-2"], empty,
                tx(5, 3, ("set_default", "a", 1)), tx(9, 4, ("set_default", "a", 2)),
                realm={"a": 2}),
        history("a default over a write its author saw", ["MERGE-REG-1", "MERGE-REG-2"], one,
                tx(9, 4, ("set_default", "a", 2)), tx(5, 3, ("set", "a", 3)),
                realm={"a": 3}),
    ]  # fmt: skip


def _counters() -> list[Vector]:
    zero = base(("set", "n", 0))
    return [
        history("two increments", ["MERGE-COUNTER-1"], zero, tx(5, 3, ("add", "n", 5)),
                tx(9, 4, ("add", "n", 4)),
                realm={"n": 9}),
        history("an increment after an earlier set", ["MERGE-COUNTER-2"], zero,
                tx(5, 3, ("set", "n", 100)), tx(9, 4, ("add", "n", 3)),
                realm={"n": 103}),
        history("an increment before a later set", ["MERGE-COUNTER-2"], zero,
                tx(5, 3, ("add", "n", 3)), tx(9, 4, ("set", "n", 100)), realm={"n": 100}),
        history("an increment its setter saw", ["MERGE-COUNTER-2"], zero,
                tx(5, 3, ("add", "n", 3)), tx(9, 4, ("set", "n", 100), saw=(0, 1)),
                tx(7, 2, ("add", "n", 1)), realm={"n": 100}),
        history("an increment, null and a set", ["MERGE-COUNTER-3", "MERGE-COUNTER-2"], zero,
                tx(2, 3, ("set", "n", None)), tx(5, 4, ("add", "n", 1)),
                tx(4, 5, ("set", "n", 10)),
                realm={"n": 11}),
        history("an increment and null", ["MERGE-COUNTER-3"], zero, tx(5, 3, ("set", "n", None)),
                tx(9, 4, ("add", "n", 1)),
                realm={"n": None}),
        history("an increment on what became text", ["MERGE-COUNTER-3"], zero,
                tx(5, 3, ("set", "n", "x")), tx(9, 4, ("add", "n", 1)),
                realm={"n": "x"}),
        history("an increment and two defaults", ["MERGE-COUNTER-2", "MERGE-REG-2"], base(),
                tx(3, 3, ("set_default", "n", 1)), tx(4, 4, ("set_default", "n", 10)),
                tx(5, 5, ("add", "n", 1)),
                realm={"n": 11}),
    ]  # fmt: skip


def _sets() -> list[Vector]:
    two = base(("insert", "s", 1), ("insert", "s", 2))
    return [
        history("a member inserted twice", ["MERGE-SET-1"], base(), tx(5, 3, ("insert", "s", 1)),
                tx(9, 4, ("insert", "s", 1)),
                realm={"s": [1]}),
        history("a member removed twice", ["MERGE-SET-1"], two, tx(5, 3, ("remove", "s", 1)),
                tx(9, 4, ("remove", "s", 1)),
                realm={"s": [2]}),
        history("a member removed, and inserted later", ["MERGE-SET-1"], two,
                tx(5, 3, ("remove", "s", 1)), tx(9, 4, ("insert", "s", 1)),
                realm={"s": [1, 2]}),
        history("a member inserted, and removed later", ["MERGE-SET-1"], two,
                tx(5, 3, ("insert", "s", 1)), tx(9, 4, ("remove", "s", 1)),
                realm={"s": [2]}),
        history("members of two devices", ["MERGE-SET-1"], base(),
                tx(5, 3, ("insert", "s", 999), ("insert", "s", "Hello")),
                tx(9, 4, ("insert", "s", 999), ("insert", "s", "World"), ("remove", "s", 999)),
                realm={"s": ["Hello", "World"]}),
        history("a set cleared, and a later member", ["MERGE-INC-1"], two,
                tx(5, 3, ("clear_set", "s")), tx(9, 4, ("insert", "s", 3)),
                realm={"s": []}),
        history("a set assigned twice", ["MERGE-INC-1"], two,
                tx(5, 3, ("clear_set", "s"), ("insert", "s", 3)),
                tx(9, 4, ("clear_set", "s"), ("insert", "s", 4)),
                realm={"s": [4]}),
    ]  # fmt: skip


def _dictionaries() -> list[Vector]:
    two = base(("put", "d", "k", 1), ("put", "d", "j", 1))
    person = base(("create_item", "d", "k"), ("set_in_item", "d", "k", "a", 1))
    return [
        history("two keys", ["MERGE-DICT-1"], two, tx(5, 3, ("put", "d", "k", 2)),
                tx(9, 4, ("put", "d", "i", 3)),
                realm={"d": {"i": 3, "j": 1, "k": 2}}),
        history("one key written twice", ["MERGE-DICT-1"], two, tx(5, 3, ("put", "d", "k", 2)),
                tx(9, 4, ("put", "d", "k", 3)),
                realm={"d": {"j": 1, "k": 3}}),
        history("a key removed, and written later", ["MERGE-DICT-1"], two,
                tx(5, 3, ("erase_key", "d", "k")), tx(9, 4, ("put", "d", "k", 2)),
                realm={"d": {"j": 1, "k": 2}}),
        history("a key written, and removed later", ["MERGE-DICT-1"], two,
                tx(5, 3, ("put", "d", "k", 2)), tx(9, 4, ("erase_key", "d", "k")),
                realm={"d": {"j": 1}}),
        history("a dictionary cleared, and a later key", ["MERGE-INC-1"], two,
                tx(5, 3, ("clear_dictionary", "d")), tx(9, 4, ("put", "d", "i", 2)),
                realm={"d": {}}),
        history("a dictionary assigned twice", ["MERGE-INC-1"], two,
                tx(5, 3, ("clear_dictionary", "d"), ("put", "d", "a", 1)),
                tx(9, 4, ("clear_dictionary", "d"), ("put", "d", "b", 2)),
                realm={"d": {"b": 2}}),
        history("an object at a key removed, and edited later", ["MERGE-DICT-2"], person,
                tx(5, 3, ("erase_item", "d", "k")), tx(9, 4, ("set_in_item", "d", "k", "a", 2)),
                realm={"d": {}}),
        history("objects at one key", ["MERGE-DICT-2"], base(),
                tx(5, 3, ("create_item", "d", "k"), ("set_in_item", "d", "k", "a", 1)),
                tx(9, 4, ("create_item", "d", "k"), ("set_in_item", "d", "k", "b", 2))),
    ]  # fmt: skip


def _embedded() -> list[Vector]:
    create, null = ("create", "e"), ("null", "e")
    held = base(create, ("set_in", "e", "i", 5))
    return [
        history("an embedded object created twice", ["MERGE-OBJ-2"], base(),
                tx(5, 3, create, ("set_in", "e", "i", 1)),
                tx(9, 4, create, ("set_in", "e", "j", 2)),
                realm={"e": {"i": 1, "j": 2}}),
        history("two edits in an embedded object", ["MERGE-OBJ-2", "MERGE-REG-1"], held,
                tx(5, 3, ("set_in", "e", "i", 1)), tx(9, 4, ("set_in", "e", "j", 2)),
                realm={"e": {"i": 1, "j": 2}}),
        history("an embedded object set to null, and edited later", ["MERGE-OBJ-1"], held,
                tx(5, 3, null), tx(9, 4, ("set_in", "e", "i", 10)),
                realm={"e": None}),
        history("null, and a later embedded object", ["MERGE-OBJ-1"],
                tx(5, 3, ("create_object",), null, saw=()),
                tx(9, 4, ("create_object",), create, ("set_in", "e", "i", 5), saw=()),
                realm={"e": None}),
        history("an embedded object set to null and created, and edited later",
                ["MERGE-OBJ-1", "MERGE-OBJ-2"], held,
                tx(5, 3, null, create, ("set_in", "e", "i", 2)),
                tx(9, 4, ("set_in", "e", "i", 3)),
                realm={"e": {"i": 2}}),
        history("an embedded object assigned, and edited later", ["MERGE-OBJ-2"], held,
                tx(5, 3, create, ("set_in", "e", "i", 1)), tx(9, 4, ("set_in", "e", "i", 10))),
        history("an embedded object assigned twice", ["MERGE-OBJ-2"], held,
                tx(5, 3, create, ("set_in", "e", "i", 1)),
                tx(9, 4, create, ("set_in", "e", "j", 2))),
        history("an embedded object set to null, and assigned later", ["MERGE-OBJ-1"], held,
                tx(5, 3, null), tx(9, 4, create, ("set_in", "e", "i", 1))),
    ]  # fmt: skip


def _abc() -> Vector:
    return base(("list_insert", "l", 0, ["a", "b", "c"]))


def _elements() -> list[Vector]:
    people = base(("insert_object", "l", 0), ("set_in_element", "l", 0, "i", 1),
                  ("insert_object", "l", 1), ("set_in_element", "l", 1, "i", 2))  # fmt: skip
    return [
        history("an element set twice", ["MERGE-LIST-2"], _abc(),
                tx(5, 3, ("list_set", "l", 1, "B")),
                tx(9, 4, ("list_set", "l", 1, "BB")),
                realm={"l": ["a", "BB", "c"]}),
        history("an element erased, and set later", ["MERGE-LIST-3"], _abc(),
                tx(5, 3, ("list_erase", "l", 0)), tx(9, 4, ("list_set", "l", 0, "A")),
                realm={"l": ["b", "c"]}),
        history("an element erased twice", ["MERGE-LIST-3"], _abc(),
                tx(5, 3, ("list_erase", "l", 0)), tx(9, 4, ("list_erase", "l", 0)),
                realm={"l": ["b", "c"]}),
        history("an element erased, and another set", ["MERGE-LIST-3", "MERGE-LIST-2"], _abc(),
                tx(5, 3, ("list_erase", "l", 0)), tx(9, 4, ("list_set", "l", 2, "C")),
                realm={"l": ["b", "C"]}),
        history("an element erased, and moved later", ["MERGE-LIST-3"], _abc(),
                tx(5, 3, ("list_erase", "l", 0)), tx(9, 4, ("list_move", "l", 0, 2)),
                realm={"l": ["b", "c"]}),
        history("an element moved twice", ["MERGE-LIST-2"], _abc(),
                tx(5, 3, ("list_move", "l", 0, 2)), tx(9, 4, ("list_move", "l", 0, 1)),
                realm={"l": ["b", "a", "c"]}),
        history("an element moved, and set", ["MERGE-LIST-2", "MERGE-ORDER-3"], _abc(),
                tx(5, 3, ("list_move", "l", 0, 2)), tx(9, 4, ("list_set", "l", 0, "A")),
                realm={"l": ["b", "c", "A"]}),
        history("an object in a list erased, and edited later", ["MERGE-LIST-3"], people,
                tx(5, 3, ("list_erase", "l", 0)), tx(9, 4, ("set_in_element", "l", 0, "i", 9)),
                realm={"l": [{"i": 2}]}),
        history("an object in a list moved, and edited", ["MERGE-LIST-2", "MERGE-ORDER-3"], people,
                tx(5, 3, ("list_move", "l", 0, 1)), tx(9, 4, ("set_in_element", "l", 0, "i", 9)),
                realm="moves another element"),
    ]  # fmt: skip


def _order() -> list[Vector]:
    return [
        history("appended twice", ["MERGE-ORDER-1", "MERGE-ORDER-4"], _abc(),
                tx(5, 3, ("list_insert", "l", 3, ["x", "y"])),
                tx(9, 4, ("list_insert", "l", 3, ["1", "2"])),
                realm={"l": ["a", "b", "c", "x", "y", "1", "2"]}),
        history("the same appended twice", ["MERGE-ORDER-1"], _abc(),
                tx(5, 3, ("list_insert", "l", 3, ["x"])),
                tx(9, 4, ("list_insert", "l", 3, ["x"])),
                realm={"l": ["a", "b", "c", "x", "x"]}),
        history("two runs in an empty list", ["MERGE-ORDER-1", "MERGE-ORDER-4"], base(),
                tx(5, 3, ("list_insert", "l", 0, [1, 2])),
                tx(9, 4, ("list_insert", "l", 0, [3, 4])),
                realm={"l": [1, 2, 3, 4]}),
        history("two runs written backwards", ["MERGE-ORDER-1", "MERGE-ORDER-4"], base(),
                tx(5, 3, ("list_insert", "l", 0, ["b"]), ("list_insert", "l", 0, ["a"])),
                tx(9, 4, ("list_insert", "l", 0, ["2"]), ("list_insert", "l", 0, ["1"])),
                realm={"l": ["a", "b", "1", "2"]}),
        history("insertions at two places", ["MERGE-ORDER-1", "MERGE-ORDER-4"], _abc(),
                tx(5, 3, ("list_insert", "l", 1, ["x"])),
                tx(9, 4, ("list_insert", "l", 2, ["y"])),
                realm={"l": ["a", "x", "b", "y", "c"]}),
        history("an insertion, and an element set", ["MERGE-ORDER-1", "MERGE-LIST-2"], _abc(),
                tx(5, 3, ("list_insert", "l", 0, ["x"])),
                tx(9, 4, ("list_set", "l", 1, "B")),
                realm={"l": ["x", "a", "B", "c"]}),
        history("an insertion beside an element that is erased", ["MERGE-ORDER-4", "MERGE-LIST-3"],
                _abc(), tx(5, 3, ("list_erase", "l", 1)),
                tx(9, 4, ("list_insert", "l", 2, ["x"])),
                realm={"l": ["a", "x", "c"]}),
        history("a move to the end, and an append", ["MERGE-ORDER-1"], _abc(),
                tx(5, 3, ("list_move", "l", 0, 2)),
                tx(9, 4, ("list_insert", "l", 3, ["x"])),
                realm={"l": ["b", "c", "a", "x"]}),
        history("two moves to the end", ["MERGE-ORDER-1"], _abc(),
                tx(5, 3, ("list_move", "l", 0, 2)), tx(9, 4, ("list_move", "l", 1, 2)),
                realm={"l": ["c", "a", "b"]}),
        history("an insertion beside an element that is moved", ["MERGE-ORDER-4"], _abc(),
                tx(5, 3, ("list_move", "l", 0, 2)),
                tx(9, 4, ("list_insert", "l", 1, ["x"])),
                realm={"l": ["x", "b", "c", "a"]}),
    ]  # fmt: skip


def _cleared_lists() -> list[Vector]:
    clear = ("clear_list", "l")
    return [
        history("a list cleared, and a later insertion", ["MERGE-INC-1"], _abc(), tx(5, 3, clear),
                tx(9, 4, ("list_insert", "l", 3, ["x"])),
                realm={"l": []}),
        history("a list cleared, and a later set, move and erasure", ["MERGE-INC-1"], _abc(),
                tx(5, 3, clear), tx(7, 4, ("list_set", "l", 0, "A")),
                tx(8, 5, ("list_move", "l", 0, 2)), tx(9, 6, ("list_erase", "l", 1)),
                realm={"l": []}),
        history("a list assigned, and a later insertion", ["MERGE-INC-1"], _abc(),
                tx(5, 3, clear, ("list_insert", "l", 0, ["new"])),
                tx(9, 4, ("list_insert", "l", 3, ["x"])),
                realm={"l": ["new"]}),
        history("a list assigned twice", ["MERGE-INC-1"], _abc(),
                tx(5, 3, clear, ("list_insert", "l", 0, [3, 4])),
                tx(9, 4, clear, ("list_insert", "l", 0, [5, 6])),
                realm={"l": [5, 6]}),
        history("an object deleted, and its list appended to later", ["MERGE-OBJ-3"], _abc(),
                tx(5, 3, ("delete_object",)), tx(9, 4, ("list_insert", "l", 3, ["x"])),
                realm=None),
    ]  # fmt: skip


def _containers() -> list[Vector]:
    rules = ["MERGE-CONTAINER-1", "MERGE-CONTAINER-3"]

    def m(*values: Any) -> Operation:
        return ("nest", "m", {"$list": list(values)})

    def d(**items: Any) -> Operation:
        return ("nest", "m", {"$dict": items})

    clear = ("nest_clear", "m")
    one, two, zero = base(m(1)), base(m(1, 2)), base(("set", "m", 0))
    return [
        history("a list set in a mixed property, and a dictionary later", rules, zero,
                tx(5, 3, m(1)), tx(9, 4, d(k=2)), realm={"m": {"k": 2}}),
        history("two lists set in a mixed property", rules, zero, tx(5, 3, m(1)), tx(9, 4, m(2)),
                realm={"m": [1, 2]}),
        history("two dictionaries set in a mixed property", rules, zero,
                tx(5, 3, d(a=1, b=1)), tx(9, 4, d(b=2, c=2)),
                realm={"m": {"a": 1, "b": 2, "c": 2}}),
        history("two lists as defaults of a mixed property", [*rules, "MERGE-CONTAINER-5"], base(),
                tx(5, 3, ("nest_default", "m", {"$list": [1]})),
                tx(9, 4, ("nest_default", "m", {"$list": [2]})), realm={"m": [1, 2]}),
        history("a list in a mixed property appended to twice", rules, one,
                tx(5, 3, ("nest_insert", "m", 1, [3])), tx(9, 4, ("nest_insert", "m", 1, [4])),
                realm={"m": [1, 3, 4]}),
        history("keys of a dictionary in a mixed property", rules, base(d(a=1, b=1)),
                tx(5, 3, ("nest_put", "m", "a", 2)),
                tx(9, 4, ("nest_put", "m", "a", 3), ("nest_put", "m", "c", 3)),
                realm={"m": {"a": 3, "b": 1, "c": 3}}),
        history("text over a list that is appended to later", rules, one,
                tx(5, 3, ("set", "m", "x")), tx(9, 4, ("nest_insert", "m", 1, [3])),
                realm={"m": "x"}),
        history("a list over a list that is appended to later", rules, one, tx(5, 3, m(2)),
                tx(9, 4, ("nest_insert", "m", 1, [3]))),
        history("a list in a mixed property cleared and filled, and appended to later",
                [*rules, "MERGE-INC-1"], one, tx(5, 3, clear, ("nest_insert", "m", 0, [2])),
                tx(9, 4, ("nest_insert", "m", 1, [4])), realm={"m": [2]}),
        history("an empty list in a mixed property cleared and filled twice",
                [*rules, "MERGE-INC-1"], base(m()),
                tx(5, 3, clear, ("nest_insert", "m", 0, [1, 2])),
                tx(9, 4, clear, ("nest_insert", "m", 0, [3, 4])), realm={"m": [3, 4]}),
        history("a list in a mixed property cleared, and a number later", rules, two,
                tx(5, 3, clear), tx(9, 4, ("set", "m", 42)), realm={"m": 42}),
        history("a number, and the list it replaced cleared later", rules, two,
                tx(5, 3, ("set", "m", 42)), tx(9, 4, clear), realm={"m": []}),
        history("a dictionary set and cleared, and an increment later", rules, zero,
                tx(5, 3, d(a=1), clear, ("nest_put", "m", "b", 2)), tx(9, 4, ("add", "m", 1)),
                realm={"m": {"b": 2}}),
        history("a dictionary cleared, and a number with an increment later", rules,
                base(d(a=1)), tx(5, 3, clear, ("nest_put", "m", "b", 2)),
                tx(9, 4, ("set", "m", 42), ("add", "m", 1)), realm={"m": 43}),
    ]  # fmt: skip
