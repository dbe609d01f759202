"""`replication sync`: a client file brought in step with a server, once or for good."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from replication.cli.output import count, duration, print_json, printable, remark
from replication.errors import Action, SessionError, UsageError

if TYPE_CHECKING:
    from replication.client.database import Database
    from replication.client.left import LeftView
    from replication.client.progress import DownloadProgress
    from replication.net.facade import Sync

#: Seconds between looks at how a session stands.
_LOOK_S: Final = 1.0


def server_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which server, which data set and who the user is."""
    for option in reversed(
        (
            click.option("--url", required=True, help="The server: ws://HOST:PORT or wss://..."),
            click.option("--namespace", required=True, help="The data set at the server."),
            click.option(
                "--token",
                envvar="REPLICATION_TOKEN",
                help="Who you are; at a development server dev:NAME. Default: $REPLICATION_TOKEN.",
            ),
            click.option(
                "--token-file",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="Read the token from a file, again whenever one is needed.",
            ),
            click.option(
                "--ca",
                type=click.Path(exists=True, dir_okay=False),
                help="Certificates to trust with wss, in place of the system's.",
            ),
        )
    ):
        function = option(function)
    return function


@click.command("sync")
@click.argument("store", type=click.Path(exists=True, dir_okay=False))
@server_options
@click.option("--timeout", default=60.0, show_default=True, help="Give up after that many seconds.")
@click.option("--progress", is_flag=True, help="Say on stderr how far a long download is.")
@click.option("--watch", is_flag=True, help="Stay connected until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(
    store: str,
    url: str,
    namespace: str,
    token: str | None,
    token_file: Path | None,
    ca: str | None,
    timeout: float,
    progress: bool,
    watch: bool,
    as_json: bool,
) -> None:
    """Synchronise STORE, a client file, with a server.

    Uploads what waits in it, downloads what it subscribes to, and ends when both are in step:
    see `replication subscribe`.

    \b
    Example:
      replication sync books.db --url ws://localhost:7700 --namespace books --token dev:ada
    """
    from replication.cli.stores import writing
    from replication.model.notation import to_json

    started = time.monotonic()
    with writing(store) as db, connected(db, url, namespace, token, token_file, ca) as sync:
        before = db.synced.acknowledged
        left: list[LeftView] = []
        db.on_left_view(left.extend)
        received = _Received(db, said=progress, as_json=as_json)
        in_step(sync, url, timeout)
        outcome = {
            "uploaded": db.synced.acknowledged - before,
            "cursor": db.synced.cursor,
            "downloaded": received.total,
            "left_view": [
                {"class": each.class_name, "key": to_json(each.key), "client_version": each[2]}
                for each in left
            ],
            "refusals": len(db.refusals()),
            "seconds": round(time.monotonic() - started, 3),
        }
        _print(outcome, as_json)
        if watch:
            _watch(db, sync)


class _Received:
    """Counts what long downloads and new subscription sets bring, and says so if asked to."""

    def __init__(self, db: Database, *, said: bool, as_json: bool) -> None:
        self._before = db.progress
        self._said = said
        self._as_json = as_json
        self.total = {"objects": 0, "bytes": 0}
        db.on_progress(self._tell)

    def _tell(self, now: DownloadProgress) -> None:
        before = self._before
        if before.query_version != now.query_version or before.objects > now.objects:
            before = now._replace(objects=0, bytes=0)
        self._before = now
        self.total["objects"] += now.objects - before.objects
        self.total["bytes"] += now.bytes - before.bytes
        if not self._said:
            return
        if self._as_json:
            click.echo(json.dumps({"progress": now._asdict()}), err=True)
        else:
            share = f"{100 * now.fraction:.0f} %"
            remark(f"downloading: {share}, {count(now.objects, 'object')}, {now.bytes:,} bytes")


def connected(
    db: Database,
    url: str,
    namespace: str,
    token: str | None,
    token_file: Path | None,
    ca: str | None,
) -> Sync:
    """A `Sync` as the options describe it, for a `with` statement.

    Raises:
        UsageError: no token, or an address that is none.
    """
    import ssl

    from replication.net.facade import Sync

    if token is None and token_file is None:
        raise UsageError("say who you are with --token or --token-file; dev:NAME in development")
    given = token if token_file is None else lambda: token_file.read_text().strip()
    assert given is not None
    context = None if ca is None else ssl.create_default_context(cafile=ca)
    return Sync(db, url, namespace, given, ssl_context=context)


def in_step(sync: Sync, url: str, timeout: float) -> None:
    """Wait until everything is uploaded and everything subscribed to is here.

    Raises:
        UsageError: not within ``timeout`` seconds.
        SubscriptionError: the server can't serve a subscription.
        SessionError: the server does not want it.
    """
    patience = _Patience(sync, url, timeout)
    patience.wait(sync.wait_for_upload)
    patience.wait(sync.wait_for_download)
    patience.wait(lambda left: sync.wait_for_subscriptions(timeout=left))


class _Patience:
    """Waits for a server, looking up now and then whether it still makes sense."""

    def __init__(self, sync: Sync, url: str, timeout: float) -> None:
        self._sync = sync
        self._url = url
        self._timeout = timeout
        self._ends = time.monotonic() + timeout
        self._told = False

    def wait(self, wait: Callable[[float], object]) -> None:
        while True:
            left = self._ends - time.monotonic()
            try:
                wait(max(0.0, min(left, _LOOK_S)))
            except TimeoutError:
                self._look(left)
            else:
                return

    def _look(self, left: float) -> None:
        error = self._sync.status.error
        if isinstance(error, SessionError) and error.code.action is Action.REFRESH_TOKEN:
            raise error  # it was asked for once more already; there is nobody to ask for another
        reason = "it takes longer" if error is None else str(error)
        if left <= 0:
            raise UsageError(f"{self._url} is not in step within {self._timeout:g} s: {reason}")
        if error is not None and not self._told:
            remark(printable(f"{self._url}: {reason}; trying for {left:.0f} s more"))
            self._told = True


def _watch(db: Database, sync: Sync) -> None:
    from replication.net.client import SyncState

    remark("watching; Ctrl-C ends it")
    cursor, status = db.synced.cursor, sync.status
    try:
        while True:
            time.sleep(_LOOK_S)
            if sync.status != status:
                status = sync.status
                remark(printable(f"{status.state.value} {status.error or ''}".rstrip()))
            if db.synced.cursor != cursor:
                cursor = db.synced.cursor
                remark(f"at server version {cursor:,}")
            if status.state is SyncState.STOPPED:
                raise status.error or UsageError("the session was stopped")
    except KeyboardInterrupt:
        return


def _print(outcome: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(outcome)
        return
    click.echo(
        f"{count(outcome['uploaded'], 'changeset')} uploaded; in step at server version "
        f"{outcome['cursor']:,} after {duration(outcome['seconds'])}."
    )
    if outcome["left_view"]:
        went = count(len(outcome["left_view"]), "object went", "objects went")
        remark(
            f"{went} to the server and from here: no subscription of this file sees what it wrote"
        )
    if outcome["refusals"]:
        refused = count(outcome["refusals"], "write was", "writes were")
        remark(printable(f"{refused} refused: see `replication journal STORE`"))
