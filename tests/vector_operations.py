"""What vectors of edits say, done: a transaction's operations by name. And views as JSON."""

from __future__ import annotations

from typing import Any

from replicas import Edit

from replication.crdt import object as obj
from replication.crdt.container import property_container
from replication.crdt.edit import Author, Scope
from replication.crdt.incarnation import clone
from replication.crdt.object import ObjectState, merge
from replication.crdt.view import object_view
from replication.model.encoding import pack, unpack
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


def replayed(transactions: list[dict[str, Any]]) -> list[ObjectState]:
    """The delta of each transaction of a history, in which each starts from those it saw."""
    deltas: list[ObjectState] = []
    for transaction in transactions:
        start = obj.absent()
        for seen in transaction["saw"]:
            start = merge(start, deltas[seen])
        delta, _ = perform({**transaction, "start": pack(start).hex()})
        deltas.append(delta)
    return deltas


def _operate(edit: Edit, operation: str, arguments: list[Any]) -> None:
    if operation in ("create_object", "delete_object"):
        (edit.create if operation == "create_object" else edit.delete)()
        return
    scope = edit.scope()
    name, *rest = arguments
    values: list[Any] = [value if isinstance(value, list) else from_json(value) for value in rest]
    match operation:
        case "set" | "set_default" | "add":
            getattr(scope, operation)(name, *values)
        case "insert" | "remove":
            scope.set_member(name, values[0], present=operation == "insert")
        case "nest" | "nest_default":
            nested = edit.nested(scope)
            (nested.set if operation == "nest" else nested.set_default)(name, *values)
        case "nest_put" | "nest_insert" | "nest_clear":
            _in_container(edit, scope, operation, name, values)
        case "put":
            scope.put_item(name, *values)
        case "erase_key":
            scope.put_item(name, values[0], ERASED)
        case "create" | "null" | "set_in":
            _on_embedded(edit, scope, operation, name, values)
        case "create_item" | "erase_item" | "set_in_item":
            _on_item(edit, scope, operation, name, values)
        case "clear_set" | "clear_dictionary" | "clear_list":
            kind = {"set": obj.SET, "dictionary": obj.DICTIONARY, "list": obj.LIST}[operation[6:]]
            scope.restart(kind, name)
            edit.forget((kind, name))
        case "insert_object":
            scope.list_insert(name, edit.editor(scope, name), values[0], [None])
            scope.element(name, edit.editor(scope, name), edit.editor(scope, name).id_at(values[0]))
        case "set_in_element":
            index, *write = values
            editor = edit.editor(scope, name)
            scope.element(name, editor, editor.id_at(index)).set(*write)
        case _:
            getattr(scope, operation)(name, edit.editor(scope, name), *values)


def _on_embedded(edit: Edit, scope: Scope, operation: str, name: str, values: list[Any]) -> None:
    if operation == "set_in":
        scope.embedded(name).set(*values)
        return
    held = scope.view.get(obj.EMBEDDED, {}).get(name, obj.absent())
    begin = edit.start_of((obj.EMBEDDED, name), held[0])
    (scope.create_embedded if operation == "create" else scope.erase_embedded)(name, begin)


def _in_container(edit: Edit, scope: Scope, operation: str, name: str, values: list[Any]) -> None:
    slot = property_container(scope.view, name)
    assert slot is not None
    if operation == "nest_put":
        edit.nested(scope).put_item(slot, *values)
    elif operation == "nest_insert":
        edit.nested(scope).list_insert(slot, *values)
    else:
        scope.restart(obj.container_kind(slot), slot)
        edit.forget((obj.CONTAINER, slot))


def _on_item(edit: Edit, scope: Scope, operation: str, name: str, values: list[Any]) -> None:
    key, *write = values
    if operation == "set_in_item":
        scope.item(name, key).set(*write)
        return
    held = scope.view.get(obj.DICTIONARY, {}).get(name, [[], [], {}])[2].get(key, obj.absent())
    begin = edit.start_of((obj.DICTIONARY, name, key), held[0])
    (scope.create_item if operation == "create_item" else scope.erase_item)(name, key, begin)
