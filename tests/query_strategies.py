"""What the query tests draw from: values that collide, documents, and queries as text."""

from __future__ import annotations

import math
import uuid
from typing import Any, Final

from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from hypothesis import strategies as st

from replication.model.values import Container, Float32, Link, Timestamp
from replication.query.canonical import name_text
from replication.query.literals import constant

#: Fields and their types; `_` and a keyword among the names.
TYPES: Final[dict[str, str]] = {
    "_id": "int",
    "i": "int?",
    "d": "double?",
    "f": "float?",
    "n": "decimal?",
    "c": "counter",
    "s": "string?",
    "like": "string?",
    "b": "bool?",
    "y": "binary?",
    "t": "timestamp?",
    "o": "objectId?",
    "u": "uuid?",
    "l": "link:P",
    "m": "mixed",
    "li": "list<int>",
    "ls": "list<string?>",
    "lm": "list<mixed>",
    "sn": "set<decimal>",
    "sf": "set<float>",
}

_INTS = [0, 1, 2, 3, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 16777217]
_DOUBLES = [0.0, -0.0, 1.0, 0.1, 2.5, 2.0**53, 2.0**63, -(2.0**63), 1e300, -1e-300, 5e-324]
_DOUBLES += [math.inf, -math.inf, math.nan, Float32(0.1), Float32(2.5)]
_DECIMALS = ["0", "1", "1.0", "0.1", "2.5", "-0", "NaN", "sNaN", "Infinity", "-Infinity", "1E-6176"]
_DECIMALS += ["9.999999999999999999999999999999999E+6144", "9007199254740992.5", "-0.1", "1E+300"]
_DECIMALS += [
    "1.234567890123456789012345678901234",
    "9007199254740993",
    "1E-400",
    "1.000000000000000000000000000000001",
    "-1E-6176",
]
_DECIMALS += ["9223372036854775806.5", "-9223372036854775807.5", "1.5", "-2.00000001", "-2.000001"]
_DECIMALS += ["9223372036854775807.5", "-9223372036854775808.5", "0.10000000149011612"]
_STRINGS = ["", "a", "A", "ab", "abc", "b", "a\0b", "ß", "SS", "ss", "ſ", "é", "e\u0301", "K"]
_STRINGS += [
    "\ud7ff",
    "\ue000",
    "\U0010ffff",
    "a\U0010ffff",
    "a\U0010ffffb",
    "a*",
    "a?c",
    '"\\',
    "1",
]
_STRINGS += ["a\ud7ff", "a\ud7ffb", "a\ue000"]
_TIMES = [(0, 0), (0, 1), (-1, 999_999_999), (-(2**63), 0), (2**63 - 1, 999_999_999), (1, 0)]
_BYTES = [b"", b"\x00", b"a", b"a\x00", b"\xff"]
_IDS = [bytes(12), b"a" * 12, b"\xff" * 12]
_UUIDS = [0, 1, 2**128 - 1]
_KEYS: list[Any] = [1, "1", ObjectId(b"a" * 12), uuid.UUID(int=1)]

#: Lists and dictionaries in mixed values: no query can spell one.
_CONTAINERS = [Container(3, 2, 1), Container(4, 2, 9)]

#: One of everything that is hard, for tests that try every pair.
HARD_VALUES: Final[list[Any]] = [
    *(None, False, True),
    *_INTS,
    *_DOUBLES,
    *map(Decimal128, _DECIMALS),
    *_STRINGS,
    *_BYTES,
    *(Timestamp(*both) for both in _TIMES),
    *map(ObjectId, _IDS),
    *(uuid.UUID(int=number) for number in _UUIDS),
    *(Link(name, key) for name in "PQ" for key in _KEYS),
]

_ints = st.sampled_from(_INTS) | st.integers(-(2**63), 2**63 - 1)
_doubles = st.sampled_from(_DOUBLES) | st.floats()
_floats = st.sampled_from([0.0, 0.1, 1.0, 2.5, math.inf, math.nan, 3.4028234663852886e38])
_floats32 = _floats.map(Float32) | st.floats(width=32).map(Float32)
_decimals = st.sampled_from(_DECIMALS).map(Decimal128) | st.builds(
    lambda digits, exponent: Decimal128(f"{digits}E{exponent}"),
    st.integers(-(10**34) + 1, 10**34 - 1),
    st.integers(-40, 40),
)
_strings = st.sampled_from(_STRINGS) | st.text(max_size=5) | st.text("aAbß*?", max_size=6)
_by_type: Final[dict[str, st.SearchStrategy[Any]]] = {
    "int": _ints,
    "counter": _ints,
    "double": _doubles.map(float),
    "float": _floats32,
    "decimal": _decimals,
    "string": _strings,
    "bool": st.booleans(),
    "binary": st.binary(max_size=3),
    "timestamp": st.sampled_from(_TIMES).map(lambda both: Timestamp(*both)),
    "objectId": st.sampled_from(_IDS).map(ObjectId),
    "uuid": st.sampled_from(_UUIDS).map(lambda number: uuid.UUID(int=number)),
    "link": st.builds(Link, st.sampled_from(["P", "Q"]), st.sampled_from(_KEYS)),
}
numbers: Final = _ints | _doubles | _floats32 | _decimals
values: Final = st.none() | st.one_of(*_by_type.values())


def values_of(spelled: str, *, spelled_out: bool = False) -> st.SearchStrategy[Any]:
    """Values that a field of a type may hold; only those that a query can spell, if asked for."""
    collection, _, inner = spelled.removesuffix(">").rpartition("<")
    base = inner.removesuffix("?").partition(":")[0]
    one = values if base == "mixed" else _by_type[base]
    if base == "mixed" and not spelled_out:
        one |= st.sampled_from(_CONTAINERS)
    if inner.endswith("?") or base == "link":
        one = st.none() | one
    return st.lists(one, max_size=3) if collection else one


documents: Final = st.fixed_dictionaries(
    {name: values_of(spelled) for name, spelled in TYPES.items()}
)
#: Documents whose fields hold anything: arrays where the schema has none, or nothing.
wild_documents: Final = st.fixed_dictionaries(
    {name: values | st.lists(values, max_size=3) for name in TYPES}
)


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    """One comparison that parses, sensible or not."""
    name = draw(st.sampled_from(sorted(TYPES)))
    pool = values
    if draw(st.integers(0, 2)):  # two times out of three: of the field's own type
        spelled = TYPES[name].removesuffix(">").rpartition("<")[2].removesuffix("?")
        pool = values_of(spelled, spelled_out=True) | st.none()
    quantifier = draw(st.sampled_from(["", "", "", "ANY ", "some ", "ALL ", "none "]))
    field = quantifier + name_text(name)
    shape = draw(st.integers(0, 9))
    if shape <= 3:
        operator = draw(st.sampled_from(["==", "=", "!=", "<>", "<", "<=", "=<", ">", ">=", "=>"]))
        fold = draw(st.sampled_from(["", "", "[c]"])) if operator[0] in "!=" else ""
        fold = fold if operator in ("==", "=", "!=") else ""
        sides = [field, constant(draw(pool)).text]
        if draw(st.booleans()):
            sides.reverse()
        return f"{sides[0]} {operator}{fold} {sides[1]}"
    if shape == 4:
        items = ", ".join(constant(item).text for item in draw(st.lists(pool, max_size=4)))
        return f"{field} IN{draw(st.sampled_from(['', '[c]']))} {{{items}}}"
    if shape == 5:
        bounds = ", ".join(constant(draw(pool)).text for _ in range(2))
        return f"{field} BETWEEN {{{bounds}}}"
    if shape == 6:
        return f"{constant(draw(pool)).text} IN {name_text(name)}"
    if shape == 7:
        count = draw(st.sampled_from([".@count", ".@size"]))
        operator = draw(st.sampled_from(["==", "!=", "<", ">="]))
        return f"{name_text(name)}{count} {operator} {draw(st.integers(-1, 3))}"
    operator = draw(st.sampled_from(["BEGINSWITH", "ENDSWITH", "CONTAINS", "LIKE"]))
    operator += draw(st.sampled_from(["", "", "[c]"]))
    if shape == 8:
        return f"{field} {operator} {constant(draw(_strings)).text}"
    other = name_text(draw(st.sampled_from(sorted(TYPES))))
    operator = draw(st.sampled_from([operator, "==", "!=", "<", ">=", "==[c]"]))
    return f"{field} {operator} {other}"


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: " AND ".join(parts)),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: " || ".join(parts)),
        inner.map(lambda part: f"NOT ({part})"),
        inner.map(lambda part: f"!({part})"),
        inner.map(lambda part: f"({part})"),
    )


#: Texts that parse.
queries: Final = st.recursive(
    comparisons() | st.sampled_from(["TRUEPREDICATE", "falsepredicate"]), _compound, max_leaves=5
)
