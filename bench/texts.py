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


def text(runs: int, *, quick: bool) -> list[Figure]:
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


def _ours(edits: list[Any]) -> tuple[float, str]:
    r = random.Random(1)
    db = Database(
        MemoryStore(query_values),
        declaration_of(Paper),
        wall_ms=wall_ms,
        entropy=lambda: r.getrandbits(53),
    )
    with db.write():
        body: Any = db.create(Paper, _id=1).body
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
