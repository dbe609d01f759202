"""Fresh tokens in time: a client asks for one before its own expires."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import jwt
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from net_peers import device, host, write
from test_net_auth import SECRET

from replication.limits import TOKEN_LEEWAY_S, TOKEN_REFRESH_AHEAD_S
from replication.net.auth import Tokens
from replication.net.client import Status, SyncSession, SyncState, run_client
from replication.net.expiry import expires_at, refresh_in
from replication.net.keys import shared_secret
from replication.net.server import Server
from replication.net.shell import Shell
from replication.net.web_tokens import WebTokens
from replication.server.jobs import Job, Outcome
from replication.server.users import User

URL = "ws://memory:1/"
START = 1_800_000_000.0


def wall() -> float:
    return START + trio.current_time()


class Issuer:
    """Gives tokens that last for a while, and remembers when it was asked, in seconds."""

    def __init__(self, lifetime: float) -> None:
        self.lifetime = lifetime
        self.asked: list[float] = []
        self.given: list[str] = []
        self.failing = self.repeating = 0

    async def __call__(self) -> str:
        self.asked.append(round(trio.current_time(), 1))
        if self.failing:
            self.failing -= 1
            raise OSError("the identity service is down")
        if self.repeating:
            self.repeating -= 1
            return self.given[-1]
        claims = {"sub": "ada", "exp": wall() + self.lifetime, "jti": str(len(self.given))}
        self.given.append(jwt.encode(claims, SECRET, "HS256"))
        return self.given[-1]


class Served:
    """A session of a new device at a real server, in memory.

    Attributes:
        taken: the tokens the server was sent, and when, in seconds.
        seen: how the session stood.
    """

    def __init__(self, issuer: Issuer) -> None:
        self.taken: list[tuple[float, str]] = []
        self.seen: list[Status] = []
        self.db = device()
        self.session = SyncSession(
            self.db, "books", issuer, blocking=False, on_status=self.seen.append, wall=wall
        )
        self._tokens = Tokens(other=WebTokens(shared_secret(SECRET), wall=wall))

    def authenticate(self, token: str) -> User:
        """What the server does with tokens."""
        self.taken.append((round(trio.current_time(), 1), token))
        return self._tokens(token)


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that jumps when all tasks wait must not do so while a thread works for one."""

    async def inline(work: Callable[..., Any], *arguments: Any, **_options: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", inline)


@asynccontextmanager
async def served(issuer: Issuer) -> AsyncIterator[Served]:
    """The session is up and in step."""
    out = Served(issuer)
    at = host(authenticate=out.authenticate)

    def commit(job: Job, callback: Callable[[Outcome], None]) -> None:
        callback(*at.commit([job]))

    server = Server(Shell(at, commit, agent="test", wall=wall))
    async with trio.open_nursery() as nursery:

        async def open_stream(_host: str, _port: int) -> trio.abc.Stream:
            near, far = trio.testing.memory_stream_pair()
            nursery.start_soon(server.handle, near)
            await trio.lowlevel.checkpoint()
            return far

        nursery.start_soon(partial(run_client, [out.session], URL, open_stream=open_stream))
        await out.session.wait_for_download()
        yield out
        nursery.cancel_scope.cancel()
    at.close()


async def test_a_fresh_token_is_asked_for_before_the_present_one_expires(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """IDENTITY-8"""
    issuer = Issuer(3600)
    async with served(issuer) as it:
        await trio.sleep(3600 - TOKEN_REFRESH_AHEAD_S - 1)
        assert issuer.asked == [0]
        await trio.sleep(2)
        assert issuer.asked == [0, 3540]
        await trio.sleep(10_000)
        assert issuer.asked == [0, 3540, 7080, 10620]
        assert it.taken == list(zip(issuer.asked, issuer.given, strict=True))
        assert [status.state for status in it.seen] == [SyncState.CONNECTED]
        write(it.db, 1, "Emma")
        await it.session.wait_for_upload()


async def test_it_is_asked_for_again_where_there_is_none_yet(
    autojump_clock: trio.testing.MockClock,
) -> None:
    issuer = Issuer(100)
    async with served(issuer) as it:
        issuer.failing, issuer.repeating = 1, 1
        await trio.sleep(100)
        # 60 s before would be too early for so short a life.
        assert issuer.asked == [0, 80, 96, 99.2]
        # The application has handed one in meanwhile: that one counts.
        fresh = jwt.encode({"sub": "ada", "exp": wall() + 1000}, SECRET, "HS256")
        it.session.refresh(fresh)
        await trio.sleep(900)
        assert len(issuer.asked) == 4
        assert [token for _, token in it.taken] == [*issuer.given, fresh]
        await trio.sleep(60)
        assert len(issuer.asked) == 5
        assert [status.state for status in it.seen] == [SyncState.CONNECTED]


async def test_where_there_is_no_fresh_token_the_session_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    issuer = Issuer(300)
    async with served(issuer) as it:
        issuer.repeating = 10**6
        await trio.sleep(300 + TOKEN_LEEWAY_S - 1)
        assert it.session.status.error is None
        await trio.sleep(2)
        assert "token_expired" in str(it.session.status.error)
        issuer.repeating = 0
        await it.session.wait_for_download()


@pytest.mark.parametrize(
    ("left", "seconds"), [(3600, 3540), (300, 240), (100, 80), (1, 0.8), (0, 0), (-5, 0)]
)
def test_in_how_many_seconds(left: float, seconds: float) -> None:
    assert refresh_in(left) == seconds


@given(st.text() | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True))
def test_a_token_that_says_nothing_never_expires(token: str) -> None:
    assert expires_at(token) is None


@pytest.mark.parametrize("expires", ["soon", None, True, [1], 10**400, float("nan"), float("inf")])
def test_times_that_are_none(expires: object) -> None:
    assert expires_at(jwt.encode({"exp": expires}, SECRET, "HS256")) is None


def test_when_a_token_expires() -> None:
    for padding in range(4):
        claims = {"exp": 1000.5, "x": "y" * padding}
        assert expires_at(jwt.encode(claims, SECRET, "HS256")) == 1000.5
