"""What tests of rules draw from: users, documents and expressions that fit one another often."""

from __future__ import annotations

from typing import Any, Final

from bson.objectid import ObjectId
from hypothesis import strategies as st

from replication.model.values import EmbeddedValues, Link, NestedDict

_OID: Final = "5f0000000000000000000001"
_words: Final = st.sampled_from(["ann", "bob", "red", "", _OID])
_scalars: Final = st.one_of(
    st.none(), st.booleans(), st.sampled_from([0, 1, 2, 1.0, 2.5, -1]), _words
)
_values: Final = _scalars | st.lists(_scalars, max_size=3)
FIELDS: Final = (
    "owner", "team", "n", "tags", "home", "home.owner", "home.in.n", "home.length", "home.@count",
    "rooms.n", "rooms.in.owner", "n.first name",
)  # fmt: skip

users: Final = st.fixed_dictionaries(
    {"id": _words, "type": st.sampled_from(["normal", "server"])},
    optional={
        "custom_data": st.dictionaries(st.sampled_from(["a", "b", "c"]), _values, max_size=3),
    },
)
_plain: Final = _scalars | st.just(ObjectId(_OID)) | st.lists(_scalars, max_size=3)
_INNER: Final = st.sampled_from(["owner", "n", "in", "length", "@count", "first name"])


def _embedded(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(_INNER, inner, max_size=3).flatmap(
        lambda found: st.sampled_from([EmbeddedValues(found), found, NestedDict(found)])
    )


#: What the fields of a document hold, as queries see it.
documents: Final = st.dictionaries(
    st.sampled_from(["owner", "team", "n", "tags", "home", "rooms"]),
    _plain
    | _embedded(_plain | _embedded(_plain))
    | st.lists(_embedded(_plain | _embedded(_plain)), max_size=3)
    | st.just(Link("Person", 1)),
    max_size=5,
)
_expansions: Final = st.sampled_from(
    ["%%user.id", "%%user.type", "%%true", "%%false", "%%values.v"]
    + [f"%%user.custom_data.{name}" for name in "abcd"]
)
_prefix: Final = st.sampled_from("$%")


@st.composite
def _said(draw: st.DrawFn, known: bool) -> Any:
    """What is said of one thing: `known`, of one that no document is needed for."""
    right: Any = _scalars | _expansions
    if known:
        right = right | st.sampled_from([f"%%root.{name}" for name in FIELDS])
    else:
        right = right | _expansions.map(lambda name: {"%stringToOid": name})
    if draw(st.integers(0, 2)) == 0:
        return draw(right)
    out = {}
    for name in draw(st.lists(st.sampled_from(_OPERATORS), min_size=1, max_size=2, unique=True)):
        if name == "exists":
            value: Any = draw(st.booleans())
        elif name in ("in", "nin"):
            value = draw(st.lists(_scalars | _expansions, max_size=3) | _expansions)
        elif name in ("and", "or", "nor"):
            value = draw(st.lists(_said(known), max_size=2))
        else:
            value = draw(_said(known) if name == "not" else right)
        out[draw(_prefix) + name] = value
    return out


_OPERATORS: Final = [
    "eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "exists", "not", "and", "or", "nor",
]  # fmt: skip


@st.composite
def _pairs(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> Any:
    out: dict[str, Any] = {}
    for _ in range(draw(st.integers(0, 2))):
        shape = draw(st.integers(0, 5))
        if shape < 3:
            out[draw(st.sampled_from(FIELDS))] = draw(_said(known=False))
        elif shape == 3:
            out[draw(_expansions)] = draw(_said(known=True))
        elif shape == 4:
            out[draw(_prefix) + draw(st.sampled_from(["and", "or", "nor"]))] = draw(
                st.lists(inner, max_size=3)
            )
        else:
            out[draw(_prefix) + "not"] = draw(inner)
    return out


#: Expressions that a document filter may be, most of them.
filters: Final = st.recursive(
    st.booleans() | _pairs(st.booleans()) | st.sampled_from(["%%true", "%%root.n", "%%user.id"]),
    lambda inner: _pairs(inner),
    max_leaves=6,
)
