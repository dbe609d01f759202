"""Updates of text: what is read of them, their one form, and what follows what."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from random import Random
from typing import Any

import plain_text as plain
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_updates import erased, typed
from text_strategies import nonsense, session

from replication.crdt import union as unions
from replication.crdt import units, updates
from replication.crdt.document import Document
from replication.crdt.typed_on import typed_on
from replication.crdt.union import causal, union
from replication.crdt.units import Update
from replication.crdt.updates import EMPTY, read_update, write_update
from replication.errors import DecodeError, LimitExceededError
from replication.limits import TEXT_CLIENT_MAX, TEXT_CLOCK_MAX

#: What reads updates, and makes one of several.
FILES = [module.__file__ for module in (unions, units, updates)]
HELLO = bytes.fromhex("01010500040104746578740568656c6c6f00")


def canonical(*data: bytes) -> bytes:
    """Of a union."""
    return write_update(union(map(read_update, data)))


def test_what_yjs_writes_is_read() -> None:
    assert read_update(HELLO).runs == {5: [(0, 5, None, None, "hello")]}
    assert write_update(read_update(HELLO)) == HELLO
    assert read_update(EMPTY) == Update()


def test_strings_of_no_length_say_nothing() -> None:
    """[TEXT-2]: documents that were split hold such."""
    assert read_update(bytes.fromhex("01010500040104746578740000")) == Update()


def test_typed_and_erased_are_canonical() -> None:
    update = typed(5, 5, (5, 4), None, "é")
    assert update.hex() == "0101050584050402c3a900"
    assert write_update(read_update(update)) == update
    update = erased(5, [(3, 4), (1, 2), (2, 3)])
    assert update.hex() == "000105010103"
    assert canonical(HELLO, erased(5, [(1, 3)])).hex() == (
        "0103050004010474657874016881050002840502026c6f0105010102"
    )


@pytest.mark.parametrize("seed", range(40))
def test_editors_and_the_canonical_form_agree(seed: int) -> None:
    """[TEXT-6] [TEXT-8] [MERGE-TEXT-1] [MERGE-TEXT-5]"""
    rng = Random(seed)
    written, editors = session(rng)
    together = canonical(*written)
    assert write_update(read_update(together)) == together
    texts = [plain.read(data) for data in written]
    naive = texts[0]
    for text in texts[1:]:
        naive = plain.merge(naive, text)
    assert plain.write(naive) == together
    document = Document([together])
    assert document.text.diff() == Document([editors[0].doc.get_update()]).text.diff()
    assert document.pieces() == plain.shows(naive)
    assert str(document.text) == str(editors[0].text)
    for editor in editors:
        assert canonical(editor.doc.get_update()) == together
        editor.close()
    rest = list(written)
    while len(rest) > 1:
        rng.shuffle(rest)
        rest = [canonical(*rest[:3], rest[0]), *rest[3:]]
    assert rest[0] == together


def test_nonsense_merges_as_the_page_says() -> None:
    """[MERGE-TEXT-1] [MERGE-TEXT-2] [TEXT-7] [TEXT-9]"""
    for seed in range(1500):
        rng = Random(seed)
        found = [write_update(nonsense(rng)) for _ in range(3)]
        together = canonical(*found)
        naive = plain.merge(plain.merge(*map(plain.read, found[:2])), plain.read(found[2]))
        assert plain.write(naive) == together, f"Random({seed})"
        for one, two, three in permutations(found):
            assert canonical(canonical(one, two), three) == together, f"Random({seed})"
        assert canonical(together, found[1], together) == together, f"Random({seed})"


def test_what_is_typed_on_is_the_union_of_both() -> None:
    """Or nothing is said of it."""
    seen = 0
    for seed in range(3000):
        rng = Random(seed)
        clock = rng.choice([0, 1, 126, 300])
        text = rng.choice(["x", "xy", "x" * 127, "x" * 200, "xé"])
        end = clock + rng.choice([len(text), len(text.encode())])
        left, right = rng.choice([None, (1, 2), (500, 7)]), rng.choice([None, (1, 3), (500, 900)])
        one = write_update(Update({rng.choice([5, 700]): [(clock, len(text), left, right, text)]}))
        more = write_update(
            Update(
                {
                    rng.choice([5, 700]): [
                        (
                            end + rng.choice([0, 0, 0, 1]),
                            2,
                            (rng.choice([5, 700]), max(0, end - rng.choice([1, 1, 1, 2]))),
                            rng.choice([right, right, None, (1, 4)]),
                            rng.choice(["ab", "ab", "é!", "\0\0"]),
                        )
                    ]
                }
            )
        )
        longer = typed_on(one, more)
        if longer is not None:
            seen += 1
            assert longer == canonical(one, more), f"Random({seed})"
            assert len(read_update(longer).runs) == 1
            assert len(next(iter(read_update(longer).runs.values()))) == 1
    assert seen > 150
    for seed in range(1500):
        rng = Random(seed)
        first, second = write_update(nonsense(rng)), write_update(nonsense(rng))
        longer = typed_on(first, second)
        assert longer in (None, canonical(first, second)), f"Random({seed})"
        assert typed_on(first, EMPTY) is None is typed_on(EMPTY, first)


def test_of_what_deletes_as_well_nothing_is_said() -> None:
    more, gone = typed(5, 5, (5, 4), None, "!"), read_update(erased(6, [(0, 2)]))
    assert typed_on(HELLO, more) == canonical(HELLO, more)
    assert typed_on(canonical(HELLO, write_update(gone)), more) is None
    assert typed_on(HELLO, canonical(more, write_update(gone))) is None


def test_what_follows() -> None:
    """[MERGE-TEXT-4]"""
    for seed in range(500):
        update = union([nonsense(Random(seed)), nonsense(Random(-seed))])
        shown = causal(update, {})
        naive = plain.read(write_update(update))
        known = set(plain.in_order(naive))
        assert {i for i in naive.units if i in known} == set(
            plain.read(write_update(shown)).units
        ), f"Random({seed})"
        assert causal(shown, {}) == shown
        assert plain.read(write_update(shown)).deleted == naive.deleted & known


def test_what_follows_what_is_known() -> None:
    update = read_update(canonical(HELLO, typed(5, 5, (5, 4), (7, 2), "!")))
    assert causal(update, {5: 3}).runs == {5: [(3, 2, (5, 2), None, "lo")]}
    assert causal(update, {5: 3, 7: 3}).end(5) == 6
    assert causal(update, {5: 6, 7: 3}) == Update()
    gone = Update({}, {5: [(1, 9)], 8: [(0, 1)]})
    assert causal(gone, {5: 4}) == Update({}, {5: [(1, 4)]})


REFUSED = {
    "nothing": "",
    "cut short": HELLO.hex()[:-4],
    "a byte after its end": HELLO.hex() + "00",
    "a client twice": "02010500040104746578740161" + "01050184050001" + "62" + "00",
    "another root": "010105000401046b657874016100",
    "in a unit": "0101050004000101016100",
    "a key of a root": "01010500240104746578740161016100",
    "an embed": "01010500050104746578740231",
    "a kind that reads as a format": "0101050005010474657874016204747275650" + "0",
    "a type": "01010500870101" + "02" + "00",
    "a collected struct": "0101050000" + "0500",
    "no length": "01010500010104746578740000",
    "a gap of no length": "010105000a0000",
    "a deletion past all clocks": "000105" + "01" + "ffffffff07" + "01",
    "no UTF-8": "010105000401047465787401ff00",
    "a client too great": "0101" + "ffffffffffffff7f" + "0004010474657874016100",
    "a number without end": "ff" * 12,
    "a number of nine bytes": "010185" + "80" * 7 + "0000" + HELLO.hex()[8:],
    "a string that is cut short": "01010500040104746578740968656c6c6f00",
    "a format without a name": "01010500060104746578740004747275650" + "0",
    "a format that is no JSON": "0101050006010474657874016203" + b"tru".hex() + "00",
    "a format that is infinite": "0101050006010474657874016208" + b"Infinity".hex() + "00",
    "a format too great": "0101050006010474657874016211" + b"90071992547409920".hex() + "00",
    "a format of surrogates": "0101050006010474657874016208" + b'"\\ud800"'.hex() + "00",
    "a format of the last surrogate": "0101050006010474657874016208" + b'"\\udfff"'.hex() + "00",
    "a format of surrogates by name": "010105000601047465787401620c"
    + b'{"\\ud800":1}'.hex()
    + "00",
    "a format too deep": "0101050006010474657874016212" + (b"[" * 9 + b"]" * 9).hex() + "00",
    "a format too long": "01010500060104746578740162" + "8208" + b'"'.hex() + "78" * 1024 + "2200",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_text_holds_is_refused(name: str) -> None:
    """[TEXT-1] [TEXT-2] [TEXT-3] [TEXT-4]"""
    with pytest.raises(DecodeError):
        read_update(bytes.fromhex(REFUSED[name]))


def test_a_number_may_be_padded_up_to_eight_bytes() -> None:
    """[TEXT-2]"""
    padded = bytes.fromhex("010185" + "80" * 6 + "0000" + HELLO.hex()[8:])
    assert write_update(read_update(padded)) == HELLO


def test_a_string_that_is_cut_short_is_told_as_that() -> None:
    for cut in ("01010500040104746578740968656c6c6f00", "010105000401047465787408" + "61" * 7):
        with pytest.raises(DecodeError, match="a string that is cut short"):
            read_update(bytes.fromhex(cut))


def test_what_comes_without_content_is_deleted() -> None:
    """[TEXT-7]: whether or not it stands among the deletions."""
    assert read_update(bytes.fromhex("01010500010104746578740300")) == Update(
        {5: [(0, 3, None, None, None)]}, {5: [(0, 3)]}
    )


def test_behind_a_string_of_no_length_the_update_goes_on() -> None:
    data = bytes.fromhex("01020500040104746578740004010474657874026f6b00")
    assert read_update(data).runs == {5: [(0, 2, None, None, "ok")]}


def test_runs_that_go_on_are_read_as_one() -> None:
    """[TEXT-6] And what is deleted loses what it held. [TEXT-7]"""
    halves: Any = {5: [(0, 3, None, None, "hel"), (3, 2, (5, 2), None, "lo")]}
    assert read_update(write_update(Update(halves))) == read_update(HELLO)
    gone = read_update(write_update(Update(halves, {5: [(0, 9)]})))
    assert gone == Update({5: [(0, 5, None, None, None)]}, {5: [(0, 9)]})


def test_clocks_end() -> None:
    """[TEXT-3]"""
    last = Update({5: [(TEXT_CLOCK_MAX - 1, 1, (5, 0), None, "a")]})
    assert read_update(write_update(last)) == last
    for content in ("ab", ("b", "true"), None):
        start = TEXT_CLOCK_MAX - (1 if content == "ab" else 0)
        with pytest.raises(DecodeError):
            read_update(write_update(Update({5: [(start, 2, (5, 0), None, content)]})))
    with pytest.raises(LimitExceededError):
        read_update(write_update(Update({TEXT_CLIENT_MAX + 1: [(0, 1, None, None, "a")]})))


@given(st.binary(max_size=60))
def test_reading_is_total(data: bytes) -> None:
    try:
        update = read_update(data)
    except DecodeError:
        return
    assert read_update(write_update(update)) == update


@given(st.randoms(use_true_random=False))
def test_reading_what_is_nearly_right_is_total(rng: Random) -> None:
    data = bytearray(write_update(nonsense(rng)))
    for _ in range(rng.randint(1, 3)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    try:
        update = read_update(bytes(data))
    except DecodeError:
        return
    assert read_update(write_update(update)) == update


def test_half_a_character_whose_other_half_is_gone_is_read_as_it_is_written() -> None:
    """[TEXT-9]"""
    whole = typed(5, 0, None, None, "\U0001fe00")
    for first in (0, 1):
        update = union([read_update(whole), read_update(erased(5, [(first, first + 1)]))])
        assert read_update(write_update(update)) == update
        assert "\ufffd" in [run[4] for run in update.runs[5]]


def steps(work: Callable[[], object], files: list[Any] = FILES) -> int:
    """How many lines of some files a call runs."""
    import sys

    count = 0

    def trace(frame: object, event: str, _arg: object) -> object:
        nonlocal count
        if frame.f_code.co_filename not in files:  # type: ignore[attr-defined]
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_ranges_cost_nothing() -> None:
    """[TEXT-5]"""
    wide = Update({5: [(0, TEXT_CLOCK_MAX, None, None, None)]}, {5: [(0, TEXT_CLOCK_MAX)]})
    data = write_update(wide)
    assert len(data) < 32
    assert steps(lambda: canonical(data, data, HELLO)) < 1500


def test_work_grows_with_the_bytes() -> None:
    """[TEXT-5]: strings cut into pieces, and pieces under strings."""

    def work(size: int) -> int:
        whole = Update({5: [(0, size, None, None, "a" * size)]})
        holes = Update({}, {5: [(clock, clock + 1) for clock in range(0, size, 2)]})
        single = [(clock, 1, (5, clock - 1) if clock else None, None, "b") for clock in range(size)]
        backwards = [(clock, 1, (6, size), None, "b") for clock in range(size)]
        return steps(
            lambda: (
                union([whole, holes]),
                union([whole, Update({5: list(single)})]),
                union([whole, Update({5: list(backwards)})]),
                causal(Update({5: list(backwards)}), {6: size + 1}),
            )
        )

    assert work(2000) < 2.3 * work(1000)
