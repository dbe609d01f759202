"""`replication forget`: everything dead in a namespace is forgotten; see `spec/forgetting.md`."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import click

from replication.cli.output import print_json
from replication.cli.stores import snapshot, store_argument
from replication.errors import StoreBusyError, UsageError


@click.command("forget")
@store_argument
@click.option("--json", "as_json", is_flag=True, help="Print the horizon as JSON.")
def command(store: str, as_json: bool) -> None:
    """Forget what is dead in STORE, a namespace; a server that has it open is asked to.

    Deletions are remembered for devices that have not seen them. Those that were away come to no
    harm: they fit what they have pending to what is left. Each object shrinks when it is next
    written to.

    \b
    Example:
      replication forget data/library.db
    """
    with snapshot(store) as held:
        if held.kind != "namespace":
            raise UsageError(f"{store} is no namespace of a server, so nothing is forgotten in it")
    try:
        horizon = _forget(store)
    except StoreBusyError:
        horizon = _asked_of_server(Path(store))
    if as_json:
        print_json({"horizon": horizon})
    else:
        click.echo(f"What was dead at server version {horizon} is forgotten.")


def _forget(store: str) -> int:
    from replication.clock import ms_from_unix
    from replication.crdt.view import query_values
    from replication.server.namespace import Namespace
    from replication.storage.sqlite import SQLiteStore

    opened = SQLiteStore(store, query_values)
    try:
        namespace = Namespace(
            opened,
            entropy=lambda: secrets.randbits(63),
            wall_ms=lambda: ms_from_unix(time.time()),
        )
        with opened.write() as writer:
            return namespace.forget(writer)
    finally:
        opened.close()


def _asked_of_server(path: Path) -> int:
    """Raises StoreBusyError where it is no server that holds the store."""
    from replication.net.control import ask

    answer = ask(path.parent, forget=path.name.removesuffix(".db"))
    if answer is None:
        raise StoreBusyError(
            f"{path} is open for writing in a process that can't be asked to forget: close it there"
        )
    horizon: int = answer["horizon"]
    return horizon
