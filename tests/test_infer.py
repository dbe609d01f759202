"""Schemas inferred from documents, and the documents converted to them."""

from __future__ import annotations

import csv
import datetime
import decimal
import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.binary import Binary
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp as BsonTimestamp
from hypothesis import given
from hypothesis import strategies as st

from replication.errors import SchemaError, WrongTypeError
from replication.limits import NESTING_MAX, PROPERTIES_MAX
from replication.model.infer import Inferred, infer
from replication.model.schema import ClassSchema, Schema
from replication.model.values import Link, Timestamp

DATA = Path(os.environ.get("REPLICATION_DATA", Path(__file__).parent.parent.parent / "shared/data"))


def spelled(inferred: Inferred, name: str = "A") -> dict[str, str]:
    item = inferred.schema[name]
    return {each.name: each.spelling for each in item.properties.values()}


def of(*values: Any, types: dict[str, str] | None = None) -> str:
    """The type inferred for a field that holds these values in turn; ``...`` is missing."""
    rows = [
        {"_id": row} if value is ... else {"_id": row, "p": value}
        for row, value in enumerate(values)
    ]
    return spelled(infer(rows, "A", types=types))["p"]


def converted(*values: Any, types: dict[str, str] | None = None) -> list[Any]:
    rows = [{"_id": row, "p": value} for row, value in enumerate(values)]
    inferred = infer(rows, "A", types=types)
    return [inferred.convert(row, number).get("p") for number, row in enumerate(rows, 1)]


def columns(**texts: list[str]) -> dict[str, str]:
    """The types inferred for columns of texts."""
    rows = [dict(zip(texts, row, strict=True)) for row in zip(*texts.values(), strict=True)]
    for number, row in enumerate(rows):
        row["_id"] = str(number + 1)
    return spelled(infer(rows, "A", text=True))


class TestTypes:
    @pytest.mark.parametrize(
        ("values", "spelling"),
        [
            ([1, Int64(2**60)], "int"),
            ([1.5, 2.0], "double"),
            ([1, 2.5], "double"),
            ([2**53, 2.5], "double"),
            ([2**53 + 1, 2.5], "mixed"),
            ([True, 1], "mixed"),
            (["5", 5], "mixed"),
            (["5", "6"], "string"),
            ([True], "bool"),
            ([b"a"], "binary"),
            ([datetime.datetime(2020, 1, 1)], "timestamp"),
            ([Decimal128("1.5")], "decimal"),
            ([ObjectId()], "objectId"),
            ([uuid.UUID(int=1)], "uuid"),
            ([Binary(bytes(16), 4)], "uuid"),
            ([DBRef("B", 5)], "mixed"),
            ([1, None], "int?"),
            ([1, ...], "int?"),
            ([None], "mixed"),
            ([[]], "list<mixed>"),
            ([[1], [2, 3]], "list<int>"),
            ([[1], [2.5]], "list<double>"),
            ([[1, None]], "list<int?>"),
            ([[1], None], "list<int>"),
            ([[1], ...], "list<int>"),
            ([[1], ["a"]], "list<mixed>"),
            ([[1], 1], "mixed"),
            ([[[1]]], "list<mixed>"),
            ([{}], "dict<mixed>"),
            ([{"a": 1}], "embedded:A_p"),
            ([{"a": 1}, None], "embedded:A_p"),
            ([{"a": 1}, 5], "mixed"),
            ([[{"a": 1}, {"b": 2}]], "list<embedded:A_p>"),
            ([[{"a": 1}, None]], "list<mixed>"),
            ([[{"a": 1}, 5]], "list<mixed>"),
            ([[{"2020": 1}]], "list<mixed>"),
        ],
    )
    def test_of_a_field(self, values: list[Any], spelling: str) -> None:
        assert of(*values) == spelling

    def test_embedded_classes_are_named_after_their_place(self) -> None:
        row = {"_id": 1, "home": {"city": "Bath", "geo": {"x": 1.5}}, "past": [{"city": "Rye"}]}
        inferred = infer([row, {"_id": 2, "home": {"city": "Ely"}}], "Person")
        assert spelled(inferred, "Person") == {
            "home": "embedded:Person_home",
            "past": "list<embedded:Person_past>",
        }
        assert spelled(inferred, "Person_home") == {
            "city": "string",
            "geo": "embedded:Person_home_geo",
        }
        assert spelled(inferred, "Person_home_geo") == {"x": "double"}

    def test_names_that_would_meet(self) -> None:
        long = "é" * 28
        row = {
            "_id": 1,
            long: {"x": {"a": 1}, "y": {"a": 1}},
            "b": {"c": {"a": 1}},
            "b_c": {"a": 1},
        }
        schema = infer([row], "A").schema
        assert len(schema) == 7
        assert schema["A"]["b_c"].target != schema["A_b"]["c"].target


class TestDictionaries:
    @pytest.mark.parametrize(
        "document",
        [
            {"0df078f33aa74a2e9696e0520c1a828a": 1},
            {"5ca4bbcea2dd94ee58162a68": 1, "5ca4bbcea2dd94ee58162a69": 2},
            {"123e4567-e89b-12d3-a456-426614174000": 1},
            {"2021": 1, "2022": 2},
            {"2021-05-01": 1},
            {"a.b": 1},
            {"$a": 1},
            {"": 1},
            {f"k{n}": n for n in range(PROPERTIES_MAX + 1)},
        ],
    )
    def test_made_up_and_impossible_names(self, document: dict[str, Any]) -> None:
        assert of(document) == "dict<int>"

    def test_many_sparse_keys(self) -> None:
        names = ["ann", "bob", "cyd", "dan", "eve", "fay", "gus", "hal"] * 2
        documents = [{f"{name}{n}": {"n": n}} for n, name in enumerate(names)]
        assert of(*documents[:15]) == "embedded:A_p"
        assert of(*documents) == "dict<embedded:A_p>"
        assert of(*[{**each, "x": 1} for each in documents]) == "embedded:A_p"

    def test_a_wide_document_is_embedded(self) -> None:
        wide = {f"k{n}": n for n in range(100)}
        assert of(wide, wide) == "embedded:A_p"

    @pytest.mark.parametrize(
        ("values", "spelling"),
        [
            ([{"2021": {"a": 1}}, {"2022": {"a": 2}}], "dict<embedded:A_p>"),
            ([{"2021": 1, "2022": None}], "dict<int?>"),
            ([{"2021": "a"}], "dict<string>"),
            ([{"2021": [1]}], "dict<mixed>"),
            ([{"2021": {"05": 1}}], "dict<mixed>"),
            ([{"2021": 1}, {}], "dict<int>"),
            ([{"2021": 1, "2022": "a"}], "embedded:A_p"),
            ([{"2021": 1, "a.b": "a"}], "dict<mixed>"),
            ([{"2021": {"a": 1}, "2022": {"b": 1}, "2023": {"c": 1}}], "embedded:A_p"),
        ],
    )
    def test_values(self, values: list[Any], spelling: str) -> None:
        assert of(*values) == spelling

    def test_it_is_noted(self) -> None:
        inferred = infer(
            [{"_id": 1, "p": {"2021": 1}, "q": {"2021": {"a": 1}}, "r": [1, "a"]}], "A"
        )
        assert inferred.notes == [
            "'p' is a dictionary: dict<int>",
            "'q' is a dictionary: dict<embedded:A_q>",
            "'r' is list<mixed>: it holds int, string",
        ]


class TestTexts:
    @pytest.mark.parametrize(
        ("texts", "spelling"),
        [
            (["1", "-20", "0"], "int"),
            (["439023483", ""], "int?"),
            (["439023483", "043965548X"], "string"),
            (["439023483", "0439023483"], "string"),
            (["1", "+1"], "string"),
            (["1", "-0"], "double"),
            (["1", " 1"], "string"),
            (["1", "1_000"], "string"),
            (["1", "1,000"], "string"),
            (["1", "١"], "string"),
            (["9223372036854775807"], "int"),
            (["9223372036854775808"], "string"),
            (["1" * 400], "string"),
            (["4.34", "4"], "double"),
            (["9.78043902348e+12"], "double"),
            (["4.34", str(2**53 + 1)], "string"),
            (["0.12345678901234567"], "double"),
            (["0.123456789012345678"], "string"),
            (["00.5"], "string"),
            ([".5"], "string"),
            (["5."], "string"),
            (["1e999"], "string"),
            (["nan"], "string"),
            (["inf"], "string"),
            (["true"], "string"),
            (["", ""], "string?"),
            (["a", ""], "string?"),
        ],
    )
    def test_of_a_column(self, texts: list[str], spelling: str) -> None:
        assert columns(p=texts)["p"] == spelling

    def test_conversion(self) -> None:
        rows = [{"k": "7", "n": "5", "d": "-0", "s": "007", "e": ""}]
        rows += [{"k": "8", "n": "", "d": "1.5", "s": "", "e": ""}]
        inferred = infer(rows, "A", "k", text=True)
        first = inferred.convert(rows[0], 1)
        assert first == {"_id": 7, "n": 5, "d": -0.0, "s": "007"}
        assert str(first["d"]) == "-0.0"
        assert inferred.convert(rows[1], 2) == {"_id": 8, "d": 1.5}

    def test_nothing_is_null_whatever_was_asked(self) -> None:
        row = {"_id": "1", "i": "", "s": "", "n": "", "m": "", "l": ""}
        types = {"i": "int?", "s": "string", "n": "string?", "m": "mixed", "l": "list<int>"}
        inferred = infer([row], "A", types=types, text=True)
        assert inferred.convert(row, 1) == {"_id": 1, "s": ""}

    def test_a_row_that_is_too_long_or_too_short(self) -> None:
        rows: list[Any] = [{"_id": "1", "p": "a"}, {"_id": "2", "p": None}]
        assert spelled(infer(rows, "A", text=True)) == {"p": "string?"}
        rows.append({"_id": "3", "p": "a", None: ["b"]})
        with pytest.raises(WrongTypeError, match=r"row 3 has a field without a name: \['b'\]"):
            infer(rows, "A", text=True)


class TestKeys:
    @pytest.mark.parametrize("key", [5, "a", ObjectId(bytes(12)), uuid.UUID(int=5)])
    def test_the_key_may_be_any_field(self, key: Any) -> None:
        inferred = infer([{"k": key, "p": 1}], "A", "k")
        assert inferred.convert({"k": key, "p": 2}, 1) == {"_id": key, "p": 2}
        assert "k" not in inferred.schema["A"].properties

    def test_another_id_is_left_out_and_noted(self) -> None:
        row = {"_id": ObjectId(), "account_id": 5, "p": 1}
        inferred = infer([row], "A", "account_id")
        assert inferred.convert(row, 1) == {"_id": 5, "p": 1}
        assert inferred.notes == ["'_id' is left out, because 'account_id' is the key"]

    @pytest.mark.parametrize(
        ("rows", "key", "message"),
        [
            ([], None, "there are no documents"),
            ([{"a": 1, "b": 1.5, "c": "x"}], None, "no field '_id'; the key can be 'a', 'c'"),
            ([{"b": 1.5}], "x", "no field 'x'; the key can be none"),
            ([{"_id": 1.5}], None, "field '_id' is double; a primary key is int, string"),
            ([{"_id": 1}, {"_id": "a"}], None, "field '_id' is mixed"),
            ([{"_id": [1]}], None, "field '_id' is list"),
            ([{"_id": {"a": 1}}], None, "field '_id' is document"),
            ([{"_id": 1}, {"_id": None}], None, "row 2, field '_id' is empty"),
            ([{"_id": 1}, {"p": 1}], None, "row 2, field '_id' is empty"),
            ([{"p": 1}, {"_id": 1}], None, "field '_id' is int; .* never null"),
        ],
    )
    def test_without_a_usable_one(self, rows: Any, key: str | None, message: str) -> None:
        with pytest.raises((SchemaError, WrongTypeError), match=message):
            infer(rows, "A", key)

    def test_of_texts(self) -> None:
        with pytest.raises(SchemaError, match="field 'k' is double; a primary key"):
            infer([{"k": "1.5"}], "A", "k", text=True)
        with pytest.raises(WrongTypeError, match="row 2, field 'k' is empty"):
            infer([{"k": "1"}, {"k": ""}], "A", "k", text=True)
        forced = infer([{"k": "0015"}], "A", "k", {"k": "int"}, text=True)
        assert forced.convert({"k": "0015"}, 1) == {"_id": 15}


class TestAskedTypes:
    @pytest.mark.parametrize(
        ("value", "spelling", "expected"),
        [
            ("007", "int", 7),
            ("+7", "int?", 7),
            ("2008.0", "int", 2008),
            (2008.0, "int", 2008),
            ("", "int?", None),
            ("", "string", ""),
            ("", "string?", ""),
            ("", "mixed", ""),
            (b"a", "binary?", b"a"),
            ("5", "counter", 5),
            (".5", "double", 0.5),
            ("inf", "double", float("inf")),
            ("1.25", "decimal", Decimal128("1.25")),
            (5, "decimal", Decimal128("5")),
            ("TRUE", "bool", True),
            ("0", "bool", False),
            ("2020-05-01", "timestamp", Timestamp(1_588_291_200)),
            ("2020-05-01T00:00:00.5+02:00", "timestamp", Timestamp(1_588_284_000, 500_000_000)),
            ("5ca4bbcea2dd94ee58162a68", "objectId", ObjectId("5ca4bbcea2dd94ee58162a68")),
            ("00000000-0000-0000-0000-000000000005", "uuid", uuid.UUID(int=5)),
            ("AP8=", "binary", b"\x00\xff"),
            (5, "string", "5"),
            ("5", "mixed", "5"),
            ({"a": [1]}, "mixed", {"a": [1]}),
            (["1", "2"], "list<int>", [1, 2]),
            (["b", "a"], "set<string>", ["b", "a"]),
            ({"a": "1"}, "dict<int>", {"a": 1}),
        ],
    )
    def test_what_is_read(self, value: Any, spelling: str, expected: Any) -> None:
        (found,) = converted(value, types={"p": spelling})
        assert found == expected
        assert type(found) is type(expected)

    @pytest.mark.parametrize(
        ("value", "spelling", "message"),
        [
            ("x", "int", r"A\.p is int, got 'x' \(string\); 'x' \(string\) can't be read as int"),
            ("1.5", "int", "can't be read as int"),
            (1.5, "int", "pass an int"),
            ("1_000", "double", "can't be read as double"),
            ("", "int", "only int[?] could hold null"),
            (None, "int", "only int[?] could hold null"),
            ("9223372036854775808", "int", "64 bits"),
            ("9" * 100, "int", "can't be read as int"),
            ("yes", "bool", "can't be read as bool"),
            ("1" * 40, "decimal", "can't be read as decimal"),
            ("soon", "timestamp", "can't be read as timestamp"),
            ("xyz", "objectId", "can't be read as objectId"),
            ("xyz", "uuid", "can't be read as uuid"),
            ("?", "binary", "can't be read as binary"),
            (True, "string", "pass a str"),
            (5, "list<int>", "it is made of a list"),
            ("", "list<int>", "it is made of a list"),
            ([5], "dict<int>", "it is made of a document"),
            ([5, "x"], "list<int>", "row 1, field 'p.1'"),
            ({"a": "x"}, "dict<int>", "row 1, field 'p.a'"),
        ],
    )
    def test_what_can_not_be_read(self, value: Any, spelling: str, message: str) -> None:
        with pytest.raises(WrongTypeError, match=message) as caught:
            converted(value, types={"p": spelling})
        assert str(caught.value).startswith("row 1, field 'p")

    def test_of_embedded_objects(self) -> None:
        rows = [{"_id": 1, "a": {"zip": "01", "n": 1}, "b": {"k": {"n": 1}}, "c": {"k": {"n": 1}}}]
        types = {"a.zip": "int", "a": "embedded:Address", "b": "dict<embedded:Tier>"}
        inferred = infer(rows, "A", types=types)
        assert spelled(inferred) == {
            "a": "embedded:Address",
            "b": "dict<embedded:Tier>",
            "c": "embedded:A_c",
        }
        assert spelled(inferred, "Address") == {"n": "int", "zip": "int"}
        assert inferred.convert(rows[0], 1)["a"] == {"zip": 1, "n": 1}

    @pytest.mark.parametrize(
        ("types", "message"),
        [
            ({"x": "int"}, "there is no field 'x' to be int"),
            ({"p.x": "int"}, "there is no field 'p.x' to be int"),
            ({"p": "integer"}, "'integer' is no type"),
            ({"p": "link:A"}, "can't be imported as link:A"),
            ({"p": "text"}, "can't be imported as text"),
            ({"n": "embedded:E"}, "holds no documents to embed as embedded"),
            ({"n": "list<embedded:E>"}, "holds no documents"),
            ({"p": "embedded:A"}, "class A is taken; give A.p another"),
            ({"_id": "double"}, "field '_id' is double; a primary key"),
            ({"_id": "int?"}, "field '_id' is int[?]; a primary key"),
        ],
    )
    def test_that_make_no_sense(self, types: dict[str, str], message: str) -> None:
        with pytest.raises(SchemaError, match=message):
            infer([{"_id": 1, "p": {"a": 1}, "n": 5}], "A", types=types)


class TestConversion:
    def test_values(self) -> None:
        moment = datetime.datetime(1969, 12, 31, 23, 59, 59, 500_000)
        assert converted(moment) == [Timestamp(-1, 500_000_000)]
        assert converted(Binary(bytes(16), 4)) == [uuid.UUID(int=0)]
        assert converted(Binary(b"a", 0), b"b") == [b"a", b"b"]
        assert converted(DBRef("B", 5)) == [Link("B", 5)]
        assert converted(1, 2.5) == [1.0, 2.5]
        assert converted([1, [{"a": Int64(2)}]]) == [[1, [{"a": 2}]]]
        assert converted({"a": 1, "b": None}, None) == [{"a": 1}, None]
        assert converted([{"a": 1}, {"b": [None]}]) == [[{"a": 1}, {"b": [None]}]]
        assert converted({"2021": {"a": 1}, "2022": None}) == [{"2021": {"a": 1}, "2022": None}]

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (Regex("a"), r"row 1, field 'p': pass None, a bool"),
            (MaxKey(), "row 1, field 'p'"),
            (BsonTimestamp(1, 1), "row 1, field 'p'"),
            (Binary(b"a", 5), "binary of subtype 5 can't be represented"),
            (2**63, "64 bits"),
            (decimal.Decimal("1" * 40), "34 digits"),
            ({"a": [1, {"b": 2**63}]}, r"row 1, field 'p\.a\.1\.b': an int must fit 64 bits"),
            ({5: 1}, "a dictionary's keys are strings"),
            ({"k" * 1025: 1}, "1025 bytes"),
            (DBRef("B", 1.5), "a key here is"),
        ],
    )
    def test_what_can_not_be_represented(self, value: Any, message: str) -> None:
        with pytest.raises(WrongTypeError, match=message):
            of(value)

    @pytest.mark.parametrize("wrap", [lambda each: [each], lambda each: {"a": each}])
    def test_depth(self, wrap: Callable[[Any], Any]) -> None:
        value: Any = 1
        for _ in range(NESTING_MAX):
            value = wrap(value)
        assert converted(value) == [value]
        for _ in range(5000):
            value = wrap(value)
        with pytest.raises(WrongTypeError, match=f"nests deeper than {NESTING_MAX}"):
            of(value)

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"_id": 1, "p": 1, "x": 5}, r"row 9, field 'x': 5 \(int\) is in a field that no"),
            ({"_id": 1, "p": "a"}, r"row 9, field 'p': A\.p is int, got 'a' \(string\)"),
            ({"_id": 1}, r"row 9, field 'p': A\.p is int, got None"),
            ({"p": 1}, r"row 9, field '_id': A\._id is int, got None"),
            ({"_id": "1", "p": 1}, r"row 9, field '_id': A\._id is int, got '1'"),
            ({"_id": 1, "p": 1, "e": 5}, r"row 9, field 'e': A\.e is embedded:A_e, got 5"),
            ({"_id": 1, "p": 1, "e": {"n": "x"}}, r"row 9, field 'e\.n': A_e\.n is int, got 'x'"),
            ({"_id": 1, "p": 1, "e": {}}, r"row 9, field 'e\.n': A_e\.n is int, got None"),
            ({"_id": 1, "p": 1, "l": [{"n": 1}, {"m": 1}]}, r"row 9, field 'l\.1\.m': 1"),
        ],
    )
    def test_a_document_that_does_not_fit_the_sample(self, row: Any, message: str) -> None:
        sample = {"_id": 1, "p": 1, "e": {"n": 1}, "l": [{"n": 1}]}
        inferred = infer([sample], "A")
        with pytest.raises(WrongTypeError, match=message):
            inferred.convert(row, 9)

    def test_fields_that_can_be_no_property(self) -> None:
        with pytest.raises(SchemaError, match=r"field 'a\.b' can't be a property: .*contains '\.'"):
            infer([{"_id": 1, "a.b": 1}], "A")
        with pytest.raises(SchemaError, match=f"row 1: over {PROPERTIES_MAX} different fields"):
            infer([{"_id": 1, **{f"k{n}": n for n in range(PROPERTIES_MAX)}}], "A")


def check_object(schema: Schema, item: ClassSchema, document: dict[str, Any]) -> None:
    """Every value of a converted document is one its schema takes."""
    for each in item.properties.values():
        if each.name not in document:
            assert each.nullable or each.collection
            continue
        value = document[each.name]
        values = [value] if each.collection is None else value
        for one in values.values() if each.collection == "dict" else values:
            if one is None:
                assert each.nullable
            elif each.type == "embedded":
                check_object(schema, schema[str(each.target)], one)
            elif not isinstance(one, list | dict):
                assert each.check_packed(one)
            else:
                assert each.type == "mixed"
    assert not document.keys() - item.properties.keys() - {"_id"}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
    | st.just(datetime.datetime(2020, 1, 1)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "2021", "2022", "a.b"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.lists(st.dictionaries(st.sampled_from("pqr"), VALUES, max_size=3), min_size=1, max_size=5)
)
def test_whatever_is_sampled_converts(documents: list[dict[str, Any]]) -> None:
    rows = [{"_id": number, **each} for number, each in enumerate(documents)]
    inferred = infer(rows, "A")
    for number, row in enumerate(rows, 1):
        found = inferred.convert(row, number)
        assert found["_id"] == number - 1
        check_object(inferred.schema, inferred.schema["A"], found)


TEXTS = st.text("-019.eX", max_size=6) | st.sampled_from(["", "10", "1.5", "-7", "1e5"])


@given(st.lists(st.fixed_dictionaries({"p": TEXTS, "q": TEXTS}), min_size=1, max_size=6))
def test_texts_lose_nothing(documents: list[dict[str, str]]) -> None:
    rows = [{"_id": str(number), **each} for number, each in enumerate(documents, 1)]
    inferred = infer(rows, "A", text=True)
    for number, row in enumerate(rows, 1):
        found = inferred.convert(row, number)
        for name in "pq":
            kept = found.get(name)
            if isinstance(kept, str) or kept is None:
                assert (kept or "") == row[name]
            else:
                assert re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?(e-?\d+)?", row[name])
                assert float(row[name]) == kept


needs_data = pytest.mark.skipif(
    not (DATA / "zips.bson").exists(), reason="REPLICATION_DATA has no zips.bson"
)


@needs_data
@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        ("accounts", 1746, {"account_id": "int", "limit": "int", "products": "list<string>"}),
        (
            "customers",
            500,
            {
                "accounts": "list<int>",
                "active": "bool?",
                "address": "string",
                "birthdate": "timestamp",
                "email": "string",
                "name": "string",
                "tier_and_details": "dict<embedded:A_tier_and_details>",
                "username": "string",
            },
        ),
        (
            "zips",
            29_470,
            {
                "city": "string",
                "loc": "embedded:A_loc",
                "pop": "int",
                "state": "string",
                "zip": "string",
            },
        ),
    ],
)
def test_real_documents(name: str, rows: int, expected: dict[str, str]) -> None:
    with (DATA / f"{name}.bson").open("rb") as file:
        documents = list(bson.decode_file_iter(file))
    inferred = infer(documents, "A")
    assert inferred.rows == rows
    assert spelled(inferred) == expected
    assert inferred.schema["A"].key_type == "objectId"
    for number, document in enumerate(documents[:1000], 1):
        found = inferred.convert(document, number)
        assert found["_id"] == document["_id"]
        check_object(inferred.schema, inferred.schema["A"], found)


@needs_data
def test_a_real_table() -> None:
    with (DATA / "books.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    inferred = infer(rows, "Book", "book_id", text=True)
    found = spelled(inferred, "Book")
    assert inferred.schema["Book"].key_type == "int"
    assert found["isbn"] == "string?"
    assert found["isbn13"] == found["original_publication_year"] == "double?"
    assert found["average_rating"] == "double"
    assert found["ratings_count"] == "int"
    assert found["title"] == "string"
    first = inferred.convert(rows[0], 1)
    assert (first["_id"], first["isbn"], first["average_rating"]) == (1, "439023483", 4.34)
