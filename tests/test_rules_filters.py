"""A document filter and the query it becomes: the same answer, for any user and object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import assume, given, settings
from rules_strategies import documents, filters, users

from replication.query import Query, parse
from replication.rules.compile import compiled, uncompilable
from replication.rules.evaluate import Scope, holds
from replication.rules.expression import Place, Problem, Reading


def checked(json: Any, user: dict[str, Any], document: dict[str, Any]) -> Query:
    """The query of a filter, after it was held against what the filter says."""
    problems: list[Problem] = []
    found = Reading(Place.FILTER, problems).condition(json, "")
    assume(not problems and not list(uncompilable(found)))
    known = {"user": user, "values": {"v": ["ann", 1]}}
    query = compiled(found, Scope(known))
    expected = holds(found, Scope(known, root=document.get))
    assert query.matches(document.get) is expected, (json, user, document, query.text)
    return query


@settings(max_examples=500)
@given(filters, users, documents)
def test_a_filter_is_its_query(json: Any, user: dict[str, Any], document: dict[str, Any]) -> None:
    """[RULES-FILTER-1]"""
    query = checked(json, user, document)
    assert parse(query.text) == query


def test_the_property_can_fail() -> None:
    """A filter that means something else is found."""
    wrong = compiled(
        Reading(Place.FILTER, []).condition({"owner": {"$ne": "%%user.id"}}, ""),
        Scope({"user": {"id": "ann"}}),
    )
    lazy = parse('owner != "ann"')  # which is how one would spell it first
    assert wrong.matches({"owner": ["ann", "bob"]}.get) is not lazy.matches(
        {"owner": ["ann", "bob"]}.get
    )


def test_every_operator_and_expansion_has_a_vector() -> None:
    """[RULES-EXPR-1]"""
    text = (Path(__file__).parent.parent / "spec/vectors/rules.json").read_text()
    names = ["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "exists", "and", "or", "not", "nor"]
    missing = [name for name in [*names, "function"] if f'"${name}"' not in text]
    missing += [name for name in [*names, "function"] if f'"%{name}"' not in text]
    expansions = ["user.id", "user.type", "user.data", "user.custom_data", "user.identities"]
    expansions += ["true", "values.", "environment.tag", "root", "this", "prev", "prevRoot"]
    missing += [name for name in expansions if f"%%{name}" not in text]
    conversions = ["stringToOid", "oidToString", "stringToUuid", "uuidToString"]
    assert missing + [name for name in conversions if name not in text] == []
