"""Synchronisation for applications without Trio: one file, kept in step by a background thread."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar

import trio

from replication.client.database import Database
from replication.client.subscription_set import SubscriptionSet, SubscriptionState
from replication.errors import UsageError
from replication.net.client import Status, SyncSession, run_client
from replication.net.websocket import address

T = TypeVar("T")


class Sync:
    """Keeps a file in step while it is entered.

        with Sync(db, "ws://localhost:7700/", "books", "dev:ada") as sync:
            sync.wait_for_download(timeout=10)

    Args:
        db: the file, open for writing; write to it from any thread meanwhile.
        url: the server, ws://host:port/ or wss://host:port/.
        namespace: the data set there.
        token: the token that says who the user is, or what gives one whenever one is needed: to
            begin with, when the server refuses the last one, before it expires. It is called in a
            thread of its own.
        ssl_context: for wss; None: the system's certificate authorities.
        on_status: called in the background thread whenever `status` changes.

    Raises:
        UsageError: the address is none.
    """

    def __init__(
        self,
        db: Database,
        url: str,
        namespace: str,
        token: str | Callable[[], str],
        *,
        ssl_context: ssl.SSLContext | None = None,
        on_status: Callable[[Status], None] | None = None,
    ) -> None:
        address(url)
        self._url = url
        self._ssl_context = ssl_context
        self._session = SyncSession(db, namespace, _provider(token), on_status=on_status)
        self._thread: threading.Thread | None = None
        self._running = threading.Event()
        self._trio: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()

    def __enter__(self) -> Sync:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def status(self) -> Status:
        """How it stands."""
        return self._session.status

    def start(self) -> None:
        """Begin. Returns at once; the connection is made in the background."""
        if self._thread is not None:
            raise UsageError("this was started already; make another Sync")
        self._thread = threading.Thread(target=self._main, name="replication", daemon=True)
        self._thread.start()
        self._running.wait()

    def stop(self) -> None:
        """Stop, and wait until nothing is written any more. Idempotent.

        What is committed and not yet uploaded stays in the file, to be sent another time.
        """
        if self._thread is None:
            return
        self._soon(self._scope.cancel)
        self._thread.join()

    def wait_for_upload(self, timeout: float | None = None) -> None:
        """Wait until everything committed so far is durable at the server.

        Raises:
            TimeoutError: not within ``timeout`` seconds.
            SessionError: the server does not want it; or whatever else has stopped it.
        """
        self._wait(self._session.wait_for_upload, timeout)

    def wait_for_download(self, timeout: float | None = None) -> None:
        """Wait until everything the server has by now, in this file's view, is here.

        Raises:
            TimeoutError: not within ``timeout`` seconds.
            SessionError: the server does not want it; or whatever else has stopped it.
        """
        self._wait(self._session.wait_for_download, timeout)

    def wait_for_subscriptions(
        self,
        version: int | None = None,
        *,
        until: SubscriptionState = SubscriptionState.COMPLETE,
        timeout: float | None = None,
    ) -> SubscriptionSet:
        """Wait until a subscription set is in a state, or past it.

        Args:
            version: of the set; None for the one committed last.
            until: COMPLETE means that everything that matched when the server took the set up is
                here; a later set may take over at any time.

        Returns:
            The set in the state it has come to, SUPERSEDED if a later one took over.

        Raises:
            SubscriptionError: the server can't serve it.
            TimeoutError: not within ``timeout`` seconds.
            SessionError: the server does not want it; or whatever else has stopped it.
        """
        return self._wait(
            lambda: self._session.wait_for_subscriptions(version, until=until), timeout
        )

    def refresh(self, token: str) -> None:
        """Use this token from now on."""
        self._soon(lambda: self._session.refresh(token))

    # -- the background thread -------------------------------------------------------------------
    def _main(self) -> None:
        trio.run(self._run)

    async def _run(self) -> None:
        self._trio = trio.lowlevel.current_trio_token()
        self._running.set()
        with self._scope:
            await run_client([self._session], self._url, ssl_context=self._ssl_context)

    def _soon(self, call: Callable[[], object]) -> None:
        if self._trio is not None:
            try:
                self._trio.run_sync_soon(call)
            except trio.RunFinishedError:
                return

    def _wait(self, wait: Callable[[], Awaitable[T]], timeout: float | None) -> T:
        if self._trio is None:
            raise UsageError("this was not started: use it in a `with` statement")

        async def bounded() -> T:
            with trio.fail_after(float("inf") if timeout is None else timeout):
                return await wait()

        try:
            return trio.from_thread.run(bounded, trio_token=self._trio)
        except trio.TooSlowError:
            raise TimeoutError(f"not within {timeout} s; status: {self.status}") from None
        except (trio.RunFinishedError, trio.Cancelled):
            raise self.status.error or UsageError("the session was stopped") from None


def _provider(token: str | Callable[[], str]) -> Callable[[], Awaitable[str]]:
    async def fixed() -> str:
        assert isinstance(token, str)
        return token

    async def asked() -> str:
        assert callable(token)
        return await trio.to_thread.run_sync(token, abandon_on_cancel=True)

    return fixed if isinstance(token, str) else asked
