"""What a query finds in the local database, and how.

Rule 1: a condition on the objects alone is answered by the store. One that looks at other objects
        is narrowed there, and judged on a graph of the same snapshot; what SORT, DISTINCT and LIMIT
        leave is worked out on what is left.
        A row whose list is spread over parts is judged with its parts.
Rule 2: inside of a write transaction, the objects that it has open are seen as it sees them. Of
        lists inside of embedded objects and mixed values it shows what was there before.
Rule 3: UNION gives each object once, in the order in which they came to this device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from replication.crdt.view import QueryFields
from replication.model.encoding import key_bytes
from replication.model.values import Key
from replication.query import Query
from replication.query.ordering import arranged
from replication.storage.graph import Graph, Name, Node

if TYPE_CHECKING:
    from replication.client.object_edit import ObjectEdit
    from replication.client.transaction import Transaction
    from replication.storage.contract import Reader, SourceOf, StoredObject


class Found(NamedTuple):
    """One object that a query found.

    Attributes:
        row: where it stands in its class; past all others if it is new.
        head: None where a transaction has it open.
    """

    row: float
    key: Key
    head: bytes | None
    node: Node | None = None


def found_by(
    reader: Reader,
    transaction: Transaction | None,
    class_name: str,
    query: Query | None,
    *,
    limit: int | None = None,
) -> list[Found]:
    """The objects of a class that a query finds, in order; of many perhaps the first ``limit``.

    Raises:
        QueryError: it would follow more than QUERY_FOLLOWED_MAX links for one object.
    """
    edits = {} if transaction is None else _touched(transaction)
    if not edits and (query is None or query.is_local):
        whole = None if query is None else seen(reader, class_name)
        return [
            Found(row, key, head)
            for row, key, _, head in reader.scan(class_name, query, limit=limit, source=whole)
        ]
    overlay = {name: (edit.key, _fields(edit)) for name, edit in edits.items()}
    graph = Graph(reader, overlay)
    if query is None:
        return _scanned(graph, reader, edits, class_name, None, nodes=False)
    together: dict[bytes, Found] = {}
    for branch in query.branches:
        condition = Query.of(branch.root)
        found = _scanned(graph, reader, edits, class_name, condition, nodes=bool(branch.modifiers))
        for each in arranged(branch, found, lambda found: found.node or _missing(found)):
            together.setdefault(key_bytes(each.key), each)
    out = list(together.values())
    return out if len(query.branches) == 1 else sorted(out, key=lambda each: each.row)


def seen(reader: Reader, class_name: str) -> SourceOf:
    """What queries see of the rows of a class where a store has to ask: long lists as well."""
    graph = Graph(reader)
    return lambda stored: graph.row(class_name, stored)


def _missing(found: Found) -> Node:
    raise AssertionError(f"{found.key!r} was found without its node")


def _touched(transaction: Transaction) -> dict[Name, ObjectEdit]:
    return {(edit.class_name, key_bytes(edit.key)): edit for edit in transaction.touched()}


def _scanned(
    graph: Graph,
    reader: Reader,
    edits: dict[Name, ObjectEdit],
    class_name: str,
    query: Query | None,
    *,
    nodes: bool,
) -> list[Found]:
    """The objects that satisfy a condition, in the order of their rows."""

    def source(stored: StoredObject) -> Node:
        return graph.row(class_name, stored)

    out = [
        Found(stored.row, stored.key, stored.head, source(stored) if nodes else None)
        for stored in reader.scan(class_name, query, source=source)
        if not edits or (class_name, key_bytes(stored.key)) not in edits
    ]
    fresh = [
        Found(_row(edits[class_name, key]), node.link.key, None, node)
        for key, node in graph.laid_over(class_name)
        if node is not None and (query is None or query.matches(node))
    ]
    return sorted(out + fresh, key=lambda each: each.row) if fresh else out


def _row(edit: ObjectEdit) -> float:
    return math.inf if edit.row is None else edit.row.row


class _EditFields(QueryFields):
    """The fields of an object that a transaction has open. Rule 2."""

    __slots__ = ("_edit",)

    def __init__(self, edit: ObjectEdit) -> None:
        super().__init__(edit.fields() or {}, edit.parts)
        self._edit = edit

    def get(self, name: str, _default: Any = None) -> Any:
        editor = self._edit.opened((), name)
        return super().get(name) if editor is None else editor.values()


def _fields(edit: ObjectEdit) -> _EditFields | None:
    return None if edit.fields() is None else _EditFields(edit)


def plan(reader: Reader, class_name: str, query: Query | None) -> Iterator[str]:
    """How a query is answered, step by step, for people to read."""
    branches = [] if query is None else query.branches
    if not branches:
        yield from reader.plan(class_name)
    for at, branch in enumerate(branches):
        if at:
            yield "UNION: each object once, in the order of the rows"
        condition = Query.of(branch.root)
        yield from reader.plan(class_name, condition)
        if condition.reaches:
            yield "follow links from each of these rows"
        yield from (f"{modifier.text}, in memory" for modifier in branch.modifiers)
