"""Views under rules: which objects, which fields, and which queries are refused."""

from __future__ import annotations

from typing import Any

import pytest
from server_files import SCHEMA
from test_rules_roles import bound, role, rules

from replication.crdt import object as obj
from replication.errors import QueryError
from replication.model.encoding import pack
from replication.server.queryable import UNCONFIGURED
from replication.server.types import Types
from replication.server.view import Image, NotReadableError, View, check_queries, no_parts

OWNER = {"owner": "%%user.id"}
HIDING = role("a", fields={"note": {"read": True}, "owner": {}})


def filtered(read: Any = OWNER, write: Any = False, **more: Any) -> dict[str, Any]:
    return role("a", document_filters={"read": read, "write": write}, **more)


def image(**fields: Any) -> Image:
    return Image(1, pack([1, 1, [], {0: [[1, 2, dict(sorted(fields.items()))]]}]), no_parts)


def test_a_view_is_the_query_and_the_filter() -> None:
    """[RULES-READ-1]"""
    view = View({"Book": "year > 1"}, None, bound(rules(filtered())).sight)
    assert view.queries["Book"].text == 'owner == "ann" AND year > 1'
    assert view.sees("Book", image(owner="ann", year=2))
    assert not view.sees("Book", image(owner="bob", year=2))
    assert not view.sees("Book", image(owner="ann", year=1))
    assert view.access("Book") is None
    assert view.guards("Book")


def test_a_class_without_a_role_is_not_in_it() -> None:
    """R3 [RULES-ROLE-2]"""
    view = View({"Book": "TRUEPREDICATE"}, None, bound(rules(role("a", False))).sight)
    assert view.queries == {}
    assert not view.sees("Book", image(owner="ann"))


def test_views_are_equal_where_they_show_the_same() -> None:
    texts = {"Book": "TRUEPREDICATE"}
    ann, bob = bound(rules(filtered())).sight, bound(rules(filtered()), "bob").sight
    assert View(texts, None, ann).key == View(texts, None, ann).key
    assert View(texts, None, ann).key != View(texts, None, bob).key
    everything = bound(rules(role("a"))).sight
    assert View(texts, None, everything).key == View(texts, None).key
    less = View(texts, None, bound(rules(HIDING)).sight)
    assert less.key != View(texts, None).key
    assert less.access("Book") is not None
    assert not less.guards("Book")


def test_a_query_that_asks_for_a_hidden_field_is_refused() -> None:
    """[RULES-READ-2]"""
    roles = bound(rules(HIDING))
    for text, name in [("owner == 'x'", "owner"), ("note == 'x' OR secret != 1", "secret")]:
        with pytest.raises(NotReadableError, match=f"role 'a' may not read .* Book.{name}"):
            check_queries({"Book": text}, None, development=False, roles=roles)
        assert View({"Book": text}, None, roles.sight).queries == {}
    check_queries({"Book": "note == 'x' AND _id > 1"}, None, development=False, roles=roles)
    with pytest.raises(NotReadableError, match="Book can't be read: no role in default_roles"):
        check_queries({"Book": "a > 1"}, None, development=False,
                      roles=bound(rules(role("a", False))))  # fmt: skip
    assert issubclass(NotReadableError, QueryError)


def test_a_query_on_a_readable_field_of_an_embedded_object() -> None:
    """[RULES-READ-2]: what it asks for may be read, what is beside it is not asked for."""
    types = Types(SCHEMA, UNCONFIGURED)
    some = {"fields": {"city": {"read": True}}}
    roles = bound(rules(role("a", fields={"home": some, "stops": some, "rooms": some})))

    def refused(text: str) -> str:
        try:
            check_queries({"Book": text}, types, development=True, roles=roles)
        except NotReadableError as error:
            return str(error).rpartition(": ")[2]
        return ""

    for text in ("home.city == 'x'", "stops.city == 'x'", "ANY stops.city == 'x'"):
        assert refused(text) == ""
        assert View({"Book": text}, types, roles.sight).queries["Book"].text
    assert refused("ANY home.marks == 1") == "Book.home.marks"
    assert refused("home == null") == "Book.home"
    assert refused("stops.@count > 1") == "Book.stops"
    assert refused("stops[0].city == 'x'") == "Book.stops"
    assert refused("rooms.key.city == 'x'") == "Book.rooms.key.city"
    assert refused("home.city == 'x' AND home.marks.@count == 0") == "Book.home.marks"
    assert refused("TRUEPREDICATE SORT(home.marks ASC) LIMIT(1)") in ("", "Book.home.marks")


def test_a_filter_on_a_path() -> None:
    """[RULES-READ-1] [RULES-FILTER-1]"""
    types = Types(SCHEMA, UNCONFIGURED)
    inside = bound(rules(filtered(read={"home.city": "%%user.id"}))).sight
    view = View({"Book": "year > 1"}, types, inside)
    assert view.queries["Book"].text == 'home.city == "ann" AND year > 1'
    assert view.is_local
    home = {"home": [1, 1, [], {obj.REGISTER: [[1, 2, {"city": "ann"}]]}]}
    fields = {obj.REGISTER: [[1, 2, {"year": 2}]], obj.EMBEDDED: home}
    assert view.sees("Book", Image(1, pack([1, 1, [], fields]), no_parts))
    assert not view.sees("Book", image(year=2))
    beyond = bound(rules(filtered(read={"author.name": "%%user.id"}))).sight
    assert View({"Book": "year > 1"}, types, beyond).queries["Book"].text == "FALSEPREDICATE"
    assert View({"Book": "year > 1"}, None, beyond).queries["Book"].text == "FALSEPREDICATE"
