"""Pending deltas past a forgetting, at each place where a list may stand. [REBASE]"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from replication.crdt import object as obj
from replication.crdt.incarnation import clone
from replication.crdt.rebase import Rebase
from replication.model.encoding import pack

#: An element of another device, and a run that hangs on its place.
X = [3, 1, 0, 5, 3, ["x"]]
RUN = [2, 1, [3, 1, 1], 6, 2, ["a", "b"]]
HUNG = [2, 1, 0, 6, 2, ["a", "b"]]
INCARNATION = [4, 2, 2, 9]


def a_list(*runs: Any, incarnation: Any = ()) -> Any:
    return [[*incarnation], [[*runs], [], [], [], []]]


def in_object(held: Any) -> Any:
    return {obj.EMBEDDED: {"e": [1, 1, [], {obj.LIST: {"l": held}}]}}


def in_newer_object(held: Any) -> Any:
    return {obj.EMBEDDED: {"e": [1, 1, INCARNATION, {obj.LIST: {"l": held}}]}}


def at_key(held: Any) -> Any:
    return {obj.DICTIONARY: {"d": [[], [], {"k": [1, 1, [], {obj.LIST: {"l": held}}]}]}}


def at_key_of_a_newer_one(held: Any) -> Any:
    inner = {obj.LIST: {"l": held}}
    return {obj.DICTIONARY: {"d": [INCARNATION, [], {"k": [1, 1, [], inner]}]}}


def in_element(held: Any) -> Any:
    chunk = [[[3, 7, 0, 5, 3, [None]]], [], [], [], [[3, 7, {obj.LIST: {"l": held}}]]]
    return {obj.LIST: {"o": [[], chunk]}}


def in_container(held: Any) -> Any:
    return {obj.CONTAINER: {pack([obj.LIST, 3, 8]): [[obj.REGISTER, "m"], held]}}


def in_property(held: Any) -> Any:
    return {obj.LIST: {"l": held}}


Place = Callable[[Any], Any]
PLACES = [in_property, in_object, at_key, in_element, in_container]


def taken(before: Any, after: Any, *deltas: Any, held: bool = True) -> list[Any]:
    """The fields of the deltas, re-based."""
    past = Rebase([1, 1, [], clone(before)], [1, 1, [], clone(after)], held=held)
    return [past.take([0, 1, [], clone(delta)])[3] for delta in deltas]


@pytest.mark.parametrize("place", PLACES)
def test_a_run_is_hung_anew_wherever_its_list_stands(place: Place) -> None:
    """[REBASE-1] And only where what it hangs on is gone."""
    (hung,) = taken(place(a_list(X)), place(a_list()), place(a_list(RUN)))
    assert hung == place(a_list(HUNG))
    both = [[2, 1, [3, 1, 1], 6, 2, ["a"]], [2, 5, [3, 1, 1], 6, 2, ["b"]]]
    for runs in ([RUN], both):
        (kept,) = taken(place(a_list(X)), place(a_list(X)), place(a_list(*runs)))
        assert kept == place(a_list(*runs))


@pytest.mark.parametrize("place", PLACES)
def test_what_later_deltas_hang_on_earlier_ones_stays(place: Place) -> None:
    """[REBASE-1]"""
    later = [2, 3, 1, 7, 2, ["c"]]
    before, after = place(a_list(X)), place(a_list())
    assert taken(before, after, place(a_list(RUN)), place(a_list(later))) == [
        place(a_list(HUNG)),
        place(a_list(later)),
    ]


@pytest.mark.parametrize("place", PLACES)
def test_what_is_written_to_an_element_that_is_gone_is_its_erasure(place: Place) -> None:
    """[REBASE-2] [REBASE-4]"""
    write = place([[], [[], [[3, 1, 7, 2, "new"]], [], [], []]])
    erasure = place([[], [[], [], [], [[3, 1, 1]], []]])
    assert taken(place(a_list(X)), place(a_list()), write) == [erasure]
    assert taken(place(a_list(X)), place(a_list(X)), write) == [write]
    assert taken(place(a_list(X)), place(a_list(X)), erasure) == [erasure]
    assert taken({}, {}, write, held=False) == [write]


@pytest.mark.parametrize("place", PLACES)
def test_another_incarnation_of_a_list_says_nothing_about_this_one(place: Place) -> None:
    newer = place(a_list(RUN, incarnation=INCARNATION))
    assert taken(place(a_list(X)), place(a_list(X)), newer) == [newer]
    assert taken(place(a_list(X)), place(a_list(incarnation=INCARNATION)), newer) == [
        place(a_list(HUNG, incarnation=INCARNATION))
    ]


@pytest.mark.parametrize("place", PLACES)
def test_what_is_written_to_a_list_that_was_cleared_stays_what_it_is(place: Place) -> None:
    """[REBASE-3] It is about a past incarnation: nothing of it is looked for in this one."""
    write = place([[], [[], [[3, 1, 7, 2, "new"]], [], [], []]])
    assert taken(place(a_list(X)), place(a_list(incarnation=INCARNATION)), write) == [write]


@pytest.mark.parametrize("place", PLACES)
def test_what_an_earlier_delta_found_gone_is_gone_for_later_ones(place: Place) -> None:
    """[REBASE-2] Another write to it is an erasure again, erasing it is nothing."""
    write = place([[], [[], [[3, 1, 7, 2, "new"]], [], [], []]])
    erasure = place([[], [[], [], [], [[3, 1, 1]], []]])
    found = taken(place(a_list(X)), place(a_list()), write, write, erasure)
    assert found == [erasure, erasure, place(a_list())]


@pytest.mark.parametrize(
    ("place", "other"), [(in_object, in_newer_object), (at_key, at_key_of_a_newer_one)]
)
def test_nor_does_another_life_of_what_it_stands_in(place: Place, other: Place) -> None:
    for one, two in ((place, other), (other, place)):
        assert taken(one(a_list(X)), two(a_list(X)), one(a_list(RUN))) == [one(a_list(HUNG))]


def test_of_a_top_level_object_in_another_life_nothing_is_known() -> None:
    past = Rebase([1, 1, [], in_property(a_list(X))], [3, 3, [], {}], held=True)
    delta = [0, 1, [], in_property(a_list(RUN))]
    assert past.take(delta) == [0, 1, [], in_property(a_list(HUNG))]
    past = Rebase([1, 1, [], {}], [1, 1, [], in_property(a_list(X))], held=True)
    assert past.take([2, 3, [], in_property(a_list(RUN))])[3] == in_property(a_list(HUNG))


def test_runs_stand_behind_the_nearest_place_to_their_left_that_is_left() -> None:
    """[REBASE-1] a, b and c of ours stand behind x, y and z of another device."""
    x, y, z = [3, 1, 0, 5, 3, ["x"]], [3, 2, 1, 5, 3, ["y"]], [3, 3, 1, 5, 3, ["z"]]
    a, b, c = [2, 1, [3, 2, 0], 6, 2, ["a"]], [2, 2, [3, 3, 0], 6, 2, ["b"]], [
        2, 3, [3, 3, 1], 6, 2, ["c"]]  # fmt: skip
    before = in_property(a_list([*x[:5], ["x", "y", "z"]]))

    def hung(*left: Any) -> Any:
        (found,) = taken(before, in_property(a_list(*left)), in_property(a_list(a, b, c)))
        return found[obj.LIST]["l"][1][0]

    assert hung([*x[:5], ["x", "y", "z"]]) == [a, b, c]
    before_b = [2, 1, [2, 2, 0], 6, 2, ["a"]]
    assert hung(x, [3, 3, [3, 1, 1], 5, 3, ["z"]]) == [before_b, b, c]  # y is gone
    before_y = [2, 1, [3, 2, 0], 6, 2, ["a"]]
    assert hung([*y[:2], 0, *y[3:]], z) == [before_y, b, c]  # x is gone
    before_c = [2, 2, [2, 3, 0], 6, 2, ["b"]]
    assert hung(x, y) == [a, before_c, [2, 3, [3, 2, 1], 6, 2, ["c"]]]  # z is gone
