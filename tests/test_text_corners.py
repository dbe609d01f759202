"""Corners of texts and of nested values that a case of their own reaches. [MERGE]"""

from __future__ import annotations

from typing import Any

import pytest
from made_updates import erased, typed

from replication.crdt import object as obj
from replication.crdt.container import referred
from replication.crdt.document import Document, pieces_of
from replication.crdt.edit import ListEditor, seal
from replication.crdt.list import Elements, contract
from replication.crdt.parts import Parts
from replication.crdt.stamps import latest_in_part
from replication.crdt.union import before, union
from replication.crdt.updates import read_update, write_update
from replication.crdt.whole import joined
from replication.errors import DecodeError, LimitExceededError
from replication.limits import CHANGESET_BYTES_MAX

HELLO = bytes.fromhex("01010500040104746578740568656c6c6f00")


def test_an_update_that_is_too_long_is_not_read() -> None:
    most = typed(5, 0, None, None, "a" * (CHANGESET_BYTES_MAX - 16))
    assert len(most) == CHANGESET_BYTES_MAX
    assert read_update(most).end(5) == CHANGESET_BYTES_MAX - 16
    with pytest.raises(LimitExceededError, match="bytes"):
        read_update(bytes(CHANGESET_BYTES_MAX + 1))


def test_an_update_that_ends_behind_a_length_is_cut_short() -> None:
    with pytest.raises(DecodeError, match="cut short"):
        read_update(HELLO[:4])


def test_a_deletion_of_nothing_says_nothing() -> None:
    nothing = HELLO[:-1] + bytes([1, 5, 1, 0, 0])
    assert write_update(read_update(nothing)) == HELLO


def test_what_is_before_a_clock_is_cut_inside_of_a_run() -> None:
    update = union([read_update(HELLO), read_update(erased(5, [(1, 3)]))])
    assert before(update, {}).runs == {}
    early = before(update, {5: 2})
    assert [run[:2] for run in early.runs[5]] == [(0, 1), (1, 1)]
    assert early.deleted == update.deleted
    assert before(update, {5: 9}).runs == update.runs


def test_a_document_raises_what_is_no_failure_of_the_native_code() -> None:
    with pytest.raises(TypeError):
        Document([]).take("text")  # type: ignore[arg-type]


def test_numbers_in_formats_are_what_they_were() -> None:
    document = Document([HELLO])
    document.text.format(0, 5, {"size": 1.5, "bold": 2})
    assert document.pieces() == [("hello", {"size": 1.5, "bold": 2})]
    assert pieces_of([HELLO]) == [("hello", {})]
    document.text.format(0, 5, {"size": [1.5, 2], "bold": {"of": 3}})
    assert document.pieces() == [("hello", {"size": [1.5, 2], "bold": {"of": 3}})]
    read_update(document.doc.get_update())


def test_one_update_of_a_transaction_stays_as_it_is() -> None:
    text: Any = [{5: [5, 2]}, [HELLO]]
    assert seal({obj.TEXT: {"t": text}}) == {obj.TEXT: {"t": [[[5, 2]], HELLO]}}
    more = typed(5, 5, (5, 4), None, "!")
    together = write_update(union([read_update(HELLO), read_update(more)]))
    text = [{5: [5, 2]}, [HELLO, more]]
    assert seal({obj.TEXT: {"t": text}}) == {obj.TEXT: {"t": [[[5, 2]], together]}}


def test_an_element_that_is_not_there_has_no_value() -> None:
    elements = Elements({(2, 1): ((0, 0), 1, 5, 2)}, {(2, 1): (5, 2, "x")})
    editor = ListEditor([], elements)
    assert editor.value_of((2, 1)) == "x"
    assert editor.value_of((2, 2)) is None
    assert latest_in_part(contract(elements)) == 5
    assert latest_in_part(HELLO) == 0


def test_a_key_of_a_dictionary_that_is_not_there_refers_to_nothing() -> None:
    home = [obj.DICTIONARY, "d", "k"]
    assert referred({}, home, lambda _slot, _id: None) is None
    held = {obj.DICTIONARY: {"d": [[], [[5, 2, {"k": 1}]], {}]}}
    assert referred(held, home, lambda _slot, _id: None) is None


def test_a_text_in_one_piece_has_no_parts() -> None:
    from replication.crdt.whole import check_parts

    state: Any = [1, 1, [], {obj.TEXT: {"t": [[[5, 2]], HELLO]}}]
    check_parts(state, Parts())
    assert joined(state) == state
