"""How far subscriptions may look. [QUERY-150]

Rule 1: what a subscription asks of other objects is behind single links: a server has to work it
        out again whenever one of them changes. What asks for all that links to an object, or
        counts objects, is for local queries.
Rule 2: it has to be known to be: past a mixed value, or without a schema, nobody can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from replication.model.schema import Schema
from replication.query.ast import Branch, Follow, Limit, Path, Sort, StepKind, Subquery
from replication.query.query import Query, operands_of

#: Stands for every property, or every class.
ALL: Final = "*"


def unsubscribable(query: Query, *, known: bool) -> str | None:
    """Why a query, checked where there is a schema, can't be subscribed to; None if it can.

    Args:
        known: whether there is a schema.
    """
    if query.is_local:
        return None
    for part in query.branches:
        for operand in operands_of(part):
            if isinstance(operand, Subquery) and Query.of(part.root).reaches:
                return f"SUBQUERY is for local queries: {operand.text:.80}"
            if isinstance(operand, Path) and operand.follows:
                if any(step.kind is StepKind.LINKS for step in operand.steps):
                    return f"@links is for local queries: {operand.text:.80}"
                if not known or operand.type is None:
                    return f"nobody knows what {operand.text:.80} leads to; declare its class"
                if operand.many_links:
                    return f"only single links can be followed: {operand.text:.80}"
    return None


def depends_on(class_name: str, parts: Iterable[Branch], schema: Schema) -> frozenset[str] | None:
    """The classes whose objects have a say in what branches find; None if any may.

    Args:
        class_name: of the objects that are asked for.
        parts: checked beside the schema.
    """
    out = {class_name}
    for names in _trails(parts):
        found = _along(class_name, names, schema)
        if found is None:
            return None
        out |= found
    return frozenset(out)


def read_by(class_name: str, query: Query) -> dict[str, set[str]]:
    """The properties whose values decide what a query finds, by class.

    What is behind a link may be of any class: those properties stand under `ALL`.
    """
    out = {class_name: set(query.fields)}
    for names in _trails(query.branches):
        out.setdefault(ALL, set()).update(names)
    return out


def brought(class_name: str, query: Query, schema: Schema) -> frozenset[str] | None:
    """The classes of the objects that FOLLOW brings along; None if that may be any.

    Args:
        class_name: of the objects that are asked for.
    """
    out: set[str] = set()
    for part in query.branches:
        for modifier in part.modifiers:
            if isinstance(modifier, Follow):
                found = _along(class_name, list(modifier.names) * modifier.depth, schema)
                if found is None:
                    return None
                out |= found
    return frozenset(out)


def hops(class_name: str, part: Branch, schema: Schema) -> list[list[tuple[str, str]]] | None:
    """The single links that its condition follows, path by path: class and property of each.

    Then who is concerned by a change is who leads to what changed. Args: see `depends_on`.

    Returns:
        None where it looks further than along single links.
    """
    out: list[list[tuple[str, str]]] = []
    for names in _paths(part):
        found = _single_links(class_name, names, schema)
        if found is None:
            return None
        out.append(found)
    return out


def _single_links(
    class_name: str, names: list[str], schema: Schema
) -> list[tuple[str, str]] | None:
    out: list[tuple[str, str]] = []
    for at, name in enumerate(names):
        known = schema.get(class_name)
        item = None if known is None else known.properties.get(name)
        if known is None or (item is not None and item.type == "mixed"):
            return None
        if item is None:
            break
        if item.type != "link":
            inside = None if item.target is None else _along(item.target, names[at + 1 :], schema)
            if item.target is not None and inside != set():
                return None
            break
        if item.collection is not None or item.target is None:
            return None
        out.append((class_name, name))
        class_name = item.target
    return out


def is_window(parts: Sequence[Branch]) -> bool:
    """Whether it is the first ones of a class, in an order, by what the objects alone hold."""
    if len(parts) != 1 or [type(each) for each in parts[0].modifiers] != [Sort, Limit]:
        return False
    return not Query(tuple(parts)).reaches


def _trails(parts: Iterable[Branch]) -> Iterator[list[str]]:
    """The names that paths over links, and FOLLOW, go through."""
    for part in parts:
        yield from _paths(part)
        for modifier in part.modifiers:
            if isinstance(modifier, Follow):
                yield list(modifier.names) * modifier.depth


def _paths(part: Branch) -> Iterator[list[str]]:
    """The names that its paths over links go through."""
    for operand in operands_of(part):
        if isinstance(operand, Path) and operand.follows:
            steps = [step.name for step in operand.steps if step.kind is StepKind.NAME]
            yield [operand.name, *steps]


def _along(class_name: str, names: list[str], schema: Schema) -> set[str] | None:
    out: set[str] = set()
    known = schema.get(class_name)
    in_dictionary = False
    for name in names:
        if name == ALL:
            return None
        if in_dictionary:
            in_dictionary = False  # the name is a key
            continue
        item = None if known is None else known.properties.get(name)
        if item is None or item.type == "mixed":
            return out if known is not None and item is None else None
        if item.target is None:
            return out
        if item.type == "link":
            out.add(item.target)
        in_dictionary = item.collection == "dict"
        known = schema.get(item.target)
    return out
