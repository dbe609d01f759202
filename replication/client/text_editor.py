"""Texts that a database has open for writing.

Rule 1: a text is edited in a document that stays loaded from one transaction to the next, and
        catches up with what is committed (see `loaded_text.py`).
Rule 2: what is written is what the document says it changed: one canonical update an edit.
Rule 3: whoever opens a file draws a client id at random. Where units that were made under it are
        gone from a text (refused, restored, reset), that text is written under another. [TEXT-20]
Rule 4: indexes count code points of what is shown.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from replication.client.loaded_text import Load, LoadedText
from replication.crdt.delta import Delta, Pieces
from replication.crdt.document import is_failure
from replication.crdt.text import Text as State
from replication.crdt.text import end_of
from replication.crdt.updates import EMPTY, read_update, write_update
from replication.errors import UsageError
from replication.limits import TEXT_CLIENT_MAX, TEXT_CLOCK_MAX

if TYPE_CHECKING:
    from replication.client.entities import Steps
    from replication.crdt.edit import Scope

#: The object, the path to the fields, the field.
TextName: TypeAlias = tuple[tuple[str, bytes], "Steps", str]

#: Texts that stay loaded.
_OPEN_MAX: Final = 16


class TextEditor:
    """A text, open for reading and writing.

    Args:
        client: who makes what is typed.

    Attributes:
        edited: by a transaction that goes on, or that failed.
    """

    __slots__ = ("_document", "_kept", "_loaded", "_made", "_written", "client", "edited")

    def __init__(self, client: int) -> None:
        self.client = client
        self.edited = False
        self._written: list[bytes] = []
        #: All that was written since the last commit.
        self._made: list[bytes] = []
        self._use(LoadedText(client))

    def _use(self, loaded: LoadedText) -> None:
        self._loaded = loaded
        self._document = loaded.document
        written = self._written
        self._kept = self._document.doc.observe(lambda event: written.append(event.update))

    def close(self) -> None:
        """Let it go: an observed document is never freed."""
        self._document.doc.unobserve(self._kept)

    def catch_up(self, state: State, load: Load) -> bool:
        """Show what is committed; False where that needs another editor."""
        news = None if self.edited else self._loaded.news(state, load)
        if news is None:
            return False
        if news != EMPTY:
            self._document.take(news)
        return True

    def written(self, state: State, load: Load) -> None:
        """What was edited is committed, in this state of the text."""
        self._loaded.shows(state, load)
        self._made.clear()
        self.edited = False

    def __str__(self) -> str:
        return str(self._document.text)

    def pieces(self) -> Pieces:
        """What it shows."""
        return self._document.pieces()

    def insert(self, index: int, text: str, formats: Mapping[str, Any] | None) -> list[bytes]:
        """Insert before the character at ``index``; returns what that wrote.

        Args:
            formats: None: as what stands there.
        """
        at = self._offset(index)
        given = None if formats is None else dict(formats)
        return self._do(lambda: self._document.text.insert(at, text, given))

    def erase(self, index: int, count: int) -> list[bytes]:
        """Erase ``count`` characters from ``index`` on."""
        start, end = self._offset(index), self._offset(index + count)

        def act() -> None:
            del self._document.text[start:end]

        return self._do(act)

    def format(self, index: int, count: int, formats: Mapping[str, Any]) -> list[bytes]:
        """Format ``count`` characters from ``index`` on; None takes a format away."""
        start, end = self._offset(index), self._offset(index + count)
        return self._do(lambda: self._document.text.format(start, end, dict(formats)))

    def apply(self, delta: Delta) -> list[bytes]:
        """Do what a delta says."""
        out: list[bytes] = []
        at = 0
        for step in delta:
            formats = step.get("attributes")
            if "insert" in step:
                out += self.insert(at, step["insert"], formats or {})
                at += len(step["insert"])
            elif "delete" in step:
                out += self.erase(at, step["delete"])
            else:
                if formats:
                    out += self.format(at, step["retain"], formats)
                at += step["retain"]
        return out

    def take(self, update: bytes) -> list[bytes]:
        """Apply an update of another editor."""
        return self._do(lambda: self._document.take(update))

    def state(self) -> dict[int, int]:
        """The clock after the last unit of each client."""
        return self._loaded.state()

    def _do(self, act: Callable[[], None]) -> list[bytes]:
        self.edited = True
        self._written.clear()
        try:
            act()
        except BaseException as error:
            if not is_failure(error):
                raise
            self.close()
            self._use(self._loaded.again(self.client, self._made))
            raise UsageError(f"a text that can't be edited so: {error}") from None
        written = [read_update(data) for data in self._written]
        for update in written:
            self._loaded.made(update)
        out = [write_update(update) for update in written]
        self._made += out
        return out

    def _offset(self, index: int) -> int:
        """Where a character is in UTF-8, as the document counts."""
        text = str(self)
        if not 0 <= index <= len(text):
            raise IndexError(f"index {index} in a text of {len(text)} characters")
        return index if text.isascii() else len(text[:index].encode())


class Texts:
    """The texts that a database has open for writing.

    Args:
        entropy: returns a random number of at least 53 bits; None where no text is written.
    """

    def __init__(self, entropy: Callable[[], int] | None) -> None:
        self._entropy = entropy
        self._client = 0
        self._open: OrderedDict[TextName, TextEditor] = OrderedDict()
        #: The client id and the clock after the last unit that was made in a text. Rule 3.
        self._made: dict[TextName, tuple[int, int]] = {}

    def open(self, name: TextName, state: State, load: Load) -> TextEditor:
        """A text for editing.

        Args:
            state: as it is committed.
            load: gives the updates in its parts.

        Raises:
            UsageError: this database has no source of random numbers.
        """
        editor = self._open.get(name)
        if editor is not None and editor.catch_up(state, load):
            self._open.move_to_end(name)
            return editor
        if editor is not None:
            self._open.pop(name).close()
        editor = TextEditor(self._client_for(name, state))
        editor.catch_up(state, load)
        self._open[name] = editor
        if len(self._open) > _OPEN_MAX:
            self._open.popitem(last=False)[1].close()
        return editor

    def _client_for(self, name: TextName, state: Any) -> int:
        client, end = self._made.get(name, (self._client, 0))
        if client == 0 or end_of(state, client) < end:
            if self._entropy is None:
                raise UsageError(
                    "writing texts needs random numbers: open the database with entropy=..."
                )
            client = self._entropy() % TEXT_CLIENT_MAX + 1
        self._client = self._client or client
        return client

    @property
    def can_write(self) -> bool:
        """Whether there are random numbers to write texts with."""
        return self._entropy is not None

    def renounce(self, name: TextName) -> None:
        """Units that were made in a text are gone: make no others under that client id. Rule 3."""
        self._made[name] = (self._client, TEXT_CLOCK_MAX + 1)

    def written(self, name: TextName, editor: TextEditor, state: State, load: Load) -> None:
        """A transaction that edited a text is about to be committed with this state of it."""
        editor.written(state, load)
        self._made[name] = (editor.client, end_of(state, editor.client))

    def close(self) -> None:
        """Let all of them go."""
        while self._open:
            self._open.popitem()[1].close()


def write_updates(scope: Scope, name: str, updates: list[bytes]) -> None:
    """Put what an editor of the text ``name`` wrote into the running transaction."""
    for data in updates:
        update = read_update(data)
        scope.write_text(name, data, {client: update.end(client) for client in update.runs})
