"""`replication revoke`: users and tokens that are not welcome any more; see `net.revocations`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replication.cli.output import moment, print_json, printable
from replication.errors import UsageError

if TYPE_CHECKING:
    from replication.net.revocations import Revocations


@click.command("revoke")
@click.argument(
    "directory", metavar="PATH", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--user", help="Let this user in no more.")
@click.option("--tokens-of", help="Let this user in with tokens issued from now on only.")
@click.option("--token", metavar="JTI", help="Let the token in no more whose 'jti' this is.")
@click.option("--undo", is_flag=True, help="Let them in again.")
@click.option("--json", "as_json", is_flag=True, help="Print what is revoked as JSON.")
def command(
    directory: Path,
    user: str | None,
    tokens_of: str | None,
    token: str | None,
    undo: bool,
    as_json: bool,
) -> None:
    """Let a user or a token in no more, at the server of the directory PATH.

    Their sessions end within seconds, and what they have not uploaded stays in their files. API
    keys are removed with `replication api-key remove`. Prints what is revoked.

    \b
    Examples:
      replication revoke data --user mallory
      replication revoke data --tokens-of ada
      replication revoke data --user mallory --undo
    """
    from replication.net.revocations import FILE_NAME, Revocations

    if sum(given is not None for given in (user, tokens_of, token)) > 1:
        raise UsageError("give one of --user, --tokens-of and --token")
    revocations = Revocations(directory / FILE_NAME)
    name = user if tokens_of is None else tokens_of
    if undo:
        revocations.restore(name, token)
    elif tokens_of is not None:
        revocations.revoke_user(tokens_of, int(time.time()))
    elif user is not None:
        revocations.revoke_user(user)
    elif token is not None:
        revocations.revoke_token(token)
    _print(revocations, as_json)


def _print(revocations: Revocations, as_json: bool) -> None:
    if as_json:
        print_json({"users": revocations.users, "tokens": sorted(revocations.tokens)})
        return
    for user, since in revocations.users.items():
        what = "everything" if since is True else f"tokens issued up to {moment(since)}"
        click.echo(f"{printable(user)}: {what}")
    for token in sorted(revocations.tokens):
        click.echo(f"token {printable(token)}")
