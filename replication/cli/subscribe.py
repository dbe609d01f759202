"""`replication subscribe`: what a client file asks the server for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from replication.cli.output import print_json, printable
from replication.errors import UsageError

if TYPE_CHECKING:
    from replication.client.database import Database


@click.command("subscribe")
@click.argument("store", type=click.Path(dir_okay=False))
@click.argument("class_name", metavar="[CLASS]", required=False)
@click.argument("query", required=False)
@click.option("--name", help="Name it; a later one of that name replaces it.")
@click.option("--remove", help="Remove the subscription of that name.")
@click.option("--clear", is_flag=True, help="Remove all others.")
@click.option("--json", "as_json", is_flag=True, help="Print the subscriptions as JSON.")
def command(
    store: str,
    class_name: str | None,
    query: str | None,
    name: str | None,
    remove: str | None,
    clear: bool,
    as_json: bool,
) -> None:
    """Subscribe STORE, a client file, to the objects of CLASS that match QUERY.

    Without QUERY to all of them; without CLASS the subscriptions are only printed. The next
    `replication sync` brings the objects, and takes away those nothing asks for any more.

    \b
    Example:
      replication subscribe books.db Book 'language == "fre"' --name french
    """
    from replication.cli.stores import writing

    if class_name is None and name is not None:
        raise UsageError("--name names the subscription to a CLASS: give the class too")
    with writing(store) as db:
        if clear or remove is not None or class_name is not None:
            _edit(db, class_name, query, name, remove, clear)
        latest = db.subscriptions.latest
        items = [
            {"class": each.class_name, "query": each.query, "name": each.name}
            for each in latest.subscriptions
        ]
        _print({"state": latest.state.name.lower(), "subscriptions": items}, as_json)


def _edit(
    db: Database,
    class_name: str | None,
    query: str | None,
    name: str | None,
    remove: str | None,
    clear: bool,
) -> None:
    with db.subscriptions.edit() as edited:
        if clear:
            edited.clear()
        if remove is not None and not edited.remove(remove):
            known = ", ".join(repr(s.name) for s in edited.subscriptions if s.name) or "none"
            raise UsageError(f"no subscription is named {remove!r}; there are {known}")
        if class_name is not None:
            edited.add(class_name, query or "TRUEPREDICATE", name=name)


def _print(outcome: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(outcome)
        return
    for each in outcome["subscriptions"]:
        name = f"{each['name']}: " if each["name"] else ""
        click.echo(printable(f"{name}{each['class']} where {each['query']}"))
    if not outcome["subscriptions"]:
        click.echo("no subscriptions: the server sends nothing")
    elif outcome["state"] == "pending":
        click.echo("pending until the next `replication sync`")
