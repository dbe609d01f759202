"""Counters: increments add up whatever the order, and on top of a set that had not seen them."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st
from replicas import Replica, folded

from replication.crdt.counter import add, based, merge_totals, shown, wrap
from replication.crdt.object import COUNTER, is_alive, merge
from replication.crdt.view import object_view
from replication.limits import INT64_MAX, INT64_MIN
from replication.model.values import Based

INT64 = st.integers(INT64_MIN, INT64_MAX)
TOTALS = st.dictionaries(st.sampled_from("abc"), INT64.filter(bool), max_size=3).map(
    lambda totals: dict(sorted(totals.items()))
)


def pair() -> tuple[Replica, Replica]:
    """Two devices that hold one object."""
    left, right = Replica(2), Replica(3)
    left.write(lambda edit: edit.create())
    right.read(left)
    return left, right


def shown_at(device: Replica) -> object:
    assert is_alive(device.state)
    view = object_view(device.state)
    assert view is not None
    return view.get("n")


@given(st.lists(TOTALS, max_size=4))
def test_totals_are_sums_in_any_order(deltas: list[dict[str, int]]) -> None:
    """[MERGE-COUNTER-1] and [MERGE-COUNTER-4]: wrapping, zero left out, names ascending."""
    sums = {
        name: total
        for name in "abc"
        if (total := wrap(sum(delta.get(name, 0) for delta in deltas)))
    }
    for order in permutations(deltas):
        totals: dict[str, int] = {}
        for delta in order:
            totals = merge_totals(totals, delta)
        assert list(totals.items()) == list(sums.items())


@given(INT64, INT64)
def test_sums_wrap_in_64_bits(left: int, right: int) -> None:
    """[MERGE-COUNTER-1]"""
    assert INT64_MIN <= wrap(left + right) <= INT64_MAX
    assert (wrap(left + right) - left - right) % 2**64 == 0
    assert wrap(left) == left


def test_a_merged_increment_counts_twice_where_it_is_merged_twice() -> None:
    """[MERGE-COUNTER-1] It is the one merge that is not idempotent."""
    left, _ = pair()
    delta = left.write(lambda edit: edit.scope().add("n", 5))
    assert object_view(merge(left.state, delta)) == {"n": 10}


def test_a_total_of_zero_is_left_out() -> None:
    """[MERGE-COUNTER-4] In the delta of a transaction, and after merging two."""
    assert add(add({}, "a", 5), "a", -5) == {}
    left, right = pair()

    def there_and_back(edit: object) -> None:
        scope = edit.scope()  # type: ignore[attr-defined]
        scope.add("n", 5)
        scope.add("n", -5)

    assert COUNTER not in left.write(there_and_back)[3]
    left.write(lambda edit: edit.scope().add("n", 5))
    right.write(lambda edit: edit.scope().add("n", -5))
    left.read(right)
    assert COUNTER not in left.state[3]


@given(INT64, st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9), st.booleans())
def test_increments_a_setter_had_not_seen_count_on_top(
    value: int, before: int, unseen: int, after: int, late: bool
) -> None:
    """[MERGE-COUNTER-2] Whatever the clocks say."""
    left, right = pair()
    left.write(lambda edit: edit.scope().add("n", before))
    right.read(left)
    if late:
        right.wall_ms += 10_000
    else:
        left.wall_ms += 10_000
    left.write(lambda edit: edit.scope().set("n", value))
    right.write(lambda edit: edit.scope().add("n", unseen))
    left.write(lambda edit: edit.scope().add("n", after))
    for first, second in ((left, right), (right, left)):
        first.read(second)
    assert shown_at(left) == shown_at(right) == wrap(value + unseen + after)


def test_the_later_of_two_sets_stands_with_what_it_had_seen() -> None:
    """[MERGE-COUNTER-2] The earlier setter's increments from before its set stay counted once."""
    left, right = pair()
    left.write(lambda edit: edit.scope().set("n", 100))
    left.write(lambda edit: edit.scope().add("n", 1))
    right.wall_ms += 10_000
    right.write(lambda edit: edit.scope().set("n", 500))
    left.read(right)
    assert shown_at(left) == 501


def test_increments_on_what_is_no_integer_show_nothing_and_are_not_lost() -> None:
    """[MERGE-COUNTER-3]"""
    for value in (None, "x", 1.5, True):
        left, right = pair()
        right.read(left)
        right.write(lambda edit, value=value: edit.scope().set("n", value))  # type: ignore[misc]
        left.write(lambda edit: edit.scope().add("n", 5))
        left.read(right)
        assert shown_at(left) == value
        left.write(lambda edit: edit.scope().add("n", 2))
        left.write(lambda edit: edit.scope().set("n", 10))
        assert shown_at(left) == 10
        right.write(lambda edit: edit.scope().add("n", 3))
        left.read(right)
        assert shown_at(left) == 13, "an increment from before is there, one unseen is on top"


def test_where_nothing_was_set_it_counts_from_zero() -> None:
    """[MERGE-COUNTER-3]"""
    left, right = pair()
    left.write(lambda edit: edit.scope().add("n", 5))
    right.write(lambda edit: edit.scope().add("n", 7))
    left.read(right)
    assert shown_at(left) == 12


@given(INT64, INT64)
def test_a_set_shows_what_was_set_to_its_author(value: int, total: int) -> None:
    """[MERGE-COUNTER-2] Only totals other than zero are written."""
    assert shown(based(value, total), total) == value
    assert based(value, 0) == value
    assert total == 0 or based(value, total) == Based(value, total)


def test_a_creation_and_increments_arrive_in_any_order() -> None:
    """[MERGE-COUNTER-1]"""
    left, right = pair()
    right.write(lambda edit: edit.scope().add("n", 1))
    left.write(lambda edit: edit.scope().set("n", 40))
    left.write(lambda edit: edit.scope().add("n", 1))
    deltas = [*left.known.values(), *list(right.known.values())[1:]]
    for order in permutations(deltas):
        assert object_view(folded(order)) == {"n": 42}
