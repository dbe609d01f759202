"""Callbacks of an app, for one kind of news.

Rule 1: what a callback raises breaks neither the one who tells nor the other callbacks.
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
        self._callbacks: list[Callable[[T], object]] = []

    def add(self, callback: Callable[[T], object]) -> Callable[[], None]:
        """Tell it from now on; returns how to stop it."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def tell(self, news: T) -> None:
        """Call each with the news. Rule 1."""
        for callback in list(self._callbacks):
            try:
                callback(news)
            except Exception as error:
                self._failed(error)
