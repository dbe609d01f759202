"""Updates meant to hurt: none of them reaches native code, and each costs itself at most.

What native code does with them is in no test: it ends the process, or never returns.
"""

from __future__ import annotations

from typing import Any

import pycrdt
import pytest
from made_updates import typed
from test_client_text import database, note
from test_server_text import body, delta, files, send, upload
from test_updates import steps
from text_vectors import HELLO

from replication.crdt.document import pieces_of
from replication.crdt.updates import read_update, write_number
from replication.errors import DecodeError
from replication.history.changeset import Changeset, ObjectDelta, encode
from replication.protocol.messages import ErrorCode


def numbers(*values: int) -> bytes:
    """Numbers as updates have them."""
    out = bytearray()
    for value in values:
        write_number(out, value)
    return bytes(out)


ROOT = b"\x01\x04text"
START = numbers(1, 1, 5, 0)
VALUE = START + b"\x08" + ROOT


def nested_types(depth: int) -> bytes:
    """An array in an array in an array ..."""
    first = b"\x07" + ROOT + b"\0"
    rest = b"".join(b"\x07\0" + numbers(5, clock) + b"\0" for clock in range(depth - 1))
    return numbers(1, depth, 5, 0) + first + rest + b"\0"


HOSTILE = {
    "an array 20,000 deep in a value": VALUE + b"\1" + b"\x75\1" * 20_000 + b"\0\0",
    "a map 20,000 deep in a value": VALUE + b"\1" + b"\x76\1\1a" * 20_000 + b"\0\0",
    "types 20,000 deep": nested_types(20_000),
    "a document in it": START + b"\x09" + ROOT + b"\1a\x76\0\0",
    "a binary": START + b"\x03" + ROOT + b"\1a\0",
    "an emoji in an array": VALUE + b"\1\x77\4" + "😀".encode() + b"\0",
    "2^53 clients": numbers(2**49),
    "2^31 structs": numbers(1, 2**31, 5, 0),
    "2^31 deletions": numbers(0, 1, 5, 2**31),
    "2^31 values": VALUE + numbers(2**31),
    "a string of 2^31 bytes": START + b"\x04" + ROOT + numbers(2**31),
    "a format 500 deep": START + b"\x06" + ROOT + b"\1b" + numbers(1000) + b"[" * 500 + b"]" * 500,
    "a number in 100,000 bytes": b"\x80" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_at_once(name: str) -> None:
    """[TEXT-1] [TEXT-2] [TEXT-3]"""

    def read() -> None:
        with pytest.raises(DecodeError):
            read_update(HOSTILE[name])

    assert steps(read) < 200
    db = database()
    held = note(db, body="abc")
    with db.write():
        with pytest.raises(DecodeError):
            held.body.apply_update(HOSTILE[name])
        held.body.append("!")
    assert held.body == "abc!"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_server_refuses_the_changeset(name: str) -> None:
    """The session ends; nothing of it is kept, and others go on."""
    first, second = files()
    send(first, HELLO)
    written: Any = [0, 1, [], {6: {"body": [[[9, second.ident, 1]], HOSTILE[name]]}}]
    data = encode(Changeset(second.author().stamp[0], 0, [ObjectDelta("Book", 1, written)]))
    out = second.upload(data)
    assert out.error is not None
    assert out.error.code is ErrorCode.BAD_CHANGESET
    assert not send(first, typed(5, 5, (5, 4), None, "!")).refusals
    assert body(first) == "hello!"


def test_an_emoji_in_a_text_is_read_as_text() -> None:
    """As an array it would never end: a field's kind is its own, whatever a peer takes it for."""
    peer: Any = pycrdt.Doc()
    text = peer.get("text", type=pycrdt.Text)
    text += "😀"
    assert pieces_of([peer.get_update()]) == [("😀", {})]
    first, _ = files()
    assert not upload(first, delta(first, peer.get_update())).answers[0].refusals
    assert body(first) == "😀"


def test_other_roots_of_an_editor_are_refused() -> None:
    peer: Any = pycrdt.Doc()
    peer.get("text", type=pycrdt.Text).insert(0, "abc")
    peer.get("cursors", type=pycrdt.Map)["me"] = 1
    db = database()
    held = note(db)
    with db.write(), pytest.raises(DecodeError, match="root"):
        held.body.apply_update(peer.get_update())
