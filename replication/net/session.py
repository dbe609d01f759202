"""One client file, kept in step with one namespace of a server, for as long as it takes.

Rule 1: an agent's work, which may block on the disk, is done in a worker thread, one thing at a
        time for each file. A file in memory needs none: it is told so, and costs no hand-over.
Rule 2: an error of a session is its own: it binds again on the same connection, with a back-off of
        its own, while the others there go on.
Rule 3: what an error asks for is done here: RETRY waits and binds again, REFRESH_TOKEN asks the
        application for a token first, STOP and RESET end the session and are raised to whoever
        waits on it. What an error asks of the data, the agent has done by then.
Rule 4: the application is asked for a fresh token before the present one expires, if that says
        when, so that no session has to end for it. [IDENTITY-8]
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias

import trio

from replication.client.agent import Agent
from replication.client.database import Database
from replication.client.subscription_set import SubscriptionSet, SubscriptionState
from replication.errors import (
    Action,
    LimitExceededError,
    RemoteProtocolError,
    SessionError,
    StoreError,
    SubscriptionError,
    UsageError,
)
from replication.limits import BACKOFF_FIRST_S, BACKOFF_STABLE_S
from replication.net.backoff import Backoff
from replication.net.expiry import expires_at, refresh_in
from replication.net.link import Link
from replication.net.wire import Inbox, Task, Wire
from replication.protocol.messages import Error, Message, Unbind, clipped

_log = logging.getLogger(__name__)

#: Asked for a token before a session is bound, again when the server refuses it, and before it
#: expires. May give the one it gave before, if there is no other.
TokenProvider: TypeAlias = Callable[[], Awaitable[str]]


class SyncState(Enum):
    """Whether a file is being kept in step."""

    OFFLINE = "offline"  # connecting, or waiting to
    CONNECTED = "connected"
    STOPPED = "stopped"  # asked to, or by an error that only the application can mend


@dataclass(frozen=True, slots=True)
class Status:
    """How a session stands, and the last error, if nothing has succeeded since."""

    state: SyncState
    error: Exception | None = None


class _Ended(NamedTuple):
    """How a session ended; without an error if it was asked to. `served`: it was of use."""

    error: Exception | None
    action: Action
    served: bool


class _StoppedError(Exception):
    """Unwinds a session that stops for good."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error


class _Waiter:
    """Somebody waits for a file to be in step."""

    def __init__(self, register: Callable[[Agent, Callable[[], None]], None]) -> None:
        self._register = register
        self._token = trio.lowlevel.current_trio_token()
        self.event = trio.Event()
        self.error: Exception | None = None

    def register(self, agent: Agent) -> None:
        """Wait on this agent too: the one before it may have gone without an answer."""
        self._register(agent, self.tell)

    def tell(self) -> None:
        """It is: any thread."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self.event.set)


class SyncSession:
    """One file's session.

    Args:
        db: the file, open for writing; one session at a time.
        namespace: the data set at the server.
        token: gives the token that says who the user is.
        blocking: whether the file's store, or a long transaction in another thread, may block.
        on_status: called in the Trio thread whenever `status` changes.
        wall: the clock that tokens expire by, in Unix seconds.

    Everything here is called in the Trio thread.
    """

    def __init__(
        self,
        db: Database,
        namespace: str,
        token: TokenProvider,
        *,
        blocking: bool = True,
        on_status: Callable[[Status], None] | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.db = db
        self.namespace = namespace
        self._provider = token
        self._blocking = blocking
        self._wall = wall
        self._token: str | None = None
        #: A token was refused, and nothing has succeeded since.
        self._asked_again = False
        self._stopping = False
        self._on_status = on_status
        self._status = Status(SyncState.OFFLINE)
        self._waiters: set[_Waiter] = set()
        self._current: tuple[Agent, Inbox] | None = None
        self._scope = trio.CancelScope()

    # -- for applications --------------------------------------------------------------------------
    @property
    def status(self) -> Status:
        """How it stands."""
        return self._status

    async def wait_for_upload(self) -> None:
        """Wait until everything committed so far is durable at the server.

        Raises:
            SessionError: the server does not want it; or whatever else has stopped the session.
        """
        if self.db.synced.acknowledged < self.db.local.client_version:
            await self._wait(_Waiter(Agent.uploaded))

    async def wait_for_download(self) -> None:
        """Wait until everything the server has by now, in this file's view, is here.

        Raises:
            SessionError: the server does not want it; or whatever else has stopped the session.
        """
        await self._wait(_Waiter(Agent.barrier))

    async def wait_for_subscriptions(
        self,
        version: int | None = None,
        *,
        until: SubscriptionState = SubscriptionState.COMPLETE,
    ) -> SubscriptionSet:
        """Wait until a subscription set is in a state, or past it.

        Args:
            version: of the set; None for the one committed last.
            until: COMPLETE means that everything that matched when the server took the set up is
                here; a later set may take over at any time.

        Of a set that an earlier session could not have, the server is asked anew first.

        Returns:
            The set in the state it has come to, SUPERSEDED if a later one took over.

        Raises:
            SubscriptionError: the server can't serve it.
            UsageError: there is no set of that version yet.
            SessionError: the server does not want it; or whatever else has stopped the session.
        """
        subscriptions = self.db.subscriptions
        wanted = subscriptions.latest.version if version is None else version
        if wanted > subscriptions.latest.version:
            raise UsageError(f"there is no subscription set {wanted} yet")
        waiter = _Waiter(lambda _agent, _done: None)

        def is_over() -> bool:
            asked = self._current is not None and self._current[0].started
            if not asked and subscriptions.is_asked_anew(wanted):
                return False
            return subscriptions.get(wanted).state.value >= until.value

        def look() -> None:
            if is_over():
                waiter.tell()

        stop = subscriptions.on_change(look)
        try:
            if not is_over():
                await self._wait(waiter)
        finally:
            stop()
        found = subscriptions.get(wanted)
        if found.state is SubscriptionState.ERROR:
            raise SubscriptionError(found.version, found.message)
        return found

    def refresh(self, token: str) -> None:
        """Use this token from now on, in the running session as well."""
        self._token = token
        if self._current is not None:
            agent, inbox = self._current
            inbox.do(lambda: agent.refresh(token))

    def stop(self) -> None:
        """Say goodbye and stop. What is committed stays, to be sent another time."""
        self._stopping = True
        if self._current is not None:
            agent, inbox = self._current
            inbox.do(agent.stop)
        else:
            self._scope.cancel()

    async def _wait(self, waiter: _Waiter) -> None:
        if self._status.state is SyncState.STOPPED:
            raise self._status.error or UsageError("this session was stopped; run it again")
        self._waiters.add(waiter)
        try:
            if self._current is not None:
                waiter.register(self._current[0])
            await waiter.event.wait()
        finally:
            self._waiters.discard(waiter)
        if waiter.error is not None:
            raise waiter.error

    # -- for run_client ----------------------------------------------------------------------------
    def offline(self, error: Exception) -> None:
        """There is no connection."""
        if self._status.state is not SyncState.STOPPED:
            self._set_status(SyncState.OFFLINE, error)

    async def run(self, link: Link) -> None:
        """Bind again and again, until stopped. Never raises: `status` says why it stopped."""
        self._set_status(SyncState.OFFLINE)
        error: Exception | None = None
        try:
            with trio.CancelScope() as self._scope:
                await self._keep_binding(link)
        except _StoppedError as stopped:
            error = stopped.error
        finally:
            self._stopping = False
            self._set_status(SyncState.STOPPED, error)
            for waiter in self._waiters:
                waiter.error = error or UsageError("the session was stopped")
                waiter.event.set()

    async def _keep_binding(self, link: Link) -> None:
        backoff = Backoff(link.random)
        while not self._stopping:
            try:
                wire = await link.ready()
            except SessionError as error:
                raise _StoppedError(error) from None
            try:
                token = self._token or await self._provider()
            except Exception as error:
                _log.warning("no token for namespace %r: %r", self.namespace, error)
                self.offline(error)
                await trio.sleep(backoff.failed("token"))
                continue
            self._token = token
            start = trio.current_time()
            ended = await self._bind(wire, token)
            if trio.current_time() - start >= BACKOFF_STABLE_S:
                backoff.succeeded()
            if ended is not None:
                if ended.error is None or ended.action in (Action.STOP, Action.RESET):
                    raise _StoppedError(ended.error)
                self.offline(ended.error)
                await trio.sleep(self._delay(ended, ended.error, backoff))

    def _delay(self, ended: _Ended, error: Exception, backoff: Backoff) -> float:
        """Seconds until the next BIND."""
        if ended.action is Action.REFRESH_TOKEN:
            self._token = None
            if ended.served or not self._asked_again:
                self._asked_again = True
                return 0.0  # tokens grow old: a matter of course, unless the fresh one is refused
        return backoff.failed(_kind(error))

    async def _bind(self, wire: Wire, token: str) -> _Ended | None:
        """One session, until it or the connection ends; None if it was the connection."""
        agent = Agent(self.db, wire.connection.open(), self.namespace, token)
        inbox = Inbox(agent.receive, agent.wake)
        forget = self.db.on_outgoing(inbox.wake)
        with trio.CancelScope() as scope:
            wire.attach(agent.number, inbox, scope)
            self._current = (agent, inbox)
            ended = None
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._keep_fresh, token)
                    ended = await self._serve(wire, agent, inbox)
                    nursery.cancel_scope.cancel()
            finally:
                self._current = None
                wire.detach(agent.number)
                forget()
            return ended
        return None

    async def _keep_fresh(self, token: str) -> None:
        """Have a fresh token whenever the present one is about to expire. Rule 4."""
        while (expires := expires_at(token)) is not None:
            left = expires - self._wall()
            if left <= 0:
                return  # the server says whether it still takes it
            await trio.sleep(max(BACKOFF_FIRST_S, refresh_in(left)))
            if self._token not in (token, None):
                token = self._token or token  # the application has handed one in
                continue
            try:
                fresh = await self._provider()
            except Exception as error:
                _log.warning("no fresh token for namespace %r: %r", self.namespace, error)
                continue
            if fresh != token:
                token = fresh
                self.refresh(token)

    async def _serve(self, wire: Wire, agent: Agent, inbox: Inbox) -> _Ended:
        inbox.do(agent.start)
        # Answered in every case: without it a session with nothing to do would hear nothing.
        agent.barrier(lambda: None)
        for waiter in self._waiters:
            waiter.register(agent)
        while agent.ended is None:
            task = await inbox.next()
            try:
                wire.send(await self._done(task))
            except LimitExceededError as error:
                return self._dropped(wire, Unbind(agent.number), error, Action.STOP)
            except RemoteProtocolError as error:
                last = Error(agent.number, error.code, clipped(str(error)))
                return self._dropped(wire, last, error, Action.RETRY)
            except StoreError as error:
                return self._dropped(wire, Unbind(agent.number), error, Action.RETRY)
            except Exception as error:
                _log.exception("the session of namespace %r failed", self.namespace)
                return self._dropped(wire, Unbind(agent.number), error, Action.STOP)
            if inbox.heard and agent.ended is None:
                self._asked_again = False
                self._set_status(SyncState.CONNECTED)
        code, message = agent.ended
        served = self._status.state is SyncState.CONNECTED
        if code is None:
            return _Ended(None, Action.STOP, served)
        return _Ended(SessionError(code, message), agent.next_action or Action.STOP, served)

    async def _done(self, task: Task) -> list[Message]:
        return await trio.to_thread.run_sync(task) if self._blocking else task()

    def _dropped(
        self, wire: Wire, message: Error | Unbind, error: Exception, action: Action
    ) -> _Ended:
        """This end can't go on with the session; nothing was lost."""
        wire.send([message])
        return _Ended(error, action, served=False)

    def _set_status(self, state: SyncState, error: Exception | None = None) -> None:
        status = Status(state, error)
        if status != self._status:
            self._status = status
            if self._on_status is not None:
                self._on_status(status)


def _kind(error: Exception) -> str:
    return error.code.label if isinstance(error, SessionError) else type(error).__name__
