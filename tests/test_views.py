"""Views keep little, and make the rest again: nobody can tell."""

from __future__ import annotations

from typing import Any

import pytest

from replication.errors import QueryError
from replication.limits import QUERY_BYTES_MAX
from replication.model.encoding import pack
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.query.ast import Comparison, Field
from replication.query.few import count, each, joined, parted
from replication.rules.sight import EVERYTHING
from replication.server import view as views
from replication.server.types import Types
from replication.server.view import Image, View, classes_of, no_parts

#: More views than there is room for what is made of them.
FAR = 2 * (views._parts_of.cache_info().maxsize or 0)


def image(**fields: Any) -> Image:
    return Image(1, pack([1, 1, [], {0: [[1, 2, dict(sorted(fields.items()))]]}]), no_parts)


def test_a_view_that_was_long_not_looked_at_shows_the_same() -> None:
    assert FAR
    first = View({"Book": "a == 1 AND b > 2"}, None)
    windows = View({"Book": "TRUEPREDICATE SORT(a ASC) LIMIT(3)"}, None)
    key, texts = first.key, first.texts
    held = [View({"Book": f"a == {number}"}, None) for number in range(FAR)]
    assert views._parts_of.cache_info().currsize < FAR
    assert (first.key, first.texts) == (key, texts)
    assert first.sees("Book", image(a=1, b=3))
    assert not first.sees("Book", image(a=1, b=2))
    assert first.queries["Book"].fields == {"a", "b"}
    assert windows.beyond.keys() == {"Book"}
    assert not windows.is_local
    assert [each for each in held if each.sees("Book", image(a=7))] == [held[7]]


def test_what_every_wake_up_asks_needs_no_query() -> None:
    """A session that is woken and told what others found out reads no query again."""
    held = [View({"Book": f"a == {number}"}, None) for number in range(FAR)]
    before = views._parts_of.cache_info().misses
    for view in held:
        assert view.is_local
        assert not view.is_empty
        assert not view.might_move(["Book"])
        assert view.access("Book") is None
        assert not view.guards("Book")
    assert views._parts_of.cache_info().misses == before
    assert View({}, None).is_empty


def test_a_view_keeps_its_text_once() -> None:
    """As long as a schema reads it as it stands, its key says all that it asks for."""
    view = View({"Book": "b == 1 AND a == 2", "Author": "c == 3"}, None)
    assert view.texts == {"Book": "a == 2 AND b == 1", "Author": "c == 3"}
    assert view.key == ("Author", "c == 3", "Book", "a == 2 AND b == 1")
    assert classes_of(view.key) == ("Author", "Book")
    alone = View({"Book": "b == 1 AND a == 2"}, None)
    assert alone.key is alone._texts
    assert not hasattr(alone, "__dict__")


def test_a_view_is_read_again_whatever_its_canonical_text_takes() -> None:
    """What a client sent was within the limit; what we make of it may be longer."""
    clause = "&&".join(f"a{number}=1" for number in range(400))
    texts = {f"C{number}": clause for number in range(QUERY_BYTES_MAX // len(clause))}
    view = View(texts, None)
    assert sum(map(len, view.texts.values())) > QUERY_BYTES_MAX
    with pytest.raises(QueryError, match="characters together"):
        View(view.texts, None)
    assert view.again(None, EVERYTHING).key == view.key


def test_a_view_is_read_as_the_schema_says() -> None:
    book = ClassSchema("Book", [Property("price", "double")], key="int")
    plain = View({"Book": "price == 1"}, None)
    typed = plain.again(Types(Schema([book])), EVERYTHING)
    assert plain.texts == typed.texts
    for view, kind in ((plain, None), (typed, "double"), (typed.again(None, EVERYTHING), None)):
        root = view.queries["Book"].root
        assert isinstance(root, Comparison)
        assert isinstance(root.left, Field)
        assert root.left.type == kind
        assert view.key == plain.key


class _Thing:
    pass


def test_few() -> None:
    """Nothing, one, many, and back."""
    a, b, c = _Thing(), _Thing(), _Thing()
    few: Any = None
    assert (count(few), list(each(few))) == (0, [])
    for number, thing in enumerate((a, b, c), start=1):
        few = joined(few, thing)
        assert count(few) == number
    assert list(each(few)) == [a, b, c]
    few = parted(few, b)
    assert list(each(few)) == [a, c]
    few = parted(few, a)
    assert few is c
    assert parted(few, c) is None
    with pytest.raises(AssertionError):
        parted(c, a)
