"""What a device loses: `lost_parts` against the reference model, and the tables of the spec."""

from __future__ import annotations

from itertools import permutations
from random import Random
from typing import Any

import pytest
import replicas
from lost_oracle import lost, operations
from made_updates import typed
from replicas import WALL_MS, Edit, Replica, wander
from test_merge_pages import HISTORIES, named, rows

from replication.client import lost as losing
from replication.client.losses import EXPLICIT, FORMATTED, LATER, RULES, Cause, Lost, Side
from replication.client.lost import lost_parts, may_lose, only_adds, refused_parts
from replication.client.lost_writes import (
    names_of,
    same,
    same_write,
    stands,
    still_shows,
    unbased,
    won_by,
    writes_of,
)
from replication.crdt import object as obj
from replication.crdt.incarnation import clone
from replication.crdt.object import absent, merge
from replication.crdt.text import empty_text, text_of
from replication.crdt.updates import read_update
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import ERASED, Based


def told(parts: Any) -> list[Any]:
    """Losses, comparable: new values of what has no name are left out."""
    out = []
    for _, (way, did, old, new) in parts:
        named = did in ("set", "removed") and (not way or not isinstance(way[-1], tuple))
        sides = (old, new if named or did == FORMATTED else None)
        sides = (None, None) if did == "moved" else sides
        out.append((way, did, *map(pack, sides)))
    return sorted(out, key=repr)


# -- what is looked at first -----------------------------------------------------------------
RUN = [3, 1, 0, 9, 3, ["x"]]
SET_OF = [2, 1, 9, 3, "y"]


def edit(kind: int, held: Any) -> Any:
    return [0, 1, [], {kind: held}]


def a_list(*chunk: Any, incarnation: Any = ()) -> Any:
    return edit(obj.LIST, {"l": [list(incarnation), [*chunk, *[[]] * (5 - len(chunk))]]})


@pytest.mark.parametrize(
    ("news", "adds"),
    [
        (edit(obj.COUNTER, {"n": 1}), True),
        (a_list([RUN]), True),
        ([0, 1, [], {obj.COUNTER: {"n": 1}, obj.LIST: {"l": [[], [[RUN], [], [], [], []]]}}], True),
        (edit(obj.LIST, {"new": [[8, 3, 3, 5], [[RUN], [], [], [], []]]}), True),
        (a_list([RUN], incarnation=[8, 3, 3, 5]), False),  # it replaces the one that shows
        (a_list([], [SET_OF]), False),
        (a_list([RUN], [], [[2, 1, 9, 3, 3, 1]]), False),
        (a_list([], [], [], [[2, 1, 1]]), False),
        (a_list([], [], [], [], [[2, 1, {obj.COUNTER: {"n": 1}}]]), False),
        (edit(obj.REGISTER, [[9, 3, {"a": 1}]]), False),
        ([0, 1, [], {obj.REGISTER: [[9, 3, {"a": 1}]], obj.COUNTER: {"n": 1}}], False),
        (edit(obj.SET, {"s": [[], [[9, 3, {b"\x01": True}]]]}), False),
        ([1, 1, [], {obj.COUNTER: {"n": 1}}], False),
        ([2, 0, [], {}], False),
        ([0, 3, [], {obj.COUNTER: {"n": 1}}], False),  # of another life
    ],
)
def test_what_only_adds(news: Any, adds: bool) -> None:
    shown = [1, 1, [], {obj.LIST: {"l": [[], [[[2, 1, 0, 5, 2, ["a"]]], [], [], [], []]]}}]
    assert only_adds(news, shown) is adds


OWN = {
    "register": edit(obj.REGISTER, [[5, 2, {"a": 1}], [6, 2, {"b": 1}]]),
    "counter": edit(obj.COUNTER, {"a": 1}),
    "set": edit(obj.SET, {"a": [[], [[5, 2, {b"\x01": True}]]]}),
    "list": a_list([[2, 1, 0, 5, 2, ["a"]]]),
}


@pytest.mark.parametrize(
    ("own", "news", "may"),
    [
        ("register", edit(obj.REGISTER, [[9, 3, {"b": 2}]]), True),
        ("register", edit(obj.REGISTER, [[8, 3, {"c": 2}], [9, 3, {"a": 2}]]), True),
        ("register", edit(obj.REGISTER, [[9, 3, {"c": 2}]]), False),
        ("register", edit(obj.COUNTER, {"a": 1}), False),
        ("register", edit(obj.SET, {"a": [[], [[9, 3, {b"\x01": False}]]]}), False),
        ("counter", edit(obj.REGISTER, [[9, 3, {"a": 2}]]), True),
        ("counter", edit(obj.REGISTER, [[9, 3, {"b": 2}]]), False),
        ("counter", edit(obj.COUNTER, {"a": 1}), False),
        ("set", edit(obj.SET, {"a": [[], [[9, 3, {b"\x01": False}]]]}), True),
        ("set", edit(obj.SET, {"b": [[], [[9, 3, {b"\x01": False}]]]}), False),
        ("set", edit(obj.LIST, {"a": [[], [[RUN], [], [], [], []]]}), False),
        ("list", a_list([], [SET_OF]), True),
        ("list", [0, 1, [8, 3, 3, 5], {}], True),
        ("list", [0, 3, [], {}], True),
        ("list", [1, 1, [], {}], True),
        ("list", [2, 0, [], {}], True),
        ("list", [0, 1, [], {}], False),
    ],
)
def test_what_may_be_lost(own: str, news: Any, may: bool) -> None:
    assert may_lose(OWN[own], news) is may
    container = edit(obj.CONTAINER, {pack([obj.LIST, 2, 1]): [[], [[], [[], [], [], [], []]]]})
    assert may_lose(container, news)


def test_what_the_server_left_out() -> None:
    """A deletion, a creation, an edit: of each what was not integrated, and no more."""
    delete, create = [2, 0, [], {}], [1, 1, [], {obj.REGISTER: [[5, 2, {"a": 1, "b": 2}]]}]
    assert refused_parts(delete, None, (5, 2)) == [Lost((), "deleted", None, None)]
    assert refused_parts(delete, delete, (5, 2)) == []
    assert refused_parts(create, clone(create), (5, 2)) == []
    assert [(part.path, part.did, part.old) for part in refused_parts(create, None, (5, 2))] == [
        ((), "created", None),
        (("a",), "set", 1),
        (("b",), "set", 2),
    ]
    less = [1, 1, [], {obj.REGISTER: [[5, 2, {"b": 2}]]}]
    assert refused_parts(create, less, (5, 2)) == [Lost(("a",), "set", 1, None)]
    edit = [0, *create[1:]]
    rewritten = [0, 3, [], less[3]]  # of a blind create: the life that the server found
    assert refused_parts(edit, rewritten, (5, 2)) == [Lost(("a",), "set", 1, None)]


WRITE, DEFAULT = [5, 2, {"a": 1}], [5, 2, {"a": 1}, 7, 3]


def test_writes_and_their_names() -> None:
    groups = [[5, 2, {"a": 1, "b": 2}], [6, 2, {"c": 3}]]
    every = [("a", 1), ("b", 2), ("c", 3)]
    assert [(name, value) for _, name, value in writes_of(groups, None)] == every
    assert [(name, value) for _, name, value in writes_of(groups, {"b", "c"})] == every[1:]
    assert [group for group, *_ in writes_of(groups, {"c"})] == groups[1:]
    assert names_of(groups) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("groups", "value", "stood"),
    [
        ([WRITE], 1, True),
        ([WRITE], True, False),  # other bytes
        ([[5, 2, {"a": 2}]], 1, False),  # of a copied file
        ([[6, 2, {"a": 1}]], 1, False),
        ([[5, 3, {"a": 1}]], 1, False),
        ([DEFAULT], 1, False),
        ([[5, 2, {"b": 1}]], 1, False),
        ([], 1, False),
        # A removal that is forgotten shows on.
        ([], False, True),
        ([], ERASED, True),
        ([[6, 2, {"a": False}]], False, False),
        ([[6, 2, {"a": ERASED}]], ERASED, False),
        ([[5, 2, {"a": ERASED}]], ERASED, True),
    ],
)
def test_what_stands_and_what_shows_on(groups: Any, value: Any, stood: bool) -> None:
    write = [5, 2, {"a": value}]
    removal = ERASED if value is ERASED else False
    assert still_shows(groups, write, "a", value, removal=removal) is stood
    assert stands(groups, write, "a", value) is (stood and bool(groups))


def test_what_removes_a_member_is_a_value_at_a_key() -> None:
    """JOURNAL-1: False that is not there any more was written over, and not forgotten."""
    write = [5, 2, {"a": False}]
    assert not still_shows([], write, "a", False, removal=ERASED)
    assert not still_shows([], [5, 2, {"a": ERASED}], "a", ERASED, removal=False)


def test_why_a_write_lost_to_another() -> None:
    assert won_by(WRITE, None) == Cause(LATER, None)
    assert won_by(WRITE, [9, 4, {"a": 2}]) == Cause(LATER, (9, 4))
    assert won_by(WRITE, [6, 4, {"a": 2}, 8, 3]) == Cause(LATER, (8, 3))
    assert won_by(DEFAULT, [9, 4, {"a": 2}]) == Cause(EXPLICIT, (9, 4))
    assert won_by(DEFAULT, [6, 4, {"a": 2}, 8, 3]) == Cause(LATER, (8, 3))
    assert (unbased(Based(4, 9)), unbased(4)) == (4, 4)


def test_values_of_elements_are_of_one_write() -> None:
    assert same_write((5, 2, "a"), (5, 2, "a"))
    for other in (None, (5, 2, "b"), (6, 2, "a"), (5, 3, "a")):
        assert not same_write(other, (5, 2, "a"))
    nan = float("nan")
    for left, right in ((nan, nan), (nan, float("nan")), (2.0, 2.0)):
        assert same(left, right)
    for left, right in ((1, True), (0.0, -0.0)):
        assert not same(left, right)


# -- random histories ------------------------------------------------------------------------
class History:
    """Three devices that write at random and read from each other.

    Attributes:
        lost: the rules by which something was.
        added: how many deltas only added to what showed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = Random(seed)
        late = [0, 1, -50_000]
        self.devices = [Replica(i, wall_ms=WALL_MS + self.rng.choice(late)) for i in (2, 3, 4)]
        self.times: dict[Any, int] = {}
        self.seen: dict[Any, set[Any]] = {}
        self.lost: set[str] = set()
        self.added = 0

    def write(self, device: Replica, act: Any) -> None:
        had = set(device.known)
        device.wall_ms += self.rng.choice([0, 1, 1000])
        device.write(act)
        name = (device.ident, device.written)
        self.seen[name], self.times[name] = had, device.clock.last

    def read(self, device: Replica, other: Replica) -> None:
        for name, delta in other.known.items():
            if name not in device.known:
                self.receive(device, name, delta)

    def receive(self, device: Replica, name: Any, delta: Any) -> None:
        """One delta: what it takes away from each unseen write is what the model says."""
        before = Side(clone(device.state), None)
        facts = {each: operations(held) for each, held in device.known.items()}
        own = [n for n in device.known if n[0] == device.ident and n not in self.seen[name]]
        device.receive(name, delta)
        after, news = Side(device.state, None), {**facts, name: operations(delta)}
        for each in own:
            stamp = (self.times[each], each[0])
            parts = lost_parts(
                device.known[each], stamp, clone(delta), before, after, (self.times[name], name[0])
            )
            for cause, _ in parts:
                self.lost.add(cause.rule)
            if not may_lose(device.known[each], delta):
                assert not parts, f"seed {self.seed}: {each} may not lose to {name}"
            if only_adds(delta, before.state):
                self.added += 1
                assert not parts, f"seed {self.seed}: {each} loses to {name}, which only adds"
            expected = sorted(
                lost(each, self.times[each], facts, news, (self.times[name], name[0])), key=repr
            )
            assert told(parts) == expected, f"seed {self.seed}: {each} loses to {name}"

    def run(self, turns: int, act: Any) -> None:
        self.write(self.devices[0], lambda edit: edit.create())
        for _ in range(3):
            self.write(self.devices[0], act)
        for device in self.devices[1:]:
            self.read(device, self.devices[0])
        for _ in range(turns):
            device = self.rng.choice(self.devices)
            if self.rng.random() < 0.3:
                self.read(device, self.rng.choice(self.devices))
            else:
                self.write(device, act)


#: Operations that get in each other's way.
FAMILIES = [
    (replicas._insert, replicas._on_element, replicas._on_element),
    (replicas._insert, replicas._on_element, replicas._on_element, replicas._on_element),
    (replicas._insert, replicas._on_element, replicas._restart),
    (replicas._insert_embedded, replicas._on_element, replicas._set),
    (replicas._create_embedded, replicas._erase_embedded, replicas._set),
    (replicas._create_item, replicas._erase_item, replicas._put_item),
    (replicas._member, replicas._put_item, replicas._restart),
    (replicas._set, replicas._set_default, replicas._add),
    (replicas._type, replicas._create_embedded, replicas._erase_embedded),
    (replicas._nested_value, replicas._inside_container, replicas._set),
]


def within(rng: Random, family: Any) -> Any:
    """Transactions of one family, so that they meet; objects are not deleted."""

    def act(edit: Edit) -> None:
        for _ in range(rng.randint(1, 3)):
            scope = edit.scope()
            while rng.random() < 0.15:
                scope = replicas.descend(edit, scope, rng) or scope
            rng.choice(family)(edit, scope, rng)

    return act


def run(history: History, seed: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mostly operations of one family, by turns, on few values; every fifth time all of them."""
    if seed % 5:
        monkeypatch.setattr(replicas, "VALUES", [None, True, 1, "b"])
        history.run(steps, within(history.rng, FAMILIES[seed % len(FAMILIES)]))
    else:
        monkeypatch.undo()
        history.run(steps, wander(history.rng))


def tried(seeds: range, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Random histories; the rules by which anything was lost in them."""
    found: set[str] = set()
    added = 0
    for seed in seeds:
        history = History(seed)
        run(history, seed, 24, monkeypatch)
        found |= history.lost
        added += history.added
    assert added > 10
    return found


@pytest.mark.parametrize("block", range(3))
def test_what_is_lost_is_what_the_model_says(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """JOURNAL-1 JOURNAL-2 JOURNAL-3: all types, three devices, any order."""
    found = tried(range(block * 54, block * 54 + 54), monkeypatch)
    assert len(found) >= len(RULES) - 1, "kinds of loss that never happened here were not tried"


def lists_alone(count: int) -> None:
    for seed in range(count):
        History(seed).run(24, within(Random(seed), FAMILIES[1]))


def test_the_comparison_finds_what_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losing, "_touched", lambda _news: set())
    with pytest.raises(AssertionError, match="seed"):
        lists_alone(20)


# -- the tables of the spec ------------------------------------------------------------------
ROWS = [(row["lost"], name) for row in rows("merge.md", "lost") for name in named(row["example"])]


@pytest.mark.parametrize(("column", "name"), ROWS, ids=[name for _, name in ROWS])
def test_the_journal_says_what_the_tables_say(column: str, name: str) -> None:
    """JOURNAL-1: whoever merges the others' transactions in any order loses what stands there."""
    found: set[Any] = set()
    steps = [dict(each, number=at) for at, each in enumerate(HISTORIES[name]["transactions"])]
    for own in steps:
        news = [each for each in steps if is_concurrent(own, each, steps)]
        for order in permutations(news):
            found |= losses(own, order, steps)
    if not column.startswith("a field both wrote"):
        assert bool(found) == (column != "nothing"), found


def is_concurrent(one: Any, other: Any, steps: Any) -> bool:
    return one["number"] not in seen(other, steps) and other["number"] not in seen(one, steps) | {
        one["number"]
    }


def seen(step: Any, steps: Any) -> set[int]:
    out: set[int] = set()
    for number in step["saw"]:
        out |= {number} | seen(steps[number], steps)
    return out


def losses(own: Any, order: Any, steps: Any) -> set[Any]:
    """What one transaction loses to others that come in an order."""
    state = absent()
    for number in sorted(seen(own, steps)):
        state = merge(state, delta_of(steps[number]))
    state = merge(state, delta_of(own))
    found = set()
    for each in order:
        before = Side(clone(state), None)
        state = merge(state, delta_of(each))
        stamp = (own["stamp"][0], own["stamp"][1])
        parts = lost_parts(
            delta_of(own), stamp, delta_of(each), before, Side(state, None), tuple(each["stamp"])
        )
        found |= {(repr(part.path), part.did, repr(part.old)) for _, part in parts}
    return found


def delta_of(step: Any) -> Any:
    return unpack_trusted(bytes.fromhex(step["delta"]))


# -- texts -----------------------------------------------------------------------------------
def test_typed_text_is_lost_with_what_it_is_in() -> None:
    """JOURNAL-1: only what of it is still there; texts lose nothing to each other."""
    start = [1, 1, [], {}]
    own = [0, 1, [], {6: {"t": text_of(read_update(typed(7, 0, None, None, "mine 😀")), 3)}}]
    before = merge(clone(start), clone(own))
    others = [0, 1, [], {6: {"t": text_of(read_update(typed(8, 0, None, None, "theirs")), 4)}}]
    after = merge(clone(before), others)
    assert lost_parts(own, (5, 3), others, Side(before, None), Side(after, None)) == []
    gone = [2, 0, [], {}]
    after = merge(clone(before), gone)
    ((cause, part),) = lost_parts(own, (5, 3), gone, Side(before, None), Side(after, None))
    assert (cause.rule, tuple(part)) == ("deletion", (("t",), "typed", "mine 😀", None))
    assert empty_text()[0] == []
