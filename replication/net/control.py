"""What an operator asks of a running server: a socket in the directory it serves.

Stores that a server has open are locked, so a command that has to write to one asks the server to
do it. One request a connection, one line of JSON: `{"forget": NAME}`; the answer is one line as
well: `{"horizon": 5}`, or `{"error": "..."}`.

Rule 1: only who may write to the directory's files may ask: the socket is its owner's alone.
Rule 2: a server that can't have the socket goes on without, and says so in its log. One that a
        killed server left behind is replaced; one that somebody listens at is left alone.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from replication.errors import ReplicationError, UsageError
from replication.limits import CONTROL_TIMEOUT_S

_log = logging.getLogger(__name__)

#: The name of the socket in the directory of a server.
FILE_NAME: Final = "control"
_LINE_BYTES_MAX: Final = 64 * 1024

#: Does what is asked, in a worker thread; what it returns is the answer. Raises ReplicationError.
Perform = Callable[[dict[str, Any]], dict[str, Any]]


async def serve_control(directory: Path, perform: Perform) -> None:
    """Answer requests until cancelled. Raises nothing else."""
    path = directory / FILE_NAME
    try:
        listener = _listener(path)
    except OSError as error:
        _log.warning("commands can't ask this server for anything: %s: %s", path, error)
        return
    try:
        await trio.serve_listeners(partial(_answer, perform), [listener])
    finally:
        with suppress(OSError):
            path.unlink()


def _listener(path: Path) -> trio.SocketListener:
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode) and not _is_heard(path):
            path.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listening.bind(str(path))
        listening.listen(8)
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(mask)
    return trio.SocketListener(trio.socket.from_stdlib_socket(listening))


def _is_heard(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        return client.connect_ex(str(path)) == 0


async def _answer(perform: Perform, stream: trio.SocketStream) -> None:
    with trio.move_on_after(CONTROL_TIMEOUT_S):
        with suppress(trio.BrokenResourceError):
            request = await _line(stream)
            answer = await trio.to_thread.run_sync(_performed, perform, request)
            await stream.send_all(json.dumps(answer).encode() + b"\n")
    await trio.aclose_forcefully(stream)


async def _line(stream: trio.SocketStream) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n") and len(data) <= _LINE_BYTES_MAX:
        more = await stream.receive_some()
        if not more:
            break
        data += more
    return bytes(data)


def _performed(perform: Perform, line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
        if type(request) is not dict:
            raise UsageError("a request is a JSON object")
        return perform(request)
    except (ReplicationError, ValueError, RecursionError) as error:
        return {"error": str(error)}
    except Exception:
        _log.exception("a request failed")
        return {"error": "the server failed; its log says more"}


def ask(directory: Path, **request: Any) -> dict[str, Any] | None:
    """Ask the server of a directory; None if there is none.

    Raises:
        UsageError: it refused, or did not answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(CONTROL_TIMEOUT_S)
        try:
            client.connect(str(directory / FILE_NAME))
        except OSError:
            return None
        try:
            client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile("rb") as file:
                answer = json.loads(file.readline(_LINE_BYTES_MAX))
        except (OSError, ValueError) as error:
            raise UsageError(f"the server of {directory} did not answer: {error}") from None
    if "error" in answer:
        raise UsageError(str(answer["error"]))
    found: dict[str, Any] = answer
    return found
