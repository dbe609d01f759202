"""The pages on merging: their tables name vectors that exist and say what the tables say."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SPEC = ROOT / "spec"
INSTRUCTIONS = [
    "AddTable", "EraseTable", "CreateObject", "EraseObject", "Update", "AddInteger", "AddColumn",
    "EraseColumn", "ArrayInsert", "ArrayMove", "ArrayErase", "Clear", "SetInsert", "SetErase",
]  # fmt: skip
VECTORS: dict[str, dict[str, Any]] = {
    vector["name"].removeprefix("concurrent/")
    if path.stem == "merge"
    else f"{path.stem}: {vector['name']}": vector
    for path in SPEC.glob("vectors/*.json")
    for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]
}
HISTORIES = {
    name: vector
    for name, vector in VECTORS.items()
    if "transactions" in vector and not name.startswith("forgetting: ")
}


def rows(page: str, *columns: str) -> list[dict[str, str]]:
    """The rows of all tables of a page whose header names these columns."""
    found: list[dict[str, str]] = []
    header: list[str] = []
    for line in (SPEC / page).read_text(encoding="utf-8").splitlines():
        if not line.startswith("| "):
            header = []
            continue
        cells = [cell.strip() for cell in line[1:-1].split("|")]
        if not header:
            header = cells
        elif set(columns) <= set(header) and not line.startswith("| ---"):
            assert len(cells) == len(header), line
            found.append(dict(zip(header, cells, strict=True)))
    assert found
    return found


def named(cell: str) -> list[str]:
    """The vectors of a cell, `page: name` where they are another page's."""
    return [page + name for page, name in re.findall(r"(\w+: )?`([^`]+)`", cell)]


CLAIMS = rows("realm.md", "there", "verdict", "here", "examples")


def test_each_history_is_in_a_table_of_the_page_and_nothing_else_is() -> None:
    examples = [name for row in rows("merge.md", "lost") for name in named(row["example"])]
    assert set(examples) <= HISTORIES.keys()
    text = (SPEC / "merge.md").read_text(encoding="utf-8")
    assert [name for name in HISTORIES if f"`{name}`" not in text] == []


def test_what_comes_late_shows_what_the_table_says() -> None:
    table = rows("merge.md", "late", "had nothing been forgotten")
    prefix = "forgetting: late/"
    vectors = {n.removeprefix(prefix): VECTORS[n] for n in VECTORS if n.startswith(prefix)}
    assert {name for row in table for name in named(row["example"])} == vectors.keys()
    for row in table:
        for name in named(row["example"]):
            same = vectors[name]["shows"] == vectors[name]["unforgotten"]
            assert same == (row["had nothing been forgotten"] == "the same"), name


def test_tests_that_the_page_names_exist() -> None:
    for row in rows("merge.md", "held by"):
        for name in named(row["held by"]):
            assert (ROOT / "tests" / name).exists(), name


@pytest.mark.parametrize("row", CLAIMS, ids=lambda row: row.get("pair", row["there"])[:60])
def test_a_verdict_is_what_the_examples_show(row: dict[str, str]) -> None:
    examples = named(row["examples"])
    if row["verdict"] == "none":
        assert examples == []
        return
    assert row["verdict"] in ("same", "different")
    assert examples
    differing = []
    for name in examples:
        vector = VECTORS[name]
        if name not in HISTORIES:
            continue
        assert "realm" in vector, f"nothing is known of what Realm makes of {name}"
        differing.append(vector["realm"] != vector["shows"])
    if row["verdict"] == "same":
        assert not any(differing)
    else:
        assert any(differing) or len(differing) < len(examples)


def test_every_pair_of_instructions_has_a_verdict() -> None:
    """All 105 of them, the independent ones included."""
    covered = set()
    for row in CLAIMS:
        if "pair" in row:
            left, right = (side.split(", ") for side in row["pair"].split(" / "))
            assert {*left, *right} <= set(INSTRUCTIONS), row["pair"]
            covered.update(frozenset(pair) for pair in product(left, right))
    expected = {frozenset(pair) for pair in product(INSTRUCTIONS, INSTRUCTIONS)}
    assert [sorted(pair) for pair in expected - covered] == []
    assert len(expected) == 105


def test_what_differs_from_realm_is_said() -> None:
    """A history that Realm shows otherwise stands in a row that says so."""
    said = {
        name for row in CLAIMS if row["verdict"] == "different" for name in named(row["examples"])
    }
    differing = {
        name
        for name, each in HISTORIES.items()
        if "realm" in each and each["realm"] != each["shows"]
    }
    assert differing <= said
