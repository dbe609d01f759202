"""Where paths lead: from an object over its properties, collections and links to values.

Rule 1: a step on a value that it has no meaning for gives null: a name on a number, an index past
        the end, a key that is not there. A name on a string or binary is null too, save for
        `length`. [QUERY-130]
Rule 2: a name on an array goes on from each element, and the path then leads to many values:
        what is an array among them counts with its elements. [QUERY-131]
Rule 3: a link is followed by the name after it. One whose object is deleted, or not there for who
        asks, reads null, and as an element of an array it is passed over. [QUERY-132]
Rule 4: `@links` leads to what links here, as an array of links. [QUERY-133]
Rule 5: a getter that is no `Source` has no links to follow: they read null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from replication.model.values import EmbeddedValues, Link, NestedDict, NestedList
from replication.query.arithmetic import AGGREGATES
from replication.query.ast import Aggregate, Field, Path, Step, StepKind
from replication.query.compare import FieldValue

#: Gives the value of a field by its name; None for null and for an unknown name.
Get: TypeAlias = Callable[[str], FieldValue]
#: What stands for its elements without a quantifier: lists and sets, and dictionaries.
ARRAYS: Final[frozenset[type]] = frozenset({list, dict})
_DICTIONARIES: Final = frozenset[type]((dict, NestedDict))
_NAMED: Final = frozenset[type]((dict, NestedDict, EmbeddedValues))
#: Gives what an operand stands for.
Value: TypeAlias = Callable[[Get], Any]


@runtime_checkable
class Source(Protocol):
    """An object among others, as queries see it: a getter that can follow links."""

    def __call__(self, name: str) -> FieldValue:
        """The value of a field by its name."""

    def follow(self, link: Link) -> Source | None:
        """Another object; None where it is deleted or not there."""

    def backlinks(self, class_name: str, name: str) -> list[Link]:
        """The objects of a class that link here with a property, once for each link.

        Args:
            class_name: empty for all classes and properties.
        """


def path_value(operand: Field | Path) -> Value:
    """Reads what a field or path leads to: a value, or a list of many."""
    name = operand.name
    if isinstance(operand, Field):
        return lambda get: get(name)
    steps = operand.steps
    if not name:
        return lambda get: _walk(_backlinks(get, steps[0]), steps[1:], get)
    if len(steps) == 1 and steps[0].kind is StepKind.NAME:
        inner = steps[0].name

        def two_names(get: Get) -> Any:
            value = get(name)
            if type(value) in _NAMED:
                return value.get(inner)  # type: ignore[union-attr]
            return _walk(value, steps, get)

        return two_names
    return lambda get: _walk(get(name), steps, get)


def _walk(value: Any, steps: tuple[Step, ...], get: Get) -> Any:
    many = False
    values = [value]
    for step in steps:
        if step.kind is StepKind.NAME:
            values, spread = _names(values, step.name, get)
            many = many or spread
        elif step.kind is StepKind.EACH:
            values, many = [item for each in values for item in _each(each)], True
        elif step.kind is StepKind.LINKS:
            values = [_links_to(each, step, get) for each in values]
        else:
            read = _READERS[step.kind]
            values = [read(each, step) for each in values]
    if not many:
        return values[0]
    out: list[Any] = []
    for each in values:
        if type(each) is list or type(each) is dict:
            out += elements(each)
        else:
            out.append(each)
    return out


def _names(values: list[Any], name: str, get: Get) -> tuple[list[Any], bool]:
    out, spread = [], False
    for value in values:
        if type(value) is list:
            spread = True
            for element in value:
                if type(element) is Link:
                    source = _followed(get, element)
                    if source is not None:
                        out.append(source(name))
                else:
                    out.append(_name(element, name, get))
        else:
            out.append(_name(value, name, get))
    return out, spread


def _name(value: Any, name: str, get: Get) -> Any:
    kind = type(value)
    if kind in _NAMED:
        return value.get(name)
    if kind is Link:
        source = _followed(get, value)
        return None if source is None else source(name)
    if name == "length" and (kind is str or kind is bytes):
        return len(value)
    return None


def _followed(get: Get, link: Link) -> Source | None:
    return get.follow(link) if isinstance(get, Source) else None


def _backlinks(get: Get, step: Step) -> list[Any]:
    return list(get.backlinks(step.name, step.property)) if isinstance(get, Source) else []


def _links_to(value: Any, step: Step, get: Get) -> list[Any]:
    found: list[Any] = []
    for link in value if type(value) is list else (value,):
        source = _followed(get, link) if type(link) is Link else None
        if source is not None:
            found += source.backlinks(step.name, step.property)
    return found


def _each(value: Any) -> Iterable[Any]:
    if type(value) is list or type(value) is NestedList:
        return value
    return value.values() if type(value) in _DICTIONARIES else ()


def _index(value: Any, step: Step) -> Any:
    if type(value) is list or type(value) is NestedList:
        return value[step.index] if step.index < len(value) and value else None
    return None


_READERS: Final[dict[StepKind, Callable[[Any, Step], Any]]] = {
    StepKind.INDEX: _index,
    StepKind.KEYS: lambda value, _step: list(value) if type(value) in _DICTIONARIES else None,
    StepKind.VALUES: lambda value, _step: (
        list(value.values()) if type(value) in _DICTIONARIES else None
    ),
}


# -- objects, for sub-queries --------------------------------------------------------------------
def objects_at(values: Any, get: Get) -> Iterable[Get]:
    """The objects among what a path leads to: followed links, and embedded objects."""
    for value in elements(values):
        if type(value) is Link:
            source = _followed(get, value)
            if source is not None:
                yield source
        elif type(value) in _NAMED:
            yield _Inside(value, get) if isinstance(get, Source) else value.get


class _Inside:
    """An embedded object among others: what links are followed by is the object around it."""

    __slots__ = ("_around", "_values")

    def __init__(self, values: dict[str, Any], around: Source) -> None:
        self._values = values
        self._around = around

    def __call__(self, name: str) -> Any:
        return self._values.get(name)

    def follow(self, link: Link) -> Source | None:
        return self._around.follow(link)

    def backlinks(self, _class_name: str, _name: str) -> list[Link]:
        return []


# -- aggregates ----------------------------------------------------------------------------------
def aggregate_value(operand: Aggregate) -> Value:
    """Reads one value made of all that a path leads to."""
    read = path_value(operand.operand)
    if operand.function == "@count":
        return lambda get: count(read(get))
    made = AGGREGATES[operand.function]
    return lambda get: made(elements(read(get)))


def count(value: Any) -> int | None:
    """How many there are in a collection or string; null has none, a link is one. [QUERY-64]"""
    if value is None:
        return 0
    if type(value) is Link:
        return 1
    return len(value) if isinstance(value, list | dict | str | bytes) else None


def elements(value: FieldValue) -> Any:
    """What a quantifier or aggregate ranges over."""
    if type(value) is list:
        return value
    if type(value) is dict:
        return tuple(value.values())
    return () if value is None else (value,)
