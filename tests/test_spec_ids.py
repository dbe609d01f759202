"""The rules of the spec: each has an id of its own, and each is covered by a vector or a test."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SPEC = ROOT / "spec"
PAGES = sorted(SPEC.glob("*.md"))
ID = re.compile(r"(?<![\w-])(?:[A-Z]+-)+(?:\d+|[A-Z]+)(?![\w-])")
RULE = re.compile(r"- \[((?:[A-Z]+-)+(?:\d+|[A-Z]+))\] (.*)")
KEYWORD = re.compile(r"\b(MUST NOT|MUST|SHALL NOT|SHALL|SHOULD NOT|SHOULD|MAY)\b")
#: Pages that may name keywords without meaning them.
EXPLAINS_KEYWORDS = {"README.md"}


def blocks(text: str) -> list[str]:
    """Paragraphs, list items, table rows and quotes, each on one line; code is left out."""
    out: list[str] = []
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
            continue
        if fenced or line.startswith("    "):
            continue
        starts = re.match(r"(- |\* |\d+\. |#|\||> )", line)
        if starts or not line.strip() or not out or not out[-1]:
            out.append(line.strip())
        else:
            out[-1] += " " + line.strip()
    return [block for block in out if block]


def rules(page: Path) -> list[tuple[str, str]]:
    """Id and text of each rule of a page."""
    found = []
    for block in blocks(page.read_text(encoding="utf-8")):
        if match := RULE.match(block):
            found.append((match[1], match[2]))
    return found


def covered() -> set[str]:
    """Every id that a vector covers or a test names."""
    out: set[str] = set()
    for path in SPEC.glob("vectors/*.json"):
        for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]:
            out.update(vector["covers"])
    for path in (ROOT / "tests").glob("*.py"):
        out.update(ID.findall(path.read_text(encoding="utf-8")))
    return out


def test_ids_are_unique() -> None:
    counts = Counter(name for page in PAGES for name, _ in rules(page))
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_sentence_with_a_keyword_is_part_of_a_rule(page: Path) -> None:
    if page.name in EXPLAINS_KEYWORDS:
        return
    loose = [
        block
        for block in blocks(page.read_text(encoding="utf-8"))
        if KEYWORD.search(block) and not re.match(r"- \[", block)
    ]
    assert loose == []


@pytest.mark.parametrize("page", ["encoding.md", "states.md", "changesets.md", "limits.md"])
def test_each_rule_has_one_keyword_a_sentence(page: str) -> None:
    wrong = []
    for name, text in rules(SPEC / page):
        counts = [len(KEYWORD.findall(part)) for part in re.split(r"(?<=[.;:)]) ", text)]
        if max(counts) != 1:
            wrong.append(name)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_rule_is_covered(page: Path) -> None:
    missing = sorted({name for name, _ in rules(page)} - covered())
    assert missing == [], f"no vector covers and no test names these rules of {page.name}"


def test_vectors_cover_rules_that_exist() -> None:
    known = {name for page in PAGES for name, _ in rules(page)}
    unknown = {}
    for path in SPEC.glob("vectors/*.json"):
        for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]:
            if strange := set(vector["covers"]) - known:
                unknown[vector["name"]] = sorted(strange)
    assert unknown == {}


def test_the_index_lists_every_page() -> None:
    text = (SPEC / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(([\w.]+\.md)\)", text)) == {page.name for page in PAGES} - {
        "README.md"
    }


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (SPEC / target).exists(), f"{page.name} links to {target}"


#: What the code of the merge core cites is in the spec.
CITED = re.compile(
    r"\[((?:MERGE|STATE|EDIT|CHG|CLOCK|SUBST|ENC|LIMIT)(?:-[A-Z]+)*-(?:\d+|[A-Z]+))\]"
)


def test_rules_that_the_code_cites_exist() -> None:
    known = {name for page in PAGES for name, _ in rules(page)}
    for path in (ROOT / "replication").rglob("*.py"):
        for name in CITED.findall(path.read_text(encoding="utf-8")):
            group = any(each.startswith(f"{name}-") for each in known)
            assert name in known or group, f"{path.name} cites [{name}]"
