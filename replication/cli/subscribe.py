"""`replication subscribe`: what a client file asks the server for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from replication.cli.output import print_json, printable, remark
from replication.errors import UsageError

if TYPE_CHECKING:
    from replication.client.subscription_set import MutableSubscriptions


@click.command("subscribe")
@click.argument("store", type=click.Path(dir_okay=False))
@click.argument("class_name", metavar="[CLASS]", required=False)
@click.argument("query", required=False)
@click.option("--name", help="Name it; a later one of that name replaces it.")
@click.option("--remove", metavar="NAME", help="Remove the subscription of that name.")
@click.option(
    "--unsubscribe",
    is_flag=True,
    help="Remove the subscription to CLASS and QUERY; without QUERY all to CLASS.",
)
@click.option("--clear", is_flag=True, help="Remove all others.")
@click.option("--clear-unnamed", is_flag=True, help="Remove all others that have no name.")
@click.option("--json", "as_json", is_flag=True, help="Print the subscriptions as JSON.")
def command(store: str, as_json: bool, **options: Any) -> None:
    """Subscribe STORE, a client file, to the objects of CLASS that match QUERY.

    Without QUERY to all of them; without CLASS the subscriptions are only printed. The next
    `replication sync` brings the objects, and takes away those nothing asks for any more.

    \b
    Example:
      replication subscribe books.db Book 'language == "fre"' --name french
    """
    from replication.cli.stores import writing

    edit = _Edit(**options)
    with writing(store) as db:
        if edit.does_something:
            with db.subscriptions.edit() as edited:
                edit.perform(edited)
        latest = db.subscriptions.latest
        items = [
            {"class": each.class_name, "query": each.query, "name": each.name}
            for each in latest.subscriptions
        ]
        outcome = {
            "version": latest.version,
            "state": latest.state.name.lower(),
            "message": latest.message,
            "active": db.subscriptions.active.version,
            "subscriptions": items,
        }
        _print(outcome, as_json)


@dataclass(frozen=True, slots=True)
class _Edit:
    """What the options ask for."""

    class_name: str | None
    query: str | None
    name: str | None
    remove: str | None
    unsubscribe: bool
    clear: bool
    clear_unnamed: bool

    def __post_init__(self) -> None:
        if self.class_name is None and self.name is not None:
            raise UsageError("--name names the subscription to a CLASS: give the class too")
        if self.unsubscribe and self.class_name is None:
            raise UsageError("--unsubscribe ends the subscription to a CLASS: give the class too")
        if self.unsubscribe and self.name is not None:
            raise UsageError(f"to end a subscription by its name, give --remove {self.name!r}")

    @property
    def does_something(self) -> bool:
        return bool(self.clear or self.clear_unnamed or self.remove is not None or self.class_name)

    def perform(self, edited: MutableSubscriptions) -> None:
        """Do it.

        Raises:
            UsageError: what is to be removed is not there.
        """
        if self.clear or self.clear_unnamed:
            edited.clear(named=self.clear)
        if self.remove is not None and not edited.remove(self.remove):
            known = ", ".join(repr(s.name) for s in edited.subscriptions if s.name) or "none"
            raise UsageError(f"no subscription is named {self.remove!r}; there are {known}")
        if self.unsubscribe:
            self._end(edited)
        elif self.class_name is not None:
            edited.add(self.class_name, self.query or "TRUEPREDICATE", name=self.name)

    def _end(self, edited: MutableSubscriptions) -> None:
        assert self.class_name is not None
        if self.query is None:
            removed = edited.remove_class(self.class_name)
        else:
            removed = edited.remove_query(self.class_name, self.query, named=True)
        if not removed:
            asked = f"{self.class_name} {self.query or ''}".rstrip()
            raise UsageError(f"no subscription is to {asked!r}")


def _print(outcome: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(outcome)
        return
    for each in outcome["subscriptions"]:
        name = f"{each['name']}: " if each["name"] else ""
        click.echo(printable(f"{name}{each['class']} where {each['query']}"))
    if not outcome["subscriptions"]:
        click.echo("no subscriptions: the server sends nothing")
    if outcome["state"] == "error":
        message = f"the server can't serve them: {outcome['message']}"
        remark(printable(f"{message}; set {outcome['active']} stays active"))
    elif outcome["version"] != outcome["active"]:
        click.echo("pending until the next `replication sync`")
