"""What commands ask of a running server: real processes, a real socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from pathlib import Path

import pytest
from test_cli_identity import said, watching
from test_cli_serve import serving, started

from replication.crdt.view import query_values
from replication.errors import UsageError
from replication.net.control import FILE_NAME, ask
from replication.server.tables import Ledger, store_ledger
from replication.storage.sqlite import SQLiteStore
from tests.command_line import ok, refused


def namespace(folder: Path) -> Path:
    """A namespace that was used before."""
    store = SQLiteStore(folder / "books.db", query_values)
    with store.write() as writer:
        store_ledger(writer, Ledger())
    store.close()
    return folder / "books.db"


def test_a_namespace_is_forgotten_while_it_is_served(tmp_path: Path) -> None:
    """It used to be refused: the server's lock kept the command out. Devices pass the horizon."""
    (tmp_path / "books.jsonl").write_text('{"_id": 1, "title": "Emma"}\n')
    store, folder = tmp_path / "ada.db", tmp_path / "served"
    ok("import", tmp_path / "books.jsonl", "--into", store, "--class", "Book")
    with serving(folder, "--development") as url:
        where = ("sync", store, "--url", url, "--namespace", "books", "--token", "dev:ada")
        assert stat.S_IMODE((folder / FILE_NAME).stat().st_mode) == 0o600
        with watching(*where) as client:
            horizon = ok("forget", folder / "books.db", "--json").json["horizon"]
            assert f"at server version {horizon}" in said(client, f"version {horizon}")
            assert "is forgotten" in ok("forget", folder / "books.db").out
        assert ok(*where, "--json").json["cursor"] == horizon + 1
        with pytest.raises(UsageError, match="there is no namespace 'nix'"):
            ask(folder, forget="nix")
        for request in ({"forget": 7}, {"fly": "away"}, {}, {"forget": "books", "x": 1}):
            with pytest.raises(UsageError, match="nothing that can be asked"):
                ask(folder, **request)
        # Whatever comes over the socket is answered, or not: the server goes on.
        for line in (b"", b"\n", b"[" * 100_000 + b"\n", b"\xff\n", b"[]\n", b"x" * 10):
            with socket.socket(socket.AF_UNIX) as client_socket:
                client_socket.connect(str(folder / FILE_NAME))
                client_socket.sendall(line)
                client_socket.shutdown(socket.SHUT_WR)
                assert "error" in json.loads(client_socket.makefile("rb").readline())
        assert ok("forget", folder / "books.db", "--json").json["horizon"] == horizon + 2
    assert not (folder / FILE_NAME).exists()
    assert ask(folder, forget="books") is None
    assert ok("forget", folder / "books.db", "--json").json["horizon"] == horizon + 3


def test_a_server_that_was_killed_leaves_a_socket_that_the_next_one_takes(tmp_path: Path) -> None:
    path = namespace(tmp_path)
    process = started("serve", tmp_path, "--development", "--listen=127.0.0.1:0", "--json")
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    assert (tmp_path / FILE_NAME).exists()
    assert ask(tmp_path, forget="x") is None
    with (
        serving(tmp_path, "--development", "--namespace", "books"),
        # A second server of the directory leaves the socket to the first.
        serving(tmp_path, "--development"),
    ):
        assert ok("forget", path, "--json").json["horizon"] == 1
    assert not (tmp_path / FILE_NAME).exists()


def test_what_another_process_holds_is_not_forgotten(tmp_path: Path) -> None:
    path = namespace(tmp_path)
    store = SQLiteStore(path, query_values)
    try:
        assert "can't be asked to forget" in refused("forget", path)
    finally:
        store.close()


def test_a_directory_that_has_something_else_there_is_served_all_the_same(tmp_path: Path) -> None:
    path = namespace(tmp_path)
    (tmp_path / FILE_NAME).mkdir()
    with serving(tmp_path, "--development", "--namespace", "books"):
        assert "can't be asked" in refused("forget", path)
    assert os.listdir(tmp_path / FILE_NAME) == []
