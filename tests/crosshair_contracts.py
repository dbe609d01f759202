"""What CrossHair is to confirm of the real functions, on all paths, for any integers.

Each function here is a claim: the assertions it begins with are what it assumes, those that come
after any other statement what it claims. `test_proofs_crosshair.py` runs CrossHair on them, which
executes the functions of the package with symbolic integers. Values stand fixed: their canonical
bytes are made in C.
"""

from __future__ import annotations

from typing import Any

from replication.crdt import register
from replication.crdt.counter import merge_totals, shown, wrap
from replication.crdt.edit import raised
from replication.crdt.list import Elements, merge_elements
from replication.crdt.object import is_alive, merge
from replication.crdt.set import merge_set
from replication.model.values import Based


def group(time: int, origin: int, value: str) -> list[Any]:
    return [[time, origin, {"n": value}]]


def default(seen: int, by: int, time: int, origin: int, value: str) -> list[Any]:
    return [[seen, by, {"n": value}, time, origin]]


# -- registers -------------------------------------------------------------------------------
def two_writes_commute(a: int, b: int, c: int, d: int) -> None:
    assert min(a, b, c, d) >= 0
    one = register.merge_groups(group(a, b, "x"), group(c, d, "y"))
    assert one == register.merge_groups(group(c, d, "y"), group(a, b, "x"))


def a_write_comes_twice(a: int, b: int) -> None:
    assert min(a, b) >= 0
    both = register.merge_groups(group(a, b, "x"), group(a, b, "x"))
    assert both == group(a, b, "x")


def three_writes_associate(a: int, b: int, c: int) -> None:
    assert min(a, b, c) >= 0
    left = register.merge_groups(group(a, 2, "x"), group(b, 2, "y"))
    right = register.merge_groups(group(b, 2, "y"), group(c, 2, "z"))
    one = register.merge_groups(left, group(c, 2, "z"))
    assert one == register.merge_groups(group(a, 2, "x"), right)


def a_default_and_a_write_commute(seen: int, by: int, time: int, other: int, author: int) -> None:
    assert min(seen, by, other, author) >= 0
    assert time > seen
    one = register.merge_groups(default(seen, by, time, 2, "x"), group(other, author, "y"))
    assert one == register.merge_groups(group(other, author, "y"), default(seen, by, time, 2, "x"))
    later = (other, author) > (seen, by)
    assert register.read(one, "n") == ("y" if later else "x")


def the_greater_write_wins(a: int, b: int, c: int, d: int) -> None:
    assert min(a, b, c, d) >= 0
    assert (a, b) != (c, d)
    one = register.merge_groups(group(a, b, "x"), group(c, d, "y"))
    assert register.read(one, "n") == ("x" if (a, b) > (c, d) else "y")


# -- counters --------------------------------------------------------------------------------
def wrapping_is_addition(a: int, b: int) -> None:
    assert type(a) is type(b) is int
    wrapped = wrap(wrap(a) + b)
    assert wrapped == wrap(a + b)
    assert -(2**63) <= wrap(a) < 2**63


def totals_add(a: int, b: int) -> None:
    assert wrap(a) == a != 0
    assert wrap(b) == b != 0
    one = merge_totals({"n": a}, {"n": b})
    assert one == merge_totals({"n": b}, {"n": a})
    assert one.get("n", 0) == wrap(a + b)
    assert 0 not in one.values()


def what_was_not_seen_counts_on_top(value: int, seen: int, later: int) -> None:
    assert wrap(value) == value
    assert wrap(seen) == seen
    total = wrap(seen + later)
    assert shown(Based(value, seen), total) == wrap(value + later)


# -- objects ---------------------------------------------------------------------------------
def well_formed(length: int, at: int) -> bool:
    return length >= 0 and (at == 0 or (at % 2 == 1 and at >= length))


def two_objects_commute(a: int, a_at: int, b: int, b_at: int) -> None:
    assert well_formed(a, a_at)
    assert well_formed(b, b_at)
    one = merge([a, a_at, [], {}], [b, b_at, [], {}])
    assert one == merge([b, b_at, [], {}], [a, a_at, [], {}])
    assert one[0] == max(a, b)
    assert well_formed(one[0], one[1])


def three_objects_associate(a: int, a_at: int, b: int, b_at: int, c: int, c_at: int) -> None:
    assert well_formed(a, a_at)
    assert well_formed(b, b_at)
    assert well_formed(c, c_at)
    left = merge(merge([a, a_at, [], {}], [b, b_at, [], {}]), [c, c_at, [], {}])
    right = merge([b, b_at, [], {}], [c, c_at, [], {}])
    assert left == merge([a, a_at, [], {}], right)


def a_deletion_beats_an_edit(length: int) -> None:
    assert length % 2 == 1
    assert length > 0
    edit: list[Any] = [0, length, [], {1: {"n": 1}}]
    deleted = [length + 1, 0, [], {}]
    assert not is_alive(merge(merge([length, length, [], {}], edit), deleted))
    assert merge(list(deleted), edit) == deleted


def lengths_are_raised(start: int, *, alive: bool) -> None:
    assert start >= 0
    length = raised(start, start, alive=alive)
    assert length % 2 == alive
    assert start <= length <= start + 2
    assert alive or length > start
    assert raised(start, length, alive=not alive) > start


# -- collections and elements ----------------------------------------------------------------
def the_greater_incarnation_wins(a: int, b: int, c: int, d: int) -> None:
    assert min(a, b, c, d) > 0
    assert (a, b) != (c, d)
    left: list[Any] = [[a, 2, 2, b], [[1, 1, {b"x": True}]]]
    right: list[Any] = [[c, 2, 2, d], [[1, 1, {b"y": True}]]]
    winner = [[a, 2, 2, b], [[1, 1, {b"x": True}]]]
    if (a, b) < (c, d):
        winner = [[c, 2, 2, d], [[1, 1, {b"y": True}]]]
    assert merge_set(left, right) == winner


def element(time: int, origin: int, value: str, move: int, number: int) -> Elements:
    here = (2, 1)
    return Elements(values={here: (time, origin, value)}, moves={here: (move, 2, (2, number))})


def elements_commute(a: int, b: int, c: int, d: int) -> None:
    assert min(a, b, c, d) > 0
    one = merge_elements(element(a, b, "x", c, d), element(c, d, "y", a, b))
    assert one == merge_elements(element(c, d, "y", a, b), element(a, b, "x", c, d))


def erased_stays_erased(a: int, b: int, c: int, d: int) -> None:
    assert min(a, b, c, d) > 0
    gone = Elements(erased={(2, 1)})
    assert merge_elements(element(a, b, "x", c, d), gone) == gone


def of_two_places_the_lesser_stays(a: int, b: int, c: int, d: int) -> None:
    assert min(a, b, c, d) > 0
    left = Elements(places={(2, 9): ((2, a), 1, b, 2)})
    right = Elements(places={(2, 9): ((2, c), 1, d, 2)})
    least = min(((2, a), 1, b, 2), ((2, c), 1, d, 2))
    assert merge_elements(left, right) == Elements(places={(2, 9): least})


# -- to see that CrossHair finds what is wrong -------------------------------------------------
def wrong_the_first_write_wins(a: int, b: int) -> None:
    assert min(a, b) > 0
    one = register.merge_groups(group(a, 2, "x"), group(b, 2, "y"))
    assert register.read(one, "n") == "x"
