"""The vectors of `spec/query.md`: all of them hold, and the page is made of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from plain_objects import document_from_json, objects_from_json

from replication.errors import QueryError
from replication.model.notation import from_json
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.query import Query, parse, union

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "spec/query.md").read_text()
VECTORS: list[dict[str, Any]] = json.loads((ROOT / "spec/vectors/query.json").read_text())[
    "vectors"
]
BY_NAME = {vector["name"]: vector for vector in VECTORS}
#: A normative sentence begins at the start of a list item and ends with its paragraph.
SENTENCE = re.compile(r"^- \[(QUERY-\d+)\] (.*?)(?=\n- |\n\n|\Z)", re.MULTILINE | re.DOTALL)
KEYWORD = re.compile(r"\b(?:MUST NOT|MUST|SHOULD NOT|SHOULD|MAY)\b")


def _query(vector: dict[str, Any]) -> Query:
    return parse(vector["query"], *map(from_json, vector.get("args", ())))


def _result(vector: dict[str, Any]) -> Any:
    """What a vector gives: canonical text, a position, or whether it matches."""
    try:
        if "queries" in vector:
            return union(map(parse, vector["queries"])).text
        query = _query(vector)
        if "types" in vector:
            return query.check(vector["types"], _schema(vector)).text
    except QueryError as error:
        return {"position": error.position}
    if "document" in vector:
        return query.matches(document_from_json(vector["document"]).get)
    if "objects" in vector:
        found = objects_from_json(vector["objects"]).of(vector["class"])
        return [source.link.key for source in found if query.matches(source)]
    return query.text


def _schema(vector: dict[str, Any]) -> Schema | None:
    """The classes that paths lead to: `{class: {field: type}}`, with a key or embedded."""
    classes = vector.get("classes")
    if classes is None:
        return None
    return Schema(
        ClassSchema(
            name,
            [Property.of(field, spelled) for field, spelled in fields.items() if field != "_id"],
            key=fields.get("_id"),
        )
        for name, fields in classes.items()
    )


def _expected(vector: dict[str, Any]) -> Any:
    return next(vector[key] for key in ("canonical", "result", "error") if key in vector)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vector(vector: dict[str, Any]) -> None:
    assert _result(vector) == _expected(vector)


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(VECTORS)


def shown(vector: dict[str, Any]) -> list[str]:
    """A vector as the page shows it."""
    lines = [vector["query"] if "query" in vector else json.dumps(vector["queries"])]
    for key in ("args", "types", "classes", "document", "objects", "class"):
        if key in vector:
            lines.append(f"  {key}: {json.dumps(vector[key], ensure_ascii=False)}")
    return [*lines, f"  = {json.dumps(_expected(vector), ensure_ascii=False)}"]


def test_examples_of_the_page_are_vectors() -> None:
    blocks = re.findall(r"```vector (\S+)\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 10
    for name, body in blocks:
        assert body.splitlines() == shown(BY_NAME[name]), f"vector {name}"


def test_every_sentence_has_one_keyword_and_something_that_holds_it() -> None:
    sentences = SENTENCE.findall(PAGE)
    assert len(sentences) == len(dict(sentences)) == PAGE.count("[QUERY-")
    covered = {name for vector in VECTORS for name in vector["covers"]}
    for path in (ROOT / "tests").glob("test_*.py"):
        covered.update(re.findall(r"\[(QUERY-\d+)\]", path.read_text()))
    for name, sentence in sentences:
        assert len(KEYWORD.findall(sentence)) == 1, f"{name}: {sentence}"
        assert name in covered, f"nothing tests {name}"
    assert covered <= {name for name, _ in sentences}
