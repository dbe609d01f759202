"""What the tests of paths draw from: classes that link and embed, their objects, and queries."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st
from plain_objects import Objects
from query_strategies import TYPES, values, values_of

from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.values import EmbeddedValues, Link, NestedDict, NestedList
from replication.query.literals import constant

#: Beside the plain fields: everything that paths go through.
WIDE: Final[dict[str, str]] = {
    **TYPES,
    "e": "embedded:Home",
    "k": "dict<int>",
    "ko": "dict<embedded:Home>",
    "le": "list<embedded:Home>",
    "l": "link:P",
    "ll": "list<link:P>",
    "kl": "dict<link:P>",
    "g": "embedded:Place",
}
HOME: Final = {"n": "int?", "s": "string?", "t": "list<string>", "l": "link:P"}
P: Final = {"n": "int?", "s": "string?", "t": "list<int>", "p": "link:P", "e": "embedded:Home"}
PLACE: Final = {"type": "string?", "coordinates": "list<double>"}


def _properties(fields: dict[str, str]) -> list[Property]:
    return [Property.of(name, spelled) for name, spelled in fields.items() if name != "_id"]


SCHEMA: Final = Schema(
    [
        ClassSchema("W", _properties(WIDE), key="int"),
        ClassSchema("P", _properties(P), key="int"),
        ClassSchema("Home", _properties(HOME)),
        ClassSchema("Place", _properties(PLACE)),
    ]
)


def _sorted(held: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(held.items()))


_small = st.none() | st.integers(0, 3)
_word = st.none() | st.sampled_from(["", "a", "b", "ab"])
_keys = st.sampled_from(["a", "b", "a b", ""])
_links = st.builds(Link, st.just("P"), st.integers(1, 4))
_homes = st.builds(
    lambda n, s, t, link: EmbeddedValues(n=n, s=s, t=t, l=link),
    _small,
    _word,
    st.lists(st.sampled_from(["a", "b"]), max_size=2),
    st.none() | _links,
)
_nested = st.recursive(
    values,
    lambda inner: (
        st.lists(inner, max_size=2).map(NestedList)
        | st.dictionaries(_keys, inner, max_size=2).map(
            lambda held: NestedDict(sorted(held.items()))
        )
    ),
    max_leaves=4,
)
_points = st.builds(
    lambda x, y: EmbeddedValues(type="Point", coordinates=[x, y]),
    st.sampled_from([-179.0, 0.0, 0.5, 1.0, 180.0]),
    st.sampled_from([-90.0, 0.0, 0.5, 1.0, 89.0]),
)


_of_wide: Final[dict[str, st.SearchStrategy[Any]]] = {
    "e": st.none() | _homes,
    "k": st.dictionaries(_keys, st.integers(0, 3), max_size=3).map(_sorted),
    "ko": st.dictionaries(_keys, _homes, max_size=2).map(_sorted),
    "le": st.lists(_homes, max_size=3),
    "l": st.none() | _links,
    "ll": st.lists(_links, max_size=3),
    "kl": st.dictionaries(_keys, st.none() | _links, max_size=2).map(_sorted),
    "g": st.none() | _points,
    "m": _nested,
    "lm": st.lists(_nested, max_size=2),
}
_drawn: Final = {
    name: _of_wide[name] if name in _of_wide else values_of(spelled)
    for name, spelled in WIDE.items()
    if name in _of_wide or name in ("i", "d", "s", "n", "li", "ls", "sn")
}


def _is_always_there(name: str) -> bool:
    # A missing collection is null, which no object that fits the schema shows.
    return "<" in WIDE[name]


wide_documents: Final = st.fixed_dictionaries(
    {name: each for name, each in _drawn.items() if _is_always_there(name)},
    optional={name: each for name, each in _drawn.items() if not _is_always_there(name)},
)
_persons = st.fixed_dictionaries(
    {"t": st.lists(st.integers(0, 3), max_size=2)},
    optional={
        "n": _small,
        "s": _word,
        "p": st.none() | _links,
        "e": st.none() | _homes,
    },
)
#: A few wide objects and what they link to; some links lead nowhere.
worlds: Final = st.builds(
    lambda wide, persons: Objects({"W": dict(enumerate(wide)), "P": persons}),
    st.lists(wide_documents, min_size=1, max_size=3),
    st.dictionaries(st.integers(1, 3), _persons, max_size=3),
)

_WORDS: Final = """
    i d s n li ls sn l m lm e k ko le ll kl g e.n e.s e.t e.l.n e.l k.a k["a~b"] k[''] ko.a.n
    ko.@values.n ko.@values k.@keys k.@values le.n le.s le.t le[0].n le[LAST].t le[*].l.s l.n l.s
    l.t l.p.n l.p.p.t l.e.s ll.n ll.s ll.t ll[FIRST].p ll.p.n ll[1].s kl.a.n kl.@values.t m.a m[0]
    m[*] m[*].a m.a[0] m[*][*] m['a~b'] m.@keys lm[0] lm[*] lm[*][*] lm[0].a li[0] li[LAST] ls[1]
    ls.length s.length @links.W.l @links.W.ll.i @links.P.p.n @links l.@links.P.p.s nosuch.x
"""
_AGGREGATES: Final = ["@count", "@size", "@sum", "@avg", "@min", "@max"]
_TAGS: Final = ["null", "int", "String", "numeric", "object", "list", "dictionary", "link", "BOOL"]
_SHAPES: Final = [
    "geoBox([0, 0], [1, 1])",
    "geoBox([179, -90], [0.5, 0.5])",
    "geoCircle([0.5, 0.5], 0.01)",
    "geoPolygon({[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]})",
    "geoPolygon({[-1, -1], [2, -1], [1, 2], [-1, -1]}, {[0, 0], [1, 0], [0.5, 0.6], [0, 0]})",
]
paths: Final = st.sampled_from([word.replace("~", " ") for word in _WORDS.split()])


@st.composite
def operands(draw: st.DrawFn, prefix: str = "") -> str:
    """Something that stands for one value or many, without a quantifier."""
    path = prefix + draw(paths if not prefix else st.sampled_from(["n", "s", "t", "p.n", "e.s"]))
    shape = draw(st.integers(0, 5))
    if shape == 0:
        return f"{path}.{draw(st.sampled_from(_AGGREGATES))}"
    if shape == 1 and not prefix:
        return draw(st.sampled_from(["le.@max.n", "ll.@sum.n", "k.@values.@avg", "li.@sum"]))
    if shape == 2:
        operator = draw(st.sampled_from("+-*/"))
        other = draw(st.sampled_from(["1", "2.5", "-3", f"{prefix}n", "decimal(0.5)", "0"]))
        third = draw(st.sampled_from(["", " * 2", " - 1", " / 2"]))
        return draw(
            st.sampled_from(
                [f"{path} {operator} {other}{third}", f"({path} {operator} {other}){third}"]
            )
        )
    return path


@st.composite
def conditions(draw: st.DrawFn, prefix: str = "") -> str:
    """A comparison with a path, an aggregate, a calculation, a sub-query or a region in it."""
    shape = draw(st.integers(0, 9))
    path = prefix + draw(paths if not prefix else st.sampled_from(["n", "s", "t", "p.n", "e.s"]))
    quantifier = draw(st.sampled_from(["", "", "ANY ", "ALL ", "NONE "]))
    pool = draw(st.sampled_from([_small, _word, values]))
    value = constant(draw(pool)).text
    if shape == 0 and not prefix:
        condition = draw(conditions("$each."))
        target = draw(st.sampled_from(["le", "ll", "ko.@values", "@links.W.ll", "e", "l", "m[*]"]))
        return f"SUBQUERY({target}, $each, {condition}).@count {draw(_comparisons)} 1"
    if shape == 1:
        operator = draw(st.sampled_from(["==", "!="]))
        return f"{quantifier}{path}.@type {operator} '{draw(st.sampled_from(_TAGS))}'"
    if shape == 2:
        items = ", ".join(constant(draw(pool)).text for _ in range(draw(st.integers(0, 3))))
        return f"{path} {draw(st.sampled_from(['==', '!=', '==[c]']))} {{{items}}}"
    if shape == 3 and not prefix:
        return (
            f"{draw(st.sampled_from(['g', 'm', 'e']))} geoWithin {draw(st.sampled_from(_SHAPES))}"
        )
    if shape == 4:
        words = draw(st.sampled_from(["a", "-a", "a*", "a b", "-b a*", ""]))
        return f"{quantifier}{path} TEXT '{words}'"
    if shape == 5:
        return f"{quantifier}{path} {draw(_comparisons)} {value}"
    if shape == 6:
        return f"{quantifier}{path} IN {{{value}, {constant(draw(pool)).text}}}"
    return (
        f"{draw(operands(prefix))} {draw(_comparisons)} {draw(st.just(value) | operands(prefix))}"
    )


_comparisons: Final = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
#: Texts that parse, save where two constants meet or what is no number is calculated with.
wide_queries: Final = st.recursive(
    conditions(),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(" AND ".join),
        st.lists(inner, min_size=2, max_size=3).map(" OR ".join),
        inner.map(lambda part: f"NOT ({part})"),
        inner.map(lambda part: f"({part})"),
    ),
    max_leaves=4,
)
#: What may stand behind a condition.
_MODIFIERS: Final = [
    *(
        "SORT(i)",
        "SORT(s desc, l.n ASC)",
        "SORT(k.a DESCENDING)",
        "DISTINCT(i)",
        "DISTINCT(e.n, s)",
    ),
    *("LIMIT(0)", "LIMIT(2)", "limit(5)", "FOLLOW(l)", "FOLLOW(l.p, 2)", "FOLLOW(*, 3)"),
]
modifiers: Final = st.lists(st.sampled_from(_MODIFIERS), max_size=4).map(" ".join)
