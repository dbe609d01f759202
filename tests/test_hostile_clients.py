"""Hostile clients, over real sockets and with real tokens: refused, logged, nobody else affected.

A victim keeps a file in step all the while. What an attacker knows: addresses, names, the victim's
file ident, and how everything works. What it has: a token of its own, where it says so.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import jwt
import pytest
import trio
from net_peers import Caller, Stores, device, host, start, titles, until, write
from test_net_auth import P256, RSA, SECRET, pem
from test_net_hostile import BOOK, upload

from replication.clock import TIME_MAX, ms_from_unix, time_from_ms
from replication.errors import ErrorCode
from replication.history.changeset import Changeset, ObjectDelta
from replication.history.changeset import encode as encode_changeset
from replication.net import backoff, websocket
from replication.net.auth import Tokens
from replication.net.client import Status, SyncSession, SyncState, run_client
from replication.net.keys import public_key
from replication.net.server import Place, serve
from replication.net.web_tokens import WebTokens
from replication.net.websocket import address, connect
from replication.protocol.body import encode_changesets
from replication.protocol.messages import (
    Ack,
    Assign,
    Bind,
    Download,
    Error,
    Ident,
    Mark,
    Message,
    Nack,
    Progress,
    Query,
    Token,
    Upload,
)
from replication.server.host import Host


def token(user: str, key: object = RSA, algorithm: str | None = "RS256", **claims: object) -> str:
    body = {"sub": user, "exp": int(time.time()) + 600, "aud": "books", "iss": "library", **claims}
    return jwt.encode(body, key, algorithm)  # type: ignore[arg-type]


def confused(user: str) -> str:
    """Signed with HMAC by the server's public key, which everybody has."""

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    body = {"sub": user, "exp": int(time.time()) + 600, "aud": "books", "iss": "library"}
    head = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(body).encode())
    return (head + b"." + part(hmac.new(pem(RSA), head, hashlib.sha256).digest())).decode()


@dataclass
class Scene:
    """A server, a victim in step with it, and what is said in the log."""

    place: Place
    host: Host
    victim: SyncSession
    seen: list[Status]
    callers: list[Caller] = field(default_factory=list)

    @property
    def ident(self) -> int:
        """The victim's file."""
        return self.victim.db.local.ident

    @property
    def salt(self) -> int:
        return self.victim.db.local.salt

    async def connect(self) -> Caller:
        """An attacker's connection."""
        caller = Caller(await connect(address(f"ws://127.0.0.1:{self.place.port}/")))
        self.callers.append(caller)
        await caller.hello()
        return caller

    async def attacker(self) -> tuple[Caller, Assign]:
        """An attacker with a token and a file of its own, in step."""
        caller = await self.connect()
        await caller.send(Bind(1, "books", token("mallory"), 0, 0))
        assigned = await caller.receive(Assign)
        await caller.send(start(1, assigned.ident), Query(1, 1, {"Book": "pages > 5"}, 0, b""))
        await caller.send(Mark(1, 0))
        await caller.skip_to(Mark)
        return caller, assigned


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    """Nothing an attacker does changes what the victim has or sees, or costs it its session."""
    keys = WebTokens(public_key(pem(RSA)), audience="books", issuer="library")
    at = host(Stores(), Tokens(other=keys))
    seen: list[Status] = []
    db = device()
    with db.subscriptions.edit() as subscriptions:
        subscriptions.add("Book", "TRUEPREDICATE")
    write(db, 1, "Emma")

    async def ada() -> str:
        return token("ada")

    victim = SyncSession(db, "books", ada, on_status=seen.append)
    async with trio.open_nursery() as nursery:
        [place] = await nursery.start(
            lambda task_status: serve(at, port=0, task_status=task_status)
        )
        url = f"ws://127.0.0.1:{place.port}/"
        nursery.start_soon(run_client, [victim], url)
        with trio.fail_after(30):
            await victim.wait_for_upload()
            await victim.wait_for_download()
            log = _log(at, "books")
            out = Scene(place, at, victim, seen)
            try:
                yield out
            finally:
                for caller in out.callers:
                    await trio.aclose_forcefully(caller.socket._stream)
            assert [entry for entry in _log(at, "books") if entry[0] != "mallory"] == log
            write(db, 2, "Persuasion")
            await victim.wait_for_upload()
            await victim.wait_for_download()
            assert {key: titles(db)[key] for key in (1, 2)} == {1: "Emma", 2: "Persuasion"}
            assert [status.state for status in seen] == [SyncState.CONNECTED]
        nursery.cancel_scope.cancel()
    at.close()


def _log(at: Host, name: str) -> list[tuple[str, int]]:
    """Who wrote, and which of their versions."""
    from replication.server import tables

    with at.namespace(name).store.read() as reader:
        last = at.namespace(name).version
        return [(entry.user, entry.client_version) for entry in tables.entries(reader, 1, last)]


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.INFO, logger="replication.net.serving")
    monkeypatch.setattr(backoff, "BACKOFF_FIRST_S", 0.02)
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT_S", 0.1)


def logged(caplog: pytest.LogCaptureFixture, code: ErrorCode) -> None:
    """The refusal is in the log, with where it came from."""
    lines = [record.getMessage() for record in caplog.records]
    assert any(code.label in line and line.startswith("127.0.0.1 port") for line in lines), lines


# -- tokens ----------------------------------------------------------------------------------------
FORGED: dict[str, tuple[Callable[[], str], ErrorCode]] = {
    "expired": (lambda: token("ada", exp=int(time.time()) - 60), ErrorCode.TOKEN_EXPIRED),
    "unsigned": (lambda: token("ada", None, None), ErrorCode.TOKEN_INVALID),
    "signature cut off": (
        lambda: token("ada").rpartition(".")[0] + ".",
        ErrorCode.TOKEN_INVALID,
    ),
    "signed by a stranger": (lambda: token("ada", P256, "ES256"), ErrorCode.TOKEN_INVALID),
    "the public key as a secret": (lambda: confused("ada"), ErrorCode.TOKEN_INVALID),
    "some secret": (lambda: token("ada", SECRET, "HS256"), ErrorCode.TOKEN_INVALID),
    "for another audience": (lambda: token("ada", aud="films"), ErrorCode.TOKEN_INVALID),
    "of another issuer": (lambda: token("ada", iss="mallory"), ErrorCode.TOKEN_INVALID),
    "not valid yet": (lambda: token("ada", nbf=int(time.time()) + 600), ErrorCode.TOKEN_INVALID),
    "for development": (lambda: "dev:ada", ErrorCode.TOKEN_INVALID),
    "of an anonymous user": (lambda: "anonymous:" + "x" * 40, ErrorCode.TOKEN_INVALID),
    "an API key": (lambda: "key:ada:ada", ErrorCode.TOKEN_INVALID),
    "of nobody": (lambda: token(""), ErrorCode.TOKEN_INVALID),
}


async def test_forged_tokens(caplog: pytest.LogCaptureFixture) -> None:
    """Each in place of the victim's, whose file they name; and none ends the connection."""
    async with scene() as it:
        caller = await it.connect()
        for number, (make, code) in enumerate(FORGED.values(), start=1):
            caplog.clear()
            await caller.send(Bind(number, "books", make(), it.ident, it.salt))
            error = await caller.receive(Error)
            assert (error.session, error.code) == (number, code)
            logged(caplog, code)


async def test_a_fresh_token_does_not_make_one_somebody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as it:
        for fresh, code in (
            (token("ada"), ErrorCode.USER_MISMATCH),
            (FORGED["unsigned"][0](), ErrorCode.TOKEN_INVALID),
            (FORGED["expired"][0](), ErrorCode.TOKEN_EXPIRED),
        ):
            caller, _ = await it.attacker()
            await caller.send(Token(1, fresh))
            assert (await caller.skip_to(Error)).code == code
            logged(caplog, code)


# -- files and namespaces --------------------------------------------------------------------------
async def test_other_users_files_and_other_namespaces(caplog: pytest.LogCaptureFixture) -> None:
    async with scene() as it:
        it.host.namespace("films")
        before = it.host.namespace("films").version
        mine = token("mallory")
        cases = {
            Bind(1, "books", mine, it.ident, it.salt): ErrorCode.USER_MISMATCH,
            Bind(2, "books", mine, it.ident, it.salt ^ 1): ErrorCode.UNKNOWN_FILE,
            Bind(3, "books", token("ada"), it.ident, 0): ErrorCode.UNKNOWN_FILE,
            Bind(4, "books", mine, 1, 0): ErrorCode.UNKNOWN_FILE,  # the server itself
            Bind(5, "books", mine, 2**48 - 1, 0): ErrorCode.UNKNOWN_FILE,
            Bind(6, "films", mine, it.ident, it.salt): ErrorCode.UNKNOWN_FILE,
            Bind(7, "forbidden", mine, 0, 0): ErrorCode.BAD_NAMESPACE,
            Bind(8, "../books", mine, 0, 0): ErrorCode.BAD_NAMESPACE,
            Bind(9, "books/../films", mine, 0, 0): ErrorCode.BAD_NAMESPACE,
            Bind(10, "books\x00", mine, 0, 0): ErrorCode.BAD_NAMESPACE,
        }
        caller = await it.connect()
        for bind, code in cases.items():
            caplog.clear()
            await caller.send(bind)
            error = await caller.receive(Error)
            assert (error.session, error.code) == (bind.session, code)
            logged(caplog, code)
        # What one writes in a session goes where the session is, and nowhere else.
        attacker, own = await it.attacker()
        await attacker.send(upload(1, own.ident, 1))
        await attacker.skip_to(Ack)
        assert it.host.namespace("films").version == before


# -- positions -------------------------------------------------------------------------------------
IDENTS: dict[str, tuple[dict[str, object], ErrorCode]] = {
    "a cursor past the log": ({"cursor": 10**6}, ErrorCode.DIVERGED),
    "a salt that was guessed": ({"cursor": 1, "cursor_salt": 12345}, ErrorCode.DIVERGED),
    "a version that was never acknowledged": (
        {"client_version": 5, "last_version": 5},
        ErrorCode.DIVERGED,
    ),
    "a digest of something else": ({"digest": bytes(15) + b"x"}, ErrorCode.FILE_COPIED),
    "the position of another file": ({"ident": 2}, ErrorCode.BAD_MESSAGE),
    "the position of the server": ({"ident": 1}, ErrorCode.BAD_MESSAGE),
}


@pytest.mark.parametrize("name", IDENTS)
async def test_forged_positions(name: str, caplog: pytest.LogCaptureFixture) -> None:
    changes, code = IDENTS[name]
    async with scene() as it:
        caller = await it.connect()
        await caller.send(Bind(1, "books", token("mallory"), 0, 0))
        assigned = await caller.receive(Assign)
        forged: Ident = replace(start(1, assigned.ident), **changes)  # type: ignore[arg-type]
        await caller.send(forged)
        assert (await caller.receive(Error)).code == code
        logged(caplog, code)


def forged(
    ident: int, key: int, *, stamp: int | None = None, cursor: int = 0, **more: int
) -> bytes:
    """A changeset that creates a book, stamped as one likes."""
    when = time_from_ms(ms_from_unix(time.time())) + key if stamp is None else stamp
    delta = [more.get("length", 1), more.get("at", 1), [], {0: [[when, ident, {"title": "Mine"}]]}]
    item = ObjectDelta("Book", key, delta, bool(more.get("blind", 1)))
    return encode_changeset(Changeset(when, cursor, [item], schema=BOOK))


def uploading(changeset: bytes, first: int = 1) -> Upload:
    return Upload(1, first, *encode_changesets([changeset]))


def _skewed(it: Scene, own: int) -> Upload:
    ahead = time_from_ms(ms_from_unix(time.time()) + 10**7)
    return uploading(forged(own, 7, stamp=ahead))


#: What an attacker sends, given the scene and its own file; what it is told, None for nothing.
WRITES: dict[str, tuple[Callable[[Scene, int], Message], ErrorCode | None]] = {
    "stamped by the victim": (
        lambda it, _own: uploading(forged(it.ident, 1)),
        ErrorCode.BAD_CHANGESET,
    ),
    "stamped by the server": (lambda _it, _own: uploading(forged(1, 1)), ErrorCode.BAD_CHANGESET),
    "stamped by nobody": (lambda _it, _own: uploading(forged(0, 1)), ErrorCode.BAD_CHANGESET),
    "written long after now": (_skewed, ErrorCode.CLOCK_SKEW),
    "written at the end of time": (
        lambda _it, own: uploading(forged(own, 7, stamp=TIME_MAX)),
        ErrorCode.CLOCK_SKEW,
    ),
    "having seen what is not there yet": (
        lambda _it, own: uploading(forged(own, 7, cursor=10**9)),
        ErrorCode.BAD_CHANGESET,
    ),
    "a victim's object deleted and deleted again": (
        lambda _it, own: uploading(forged(own, 1, length=99, at=99, blind=0)),
        None,
    ),
    "from a version that is not next": (
        lambda _it, own: uploading(forged(own, 7), first=3),
        ErrorCode.BAD_MESSAGE,
    ),
    "from version 0": (
        lambda _it, own: uploading(forged(own, 7), first=0),
        ErrorCode.BAD_MESSAGE,
    ),
    "a cursor past what was sent": (lambda _it, _own: Progress(1, 10**9), ErrorCode.BAD_MESSAGE),
    "a query set from the past": (
        lambda _it, _own: Query(1, 1, {"Book": "TRUEPREDICATE"}, 0, b""),
        ErrorCode.BAD_MESSAGE,
    ),
    "a download": (
        lambda _it, _own: Download(1, 0, 1, 5, 0, True, 0, b"", 1.0, 0, b"\x90"),
        ErrorCode.BAD_MESSAGE,
    ),
}


@pytest.mark.parametrize("name", WRITES)
async def test_forged_writes(name: str, caplog: pytest.LogCaptureFixture) -> None:
    make, code = WRITES[name]
    async with scene() as it:
        caller, own = await it.attacker()
        await caller.send(make(it, own.ident), Mark(1, 1))
        answer = await caller.receive(Message)  # type: ignore[type-abstract]
        while isinstance(answer, Download):
            answer = await caller.receive(Message)  # type: ignore[type-abstract]
        if isinstance(answer, Ack):
            assert code is None
            assert answer.refusals
        elif isinstance(answer, Nack):
            assert answer.code == code == ErrorCode.CLOCK_SKEW
        else:
            assert isinstance(answer, Error), answer
            assert answer.code == code
            logged(caplog, answer_code(answer))


def answer_code(error: Error) -> ErrorCode:
    return ErrorCode(error.code)


async def test_a_version_that_comes_again_changed(caplog: pytest.LogCaptureFixture) -> None:
    async with scene() as it:
        caller, own = await it.attacker()
        await caller.send(uploading(forged(own.ident, 7)))
        await caller.skip_to(Ack)
        await caller.send(uploading(forged(own.ident, 8)))
        assert (await caller.skip_to(Error)).code == ErrorCode.FILE_COPIED
        logged(caplog, ErrorCode.FILE_COPIED)


@pytest.mark.parametrize("position", [b"", b"\x00", b"\xff" * 40, b"\x92\xa4Book\x01"])
@pytest.mark.parametrize("base", [0, 1, 10**9])
async def test_forged_positions_of_a_download(position: bytes, base: int) -> None:
    """They are begun afresh, or refused: in no case anybody's error but the attacker's."""
    async with scene() as it:
        caller, _ = await it.attacker()
        await caller.send(Query(1, 2, {"Book": "pages > 1"}, base, position), Mark(1, 1))
        answer = await caller.receive(Message)  # type: ignore[type-abstract]
        while isinstance(answer, Download):
            answer = await caller.receive(Message)  # type: ignore[type-abstract]
        if isinstance(answer, Error):
            assert answer.code != ErrorCode.INTERNAL
        else:
            assert answer == Mark(1, 1)


async def test_the_newest_session_of_a_file_is_its_owners_alone() -> None:
    """Who knows ident and salt, but is another user, supersedes nobody."""
    async with scene() as it:
        caller = await it.connect()
        for number in range(1, 20):
            await caller.send(Bind(number, "books", token("mallory"), it.ident, it.salt))
            assert (await caller.receive(Error)).code == ErrorCode.USER_MISMATCH
        await until(lambda: it.seen[-1].state is SyncState.CONNECTED)
