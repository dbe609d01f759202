"""`replication api-key`: keys with which programs act for a user; see `net.api_keys`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replication.cli.output import print_json, printable, remark
from replication.errors import UsageError

if TYPE_CHECKING:
    from replication.net.api_keys import ApiKeys

_DIRECTORY = click.argument(
    "directory",
    metavar="PATH",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("api-key")
def command() -> None:
    """Make, list and remove the API keys of a server.

    The server of the directory PATH takes them with `replication serve PATH --api-keys`, also while
    it runs. What is removed ends the sessions it opened.

    \b
    Example:
      replication api-key create data --user importer
    """


@command.command("create")
@_DIRECTORY
@click.option("--user", required=True, help="Whom the program acts for.")
@click.option("--custom-data", metavar="JSON", help="What rules may ask about that user.")
@_JSON
def create(directory: Path, user: str, custom_data: str | None, as_json: bool) -> None:
    """Make a key and print its token, which is stored nowhere.

    \b
    Example:
      replication api-key create data --user importer
    """
    token = _keys(directory).create(user, _object(custom_data))
    if as_json:
        print_json({"token": token, "id": token.split(":")[1], "user": user})
    else:
        click.echo(token)
        remark("this is the only time it is shown")


@command.command("list")
@_DIRECTORY
@_JSON
def show(directory: Path, as_json: bool) -> None:
    """Print the keys there are, without their secrets."""
    for name, key in _keys(directory).all.items():
        if as_json:
            print_json({"id": name, "user": key.user, "custom_data": key.custom_data})
        else:
            click.echo(f"{printable(name)}  {printable(key.user)}")


@command.command("remove")
@_DIRECTORY
@click.argument("key", metavar="ID")
def remove(directory: Path, key: str) -> None:
    """Remove the key ID; the sessions it opened end."""
    _keys(directory).remove(key)


def _keys(directory: Path) -> ApiKeys:
    from replication.net.api_keys import FILE_NAME, ApiKeys

    return ApiKeys(directory / FILE_NAME)


def _object(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--custom-data {text!r:.80} is no JSON: {error}") from None
    if type(found) is not dict:
        raise UsageError(f"--custom-data {text!r:.80} is no JSON object")
    return found
