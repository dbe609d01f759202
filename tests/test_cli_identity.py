"""Who a server lets in, and lets in no more: real processes, real tokens, real sockets."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from test_cli_serve import serving, started

from tests.command_line import ok, refused

SECRET = "0123456789abcdef0123456789abcdef"


def token(**claims: Any) -> str:
    body = {"sub": "ada", "exp": int(time.time()) + 600, **claims}
    return jwt.encode(body, SECRET, algorithm="HS256")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A served directory, beside the key its server is given."""
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "served").mkdir()
    return tmp_path / "served"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "books.jsonl").write_text('{"_id": 1, "title": "Emma"}\n')
    ok("import", tmp_path / "books.jsonl", "--into", tmp_path / "ada.db", "--class", "Book")
    return tmp_path / "ada.db"


def sync(store: Path, url: str) -> tuple[object, ...]:
    return ("sync", store, "--url", url, "--namespace", "books", "--token")


@contextmanager
def watching(*command: object) -> Iterator[subprocess.Popen[bytes]]:
    """`replication sync --watch`, once it is in step."""
    process = started(*command, "--watch")
    assert process.stdout is not None
    try:
        assert b"in step" in process.stdout.readline()
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def said(process: subprocess.Popen[bytes], what: str) -> str:
    """The line of its remarks that says something."""
    assert process.stderr is not None
    for line in process.stderr:
        if what.encode() in line:
            return line.decode()
    raise AssertionError(f"it ended without {what!r}")


def test_a_user_who_is_revoked_is_out_while_they_are_connected(folder: Path, store: Path) -> None:
    """IDENTITY-7"""
    keyed = ("--jwt-secret-file", folder.parent / "secret", "--namespace", "books")
    with serving(folder, *keyed) as url:
        old = token(iat=int(time.time()) - 60, jti="seven")
        with watching(*sync(store, url), old) as client:
            ok("revoke", folder, "--tokens-of", "ada")
            assert "were revoked" in said(client, "token_invalid")
        assert "were revoked" in refused(*sync(store, url), old)
        fresh = token(iat=int(time.time()) + 5, jti="eight")
        ok(*sync(store, url), fresh)
        ok("revoke", folder, "--token", "eight")
        assert "token eight was revoked" in refused(*sync(store, url), fresh, "--timeout", 3)
        ok("revoke", folder, "--token", "eight", "--undo")
        listed = ok("revoke", folder, "--json").json
        assert (list(listed["users"]), listed["tokens"]) == (["ada"], [])
    # It holds after a restart, too.
    ok("revoke", folder, "--user", "ada")
    assert ok("revoke", folder).out == "ada: everything\n"
    with serving(folder, *keyed) as url:
        assert "user ada was revoked" in refused(*sync(store, url), token())
    assert "was not revoked" in refused("revoke", folder, "--user", "bob", "--undo")
    assert "give one of" in refused("revoke", folder, "--user", "bob", "--token", "x")


def test_api_keys_and_anonymous_users(folder: Path, store: Path, tmp_path: Path) -> None:
    with serving(folder, "--api-keys", "--anonymous", "--namespace", "books") as url:
        made = ok("api-key", "create", folder, "--user", "importer", "--custom-data", '{"a": 1}')
        key = made.out.strip()
        assert "only time" in made.err
        ok(*sync(store, url), key, "--timeout", 20)
        (listed,) = ok("api-key", "list", folder, "--json").lines
        assert (listed["user"], listed["custom_data"]) == ("importer", {"a": 1})
        assert key.split(":")[2] not in json.dumps(listed)
        assert "importer" in ok("api-key", "list", folder).out
        with watching(*sync(store, url), key) as client:
            ok("api-key", "remove", folder, listed["id"])
            assert "API key" in said(client, "token_invalid")
        assert "token_invalid" in refused(*sync(store, url), key)
        other = tmp_path / "other.db"
        ok("import", tmp_path / "books.jsonl", "--into", other, "--class", "Book")
        ok(*sync(other, url), "anonymous:" + "s" * 40)
        assert "development mode" in refused(*sync(other, url), "dev:ada")
    users = {row["user"] for row in ok("inspect", folder / "books.db", "cursors", "--json").lines}
    assert {user.partition(":")[0] for user in users} == {"importer", "anonymous"}
    assert "there is no API key 'x'" in refused("api-key", "remove", folder, "x")
    assert "is no JSON" in refused("api-key", "create", folder, "--user", "u", "--custom-data", "{")
    assert "no JSON object" in refused(
        "api-key", "create", folder, "--user", "u", "--custom-data", "[]"
    )


AUTHENTICATOR = """
from replication.errors import ErrorCode, SessionError
from replication.server.users import User

def check(token):
    if token != "open sesame":
        raise SessionError(ErrorCode.TOKEN_INVALID, "a wrong word")
    return User("ali")
"""


def test_an_authenticator_of_ones_own(
    folder: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cave.py").write_text(AUTHENTICATOR)
    monkeypatch.chdir(tmp_path)
    with serving(folder, "--authenticator", "cave:check", "--namespace", "books") as url:
        assert "a wrong word" in refused(*sync(store, url), "open")
        ok(*sync(store, url), "open sesame")
    assert ok("inspect", folder / "books.db", "cursors", "--json").json["user"] == "ali"


def test_the_development_mode_says_so_at_start(folder: Path) -> None:
    """IDENTITY-1"""
    process = started("serve", folder, "--development", "--listen=127.0.0.1:0")
    assert process.stderr is not None
    try:
        assert b"everybody is let in as whoever they say" in process.stderr.readline()
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_who_is_refused_is_logged(folder: Path, store: Path) -> None:
    process = started(
        "serve", folder, "--development", "--namespace", "books", "--listen=127.0.0.1:0", "--json"
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        url = json.loads(process.stdout.readline())["url"]
        refused(*sync(store, url), "nobody\nERROR forged line")
    finally:
        process.terminate()
        _, log = process.communicate(timeout=20)
    (line, *_) = [line for line in log.decode().splitlines() if "token_invalid" in line]
    assert "WARNING" in line
    assert "127.0.0.1 port" in line
