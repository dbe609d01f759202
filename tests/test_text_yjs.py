"""A Yjs document, real Yjs in real Node, edits the text of a client file."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from test_client_text import database, note

ROOT = Path(__file__).parent.parent
#: Where `make` installs yjs.
MODULES = Path(os.environ.get("YJS_MODULES", ROOT / ".yjs" / "node_modules"))
NODE = shutil.which("node") or shutil.which("nodejs")

pytestmark = pytest.mark.skipif(
    NODE is None or not (MODULES / "yjs").is_dir(),
    reason="needs Node and yjs: install node and npm, then `make .yjs/node_modules`",
)


def yjs(updates: list[bytes], client: int, seed: int, edits: int) -> Any:
    """What an editor writes and shows after these updates."""
    asked = {
        "updates": [data.hex() for data in updates], "client": client, "seed": seed, "edits": edits,
    }  # fmt: skip
    assert NODE is not None
    done = subprocess.run(
        [NODE, str(Path(__file__).parent / "yjs_editor.cjs")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "NODE_PATH": str(MODULES)},
    )
    return json.loads(done.stdout)


def pieces(delta: list[Any]) -> list[tuple[str, Any]]:
    """What Yjs shows, as a text does."""
    out: list[tuple[str, Any]] = []
    for item in delta:
        formats = item.get("attributes", {})
        if out and out[-1][1] == formats:
            out[-1] = (out[-1][0] + item["insert"], formats)
        else:
            out.append((item["insert"], formats))
    return out


@pytest.mark.parametrize("seed", range(3))
def test_a_yjs_document_edits_a_text(seed: int) -> None:
    rng = random.Random(seed)
    db = database()
    held = note(db, body="hello world")
    clients = [101, 102]
    for turn in range(4):
        start = held.body.update()
        shown = [yjs([start], clients[i] + 10 * turn, seed * 7 + i + turn, 12) for i in (0, 1)]
        with db.write():
            held.body.insert(rng.randint(0, len(held.body)), "ours 😀")
        for each in shown:
            with db.write():
                for update in each["written"]:
                    held.body.apply_update(bytes.fromhex(update))
        seen = yjs([held.body.update()], 999, 1, 0)
        assert seen["text"] == held.body
        assert pieces(seen["delta"]) == held.body.pieces()
