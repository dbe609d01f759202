"""Items of a text: how they are cut, joined and found. Mutants survived there. [MERGE-TEXT-5]"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from made_updates import erased, typed

from replication.crdt import formatting, unit_sequence
from replication.crdt.unit_items import ITEM_MAX, goes_on, is_low, items_of, offset_of, shown_in
from replication.crdt.unit_sequence import UnitSequence
from replication.crdt.units import Content, UnitId, Update
from replication.crdt.updates import read_update

FACE = "\ud83d\ude00"


def sequence(*updates: bytes) -> UnitSequence:
    units = UnitSequence()
    for data in updates:
        units.take(read_update(data))
    return units


def shape(units: UnitSequence) -> list[tuple[int, int, int, Content]]:
    """(client, clock, size, content) of each item; and that all that is counted is right."""
    held = list(units.items())
    assert len(units) == len(str(units)) == sum(item.shown for item in held)
    assert units.formats == sum(type(item.content) is tuple for item in held)
    in_blocks = [item for block in units._blocks for item in block.items]
    assert in_blocks == held
    for block in units._blocks:
        assert block.shown == sum(item.shown for item in block.items)
        assert block.formats == sum(type(item.content) is tuple for item in block.items)
    for item in held:
        assert item.block in units._blocks
        for clock in range(item.clock, item.clock + item.size):
            assert units.named((item.client, clock)) is item
    found = [units.at(number) for number in range(len(units))]
    assert found == [(item, start) for item in held for start in range(item.shown)]
    return [(item.client, item.clock, item.size, item.content) for item in held]


# -- items -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "sizes"),
    [
        ("x" * ITEM_MAX, [ITEM_MAX]),
        ("x" * (ITEM_MAX + 1), [ITEM_MAX, 1]),
        ("x" * (2 * ITEM_MAX), [ITEM_MAX, ITEM_MAX]),
        ("x" * (ITEM_MAX - 1) + FACE, [ITEM_MAX - 1, 2]),  # no pair is cut
        ("x" * (ITEM_MAX - 2) + FACE + "y", [ITEM_MAX, 1]),
        ("x" * (ITEM_MAX - 1) + "\ud800\udfff", [ITEM_MAX - 1, 2]),
        ("x" * (ITEM_MAX - 1) + "\udbff\udc00" + "y", [ITEM_MAX - 1, 3]),
        (FACE * ITEM_MAX, [ITEM_MAX, ITEM_MAX]),
    ],
)
def test_a_run_becomes_items_of_bounded_size(content: str, sizes: list[int]) -> None:
    found = list(items_of(5, (7, len(content), (9, 9), (8, 8), content)))
    assert [item.size for item in found] == sizes
    assert "".join(str(item.content) for item in found) == content
    clock, left = 7, (9, 9)
    for item in found:
        assert (item.client, item.clock, item.left, item.right) == (5, clock, left, (8, 8))
        clock += item.size
        left = item.last
        assert left == (5, clock - 1)


def test_what_shows_nothing_is_one_item_however_long() -> None:
    (item,) = items_of(5, (0, 9000, None, None, None))
    assert (item.size, item.shown) == (9000, 0)
    (item,) = items_of(5, (0, 1, None, None, ("b", "true")))
    assert (item.size, item.shown) == (1, 0)


def test_units_and_the_characters_they_show() -> None:
    assert [is_low(unit) for unit in "a\ud800\udbff\udc00\udfff\ue000"] == [
        False, False, False, True, True, False,
    ]  # fmt: skip
    assert [shown_in(each) for each in (None, ("b", "1"), "", "ab", "é" + FACE)] == [0, 0, 0, 2, 2]
    assert [offset_of("abc", count) for count in range(4)] == [0, 1, 2, 3]
    mixed = "é" + FACE + "b" + FACE
    assert [offset_of(mixed, count) for count in range(5)] == [0, 1, 3, 4, 6]
    assert [offset_of("\ude00a" + FACE, count) for count in range(3)] == [1, 2, 4]


def test_deleted_items_go_on_where_they_were_made_in_a_row() -> None:
    def one(client: int = 5, clock: int = 0, left: UnitId | None = None,
            right: UnitId | None = None, content: Content = None):  # type: ignore[no-untyped-def]  # fmt: skip
        (item,) = items_of(client, (clock, 2, left, right, content))
        return item

    follower = {"clock": 2, "left": (5, 1)}
    assert goes_on(one(), one(**follower))
    assert goes_on(one(right=(9, 9)), one(**follower, right=(9, 9)))
    for first, second in (
        (one(content="ab"), one(**follower)),
        (one(), one(**follower, content="ab")),
        (one(client=4), one(**follower)),
        (one(client=4), one(clock=2, left=(4, 1))),
        (one(), one(clock=3, left=(5, 1))),
        (one(), one(clock=2, left=(5, 0))),
        (one(), one(clock=2)),
        (one(right=(9, 9)), one(**follower)),
        (one(), one(**follower, right=(9, 9))),
    ):
        assert not goes_on(first, second)


# -- editing ---------------------------------------------------------------------------------------
def test_what_is_deleted_in_a_row_is_one_item() -> None:
    units = sequence(typed(5, 0, None, None, "abcdef"))
    assert units.erase(3, 1) == {5: [(3, 4)]}
    assert shape(units) == [(5, 0, 3, "abc"), (5, 3, 1, None), (5, 4, 2, "ef")]
    units.erase(3, 1)  # behind it
    assert shape(units) == [(5, 0, 3, "abc"), (5, 3, 2, None), (5, 5, 1, "f")]
    units.erase(2, 1)  # before it
    assert shape(units) == [(5, 0, 2, "ab"), (5, 2, 3, None), (5, 5, 1, "f")]
    units.erase(0, 1)
    assert shape(units) == [(5, 0, 1, None), (5, 1, 1, "b"), (5, 2, 3, None), (5, 5, 1, "f")]
    units.erase(0, 1)  # between two
    assert shape(units) == [(5, 0, 5, None), (5, 5, 1, "f")]
    units.erase(0, 1)
    assert shape(units) == [(5, 0, 6, None)]


def test_a_run_that_does_not_start_with_its_client_is_cut_where_others_stand() -> None:
    units = sequence(typed(5, 0, None, None, "a"), typed(5, 1, None, (5, 0), "bcd"))
    units.take(read_update(typed(4, 0, (5, 2), None, "x")))
    assert str(units) == "bcxda"


def test_what_was_looked_up_last_is_forgotten_when_something_is_taken() -> None:
    units = sequence(typed(5, 0, None, None, "abc"))
    units.type(6, 2, "x")
    units.take(read_update(typed(7, 0, (5, 0), (5, 1), "yyy")))
    assert str(units) == "ayyybxc"
    units.erase(2, 1)
    assert str(units) == "ayybxc"


@pytest.mark.parametrize("gone", range(4))
def test_what_was_looked_up_last_moves_with_what_stands_before_it(
    gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any edit at any place, where the first characters are deleted, too."""
    monkeypatch.setattr(unit_sequence, "_BLOCK_MIN", 2)
    edits: list[Callable[[UnitSequence, int], object]] = [
        lambda units, at: units.type(7, at, "xyz"),
        lambda units, at: units.erase(at, 1) if at < len(units) else None,
        lambda units, at: formatting.insert(units, 7, at, "xyz", {"b": True}),
        lambda units, at: formatting.apply(units, 7, at, 2, {"b": True}),
    ]
    for looked, at, edit in product(range(9 - gone), range(10 - gone), edits):
        units = UnitSequence()
        for number in range(9):  # an item each
            units.type(5 + number % 2, number, "abcdefghi"[number])
        if gone:
            units.erase(0, gone)
        units.at(looked)
        edit(units, at)
        shown, near = str(units), units._near
        for place in range(max(0, looked - 1), min(looked + 5, len(shown))):
            units._near = near
            item, within = units.at(place)
            assert isinstance(item.content, str)
            assert item.content[within] == shown[place], (looked, at)
    assert len(units._blocks) > 2


def test_of_others_what_is_deleted_stays_apart() -> None:
    units = sequence(typed(5, 0, None, None, "ab"), typed(6, 0, (5, 0), (5, 1), "x"))
    units.erase(0, 3)
    assert shape(units) == [(5, 0, 1, None), (6, 0, 1, None), (5, 1, 1, None)]


def test_what_is_typed_on_makes_an_item_longer_while_it_may() -> None:
    units = UnitSequence()
    units.type(5, 0, "ab")
    units.type(5, 2, "é" + "😀")
    assert shape(units) == [(5, 0, 5, "abé" + FACE)]
    units.type(5, 1, "x")  # in the middle
    assert shape(units) == [(5, 0, 1, "a"), (5, 5, 1, "x"), (5, 1, 4, "bé" + FACE)]
    units.type(5, 2, "y")  # and on: right of both is the same
    assert shape(units) == [(5, 0, 1, "a"), (5, 5, 2, "xy"), (5, 1, 4, "bé" + FACE)]
    units.type(6, 3, "z")  # somebody else
    assert shape(units)[1:3] == [(5, 5, 2, "xy"), (6, 0, 1, "z")]
    units.type(5, 3, "w")  # what is right of it is another one now
    assert shape(units)[1:4] == [(5, 5, 2, "xy"), (5, 7, 1, "w"), (6, 0, 1, "z")]


def test_an_item_is_made_longer_up_to_its_bound() -> None:
    for more, sizes in ((ITEM_MAX - 2, [ITEM_MAX]), (ITEM_MAX - 1, [2, ITEM_MAX - 1])):
        units = UnitSequence()
        units.type(5, 0, "ab")
        units.type(5, 2, "x" * more)
        assert [size for _, _, size, _ in shape(units)] == sizes


def test_neither_marks_nor_what_is_deleted_are_made_longer() -> None:
    units = UnitSequence()
    left = units.put(5, ("b", "true"), None)
    assert left == (0, 1, None, None, ("b", "true"))
    units.put(5, "x", units.first)
    assert shape(units) == [(5, 0, 1, ("b", "true")), (5, 1, 1, "x")]
    units.put(5, ("b", "null"), list(units.items())[-1])
    assert shape(units)[1:] == [(5, 1, 1, "x"), (5, 2, 1, ("b", "null"))]
    units = UnitSequence()
    units.type(5, 0, "a")
    units.erase(0, 1)
    units.put(5, "b", units.first)
    assert shape(units) == [(5, 0, 1, None), (5, 1, 1, "b")]


# -- finding ---------------------------------------------------------------------------------------
def test_the_place_of_a_unit() -> None:
    """Of each unit; None where it shows nothing, or is not known."""
    units = sequence(
        typed(5, 0, None, None, "ab" + FACE + "cd"),
        typed(6, 0, (5, 1), (5, 2), "xy"),
        erased(5, [(4, 5)]),
    )
    units.put(7, ("b", "true"), units.first)
    assert str(units) == "abxy😀d"
    places = [units.place_of((5, clock)) for clock in range(7)]
    assert places == [0, 1, 4, 5, None, 5, None]
    assert [units.place_of((6, clock)) for clock in range(3)] == [2, 3, None]
    assert (units.place_of((7, 0)), units.place_of((8, 0))) == (None, None)


def test_a_long_text_is_held_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each edit beside a plain string, and all that is counted checked."""
    monkeypatch.setattr(unit_sequence, "_BLOCK_MIN", 2)
    units, plain = UnitSequence(), ""
    for step in range(60):
        at = step * 7 % (len(plain) + 1)
        text = "😀a"[: 1 + step % 2] if step % 3 else "bc"
        units.type(5 + step % 2, at, text)
        plain = plain[:at] + text + plain[at:]
        if step % 4 == 3:
            at = step * 5 % (len(plain) - 1)
            units.erase(at, 2)
            plain = plain[:at] + plain[at + 2 :]
        if step % 10 == 9:
            formatting.apply(units, 7, at, 1, {"b": step})
        assert str(units) == plain
    shape(units)
    assert len(units._blocks) > 5
    index = {item: number for number, item in enumerate(units.items())}
    counted = 0
    for item in index:
        for offset in range(item.size):
            found = units.place_of((item.client, item.clock + offset))
            if not isinstance(item.content, str):
                assert found is None
            else:
                assert found == counted + shown_in(item.content[:offset])
        counted += item.shown
    marks: list[tuple[str, str]] = []
    for item in index:
        if isinstance(item.content, tuple):
            marks.append(item.content)
        assert list(units.formats_before(item)) == marks
    assert list(units.formats_before(None)) == []


def test_rivals_at_one_place_stand_by_client() -> None:
    """[MERGE-TEXT-5] Whatever comes first; what stands behind one of them stays behind it."""
    base = typed(5, 0, None, None, "ab")
    rivals = [typed(9, 0, (5, 0), (5, 1), "x"), typed(7, 0, (5, 0), (5, 1), "y"),
              typed(8, 0, (5, 0), (5, 1), "z")]  # fmt: skip
    behind = typed(6, 0, (7, 0), (5, 1), "!")
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        units = sequence(base, *(rivals[at] for at in order), behind)
        assert str(units) == "ay!zxb"
    assert Update().end(5) == 0


def test_a_rival_that_was_put_before_something_else_is_passed() -> None:
    """[MERGE-TEXT-5] Of x, c and b at the start c alone was put before x: b stands behind both."""
    put = [typed(5, 0, None, None, "x"), typed(9, 0, None, (5, 0), "c"),
           typed(7, 0, None, None, "b")]  # fmt: skip
    for order in ((0, 1, 2), (0, 2, 1), (2, 0, 1)):
        assert str(sequence(*(put[at] for at in order))) == "cxb"


# -- formatting ------------------------------------------------------------------------------------
def written(update: Update) -> list[Content]:
    return [run[4] for found in update.runs.values() for run in found]


def marked(*contents: Content) -> UnitSequence:
    """A text of strings, marks and what is deleted (None), one behind the other."""
    units = UnitSequence()
    left = None
    for content in contents:
        units.put(5, "z" if content is None else content, left)
        if content is None:
            units.erase(len(units) - 1, 1)
        left = list(units.items())[-1]
    return units


ON, OFF = ("b", "true"), ("b", "null")


@pytest.mark.parametrize(
    ("contents", "index", "formats", "marks", "shown"),
    [
        # A mark that says the same is passed, and none is put.
        (["a", ON, "b", OFF], 1, {"b": True}, [], [("a", {}), ("xb", {"b": True})]),
        (["a", ON, "b", OFF], 1, {}, [], [("ax", {}), ("b", {"b": True})]),
        (["a", ON, "b", OFF], 2, {"b": True}, [], [("a", {}), ("bx", {"b": True})]),
        (["a", ON, "b", OFF, "c"], 2, {}, [], [("a", {}), ("b", {"b": True}), ("xc", {})]),
        # In the middle: taken away and put again, or only added.
        (["a", ON, "bc", OFF], 2, {}, [OFF, ON],
         [("a", {}), ("b", {"b": True}), ("x", {}), ("c", {"b": True})]),
        (["abc"], 1, {"b": True}, [ON, OFF], [("a", {}), ("x", {"b": True}), ("bc", {})]),
        (["a", ON, "bc", OFF], 2, {"b": True, "i": 1}, [("i", "1"), ("i", "null")],
         [("a", {}), ("b", {"b": True}), ("x", {"b": True, "i": 1}), ("c", {"b": True})]),
        # A mark of another name stays where it is.
        (["a", ("i", "1"), "b"], 1, {"b": True}, [ON, OFF],
         [("a", {}), ("x", {"b": True}), ("b", {"i": 1})]),
        # Another value of the same name: what was there comes again behind it.
        ([("s", "1"), "ab"], 1, {"s": 2}, [("s", "2"), ("s", "1")],
         [("a", {"s": 1}), ("x", {"s": 2}), ("b", {"s": 1})]),
        # 1 and 1.0 are the same, 1 and true are not.
        ([("s", "1.0"), "ab"], 1, {"s": 1}, [], [("axb", {"s": 1})]),
        ([("s", "1"), "ab"], 1, {"s": True}, [("s", "true"), ("s", "1")],
         [("a", {"s": 1}), ("x", {"s": True}), ("b", {"s": 1})]),
        # What is deleted is passed as well as marks that say the same.
        (["a", ON, None, ("i", "1"), "b"], 1, {"b": True, "i": 1}, [],
         [("a", {}), ("xb", {"b": True, "i": 1})]),
        ([("i", "1"), "a", None, ("i", "null"), "b"], 1, {}, [], [("a", {"i": 1}), ("xb", {})]),
    ],
)  # fmt: skip
def test_what_is_inserted_has_the_formats_that_are_given(
    contents: Any, index: int, formats: Any, marks: Any, shown: Any
) -> None:
    """Rules 1 and 3 of `formatting`."""
    units = marked(*contents)
    update = formatting.insert(units, 7, index, "x", formats)
    assert [content for content in written(update) if content != "x"] == marks
    assert formatting.pieces(units) == shown
    assert update.deleted == {}
    shape(units)


@pytest.mark.parametrize(
    ("contents", "place", "formats", "marks", "gone", "shown"),
    [
        (["abcd"], (1, 2), {"b": True}, [ON, OFF], 0,
         [("a", {}), ("bc", {"b": True}), ("d", {})]),
        (["abcd"], (0, 4), {"b": True}, [ON, OFF], 0, [("abcd", {"b": True})]),
        (["abcd"], (1, 2), {"b": None}, [], 0, [("abcd", {})]),
        # Marks inside go.
        (["a", ON, "b", OFF, "c"], (0, 3), {"b": True}, [ON, OFF], 2, [("abc", {"b": True})]),
        (["a", ON, "b", OFF, "c"], (0, 2), {"b": True}, [ON], 1,
         [("ab", {"b": True}), ("c", {})]),
        (["a", ON, "b", OFF, "c"], (1, 1), {"b": None}, [], 2, [("abc", {})]),
        (["a", ON, "bc", OFF, "d"], (2, 1), {"b": None}, [OFF], 1,
         [("a", {}), ("b", {"b": True}), ("cd", {})]),
        (["a", ON, "bc", OFF, "d"], (1, 1), {"b": None}, [ON], 1,
         [("ab", {}), ("c", {"b": True}), ("d", {})]),
        # JSON as short as it is.
        (["ab"], (0, 1), {"f": {"é": [1, 2]}}, [("f", '{"é":[1,2]}'), ("f", "null")], 0,
         [("a", {"f": {"é": [1, 2]}}), ("b", {})]),
        # What is formatted so already stays as it is, with marks that say it twice.
        ([ON, "ab", OFF], (0, 2), {"b": True}, [], 0, [("ab", {"b": True})]),
        ([ON, "a", ON, "b", OFF], (0, 1), {"b": True}, [], 0, [("ab", {"b": True})]),
        # A mark behind all that is formatted stays, if it says something else.
        (["a", ("s", "1"), "b"], (0, 1), {"s": 2}, [("s", "2"), ("s", "null")], 0,
         [("a", {"s": 2}), ("b", {"s": 1})]),
        # Of another name they stay.
        (["a", ("i", "1"), "b", ("i", "null"), "c"], (0, 3), {"b": True}, [ON, OFF], 0,
         [("a", {"b": True}), ("b", {"b": True, "i": 1}), ("c", {"b": True})]),
    ],
)  # fmt: skip
def test_what_is_formatted_shows_so(
    contents: Any, place: Any, formats: Any, marks: Any, gone: int, shown: Any
) -> None:
    """Rules 2 and 3 of `formatting`."""
    units = marked(*contents)
    update = formatting.apply(units, 7, *place, formats)
    assert formatting.pieces(units) == shown
    assert (written(update), sum(map(len, update.deleted.values()))) == (marks, gone)
    shape(units)


def test_a_pair_that_is_cut_keeps_what_is_before_it() -> None:
    units = sequence(typed(5, 0, None, None, "ab" + FACE), typed(6, 0, (5, 2), (5, 3), "x"))
    assert str(units) == "ab😀x"
    assert [item.size for item in units.items()] == [3, 1, 1]


def test_what_is_deleted_of_nobody_changes_nothing() -> None:
    units = sequence(typed(5, 0, None, None, "ab"))
    units.take(Update({}, {9: [(0, 5)], 5: [(2, 9)]}))
    assert shape(units) == [(5, 0, 2, "ab")]
