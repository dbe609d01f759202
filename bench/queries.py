"""Queries: parsing, and judging one object.

The text is never the same twice: what a parser remembers of words helps it, as it would in life.
CPU time, since nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Any, Final

from bench.harness import Figure, figure
from replication.query import parse
from replication.query.lexer import lexemes

#: 150 characters, give or take: three fields, a list, a date.
_TYPICAL: Final = (
    "status == 'open' AND priority >= {0} AND assignee IN {{'u{0}', 'u{1}', 'team'}} AND"
    " (due < 2026-11-29@12:00:{2:02} OR escalated == true) AND NOT archived == true"
)
_PATHS: Final = (
    "boss.name == 'n{0}' AND ANY rooms.size > {1} AND SUBQUERY(items, $x, $x.price * 2 > {0})"
    ".@count > 1 SORT(name ASC, boss.age DESC) LIMIT({1})"
)


def queries(runs: int, *, quick: bool = False) -> list[Figure]:
    """Parse time of a typical query, beside cutting it into tokens; of one with paths; judging."""
    count = 2000 if quick else 20_000
    texts = [_TYPICAL.format(number, number % 97, number % 60) for number in range(count)]
    paths = [_PATHS.format(number, number % 97) for number in range(count // 4)]
    query = parse(texts[0])
    document: dict[str, Any] = {"status": "open", "priority": 1, "assignee": "team"}
    return [
        figure(
            "parse of a typical query",
            "us",
            [_each(parse, texts) for _ in range(runs)],
            [_each(lexemes, texts) for _ in range(runs)],
            "at most 40",
            characters=sum(map(len, texts)) / count,
        ),
        figure(
            "parse of a query with paths and a sub-query",
            "us",
            [_each(parse, paths) for _ in range(runs)],
            characters=sum(map(len, paths)) / len(paths),
        ),
        figure(
            "judging one object by a typical query",
            "us",
            [_each(lambda _: query.matches(document.get), texts) for _ in range(runs)],
        ),
    ]


def _each(work: Callable[[str], Any], texts: list[str]) -> float:
    """Microseconds of CPU for each text."""
    started = process_time()
    for text in texts:
        work(text)
    return (process_time() - started) / len(texts) * 1e6
