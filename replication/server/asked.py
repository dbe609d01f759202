"""What `explain` is asked about: single writes, by the paths of queries, as the delta of an upload.

| path | value | writes |
| --- | --- | --- |
| `title`, `home.city` | a value | the property |
| `home` | a new embedded object, null | the embedded object as a whole |
| `tags` of a set | a value | a member, inserted |
| `extra.key`, `extra['a key']` | a value, erased | the key of a dictionary |
| `notes[2]`, `notes[LAST]` of a list | a value | the element, or one appended behind the last |
| `stops[0]` of embedded objects | a new embedded object | one inserted there |
| `stops[0].city`, `rooms.key.size` | a value | a field of an embedded object in a collection |

Rule 1: what is not there can't be written into, as no app can; nor can what is inside of a mixed
        value, which is written whole.
Rule 2: values are written in their order: what one of them makes, the next can be written into.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, Final

from replication.crdt import object as obj
from replication.crdt.edit import Author, ListEditor, Scope, seal
from replication.crdt.incarnation import clone
from replication.crdt.list import Elements, all_elements
from replication.crdt.object import Fields, is_alive
from replication.crdt.parts import Parts
from replication.errors import QueryError, UsageError
from replication.limits import TIME_MAX
from replication.model.notation import NEW_EMBEDDED
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.types import KEY_NAME
from replication.model.values import ERASED, Value
from replication.query import parse
from replication.query.ast import Comparison, Field, Path, StepKind
from replication.server import tables

#: Nobody's transaction: nothing of it is kept.
IDENT: Final = tables.SERVER_IDENT


def written(
    values: Mapping[str, Value], base: Fields, parts: Parts | None, schema: Schema, class_name: str
) -> Fields:
    """The fields of a delta that writes values.

    Args:
        values: by path.
        base: the fields here.

    Raises:
        UsageError: no path, or one that leads nowhere; a value that can't be asked about there.
    """
    numbers = count(1)
    scope = Scope(clone(base), {}, Author((TIME_MAX, IDENT), lambda: next(numbers)))
    asked = _Asked(schema, parts)
    for text, value in values.items():
        asked.write(scope, schema.get(class_name), text, list(_steps(text)), value)
    return seal(scope.delta)


def _steps(text: str) -> Iterator[str | int]:
    """The steps of a path: names and keys, and indexes."""
    try:
        root = parse(f"{text} == null").root
    except QueryError as error:
        raise UsageError(f"{text!r:.60} is no path: {error}") from None
    operand = root.left if isinstance(root, Comparison) else None
    if not isinstance(operand, Field | Path) or operand.quantifier is not None or not operand.name:
        raise UsageError(f"{text!r:.60} is no path to a property")
    yield operand.name
    for step in operand.steps if isinstance(operand, Path) else ():
        if step.kind is StepKind.NAME:
            yield step.name
        elif step.kind is StepKind.INDEX:
            yield step.index
        else:
            raise UsageError(f"{text!r:.60}: {step.text} leads to nothing that can be written")


class _Asked:
    def __init__(self, schema: Schema, parts: Parts | None) -> None:
        self._schema = schema
        self._parts = parts
        #: Of the lists that were written to. Rule 2.
        self._editors: dict[tuple[Any, ...], ListEditor] = {}

    def write(
        self, scope: Scope, owner: ClassSchema | None, text: str, steps: list[Any], value: Any
    ) -> None:
        """Write one value. Args: steps: from `scope` on, in which an object of `owner` is."""
        name, *rest = steps
        if type(name) is not str:
            raise UsageError(f"{text!r:.60}: an object has no elements: name a property of it")
        if name == KEY_NAME and not scope.path:
            raise UsageError(f"{text!r:.60}: the key of an object is never written")
        item = None if owner is None else owner.properties.get(name)
        if not rest or (item is not None and item.collection in ("list", "dict")):
            _check_value(item, text, value)
        if item is None or item.type == "text":
            if rest:
                raise UsageError(f"{text!r:.60}: nobody knows what {name!r:.60} is")
            scope.set(name, value)  # which the server then judges
        elif item.collection == "list":
            self._element(scope, item, text, rest, value)
        elif item.collection == "dict":
            self._item(scope, item, text, rest, value)
        elif item.type == "embedded":
            self._embedded(scope, item, text, rest, value)
        elif rest:
            raise UsageError(f"{text!r:.60}: nothing inside of {item} can be written by itself")
        elif item.collection == "set":
            scope.set_member(name, value, present=True)
        else:
            scope.set(name, value)

    def _embedded(
        self, scope: Scope, item: Property, text: str, rest: list[Any], value: Any
    ) -> None:
        held = scope.view.get(obj.EMBEDDED, {}).get(item.name)
        if rest:
            if held is None or not is_alive(held):
                raise UsageError(f"{text!r:.60}: {item} is null")
            self.write(scope.embedded(item.name), self._target(item), text, rest, value)
        elif value is NEW_EMBEDDED:
            made = scope.create_embedded(item.name, 0 if held is None else held[0])
            self._replaced(made.path)
        elif value is None:
            scope.erase_embedded(item.name, 0 if held is None else held[0])
        else:
            scope.set(item.name, value)  # which the server then judges

    def _item(self, scope: Scope, item: Property, text: str, rest: list[Any], value: Any) -> None:
        if not rest or type(rest[0]) is not str:
            raise UsageError(f"{text!r:.60}: name a key of {item}")
        key, *inner = rest
        state = scope.view.get(obj.DICTIONARY, {}).get(item.name)
        held = None if state is None else state[2].get(key)
        if inner:
            if item.type != "embedded" or held is None or not is_alive(held):
                raise UsageError(f"{text!r:.60}: there is no object at {key!r:.60} of {item}")
            self.write(scope.item(item.name, key), self._target(item), text, inner, value)
        elif value is NEW_EMBEDDED:
            made = scope.create_item(item.name, key, 0 if held is None else held[0])
            self._replaced(made.path)
        elif item.type == "embedded" and (value is None or value is ERASED):
            scope.erase_item(item.name, key, 0 if held is None else held[0])
        else:
            scope.put_item(item.name, key, value)

    def _element(
        self, scope: Scope, item: Property, text: str, rest: list[Any], value: Any
    ) -> None:
        editor = self._editor(scope, item.name)
        index, *inner = rest or [None]
        if index == -1:  # [LAST]
            index = len(editor) - 1
        if type(index) is not int or not 0 <= index <= len(editor):
            which = f"from [0] to [{len(editor)}], which is a new one"
            raise UsageError(f"{text!r:.60}: name an element of {item}, {which}")
        if inner:
            if item.type != "embedded" or index == len(editor):
                raise UsageError(f"{text!r:.60}: there is no object at {index} of {item}")
            element = scope.element(item.name, editor, editor.id_at(index))
            self.write(element, self._target(item), text, inner, value)
        elif item.type == "embedded" or index == len(editor):
            content = None if value is NEW_EMBEDDED else value
            (here,) = scope.list_insert(item.name, editor, index, [content])
            if item.type == "embedded":
                scope.element(item.name, editor, here)
        else:
            scope.list_set(item.name, editor, index, value)

    def _editor(self, scope: Scope, name: str) -> ListEditor:
        path = (*scope.path, obj.LIST, name)
        found = self._editors.get(path)
        if found is None:
            state = scope.view.get(obj.LIST, {}).get(name)
            if state is None:
                found = ListEditor([], Elements())
            else:
                found = ListEditor(list(state[0]), all_elements(state, self._parts, path))
            self._editors[path] = found
        return found

    def _replaced(self, path: tuple[Any, ...]) -> None:
        """What is at a path is new: lists in it are not what they were."""
        for known in [each for each in self._editors if each[: len(path)] == path]:
            del self._editors[known]

    def _target(self, item: Property) -> ClassSchema | None:
        return None if item.target is None else self._schema.get(item.target)


def _check_value(item: Property | None, text: str, value: Any) -> None:
    """Raise UsageError for what is no value of a field by itself and could not be judged as one."""
    if type(value) in (list, dict):
        how = "ask about another value, of which rules say the same"
        raise UsageError(f"{text!r:.60}: a list or dictionary can't be asked about; {how}")
    if value is NEW_EMBEDDED and (item is None or item.type != "embedded"):
        what = (
            "nothing that is known to" if item is None else f"{item} is {item.spelling}, it can't"
        )
        raise UsageError(f"{text!r:.60}: {what} hold an embedded object")
    if value is ERASED and (item is None or item.collection != "dict"):
        raise UsageError(f"{text!r:.60}: only the keys of a dictionary are erased")
