"""Real editing histories, replayed: what comes out is what their authors ended with.

    python tests/traces.py [NAME...]

`automerge-paper`: one author, 259,778 edits, typed into the text of a client file, one transaction
an edit, and then read by another device.

`friendsforever`: two authors who typed at once, 26,078 edits. Each has a device, and makes each
edit having received just what its author had seen, through sessions with a server.

A run appends a line to the ledger: commit, edits, transactions that crossed, seconds of CPU and
what came out. The traces are not part of this repository: `REPLICATION_DATA` is the folder of
`NAME.json.gz`.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pycrdt
from test_client_text import Note, bits, database, note
from worlds import World

from replication.client.text_editor import Texts
from replication.model.declare import declaration_of

ROOT = Path(__file__).parent.parent
LEDGER = ROOT / "tests" / "traces-ledger.jsonl"
DATA = Path(os.environ.get("REPLICATION_DATA", ROOT.parent / "shared/data"))


class Result(NamedTuple):
    """What a replay ended with, and what that should be."""

    edits: int
    crossings: int
    text: str
    expected: str


def path_of(name: str) -> Path:
    """Where a trace is, if it is."""
    return DATA / f"{name}.json.gz"


def load(name: str) -> dict[str, Any]:
    """A trace."""
    trace: dict[str, Any] = json.loads(gzip.decompress(path_of(name).read_bytes()))
    return trace


def patched(text: str, patches: list[Any]) -> str:
    """A plain string after some patches."""
    for at, count, typed in patches:
        text = text[:at] + typed + text[at + count :]
    return text


def typed(body: Any, patches: list[Any]) -> None:
    """The same in a text."""
    for at, count, text in patches:
        if count:
            body.erase(at, count)
        if text:
            body.insert(at, text)


def alone(name: str, edits: int | None = None) -> Result:
    """Replay the history of one author, or its first ``edits``."""
    trace = load(name)
    db = database()
    held = note(db, body=trace["startContent"])
    body, expected = held.body, trace["startContent"]
    done = trace["txns"][:edits]
    for transaction in done:
        with db.write():
            typed(body, transaction["patches"])
    if edits is None:
        expected = trace["endContent"]
    else:
        for transaction in done:
            expected = patched(expected, transaction["patches"])
    other = database(db.store, bits(2)).get(Note, 1)
    assert str(other.body) == str(body), "a file that is opened again shows another text"
    return Result(len(done), 0, str(body), expected)


def together(name: str, edits: int | None = None) -> Result:
    """Replay the history of two authors, or its first ``edits``, on two devices."""
    trace = load(name)
    world = World(schema=declaration_of(Note).schema)
    for device in world.devices:
        # Of two that type at one place at once the trace has the first author's first.
        device.db.texts = Texts(_client_id(device.number))
        device._uploads_max = 1
        with device.db.subscriptions.edit() as edit:
            edit.add("Note", "TRUEPREDICATE")
    world.settle()
    with world.devices[0].db.write():
        world.devices[0].db.create("Note", _id=1)
    world.settle()
    bodies = [device.db.get("Note", 1).body for device in world.devices]
    sent, crossings = [0, 0], 0
    done = trace["txns"][:edits]
    for transaction, (own, seen, made) in zip(done, _seen(done), strict=True):
        other = 1 - own
        if seen > sent[other]:
            world.devices[other].upload(seen - sent[other])
            sent[other] = seen
            world.devices[own].download()
        crossings += seen < made
        with world.devices[own].db.write():
            typed(bodies[own], transaction["patches"])
    world.settle()
    assert not any(device.db.refusals() for device in world.devices)
    assert str(bodies[0]) == str(bodies[1]), "the devices differ"
    expected = trace["endContent"] if edits is None else _by_yjs(done)
    return Result(len(done), crossings, str(bodies[0]), expected)


def _by_yjs(transactions: list[Any]) -> str:
    """What two bare documents of Yjs make of it."""
    docs: list[Any] = [pycrdt.Doc(client_id=1001 + author) for author in (0, 1)]
    texts = [doc.get("text", type=pycrdt.Text) for doc in docs]
    updates: list[list[bytes]] = [[], []]
    kept = [doc.observe(partial(_keep, updates[author])) for author, doc in enumerate(docs)]
    taken = [0, 0]
    for transaction, (own, seen, _) in zip(transactions, _seen(transactions), strict=True):
        written = len(updates[own])
        for update in updates[1 - own][taken[own] : seen]:
            docs[own].apply_update(update)
        taken[own] = max(taken[own], seen)
        del updates[own][written:]
        with docs[own].transaction():
            for at, count, text in transaction["patches"]:
                del texts[own][at : at + count]
                texts[own].insert(at, text)
    docs[0].apply_update(docs[1].get_update())
    for doc, subscription in zip(docs, kept, strict=True):
        doc.unobserve(subscription)
    return str(texts[0])


def _keep(updates: list[bytes], event: Any) -> None:
    updates.append(event.update)


def _client_id(number: int) -> Callable[[], int]:
    return lambda: 1000 + number


def _seen(transactions: list[Any]) -> Iterator[tuple[int, int, int]]:
    """For each transaction: its author, how many of the other's it had seen, and how many there
    were.
    """
    known: list[list[int]] = []
    made = [0, 0]
    for transaction in transactions:
        seen = [max((known[p][a] for p in transaction["parents"]), default=0) for a in (0, 1)]
        author = transaction["agent"]
        assert seen[author] == made[author], "an author forgot what it had typed"
        yield author, seen[1 - author], made[1 - author]
        made[author] += 1
        seen[author] = made[author]
        known.append(seen)


TRACES: dict[str, Callable[..., Result]] = {
    "automerge-paper": alone,
    "friendsforever": together,
}


def main(arguments: list[str]) -> int:
    """Replay traces whole; 1 if one ends with another text."""
    parser = argparse.ArgumentParser(description="Replay real editing histories")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TRACES)}")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(TRACES):
        parser.error(f"no trace {sorted(unknown)[0]!r}; there are {', '.join(TRACES)}")
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    failed = False
    for name in options.names or TRACES:
        began = time.process_time()
        result = TRACES[name](name)
        line = {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "commit": commit,
            "trace": name,
            "edits": result.edits,
            "crossings": result.crossings,
            "characters": len(result.text),
            "sha256": hashlib.sha256(result.text.encode()).hexdigest()[:16],
            "equal": result.text == result.expected,
            "seconds": round(time.process_time() - began, 1),
        }
        failed = failed or not line["equal"]
        with LEDGER.open("a", encoding="utf-8") as ledger:
            ledger.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
