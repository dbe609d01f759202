"""The scalar merges are semilattices, counters an abelian group: proved for all integers. [MERGE]

z3 proves the laws of the formulas in `algebra.py`; after that, each formula is held against the
real function on a small domain, completely. Proof and code meet in the formula. Everything else
that merges is a map of these by name, key, member or id, which has the laws its items have.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import z3
from algebra import (
    Python,
    Shape,
    alive,
    choose,
    collection,
    default,
    element,
    explicit,
    latest,
    least,
    less,
    object_,
    same,
    wrapped,
)

from replication.crdt import counter, register
from replication.crdt import object as obj
from replication.crdt.edit import raised
from replication.crdt.list import Elements, merge_elements
from replication.crdt.object import merge
from replication.crdt.set import merge_set
from replication.model.encoding import pack

Merge = Callable[[Any, Shape, Shape], Shape]
PYTHON = Python()


class Z3:
    """The logic of z3: numbers are any integers, contents any sets of integers."""

    empty = z3.EmptySet(z3.IntSort())

    def both(self, *truths: Any) -> Any:
        return z3.And(*truths)

    def either(self, *truths: Any) -> Any:
        return z3.Or(*truths)

    def no(self, truth: Any) -> Any:
        return z3.Not(truth)

    def if_(self, truth: Any, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int) and left == right:
            return left
        if z3.is_bool(right) and not z3.is_expr(left):
            left = bool(left)
        return z3.If(truth, left, right)

    def equal(self, left: Any, right: Any) -> Any:
        return left == right

    def join(self, left: Any, right: Any) -> Any:
        return z3.SetUnion(left, right)


LOGIC = Z3()


def holds(claim: Any, *given: Any) -> bool:
    """Whether a claim is true whatever the variables in it are."""
    solver = z3.Solver()
    solver.set("timeout", 60_000)
    solver.add(*given, z3.Not(claim))
    found = solver.check()
    assert found != z3.unknown, "z3 gave up"
    return bool(found == z3.unsat)


# -- anything of a shape, well-formed ---------------------------------------------------------
def numbers(name: str, count: int) -> tuple[Any, ...]:
    return tuple(z3.Ints(" ".join(f"{name}.{n}" for n in range(count))))


def any_write(name: str, size: int, *, valued: bool = True) -> tuple[Shape, Any]:
    there, order = z3.Bool(f"{name}.there"), numbers(f"{name}.order", size)
    value = z3.Int(f"{name}.value") if valued else 0
    write = (there, order, value)
    absent = [item == 0 for item in (*order, value) if z3.is_expr(item)]
    return write, z3.Or(there, z3.And(*absent))


def any_content(name: str) -> Any:
    return z3.Array(f"{name}.content", z3.IntSort(), z3.BoolSort())


def any_register(name: str) -> tuple[Shape, Any]:
    return any_write(name, 5)


def any_member(name: str) -> tuple[Shape, Any]:
    """Of a set or dictionary: explicit, so the stamp alone is its order."""
    return any_write(name, 2)


def any_place(name: str) -> tuple[Shape, Any]:
    return any_write(name, 5, valued=False)


def any_collection(name: str) -> tuple[Shape, Any]:
    return (numbers(f"{name}.incarnation", 4), any_content(name)), z3.BoolVal(True)


def any_object(name: str) -> tuple[Shape, Any]:
    """[STATE-6] [STATE-7]"""
    length, at = numbers(name, 2)
    incarnation, content = numbers(f"{name}.incarnation", 4), any_content(name)
    state = (length, at, incarnation, content)
    return state, well_formed(state)


def well_formed(state: Shape) -> Any:
    length, at, incarnation, content = state
    nothing = z3.And(at == 0, *(n == 0 for n in incarnation), content == Z3.empty)
    return z3.And(length >= 0, z3.Or(nothing, z3.And(at > 0, at % 2 == 1, at >= length)))


def any_element(name: str) -> tuple[Shape, Any]:
    """[STATE-29]"""
    place, place_ok = any_place(f"{name}.place")
    value, value_ok = any_write(f"{name}.value", 2)
    move, move_ok = any_write(f"{name}.move", 4, valued=False)
    erased, content = z3.Bool(f"{name}.erased"), any_content(name)
    alone = z3.And(z3.Not(value[0]), z3.Not(move[0]), content == Z3.empty)
    given = z3.And(place_ok, value_ok, move_ok, z3.Implies(erased, alone))
    return (place, value, move, erased, content), given


LAWS: dict[str, tuple[Merge, Callable[[str], tuple[Shape, Any]]]] = {
    "registers": (latest, any_register),
    "members and keys": (latest, any_member),
    "places": (least, any_place),
    "collections": (collection, any_collection),
    "objects": (object_, any_object),
    "elements": (element, any_element),
}


@pytest.mark.parametrize("name", LAWS)
def test_a_merge_is_commutative_associative_and_idempotent(name: str) -> None:
    """[MERGE-1] [MERGE-2], for all integers."""
    merged, anything = LAWS[name]
    (a, a_ok), (b, b_ok), (c, c_ok) = anything("a"), anything("b"), anything("c")

    def m(left: Shape, right: Shape) -> Shape:
        return merged(LOGIC, left, right)

    assert holds(same(LOGIC, m(a, b), m(b, a)), a_ok, b_ok)
    assert holds(same(LOGIC, m(m(a, b), c), m(a, m(b, c))), a_ok, b_ok, c_ok)
    assert holds(same(LOGIC, m(a, a), a), a_ok)


def test_merged_objects_are_well_formed() -> None:
    """[MERGE-3]"""
    (a, a_ok), (b, b_ok) = any_object("a"), any_object("b")
    assert holds(well_formed(object_(LOGIC, a, b)), a_ok, b_ok)


def test_z3_refutes_what_is_wrong() -> None:
    """Laws that do not hold are not proved: without the tie rule order matters."""
    (a, a_ok), (b, b_ok) = any_register("a"), any_register("b")

    def careless(left: Shape, right: Shape) -> Shape:
        return choose(LOGIC, less(LOGIC, left[1], right[1]), right, left)

    assert not holds(same(LOGIC, careless(a, b), careless(b, a)), a_ok, b_ok)
    # Nor is dropping what a length has passed idle: without it the greater life stays behind.
    (s, s_ok), (t, t_ok) = any_object("s"), any_object("t")
    assert not holds(same(LOGIC, object_(LOGIC, s, t)[1:], s[1:]), s_ok, t_ok)


# -- what the rules are for -------------------------------------------------------------------
def test_orders_are_total() -> None:
    a, b, c = (numbers(name, 5) for name in "abc")
    assert holds(z3.Or(less(LOGIC, a, b), less(LOGIC, b, a), same(LOGIC, a, b)))
    assert holds(z3.Not(z3.And(less(LOGIC, a, b), less(LOGIC, b, a))))
    assert holds(z3.Implies(z3.And(less(LOGIC, a, b), less(LOGIC, b, c)), less(LOGIC, a, c)))


def test_a_default_replaces_what_its_author_saw_and_nothing_later() -> None:
    """[MERGE-REG-2]"""
    time, origin, seen, by, other, another = z3.Ints("time origin seen by other another")
    mine = default(time, origin, seen, by)
    assert holds(less(LOGIC, explicit(seen, by), mine))
    later = less(LOGIC, (seen, by), (other, another))
    assert holds(z3.Implies(later, less(LOGIC, mine, explicit(other, another))))


def test_a_deletion_beats_the_life_it_saw_and_a_new_life_beats_the_deletion() -> None:
    """[MERGE-OBJ-3]: whatever is merged, in whatever order, clocks apart."""
    (state, ok), (edit, edit_ok) = any_object("state"), any_object("edit")
    deleted = (state[0] + 1, 0, (0, 0, 0, 0), Z3.empty)
    given = [ok, edit_ok, alive(LOGIC, state), edit[0] <= state[0], edit[1] <= state[0]]
    both = object_(LOGIC, object_(LOGIC, state, edit), deleted)
    assert holds(z3.Not(alive(LOGIC, both)), *given)
    created = (state[0] + 2, state[0] + 2, (0, 0, 0, 0), Z3.empty)
    again = object_(LOGIC, both, created)
    assert holds(z3.And(alive(LOGIC, again), again[3] == Z3.empty), *given)


def test_an_erased_element_stays_erased() -> None:
    """[MERGE-LIST-3]"""
    (a, a_ok), (b, b_ok) = any_element("a"), any_element("b")
    both = element(LOGIC, a, b)
    gone = z3.And(z3.Not(both[1][0]), z3.Not(both[2][0]), both[4] == Z3.empty)
    assert holds(z3.Implies(a[3], z3.And(both[3], gone)), a_ok, b_ok)


# -- counters ---------------------------------------------------------------------------------
def test_totals_are_an_abelian_group() -> None:
    """[MERGE-COUNTER-1], in 64 bits."""
    a, b, c = z3.BitVecs("a b c", 64)
    assert holds(a + b == b + a)
    assert holds((a + b) + c == a + (b + c))
    assert holds(a + 0 == a)
    assert holds(a + (-a) == 0)


def test_wrapping_is_addition_in_64_bits() -> None:
    """For all integers: it may be done after each increment, or once."""
    a, b = z3.Ints("a b")
    assert holds(z3.And(wrapped(a) >= -(2**63), wrapped(a) < 2**63))
    assert holds(wrapped(wrapped(a) + b) == wrapped(a + b))
    assert holds(z3.Implies(z3.And(a >= -(2**63), a < 2**63), wrapped(a) == a))


def test_increments_the_setter_had_not_seen_count_on_top() -> None:
    """[MERGE-COUNTER-2]: value and increments, wherever the total wrapped meanwhile."""
    value, seen, later = z3.Ints("value seen later")
    shown = wrapped(value + wrapped(wrapped(seen) + later) - wrapped(seen))
    assert holds(shown == wrapped(value + later))


# -- the formulas are what the code does --------------------------------------------------------
STAMPS = [(1, 2), (1, 3), (2, 2)]
ORDERS = [
    *(explicit(*stamp) for stamp in STAMPS),
    *(default(*own, *saw) for own in [(2, 2), (2, 3), (3, 2)] for saw in [(0, 0), (1, 2), (1, 3)]),
]
NO_WRITE = (False, (0,) * 5, 0)


def test_registers_do_what_the_formula_says() -> None:
    """Alone, and among other names, where another algorithm takes over."""
    writes = [NO_WRITE, *((True, order, value) for order in ORDERS for value in (1, 2))]
    others = {f"other{n}": (explicit((9), n), n) for n in range(1, 10)}
    for left, right, beside in product(writes, writes, ({}, others)):
        states = [
            register.grouped({**({"n": write[1:]} if write[0] else {}), **beside})
            for write in (left, right)
        ]
        winner = latest(PYTHON, left, right)
        expected = {**({"n": winner[1:]} if winner[0] else {}), **beside}
        assert register.merge_groups(*states) == register.grouped(expected), (left, right)


def test_order_keys_are_what_the_formula_says() -> None:
    for own, saw in product(STAMPS, STAMPS):
        assert register.explicit(own) == explicit(*own)
        assert register.default(own, saw) == default(*own, *saw)


def incarnation_of(numbers: tuple[int, ...]) -> list[int]:
    return list(numbers) if any(numbers) else []


INCARNATIONS = [(0, 0, 0, 0), (1, 2, 2, 5), (1, 2, 2, 6), (1, 3, 3, 1), (2, 2, 2, 1)]


def test_collections_do_what_the_formula_says() -> None:
    def real(state: Shape) -> Any:
        members = {pack(bit): True for bit in range(2) if state[1] >> bit & 1}
        return [incarnation_of(state[0]), [[1, 2, members]] if members else []]

    for left, right in product(product(INCARNATIONS, range(4)), repeat=2):
        assert merge_set(real(left), real(right)) == real(collection(PYTHON, left, right))


def test_objects_do_what_the_formula_says() -> None:
    def real(state: Shape) -> Any:
        length, at, incarnation, content = state
        writes = {f"bit{bit}": 1 for bit in range(2) if content >> bit & 1}
        return [length, at, incarnation_of(incarnation), {0: [[1, 2, writes]]} if writes else {}]

    states = [
        (length, at, incarnation, content)
        for length, at, incarnation, content in product(
            range(5), (0, 1, 3, 5), INCARNATIONS[:3], range(4)
        )
        if (at == 0 and not any(incarnation) and not content) or (at and at >= length)
    ]
    for left, right in product(states, states):
        merged = object_(PYTHON, left, right)
        assert merge(real(left), real(right)) == real(merged), (left, right)
        assert obj.is_alive(real(merged)) == alive(PYTHON, merged)


def test_elements_do_what_the_formula_says() -> None:
    here = (2, 7)

    def real(state: Shape) -> Elements:
        place, value, move, erased, content = state
        out = Elements()
        if place[0]:
            parent, number, side, time, origin = place[1]
            out.places[here] = ((parent, number), side, time, origin)
        if value[0]:
            out.values[here] = (*value[1], value[2])
        if move[0]:
            out.moves[here] = (*move[1][:2], move[1][2:])
        if erased:
            out.erased.add(here)
        if content:
            out.contents[here] = {0: [[1, 2, {f"bit{b}": 1 for b in range(2) if content >> b & 1}]]}
        return out

    places = [(True, (2, 6, side, 1, 2), 0) for side in (0, 1)]
    values = [(True, stamp, value) for stamp in STAMPS[:2] for value in (1, 2)]
    moves = [(True, (1, 2, 2, number), 0) for number in (8, 9)]
    no_move, no_value = (False, (0,) * 4, 0), (False, (0, 0), 0)
    states = [
        state
        for state in product(
            [NO_WRITE, *places], [no_value, *values], [no_move, *moves], (False, True), range(4)
        )
        if not state[3] or not (state[1][0] or state[2][0] or state[4])
    ]
    for left, right in product(states, states):
        merged = element(PYTHON, left, right)
        assert merge_elements(real(left), real(right)) == real(merged), (left, right)


def test_counters_do_what_the_formula_says() -> None:
    edges = [-(2**63), -(2**63) + 1, -1, 0, 1, 5, 2**62, 2**63 - 1]
    for a, b in product(edges, edges):
        held = {"n": a} if a else {}
        total = wrapped(a + b)
        assert counter.add(dict(held), "n", b) == ({"n": total} if total else {})
        assert counter.merge_totals(dict(held), {"n": b}) == ({"n": total} if total else {})
        assert counter.wrap(a + b) == total
        for value in edges:
            based = counter.based(value, a)
            assert counter.shown(based, b) == wrapped(value + b - a)


def test_lengths_are_raised_by_the_least_amount() -> None:
    """[EDIT-3]: any creates and deletes of one transaction, from the dead and from the living."""
    for start in range(4):
        for steps in (each for n in range(1, 5) for each in product((True, False), repeat=n)):
            now = start
            for living in steps:
                now = raised(start, now, alive=living)
            parity = 1 if steps[-1] else 0
            lengths = range(start + (not all(steps)), start + 4)
            assert now == next(length for length in lengths if length % 2 == parity), steps
