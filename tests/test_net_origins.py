"""Web pages that connect: only those of this machine, and of origins that the operator names."""

from __future__ import annotations

import pytest
import trio.testing
from net_peers import host
from test_net_websocket import PROTOCOL, UPGRADE

from replication.errors import UsageError
from replication.net.origins import Origins
from replication.net.server import open_server

OURS = b"HTTP/1.1 101 Switching Protocols"
FORBIDDEN = b"HTTP/1.1 403 Forbidden"


@pytest.mark.parametrize(
    ("origins", "welcome"),
    [
        ([], True),  # no browser
        (["http://localhost:3000"], True),
        (["HTTP://LocalHost"], True),
        (["https://127.0.0.1:8443"], True),
        (["http://[::1]:80"], True),
        (["https://app.example"], True),
        (["https://app.example:8443"], False),
        (["http://app.example"], False),
        (["https://evil.example"], False),
        # What resolves to this machine is not for whoever owns the name to say.
        (["http://localhost.evil.example"], False),
        (["http://127.0.0.1.evil.example"], False),
        (["http://evil.example/localhost"], False),
        (["http://localhost@evil.example"], False),
        (["http://localhost:3000.evil.example"], False),
        (["null"], False),
        ([""], False),
        (["http://localhost\n"], False),
        (["https://app.example", "https://evil.example"], False),
        (["https://evil.example", "https://app.example"], False),
    ],
)
def test_who_is_welcome(origins: list[str], welcome: bool) -> None:
    """CONN-10"""
    assert Origins(["https://App.Example"]).welcome(origins) is welcome
    assert Origins(["*"]).welcome(origins)


@pytest.mark.parametrize("name", ["app.example", "https://", "https://a/b", "ftp://a", "null", ""])
def test_what_is_no_origin(name: str) -> None:
    with pytest.raises(UsageError, match="is no origin"):
        Origins([name])


@pytest.mark.parametrize(
    ("origin", "named", "status"),
    [
        (b"", [], OURS),
        (b"Origin: http://localhost:3000\r\n", [], OURS),
        (b"Origin: https://evil.example\r\n", [], FORBIDDEN),
        (b"Origin: https://app.example\r\n", [], FORBIDDEN),
        (b"Origin: https://app.example\r\n", ["https://app.example"], OURS),
        (b"Origin: http://localhost\r\nOrigin: https://evil.example\r\n", [], FORBIDDEN),
    ],
)
async def test_the_handshake_asks_for_the_origin(
    origin: bytes, named: list[str], status: bytes
) -> None:
    """CONN-10: a page of a stranger's gets no session of a developer's own server."""
    near, far = trio.testing.memory_stream_pair()
    async with (
        open_server(host(), origins=Origins(named)) as server,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(server.handle, near)
        await far.send_all(UPGRADE + PROTOCOL + origin + b"\r\n")
        answer = bytes(await far.receive_some())
        assert answer.startswith(status)
        await far.aclose()
