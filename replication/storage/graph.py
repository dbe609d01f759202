"""The objects of one snapshot as queries see them: with their links, in both directions.

Rule 1: an object that is deleted, or not there, is not found; what is laid over the snapshot is
        seen in its place.
Rule 2: what links to an object is looked for in one walk over the class that links, the first time
        it is asked for, and kept for the rest of the snapshot.
Rule 3: the links followed for one row are bounded by QUERY_FOLLOWED_MAX, whatever the query.
Rule 4: where there is a lens, whatever a link leads to, in either direction, is seen through it. A
        row that is to be judged is not: its query says itself what may be asked of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from replication.crdt.parts import Parts
from replication.crdt.view import QueryFields, shows
from replication.errors import QueryError
from replication.limits import QUERY_FOLLOWED_MAX
from replication.model.encoding import key_bytes, pack, unpack_trusted
from replication.model.types import KEY_NAME
from replication.model.values import Key, Link
from replication.query import Query
from replication.storage.contract import Reader, StoredObject

#: Class and key, in bytes that tell keys of all types apart.
Name: TypeAlias = tuple[str, bytes]
#: What an object holds, by name; None for one that is not there.
Fields: TypeAlias = QueryFields | None
#: What is seen of an object by who comes to it over a link; None: nothing, as if it were not there.
Lens: TypeAlias = Callable[[Link, QueryFields], QueryFields | None]


class Graph:
    """Objects that link to one another.

    Args:
        reader: the snapshot.
        overlay: objects that differ from it: key and fields by name.
        followed_max: bounds the links of one row; further ones lead nowhere. Without it, Rule 3.
        lens: Rule 4.
    """

    def __init__(
        self,
        reader: Reader,
        overlay: Mapping[Name, tuple[Key, Fields]] | None = None,
        *,
        followed_max: int | None = None,
        lens: Lens | None = None,
    ) -> None:
        self._reader = reader
        self._overlay = overlay or {}
        self._found: dict[Name, Node | None] = {}
        self._linking: dict[tuple[str, str], dict[bytes, list[Link]]] = {}
        self._followed_max = followed_max
        self._lens = lens
        self._left = 0
        self._begin()

    def _begin(self) -> None:
        bound = self._followed_max
        self._left = QUERY_FOLLOWED_MAX if bound is None else bound

    def row(self, class_name: str, stored: StoredObject) -> Node:
        """A row that is to be judged. Rule 3 counts from here."""
        self._begin()
        return Node(self, Link(class_name, stored.key), self._fields(class_name, stored))

    def matching(self, class_name: str, query: Query) -> list[Node]:
        """The objects of a class that satisfy the conditions of a query, in no order."""
        out = []
        for stored in self._reader.scan(
            class_name, query, source=lambda stored: self.row(class_name, stored)
        ):
            if (class_name, key_bytes(stored.key)) not in self._overlay:
                out.append(self.row(class_name, stored))
        for _, node in self.laid_over(class_name):
            if node is not None and query.matches(node):
                out.append(node)
        return out

    def laid_over(self, class_name: str) -> Iterator[tuple[bytes, Node | None]]:
        """The objects of a class that the overlay has, by the bytes of their keys."""
        for (name, key), (_, fields) in self._overlay.items():
            if name == class_name:
                self._begin()
                held = self._overlay[name, key][0]
                yield key, None if fields is None else Node(self, Link(name, held), fields)

    def judged(self, link: Link) -> Node | None:
        """An object that is to be judged. Rule 3 counts from here."""
        self._begin()
        if self._lens is None:
            return self.find(link)
        fields = self._load((link.class_name, key_bytes(link.key)), link)
        return None if fields is None else Node(self, link, fields)

    def find(self, link: Link) -> Node | None:
        """One object. Rules 1 and 4."""
        name = (link.class_name, key_bytes(link.key))
        if name not in self._found:
            self._found[name] = self._node(link, self._load(name, link))
        return self._found[name]

    def _node(self, link: Link, fields: Fields) -> Node | None:
        if fields is not None and self._lens is not None:
            fields = self._lens(link, fields)
        return None if fields is None else Node(self, link, fields)

    def _load(self, name: Name, link: Link) -> Fields:
        if name in self._overlay:
            return self._overlay[name][1]
        stored = self._reader.get_object(link.class_name, link.key)
        if stored is None or not shows(stored.head):
            return None
        return self._fields(link.class_name, stored)

    def _fields(self, class_name: str, stored: StoredObject) -> QueryFields:
        def read(name: bytes) -> bytes | None:
            found = self._reader.part(class_name, stored.row, name)
            return None if found is None else found.data

        return QueryFields(unpack_trusted(stored.head)[3], Parts(read))

    def nodes(self, class_name: str) -> Iterator[Node]:
        """All objects of a class, as links lead to them: the rows, then what the overlay has."""
        rest = dict(self.laid_over(class_name))
        for stored in self._reader.scan(class_name):
            key = key_bytes(stored.key)
            if (class_name, key) in self._overlay:
                found = rest.pop(key)
            else:
                found = Node(self, Link(class_name, stored.key), self._fields(class_name, stored))
            yield from self._shown(found)
        for node in rest.values():
            yield from self._shown(node)

    def _shown(self, node: Node | None) -> Iterator[Node]:
        found = None if node is None else self._node(node.link, node.fields)
        if found is not None:
            yield found

    def linking(self, to: Link, class_name: str, name: str) -> list[Link]:
        """What links to an object, once for each link. Rule 2."""
        index = self._linking.get((class_name, name))
        if index is None:
            index = self._linking[class_name, name] = {}
            for source in [class_name] if class_name else self._reader.classes():
                for node in self.nodes(source):
                    for field in [name] if name else list(node.fields):
                        for link in links_in(node.fields.get(field)):
                            index.setdefault(pack(link), []).append(node.link)
        return index.get(pack(to), [])

    def spend(self, links: int) -> bool:
        """Count links that are followed; whether they may be. Rule 3."""
        self._left -= links
        if self._left < 0 and self._followed_max is None:
            raise QueryError(
                f"the query follows more than {QUERY_FOLLOWED_MAX} links for one object; ask for"
                " less at a time"
            )
        return self._left >= 0


class Node:
    """One object of a graph; see `query.paths.Source`."""

    __slots__ = ("_graph", "fields", "link")

    def __init__(self, graph: Graph, link: Link, fields: QueryFields) -> None:
        self._graph = graph
        self.link = link
        self.fields = fields

    def __call__(self, name: str) -> Any:
        return self.link.key if name == KEY_NAME else self.fields.get(name)

    def follow(self, link: Link) -> Node | None:
        """Another object; None where it is not there."""
        return self._graph.find(link) if self._graph.spend(1) else None

    def backlinks(self, class_name: str, name: str) -> list[Link]:
        """What links here with a property of a class, or with any."""
        found = self._graph.linking(self.link, class_name, name)
        return found if self._graph.spend(len(found)) else []


def links_in(value: Any) -> Iterator[Link]:
    """The links in a value of a field, at any depth."""
    if type(value) is Link:
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from links_in(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from links_in(each)
