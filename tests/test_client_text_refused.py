"""A text is refused: it goes from its author's view, what was typed after it stays. [TEXT-25]"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from test_client_text import Note, bits, clients, database, note
from test_client_text_observing import Watch, plain, scribble
from worlds import Device, World

from replication.client.apply import acknowledge
from replication.client.records import PENDING
from replication.client.text_editor import Texts
from replication.history.changeset import encode
from replication.model.declare import declaration_of
from replication.protocol.messages import Ack
from replication.server import objects
from replication.server.refusals import ATOMIC, DELETED, DEPENDS, TOO_LARGE


def devices(**options: Any) -> tuple[World, Device, Device]:
    """Two devices that have notes 1 and 2; 2 says "gone" and is deleted at the server soon."""
    world = World(schema=declaration_of(Note).schema, **options)
    for device in world.devices:
        device.db.texts = Texts(bits(device.number))
        with device.db.subscriptions.edit() as edit:
            edit.add("Note", "TRUEPREDICATE")
    world.settle()
    first, second = world.devices
    with first.db.write():
        first.db.create("Note", _id=1, body="one two", page={"head": "ab"}, pages=[{"head": "x"}])
        first.db.create("Note", _id=2, body="gone")
    world.settle()
    with second.db.write():
        second.db.delete(second.db.get("Note", 2))
    second.sync()
    return world, first, second


def type_and_lose(device: Device, text: str, at: int) -> None:
    """Type in note 1, in an atomic transaction that will be refused."""
    with device.db.write(atomic=True):
        device.db.get("Note", 1).body.insert(at, text)
        device.db.get("Note", 2).body.append("!")


def bodies(world: World) -> list[Any]:
    """What the text shows on all devices."""
    return [plain(device.db.get("Note", 1).body.pieces()) for device in world.devices]


@pytest.mark.parametrize("split", [False, True])
def test_what_was_typed_after_a_refused_text_stays(split: bool) -> None:
    """Whether the refusals come in one ACK or one by one, and nothing flickers in between."""
    world, first, _ = devices()
    body = first.db.get("Note", 1).body
    watch = Watch(body)
    lost: list[Any] = []
    first.db.on_refused(lost.extend)
    type_and_lose(first, " REFUSED", 3)
    with first.db.write():
        body.insert(8, "(in it)")
        body.append("!", {"b": True})
    with first.db.write():
        body.insert(0, "> ")
        body.erase(5, 1)  # of the refused
        body.format(2, 2, {"i": True})
    assert body == "> oneREFU(in it)SED two!"
    first._uploads_max = 1 if split else 100
    if split:
        first.cut()
        first.connect()
        first.download()
        first.upload(1)
        assert body == "> one(in it) two!"
    world.settle()
    assert bodies(world)[0] == bodies(world)[1] == watch.shown
    assert body.pieces() == [
        ("> ", {}), ("on", {"i": True}), ("e(in it) two", {}), ("!", {"b": True}),
    ]  # fmt: skip
    assert {(item[2], item[4]) for item in lost} == {(1, ATOMIC), (2, DELETED)}
    assert first.db.refusals() == lost
    with first.db.store.read() as reader:
        assert not list(reader.records(PENDING))


def test_nothing_flickers_between_two_acks() -> None:
    world, first, _ = devices()
    body = first.db.get("Note", 1).body
    type_and_lose(first, "REFUSED", 3)
    for word in ("a", "b", "c"):
        with first.db.write():
            body.insert(6, word)
    seen: list[str] = []
    with body.observe(lambda change: seen.append(str(body))):
        first._uploads_max = 1
        first.cut()
        world.settle()
    assert seen == ["oneREFcbaUSED two", "onecba two"]
    assert bodies(world) == [[("onecba two", {})]] * 2


def test_a_device_that_restarts_between_two_acks() -> None:
    """What was typed again once is not when its refusal comes, later and to another process."""
    world, first, _ = devices()
    type_and_lose(first, "REFUSED", 3)
    with first.db.write():
        first.db.get("Note", 1).body.insert(6, "kept")
    first._uploads_max = 1
    first.connect()
    first.download()
    first.upload(1)
    assert first.db.get("Note", 1).body == "onekept two"
    first.cut()
    first.open()
    first.db.texts = Texts(bits(77))
    assert first.db.get("Note", 1).body == "onekept two"
    with first.db.write():
        first.db.get("Note", 1).body.append(" more")
    world.settle()
    assert bodies(world) == [[("onekept two more", {})]] * 2
    assert {item[4] for item in first.db.refusals()} == {ATOMIC, DELETED}


def test_what_follows_in_another_atomic_transaction_goes_with_it() -> None:
    """Rule 2: not half of it."""
    world, first, _ = devices()
    body = first.db.get("Note", 1).body
    type_and_lose(first, "REFUSED", 3)
    with first.db.write(atomic=True):
        body.insert(5, "together")
        first.db.create("Note", _id=3, body="together")
    with first.db.write():
        body.insert(7, "alone")
    world.settle()
    assert bodies(world) == [[("onealone two", {})]] * 2
    assert first.db.get("Note", 3) is None
    assert sorted(item[4] for item in first.db.refusals()) == [ATOMIC, ATOMIC, DELETED, DEPENDS]


def test_texts_of_embedded_objects_and_elements() -> None:
    world, first, _ = devices()
    held = first.db.get("Note", 1)
    for head in (held.page.head, held.pages[0].head):
        with first.db.write(atomic=True):
            head.insert(1, "REFUSED")
            first.db.get("Note", 2).body.append("!")
        with first.db.write():
            head.insert(3, "kept")
    world.settle()
    assert [device.db.get("Note", 1).page.head for device in world.devices] == ["akeptb"] * 2
    assert [device.db.get("Note", 1).pages[0].head for device in world.devices] == ["xkept"] * 2


def test_a_text_too_large_for_its_object(monkeypatch: pytest.MonkeyPatch) -> None:
    world, first, _ = devices()
    body = first.db.get("Note", 1).body
    monkeypatch.setattr(objects, "OBJECT_BYTES_MAX", 30_000)
    monkeypatch.setattr(objects, "_HEAD_MATTERS", 1000)
    with first.db.write():
        body.insert(3, "x" * 40_000)
    with first.db.write():
        body.insert(100, " and")
    with first.db.write():
        body.append(" three")
    assert len(body) == 40_017
    world.settle()
    assert bodies(world) == [[("one and two three", {})]] * 2
    assert [item[4] for item in first.db.refusals()] == [TOO_LARGE]


def test_another_client_makes_what_is_typed_after_a_refusal() -> None:
    """[TEXT-20]: the units of the refused one are nowhere, and others under their ids would be
    taken for them.
    """
    world, first, _ = devices()
    body = first.db.get("Note", 1).body
    before = clients(first.db)
    type_and_lose(first, "REFUSED", 3)
    world.settle()
    assert clients(first.db) == before
    with first.db.write():
        body.append("!")
    world.settle()
    assert len(clients(first.db)) == 2
    assert bodies(world) == [[("one two!", {})]] * 2
    assert len(first.db.refusals()) == 2


def test_a_file_that_writes_no_texts_loses_what_depended() -> None:
    """Without random numbers nothing can be typed again: then it is told as lost."""
    world, first, _ = devices()
    type_and_lose(first, "REFUSED", 3)
    with first.db.write():
        first.db.get("Note", 1).body.insert(6, "lost")
    first.open()
    first.db.texts = Texts(None)
    world.settle()
    assert bodies(world) == [[("one two", {})]] * 2
    assert {item[4] for item in first.db.refusals()} == {ATOMIC, DELETED, DEPENDS}


def test_a_dependent_text_that_would_follow_is_lost() -> None:
    """Rule 3: or a server that says so again and again would have it typed again and again."""
    db = database()
    held = note(db, body="abc")
    with db.write():
        held.body.append("def")
    version = db.local.client_version
    refusal = [version, "Note", 1, ["body"], DEPENDS, "for no reason"]
    with db.integrating() as work:
        left = encode(replace(work.changeset(version), objects=[]))
        acknowledge(work, Ack(1, version, 9, [refusal], [[version, left]]))
    assert [list(item)[:6] for item in db.refusals()] == [refusal]
    assert held.body == "abc"
    assert db.local.client_version == version


@pytest.mark.parametrize("seed", range(8))
def test_refusals_at_random(seed: int) -> None:
    """Whatever is refused among random edits, all replicas agree, and the observer with them."""
    rng = Random(seed)
    world, first, second = devices()
    first._uploads_max = rng.choice([1, 2, 100])
    watch = Watch(first.db.get("Note", 1).body)
    atomic: set[int] = set()
    for turn in range(16):
        device = rng.choice([first, first, second])
        refused = device is first and rng.random() < 0.4 and first.db.get("Note", 2) is not None
        with device.db.write(atomic=refused):
            for _ in range(rng.randint(1, 3)):
                scribble(rng, device.db.get("Note", 1).body)
            if refused:
                first.db.get("Note", 2).body.append("!")
        if refused:
            atomic.add(first.db.local.client_version)
        if rng.random() < 0.3:
            rng.choice([first.upload, second.sync])()
        if turn % 8 == 7:
            world.settle()
            assert bodies(world)[0] == bodies(world)[1] == watch.shown
    lost = {item[0] for item in first.db.refusals() if item[4] == DEPENDS}
    assert lost <= atomic


def test_refused_text_is_in_the_journal_as_text() -> None:
    """JOURNAL-9 JOURNAL-11: what was typed after it is none of it, and a retry appends it."""
    world, first, _ = devices()
    type_and_lose(first, " REFUSED", 3)
    with first.db.write():
        first.db.get("Note", 1).body.insert(0, "> ")
    world.settle()
    typed = [
        (entry.key, part.path, part.did, part.old)
        for entry in first.db.journal
        for part in entry.lost
    ]
    assert sorted(typed) == [(1, ("body",), "typed", " REFUSED"), (2, ("body",), "typed", "!")]
    (number,) = [entry.number for entry in first.db.journal if entry.key == 1]
    first.db.journal.retry(number)
    world.settle()
    assert bodies(world) == [[("> one two REFUSED", {})]] * 2
