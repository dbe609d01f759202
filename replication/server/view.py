"""Views: which objects of a data set a session sees, and what of them.

An object has to match the query of the subscription set and, where there are rules, the read filter
of the user's role; of it those fields are shown that the role may read.

Rule 1: an object is in a view when it is alive, its class has a query, and the query holds. A
        class without a query is not in it at all.
Rule 2: with a schema, a query is served only for classes and fields that are there and queryable;
        in development mode classes and fields may be unknown yet, and any is queryable.
Rule 3: a query is read as the schema says. What comes into the schema later changes nothing for
        the objects there were, so a view is read again whenever the schema has grown.
Rule 4: a class for which the user has no role is not in it, nor is one whose query asks for a field
        that the role may not read: who is in view and who is not would tell its value.
Rule 5: what a query asks of other objects is asked as if only those existed that the user may read,
        with the fields that the user may read: who is in view tells nothing of the others.
        [RULES-READ-3]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from sys import intern
from typing import Any, Final, TypeAlias

from replication.crdt.parts import Parts
from replication.crdt.view import QueryFields, queryable, shows
from replication.errors import QueryError
from replication.limits import QUERIED_COLUMNS_MAX, QUERY_BYTES_MAX
from replication.model.encoding import unpack_trusted
from replication.model.schema import ClassSchema
from replication.model.types import KEY_NAME, broken_class_name
from replication.model.values import SPREAD, Key, Link
from replication.query import Query, canonical, parse
from replication.query.ast import Branch
from replication.query.reach import depends_on, read_by, unsubscribable
from replication.rules.access import Access
from replication.rules.project import seen_fields
from replication.rules.roles import Denied, Granted, Roles
from replication.rules.sight import EVERYTHING, NOTHING, Sight
from replication.server.touched import asked_about
from replication.server.types import Types
from replication.storage.contract import Writer
from replication.storage.graph import Lens


class NotReadableError(QueryError):
    """A query that asks for what the user may not read. Rule 4."""


#: Classes that one error names.
_NAMED_MAX: Final = 5
#: Characters of a query that is worth remembering.
_REMEMBERED_MAX: Final = 4096
#: Classes, each followed by the canonical text of its query.
_Texts: TypeAlias = tuple[str, ...]


def no_parts() -> Parts | None:
    """Of an object of which nobody knows more than the head: its long lists read as null."""


class Image:
    """An object at one moment: its head, decoded when that is asked for.

    Args:
        parts: gives what of it lies beside the head at that moment, once a long list is asked for.
        values: what queries see of some fields, where that is known already.
    """

    __slots__ = ("_fields", "_parts", "_values", "head", "key")

    def __init__(
        self,
        key: Key,
        head: bytes | None,
        parts: Callable[[], Parts | None],
        values: Mapping[str, Any] | None = None,
    ) -> None:
        self.key = key
        self.head = head
        self._parts = parts
        self._fields: Mapping[str, Any] | None = None
        self._values: dict[str, Any] | None = None
        if values is not None:
            self._values = {KEY_NAME: key, **values}

    def get(self, name: str) -> Any:
        """What queries see of one field; null for one that is not alive."""
        values = self._values
        if values is None:
            values = self._values = {KEY_NAME: self.key}
        found = values.get(name, SPREAD)
        if found is SPREAD:  # or not known
            fields = self._fields
            if fields is None:
                head = self.head
                fields = {} if head is None else queryable(unpack_trusted(head), self._parts())
                self._fields = fields
            found = values[name] = fields.get(name)
        return found

    @property
    def is_alive(self) -> bool:
        """Whether a reader of everything would see it."""
        return shows(self.head)


class _Parts:
    """A view's queries, taken apart; see `View`."""

    __slots__ = ("beyond", "lens", "local", "queries", "readable", "relevant")

    def __init__(self, texts: _Texts, types: Types | None, sight: Sight) -> None:
        self.queries: dict[str, Query] = {}
        parts: dict[str, Query] = {}
        beyond: dict[str, tuple[Branch, ...]] = {}
        readable: dict[str, Access] = {}
        for name, text in _by_class(texts).items():
            query = as_read(_parsed(name, text), name, types)
            seen = sight.of(name)
            if seen.fields.is_none or hidden(query, seen.fields):
                continue
            if seen.objects.root is not canonical.TRUE:
                query = query.narrowed(as_filter(seen.objects, name, types))
            if not seen.fields.is_all:
                readable[name] = seen.fields
            self.queries[name] = query
            local, branches = query.parted()
            if local is not None:
                parts[name] = local
            if branches:
                beyond[name] = branches
        self.local = parts if beyond else self.queries
        self.beyond: Mapping[str, tuple[Branch, ...]] = beyond
        self.readable: Mapping[str, Access] = readable
        self.lens = lens_of(sight, types) if beyond else None
        self.relevant = _having_a_say(beyond, types)


def _having_a_say(
    beyond: Mapping[str, tuple[Branch, ...]], types: Types | None
) -> frozenset[str] | None:
    """The classes whose objects can change the members of a view; None if they all can."""
    out = frozenset[str]()
    for name, branches in beyond.items():
        found = None if types is None else depends_on(name, branches, types.schema)
        if found is None:
            return None
        out |= found
    return out


#: The queries of the views that are at work: reading them costs less than keeping them all.
_parts_of: Final = lru_cache(maxsize=1024)(_Parts)


class View:
    """The queries of one subscription set.

    There are very many views, and most are never looked at for a long time: a view keeps the text
    of its queries, and what is made of that is made again when it is asked for.

    Attributes:
        types: what the schema said when they were read.
        sight: what the user may read.
        key: equal for views that show the same; see `classes_of`.
    """

    __slots__ = ("_kept", "_texts", "key", "sight", "types")

    def __init__(
        self, texts: Mapping[str, str], types: Types | None, sight: Sight = EVERYTHING
    ) -> None:
        """Read queries; what a schema can't make sense of is left as it is written.

        Args:
            sight: what the user may read.

        Raises:
            QueryError: a query that can't be parsed, or too much of them.
        """
        _check_size(texts)
        plain = {intern(name): _parsed(name, text).text for name, text in texts.items()}
        self._read(tuple(chain.from_iterable(plain.items())), types, sight)

    def again(self, types: Types | None, sight: Sight) -> View:
        """The view of the same queries, as another schema reads them, of what is seen now."""
        view = View.__new__(View)
        view._read(self._texts, types, sight)
        return view

    def _read(self, texts: _Texts, types: Types | None, sight: Sight) -> None:
        self._texts = texts
        self.types = types
        self.sight = sight
        parts = _parts_of(texts, types, sight)
        #: What takes long to be made again.
        self._kept = parts if parts.beyond else None
        # Its classes in order, each followed by its query; and which fields are shown, unless all.
        read = [item for name in sorted(parts.queries) for item in (name, parts.queries[name].text)]
        if parts.lens is not None:  # what is behind links may be of any class
            read.append(repr(sight.key))
        elif parts.readable:
            shown = sorted((name, each.key) for name, each in parts.readable.items())
            read.append(repr(shown))
        self.key = texts if texts == (*read,) else (*read,)

    @property
    def _parts(self) -> _Parts:
        return self._kept or _parts_of(self._texts, self.types, self.sight)

    @property
    def texts(self) -> dict[str, str]:
        """The canonical text of the queries that the client asked, by class."""
        return _by_class(self._texts)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it, whatever there is: no query, or none that may be asked."""
        return len(self.key) < 2

    @property
    def queries(self) -> Mapping[str, Query]:
        """The queries as the schema reads them, each with the read filter of the user's role."""
        return self._parts.queries

    @property
    def local(self) -> Mapping[str, Query]:
        """The parts of them that one object alone decides."""
        return self._parts.local

    @property
    def beyond(self) -> Mapping[str, tuple[Branch, ...]]:
        """The other parts; see `members`."""
        return self._parts.beyond

    @property
    def lens(self) -> Lens | None:
        """What is seen of an object that a link leads to; None for all of it. Rule 5."""
        return self._parts.lens

    def access(self, class_name: str) -> Access | None:
        """The fields of a class that are shown; None for all."""
        fields = self.sight.of(class_name).fields
        return None if fields.is_all else fields

    def guards(self, class_name: str) -> bool:
        """Whether rules hide objects of a class."""
        return self.sight.of(class_name).objects.root is not canonical.TRUE

    def might_move(self, classes: Iterable[str]) -> bool:
        """Whether changes to objects of some classes can change its members."""
        parts = self._kept
        if parts is None:
            return False
        return parts.relevant is None or not parts.relevant.isdisjoint(classes)

    @property
    def is_local(self) -> bool:
        """Whether an object alone decides whether it is in it."""
        return self._kept is None

    def sees_all(self, class_name: str) -> bool:
        """Whether every object of a class that is alive is in it."""
        query = self.local.get(class_name)
        return query is not None and query.root is canonical.TRUE

    def sees(self, class_name: str, image: Image) -> bool:
        """Whether an object of a class is in it, members apart. Rule 1."""
        query = self.local.get(class_name)
        return query is not None and image.is_alive and query.matches(image.get)


def classes_of(key: tuple[str, ...]) -> tuple[str, ...]:
    """The classes of the views that have a key, in order."""
    return key[: len(key) // 2 * 2 : 2]


def _by_class(texts: _Texts) -> dict[str, str]:
    return dict(zip(texts[::2], texts[1::2], strict=True))


def lens_of(sight: Sight, types: Types | None) -> Lens | None:
    """What a user sees of an object that a link leads to. Rule 5."""
    if sight is EVERYTHING:
        return None

    def lens(link: Link, fields: QueryFields) -> QueryFields | None:
        seen = sight.of(link.class_name)
        held = as_filter(seen.objects, link.class_name, types)
        get = fields.get
        if not held.matches(lambda name: link.key if name == KEY_NAME else get(name)):
            return None
        return fields if seen.fields.is_all else seen_fields(fields, seen.fields)

    return lens


def read_of(view: View) -> dict[str, set[str]]:
    """The properties that decide what a view holds, by class; see `reach.read_by`."""
    out: dict[str, set[str]] = {}
    for name, query in view.queries.items():
        for each, names in read_by(name, query).items():
            out.setdefault(each, set()).update(names)
    return out


def hidden(query: Query, readable: Access) -> list[str]:
    """The fields that a query asks for and that may not be read, as paths. Rule 4."""
    if readable.is_all:
        return []
    ways = {way for way in asked_about(query) if way[0] != KEY_NAME}
    return sorted(".".join(way) for way in ways if not readable.has(way))


@lru_cache(maxsize=1024)
def as_read(query: Query, class_name: str, types: Types | None) -> Query:
    """A query as the schema reads it, where that can be done."""
    if types is not None:
        with suppress(QueryError):
            known = types.schema.get(class_name)
            return query.check(_field_types(query, known), types.schema)
    return query


@lru_cache(maxsize=4096)
def as_filter(query: Query, class_name: str, types: Types | None) -> Query:
    """A read or write filter as the schema reads it.

    One that may look at other objects, as a path past a link or a mixed value does, holds for none.
    """
    found = as_read(query, class_name, types)
    return found if found.is_local else NOTHING.objects


def check_queries(
    texts: Mapping[str, str],
    types: Types | None,
    *,
    development: bool,
    roles: Roles | None = None,
) -> None:
    """Raise QueryError, naming class, field and reason, unless they can be served. Rules 2, 4."""
    _check_size(texts)
    for name, text in texts.items():
        reason = broken_class_name(name)
        if reason is not None:
            raise QueryError(reason)
        query = _parsed(name, text)
        if roles is not None:
            _check_role(query, name, roles.of(name))
        if types is not None:
            if not development and types.schema.get(name) is None:
                raise QueryError(_unknown(texts, types))
            query = _checked(query, name, types, development)
        reason = unsubscribable(query, known=types is not None)
        if reason is not None:
            raise QueryError(f"the query on {name}: {reason}")


def _unknown(texts: Mapping[str, str], types: Types) -> str:
    """What to do about the classes of a set that a server does not have."""
    names = sorted(name for name in texts if types.schema.get(name) is None)
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return (
        f"the server's schema has no class {', '.join(names[:_NAMED_MAX])}{more}: edit the set and "
        "remove what asks for it, or add it to that schema (`replication serve --schema`, or "
        "development mode), and the set is served"
    )


def _checked(query: Query, class_name: str, types: Types, development: bool) -> Query:
    known = types.schema.get(class_name)
    if known is not None:
        _check_class(known)
        reason = _unqueryable(query, known, types, development)
        if reason is not None:
            raise QueryError(reason)
    try:
        return query.check(_field_types(query, known), types.schema)
    except QueryError as error:
        raise QueryError(f"the query on {class_name}: {error}") from None


def _check_role(query: Query, class_name: str, role: Granted | Denied) -> None:
    if isinstance(role, Denied):
        raise NotReadableError(f"{class_name} can't be read: {role.reason}")
    names = hidden(query, role.readable)
    if names:
        fields = ", ".join(f"{class_name}.{name}" for name in names)
        raise NotReadableError(f"role {role.name!r} may not read what the query asks for: {fields}")


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


def _check_class(known: ClassSchema) -> None:
    if known.key is None:
        raise QueryError(f"{known.name} is embedded in other objects and can't be subscribed to")


def unqueryable(texts: Mapping[str, str], types: Types | None, *, development: bool) -> str | None:
    """Why queries that were served once can't be any more, naming the field; None if they can."""
    if types is None:
        return None
    for name, text in texts.items():
        known = types.schema.get(name)
        if known is not None:
            reason = _unqueryable(_parsed(name, text), known, types, development)
            if reason is not None:
                return reason
    return None


def _unqueryable(query: Query, known: ClassSchema, types: Types, development: bool) -> str | None:
    for name in sorted(query.fields - {KEY_NAME}):
        found = known.properties.get(name)
        if found is None:
            if not development:
                return f"{known.name} has no property {name!r:.80} in the server's schema"
            continue
        reason = types.queryable.refusal(found, development=development)
        if reason is not None:
            return reason
    return None


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
        wanted = [name for name in query.columns if name not in held and name != KEY_NAME]
        if known is not None:
            wanted = [name for name in wanted if name in known.properties]
        writer.declare(class_name, sorted(wanted)[: max(0, QUERIED_COLUMNS_MAX - len(held))])
