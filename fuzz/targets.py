"""The targets: each takes any bytes and asserts its invariants, see `fuzz/README.md`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from replication.client.loaded_text import LoadedText
from replication.crdt import object as obj
from replication.crdt.check import check_object
from replication.crdt.document import Document
from replication.crdt.formatting import pieces
from replication.crdt.parts import Parts
from replication.crdt.union import causal, union
from replication.crdt.unit_sequence import UnitSequence
from replication.crdt.units import Update
from replication.crdt.updates import EMPTY, read_update, write_update
from replication.crdt.view import object_view, queryable
from replication.errors import DecodeError, QueryError
from replication.history import changeset as changesets_module
from replication.model.encoding import pack, unpack_trusted
from replication.protocol import body, messages
from replication.query import parse


def frames(data: bytes) -> None:
    """FRAME-1 to FRAME-3."""
    try:
        message = messages.decode(data)
    except DecodeError:
        return
    assert messages.encode(message) == data, "FRAME-2"
    try:
        if isinstance(message, messages.Download):
            operations = body.decode_operations(message.size, message.body)
            again = [body.trusted_operation(body.pack_operation(item)) for item in operations]
            assert again == operations, "FRAME-3"
        elif isinstance(message, messages.Upload):
            body.decode_changesets(message.size, message.body)
    except DecodeError:
        return


def changesets(data: bytes) -> None:
    """CHANGESET-1 to CHANGESET-4."""
    try:
        changeset = changesets_module.decode(data)
    except DecodeError:
        return
    assert changesets_module.encode(changeset) == data, "CHANGESET-2"
    assert changesets_module.decode_trusted(data) == changeset, "CHANGESET-2"
    for item in changeset.objects:
        before = pack(item.delta)
        once = obj.merge(obj.absent(), item.delta)
        check_object(once)
        parts = Parts()
        spread = obj.merge(obj.absent(), item.delta, parts)
        check_object(spread, spread=True)
        assert object_view(once) == object_view(spread, parts), "CHANGESET-3"
        queryable(spread)
        other = obj.merge(unpack_trusted(pack(_OTHER)), item.delta)
        mirrored = obj.merge(unpack_trusted(before), _OTHER)
        assert pack(other) == pack(mirrored), "CHANGESET-4"
        assert pack(item.delta) == before, "CHANGESET-3"


#: Something for a fuzzed delta to collide with.
_OTHER: Final[obj.ObjectState] = [
    1,
    1,
    [],
    {
        obj.REGISTER: [[655360001, 2, {"n": 1, "title": "a"}], [655360002, 3, {"year": 1965}]],
        obj.COUNTER: {"n": 5},
        obj.SET: {"tags": [[], [[655360001, 2, {pack("x"): True}]]]},
        obj.DICTIONARY: {"d": [[], [[655360001, 2, {"k": 1}]], {}]},
        obj.LIST: {"l": [[], [[[2, 1, 0, 655360001, 2, [10, 20]]], [], [], [], []]]},
        obj.EMBEDDED: {"home": [1, 1, [], {obj.REGISTER: [[655360001, 2, {"city": "Bern"}]]}]},
    },
]


def queries(data: bytes) -> None:
    """QUERY-1 to QUERY-3."""
    text = data.decode(errors="surrogatepass") if _is_text(data) else data.decode("latin-1")
    try:
        parse(text)
    except QueryError as error:
        position = error.position or 0
    else:
        position = 0
        _prints_to_itself(text)
    assert 0 <= position <= len(text), "QUERY-1"


def _prints_to_itself(text: str) -> None:
    query = parse(text)
    again = parse(query.text)
    assert again.text == query.text, "QUERY-2"
    document = {"a": 1, "b": "x", "tags": ["x", "y"], "n": None, "d": 1.5}
    assert query.matches(document.get) == again.matches(document.get), "QUERY-3"


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


#: What stands between the updates that are fuzzed together.
SEPARATOR: Final = b"\xff\xfe"


def updates(data: bytes) -> None:
    """UPDATE-1 to UPDATE-5."""
    found = []
    for each in data.split(SEPARATOR)[:4]:
        try:
            update = read_update(each)
        except DecodeError:
            continue
        canonical = write_update(update)
        assert read_update(canonical) == update, "UPDATE-2"
        found.append(update)
    together = union(found)
    written = write_update(together)
    assert write_update(union(found[::-1])) == written, "UPDATE-3"
    assert write_update(union([together, *found[:1]])) == written, "UPDATE-3"
    shown = causal(together, {})
    document = Document([])
    document.take(write_update(shown))  # UPDATE-4: what it panics on is a DecodeError
    ends = {client: shown.end(client) for client in shown.runs}
    assert document.ends() == ends, "UPDATE-4"
    _is_told_alike(document, found)


def _is_told_alike(document: Document, found: list[Update]) -> None:
    """A text that takes update after update shows the same, and its deltas tell its length.

    So does a sequence of its units.
    """
    loaded, shown, units, length = LoadedText(), Document([]), UnitSequence(), 0
    for number in range(len(found)):
        tail = [write_update(each) for each in found[: number + 1]]
        state = [[], [each for each in tail if each != EMPTY], [], 0]
        news = loaded.news(state, _no_parts, units.ends)
        if news is None:
            loaded, shown, units, length = LoadedText(), Document([]), UnitSequence(), 0
            news = loaded.news(state, _no_parts, {})
        assert news is not None, "UPDATE-5"
        units.take(news)
        for step in shown.take_told(write_update(news), shown.pieces()):
            length += len(step.get("insert", "")) - step.get("delete", 0)
    assert shown.pieces() == pieces(units) == document.pieces(), "UPDATE-5"
    assert length == sum(len(piece) for piece, _ in document.pieces()), "UPDATE-5"


def _no_parts(_number: int) -> bytes:
    raise AssertionError("a tail has no parts")


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "frames": frames,
    "changesets": changesets,
    "queries": queries,
    "updates": updates,
}
