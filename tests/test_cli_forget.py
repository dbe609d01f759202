"""`replication forget`."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from replication.cli.forget import command
from replication.crdt.view import query_values
from replication.errors import UsageError
from replication.net.local import open_database
from replication.server.tables import Ledger, load_ledger, store_ledger
from replication.storage.sqlite import SQLiteStore


def test_a_namespace_is_forgotten(tmp_path: Path) -> None:
    """UP-9: each run is a horizon of its own."""
    path = tmp_path / "library.db"
    store = SQLiteStore(path, query_values)
    with store.write() as writer:
        store_ledger(writer, Ledger())
    store.close()
    for version in (1, 2):
        result = CliRunner().invoke(command, [str(path)], catch_exceptions=False)
        assert result.output == f"What was dead at server version {version} is forgotten.\n"
    store = SQLiteStore(path, query_values, read_only=True)
    with store.read() as reader:
        assert load_ledger(reader).horizon == 2
    store.close()


def test_a_client_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "client.db"
    open_database(path).close()
    result = CliRunner().invoke(command, [str(path)])
    assert isinstance(result.exception, UsageError)
