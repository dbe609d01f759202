"""Texts that a database has open for writing.

Rule 1: a text is edited in a document that stays loaded from one transaction to the next, and
        catches up with what is committed (see `loaded_text.py`).
Rule 2: what is written is what the document says it changed: one canonical update an edit.
Rule 3: whoever opens a file draws a client id at random. Where units that were made under it are
        gone from a text (refused, restored, reset), that text is written under another. [TEXT-20]
Rule 4: indexes count code points of what is shown.
Rule 5: one edit costs the same however long the text is, as long as that is ASCII: the native code
        counts bytes of UTF-8, which are counted out otherwise.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from replication.client.loaded_text import Load, LoadedText
from replication.crdt.delta import Delta, Pieces
from replication.crdt.document import is_failure
from replication.crdt.text import Text as State
from replication.crdt.text import end_of
from replication.crdt.updates import EMPTY, read_number, read_update, write_update
from replication.errors import UsageError
from replication.limits import TEXT_CLIENT_MAX, TEXT_CLOCK_MAX

if TYPE_CHECKING:
    from replication.client.entities import Steps
    from replication.crdt.edit import Scope

#: The object, the path to the fields, the field.
TextName: TypeAlias = tuple[tuple[str, bytes], "Steps", str]

#: Texts that stay loaded.
_OPEN_MAX: Final = 16


class Written(NamedTuple):
    """What an edit wrote: a canonical update, and the clock after each client's last unit in it."""

    update: bytes
    ends: dict[int, int]


class TextEditor:
    """A text, open for reading and writing.

    Args:
        client: who makes what is typed.

    Attributes:
        edited: by a transaction that goes on, or that failed.
    """

    __slots__ = ("_ascii", "_document", "_kept", "_loaded", "_made", "_written", "client", "edited")

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
        #: How many characters it shows, where it is known that all are ASCII. Rule 5.
        self._ascii: int | None = None

    def close(self) -> None:
        """Let it go: an observed document is never freed."""
        self._document.doc.unobserve(self._kept)

    def catch_up(self, state: State, load: Load) -> bool:
        """Show what is committed; False where that needs another editor."""
        news = self._loaded.news(state, load, self._made)
        if news is None:
            return False
        self._made.clear()
        self.edited = False
        if news != EMPTY:
            self._document.take(news)
            self._ascii = None
        return True

    def written(self, state: State, load: Load) -> None:
        """What was edited is committed, in this state of the text."""
        self._loaded.shows(state, load)
        self._made.clear()
        self.edited = False

    def __str__(self) -> str:
        return str(self._document.text)

    def __len__(self) -> int:
        if self._ascii is None:
            text = str(self)
            if not text.isascii():
                return len(text)
            self._ascii = len(text)
        return self._ascii

    def pieces(self) -> Pieces:
        """What it shows."""
        return self._document.pieces()

    def insert(self, index: int, text: str, formats: Mapping[str, Any] | None) -> list[Written]:
        """Insert before the character at ``index``; returns what that wrote.

        Args:
            formats: None: as what stands there.
        """
        at = self._offset(index)
        given = None if formats is None else dict(formats)
        held = self._ascii
        self._act(lambda: self._document.text.insert(at, text, given))
        if not text.isascii():
            return self._read()
        if held is not None:
            self._ascii = held + len(text)
        return self._one(_typed(self._written, len(text))) or self._read()

    def erase(self, index: int, count: int) -> list[Written]:
        """Erase ``count`` characters from ``index`` on."""
        start, end = self._offset(index), self._offset(index + count)
        held = self._ascii

        def act() -> None:
            del self._document.text[start:end]

        self._act(act)
        if held is not None:
            self._ascii = held - count
        return self._one(_erased(self._written)) or self._read()

    def format(self, index: int, count: int, formats: Mapping[str, Any]) -> list[Written]:
        """Format ``count`` characters from ``index`` on; None takes a format away."""
        start, end = self._offset(index), self._offset(index + count)
        held = self._ascii
        self._act(lambda: self._document.text.format(start, end, dict(formats)))
        self._ascii = held
        return self._read()

    def apply(self, delta: Delta) -> list[Written]:
        """Do what a delta says."""
        out: list[Written] = []
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

    def take(self, update: bytes) -> list[Written]:
        """Apply an update of another editor."""
        self._act(lambda: self._document.take(update))
        return self._read()

    def state(self) -> dict[int, int]:
        """The clock after the last unit of each client."""
        return self._loaded.state()

    def _act(self, act: Callable[[], None]) -> None:
        """Edit the document, which then has told what it wrote."""
        self.edited = True
        self._ascii = None
        self._written.clear()
        try:
            act()
        except BaseException as error:
            if not is_failure(error):
                raise
            self.close()
            self._use(self._loaded.again(self.client, self._made))
            raise UsageError(f"a text that can't be edited so: {error}") from None

    def _read(self) -> list[Written]:
        """What was written, in canonical form."""
        out = []
        for data in self._written:
            update = read_update(data)
            self._loaded.made(update)
            ends = {client: update.end(client) for client in update.runs}
            out.append(Written(write_update(update), ends))
        self._made += [each.update for each in out]
        return out

    def _one(self, written: Written | None) -> list[Written]:
        """The same where it was told that what was written is canonical as it is."""
        if written is None:
            return []
        self._made.append(written.update)
        return [written]

    def _offset(self, index: int) -> int:
        """Where a character is in UTF-8, as the document counts."""
        size = len(self)
        if not 0 <= index <= size:
            raise IndexError(f"index {index} in a text of {size} characters")
        return index if self._ascii is not None else len(str(self)[:index].encode())


def _typed(written: list[bytes], count: int) -> Written | None:
    """What typing ``count`` ASCII characters wrote, if that is one struct: then it is canonical."""
    if len(written) != 1 or not (written[0].startswith(b"\1\1") and written[0].endswith(b"\0")):
        return None
    client, at = read_number(written[0], 2)
    clock, _ = read_number(written[0], at)
    return Written(written[0], {client: clock + count})


def _erased(written: list[bytes]) -> Written | None:
    """What erasing wrote, if that is one range: then it is canonical."""
    if len(written) != 1 or not written[0].startswith(b"\0\1"):
        return None
    _, at = read_number(written[0], 2)
    return Written(written[0], {}) if written[0][at] == 1 else None


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


def write_updates(scope: Scope, name: str, written: list[Written]) -> None:
    """Put what an editor of the text ``name`` wrote into the running transaction."""
    for update, ends in written:
        scope.write_text(name, update, ends)
