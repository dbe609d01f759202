"""The processes of the demo: one server, and devices with files of their own.

Every process is started by this one and ends with it: devices when their stdin closes, the server
likewise. What they print on stderr goes to a file beside theirs.
"""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from replication.errors import ReplicationError

#: The data set of the demo.
NAMESPACE: Final = "library"
_ANSWER_S: Final = 120.0
_EXIT_S: Final = 15.0


class ProcessFailedError(ReplicationError):
    """A process of the demo did not do what it was asked."""


class _Process:
    """A process that is talked to by lines of JSON."""

    def __init__(self, name: str, log: Path, *arguments: str) -> None:
        self.name = name
        self._log = log
        self._rest = b""
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "replication.cli", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def say(self, request: dict[str, Any]) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure("is gone") from None

    def hear(self, timeout: float = _ANSWER_S) -> dict[str, Any]:
        """Wait for a line.

        Raises:
            ProcessFailedError: none came, or it tells of an error.
        """
        assert self._process.stdout is not None
        ends = time.monotonic() + timeout
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            left = ends - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise self._failure(f"said nothing for {timeout:.0f} s")
            data = self._process.stdout.read1(65536)  # type: ignore[attr-defined]
            if not data:
                raise self._failure("ended")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ProcessFailedError(f"{self.name}: {answer['error']}")
        return answer

    def kill(self) -> int:
        """SIGKILL, as `kill -9` sends it; returns the exit status."""
        self._process.kill()
        return self._end()

    def close(self) -> int:
        """Ask it to end, and wait; returns the exit status."""
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            return self._end(timeout=_EXIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._end()

    def _end(self, timeout: float | None = None) -> int:
        status = self._process.wait(timeout)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()
        return status

    def _failure(self, what: str) -> ProcessFailedError:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        said = f": {lines[-1]}" if lines else ""
        return ProcessFailedError(f"the {self.name} process {what}{said}")


class Server(_Process):
    """`replication serve`, in development mode on a free port.

    Attributes:
        url: where it listens.
        path: the file of the demo's data set.
    """

    def __init__(self, directory: Path, *, message_bytes: int, port: int = 0) -> None:
        super().__init__(
            "server",
            directory.with_suffix(".log"),
            "serve",
            str(directory),
            f"--listen=127.0.0.1:{port}",
            "--development",
            "--json",
            "--stop-with-stdin",
            f"--message-bytes={message_bytes}",
        )
        self.url: str = self.hear()["url"]
        self.path = directory / f"{NAMESPACE}.db"

    def interrupt(self) -> int:
        """SIGTERM; returns the exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._end(timeout=_EXIT_S)


class Device(_Process):
    """A device; see `device` for what it can be asked.

    Attributes:
        path: its file.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self.path = directory / f"{name}.db"
        super().__init__(
            name,
            directory / f"{name}.log",
            "device",
            str(self.path),
            f"--namespace={NAMESPACE}",
            f"--token=dev:{name}",
        )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Have it do something, and wait for the answer."""
        self.say({"do": do, **arguments})
        return self.hear()

    @property
    def size(self) -> int:
        """Bytes of its file."""
        return self.path.stat().st_size
