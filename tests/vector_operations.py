"""What vectors of edits say, done: a transaction's operations by name. And views as JSON."""

from __future__ import annotations

from typing import Any

from replicas import Edit

from replication.crdt import object as obj
from replication.crdt.edit import Author
from replication.crdt.incarnation import clone
from replication.crdt.object import ObjectState, merge
from replication.crdt.view import object_view
from replication.model.encoding import unpack
from replication.model.notation import from_json, to_json
from replication.model.values import ERASED


def shown(state: ObjectState) -> Any:
    """The canonical value of an object in the notation of the spec, null if it is not alive."""
    return noted(object_view(state))


def noted(value: Any) -> Any:
    """A view in the notation of the spec."""
    if isinstance(value, dict):
        return {name: noted(item) for name, item in value.items()}
    if isinstance(value, list):
        return [noted(item) for item in value]
    return to_json(value)


def perform(vector: dict[str, Any]) -> tuple[ObjectState, ObjectState]:
    """The delta of a transaction and the state after it.

    Args:
        vector: `start`, `stamp`, `sequence` (the next one) and `operations`.
    """
    start: ObjectState = unpack(bytes.fromhex(vector["start"]))
    sequences = iter(range(vector["sequence"], 10**6))
    time, origin = vector["stamp"]
    edit = Edit(start, Author((time, origin), lambda: next(sequences)))
    for name, *arguments in vector["operations"]:
        _operate(edit, name, arguments)
    delta, _ = edit.finish()
    return delta, merge(clone(start), delta)


def _operate(edit: Edit, operation: str, arguments: list[Any]) -> None:
    scope = edit.scope()
    name, *rest = arguments
    values: list[Any] = [value if isinstance(value, list) else from_json(value) for value in rest]
    match operation:
        case "set" | "set_default" | "add":
            getattr(scope, operation)(name, *values)
        case "insert" | "remove":
            scope.set_member(name, values[0], present=operation == "insert")
        case "put":
            scope.put_item(name, *values)
        case "erase_key":
            scope.put_item(name, values[0], ERASED)
        case "create" | "null":
            held = scope.view.get(obj.EMBEDDED, {}).get(name, obj.absent())
            begin = edit.start_of((obj.EMBEDDED, name), held[0])
            act = scope.create_embedded if operation == "create" else scope.erase_embedded
            act(name, begin)
        case "set_in":
            scope.embedded(name).set(*values)
        case "clear_set" | "clear_list":
            scope.restart(obj.SET if operation == "clear_set" else obj.LIST, name)
            edit.forget((obj.LIST, name))
        case _:
            getattr(scope, operation)(name, edit.editor(scope, name), *values)
