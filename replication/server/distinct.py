"""DISTINCT: of the objects that are equal in some fields the first, moved along with the log.

Rule 1: only the groups that something touched belongs to, or belonged to, are looked at.
Rule 2: who enters a group is ranked beside its first. Where the first was touched, who takes its
        place is looked for among all that are equal to it: what that costs follows their number.
Rule 3: groups of lists or embedded objects, which no query can ask for, are for somebody else to
        work out from the whole class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from replication.model.encoding import key_bytes
from replication.model.values import Key, Link
from replication.query import Query, canonical, literals
from replication.query.ast import Branch, Distinct, Field, Modifier, Sort
from replication.query.columns import ARRAY, ColumnValue, column_value, field_value
from replication.query.ordering import arranged
from replication.query.paths import Get
from replication.server.touches import Touched
from replication.storage.graph import Graph, Node

#: What the objects of a group have in common.
Group: TypeAlias = tuple[ColumnValue, ...]


def is_distinct(branch: Branch) -> bool:
    """Whether its rows can be moved along: DISTINCT, perhaps of what SORT left, by own fields."""
    kinds = [type(each) for each in branch.modifiers]
    if kinds not in ([Distinct], [Sort, Distinct]) or Query((branch,)).reaches:
        return False
    return all(isinstance(each, Field) for each in _distinct(branch).paths)


def _distinct(branch: Branch) -> Distinct:
    last: Modifier = branch.modifiers[-1]
    assert isinstance(last, Distinct)
    return last


class Firsts:
    """The first of each group of a class.

    Args:
        branch: see `is_distinct`.
    """

    __slots__ = ("_branch", "_class_name", "_condition", "_firsts", "_paths")

    def __init__(self, class_name: str, branch: Branch) -> None:
        self._class_name = class_name
        self._branch = branch
        self._condition = Query.of(branch.root)
        self._paths = [path for path in _distinct(branch).paths if isinstance(path, Field)]
        self._firsts: dict[Group, bytes] = {}

    def begin(self, graph: Graph, rows: Mapping[bytes, Key]) -> None:
        """These are they."""
        for key, held in rows.items():
            node = graph.judged(Link(self._class_name, held))
            assert node is not None, "it was just found"
            self._firsts[self._group(node)] = key

    def move(
        self, graph: Graph, rows: dict[bytes, Key], touched: Iterable[Touched]
    ) -> dict[bytes, Key] | None:
        """Change rows to what they are behind a stretch; returns who came or went.

        Returns:
            None where that takes the whole class: Rule 3. Nothing was changed then.
        """
        again, fresh = self._concerned(graph, touched)
        if any(_is_array(each) for group in again | fresh.keys() for each in group):
            return None
        firsts: dict[Group, Node | None] = {}
        for group in again | fresh.keys():
            among = [*fresh.get(group, ())]
            first = self._firsts.get(group)
            if group in again:
                among = self._all(graph, group)
            elif first is not None:
                held = graph.judged(Link(self._class_name, rows[first]))
                among += [] if held is None else [held]
            firsts[group] = self._first(among)
        return self._take(rows, firsts)

    def _concerned(
        self, graph: Graph, touched: Iterable[Touched]
    ) -> tuple[set[Group], dict[Group, list[Node]]]:
        """The groups whose first was touched, and who is in which group now. Rule 1."""
        again: set[Group] = set()
        fresh: dict[Group, list[Node]] = {}
        for item in touched:
            if item.before.is_alive:
                was = self._group(item.before.get)
                if self._firsts.get(was) == key_bytes(item.key):
                    again.add(was)
            node = graph.judged(Link(self._class_name, item.key))
            if node is not None and self._condition.matches(node):
                fresh.setdefault(self._group(node), []).append(node)
        return again, fresh

    def _group(self, get: Get) -> Group:
        return tuple([column_value(get(path.name)) for path in self._paths])

    def _all(self, graph: Graph, group: Group) -> list[Node]:
        """All objects of a group. Rule 2."""
        equal = [
            canonical.comparison("==", path, literals.constant(field_value(each)))
            for path, each in zip(self._paths, group, strict=True)
        ]
        query = Query.of(canonical.all_of([self._branch.root, *equal]))
        return graph.matching(self._class_name, query)

    def _first(self, nodes: list[Node]) -> Node | None:
        ranked = sorted(nodes, key=lambda node: key_bytes(node.link.key))
        return next(iter(arranged(self._branch, ranked, lambda node: node)), None)

    def _take(
        self, rows: dict[bytes, Key], firsts: Mapping[Group, Node | None]
    ) -> dict[bytes, Key]:
        gone: dict[bytes, Key] = {}
        for group in firsts:
            key = self._firsts.pop(group, None)
            if key is not None:
                gone[key] = rows.pop(key)
        came: dict[bytes, Key] = {}
        for group, node in firsts.items():
            if node is not None:
                key = self._firsts[group] = key_bytes(node.link.key)
                came[key] = rows[key] = node.link.key
        both = gone.keys() & came.keys()
        return {key: held for key, held in (gone | came).items() if key not in both}


def _is_array(column: ColumnValue) -> bool:
    return type(column) is bytes and column >= ARRAY
