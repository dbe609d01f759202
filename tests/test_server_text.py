"""What the server takes of a text: units of their author that follow what it holds."""

from __future__ import annotations

from typing import Any

import pytest
from made_updates import erased, typed
from server_files import SCHEMA, ClientFile, new_namespace, reasons, server_state, server_view
from test_server_judge import create
from text_vectors import HELLO

from replication.crdt import object as obj
from replication.crdt.object import ObjectState
from replication.crdt.text import text_of
from replication.crdt.units import Update
from replication.crdt.updates import read_update, write_update
from replication.history.changeset import ObjectDelta
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.server.refusals import DEPENDS, REPLACED, UNKNOWN_PROPERTY, WRONG_TYPE

TEXTS, _ = SCHEMA.merge(
    Schema([ClassSchema("Book", [Property.of("body", "text")], key=SCHEMA["Book"].key_type)])
)


def files() -> tuple[ClientFile, ClientFile]:
    """Two client files of a namespace in which Book 1 exists."""
    namespace = new_namespace(schema=TEXTS)
    first, second = ClientFile(namespace), ClientFile(namespace)
    assert not first.write(create).refusals
    return first, second


def delta(file: ClientFile, update: bytes, ident: int | None = None, name: str = "body") -> Any:
    """What a file typed."""
    owner = file.ident if ident is None else ident
    return [0, 1, [], {obj.TEXT: {name: text_of(read_update(update), owner)}}]


def upload(file: ClientFile, written: ObjectState) -> Any:
    """The outcome of an upload."""
    file.author()
    return file.upload(file.changeset(ObjectDelta("Book", 1, written)))


def send(file: ClientFile, update: bytes, name: str = "body") -> Any:
    """The answer to what a file typed."""
    out = upload(file, delta(file, update, name=name))
    assert out.error is None, out.error
    return out.answers[0]


def body(file: ClientFile) -> Any:
    """What the server shows."""
    return (server_view(file.namespace.store) or {}).get("body", "")


def test_what_follows_is_taken() -> None:
    first, second = files()
    assert not send(first, HELLO).refusals
    assert not send(second, typed(7, 0, (5, 4), None, "!")).refusals
    assert not send(second, erased(5, [(0, 1)])).refusals
    assert not send(first, typed(5, 5, (7, 0), None, "?")).refusals
    assert body(first) == "ello!?"


def test_an_owner_is_the_author() -> None:
    """[TEXT-22]"""
    first, second = files()
    out = upload(second, delta(second, HELLO, ident=first.ident))
    assert out.error is not None


def test_a_client_id_belongs_to_the_file_that_used_it_first() -> None:
    """[TEXT-22]"""
    first, second = files()
    send(first, HELLO)
    ack = send(second, typed(5, 5, (5, 4), None, "!"))
    assert reasons(ack) == [(["body"], REPLACED)]
    assert body(first) == "hello"


@pytest.mark.parametrize(
    "update",
    [
        typed(5, 6, (5, 4), None, "a gap"),
        typed(6, 0, (5, 9), None, "after what is not here"),
        typed(6, 0, (5, 0), (8, 1), "before what is not here"),
        typed(6, 0, (6, 1), None, "after itself"),
        erased(5, [(3, 7)]),
        erased(9, [(0, 1)]),
    ],
)
def test_what_does_not_follow_depends(update: bytes) -> None:
    """[TEXT-23]"""
    first, _ = files()
    send(first, HELLO)
    ack = send(first, update)
    assert reasons(ack) == [(["body"], DEPENDS)]
    assert body(first) == "hello"


def test_what_comes_again_changes_nothing() -> None:
    """[TEXT-23]"""
    first, _ = files()
    send(first, HELLO)
    before = server_state(first.namespace.store, "Book", 1)
    longer = write_update(Update({5: [(3, 4, (5, 2), None, "lo!!")]}))
    assert not send(first, HELLO).refusals
    assert not send(first, longer).refusals
    assert body(first) == "hello!!"
    other = write_update(Update({5: [(0, 5, None, None, "bello")]}))
    assert reasons(send(first, other)) == [(["body"], REPLACED)]
    assert body(first) == "hello!!"
    assert server_state(first.namespace.store, "Book", 1) != before


def test_a_text_is_for_texts() -> None:
    first, _ = files()
    assert reasons(send(first, HELLO, name="title")) == [(["title"], WRONG_TYPE)]
    assert reasons(send(first, HELLO, name="nothing")) == [(["nothing"], UNKNOWN_PROPERTY)]
