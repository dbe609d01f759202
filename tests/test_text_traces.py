"""A real editing history typed into a text, one transaction an edit."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from test_client_text import database, note

DATA = Path(os.environ.get("REPLICATION_DATA", Path(__file__).parent.parent.parent / "shared/data"))
TRACE = DATA / "automerge-paper.json.gz"
#: The whole of it takes minutes: `make test` takes its beginning.
EDITS = 5000


@pytest.mark.skipif(not TRACE.is_file(), reason="the trace is not here; see REPLICATION_DATA")
def test_the_beginning_of_a_paper() -> None:
    trace = json.loads(gzip.decompress(TRACE.read_bytes()))
    db = database()
    held = note(db)
    text = trace["startContent"]
    for transaction in trace["txns"][:EDITS]:
        with db.write():
            for at, erased, inserted in transaction["patches"]:
                if erased:
                    held.body.erase(at, erased)
                if inserted:
                    held.body.insert(at, inserted)
                text = text[:at] + inserted + text[at + erased :]
    assert held.body == text
