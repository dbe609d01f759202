"""Judging a collaborative text: whose units they are, and whether they follow what is here.

Rule 1: a client id belongs to the file that first made a unit with it in this text; authorship
        has made sure that an upload names no other file's ident. [TEXT-22]
Rule 2: every unit follows what the server holds, every deletion is of a unit it knows: the
        server's text has no gaps. [TEXT-23]
Rule 3: units the server holds already (a copied file may bring them twice) change nothing of
        what it holds. [TEXT-23]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replication.crdt.parts import Path
from replication.crdt.text import all_updates, empty_text
from replication.crdt.union import before, causal, is_whole, union
from replication.crdt.units import Update
from replication.crdt.updates import read_update, write_update
from replication.server.refusals import DEPENDS, REPLACED

if TYPE_CHECKING:
    from replication.server.judge import Judge


def judged_text(judge: Judge, held: Any, delta: Any, path: Path) -> Any:
    """What may be merged of a text's delta: the same, or None."""
    if held is None:
        held = empty_text()
    owners = {client: ident for client, ident, _ in held[0]}
    for client, ident, _ in delta[0]:
        if owners.get(client, ident) != ident:
            message = f"client id {client} belongs to another file"
            judge.refuse(path, REPLACED, f"{judge.name(path)}: {message}")
            return None
    ends = {client: end for client, _, end in held[0]}
    update = read_update(delta[1])
    if not is_whole(causal(update, ends), update, ends):
        message = "what this was typed on was refused, or never came here"
        judge.refuse(path, DEPENDS, f"{judge.name(path)}: {message}")
        return None
    if any(runs[0][0] < ends.get(client, 0) for client, runs in update.runs.items()):
        known = [read_update(data) for data in all_updates(held, judge.parts, path)]
        again = write_update(union([*known, before(update, ends)]))
        if again != write_update(union([*known, Update({}, update.deleted)])):
            message = "it says that other units were written under ids that are taken"
            judge.refuse(path, REPLACED, f"{judge.name(path)}: {message}")
            return None
    return delta
