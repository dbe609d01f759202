"""Types, properties, classes and schemas."""

from __future__ import annotations

import datetime
import decimal
import enum
import math
import struct
import uuid
from typing import Any

import pytest
from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from model_strategies import OF_TYPE, STORED, VALUES, schemas, spellings

from replication import limits
from replication.errors import DecodeError, LimitExceededError, SchemaError, WrongTypeError
from replication.model.encoding import pack, unpack
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.types import parse_type
from replication.model.values import ERASED, Based, Container, Float32, Link, Timestamp

BOOK = ClassSchema(
    "Book",
    [
        Property.of("title", "string", queryable=True),
        Property.of("year", "int"),
        Property.of("subtitle", "string?"),
        Property.of("author", "link:Author"),
        Property.of("tags", "list<string>"),
        Property.of("tiers", "dict<embedded:Tier>"),
    ],
    key="int",
)
AUTHOR = ClassSchema("Author", [Property.of("name", "string")], key="objectId")
TIER = ClassSchema("Tier", [Property.of("level", "int")])
LIBRARY = Schema([BOOK, AUTHOR, TIER])


def make(**classes: dict[str, str]) -> Schema:
    """A schema from spelled properties; lower-case class names are embedded classes."""
    return Schema(
        ClassSchema(
            name,
            [Property.of(each, text) for each, text in fields.items()],
            key=None if name.islower() else "int",
        )
        for name, fields in classes.items()
    )


class TestTypes:
    """[MODEL-20] to [MODEL-24]"""

    @given(spellings())
    def test_spelling_is_the_inverse_of_parsing(self, text: str) -> None:
        assert str(parse_type(text)) == text
        assert parse_type(str(parse_type(text))) == parse_type(text)

    @given(st.text() | st.from_regex(r"(list|set|dict)?<?(link:|embedded:)?\w*\??>?"))
    def test_any_text_is_refused_or_canonical(self, text: str) -> None:
        try:
            parsed = parse_type(text)
        except SchemaError:
            return
        assert str(parsed) == text

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "Int",
            "int??",
            " int",
            "int\n",
            "mixed?",
            "link:A?",
            "embedded:A?",
            "counter?",
            "text?",
            "list<counter>",
            "dict<text>",
            "set<embedded:A>",
            "list<link:A?>",
            "set<link:A?>",
            "list<embedded:A?>",
            "dict<link:A?>",
            "dict<mixed?>",
            "list<int>?",
            "list<list<int>>",
            "list<int",
            "int>",
            "bag<int>",
            "link:",
            "link",
            "embedded",
            "int:A",
            "link:$A",
            "link:a\x00b",
            "link:" + "é" * 29,
            "link:\ud800",
        ],
    )
    def test_what_is_no_type(self, text: str) -> None:
        with pytest.raises(SchemaError, match=r"no type|'\?'|class name"):
            parse_type(text)

    def test_parts_of_a_type(self) -> None:
        assert parse_type("dict<link:Author>") == ("link", True, "dict", "Author")
        assert parse_type("list<link:Author>") == ("link", False, "list", "Author")
        assert parse_type("mixed") == ("mixed", True, None, None)
        assert parse_type("set<string?>") == ("string", True, "set", None)

    @pytest.mark.parametrize(
        "parts",
        [
            ("mixed", False, None, None),
            ("link", False, None, "A"),
            ("link", True, "list", "A"),
            ("embedded", True, "set", "A"),
            ("link", True, None, None),
            ("int", False, None, "A"),
            ("counter", True, None, None),
            ("int", False, "bag", None),
        ],
    )
    def test_parts_that_make_no_property(self, parts: Any) -> None:
        with pytest.raises(SchemaError, match="property p: "):
            Property("p", *parts)


class TestNames:
    """[MODEL-41], [MODEL-42]"""

    @pytest.mark.parametrize(
        "name", ["", "a.b", "$a", "a\x00", "a\n", "p" * 64, "é" * 32, "\ud800"]
    )
    def test_illegal_property_names(self, name: str) -> None:
        with pytest.raises(SchemaError, match="name"):
            Property.of(name, "int")

    @pytest.mark.parametrize("name", ["p", "p" * 63, "é" * 31, "a$", "a b", "日本語"])
    def test_legal_property_names(self, name: str) -> None:
        assert Property.of(name, "int").name == name

    @pytest.mark.parametrize("name", ["", "$A", "A<B", "A>", "A?", "A\x7f", "C" * 58, "é" * 29])
    def test_illegal_class_names(self, name: str) -> None:
        with pytest.raises(SchemaError, match="name"):
            ClassSchema(name, key="int")

    @pytest.mark.parametrize("name", ["A", "C" * 57, "é" * 28, "fs.files"])
    def test_legal_class_names(self, name: str) -> None:
        assert parse_type(f"link:{name}").target == ClassSchema(name, key="int").name


class TestClasses:
    def test_a_property_twice(self) -> None:
        with pytest.raises(SchemaError, match=r"A\.p is declared twice"):
            ClassSchema("A", [Property.of("p", "int"), Property.of("p", "string")], key="int")

    def test_the_key_is_no_property(self) -> None:
        with pytest.raises(SchemaError, match=r"A\._id is declared twice"):
            ClassSchema("A", [Property.of("_id", "int")], key="int")
        assert ClassSchema("e", [Property.of("_id", "double")])["_id"].type == "double"

    @pytest.mark.parametrize("key", ["double", "int?", "counter", "", "mixed"])
    def test_illegal_key_types(self, key: str) -> None:
        with pytest.raises(SchemaError, match="primary key is one of int, string, objectId, uuid"):
            ClassSchema("A", key=key)

    def test_lookup(self) -> None:
        assert BOOK["_id"].queryable
        assert BOOK["year"].owner == "Book"
        assert BOOK.get("nothing") is None
        assert BOOK.queryable == ["title"]
        assert list(BOOK.properties) == sorted(BOOK.properties)
        with pytest.raises(SchemaError, match="no property 'titel'; did you mean title"):
            BOOK["titel"]

    @pytest.mark.parametrize("text", ["embedded:A", "text", "dict<int>", "list<embedded:A>"])
    def test_what_can_not_be_queryable(self, text: str) -> None:
        with pytest.raises(SchemaError, match="can't be queryable"):
            Property.of("p", text, queryable=True)

    def test_embedded_classes_have_no_queryable_properties(self) -> None:
        with pytest.raises(SchemaError, match=r"e\.p can't be queryable"):
            ClassSchema("e", [Property.of("p", "int", queryable=True)])

    def test_number_of_properties(self) -> None:
        some = [Property.of(f"p{n}", "int") for n in range(limits.PROPERTIES_MAX)]
        assert len(ClassSchema("A", some, key="int").properties) == limits.PROPERTIES_MAX
        with pytest.raises(SchemaError, match="at most 1000"):
            ClassSchema("A", [*some, Property.of("q", "int")], key="int")


class TestSchemas:
    """[MODEL-43] to [MODEL-46]"""

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            (
                {"p": "link:Autor"},
                r"A\.p is link:Autor: there is no class 'Autor'; did you mean Auth",
            ),
            ({"p": "link:e"}, "e is embedded and can't be linked to"),
            ({"p": "list<link:e>"}, "e is embedded"),
            ({"p": "embedded:Author"}, "Author is not embedded"),
            ({"p": "dict<embedded:x>"}, "there is no class 'x'"),
        ],
    )
    def test_targets(self, fields: dict[str, str], message: str) -> None:
        with pytest.raises(SchemaError, match=message):
            make(A=fields, Author={}, e={})

    @pytest.mark.parametrize(
        "classes",
        [
            {"e": {"p": "embedded:e"}},
            {"e": {"p": "list<embedded:f>"}, "f": {"p": "dict<embedded:e>"}},
            {"e": {"p": "embedded:f"}, "f": {"p": "embedded:g"}, "g": {"p": "embedded:f"}},
        ],
    )
    def test_embedded_cycles(self, classes: dict[str, dict[str, str]]) -> None:
        with pytest.raises(SchemaError, match=r"can't contain itself: [efg] in [efg]"):
            make(**classes)

    def test_links_may_go_in_circles_and_a_class_may_be_embedded_twice(self) -> None:
        schema = make(
            A={"b": "link:B", "e": "embedded:e", "f": "embedded:f"},
            B={"a": "list<link:A>"},
            e={"f": "embedded:f", "a": "link:A"},
            f={},
        )
        assert [item.name for item in schema] == ["A", "B", "e", "f"]

    def test_a_class_twice(self) -> None:
        with pytest.raises(SchemaError, match="A is declared twice"):
            Schema([ClassSchema("A", key="int"), ClassSchema("A", key="string")])

    def test_lookup(self) -> None:
        assert LIBRARY["Book"] == BOOK
        assert LIBRARY.get("Bok") is None
        assert "Author" in LIBRARY
        assert len(LIBRARY) == 3
        with pytest.raises(SchemaError, match="no class 'Bok'; did you mean Book"):
            LIBRARY["Bok"]

    def test_number_of_classes_and_of_all_properties(self) -> None:
        classes = [ClassSchema(f"C{n}", key="int") for n in range(limits.CLASSES_MAX + 1)]
        assert len(Schema(classes[:-1])) == limits.CLASSES_MAX
        with pytest.raises(SchemaError, match="1001 classes"):
            Schema(classes)
        some = [Property.of(f"p{n}", "int") for n in range(limits.PROPERTIES_MAX)]
        needed = limits.SCHEMA_PROPERTIES_MAX // limits.PROPERTIES_MAX
        wide = [ClassSchema(f"C{n}", some, key="int") for n in range(needed)]
        packed = Schema(wide).to_packed()
        packed["D"] = {"key": "int", "properties": {"p": "int"}, "queryable": []}
        with pytest.raises(LimitExceededError, match="too many properties"):
            Schema.from_packed(packed)
        with pytest.raises(SchemaError, match="20001 properties"):
            Schema([*wide, ClassSchema("D", [Property.of("p", "int")], key="int")])

    @given(schemas())
    def test_equality_knows_no_order(self, schema: Schema) -> None:
        turned = [
            ClassSchema(item.name, reversed(item.properties.values()), key=item.key_type)
            for item in reversed(list(schema))
        ]
        assert Schema(turned) == schema


class TestPacked:
    """[MODEL-50], [MODEL-51]"""

    @given(schemas())
    def test_round_trip_through_bytes(self, schema: Schema) -> None:
        data = pack(schema.to_packed())
        again = Schema.from_packed(unpack(data))
        assert again == schema
        assert pack(again.to_packed()) == data

    JUNK = st.recursive(
        st.none() | st.integers() | st.sampled_from(["", "int", "p", "A", "link:A"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["key", "properties", "queryable", "A", "p", ""]) | st.integers(),
                inner,
                max_size=4,
            )
        ),
    )

    @given(JUNK | st.dictionaries(st.text(), JUNK))
    def test_anything_else_is_a_decode_error(self, packed: Any) -> None:
        try:
            schema = Schema.from_packed(packed)
        except DecodeError:
            return
        assert schema.to_packed() == packed

    @given(schemas(), st.data())
    def test_a_changed_schema_is_a_decode_error_or_canonical(
        self, schema: Schema, data: st.DataObject
    ) -> None:
        packed = schema.to_packed()
        where: Any = packed
        while type(where) is dict and where:
            inside = data.draw(st.sampled_from(sorted(where)))
            if type(where[inside]) is not dict or data.draw(st.integers(0, 4)) == 0:
                where[inside] = data.draw(self.JUNK)
                break
            where = where[inside]
        self.test_anything_else_is_a_decode_error.hypothesis.inner_test(self, packed)

    @pytest.mark.parametrize(
        "packed",
        [
            [],
            {"A": []},
            {1: {"key": "int", "properties": {}, "queryable": []}},
            {"A": {"key": "int", "properties": {}}},
            {"A": {"key": "int", "properties": {}, "queryable": [], "x": 1}},
            {"A": {"key": 1, "properties": {}, "queryable": []}},
            {"A": {"key": "double", "properties": {}, "queryable": []}},
            {"A": {"key": "int", "properties": [], "queryable": []}},
            {"A": {"key": "int", "properties": {"p": 1}, "queryable": []}},
            {"A": {"key": "int", "properties": {"p": "mixed?"}, "queryable": []}},
            {"A": {"key": "int", "properties": {"a.b": "int"}, "queryable": []}},
            {"A": {"key": "int", "properties": {"p": "link:B"}, "queryable": []}},
            {"A": {"key": "int", "properties": {"p": "int"}, "queryable": ["q"]}},
            {"A": {"key": "int", "properties": {"p": "int"}, "queryable": ["p", "p"]}},
            {"A": {"key": "int", "properties": {"p": "int", "q": "int"}, "queryable": ["q", "p"]}},
            {"A": {"key": "int", "properties": {"p": "int"}, "queryable": "p"}},
            {"A": {"key": "int", "properties": {"_id": "int"}, "queryable": []}},
        ],
    )
    def test_what_is_no_schema(self, packed: Any) -> None:
        with pytest.raises(DecodeError):
            Schema.from_packed(packed)


class TestMerge:
    """[MODEL-60] to [MODEL-67]"""

    @given(schemas(), schemas())
    def test_a_merge_is_sound_and_keeps_what_stands(self, one: Schema, two: Schema) -> None:
        merged, refused = one.merge(two)
        for item in one:
            assert merged[item.name].key_type == item.key_type
            for each in item.properties.values():
                assert each.is_within(merged[item.name][each.name])
        missing = {
            (item.name, each.name)
            for item in two
            for each in item.properties.values()
            if item.name not in merged
            or not each.is_within(merged[item.name].properties.get(each.name))
        }
        classes = {each.class_name for each in refused if each.property_name is None}
        told = {(each.class_name, each.property_name) for each in refused}
        assert all(name in classes or (name, each) in told for name, each in missing)

    @given(schemas(), schemas())
    def test_merging_again_changes_nothing(self, one: Schema, two: Schema) -> None:
        merged, refused = one.merge(two)
        again, refused_again = merged.merge(two)
        assert again == merged
        assert [(each.class_name, each.property_name) for each in refused_again] == [
            (each.class_name, each.property_name) for each in refused
        ]
        assert one.merge(one) == (one, [])
        assert Schema().merge(one) == (one, [])

    @given(schemas(), schemas())
    def test_without_contradictions_order_does_not_matter(self, one: Schema, two: Schema) -> None:
        merged, refused = one.merge(two)
        if not refused:
            assert two.merge(one) == (merged, [])

    @given(schemas(), schemas())
    def test_additions_are_enough(self, known: Schema, own: Schema) -> None:
        added = own.additions(known)
        assert known.merge(added)[0] == known.merge(own)[0]
        assert known.merge(added)[1] == known.merge(own)[1]
        assert len(known.additions(known)) == 0

    def test_additions_bring_along_what_they_lead_to(self) -> None:
        own = make(A={"b": "link:B", "n": "int"}, B={"n": "int"}, C={"e": "embedded:e"}, e={})
        known = make(A={"n": "int"}, B={"n": "int", "m": "int"}, e={"n": "int"})
        assert own.additions(known) == make(A={"b": "link:B"}, B={}, C={"e": "embedded:e"}, e={})

    def test_a_contradiction_is_refused_alone_and_reported(self) -> None:
        other = make(Book={"year": "string", "pages": "int"})
        merged, refused = LIBRARY.merge(other)
        assert merged["Book"]["year"].type == "int"
        assert merged["Book"]["pages"].type == "int"
        (only,) = refused
        assert (only.class_name, only.property_name) == ("Book", "year")
        assert (only.kept, only.refused) == ("int", "string")
        assert str(only) == "Book.year as string is refused: it is int"

    def test_a_class_of_another_key_or_kind_is_refused_whole(self) -> None:
        other = Schema(
            [
                ClassSchema("Book", [Property.of("pages", "int")], key="string"),
                ClassSchema("Author", [Property.of("born", "int")]),
                ClassSchema("New", [Property.of("author", "embedded:Author")], key="int"),
            ]
        )
        merged, refused = LIBRARY.merge(other)
        assert merged["Book"] == LIBRARY["Book"]
        assert merged["Author"] == LIBRARY["Author"]
        assert dict(merged["New"].properties) == {}
        assert [str(each) for each in refused] == [
            "Author as embedded is refused: its key is objectId",
            "Book as string is refused: its key is int",
            "New.author as embedded:Author is refused: class Author is not embedded",
        ]

    def test_a_cycle_that_two_sound_schemas_would_make(self) -> None:
        one = make(e={"f": "embedded:f"}, f={"g": "embedded:g"}, g={})
        two = make(g={"e": "list<embedded:e>", "n": "int"}, e={})
        merged, refused = one.merge(two)
        assert "n" in merged["g"].properties
        assert [str(each) for each in refused] == [
            "g.e as list<embedded:e> is refused: an embedded class would contain itself"
        ]

    def test_all_additions_on_a_circle_are_refused_and_no_others(self) -> None:
        one = make(e={"f": "embedded:f"}, f={})
        two = make(
            A={"e": "embedded:e"},
            f={"g": "embedded:g", "h": "embedded:h"},
            g={"e": "embedded:e"},
            e={"h": "embedded:h"},
            h={},
        )
        merged, refused = one.merge(two)
        assert [(each.class_name, each.property_name) for each in refused] == [
            ("f", "g"),
            ("g", "e"),
        ]
        assert merged["A"]["e"].target == "e"
        assert merged["f"]["h"].target == merged["e"]["h"].target == "h"

    def test_queryable_is_added_and_stays(self) -> None:
        plain = Schema([ClassSchema("A", [Property.of("p", "int")], key="int")])
        asked = Schema([ClassSchema("A", [Property.of("p", "int", queryable=True)], key="int")])
        assert plain.merge(asked) == (asked, [])
        assert asked.merge(plain) == (asked, [])
        assert asked.additions(plain) == asked
        assert len(plain.additions(asked)) == 0

    def test_limits_refuse_and_do_not_raise(self) -> None:
        full = Schema(ClassSchema(f"C{n}", key="int") for n in range(limits.CLASSES_MAX))
        merged, refused = full.merge(make(D={}, C0={"d": "link:D"}))
        assert len(merged) == limits.CLASSES_MAX
        assert [str(each) for each in refused] == [
            "D as int is refused: there are 1000 classes already",
            "C0.d as link:D is refused: class D was refused",
        ]
        wide = make(A={f"p{n}": "int" for n in range(limits.PROPERTIES_MAX)})
        merged, refused = wide.merge(make(A={"q": "int"}))
        assert merged == wide
        assert [each.reason for each in refused] == ["A has 1000 properties already"]

    def test_links_learn_the_key_of_their_target(self) -> None:
        merged, _ = make(A={}).merge(make(A={"b": "link:B"}, B={}))
        assert merged["A"]["b"].target_key == "int"
        assert merged["A"]["b"].check(Link("B", 1)) == Link("B", 1)


class Color(enum.IntEnum):
    RED = 3


class Shade(enum.StrEnum):
    DARK = "dark"


UTC = datetime.UTC


class TestCheck:
    """[MODEL-30] to [MODEL-32]"""

    @pytest.mark.parametrize(
        ("text", "given_", "expected"),
        [
            ("bool", True, True),
            ("int", Int64(7), 7),
            ("int", Color.RED, 3),
            ("int", -(2**63), -(2**63)),
            ("counter", 2**63 - 1, 2**63 - 1),
            ("double", 3, 3.0),
            ("double", 2**53, 2.0**53),
            ("double", Float32(0.5), 0.5),
            ("float", 0.1, Float32(0.1)),
            ("float", 2, Float32(2.0)),
            ("decimal", decimal.Decimal("1.50"), Decimal128("1.50")),
            ("decimal", 5, Decimal128("5")),
            ("string", Shade.DARK, "dark"),
            ("binary", bytearray(b"ab"), b"ab"),
            ("binary", memoryview(b"ab"), b"ab"),
            ("timestamp", datetime.datetime(1970, 1, 2, tzinfo=UTC), Timestamp(86400)),
            ("timestamp", Timestamp(-1, 5), Timestamp(-1, 5)),
            ("mixed", Color.RED, 3),
            ("mixed", True, True),
            ("mixed", Float32(0.1), Float32(0.1)),
            ("mixed", datetime.datetime(1970, 1, 1, tzinfo=UTC), Timestamp(0)),
            ("mixed", Link("A", uuid.UUID(int=1)), Link("A", uuid.UUID(int=1))),
            ("int?", None, None),
            ("mixed", None, None),
            ("list<string>", "one element", "one element"),
            ("dict<int?>", None, None),
        ],
    )
    def test_what_fits(self, text: str, given_: object, expected: object) -> None:
        found = Property.of("p", text).check(given_)
        assert pack(found) == pack(expected)
        assert type(found) is type(expected)

    @pytest.mark.parametrize(
        ("text", "given_", "advice"),
        [
            ("bool", 1, "pass True or False"),
            ("int", True, "pass an int"),
            ("int", 1.0, "pass an int"),
            ("int", "1", "pass an int"),
            ("int", 2**63, "must fit 64 bits"),
            ("counter", -(2**63) - 1, "must fit 64 bits"),
            ("double", True, "pass a float"),
            ("double", 2**53 + 1, "exactly"),
            ("float", 1e39, "32-bit"),
            ("decimal", 1.5, "decimal.Decimal"),
            ("decimal", decimal.Decimal("1." + "1" * 40), "34 digits"),
            ("decimal", decimal.Decimal("NaN123"), "34 digits"),
            ("string", b"a", "pass a str"),
            ("string", "\ud800", "not valid Unicode"),
            ("binary", "a", "pass bytes"),
            ("binary", Binary(b"a", 5), "pass bytes"),
            ("timestamp", datetime.datetime(1970, 1, 1), "aware datetime"),
            ("timestamp", datetime.date(1970, 1, 1), "aware datetime"),
            ("timestamp", 0, "aware datetime"),
            ("objectId", "5ca4bbc7a2dd94ee5816238c", "pass an ObjectId"),
            ("uuid", "00000000-0000-0000-0000-000000000000", "pass a uuid.UUID"),
            ("mixed", [1], "pass None, a bool"),
            ("mixed", 2**64, "64 bits"),
            ("mixed", Link("A", 1.5), "a key here is int, string, objectId or uuid"),
            ("mixed", Link("$A", 1), "no class name"),
            ("int", None, "only int[?] could hold null"),
            ("counter", None, "null"),
            ("list<string>", None, "only string[?] could hold null"),
            ("list<link:A>", None, "null"),
            ("text", "a", "part by part"),
            ("embedded:e", {}, "part by part"),
            ("link:A", 1, "a Link or None"),
            ("link:A", Link("B", 1), "leads to B, not to A"),
            ("link:A", Link("A", True), "a key here is"),
        ],
    )
    def test_what_does_not_fit(self, text: str, given_: object, advice: str) -> None:
        (prop,) = ClassSchema("Book", [Property.of("p", text)]).properties.values()
        with pytest.raises(WrongTypeError, match=advice) as caught:
            prop.check(given_)
        assert str(caught.value).startswith(f"Book.p is {text}, got ")
        assert len(str(caught.value)) < 400

    @pytest.mark.parametrize("text", ["double", "float", "mixed"])
    def test_there_is_one_nan(self, text: str) -> None:
        for bits in (0x7FF8000000000001, 0xFFF8000000000000, 0x7FF0000000000001):
            (number,) = struct.unpack(">d", bits.to_bytes(8))
            found = Property.of("p", text).check(number)
            assert pack(unpack(pack(found))) == pack(Property.of("p", text).check(math.nan))

    def test_values_that_are_too_large(self) -> None:
        most = limits.VALUE_BYTES_MAX
        for text, value, advice in [
            ("int", 10**5000, "an integer of 16610 bits"),
            ("double", 10**5000, "too large"),
            ("string", "é" * (most // 2 + 1), "bytes of UTF-8, at most"),
            ("mixed", "a" * (most + 1), "bytes of UTF-8, at most"),
            ("binary", bytes(most + 1), "at most"),
        ]:
            with pytest.raises(WrongTypeError, match=advice) as caught:
                Property.of("p", text).check(value)
            assert len(str(caught.value)) < 400
        assert Property.of("p", "string").check("é" * (most // 2)) == "é" * (most // 2)

    def test_the_message(self) -> None:
        with pytest.raises(WrongTypeError) as caught:
            BOOK["year"].check("abc")
        assert str(caught.value) == "Book.year is int, got 'abc' (string); pass an int"

    def test_links_hold_keys_of_their_target(self) -> None:
        prop = LIBRARY["Book"]["author"]
        link = Link("Author", ObjectId(bytes(12)))
        assert prop.check(link) == link
        assert prop.check(None) is None
        with pytest.raises(
            WrongTypeError, match=r"Book\.author is link:Author.*key here is objectId"
        ):
            prop.check(Link("Author", 5))

    def test_collections(self) -> None:
        assert Property.of("p", "list<double>").check_collection([1, 2.5]) == [1.0, 2.5]
        assert Property.of("p", "set<int>").check_collection({4}) == [4]
        assert Property.of("p", "dict<int?>").check_collection({"a": None}) == {"a": None}
        for text, value in [
            ("list<int>", "ab"),
            ("list<int>", {"a": 1}),
            ("list<int>", [1, "b"]),
            ("dict<int>", [1]),
            ("dict<int>", {1: 1}),
            ("dict<int>", {"k" * 1025: 1}),
            ("dict<int>", {"\ud800": 1}),
        ]:
            with pytest.raises(WrongTypeError, match=f"p is {text}, got "):
                Property.of("p", text).check_collection(value)

    def test_dictionary_keys(self) -> None:
        prop = Property.of("p", "dict<int>")
        assert prop.check_key("") == ""
        assert prop.check_key("é" * 512) == "é" * 512
        with pytest.raises(WrongTypeError, match=r"p is dict<int>, got key 5 \(int\)"):
            prop.check_key(5)

    @pytest.mark.parametrize(
        ("key_type", "fitting", "other"),
        [
            ("int", 5, True),
            ("int", 5, 2**63),
            ("string", "k" * 1024, "k" * 1025),
            ("string", "é" * 512, "é" * 513),
            ("objectId", ObjectId(bytes(12)), "5ca4bbc7a2dd94ee5816238c"),
            ("uuid", uuid.UUID(int=1), None),
        ],
    )
    def test_primary_keys(self, key_type: str, fitting: Any, other: Any) -> None:
        item = ClassSchema("A", key=key_type)
        assert item.check_key(fitting) == fitting
        assert item.fits_key(fitting)
        assert other == 2**63 or not item.fits_key(other)  # no decoder returns that one
        with pytest.raises(WrongTypeError, match=rf"A\._id is {key_type}, got "):
            item.check_key(other)

    @given(spellings(), VALUES)
    def test_what_check_returns_fits_packed(self, text: str, value: Any) -> None:
        prop = Property.of("p", text)
        try:
            found = prop.check(value)
        except WrongTypeError:
            return
        if prop.type != "embedded":
            assert prop.check_packed(unpack(pack(found)))

    @given(st.data())
    def test_values_of_a_type_pass_unchanged(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(OF_TYPE)))
        value = data.draw(OF_TYPE[name])
        assert pack(Property.of("p", name).check(value)) == pack(value)


class TestPackedValues:
    """[MODEL-33]"""

    @given(spellings(), STORED)
    def test_it_is_total_and_as_strict_as_check(self, text: str, value: Any) -> None:
        prop = Property.of("p", text)
        if prop.check_packed(value) and type(value) not in (Based, Container):
            assert pack(prop.check(value)) == pack(value)

    @pytest.mark.parametrize(
        ("text", "value", "fits"),
        [
            ("int", 1, True),
            ("int", True, False),
            ("int", 1.0, False),
            ("double", 1, False),
            ("double", Float32(1), False),
            ("float", 1.0, False),
            ("int", None, False),
            ("int?", None, True),
            ("int", Based(1, 2), True),
            ("counter", Based(1, 2), True),
            ("mixed", Based(1, 2), True),
            ("mixed", Based("a", 2), True),
            ("int?", Based(None, 2), True),
            ("int", Based(None, 2), False),
            ("int", Based(1, 0), False),
            ("int", Based("a", 2), False),
            ("string", Based("a", 2), False),
            ("list<int>", Based(1, 2), False),
            ("mixed", Based(Container(4, 2, 1), 2), True),
            ("mixed", ERASED, False),
            ("dict<mixed>", ERASED, False),
            ("mixed", Container(4, 2, 1), True),
            ("list<mixed>", Container(3, 2, 1), True),
            ("set<mixed>", Container(3, 2, 1), False),
            ("string", Container(3, 2, 1), False),
            ("link:A", Link("A", 1), True),
            ("link:A", Link("B", 1), False),
            ("link:A", None, True),
            ("list<link:A>", None, False),
            ("embedded:e", None, False),
            ("embedded:e", 1, False),
            ("text", "a", False),
            ("mixed", [1], False),
            ("mixed", {"a": 1}, False),
            ("mixed", object(), False),
        ],
    )
    def test_table(self, text: str, value: Any, fits: bool) -> None:
        assert Property.of("p", text).check_packed(value) is fits

    def test_links_hold_keys_of_their_target(self) -> None:
        prop = LIBRARY["Book"]["author"]
        assert prop.check_packed(Link("Author", ObjectId(bytes(12))))
        assert not prop.check_packed(Link("Author", 5))

    def test_sizes(self) -> None:
        most = limits.VALUE_BYTES_MAX
        for text in ("binary", "mixed", "set<binary>"):
            assert Property.of("p", text).check_packed(bytes(most))
            assert not Property.of("p", text).check_packed(bytes(most + 1))
        assert Property.of("p", "string").check_packed("é" * (most // 2))
        assert not Property.of("p", "string").check_packed("é" * (most // 2 + 1))


class TestDefaults:
    """[MODEL-34]"""

    @given(spellings())
    def test_a_default_fits_its_property(self, text: str) -> None:
        prop = Property.of("p", text)
        if prop.is_plain:
            assert prop.check_packed(prop.default())
            assert (prop.default() is None) is prop.nullable
        else:
            assert prop.default() is None

    def test_a_declared_default(self) -> None:
        assert Property.of("p", "double", initial=2).default() == 2.0
        assert Property.of("p", "int?", initial=2).default() == 2
        assert math.isnan(Property.of("p", "double", initial=math.nan).default())  # type: ignore[arg-type]
        with pytest.raises(WrongTypeError, match="p is int, got 'a'"):
            Property.of("p", "int", initial="a")
        with pytest.raises(SchemaError, match="starts empty"):
            Property.of("p", "list<int>", initial=1)

    def test_it_is_no_part_of_the_schema(self) -> None:
        assert Property.of("p", "int", initial=2) == Property.of("p", "int")
