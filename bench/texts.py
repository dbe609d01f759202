"""Typing a real editing history into a text, one transaction an edit, beside bare Yjs."""

from __future__ import annotations

import gzip
import json
import os
import random
from pathlib import Path
from time import process_time
from typing import Any

import pycrdt

from bench.harness import Figure, figure
from bench.servers import wall_ms
from replication.client.database import Database
from replication.crdt.view import query_values
from replication.model.declare import Object, Text, declaration_of
from replication.storage.memory import MemoryStore

_SHARED = Path(__file__).parent.parent.parent / "shared/data"
_DATA = Path(os.environ.get("REPLICATION_DATA", _SHARED))
_TRACE = _DATA / "automerge-paper.json.gz"


class Paper(Object):
    """What is written."""

    _id: int
    body: Text


#: Characters of a long text and of a short one, of one and of two units of UTF-16.
_LONG, _SHORT = 200_000, 2_000
_WIDE = "漢é😀 "


def text(runs: int, *, quick: bool) -> list[Figure]:
    """A real history, and edits anywhere in texts of other alphabets."""
    return [*_history(runs, quick=quick), *_anywhere(runs, quick=quick)]


def _anywhere(runs: int, *, quick: bool) -> list[Figure]:
    """Edits at random places of a long text that is not ASCII, beside a short one."""
    edits = 300 if quick else 3000
    long, short = [], []
    for _ in range(runs):
        short.append(_edited(_SHORT, edits) / edits * 1e6)
        long.append(_edited(_LONG, edits) / edits * 1e6)
    name = f"one edit anywhere in a text of {_LONG:,} wide characters, of CPU"
    return [figure(name, "us", long, short, target=f"beside one of {_SHORT:,}")]


def _edited(length: int, edits: int) -> float:
    r = random.Random(1)
    db, body = _paper()
    with db.write():
        for at in range(0, length, 400):
            body.insert(r.randint(0, at), _WIDE * 100)
    places = [r.randint(0, length - 9) for _ in range(edits)]
    started = process_time()
    for at in places:
        with db.write():
            body.insert(at, "é")
        with db.write():
            body.erase(at + 3, 1)
    took = process_time() - started
    db.close()
    return took / 2


def _history(runs: int, *, quick: bool) -> list[Figure]:
    """`automerge-paper` into a text field of a memory store; nothing where it is not at hand."""
    if not _TRACE.is_file():
        print(f"{_TRACE} is not here: set REPLICATION_DATA to the folder it is in")
        return []
    trace = json.loads(gzip.decompress(_TRACE.read_bytes()))
    edits = trace["txns"][: 5000 if quick else None]
    ours, bare = [], []
    for _ in range(runs):
        seconds, shown = _bare(edits)
        bare.append(seconds / len(edits) * 1e6)
        seconds, typed = _ours(edits)
        ours.append(seconds / len(edits) * 1e6)
        assert shown == typed, "the texts differ"
    return [figure("one edit of a text, of CPU", "us", ours, bare, target="ratio <= 1.5")]


def _bare(edits: list[Any]) -> tuple[float, str]:
    doc: Any = pycrdt.Doc()
    body = doc.get("text", type=pycrdt.Text)
    started = process_time()
    for transaction in edits:
        for at, count, typed in transaction["patches"]:
            if count:
                del body[at : at + count]
            if typed:
                body.insert(at, typed)
    return process_time() - started, str(body)


def _paper() -> tuple[Database, Any]:
    r = random.Random(1)
    db = Database(
        MemoryStore(query_values),
        declaration_of(Paper),
        wall_ms=wall_ms,
        entropy=lambda: r.getrandbits(53),
    )
    with db.write():
        return db, db.create(Paper, _id=1).body


def _ours(edits: list[Any]) -> tuple[float, str]:
    db, body = _paper()
    started = process_time()
    for transaction in edits:
        with db.write():
            for at, count, typed in transaction["patches"]:
                if count:
                    body.erase(at, count)
                if typed:
                    body.insert(at, typed)
    took = process_time() - started
    shown = str(body)
    db.close()
    return took, shown
