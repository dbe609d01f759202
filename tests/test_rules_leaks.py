"""R20: no byte of what a user may not read reaches them; and a search that finds what there is.

The long version is `python tests/rules_leaks.py FIRST COUNT`.
"""

from __future__ import annotations

from typing import Any

import pytest
from rules_leaks import CANARY, Search

from replication.rules import project
from replication.rules.sight import EVERYTHING
from replication.server import exact, sets, staging, view
from replication.server.shared import Shared
from replication.server.touches import Touched
from replication.server.view import View


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_nothing_leaks(first: int) -> None:
    """[RULES-HIDE-2] [RULES-READ-1] [RULES-READ-3] [RULES-CHANGE-3]"""
    for seed in range(first, first + 10):
        search = Search(seed)
        assert search.run() == set(), f"python tests/rules_leaks.py {seed} 1"


@pytest.mark.parametrize("seed", [700333, 700558, 700678])
def test_members_that_may_not_be_read_any_more(seed: int) -> None:
    """[RULES-HIDE-3]: a download sent them as they were by then, as they had been members."""
    assert Search(seed).run() == set()


def test_what_may_be_read_is_found() -> None:
    """The search is one: most of what it may find it does find."""
    allowed = found = 0
    for seed in range(20):
        search = Search(seed)
        search.run()
        allowed += len(search.allowed)
        found += len(set(CANARY.findall(bytes(search.ann.heard))))
    assert found > 100
    assert found > allowed / 5


def whole_head(self: Any, class_name: str, stored: Any, readable: Any) -> bytes:
    head: bytes = stored.head
    return head


def everything(texts: Any, types: Any, sight: Any = EVERYTHING) -> View:
    return View(texts, types)


def unguarded(self: Any, touched: Touched) -> bool:
    return touched.gapless


def whole_state(reader: Any, class_name: str, stored: Any, _readable: Any, *more: Any) -> Any:
    return staging.state_op(reader, class_name, stored, None, *more)


#: What is removed, and what takes its place.
MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "the document filters of views": (sets, "View", everything),
    "the projection of states": (Shared, "projected", whole_head),
    "the projection of deltas": (
        Touched, "projected", lambda self, ident, readable: self.others(ident)
    ),
    "the projection of embedded objects": (
        project, "_partly", lambda _kind, content, _access, _base: content
    ),
    "the projection of objects in lists": (project, "_chunk", lambda chunk, *_: chunk),
    "the look at what was hidden in between": (
        exact.Exact, "_was_shown_throughout", unguarded
    ),
    "the look at who held what when a view changes": (
        staging.Staging, "_might_hold", lambda self, class_name, touch: True
    ),
    "the lens on what links lead to": (view, "lens_of", lambda sight, types: None),
    "the lens on fields behind links": (view, "seen_fields", lambda fields, access: fields),
    "the fields of what is brought along": (exact, "state_op", whole_state),
}  # fmt: skip


#: The first seed to be tried where it is a long way to one that finds something.
FIRST = {
    "the lens on fields behind links": 16,
    "the fields of what is brought along": 25,
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_search_finds_a_leak(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*MUTANTS[name])
    for seed in range(first := FIRST.get(name, 0), first + 400):
        if Search(seed).run():
            return
    raise AssertionError(f"without {name} nothing was found")
