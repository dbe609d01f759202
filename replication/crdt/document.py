"""Texts as they are read: the units of an update in their order, formats applied. [MERGE-TEXT]

The order of units is that of Yjs, and `pycrdt` computes it. It is native code, which hostile bytes
can make do anything: nothing reaches it but one canonical update that `causal` has passed. What
it panics on all the same shows nothing.

Rule 1: a unit is shown if it follows what is known (see `updates.causal`), is a string's and is
        not deleted. [MERGE-TEXT-4]
Rule 2: a document is for one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from replication.crdt.delta import Delta, Pieces, integers, spell, told
from replication.crdt.text import all_updates
from replication.crdt.union import causal, union
from replication.crdt.updates import ROOT_NAME, read_state, read_update, write_update
from replication.errors import DecodeError

if TYPE_CHECKING:
    import pycrdt

    from replication.crdt.parts import Parts, Path
    from replication.crdt.text import Text


class Document:
    """A text loaded for reading.

    Args:
        updates: their union is loaded, as far as it follows.
    """

    __slots__ = ("doc", "text")

    def __init__(self, updates: Iterable[bytes]) -> None:
        import pycrdt  # slow to import, and most programs hold no texts

        self.doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=0)
        self.text: pycrdt.Text = self.doc.get(ROOT_NAME, type=pycrdt.Text)
        held = [read_update(data) for data in updates]
        if held:
            self.take(write_update(causal(union(held), {})))

    def take(self, update: bytes) -> None:
        """Apply an update that follows what is here.

        Raises:
            DecodeError: the native code does not understand it; the document is of no use now.
        """
        try:
            self.doc.apply_update(update)
        except BaseException as error:
            if not is_failure(error):
                raise
            raise DecodeError(f"a text that can't be loaded: {error}") from None

    def take_told(self, update: bytes, before: Pieces) -> Delta:
        """The same; returns what that changed.

        Args:
            before: what is shown.
        """
        events: list[Any] = []

        def tell(event: Any) -> None:
            events.extend(event.delta)

        kept = self.text.observe(tell)
        try:
            self.take(update)
        finally:
            self.text.unobserve(kept)
        return told(events, before)

    def ends(self) -> dict[int, int]:
        """The clock after the last unit of each client."""
        return read_state(self.doc.get_state())

    def pieces(self) -> Pieces:
        """What is shown; neighbours have different formats."""
        out: Pieces = []
        last = ""
        for piece, found in self.text.diff():
            formats = {} if found is None else integers(found)
            spelled = spell(formats)
            if spelled == last:
                out[-1] = (out[-1][0] + piece, formats)
            else:
                out.append((piece, formats))
            last = spelled
        return out


def is_failure(error: BaseException) -> bool:
    """Whether the native code refused something, or panicked: that is no `Exception`."""
    return isinstance(error, ValueError) or type(error).__name__ == "PanicException"


def pieces_of(updates: list[bytes]) -> Pieces:
    """What is shown of a text, loaded for this once."""
    if not updates:
        return []
    try:
        return Document(updates).pieces()
    except DecodeError:
        return []


def text_view(state: Text, parts: Parts | None, path: Path) -> Any:
    """Canonical value of a text: its string or, where some of it is formatted, its pieces."""
    pieces = pieces_of(all_updates(state, parts, path))
    if any(formats for _, formats in pieces):
        return [[piece, dict(sorted(formats.items()))] for piece, formats in pieces]
    return "".join(piece for piece, _ in pieces)
