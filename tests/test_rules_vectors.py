"""The vectors of `spec/rules.md`: expression x user x document -> answer, mistakes, imports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from replication.model.notation import from_json
from replication.rules.compile import compiled, uncompilable
from replication.rules.evaluate import Document, Scope, holds
from replication.rules.expression import Condition, Place, Problem, Reading
from replication.rules.legacy import imported
from replication.rules.read import checked

ROOT = Path(__file__).parent.parent
VECTORS: list[dict[str, Any]] = json.loads((ROOT / "spec/vectors/rules.json").read_text())[
    "vectors"
]


def of(kind: str) -> pytest.MarkDecorator:
    found = [each for each in VECTORS if each["name"].startswith(f"{kind}/")]
    return pytest.mark.parametrize("vector", found, ids=[each["name"] for each in found])


def document(noted: dict[str, Any] | None) -> Document | None:
    if noted is None:
        return None
    return {name: _value(value) for name, value in noted.items()}.get


def _value(noted: Any) -> Any:
    """A value; a list of them; or an embedded object or dictionary."""
    if type(noted) is list:
        return [_value(item) for item in noted]
    if type(noted) is dict and not any(name.startswith("$") for name in noted):
        return {name: _value(item) for name, item in noted.items()}
    return from_json(noted)


def expression(vector: dict[str, Any], place: Place) -> Condition:
    problems: list[Problem] = []
    found = Reading(place, problems).condition(vector["expression"], "")
    assert problems == []
    return found


def scope(vector: dict[str, Any], **documents: Document | None) -> Scope:
    known = {name: vector[name] for name in ("user", "values", "environment") if name in vector}
    functions = {
        name: lambda *_, value=value: value for name, value in vector.get("functions", {}).items()
    }
    return Scope(known, functions, **documents)


@of("holds")
def test_expression(vector: dict[str, Any]) -> None:
    found = expression(vector, Place.ANY)
    where = scope(
        vector,
        root=document(vector.get("document")),
        previous=document(vector.get("previous")),
    )
    assert holds(found, where) is vector["holds"]


@of("filter")
def test_filter(vector: dict[str, Any]) -> None:
    found = expression(vector, Place.FILTER)
    assert list(uncompilable(found)) == []
    query = compiled(found, scope(vector))
    assert query.text == vector["query"]
    root = document(vector["document"])
    assert root is not None
    assert holds(found, scope(vector, root=root)) is vector["holds"]
    assert query.matches(root) is vector["holds"]


@of("refused")
def test_mistake(vector: dict[str, Any]) -> None:
    _, problems = checked(json.dumps(vector["rules"]))
    found = [each for each in problems if each.path.startswith(vector["path"])]
    assert any(vector["reason"] in each.reason for each in found), problems


@of("legacy")
def test_import(vector: dict[str, Any]) -> None:
    problems: list[Problem] = []
    assert imported(vector["rules"], problems) == vector["imported"]
    assert problems == []
    rules, problems = checked(json.dumps(vector["rules"]))
    assert problems == []
    assert rules == checked(json.dumps(vector["imported"]))[0]
