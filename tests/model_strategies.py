"""Hypothesis strategies for values, types and schemas, shared by the tests of the model."""

from __future__ import annotations

import math
import uuid

from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from hypothesis import strategies as st

from replication.limits import IDENT_MAX, SEQUENCE_MAX
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.types import MERGING_TYPES, PLAIN_TYPES
from replication.model.values import ERASED, Based, Container, Float32, Link, Timestamp

INTS = st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 300)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
#: With one NaN: there are others, and `Property.check` makes them this one.
FLOATS = st.floats().map(lambda number: math.nan if number != number else number)
FLOAT32 = st.floats(width=32).map(Float32)
TIMESTAMPS = st.builds(
    Timestamp,
    INTS | st.integers(-(2**35), 2**35),
    st.sampled_from([0, 1, 999_999_999]) | st.integers(0, 999_999_999),
)
DECIMALS = st.binary(min_size=16, max_size=16).map(Decimal128.from_bid) | st.decimals(
    allow_nan=True, places=3, min_value=-(10**20), max_value=10**20
).map(Decimal128)
OBJECT_IDS = st.binary(min_size=12, max_size=12).map(ObjectId)
UUIDS = st.binary(min_size=16, max_size=16).map(lambda data: uuid.UUID(bytes=data))
KEYS = INTS | TEXT | OBJECT_IDS | UUIDS
LINKS = st.builds(Link, st.sampled_from(["A", "B", "é" * 28, "C" * 57, "fs.files"]), KEYS)

VALUES = (
    st.none()
    | st.booleans()
    | INTS
    | FLOATS
    | FLOAT32
    | TEXT
    | st.binary(max_size=20)
    | TIMESTAMPS
    | DECIMALS
    | OBJECT_IDS
    | UUIDS
    | LINKS
)
CONTAINERS = st.builds(
    Container, st.sampled_from([3, 4]), st.integers(0, IDENT_MAX), st.integers(0, SEQUENCE_MAX)
)
STORED = (
    VALUES | st.just(ERASED) | st.builds(Based, VALUES | CONTAINERS, INTS.filter(bool)) | CONTAINERS
)

#: One strategy of values for each type that `check_packed` answers for without a class.
OF_TYPE = {
    "bool": st.booleans(),
    "int": INTS,
    "counter": INTS,
    "float": FLOAT32,
    "double": FLOATS,
    "decimal": DECIMALS,
    "string": TEXT,
    "binary": st.binary(max_size=20),
    "timestamp": TIMESTAMPS,
    "objectId": OBJECT_IDS,
    "uuid": UUIDS,
    "mixed": VALUES,
}


def all_spellings(classes: dict[str, str | None]) -> list[str]:
    """Every legal type; ``classes`` are those it may lead to, with their keys."""
    found = list(MERGING_TYPES)
    for collection in ("{}", "list<{}>", "set<{}>", "dict<{}>"):
        for name in PLAIN_TYPES:
            found.append(collection.format(name))
            if name != "mixed":
                found.append(collection.format(name + "?"))
        for name, key in classes.items():
            if key is not None:
                found.append(collection.format(f"link:{name}"))
            elif not collection.startswith("set"):
                found.append(collection.format(f"embedded:{name}"))
    return found


def spellings() -> st.SearchStrategy[str]:
    """The spelling of a legal type, with a class A to link to and a class E to embed."""
    return st.sampled_from(all_spellings({"A": "int", "E": None}))


def _may_be_queryable(spelling: str) -> bool:
    return not spelling.startswith(("dict", "embedded", "list<embedded", "text"))


#: Few names, so that two schemas meet and contradict. An embedded class leads only to embedded
#: ones that come later in here or in the reverse, so that no cycle arises in one schema alone.
_CLASSES = "ABCDE"


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """A sound schema."""
    kinds = st.sampled_from(["int", "string", "objectId", "uuid", None, None])
    classes = draw(st.dictionaries(st.sampled_from(_CLASSES), kinds, max_size=3))
    order = sorted(classes, reverse=draw(st.booleans()))
    made = []
    for index, name in enumerate(order):
        inner = {each: classes[each] for each in order[index + 1 :]}
        outer = {each: key for each, key in classes.items() if key is not None}
        types = st.sampled_from(all_spellings(classes if classes[name] else {**inner, **outer}))
        fields = draw(
            st.dictionaries(st.sampled_from("pqr"), st.tuples(types, st.booleans()), max_size=3)
        )
        made.append(
            ClassSchema(
                name,
                [
                    Property.of(
                        field,
                        text,
                        queryable=asked and bool(classes[name]) and _may_be_queryable(text),
                    )
                    for field, (text, asked) in fields.items()
                ],
                key=classes[name],
            )
        )
    return Schema(made)
