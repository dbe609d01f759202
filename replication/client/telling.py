"""What an app, and whoever synchronises, is told of a client file. A `Database` is one.

Rule 1: what an app's callback raises breaks neither the commit nor other callbacks: it goes to
        `on_callback_error`. Changes that a callback commits are told after those it was told.
Rule 2: refusals and what has left the view are told once each; see `once.py`.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from replication.client import left, refused
from replication.client.callbacks import Callbacks
from replication.client.changes import net_changes
from replication.client.left import LeftView
from replication.client.once import Once
from replication.client.progress import DownloadProgress
from replication.client.records import Synced
from replication.client.replica import Change
from replication.protocol.refusals import Refusal
from replication.storage.contract import Reader

if TYPE_CHECKING:
    from replication.client.entities import Entities
    from replication.client.integration import Integration
    from replication.client.results import Observation
    from replication.client.transaction import Transaction


class Telling(ABC):
    """Who is told what of a file.

    Attributes:
        on_callback_error: is passed what callbacks of live results and handles raise; until it
            is replaced, Python reports it as it does what nobody caught (`sys.excepthook`).
    """

    read_only: bool
    closed: bool
    synced: Synced
    entities: Entities

    def __init__(self) -> None:
        self.on_callback_error: Callable[[Exception], None] = _report
        self._outgoing: list[Callable[[], None]] = []
        #: Told how far a download is that takes several messages or brings a subscription set.
        self.progressed: Callbacks[DownloadProgress] = Callbacks(self._callback_failed)
        self._left = Once[LeftView](self, self._callback_failed, left.untold, left.told)
        self._refused = Once[Refusal](self, self._callback_failed, refused.untold, refused.told)
        self._observations: list[Observation] = []
        self._untold: deque[list[Change]] = deque()
        self._telling = False

    # -- what it needs of the file -------------------------------------------------------------
    @abstractmethod
    def reading(self) -> AbstractContextManager[Reader]: ...

    @abstractmethod
    def integrating(self) -> AbstractContextManager[Integration]: ...

    @property
    @abstractmethod
    def lock(self) -> AbstractContextManager[Any]: ...

    @property
    @abstractmethod
    def transaction(self) -> Transaction | None: ...

    def _callback_failed(self, error: Exception) -> None:
        self.on_callback_error(error)

    # -- whoever sends -------------------------------------------------------------------------
    def on_outgoing(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` whenever there may be something to send; returns how to stop it.

        It is called from whatever thread wrote, under the lock: it must not write or block.
        """
        self._outgoing.append(callback)
        return lambda: self._outgoing.remove(callback)

    def outgoing(self) -> None:
        """Tell whoever sends that there may be something to send."""
        for callback in list(self._outgoing):
            callback()

    # -- the app: once each --------------------------------------------------------------------
    def on_refused(self, callback: Callable[[list[Refusal]], object]) -> Callable[[], None]:
        """Call ``callback`` with what the server refused, once it is taken back here.

        The journal has what was written. Called in the thread that synchronises, under no lock: it
        may write. What nobody was told of in an earlier process is told now. Returns how to stop
        it.
        """
        return self._refused.add(callback)

    def tell_refusals(self) -> None:
        """Tell the app what the server refused, each once. Rule 2."""
        self._refused.tell()

    def on_progress(self, callback: Callable[[DownloadProgress], object]) -> Callable[[], None]:
        """Call ``callback`` with how far a download is, whenever more of it is durable here.

        That is of those that take several messages or bring a subscription set; `progress` tells
        of the last one at any time. It is called in the thread that synchronises, and must not
        write. Returns how to stop it.
        """
        return self.progressed.add(callback)

    def on_left_view(self, callback: Callable[[list[LeftView]], object]) -> Callable[[], None]:
        """Call ``callback`` with what this device wrote, the server took, and no subscription sees.

        It is gone here by then, and told to live results; the writes are at the server. Called in
        the thread that synchronises, under no lock: it may write. What nobody was told of in an
        earlier process is told now. Returns how to stop it.
        """
        return self._left.add(callback)

    def tell_left(self) -> None:
        """Tell the app what it wrote that has left the view, each once. Rule 2."""
        self._left.tell()

    @property
    def progress(self) -> DownloadProgress:
        """How far the last download is, as `on_progress` tells it."""
        return self.synced.progress

    # -- the app: what changes -----------------------------------------------------------------
    def observe(self, observation: Observation) -> None:
        """Tell it what changes from now on. For `results.py`."""
        self._observations.append(observation)

    @property
    def observed(self) -> bool:
        """Whether anybody wants to be told what changes."""
        return bool(self._observations)

    def unobserve(self, observation: Observation) -> None:
        """Stop it."""
        with self.lock:
            if observation in self._observations:
                self._observations.remove(observation)

    def changed(self, changes: list[Change], *, everything: bool = False) -> None:
        """A transaction is durable: let handles and live results know.

        Args:
            everything: other objects may have changed too, and there are no live results.
        """
        if not changes and not everything:
            return
        self.entities.changed(changes, everything=everything)
        if not self._observations:
            return
        self._untold.append(changes)
        if self._telling:  # a callback wrote: whoever called it goes on from here
            return
        self._telling = True
        try:
            while self._untold:
                self._tell(self._untold.popleft())
        finally:
            self._telling = False

    def _tell(self, changes: list[Change]) -> None:
        net = net_changes(changes)
        for observation in list(self._observations):
            try:
                observation.tell(net)
            except Exception as error:
                self.on_callback_error(error)


def _report(error: Exception) -> None:
    sys.excepthook(type(error), error, error.__traceback__)
