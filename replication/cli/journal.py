"""`replication journal`: what writes of a client file lost, and what the server refused of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from replication.cli.changesets import ruling_tree
from replication.cli.output import cell, count, moment, noted, print_json, printable, remark
from replication.cli.stores import client_snapshot, store_argument
from replication.errors import UsageError

if TYPE_CHECKING:
    from replication.client.journal import Entry
    from replication.client.losses import Lost


@click.command("journal")
@store_argument
@click.option("--class", "class_name", metavar="CLASS", help="Only entries about a class.")
@click.option("--dismiss", metavar="NUMBER", multiple=True, type=int, help="Delete this entry.")
@click.option("--retry", metavar="NUMBER", type=int, help="Write this entry again.")
@click.option("--dismiss-all", is_flag=True, help="Delete every entry.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object an entry.")
def command(
    store: str,
    class_name: str | None,
    dismiss: tuple[int, ...],
    retry: int | None,
    dismiss_all: bool,
    as_json: bool,
) -> None:
    """List what writes of STORE, a client file, lost to others, and what the server refused.

    Entries stay until they are dismissed, or written again by --retry; with --json they can be kept
    elsewhere first.

    \b
    Example:
      replication journal mine.db --json > lost.jsonl
      replication journal mine.db --dismiss 3 --dismiss 4
    """
    if dismiss or dismiss_all or retry is not None:
        if class_name is not None:
            raise UsageError("--class chooses what is listed: dismiss entries by their numbers")
        _change(store, dismiss, retry, everything=dismiss_all)
        return
    from replication.client.journal import entries

    with client_snapshot(store) as held:
        found = (each for each in entries(held.reader) if class_name in (None, each.class_name))
        _print(found, as_json)


def _change(store: str, numbers: tuple[int, ...], retry: int | None, *, everything: bool) -> None:
    from replication.cli.stores import writing

    with writing(store) as db:
        if retry is not None:
            db.journal.retry(retry)
            remark(f"Entry {retry} is written again; `replication sync` sends it")
        before = len(db.journal)
        if everything:
            db.journal.clear()
        else:
            db.journal.dismiss(*numbers)
        gone = before - len(db.journal)
    if gone:
        remark(f"{count(gone, 'entry', 'entries')} dismissed")


def _print(found: Iterable[Entry], as_json: bool) -> None:
    total = 0
    for entry in found:
        total += 1
        if as_json:
            print_json(entry_tree(entry))
            continue
        click.echo(printable(f"{entry.number}. {_headline(entry)}"))
        for part in entry.lost:
            click.echo(f"   {_part(part)}")
        if entry.omitted:
            click.echo(f"   and {count(entry.omitted, 'part')} more")
    if not total and not as_json:
        remark("Nothing was lost or refused.")


def entry_tree(entry: Entry) -> dict[str, Any]:
    """An entry as JSON; see `spec/journal.md`."""
    from replication.clock import unix_from_time

    tree: dict[str, Any] = {
        "number": entry.number,
        "class": entry.class_name,
        "key": noted(entry.key),
        "client_version": entry.client_version,
        "time": entry.time,
        "lost": [
            {
                "path": [list(s) if type(s) is tuple else noted(s) for s in part.path],
                "did": part.did,
                "old": noted(part.old),
                "new": noted(part.new),
            }
            for part in entry.lost
        ],
    }
    if entry.omitted:
        tree["omitted"] = entry.omitted
    if entry.rule:
        when = None if entry.at is None else moment(unix_from_time(entry.at))
        tree |= {"rule": entry.rule, "by": entry.by, "at": entry.at, "when": when}
        tree |= {"version": entry.version, "seen": entry.seen}
    if entry.is_refusal:
        tree |= {"path": [list(s) if type(s) is tuple else noted(s) for s in entry.path]}
        tree |= {"reason": entry.reason, "message": entry.message, **ruling_tree(entry)}
    return tree


def _headline(entry: Entry) -> str:
    from replication.clock import unix_from_time

    what = f"{entry.class_name} {entry.key}"
    if not entry.rule:
        return f"{what}: refused ({entry.reason}): {entry.message}"
    who = "somebody" if entry.by is None else f"file {entry.by}"
    when = "" if entry.at is None else f" of {moment(unix_from_time(entry.at))}"
    unsure = "" if entry.seen is not None else ", who may have seen it"
    refused = f"; refused ({entry.reason})" if entry.is_refusal else ""
    return f"{what}: lost to a {entry.rule}{when} by {who}{unsure}{refused}"


def _part(part: Lost) -> str:
    steps = [f"[{step[0]}:{step[1]}]" if type(step) is tuple else str(step) for step in part.path]
    where = ".".join(steps).replace(".[", "[") or "the object"
    new = "" if part.new is None else f", now {cell(part.new)}"
    return f"{printable(where)} {part.did} {cell(part.old)}{new}"
