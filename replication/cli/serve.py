"""`replication serve`: a directory of namespaces, served to devices.

Rule 1: whom it lets in is decided in `identity`.
Rule 2: a namespace is a file `NAME.db` of the directory. In development mode clients make them;
        otherwise whoever starts the server does, with --namespace.
Rule 3: SIGTERM and SIGINT end it gracefully, with exit status 0.
Rule 4: the process is the server's alone, and set up for that; see `net.process`.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import click

from replication.cli.identity import Doors, Identity, doors, identity_options
from replication.cli.output import print_json, printable, remark
from replication.errors import ErrorCode, SchemaError, SessionError, UsageError

if TYPE_CHECKING:
    import ssl

    from replication.model.schema import Schema
    from replication.net.rules_file import RulesFile
    from replication.net.server import Place
    from replication.server.host import Host
    from replication.server.partitions import Partitions
    from replication.server.queryable import Queryable
    from replication.storage.contract import Store

T = TypeVar("T")

_PORT: Final = 7700
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("serve")
@click.argument("directory", metavar="PATH", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--listen",
    default=f"127.0.0.1:{_PORT}",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to listen; port 0 takes any that is free.",
)
@click.option("--namespace", "namespaces", multiple=True, help="Make this data set, if need be.")
@identity_options
@click.option("--tls-cert", type=_FILE, help="Serve wss with this certificate chain, in PEM.")
@click.option("--tls-key", type=_FILE, help="Its private key.")
@click.option(
    "--schema",
    type=_FILE,
    help="What data must look like, as `replication inspect STORE schema --json` prints it.",
)
@click.option(
    "--connections",
    type=click.IntRange(min=1),
    help="How many connections there may be, each an open file. [default: 10000]",
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Let web pages of this origin connect, https://app.example; * for all. [default: pages of "
    "this machine]",
)
@click.option(
    "--queryable",
    type=_FILE,
    help="What subscriptions may ask for, in JSON; read again whenever it changes.",
)
@click.option(
    "--partitions",
    type=_FILE,
    help="The property that cuts data sets, in JSON; read again whenever it changes.",
)
@click.option(
    "--strict-view",
    is_flag=True,
    help="Refuse what is written outside of a device's subscriptions.",
)
@click.option(
    "--rules",
    type=_FILE,
    help="Who may read and write what; see `replication rules`. Read again when it changes.",
)
@click.option(
    "--functions",
    metavar="MODULE",
    help="The Python module whose public functions %function calls.",
)
@click.option("--verbose", is_flag=True, help="Log connections, too.")
@click.option("--json", "as_json", is_flag=True, help="Print where it listens as JSON.")
@click.option("--stop-with-stdin", is_flag=True, help="End when stdin is closed, too.")
@click.option(
    "--message-bytes",
    type=click.IntRange(min=1),
    help="Begin another message of a download past that size; for experiments.",
)
@click.option(
    "--message-entries",
    type=click.IntRange(min=1),
    help="Look at no more entries of the log for one message; for experiments.",
)
def command(directory: Path, listen: str, **options: Any) -> None:
    """Serve the data sets in PATH, a directory, to devices.

    Prints the address it listens at, and serves until it is interrupted. Give --development to
    try it out; otherwise keys, --jwks for example, and --rules: without them nobody may read or
    write anything.

    \b
    Examples:
      replication serve data --development
      replication serve data --namespace books --jwks keys.json --audience books \\
          --rules rules.json --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem
    """
    identity = Identity.taken(options)
    settings = Settings(directory, *_place(listen), identity, **options)
    logging.basicConfig(
        level=logging.INFO if settings.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    _serve(settings)


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of the command."""

    directory: Path
    listen_host: str
    port: int
    identity: Identity
    namespaces: tuple[str, ...]
    tls_cert: Path | None
    tls_key: Path | None
    schema: Path | None
    connections: int | None
    origins: tuple[str, ...]
    queryable: Path | None
    partitions: Path | None
    strict_view: bool
    rules: Path | None
    functions: str | None
    verbose: bool
    as_json: bool
    stop_with_stdin: bool
    message_bytes: int | None
    message_entries: int | None


def _place(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--listen {listen!r} is not HOST:PORT, as in 127.0.0.1:{_PORT}")
    return host.removeprefix("[").removesuffix("]"), int(port)


# -- what the options mean -------------------------------------------------------------------------
def _tls(settings: Settings) -> ssl.SSLContext | None:
    import ssl

    if settings.tls_cert is None and settings.tls_key is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        raise UsageError("--tls-cert and --tls-key go together")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(f"{settings.tls_cert}, {settings.tls_key}: {error}") from None
    return context


def _schema(settings: Settings) -> Schema | None:
    from replication.model.json_schema import from_json_schema

    path = settings.schema
    if path is None:
        return None
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no JSON: {error}") from None
    if type(found) is not dict or "schemas" not in found:
        raise UsageError(f'{path} is no schema: {{"schemas": {{...}}, "relationships": {{...}}}}')
    try:
        return from_json_schema(found["schemas"], found.get("relationships", {}))
    except SchemaError as error:
        raise UsageError(f"{path}: {error}") from None


class _Configured(Generic[T]):
    """Something that the operator configures in a file, as it stands there by now.

    Args:
        path: the file; None: nothing is configured.
        read: makes it of JSON. Raises SchemaError.
    """

    def __init__(self, path: Path | None, read: Callable[[Any], T]) -> None:
        from replication.net.watched import WatchedFile

        self._read = read
        self.found: T | None = None
        self.files = [] if path is None else [WatchedFile(path, self._take)]

    def of(self, _name: str) -> T | None:
        """That of a namespace."""
        return self.found

    def _take(self, data: bytes) -> None:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"no JSON: {error}") from None
        self.found = self._read(found)


@dataclass(slots=True)
class _Cuts:
    """What may be asked for, and how data sets are cut into partitions.

    Attributes:
        opened: knows how those are cut that are open, once there are any.
    """

    queryable: _Configured[Queryable]
    partitions: _Configured[Partitions]
    opened: Host | None = None

    def keys(self) -> dict[str, str]:
        """The partition keys of data sets, by name; what is configured is for all of them."""
        found = {} if self.opened is None else self.opened.partitions()
        if self.partitions.found is not None:
            found["--partitions"] = self.partitions.found
        return {name: each.key for name, each in found.items()}

    @classmethod
    def of(cls, settings: Settings) -> _Cuts:
        from replication.server.partitions import Partitions
        from replication.server.queryable import Queryable

        return cls(
            _Configured(settings.queryable, Queryable.from_json),
            _Configured(settings.partitions, Partitions.from_json),
        )


class _Files:
    """The files of the namespaces. Rule 2."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def make(self) -> None:
        """Make the directory, and the namespaces that were asked for."""
        from replication.server.host import check_name

        self._settings.directory.mkdir(parents=True, exist_ok=True)
        for name in self._settings.namespaces:
            check_name(name)

    def open(self, name: str) -> Store:
        """The store of a namespace whose name was checked."""
        from replication.crdt.view import query_values
        from replication.storage.sqlite import SQLiteStore

        path = self._settings.directory / f"{name}.db"
        asked = self._settings.identity.development or name in self._settings.namespaces
        if not asked and not path.exists():
            raise SessionError(ErrorCode.BAD_NAMESPACE, f"there is no namespace {name!r} here")
        return SQLiteStore(path, query_values)


def _functions(settings: Settings) -> dict[str, Any]:
    if settings.functions is None:
        return {}
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(settings.functions)
    except ImportError as error:
        raise UsageError(f"--functions {settings.functions}: {error}") from None
    found = vars(module).items()
    return {name: each for name, each in found if callable(each) and not name.startswith("_")}


def _rules(settings: Settings, cuts: _Cuts) -> RulesFile | None:
    from replication.net.rules_file import RulesFile

    if settings.rules is None:
        return None
    schema = None if settings.identity.development else _schema(settings)
    functions = _functions(settings)
    return RulesFile(settings.rules, functions=functions, schema=schema, keys=cuts.keys)


def _host(settings: Settings, doors: Doors, cuts: _Cuts, rules: RulesFile | None) -> Host:
    from replication.clock import ms_from_unix
    from replication.limits import DOWNLOAD_BYTES_TARGET, DOWNLOAD_ENTRIES_MAX
    from replication.server.host import Host

    schema = _schema(settings)
    log = logging.getLogger(__name__)
    files = _Files(settings)
    files.make()
    return Host(
        files.open,
        doors.tokens,
        entropy=lambda: secrets.randbits(63),
        wall_ms=lambda: ms_from_unix(time.time()),
        schema=lambda _name: schema,
        development=settings.identity.development,
        queryable=cuts.queryable.of,
        partitions=cuts.partitions.of,
        strict_view=settings.strict_view,
        report=lambda error: log.error("a session failed", exc_info=error),
        revoked=doors.tokens.revoked,
        custom_data=doors.custom_data,
        rules=None if rules is None else lambda _name: rules.rules,
        bytes_target=settings.message_bytes or DOWNLOAD_BYTES_TARGET,
        entries_max=settings.message_entries or DOWNLOAD_ENTRIES_MAX,
    )


# -- serving ---------------------------------------------------------------------------------------
def _serve(settings: Settings) -> None:
    import trio

    tls = _tls(settings)
    let_in = doors(settings.identity, settings.directory)
    cuts = _Cuts.of(settings)
    rules = _rules(settings, cuts)
    host = _host(settings, let_in, cuts, rules)
    with ExitStack() as stack:
        stack.callback(host.close)
        for name in settings.namespaces:
            host.namespace(name)
        cuts.opened = host
        if rules is not None:
            rules.check()
        _settle(settings)
        trio.run(_until_told, settings, host, tls, let_in, cuts, rules)


def _settle(settings: Settings) -> None:
    from replication.limits import CONNECTIONS_MAX
    from replication.net.process import settle

    files, most = settle(), settings.connections or CONNECTIONS_MAX
    if 0 <= files < most:  # unlimited is less than 0
        log = logging.getLogger(__name__)
        log.warning("there may be %d connections, but only %d open files: ulimit -n", most, files)


async def _until_told(
    settings: Settings,
    host: Host,
    tls: ssl.SSLContext | None,
    let_in: Doors,
    cuts: _Cuts,
    rules: RulesFile | None,
) -> None:
    import trio

    from replication.limits import CONNECTIONS_MAX
    from replication.net.control import serve_control
    from replication.net.origins import Origins
    from replication.net.server import serve
    from replication.net.watched import watch

    serving = partial(
        serve,
        host,
        listen_host=settings.listen_host,
        port=settings.port,
        ssl_context=tls,
        connections_max=settings.connections or CONNECTIONS_MAX,
        origins=Origins(settings.origins),
    )
    failure: UsageError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_on_signal, nursery.cancel_scope)
        nursery.start_soon(watch, let_in.files, host.end_revoked)
        nursery.start_soon(serve_control, settings.directory, partial(_asked, settings, host))
        files = [*cuts.queryable.files, *cuts.partitions.files]
        nursery.start_soon(watch, files, partial(_reconfigure, host))
        if rules is not None:
            nursery.start_soon(watch, [rules.file], host.rules_changed)
        try:
            _announce(settings, await nursery.start(serving))
        except UsageError as error:  # which must not leave wrapped in the nursery's group
            failure = error
            nursery.cancel_scope.cancel()
        if settings.stop_with_stdin:
            await trio.to_thread.run_sync(_drain_stdin, abandon_on_cancel=True)
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _reconfigure(host: Host) -> None:
    try:
        host.configuration_changed()
    except UsageError as error:
        logging.getLogger(__name__).warning("not all of the files was taken over: %s", error)


def _asked(settings: Settings, host: Host, request: dict[str, Any]) -> dict[str, Any]:
    """What commands ask of a running server; see `net.control`."""
    name = request.get("forget")
    if len(request) != 1 or type(name) is not str:
        raise UsageError(f"nothing that can be asked of a server: {', '.join(request)}")
    if not (settings.directory / f"{name}.db").exists():
        raise UsageError(f"there is no namespace {name!r} here")
    return {"horizon": host.forget(name)}


def _drain_stdin() -> None:
    # Not through `sys.stdin`: a thread that sits in there stops the interpreter from ending.
    while os.read(0, 65536):
        pass


async def _end_on_signal(scope: Any) -> None:
    import trio

    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()


def _announce(settings: Settings, places: list[Place]) -> None:
    scheme = "ws" if settings.tls_cert is None else "wss"
    host, port = places[0]
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    if settings.as_json:
        print_json(
            {
                "url": url,
                "path": str(settings.directory),
                "development": settings.identity.development,
            }
        )
    else:
        click.echo(f"serving {printable(str(settings.directory))} at {url}")
    sys.stdout.flush()
    if settings.identity.development:
        remark("development mode: everybody is let in as whoever they say, and may add to schemas")
    elif settings.rules is None:
        remark("no rules: nobody may read or write anything; give --rules")
