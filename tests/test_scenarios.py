"""The scenario files: each ends as it says, whatever the order in which uploads arrive."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from scenario_files import Case, cases
from test_spec_ids import PAGES, rules

from replication.simulation.runner import run

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.scenario.name)
def test_a_scenario_ends_as_its_file_says(case: Case) -> None:
    """Scenarios that name no order are run in all of them."""
    for order in itertools.permutations(case.scenario.peers):
        scenario = dataclasses.replace(case.scenario, peers=list(order))
        outcome = run(scenario, strict=True)
        assert outcome.converged, (order, outcome.as_json())
        assert outcome.state == case.comments["expected"], order
        for label, expected in case.comments.get("snapshots", {}).items():
            assert outcome.snapshots[label][1] == expected, (order, label)


def test_names_are_unique() -> None:
    names = [case.scenario.name for case in CASES]
    assert len(set(names)) == len(names)


def test_what_differs_on_purpose_names_a_rule() -> None:
    known = {name for page in PAGES for name, _ in rules(page)}
    differing = [case.comments for case in CASES if "differs" in case.comments]
    assert differing
    assert {comments["rule"] for comments in differing} <= known
