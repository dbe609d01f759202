"""The examples of `spec/sessions.md`, run against the server's session."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from replication.errors import RemoteProtocolError
from replication.protocol import messages
from replication.protocol.server_session import Effect, Integrate, Send, ServerSession

VECTORS = json.loads((Path(__file__).parent.parent / "spec/vectors/sessions.json").read_text())


def spelled(effect: Effect) -> list[Any]:
    """An effect as the vectors write it."""
    if isinstance(effect, Send):
        return ["send", messages.encode(effect.message).hex()]
    if isinstance(effect, Integrate):
        return ["integrate", effect.first, len(effect.changesets)]
    return [type(effect).__name__.lower()]


def answered(session: ServerSession, step: list[Any]) -> list[Effect]:
    """What one step of a script leads to."""
    kind, *arguments = step
    if kind == "receive":
        return session.receive(messages.decode(bytes.fromhex(arguments[0])))
    if kind == "opened":
        return session.opened(arguments[0], arguments[1], assigned=arguments[2])
    if kind == "resumed":
        return session.resumed(*arguments)
    if kind == "barrier":
        return session.barrier(*arguments)
    message = messages.decode(bytes.fromhex(arguments[0]))
    if kind == "downloading":
        assert isinstance(message, messages.Download)
        return session.downloading(message)
    assert kind == "integrated", kind
    assert isinstance(message, messages.Ack | messages.Nack)
    return session.integrated(message)


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_script(vector: dict[str, Any]) -> None:
    """SESSION-1 SESSION-3 SESSION-4 UP-2"""
    session = ServerSession(1)
    for step, expected in vector["script"]:
        if expected and expected[0] == "refused":
            with pytest.raises(RemoteProtocolError) as caught:
                answered(session, step)
            assert caught.value.code.label == expected[1]
        else:
            assert [spelled(effect) for effect in answered(session, step)] == expected
