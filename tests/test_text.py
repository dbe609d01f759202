"""Texts as objects hold them: merged, spread over parts, checked, renamed."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

import plain_text as plain
import pytest
from made_updates import erased, typed
from text_strategies import nonsense, session
from text_vectors import HELLO, OWNED, in_object

from replication.crdt import object as obj
from replication.crdt.check import check_object, check_part, unpack_object
from replication.crdt.document import Document, is_failure, pieces_of
from replication.crdt.edit import Author, Scope, seal
from replication.crdt.forget import forget
from replication.crdt.incarnation import clone
from replication.crdt.object import absent, merge
from replication.crdt.parts import Parts, part_name
from replication.crdt.stamps import latest_time
from replication.crdt.substitute import Substitution
from replication.crdt.text import blank, empty_text, end_of, text_of
from replication.crdt.union import union
from replication.crdt.units import Update
from replication.crdt.updates import EMPTY, read_update, write_update
from replication.crdt.view import object_view
from replication.crdt.whole import check_parts, joined
from replication.errors import DecodeError
from replication.limits import TEXT_PART_BYTES_TARGET, TEXT_TAIL_BYTES_MAX
from replication.model.encoding import pack, unpack

VECTORS = json.loads(
    (Path(__file__).parent.parent / "spec" / "vectors" / "text.json").read_text(encoding="utf-8")
)["vectors"]


def of(kind: str) -> pytest.MarkDecorator:
    """The vectors of a kind, as parameters."""
    found = [vector for vector in VECTORS if vector["name"].split("/")[0] == kind]
    return pytest.mark.parametrize("vector", found, ids=[each["name"] for each in found])


@of("text")
def test_unions(vector: dict[str, Any]) -> None:
    updates = [bytes.fromhex(data) for data in vector["updates"]]
    state = absent()
    naive = plain.read(EMPTY)
    for data in updates:
        state = merge(state, in_object(text_of(read_update(data), 2)))
        naive = plain.merge(naive, plain.read(data))
    check_object(state)
    assert state[3][obj.TEXT]["t"][1].hex() == vector["update"] == plain.write(naive).hex()
    assert object_view(state) == {"t": vector["shows"]}
    pieces = plain.shows(naive)
    if isinstance(vector["shows"], str):
        assert "".join(piece for piece, _ in pieces) == vector["shows"]
    else:
        assert [list(piece) for piece in pieces] == vector["shows"]


@of("update-refused")
def test_updates_that_are_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        read_update(bytes.fromhex(vector["hex"]))


@of("text-refused")
def test_texts_that_are_refused(vector: dict[str, Any]) -> None:
    """[TEXT-10] [TEXT-11] [TEXT-12] [TEXT-13]"""
    unpack(bytes.fromhex(vector["hex"]))
    with pytest.raises(DecodeError):
        unpack_object(bytes.fromhex(vector["hex"]), spread="head" in vector)


@of("blank")
def test_blanks(vector: dict[str, Any]) -> None:
    left = blank(unpack(bytes.fromhex(vector["hex"])))
    assert pack(left).hex() == vector["blank"]
    check_object(in_object(left))


class Store:
    """Where parts are kept."""

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}

    def merge(self, state: Any, delta: Any) -> Any:
        """Merge and keep what changed, as stores do."""
        parts = self.parts()
        state = merge(state, delta, parts)
        for name, data in parts.changes().items():
            if data is None:
                self.held.pop(name, None)
            else:
                check_part(data)
                self.held[name] = data
        state = unpack(pack(state))
        check_object(state, spread=True)
        assert check_parts(state, self.parts()) == set(self.held)
        return state

    def parts(self) -> Parts:
        return Parts(self.held.get, lambda: list(self.held))


def spread(rng: Random, deltas: list[Any]) -> tuple[Any, Store]:
    """Merged one by one where lists and texts are spread."""
    store = Store()
    state: Any = absent()
    for delta in deltas:
        state = store.merge(state, clone(delta))
    return state, store


def long_session(rng: Random) -> list[Any]:
    """Hundreds of deltas, one an edit, and some great ones."""
    written, editors = session(rng, turns=160)
    for editor in editors:
        editor.close()
    deltas = [in_object(text_of(read_update(data), 2)) for data in written]
    big = typed(9, 0, (1, 0), None, "0123456789" * 900)
    return [*deltas, in_object(text_of(read_update(big), 7))]


@pytest.mark.parametrize("seed", range(4))
def test_a_text_is_the_same_however_it_is_spread(seed: int) -> None:
    """[STATE-WHOLE] [MERGE-1] [MERGE-2]"""
    rng = Random(seed)
    deltas = long_session(rng)
    state, store = spread(rng, deltas)
    whole = pack(joined(state, store.parts()))
    assert store.held
    shown = object_view(state, store.parts())
    for _ in range(3):
        rng.shuffle(deltas)
        again, others = spread(rng, [*deltas, *deltas[:40]])
        assert pack(joined(again, others.parts())) == whole
        assert object_view(again, others.parts()) == shown
    one = absent()
    for delta in deltas:
        one = merge(one, delta)
    assert pack(one) == whole
    assert pack(joined(forget(state, store.parts()), store.parts())) == whole


def test_nonsense_merges_in_any_order_and_grouping() -> None:
    """[MERGE-1] [MERGE-2] [MERGE-3] [MERGE-TEXT-3]"""
    for seed in range(150):
        rng = Random(seed)
        found = [in_object(text_of(nonsense(rng), rng.randint(0, 3))) for _ in range(3)]
        results = set()
        for one, two, three in permutations(found):
            left = merge(merge(clone(one), clone(two)), three)
            right = merge(clone(one), merge(clone(two), three))
            results |= {pack(left), pack(right), pack(merge(clone(left), two))}
        assert len(results) == 1, f"Random({seed})"
        state = unpack(results.pop())
        check_object(state)
        assert object_view(state) is not None
        kept, store = spread(rng, found)
        assert pack(joined(kept, store.parts())) == pack(state), f"Random({seed})"


def test_growth_is_bounded_by_runs() -> None:
    """A million edits at one place are one run; parts are few, and most edits write none."""
    store = Store()
    state: Any = absent()
    clock, writes = 0, 0
    state = store.merge(
        state, in_object([[[5, 2, 1]], write_update(Update({5: [(0, 1, None, None, "a")]}))])
    )
    for clock in range(1, 3000):
        before = dict(store.held)
        delta = [[[5, 2, clock + 1]], typed(5, clock, (5, clock - 1), None, "x")]
        state = store.merge(state, in_object(delta))
        writes += before != store.held
    text = state[3][obj.TEXT]["t"]
    assert writes < 60
    assert len(pack(text)) + sum(map(len, store.held.values())) < 3000 + TEXT_TAIL_BYTES_MAX
    assert end_of(text, 5) == 3000
    assert end_of(text, 6) == 0


def test_parts_stop_growing() -> None:
    store = Store()
    state: Any = absent()
    for client in range(60):
        update = write_update(Update({client: [(0, 5000, None, None, "ab" * 2500)]}))
        state = store.merge(state, in_object([[[client, 2, 5000]], update]))
    sizes = [len(data) for data in store.held.values()]
    assert max(sizes) <= TEXT_PART_BYTES_TARGET + 8
    assert len(sizes) < 12


def test_a_part_that_is_another_one_is_noticed() -> None:
    """[TEXT-13]"""
    store = Store()
    big = in_object(text_of(read_update(typed(9, 0, (1, 0), None, "0123456789" * 900)), 7))
    state = store.merge(absent(), big)
    (name,) = store.held
    assert name == part_name((obj.TEXT, "t"), [], 0)
    good = store.held[name]
    for bad in (None, pack([1]), pack(HELLO), good[:-9] + b"x" + good[-8:]):
        store.held = {} if bad is None else {name: bad}
        with pytest.raises(DecodeError):
            check_parts(state, store.parts())
    store.held = {name: good}
    entry = state[3][obj.TEXT]["t"][2][0]
    for at in (1, 2):  # size, checksum
        entry[at] += 1
        with pytest.raises(DecodeError):
            check_parts(state, store.parts())
        entry[at] -= 1
    check_parts(state, store.parts())
    state[3][obj.TEXT]["t"][0][0][2] += 1
    with pytest.raises(DecodeError):
        check_parts(state, store.parts())
    with pytest.raises(DecodeError):
        check_part(pack(b"\0"))


def test_a_later_life_drops_the_text_and_its_parts() -> None:
    store = Store()
    big = in_object(text_of(read_update(typed(9, 0, (1, 0), None, "0123456789" * 900)), 7))
    state = store.merge(absent(), big)
    state = store.merge(state, [2, 0, [], {}])
    assert store.held == {}
    assert object_view(state) is None


def test_texts_have_no_stamps() -> None:
    assert latest_time(in_object([OWNED, HELLO])) == 0


def test_owners_under_no_ident_are_renamed_and_others_stay() -> None:
    """[SUBST-1]"""
    renaming = Substitution(lambda t, o: (t, 9), lambda ident, sequence: (9, sequence))
    state = in_object([[[5, 0, 1], [6, 3, 1]], EMPTY])
    assert renaming.object(state) == in_object([[[5, 9, 1], [6, 3, 1]], EMPTY])


def test_a_transaction_writes_one_canonical_update() -> None:
    """[EDIT-2]"""
    scope = Scope({}, {}, Author((5, 2), lambda: 1))
    scope.write_text("t", HELLO, {5: 5})
    scope.write_text("t", typed(5, 5, (5, 4), None, "!"), {5: 6})
    scope.write_text("t", erased(5, [(0, 1)]), {})
    sealed = seal(scope.delta)
    check_object([0, 1, [], sealed])
    update = union(map(read_update, [HELLO, typed(5, 5, (5, 4), None, "!"), erased(5, [(0, 1)])]))
    assert sealed == {obj.TEXT: {"t": [[[5, 2, 6]], write_update(update)]}}


def test_the_greatest_kind_is_shown() -> None:
    state = in_object([OWNED, HELLO])
    state[3] = {obj.EMBEDDED: {"t": [1, 1, [], {}]}, **state[3]}
    assert object_view(state) == {"t": "hello"}
    assert empty_text() == [[], EMPTY]


def test_what_native_code_does_not_take_costs_the_text_and_nothing_else() -> None:
    document = Document([HELLO])
    with pytest.raises(BaseException) as caught:  # noqa: PT011  it is no Exception
        del document.text[0:999]
    assert type(caught.value).__name__ == "PanicException"
    assert is_failure(caught.value)
    assert not is_failure(KeyboardInterrupt())
    with pytest.raises(DecodeError):
        Document([]).take(b"\1")
    assert pieces_of([b"\1"]) == []
    assert pieces_of([]) == []
