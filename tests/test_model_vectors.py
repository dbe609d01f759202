"""The vectors of `spec/model.md`, and that each of its rules has one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replication.errors import DecodeError, SchemaError, WrongTypeError
from replication.model.encoding import pack, unpack
from replication.model.json_schema import from_json_schema, to_json_schema, to_relationships
from replication.model.notation import from_json, to_json
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.types import parse_type

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "spec" / "model.md").read_text(encoding="utf-8")
VECTORS: list[dict[str, Any]] = json.loads(
    (ROOT / "spec" / "vectors" / "model.json").read_text(encoding="utf-8")
)["vectors"]
LIBRARY = Schema.from_packed(
    next(each["schema"] for each in VECTORS if each["name"] == "schema/library")
)


def check_value(vector: dict[str, Any]) -> None:
    value = from_json(vector["value"])
    assert pack(value).hex() == vector["hex"]
    assert pack(unpack(bytes.fromhex(vector["hex"]))).hex() == vector["hex"]
    assert json.dumps(to_json(value)) == json.dumps(vector["value"])


def check_bytes(vector: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        unpack(bytes.fromhex(vector["hex"]))


def check_notation(vector: dict[str, Any]) -> None:
    with pytest.raises(WrongTypeError):
        from_json(vector["notation"])


def check_type(vector: dict[str, Any]) -> None:
    if vector.get("error"):
        with pytest.raises(SchemaError):
            parse_type(vector["spelling"])
        return
    parsed = parse_type(vector["spelling"])
    assert parsed._asdict() == {part: vector[part] for part in parsed._fields}
    assert str(parsed) == vector["spelling"]


def library_property(spelling: str) -> Property:
    """A property that stands in the vectors' schema, so that links know their target."""
    probe = ClassSchema("Probe", [Property.of("p", spelling)], key="int")
    return Schema([*LIBRARY, probe])["Probe"]["p"]


def check_fits(vector: dict[str, Any]) -> None:
    prop = library_property(vector["type"])
    value = from_json(vector["value"])
    assert prop.check_packed(value) is vector["fits"]
    if vector["fits"] and not str(vector["value"]).startswith(("{'$based", "{'$container")):
        assert pack(prop.check(value)) == pack(value)


def check_zero(vector: dict[str, Any]) -> None:
    prop = library_property(vector["type"])
    assert pack(prop.default()) == pack(from_json(vector["value"]))


def check_key(vector: dict[str, Any]) -> None:
    item = ClassSchema("A", key=vector["type"])
    key = from_json(vector["value"])
    assert item.fits_key(key) is vector["fits"]
    if vector["fits"]:
        assert pack(item.check_key(key)) == pack(key)
    else:
        with pytest.raises(WrongTypeError):
            item.check_key(key)


def check_dictionary_key(vector: dict[str, Any]) -> None:
    prop = Property.of("p", "dict<int>")
    if vector["fits"]:
        assert prop.check_key(vector["key"]) == vector["key"]
    else:
        with pytest.raises(WrongTypeError):
            prop.check_key(vector["key"])


def check_schema(vector: dict[str, Any]) -> None:
    if vector.get("error"):
        with pytest.raises(DecodeError):
            Schema.from_packed(vector["schema"])
        return
    schema = Schema.from_packed(vector["schema"])
    assert pack(schema.to_packed()).hex() == vector["hex"]
    assert Schema.from_packed(unpack(bytes.fromhex(vector["hex"]))) == schema


def wide(classes: int, properties: int) -> dict[str, Any]:
    fields = {f"p{number}": "int" for number in range(properties)}
    return {
        f"C{number}": {"key": "int", "properties": fields, "queryable": []}
        for number in range(classes)
    }


def check_limit(vector: dict[str, Any]) -> None:
    packed = wide(vector["classes"], vector["properties"])
    if vector["fits"]:
        assert len(Schema.from_packed(packed)) == vector["classes"]
    else:
        with pytest.raises(DecodeError):
            Schema.from_packed(packed)


def check_limit_merge(vector: dict[str, Any]) -> None:
    first = Schema.from_packed(wide(1, vector["properties"]))
    second = [Property.of(name, "int") for name in vector["added"]]
    _, refused = first.merge(Schema([ClassSchema("C0", second, key="int")]))
    assert [each.property_name for each in refused] == vector["refused"]


def check_merge(vector: dict[str, Any]) -> None:
    first, second = Schema.from_packed(vector["first"]), Schema.from_packed(vector["second"])
    merged, refused = first.merge(second)
    assert merged == Schema.from_packed(vector["merged"])
    assert [
        [each.class_name, each.property_name, each.kept, each.refused] for each in refused
    ] == vector["refused"]


def check_json_schema(vector: dict[str, Any]) -> None:
    schema = Schema.from_packed(vector["schema"])
    assert to_json_schema(schema) == vector["documents"]
    assert to_relationships(schema) == vector["relationships"]
    assert from_json_schema(vector["documents"], vector["relationships"]) == schema


def check_json_schema_read(vector: dict[str, Any]) -> None:
    if vector.get("error"):
        with pytest.raises(SchemaError):
            from_json_schema(vector["documents"], vector["relationships"])
        return
    schema = from_json_schema(vector["documents"], vector["relationships"])
    assert schema == Schema.from_packed(vector["schema"])


CHECKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "value": check_value,
    "bytes": check_bytes,
    "notation": check_notation,
    "type": check_type,
    "fits": check_fits,
    "zero": check_zero,
    "key": check_key,
    "dictionary-key": check_dictionary_key,
    "schema": check_schema,
    "limit": check_limit,
    "limit-merge": check_limit_merge,
    "merge": check_merge,
    "json-schema": check_json_schema,
    "json-schema-read": check_json_schema_read,
}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: ascii(vector["name"]))
def test_a_vector(vector: dict[str, Any]) -> None:
    CHECKS[vector["kind"]](vector)


def test_names_are_unique_and_every_kind_is_explained() -> None:
    names = [vector["name"] for vector in VECTORS]
    assert len(set(names)) == len(names)
    assert {vector["kind"] for vector in VECTORS} == CHECKS.keys()
    table = PAGE.split("| kind of vector | says |")[1].split("\n\n")[0]
    explained = re.findall(r"^\| ([a-z][a-z, -]*) \|", table, re.MULTILINE)
    assert {kind for row in explained for kind in row.split(", ")} == CHECKS.keys()


def test_values_with_other_bytes_are_other_values() -> None:
    found = [vector["hex"] for vector in VECTORS if vector["kind"] == "value"]
    assert len(set(found)) == len(found)


def test_each_rule_has_a_vector_and_each_vector_a_rule() -> None:
    rules = re.findall(r"^- \[(MODEL-\d+)\]", PAGE, re.MULTILINE)
    assert len(set(rules)) == len(rules)
    covered = {rule for vector in VECTORS for rule in vector["covers"]}
    assert covered == set(rules)


def test_rules_say_what_must_be_and_the_code_names_only_rules_that_exist() -> None:
    rules = dict(re.findall(r"^- \[(MODEL-\d+)\]((?:.|\n(?!- |\n))+)", PAGE, re.MULTILINE))
    assert [name for name, text in rules.items() if not re.search("MUST|SHOULD|MAY", text)] == []
    named = set(re.findall(r"\[(MODEL-\d+)\]", PAGE))
    for path in [*(ROOT / "replication").rglob("*.py"), *(ROOT / "tests").glob("*.py")]:
        named |= set(re.findall(r"\[(MODEL-\d+)\]", path.read_text(encoding="utf-8")))
    assert named <= rules.keys()
