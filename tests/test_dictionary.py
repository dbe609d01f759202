"""Dictionaries: last writer for each key; removing is a write. [MERGE-DICT]"""

from __future__ import annotations

from itertools import permutations
from typing import Any

from replicas import Edit, Replica

from replication.crdt import object as obj
from replication.crdt.dictionary import merge_dictionary, plain_items
from replication.crdt.view import object_view
from replication.model.values import ERASED


def devices() -> tuple[Replica, Replica]:
    left, right = Replica(2), Replica(3)
    left.write(lambda edit: edit.create())
    right.read(left)
    return left, right


def meet(left: Replica, right: Replica) -> Any:
    left.read(right)
    right.read(left)
    assert left.state == right.state
    return object_view(left.state)


def test_the_later_write_to_a_key_wins_and_removing_is_a_write() -> None:
    """[MERGE-DICT-1]"""
    put, erase = [[], [[5, 2, {"k": 1}]], {}], [[], [[6, 3, {"k": ERASED}]], {}]
    again = [[], [[7, 2, {"k": 2}]], {}]
    for order in permutations([put, erase]):
        state: Any = [[], [], {}]
        for delta in order:
            state = merge_dictionary(state, delta, None, ())
        assert plain_items(state) == {}
        assert plain_items(merge_dictionary(state, again, None, ())) == {"k": 2}


def test_keys_merge_one_by_one() -> None:
    """[MERGE-DICT-1]"""
    left, right = devices()
    left.write(lambda edit: edit.scope().put_item("d", "b", 1))
    right.write(lambda edit: edit.scope().put_item("d", "a", 2))
    assert meet(left, right) == {"d": {"a": 2, "b": 1}}


def test_null_is_a_value_and_not_a_removal() -> None:
    """[MERGE-DICT-1]"""
    left, right = devices()
    left.write(lambda edit: edit.scope().put_item("d", "a", None))
    assert meet(left, right) == {"d": {"a": None}}
    left.write(lambda edit: edit.scope().put_item("d", "a", ERASED))
    assert meet(left, right) == {"d": {}}


def test_embedded_objects_at_one_key_merge_by_field() -> None:
    """[MERGE-DICT-2] Created on both sides: one object."""
    left, right = devices()
    left.write(lambda edit: edit.scope().create_item("m", "k", 0).set("a", 1))
    right.write(lambda edit: edit.scope().create_item("m", "k", 0).set("b", 2))
    assert meet(left, right) == {"m": {"k": {"a": 1, "b": 2}}}


def test_removing_a_key_beats_concurrent_edits_and_replacements() -> None:
    """[MERGE-DICT-2]"""
    for late in (0, 10_000):
        left, right = devices()
        left.write(lambda edit: edit.scope().create_item("m", "k", 0).set("a", 1))
        right.read(left)
        left.write(lambda edit: edit.scope().erase_item("m", "k", 1))
        right.wall_ms += late
        right.write(lambda edit: edit.scope().item("m", "k").set("a", 2))
        right.write(lambda edit: edit.scope().create_item("m", "k", 1).set("a", 3))
        assert meet(left, right) == {"m": {}}


def test_a_restarted_dictionary_drops_what_was_written_to_the_old_one() -> None:
    """[MERGE-INC-1] Plain values and embedded objects alike."""
    left, right = devices()
    for device in (left, right):
        device.write(lambda edit: edit.scope().put_item("d", "a", 1))
        device.write(lambda edit: edit.scope().create_item("m", "a", 0).set("x", 1))

    def restart(edit: Edit) -> None:
        for name in ("d", "m"):
            edit.scope().restart(obj.DICTIONARY, name)
        edit.scope().put_item("d", "b", 2)
        edit.scope().create_item("m", "b", 0).set("x", 2)

    right.wall_ms += 10_000
    right.write(restart)
    left.write(lambda edit: edit.scope().put_item("d", "c", 3))
    assert meet(left, right) == {"d": {"b": 2}, "m": {"b": {"x": 2}}}
