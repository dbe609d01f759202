"""Operations of scenarios, done to a client file the way an app does them: through its handles.

Rule 1: an operation that can't run where it is raises `CannotRunError`, says why, and writes
        nothing.
Rule 2: an index counts what the list or text shows at that moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from replication.client import values
from replication.client.collections import Dictionary, List, Set
from replication.client.database import Database
from replication.client.nested import NestedDictionary, NestedList
from replication.client.objects import Handle
from replication.client.texts import FieldText
from replication.errors import ReplicationError, UsageError
from replication.model.check import shown
from replication.model.notation import NEW_EMBEDDED
from replication.model.property import Property
from replication.model.values import Link
from replication.simulation.scenario import Operation


class CannotRunError(UsageError):
    """An operation can't run on what its peer holds at that moment."""


def perform(db: Database, operation: Operation) -> None:
    """Do one operation in the write transaction that is running.

    Raises:
        CannotRunError: Rule 1.
    """
    try:
        _OPERATIONS[operation.name](db, operation)
    except CannotRunError:
        raise
    except ReplicationError as error:
        raise CannotRunError(str(error)) from None


# -- where -----------------------------------------------------------------------------------
def _object(db: Database, operation: Operation) -> Handle:
    found: Handle | None = db.get(operation.table, operation.key)
    if found is None:
        raise CannotRunError(f"there is no {operation.table} {operation.key!r}")
    return found


def _follow(db: Database, operation: Operation, steps: tuple[str | int, ...]) -> Any:
    node: Any = _object(db, operation)
    for position, step in enumerate(steps):
        node = _enter(node, step)
        if not isinstance(node, Handle | List | Dictionary | Set):
            where = ".".join(map(str, steps[: position + 1]))
            raise CannotRunError(f"{where} is {shown(node)}, nothing to go into")
    return node


def _enter(node: Any, step: str | int) -> Any:
    if isinstance(node, Handle) and type(step) is str:
        return node[step]
    if isinstance(node, Dictionary) and type(step) is str:
        if step not in node:
            raise CannotRunError(f"there is no key {step!r}")
        return node[step]
    if isinstance(node, List) and type(step) is int:
        return node[_index(node, step)]
    kind = "object" if isinstance(node, Handle) else type(node).__name__.lower()
    raise CannotRunError(f"{step!r} leads nowhere in a {kind}")


def _collection(db: Database, operation: Operation, kind: type) -> Any:
    found = _follow(db, operation, operation.path)
    if not isinstance(found, kind):
        where = ".".join(map(str, operation.path))
        raise CannotRunError(f"{where} is no {kind.__name__.lower()}")
    return found


def _index(held: List, index: int, *, end: int = 0) -> int:
    if not 0 <= index < len(held) + end:
        raise CannotRunError(f"index {index} in a list of {len(held)}")
    return index


def _field(db: Database, operation: Operation) -> tuple[Handle, Property]:
    """The object that has the field, and the field."""
    owner = _follow(db, operation, operation.path[:-1])
    name = operation.path[-1]
    if not isinstance(owner, Handle) or type(name) is not str:
        where = ".".join(map(str, operation.path))
        raise CannotRunError(f"{where} is no field of an object")
    return owner, owner._shape.field(name).item


# -- values ----------------------------------------------------------------------------------
def _given(db: Database, item: Property, value: Any) -> Any:
    """A value as an app passes it."""
    if item.type == "embedded":
        if value is NEW_EMBEDDED:
            return {}
        if value is not None:
            raise CannotRunError(f'{item} takes {{"$embedded":{{}}}} or null, not {shown(value)}')
    elif value is NEW_EMBEDDED:
        raise CannotRunError(f"{item} is {item.spelling}: no embedded object")
    if type(value) is Link and not db.entities.there([value])[0]:
        raise CannotRunError(f"the link's target {value.class_name} {value.key!r} is not there")
    return value


# -- objects and fields ----------------------------------------------------------------------
def _create(db: Database, operation: Operation) -> None:
    db.create(operation.table, _id=operation.key)


def _erase(db: Database, operation: Operation) -> None:
    db.delete(_object(db, operation))


def _set(db: Database, operation: Operation) -> None:
    owner = _follow(db, operation, operation.path[:-1])
    last, value = operation.path[-1], operation.arguments["value"]
    if isinstance(owner, List) and type(last) is int:
        owner[_index(owner, last)] = _given(db, owner._field.item, value)
    elif isinstance(owner, Dictionary) and type(last) is str:
        owner[last] = _given(db, owner._field.item, value)
    else:
        owner, item = _field(db, operation)
        if item.collection is not None:
            raise CannotRunError(f"{item} is {item.spelling}: assign it")
        owner[item.name] = _given(db, item, value)


def _set_default(db: Database, operation: Operation) -> None:
    owner, item = _field(db, operation)
    owner.set_default(item.name, _given(db, item, operation.arguments["value"]))


def _add(db: Database, operation: Operation) -> None:
    owner, item = _field(db, operation)
    held = owner[item.name] if item.is_plain else None
    if not isinstance(held, int) or isinstance(held, bool):
        raise CannotRunError(f"{item} holds {shown(held)}: nothing can be added to it")
    owner.add(item.name, operation.arguments["value"])


def _assign(db: Database, operation: Operation) -> None:
    owner, item = _field(db, operation)
    given = operation.arguments["value"]
    if item.collection is None:
        raise CannotRunError(f"{item} is {item.spelling}: no collection")
    if type(given) is not (dict if item.collection == "dict" else list):
        raise CannotRunError(f"{item} is {item.spelling}, not {shown(given)}")
    if not given and values.is_empty(owner._place(), item):
        raise CannotRunError(f"{item} is empty already")
    if isinstance(given, dict):
        owner[item.name] = {key: _given(db, item, each) for key, each in given.items()}
    else:
        owner[item.name] = [_given(db, item, each) for each in given]


# -- lists -----------------------------------------------------------------------------------
def _list_insert(db: Database, operation: Operation) -> None:
    held = _collection(db, operation, List)
    index = _index(held, operation.arguments["index"], end=1)
    held.insert(index, _given(db, held._field.item, operation.arguments["value"]))


def _list_set(db: Database, operation: Operation) -> None:
    held = _collection(db, operation, List)
    index = _index(held, operation.arguments["index"])
    held[index] = _given(db, held._field.item, operation.arguments["value"])


def _list_move(db: Database, operation: Operation) -> None:
    held = _collection(db, operation, List)
    source = _index(held, operation.arguments["from"])
    target = _index(held, operation.arguments["to"])
    if source == target:
        raise CannotRunError(f"a move of {source} onto itself")
    held.move(source, target)


def _list_erase(db: Database, operation: Operation) -> None:
    held = _collection(db, operation, List)
    del held[_index(held, operation.arguments["index"])]


def _clear(kind: type) -> Callable[[Database, Operation], None]:
    def clear(db: Database, operation: Operation) -> None:
        held = _collection(db, operation, kind)
        is_property = not isinstance(held, NestedList | NestedDictionary)
        if is_property and values.is_empty(held._handle._place(), held._field.item):
            raise CannotRunError(f"{held._field.item} is empty already")
        held.clear()

    return clear


# -- sets and dictionaries -------------------------------------------------------------------
def _set_insert(db: Database, operation: Operation) -> None:
    held = _collection(db, operation, Set)
    value = _given(db, held._field.item, operation.arguments["value"])
    if value in held:
        raise CannotRunError(f"{shown(value)} is in the set already")
    held.add(value)


def _set_erase(db: Database, operation: Operation) -> None:
    held = _collection(db, operation, Set)
    value = operation.arguments["value"]
    if value not in held:
        raise CannotRunError(f"{shown(value)} is not in the set")
    held.discard(value)


def _dict_set(db: Database, operation: Operation) -> None:
    held = _collection(db, operation, Dictionary)
    given = _given(db, held._field.item, operation.arguments["value"])
    held[operation.arguments["key"]] = given


def _dict_erase(db: Database, operation: Operation) -> None:
    held = _collection(db, operation, Dictionary)
    key = operation.arguments["key"]
    if key not in held:
        raise CannotRunError(f"there is no key {key!r}")
    del held[key]


# -- texts -----------------------------------------------------------------------------------
def _text_field(db: Database, operation: Operation) -> FieldText:
    owner, item = _field(db, operation)
    held = owner[item.name]
    if not isinstance(held, FieldText):
        raise CannotRunError(f"{item} is {item.spelling}: no text")
    return held


def _text_insert(db: Database, operation: Operation) -> None:
    held = _text_field(db, operation)
    index, value = operation.arguments["index"], operation.arguments["value"]
    if not 0 <= index <= len(held):
        raise CannotRunError(f"index {index} in a text of {len(held)} characters")
    if type(value) is not str or not value:
        raise CannotRunError(f"{shown(value)} can't be typed: it takes a string of a character")
    held.insert(index, value)


def _text_erase(db: Database, operation: Operation) -> None:
    held = _text_field(db, operation)
    index, count = operation.arguments["index"], operation.arguments["count"]
    if count < 1 or not 0 <= index <= len(held) - count:
        raise CannotRunError(f"{count} from index {index} in a text of {len(held)} characters")
    held.erase(index, count)


_OPERATIONS: Final[dict[str, Callable[[Database, Operation], None]]] = {
    "create": _create,
    "erase": _erase,
    "set": _set,
    "set_default": _set_default,
    "add": _add,
    "assign": _assign,
    "list_insert": _list_insert,
    "list_set": _list_set,
    "list_move": _list_move,
    "list_erase": _list_erase,
    "list_clear": _clear(List),
    "set_clear": _clear(Set),
    "dict_clear": _clear(Dictionary),
    "set_insert": _set_insert,
    "set_erase": _set_erase,
    "dict_set": _dict_set,
    "dict_erase": _dict_erase,
    "text_insert": _text_insert,
    "text_erase": _text_erase,
}
