"""Observing a text: what its transactions changed, as deltas.

Rule 1: an observer is called once with what the text shows, then once for each transaction that
        changed that, after the commit is durable, in the thread that committed (see `results.py`).
        Applied in order, the deltas make of an empty text what is shown, formats included.
Rule 2: what is told is the change since the last time. Where a callback wrote, it is told about
        that together with what led to it.
Rule 3: what was typed at one place and what was erased there is told as such, whoever did it.
        Where the text is another one (after a refusal, or when the object came to life again),
        what is alike at both ends counts as kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from replication.client.changes import NetChanges
from replication.client.loaded_text import Load, LoadedText
from replication.client.results import Observation
from replication.crdt.delta import Delta, Pieces, inserted, replaced
from replication.crdt.document import Document
from replication.crdt.text import Text
from replication.crdt.updates import write_update
from replication.errors import DecodeError
from replication.model.encoding import key_bytes

if TYPE_CHECKING:
    from replication.client.objects import Handle


@dataclass(frozen=True, slots=True)
class TextChange:
    """What one transaction changed in a text.

    Attributes:
        initial: the first call, which inserts everything there is.
        is_valid: whether the text is there now; False when its object was deleted, erased or
            evicted, and all of the text with it.
        delta: the steps over the text as it was; see `crdt.delta`. Counts are of code points.
    """

    initial: bool = False
    is_valid: bool = True
    delta: Delta = field(default_factory=list)


class TextObservation(Observation):
    """See `FieldText.observe`."""

    def __init__(self, handle: Handle, name: str, callback: Callable[[TextChange], None]) -> None:
        super().__init__(handle._entity.db)
        self._handle = handle
        self._name = name
        self._callback = callback
        #: What is loaded, and what shows it.
        self._open: tuple[LoadedText, Document] | None = None
        self._shown: Pieces = []
        self._is_valid = True
        self.start()

    def first(self) -> None:
        self._catch_up()
        self._callback(TextChange(True, self._is_valid, inserted(self._shown)))

    def update(self, net: NetChanges) -> None:
        entity = self._handle._entity
        for change in net.get(entity.class_name, ()):
            if key_bytes(change.key) == entity.name[1]:
                was_valid = self._is_valid
                delta = self._catch_up()
                if delta or self._is_valid is not was_valid:
                    self._callback(TextChange(False, self._is_valid, delta))

    def _catch_up(self) -> Delta:
        """Take what is committed; returns what that changed."""
        return self._handle._entity.with_text(self._handle._steps(), self._name, self._take)

    def _take(self, state: Text | None, load: Load) -> Delta:
        before = self._shown
        self._is_valid = state is not None
        news = None
        if state is not None and self._open is not None:
            loaded, document = self._open
            news = loaded.news(state, load, document.ends())
        if news is None or self._open is None:
            self._load(state, load)
            return replaced(before, self._shown)
        if news.is_empty:
            return []
        try:
            delta = document.take_told(write_update(news), before)
        except DecodeError:
            self._open, self._shown = None, []
            return replaced(before, [])
        self._shown = document.pieces()
        return delta

    def _load(self, state: Text | None, load: Load) -> None:
        self._open, self._shown = None, []
        if state is None:
            return
        loaded, document = LoadedText(), Document([])
        news = loaded.news(state, load, {})
        assert news is not None, "nothing was loaded that could be lacking"
        try:
            document.take(write_update(news))
        except DecodeError:  # it shows nothing, as for a reader
            return
        self._open, self._shown = (loaded, document), document.pieces()
