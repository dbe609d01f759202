"""Callbacks of an app, for one kind of news.

Rule 1: what a callback raises breaks neither the one who tells nor the other callbacks.
Rule 2: how to stop a callback may be called again; it does nothing then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Callbacks(Generic[T]):
    """Whom to tell.

    Args:
        failed: is passed what a callback raises.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        #: Each by what stands for its adding: the same one may be added twice.
        self._callbacks: dict[object, Callable[[T], object]] = {}

    def add(self, callback: Callable[[T], object]) -> Callable[[], None]:
        """Tell it from now on; returns how to stop it."""
        added = object()
        self._callbacks[added] = callback

        def stop() -> None:
            self._callbacks.pop(added, None)

        return stop

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def tell(self, news: T) -> bool:
        """Call each with the news; returns whether there was any. Rule 1."""
        callbacks = list(self._callbacks.values())
        for callback in callbacks:
            try:
                callback(news)
            except Exception as error:
                self._failed(error)
        return bool(callbacks)
