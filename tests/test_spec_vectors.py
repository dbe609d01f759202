"""The vectors of encoding, states, merging and changesets: what they say holds."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from make_vectors import FILES, VECTORS, written
from reference import modelled
from subscription_vectors import wired
from vector_operations import noted, perform, replayed, shown

from replication.clock import HybridClock, too_far_ahead
from replication.crdt.check import check_object, unpack_object
from replication.crdt.incarnation import clone
from replication.crdt.object import COUNTER, absent, merge
from replication.crdt.parts import Parts
from replication.crdt.substitute import Substitution
from replication.crdt.whole import check_parts, joined
from replication.errors import DecodeError
from replication.history.changeset import (
    DIGEST_START,
    Changeset,
    ObjectDelta,
    decode,
    encode,
    next_digest,
)
from replication.model.encoding import pack, unpack, unpack_trusted
from replication.model.notation import from_json, to_json
from replication.protocol.partitions import partition_query
from replication.query import parse

LOADED: dict[str, list[dict[str, Any]]] = {
    page: json.loads((VECTORS / f"{page}.json").read_text(encoding="utf-8"))["vectors"]
    for page in FILES
}


def of(page: str, *kinds: str) -> pytest.MarkDecorator:
    """The vectors of some kinds of a page, as parameters."""
    found = [each for each in LOADED[page] if each["name"].split("/")[0] in kinds]
    assert found
    return pytest.mark.parametrize("vector", found, ids=[each["name"] for each in found])


@pytest.mark.parametrize("page", FILES)
def test_the_vectors_are_what_their_script_writes(page: str) -> None:
    held = (VECTORS / f"{page}.json").read_text(encoding="utf-8")
    assert held == written(FILES[page]()), "run `python tests/make_vectors.py`"


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.name)
def test_names_are_unique_and_everything_covers_something(path: Path) -> None:
    vectors = json.loads(path.read_text(encoding="utf-8"))["vectors"]
    names = [vector["name"] for vector in vectors]
    assert len(names) == len(set(names))
    assert all(vector["covers"] for vector in vectors)


# -- encoding --------------------------------------------------------------------------------
@of("encoding", "value")
def test_values(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    assert pack(from_json(vector["value"])) == data
    assert json.dumps(to_json(unpack(data))) == json.dumps(vector["value"])


@of("encoding", "structure")
def test_structures(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    assert pack(unpack(data)) == data


@of("encoding", "refused")
def test_what_is_not_canonical(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    for wrapped in (data, b"\x91" + data, b"\x81\xa1k" + data):
        with pytest.raises(DecodeError) as caught:
            unpack(wrapped)
    assert caught.value.code.label == vector["error"]


# -- states ----------------------------------------------------------------------------------
@of("states", "merge")
def test_merges(vector: dict[str, Any]) -> None:
    states = [unpack_object(bytes.fromhex(data)) for data in vector["states"]]
    for order in permutations(states):
        together = absent()
        for state in order:
            together = merge(together, state)
        assert pack(together).hex() == vector["merged"]
        assert json.dumps(shown(together)) == json.dumps(vector["shows"])
        right = clone(order[-1])
        for state in order[-2::-1]:
            right = merge(clone(state), right)
        assert pack(right).hex() == vector["merged"]
    shows = unpack_trusted(modelled(states))
    assert json.dumps(noted(shows)) == json.dumps(vector["shows"])


@of("states", "accepted")
def test_well_formed_states(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    state = unpack_object(data)
    assert pack(state) == data
    shown(merge(absent(), state))


@of("states", "refused")
def test_malformed_states(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    with pytest.raises(DecodeError):
        unpack_object(data)
    state = unpack(data)  # the bytes are canonical: it is the state that is not
    if vector["head"]:
        with pytest.raises(DecodeError):
            check_object(state, spread=True)
    else:
        check_object(state, spread=True)


@of("states", "spread")
def test_heads_and_parts(vector: dict[str, Any]) -> None:
    held = {bytes.fromhex(name): bytes.fromhex(data) for name, data in vector["parts"].items()}
    parts = Parts(held.get, lambda: held)
    head = unpack_object(bytes.fromhex(vector["head"]), spread=True)
    assert check_parts(head, parts) == set(held)
    assert pack(joined(head, parts)).hex() == vector["whole"]
    again = Parts()
    whole = merge(absent(), unpack(bytes.fromhex(vector["whole"])), again)
    assert again.changes() == held
    assert pack(joined(whole, again)).hex() == vector["whole"]


# -- merging ---------------------------------------------------------------------------------
@of("merge", "concurrent")
def test_histories(vector: dict[str, Any]) -> None:
    """[MERGE-1], [MERGE-2]: in every order, each delta twice but for those that count."""
    deltas = replayed(vector["transactions"])
    assert [pack(delta).hex() for delta in deltas] == [
        transaction["delta"] for transaction in vector["transactions"]
    ]
    for order in permutations(deltas):
        together = absent()
        for delta in order:
            together = merge(together, clone(delta))
            if COUNTER not in delta[3]:
                together = merge(together, clone(delta))
        assert pack(together).hex() == vector["merged"]
        assert json.dumps(shown(together)) == json.dumps(vector["shows"])
    assert json.dumps(noted(unpack_trusted(modelled(deltas)))) == json.dumps(vector["shows"])


# -- changesets ------------------------------------------------------------------------------
@of("changesets", "changeset")
def test_changesets(vector: dict[str, Any]) -> None:
    objects = [
        ObjectDelta(
            item["class"],
            from_json(item["key"]),  # type: ignore[arg-type]
            unpack(bytes.fromhex(item["delta"])),
            blind=item["mark"] == 1,
        )
        for item in vector["objects"]
    ]
    parts = (
        vector["time"],
        vector["cursor"],
        objects,
        vector["flags"],
        vector["schema"],
        vector["horizon"],
    )
    assert encode(Changeset(*parts)).hex() == vector["hex"]
    assert encode(decode(bytes.fromhex(vector["hex"]))).hex() == vector["hex"]


@of("changesets", "refused")
def test_what_is_no_changeset(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    unpack(data)
    with pytest.raises(DecodeError) as caught:
        decode(data)
    assert caught.value.code.label == vector["error"]


@of("changesets", "digests")
def test_digests(vector: dict[str, Any]) -> None:
    digest = DIGEST_START
    for data, expected in zip(vector["changesets"], vector["digests"], strict=True):
        digest = next_digest(digest, bytes.fromhex(data))
        assert digest.hex() == expected


@of("changesets", "clock")
def test_clocks(vector: dict[str, Any]) -> None:
    clock = HybridClock(vector["last"])
    for event in vector["events"]:
        if "receive" in event:
            clock.receive(event["receive"])
        else:
            assert clock.tick(event["tick"]) == event["time"]


@of("changesets", "skew")
def test_skew(vector: dict[str, Any]) -> None:
    assert too_far_ahead(vector["time"], vector["wall_ms"]) == vector["refused"]


@of("changesets", "edit")
def test_edits(vector: dict[str, Any]) -> None:
    delta, state = perform(vector)
    assert pack(delta).hex() == vector["delta"]
    assert json.dumps(shown(state)) == json.dumps(vector["shows"])


@of("changesets", "rename")
def test_renamings(vector: dict[str, Any]) -> None:
    idents = dict(vector["idents"])
    stamps = {tuple(old): tuple(new) for old, new in vector["stamps"]}

    def stamp(time: int, origin: int) -> tuple[int, int]:
        return stamps.get((time, origin), (time, idents.get(origin, origin)))

    renamed = Substitution(stamp, lambda ident, sequence: (idents.get(ident, ident), sequence))
    state = unpack_object(bytes.fromhex(vector["state"]))
    assert pack(renamed.object(state)).hex() == vector["renamed"]


def test_the_pages_name_every_kind() -> None:
    """A reader finds what each kind of vector says on its page."""
    for page, vectors in LOADED.items():
        text = (VECTORS.parent / f"{page}.md").read_text(encoding="utf-8")
        rows = {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")}
        assert {vector["name"].split("/")[0] for vector in vectors} <= rows, page


# -- subscriptions ---------------------------------------------------------------------------
@of("subscriptions", "subscriptions")
def test_what_travels_of_a_set(vector: dict[str, Any]) -> None:
    assert wired(vector["subscriptions"]) == vector["queries"]
    assert wired(vector["subscriptions"][::-1]) == vector["queries"]


# -- partitions ------------------------------------------------------------------------------
@of("partitions", "partition")
def test_what_a_partition_asks_for(vector: dict[str, Any]) -> None:
    value = from_json(vector["value"])
    assert partition_query(vector["key"], value) == vector["query"]
    asked = parse(vector["query"])
    assert asked.matches({vector["key"]: value}.get)
    assert not asked.matches({vector["key"]: "another"}.get)
