"""What the server takes of what is written inside of mixed values, and what it refuses."""

from __future__ import annotations

from typing import Any

from replicas import Edit
from server_files import reasons, server_state, server_view
from test_server_judge import Act, setting, two_files

from replication.crdt import object as obj
from replication.crdt import register
from replication.crdt.container import container_id, property_container
from replication.crdt.object import merge
from replication.limits import CONTAINER_NESTING_MAX
from replication.model.encoding import pack
from replication.model.values import Container
from replication.server.refusals import DEPENDS, REPLACED, TOO_LARGE, WRONG_TYPE


def nest(name: str, value: Any) -> Act:
    return lambda edit: edit.nested(edit.scope()).set(name, value)


def nest_default(name: str, value: Any) -> Act:
    return lambda edit: edit.nested(edit.scope()).set_default(name, value)


def inside(name: str, key: str, value: Any, *then: str) -> Act:
    """Sets a key of the dictionary that a property holds, or of one further inside."""

    def act(edit: Edit) -> None:
        scope = edit.scope()
        slot = property_container(scope.view, name)
        for step in then:
            assert slot is not None
            slot = container_id(register.read(scope.view[obj.CONTAINER][slot][1][1], step))
        assert slot is not None
        edit.nested(scope).put_item(slot, key, value)

    return act


def test_containers_and_edits_inside_of_them_are_taken() -> None:
    first, second = two_files()
    made = {"a": [1, {"b": 2}], "c": {}}
    for act in (
        nest("anything", made),
        inside("anything", "d", [[]]),
        inside("anything", "e", 5, "c"),
        lambda edit: edit.nested(edit.scope()).put_item("extra", "k", made),
    ):
        ack = second.write(act)
        assert (ack.refusals, ack.rewrites) == ([], [])
    shown = made | {"c": {"e": 5}, "d": [[]]}
    assert server_view(first.namespace.store) == {"anything": shown, "extra": {"k": made}}


def test_an_edit_of_a_container_that_was_replaced_is_refused() -> None:
    """[JUDGE-7]"""
    first, second = two_files()
    first.write(nest("anything", {"a": {"b": {}}}))
    seen = second.state()
    for over, left, path in [
        (inside("anything", "b", 1, "a"), {"a": {"b": 1}}, ["anything", "a", "b"]),
        (inside("anything", "a", []), {"a": []}, ["anything", "a"]),
        (nest("anything", {"new": 1}), {"new": 1}, ["anything"]),
    ]:
        first.write(over)
        ack = second.write(inside("anything", "c", 2, "a", "b"), start=seen)
        assert [reason for _, reason in reasons(ack)] == [REPLACED]
        assert "replaced" in ack.refusals[0][-1]
        assert server_view(first.namespace.store) == {"anything": left}, path


def test_an_edit_of_a_container_that_never_came_depends() -> None:
    """[JUDGE-7]"""
    first, second = two_files()
    edit = first.edit(nest("anything", {"a": 1}))
    seen = merge(first.state(), edit.delta)
    ack = second.write(inside("anything", "b", 2), start=seen)
    assert reasons(ack) == [([], DEPENDS)]
    assert server_view(first.namespace.store) == {}


def test_containers_go_with_the_write_that_was_refused() -> None:
    """[JUDGE-7]"""
    first, second = two_files()
    ack = second.write(nest("year", [[1], {"a": []}]))
    assert reasons(ack) == [(["year"], WRONG_TYPE)], "the write alone is told"
    assert server_state(first.namespace.store, "Book", 1)[3] == {}


def test_containers_without_a_write_that_refers_to_them_are_refused() -> None:
    first, second = two_files()
    edit = second.edit(nest("anything", [[1]]))
    del edit.delta[3][obj.REGISTER]
    out = second.upload(second.changeset(edit))
    assert reasons(out.answers[0]) == [(["anything"], DEPENDS)]  # type: ignore[arg-type]
    assert server_state(first.namespace.store, "Book", 1)[3] == {}


def test_containers_are_named_by_their_author() -> None:
    _, second = two_files()
    edit = second.edit(nest("anything", []))
    fields = edit.delta[3]
    fields[obj.CONTAINER] = {pack([4, 99, 1]): next(iter(fields[obj.CONTAINER].values()))}
    out = second.upload(second.changeset(edit))
    assert not out.answers
    assert out.error is not None
    assert "named by file 99" in str(out.error)


def test_a_default_shares_the_container_of_others_and_not_what_replaced_it() -> None:
    first, second = two_files()
    seen = second.state()
    first.write(nest_default("anything", {"a": 1}))
    assert not second.write(nest_default("anything", {"b": 2}), start=seen).refusals
    assert server_view(first.namespace.store) == {"anything": {"a": 1, "b": 2}}
    seen = second.state()
    first.write(setting("anything", 5))
    ack = second.write(inside("anything", "c", 3), start=seen)
    assert reasons(ack) == [(["anything"], REPLACED)]


def test_objects_in_containers_and_what_is_too_deep_are_refused() -> None:
    """[JUDGE-7]"""
    first, second = two_files()
    edit = second.edit(nest("anything", {"a": 1}))
    (content,) = edit.delta[3][obj.CONTAINER].values()
    content[1][2] = {"o": [1, 1, [], {}]}
    out = second.upload(second.changeset(edit))
    assert reasons(out.answers[0]) == [(["anything", "o"], WRONG_TYPE)]  # type: ignore[arg-type]
    assert server_view(first.namespace.store) == {"anything": {"a": 1}}
    value: Any = 1
    for _ in range(CONTAINER_NESTING_MAX):
        value = {"a": value}
    assert not second.write(nest("anything", value)).refusals
    edit = second.edit(inside("anything", "x", 1, *["a"] * (CONTAINER_NESTING_MAX - 1)))
    ((slot, (_, content)),) = edit.delta[3][obj.CONTAINER].items()
    deeper = Container(4, second.ident, 10**6)
    content[1][0][2]["x"] = deeper
    edit.delta[3][obj.CONTAINER][pack([4, second.ident, 10**6])] = [
        [obj.CONTAINER, slot, "x"], [[], [[], [], [], [], []]]]  # fmt: skip
    edit.delta[3][obj.CONTAINER] = dict(sorted(edit.delta[3][obj.CONTAINER].items()))
    out = second.upload(second.changeset(edit))
    assert [reason for _, reason in reasons(out.answers[0])] == [TOO_LARGE]  # type: ignore[arg-type]
