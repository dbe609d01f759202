"""Telling an app what it has to hear of once: refusals, and what has left its view.

Rule 1: what is to be told waits in the file until somebody listens, and is noted as told only once
        everybody was called. So it is told at least once, whenever the process dies; and exactly
        once, in order, by a process that lives on and does not close the file meanwhile.
Rule 2: no lock is held while the app is called: it may write, and wait for other threads. Of
        threads that want to tell at the same time one does it, for all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from replication.client.callbacks import Callbacks
from replication.storage.contract import Reader, Writer

if TYPE_CHECKING:
    from replication.client.telling import Telling

T = TypeVar("T")


class Once(Generic[T]):
    """One kind of news, and whom to tell.

    Args:
        db: the file.
        failed: is passed what a callback raises.
        untold: reads what nobody was told of yet, oldest first, and the number of the last one.
        told: notes that the app has heard of all up to a number.
    """

    def __init__(
        self,
        db: Telling,
        failed: Callable[[Exception], None],
        untold: Callable[[Reader], tuple[list[T], int]],
        told: Callable[[Writer, int], None],
    ) -> None:
        self._db = db
        self._callbacks = Callbacks[list[T]](failed)
        self._untold = untold
        self._told = told
        self._teller = threading.Lock()
        #: Somebody asked since whoever tells last looked.
        self._asked = False

    def add(self, callback: Callable[[list[T]], object]) -> Callable[[], None]:
        """Tell it from now on, and what waits; returns how to stop it."""
        stop = self._callbacks.add(callback)
        self.tell()
        return stop

    def tell(self) -> None:
        """Tell what waits, if anybody listens and this thread is in no transaction."""
        if self._db.read_only or self._db.transaction is not None or not self._callbacks:
            return
        self._asked = True
        # Looked at again after each turn: who asks while another thread tells leaves it to that.
        while self._asked and self._teller.acquire(blocking=False):
            try:
                self._asked = False
                self._tell()
            finally:
                self._teller.release()

    def _tell(self) -> None:
        with self._db.reading() as reader:
            news, last = self._untold(reader)
        if news and self._callbacks.tell(news) and not self._db.closed:
            with self._db.integrating() as work:
                self._told(work.writer, last)
