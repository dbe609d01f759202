"""`replication serve`, `sync` and `subscribe`, with real processes."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from replication.cli.serve import _settle
from replication.crdt.view import query_values
from replication.errors import SessionError
from replication.net.process import raise_open_files
from replication.net.rules_file import RulesFile
from replication.rules.templates import TEMPLATES
from replication.server.namespace import Namespace
from replication.server.partitions import Partitions
from replication.storage.sqlite import SQLiteStore
from tests.command_line import ok, refused, run

BOOKS = "".join(
    json.dumps({"_id": n, "title": f"title {n}", "year": 1900 + n}) + "\n" for n in range(100)
)


def started(*arguments: object) -> subprocess.Popen[bytes]:
    """A command in a process of its own."""
    command = [sys.executable, "-m", "replication.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@contextmanager
def serving(*arguments: object, ends: int = signal.SIGTERM) -> Iterator[str]:
    """A server process; gives its address. Without rules of its own everybody may do everything."""
    if not {"--development", "--rules"} & set(arguments):
        folder = Path(str(arguments[0]))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rules.json").write_text(json.dumps(TEMPLATES["everyone"][1]))
        arguments = (*arguments, "--rules", folder / "rules.json")
    process = started("serve", *arguments, "--listen=127.0.0.1:0", "--json")
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, process.communicate()[1].decode()
        yield json.loads(line)["url"]
    finally:
        process.send_signal(ends)
        try:
            _, said = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 0, said.decode()
    assert b"Traceback" not in said, said.decode()


@pytest.fixture(scope="module")
def development(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("served")
    with serving(folder, "--development") as url:
        yield url, folder


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    (tmp_path / "books.jsonl").write_text(BOOKS)
    store = tmp_path / "ada.db"
    ok("import", tmp_path / "books.jsonl", "--into", store, "--class", "Book")
    return store


def test_as_many_files_may_be_open_as_the_hard_limit_allows(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A connection each: more than the soft limit that the process was started with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        with serving(tmp_path, "--development") as url:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            place = urlsplit(url)
            assert place.hostname is not None
            assert place.port is not None
            with ExitStack() as stack:
                for _ in range(100):
                    where = (place.hostname, place.port)
                    last = stack.enter_context(socket.create_connection(where, timeout=20))
                last.sendall(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n")
                assert last.recv(1000).startswith(b"HTTP/1.1 200")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_who_may_have_more_connections_than_open_files_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_open_files() == 256
    monkeypatch.setattr("replication.net.process.settle", raise_open_files)
    settings = SimpleNamespace(connections=None)
    _settle(settings)  # type: ignore[arg-type]
    (line,) = caplog.messages
    assert "10000 connections, but only 256 open files" in line
    settings.connections = 200
    _settle(settings)  # type: ignore[arg-type]
    assert len(caplog.messages) == 1


def sync(store: Path, url: str, namespace: str, user: str = "ada") -> dict[str, Any]:
    where = ("--url", url, "--namespace", namespace, "--token", f"dev:{user}")
    done: dict[str, Any] = ok("sync", store, *where, "--json").json
    return done


def keys(store: Path, query: str = "TRUEPREDICATE") -> set[int]:
    return {each["_id"] for each in ok("query", store, "Book", query, "--json").lines}


# -- one day of a new user -------------------------------------------------------------------------
def test_import_sync_subscribe_query(
    development: tuple[str, Path], imported: Path, tmp_path: Path
) -> None:
    url, folder = development
    done = sync(imported, url, "books")
    assert (done["uploaded"], done["refusals"]) == (2, 0)
    assert len(keys(imported)) == 100
    assert sync(imported, url, "books")["uploaded"] == 0

    other = tmp_path / "bob.db"
    ok("subscribe", other, "Book", "year < 1910", "--name", "old")
    sync(other, url, "books", "bob")
    assert keys(other) == set(range(10))
    ok("subscribe", other, "Book", "year >= 1990", "--name", "old")
    assert "pending" in ok("subscribe", other).out
    sync(other, url, "books", "bob")
    assert keys(other) == set(range(90, 100))
    assert ok("subscribe", other, "--json").json["state"] == "complete"
    ok("subscribe", other, "--remove", "old")
    sync(other, url, "books", "bob")
    assert keys(other) == set()
    assert "no subscriptions" in ok("subscribe", other).out
    served(folder / "books.db")


def served(namespace: Path) -> None:
    """A namespace can be looked at while it is served."""
    summary = ok("inspect", namespace, "--json").json
    assert (summary["kind"], summary["client_files"]) == ("namespace", 2)
    assert keys(namespace, "year == 1950") == {50}
    users = [each["user"] for each in ok("inspect", namespace, "cursors", "--json").lines]
    assert users == ["ada", "bob"]
    log = ok("inspect", namespace, "history", "--json").lines
    assert [each["version"] for each in log] == [1, 2]
    assert "user ada" in ok("inspect", namespace, "history", "--from", "2").out
    assert "is a namespace" in refused("inspect", namespace, "subscriptions")
    assert "is a namespace" in refused("subscribe", namespace)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--token", "ada"], "token_invalid"),
        ([], "--token"),
        (["--token", "dev:x", "--namespace", "a/b"], "bad_namespace"),
        (["--token", "dev:x", "--url", "http://localhost"], "http://localhost"),
    ],
)
def test_what_a_server_does_not_want(
    development: tuple[str, Path], imported: Path, arguments: list[str], sentence: str
) -> None:
    command = ["sync", imported, "--url", development[0], "--namespace", "other"]
    assert sentence in refused(*command, *arguments)


def test_a_file_has_one_owner(development: tuple[str, Path], imported: Path) -> None:
    sync(imported, development[0], "owned")
    where = ("--url", development[0], "--namespace", "owned")
    assert "user_mismatch" in refused("sync", imported, *where, "--token", "dev:eve")


def test_nobody_listens(imported: Path) -> None:
    where = ("--url", "ws://127.0.0.1:9", "--namespace", "n", "--token", "dev:x")
    ran = run("sync", imported, *where, "--timeout", "0.1")
    assert ran.status == 1
    assert "not in step within 0.1 s" in ran.err.splitlines()[-1]


def test_subscriptions_that_make_no_sense(imported: Path) -> None:
    assert "nix: no such field" in refused("subscribe", imported, "Book", "nix == 1")
    assert "at position" in refused("subscribe", imported, "Book", "year ==")
    assert "no subscription is named 'x'" in refused("subscribe", imported, "--remove", "x")
    assert "give the class too" in refused("subscribe", imported, "--name", "x")
    assert "give the class too" in refused("subscribe", imported, "--unsubscribe")
    end = ("subscribe", imported, "Book", "--unsubscribe")
    assert "give --remove 'x'" in refused(*end, "--name", "x")
    assert "no subscription is to 'Pen'" in refused("subscribe", imported, "Pen", "--unsubscribe")


def test_queryable_fields_change_while_serving(tmp_path: Path, imported: Path) -> None:
    """QUERYABLE-6: with the file that says so."""
    jwt = pytest.importorskip("jwt")
    secret = "0123456789abcdef0123456789abcdef"
    (tmp_path / "secret").write_text(secret)
    (tmp_path / "schema.json").write_text(ok("inspect", imported, "schema", "--json").out)
    fields = tmp_path / "fields.json"
    fields.write_text('{"classes": {"Book": ["year"]}}')
    token = jwt.encode({"sub": "ada", "exp": int(time.time()) + 600}, secret, algorithm="HS256")
    keyed = ("--jwt-secret-file", tmp_path / "secret", "--schema", tmp_path / "schema.json")
    ok("subscribe", imported, "Book", "title == 'title 7'", "--clear")
    with serving(tmp_path / "served", "--namespace=n", *keyed, "--queryable", fields) as url:
        where = ("sync", imported, "--url", url, "--namespace=n", "--token", token)
        assert "Book.title is not queryable" in refused(*where)
        fields.write_text('{"global": ["title"]}')
        ends = time.monotonic() + 20
        while run(*where).status:
            ok("subscribe", imported, "Book", "title == 'title 7'", "--clear")
            assert time.monotonic() < ends
        found = ok("subscribe", imported, "--json").json
        assert (found["state"], found["active"]) == ("complete", found["version"])
    fields.write_text('{"global": ["limit"]}')
    said = refused("serve", tmp_path / "served", "--namespace=n", *keyed, "--queryable", fields)
    assert "'limit' means something in queries" in said


@pytest.mark.parametrize("strict", [False, True])
def test_what_is_written_outside_of_the_view(tmp_path: Path, imported: Path, strict: bool) -> None:
    """SUB-11 SUB-12"""
    option = ["--strict-view"] if strict else []
    with serving(tmp_path / "served", "--development", *option) as url:
        where = ("sync", imported, "--url", url, "--namespace=n", "--token=dev:ada")
        ok("subscribe", imported, "Book", "year < 1950", "--clear")
        ok(*where)
        (tmp_path / "late.jsonl").write_text('{"_id": 500, "title": "late", "year": 2000}\n')
        ok("import", tmp_path / "late.jsonl", "--into", imported, "--class", "Book")
        ran = ok(*where, "--json")
        left = [{"class": "Book", "key": 500, "client_version": 3}]
        assert ran.json["left_view"] == ([] if strict else left)
        assert ran.json["refusals"] == int(strict)
        said = ok("inspect", imported, "journal").out
        assert ("Book 500 is outside of the current query view" in said) is strict


def test_partitions_are_configured_in_a_file(tmp_path: Path) -> None:
    """PART-2 PART-4 PART-6"""
    from replication import open_database
    from replication.model.declare import Object
    from replication.net.facade import Sync

    class Note(Object):
        _id: int
        text: str

    cut = tmp_path / "cut.json"
    cut.write_text('{"key": "owner", "type": "string"}')
    with serving(tmp_path / "served", "--development", "--partitions", cut) as url:
        with (
            open_database(tmp_path / "odd.db", Note, partition=7) as db,
            Sync(db, url, "n", "dev:ada") as sync,
            pytest.raises(SessionError, match="type string, found int 7"),
        ):
            sync.wait_for_download(timeout=10)
        with open_database(tmp_path / "ada.db", Note, partition="ada") as db:
            with db.write():
                db.create(Note, _id=1, text="mine")
            with Sync(db, url, "n", "dev:ada") as sync:
                sync.wait_for_upload(timeout=10)
                sync.wait_for_download(timeout=10)
                cut.write_text('{"key": "owner", "type": "string", "served": "flexible"}')
                ends = time.monotonic() + 20
                while db.partition.keeps_to_it:
                    assert time.monotonic() < ends
                    sync.wait_for_download(timeout=10)
                with db.subscriptions.edit() as edit:
                    edit.add(Note, "text == 'other'")
                assert sync.wait_for_subscriptions(timeout=10).state.name == "COMPLETE"
    found = ok("query", tmp_path / "served" / "n.db", "Note", "--json").lines
    assert [(each["_id"], each["owner"]) for each in found] == [(1, "ada")]


def test_progress_is_told(tmp_path: Path, imported: Path) -> None:
    """BOOT-6"""
    other = tmp_path / "bob.db"
    small = ("--development", "--message-bytes=500", "--message-entries=7")
    with serving(tmp_path / "served", *small) as url:
        where = ("--url", url, "--namespace=n")
        ok("sync", imported, *where, "--token=dev:ada")
        ok("subscribe", other, "Book", "year < 1950")
        ran = ok("sync", other, *where, "--token=dev:bob", "--json", "--progress")
        told = [json.loads(line)["progress"] for line in ran.err.splitlines()]
        assert len(told) > 5
        assert [each["fraction"] for each in told] == sorted({each["fraction"] for each in told})
        assert told[-1]["fraction"] == 1.0
        assert ran.json["downloaded"] == {"objects": 50, "bytes": told[-1]["bytes"]}
        ok("subscribe", other, "Book", "year > 1990", "--name=late")
        ran = ok("sync", other, *where, "--token=dev:bob", "--progress")
        assert "downloading: 100 %, 9 objects" in ran.err.splitlines()[-1]


def test_subscriptions_come_and_go(imported: Path) -> None:
    def held() -> list[str | None]:
        found = ok("subscribe", imported, "--json").json["subscriptions"]
        return [each["name"] or each["query"] for each in found]

    ok("subscribe", imported, "Book", "year == 1")
    ok("subscribe", imported, "Book", "year == 1", "--name", "one")
    ok("subscribe", imported, "Book", "year == 2", "--name", "two")
    assert held() == ["TRUEPREDICATE", "year == 1", "one", "two"]
    ok("subscribe", imported, "Book", "1 == year", "--unsubscribe")
    assert held() == ["TRUEPREDICATE", "two"]
    ok("subscribe", imported, "--clear-unnamed")
    assert held() == ["two"]
    ok("subscribe", imported, "Book", "--unsubscribe")
    assert held() == []


# -- how a server starts and ends ------------------------------------------------------------------
def test_the_server_ends_on_ctrl_c(tmp_path: Path) -> None:
    with serving(tmp_path, "--development", ends=signal.SIGINT):
        pass


def test_the_server_ends_while_a_client_watches(tmp_path: Path, imported: Path) -> None:
    with serving(tmp_path / "served", "--development") as url:
        where = ("--url", url, "--namespace=n", "--token=dev:ada", "--watch")
        watching = started("sync", imported, *where)
        assert watching.stdout is not None
        assert b"in step" in watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=20)
    assert watching.returncode == 0, said.decode()
    assert b"Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "nobody could be let in"),
        (["--audience", "a", "--development"], "--custom-data-claim need keys"),
        (["--leeway", "9", "--development"], "--custom-data-claim need keys"),
        (["--jwks", "FILE", "--authenticator", "json:loads"], "give keys or --authenticator"),
        (["--authenticator", "json"], "is not MODULE:FUNCTION"),
        (["--authenticator", "no.such:thing"], "No module named"),
        (["--authenticator", "json:nix"], "has no attribute 'nix'"),
        (["--authenticator", "json:__doc__"], "is no function"),
        (["--development", "--custom-data-class", ".id"], "--custom-data-class '.id'"),
        (["--development", "--custom-data-class", "Person."], "no field"),
        (["--jwks", "FILE", "--jwt-secret-file", "FILE"], "give one of"),
        (["--jwks", "FILE"], "can't read the key set"),
        (["--jwt-secret-file", "FILE"], "a shared secret of 5 bytes"),
        (["--jwt-public-key", "FILE"], "not a public key"),
        (["--development", "--tls-cert", "FILE"], "go together"),
        (["--development", "--tls-cert", "FILE", "--tls-key", "FILE"], "FILE"),
        (["--development", "--schema", "FILE"], "is no JSON"),
        (["--development", "--listen", "nowhere"], "is not HOST:PORT"),
        (["--development", "--listen", "127.0.0.1:99999"], "is not HOST:PORT"),
        (["--development", "--namespace", "a/b"], "'a/b' is no name of a namespace"),
    ],
)
def test_a_server_that_does_not_start(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    file = tmp_path / "FILE"
    file.write_text("short")
    given = [str(file) if each == "FILE" else each for each in arguments]
    assert sentence in refused("serve", tmp_path / "served", *given)


def test_a_port_in_use(tmp_path: Path) -> None:
    with serving(tmp_path / "a", "--development") as url:
        port = url.rpartition(":")[2]
        listen = f"127.0.0.1:{port}"
        told = refused("serve", tmp_path / "b", "--development", "--listen", listen)
        assert f"can't listen on {listen}" in told


# -- tokens, TLS, schemas --------------------------------------------------------------------------
def test_tokens_that_a_key_signed(tmp_path: Path, imported: Path) -> None:
    jwt = pytest.importorskip("jwt")
    secret = "0123456789abcdef0123456789abcdef"
    (tmp_path / "secret").write_text(secret + "\n")

    def token(**claims: Any) -> str:
        body = {"sub": "ada", "exp": int(time.time()) + 600, "aud": "books", **claims}
        text: str = jwt.encode(body, secret, algorithm="HS256")
        return text

    keyed = ("--jwt-secret-file", tmp_path / "secret", "--audience", "books")
    with serving(tmp_path / "served", "--namespace", "books", *keyed) as url:
        where = ("sync", imported, "--url", url, "--namespace")
        assert "token_expired" in refused(*where, "books", "--token", token(exp=1000))
        assert "the audience is 'x'" in refused(*where, "books", "--token", token(aud="x"))
        assert "development mode" in refused(*where, "books", "--token", "dev:ada")
        assert "there is no namespace 'nix'" in refused(*where, "nix", "--token", token())
        (tmp_path / "token").write_text(token() + "\n")
        ok(*where, "books", "--token-file", tmp_path / "token")
    assert (
        ok("inspect", tmp_path / "served" / "books.db", "cursors", "--json").json["user"] == "ada"
    )


def test_tls(tmp_path: Path, imported: Path) -> None:
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ("--tls-cert", tmp_path / "chain.pem", "--tls-key", tmp_path / "key.pem")
    with serving(tmp_path / "served", "--development", *tls) as url:
        assert url.startswith("wss://")
        where = ("sync", imported, "--url", url, "--namespace", "n", "--token", "dev:ada")
        ok(*where, "--ca", tmp_path / "ca.pem")
        assert run(*where, "--timeout", "0.5").status == 1  # nobody vouches for it


def test_a_schema_is_held_to(tmp_path: Path, imported: Path) -> None:
    jwt = pytest.importorskip("jwt")
    secret = "0123456789abcdef0123456789abcdef"
    (tmp_path / "secret").write_text(secret)
    (tmp_path / "schema.json").write_text(ok("inspect", imported, "schema", "--json").out)
    token = jwt.encode({"sub": "ada", "exp": int(time.time()) + 600}, secret, algorithm="HS256")
    strange = tmp_path / "strange.db"
    (tmp_path / "s.jsonl").write_text('{"_id": 1, "title": "t", "year": 1, "colour": "red"}\n')
    ok("import", tmp_path / "s.jsonl", "--into", strange, "--class", "Book", "--upload-only")
    keyed = ("--jwt-secret-file", tmp_path / "secret", "--schema", tmp_path / "schema.json")
    with serving(tmp_path / "served", "--namespace", "books", *keyed) as url:
        where = ("--url", url, "--namespace", "books", "--token", token, "--json")
        assert ok("sync", imported, *where).json["refusals"] == 0
        assert ok("sync", strange, *where).json["refusals"] == 1
    (refusal,) = ok("inspect", strange, "journal", "--json").lines
    assert (refusal["class"], refusal["key"]) == ("Book", 1)
    assert refusal["lost"][0]["path"] == ["colour"]
    assert "colour" in refusal["message"]
    said = ok("inspect", strange, "journal").out
    assert "colour" in said


# -- rules -----------------------------------------------------------------------------------------
def test_without_rules_nobody_may_do_anything(tmp_path: Path, imported: Path) -> None:
    """[RULES-FILE-3]: and the server says so."""
    jwt = pytest.importorskip("jwt")
    (tmp_path / "secret").write_bytes(b"s" * 40)
    process = started("serve", tmp_path / "served", "--namespace", "books", "--listen=127.0.0.1:0",
                      "--json", "--jwt-secret-file", tmp_path / "secret")  # fmt: skip
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    token = jwt.encode({"sub": "ada", "exp": int(time.time()) + 600}, b"s" * 40, algorithm="HS256")
    try:
        said = refused("sync", imported, "--url", url, "--namespace", "books",
                       "--token", token)  # fmt: skip
    finally:
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=20)
    assert "this server was given no rules" in said
    assert b"no rules: nobody may read or write anything" in told


def test_rules_that_change_while_a_server_runs(tmp_path: Path, imported: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(ok("rules", "template", "everyone").out)
    with serving(tmp_path / "served", "--development", "--rules", rules) as url:
        ok("subscribe", imported, "Book")
        sync(imported, url, "books")
        assert len(keys(imported)) == 100
        content = json.loads(rules.read_text())
        old = {"year": {"$lt": 1910}}
        content["default_roles"][0]["document_filters"] = {"read": old, "write": old}
        rules.write_text(json.dumps(content))
        for _ in range(100):  # the server looks once a second
            sync(imported, url, "books")
            if keys(imported) == set(range(10)):
                return
        raise AssertionError(f"the rules came into force nowhere: {len(keys(imported))} books")


def test_a_rules_file_that_is_broken_later_changes_nothing(tmp_path: Path) -> None:
    """[RULES-FILE-1]"""
    path = tmp_path / "rules.json"
    path.write_text(ok("rules", "template", "everyone").out)
    held = RulesFile(path)
    before = held.rules
    path.write_text("{")
    assert not held.file.look()
    assert held.rules is before
    path.write_text(ok("rules", "template", "own-data").out)
    assert held.file.look()
    assert held.rules.defaults[0].name == "owner"


def test_rules_that_are_wrong_stop_the_server(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text('{"default_roles": [{"name": "a"}]}')
    said = refused("serve", tmp_path, "--development", "--rules", tmp_path / "rules.json")
    assert "rules.json: default_roles[0].apply_when: is missing" in said
    (tmp_path / "rules.json").write_text("{}")
    said = refused("serve", tmp_path, "--development", "--rules", tmp_path / "rules.json",
                   "--functions", "no_such_module")  # fmt: skip
    assert "--functions no_such_module: No module named" in said


def test_rules_about_another_partition_key_stop_the_server(tmp_path: Path) -> None:
    """[RULES-PART-2]: whether the key is configured, or a data set remembers it."""
    rules, cuts = tmp_path / "rules.json", tmp_path / "partitions.json"
    rules.write_text(json.dumps({"partition": {"key": "owner", "read": True, "write": True}}))
    cuts.write_text(json.dumps({"key": "part", "type": "string"}))
    reason = "the rules are about partitions by 'owner', but the data set is cut by 'part'"
    said = refused("serve", tmp_path / "served", "--development", "--rules", rules,
                   "--partitions", cuts)  # fmt: skip
    assert f"rules.json: partition.key: {reason} (--partitions)" in said
    served = tmp_path / "served"
    served.mkdir(exist_ok=True)
    Namespace(
        SQLiteStore(served / "books.db", query_values), entropy=lambda: 1, wall_ms=lambda: 0,
        development=True, partitions=Partitions("part", "string"),
    ).store.close()  # fmt: skip
    said = refused("serve", served, "--namespace", "books", "--development", "--rules", rules)
    assert f"rules.json: partition.key: {reason} (books)" in said
