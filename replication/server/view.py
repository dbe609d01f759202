"""Views: which objects of a data set a session sees, by the queries of its subscription set.

Rule 1: an object is in a view when it is alive, its class has a query, and the query holds. A
        class without a query is not in it at all.
Rule 2: with a schema, a query is served only for classes and fields that are there and queryable;
        in development mode classes and fields may be unknown yet, and any is queryable.
Rule 3: a query is read as the schema says. What comes into the schema later changes nothing for
        the objects there were, so a view is read again whenever the schema has grown.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final

from replication.crdt.object import is_alive
from replication.crdt.view import queryable, shows
from replication.errors import QueryError
from replication.limits import QUERIED_COLUMNS_MAX, QUERY_BYTES_MAX
from replication.model.encoding import unpack_trusted
from replication.model.schema import ClassSchema
from replication.model.types import KEY_NAME, broken_class_name
from replication.model.values import Key
from replication.query import Query, parse
from replication.server.types import Types
from replication.storage.contract import Writer

#: Characters of a query that is worth remembering.
_REMEMBERED_MAX: Final = 4096


class Image:
    """An object at one moment: its head, decoded when that is asked for."""

    __slots__ = ("_values", "head", "key")

    def __init__(self, key: Key, head: bytes | None) -> None:
        self.key = key
        self.head = head
        self._values: dict[str, Any] | None = None

    @property
    def values(self) -> dict[str, Any]:
        """What queries see of it; empty where it is not alive."""
        values = self._values
        if values is None:
            values = {}
            if self.head is not None:
                state = unpack_trusted(self.head)
                if is_alive(state):
                    values = queryable(state)
                    values[KEY_NAME] = self.key
            self._values = values
        return values

    def get(self, name: str) -> Any:
        """What queries see of one field."""
        return self.values.get(name)

    @property
    def is_alive(self) -> bool:
        """Whether a reader of everything would see it."""
        return shows(self.head)


class View:
    """The queries of one subscription set.

    Attributes:
        texts: the queries as the client wrote them, by class.
        queries: as the schema reads them.
        key: equal for views that show the same.
    """

    __slots__ = ("key", "queries", "texts")

    def __init__(self, texts: Mapping[str, str], types: Types | None) -> None:
        """Read queries; what a schema can't make sense of is left as it is written.

        Raises:
            QueryError: a query that can't be parsed, or too much of them.
        """
        _check_size(texts)
        self.texts = dict(texts)
        self.queries: dict[str, Query] = {}
        for name, text in texts.items():
            query = _parsed(name, text)
            if types is not None:
                with suppress(QueryError):
                    query = query.check(_field_types(query, types.schema.get(name)))
            self.queries[name] = query
        self.key = tuple(sorted((name, query.text) for name, query in self.queries.items()))

    def sees(self, class_name: str, image: Image) -> bool:
        """Whether an object of a class is in it. Rule 1."""
        query = self.queries.get(class_name)
        return query is not None and image.is_alive and query.matches(image.get)


def check_queries(texts: Mapping[str, str], types: Types | None, *, development: bool) -> None:
    """Raise QueryError, naming class, field and reason, unless they can be served. Rule 2."""
    _check_size(texts)
    for name, text in texts.items():
        reason = broken_class_name(name)
        if reason is not None:
            raise QueryError(reason)
        query = _parsed(name, text)
        if types is None:
            continue
        known = types.schema.get(name)
        if known is None and not development:
            raise QueryError(f"the server's schema has no class {name}")
        if known is not None:
            _check_class(query, known, development)
        try:
            query.check(_field_types(query, known))
        except QueryError as error:
            raise QueryError(f"the query on {name}: {error}") from None


def _check_size(texts: Mapping[str, str]) -> None:
    size = sum(map(len, texts.values()))
    if size > QUERY_BYTES_MAX:
        raise QueryError(
            f"the queries of all classes have {size} characters together, at most "
            f"{QUERY_BYTES_MAX} are allowed"
        )


#: Many sessions ask for the same, and every reconnect asks again.
_remembered: Final = lru_cache(maxsize=1024)(parse)


def _parsed(class_name: str, text: str) -> Query:
    try:
        return _remembered(text) if len(text) <= _REMEMBERED_MAX else parse(text)
    except QueryError as error:
        raise QueryError(f"the query on {class_name}: {error}") from None


def _check_class(query: Query, known: ClassSchema, development: bool) -> None:
    if known.key is None:
        raise QueryError(f"{known.name} is embedded in other objects and can't be subscribed to")
    if development:
        return
    for name in sorted(query.fields - {KEY_NAME}):
        found = known.properties.get(name)
        if found is None:
            raise QueryError(f"{known.name} has no property {name!r:.80} in the server's schema")
        if not found.queryable:
            raise QueryError(f"{found} is not queryable; the server's schema must say so")


def _field_types(query: Query, known: ClassSchema | None) -> dict[str, str]:
    # What is not known yet has no value yet either, so it can be read as anything until it is.
    out = {}
    for name in query.fields:
        found = None if known is None else known.get(name)
        out[name] = "mixed" if found is None else found.spelling
    return out


def declare_columns(writer: Writer, view: View, types: Types | None) -> None:
    """Make columns for the fields a view asks for: for most it is the first use, or none at all."""
    for class_name, query in view.queries.items():
        known = None if types is None else types.schema.get(class_name)
        held = writer.columns(class_name)
        wanted = [name for name in query.fields if name not in held and name != KEY_NAME]
        if known is not None:
            wanted = [name for name in wanted if name in known.properties]
        writer.declare(class_name, sorted(wanted)[: max(0, QUERIED_COLUMNS_MAX - len(held))])
