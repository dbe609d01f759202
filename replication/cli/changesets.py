"""Changesets, told as JSON: what one transaction wrote, part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replication.cli.output import moment, noted
from replication.cli.states import state_tree
from replication.clock import unix_from_time
from replication.history.changeset import Changeset
from replication.protocol.refusals import Refusal

if TYPE_CHECKING:
    from replication.client.journal import Entry


def changeset_tree(changeset: Changeset) -> dict[str, Any]:
    """A changeset as JSON; see `states` for the deltas in it."""
    tree: dict[str, Any] = {
        "time": changeset.time,
        "when": moment(unix_from_time(changeset.time)),
        "cursor": changeset.cursor,
        "objects": [
            {
                "class": item.class_name,
                "key": noted(item.key),
                "delta": state_tree(item.delta),
                **({"blind": True} if item.blind else {}),
            }
            for item in changeset.objects
        ],
    }
    if changeset.atomic:
        tree["atomic"] = True
    if changeset.schema:
        tree["schema"] = changeset.schema
    return tree


def refusal_tree(refusal: list[Any]) -> dict[str, Any]:
    """A refusal, as an ACK carries it, as JSON."""
    held = Refusal(*refusal)
    tree = {
        "client_version": held.client_version,
        "class": held.class_name,
        "key": noted(held.key),
        "path": held.path,
        "reason": held.reason,
        "message": held.message,
    }
    return tree | ruling_tree(held)


def ruling_tree(held: Refusal | Entry) -> dict[str, str]:
    """What of the rules refused something; empty where something else did."""
    if not held.rule_path:
        return {}
    return {"role": held.role, "rule_path": held.rule_path, "clause": held.clause}
