"""Collaborative texts: open for writing, and as an app holds them.

Rule 1: a text is edited in a document that stays loaded from one transaction to the next, as long
        as what is committed is what it shows; else it is loaded anew.
Rule 2: what is written is what the document says it changed: one canonical update an edit.
Rule 3: whoever opens a file draws a client id at random. Where units that were made under it are
        gone from a text (refused, restored, reset), that text is written under another. [TEXT-20]
Rule 4: indexes count code points of what is shown.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from replication.crdt.document import Document, Pieces, is_failure
from replication.crdt.text import end_of
from replication.crdt.updates import (
    causal,
    check_format,
    read_state,
    read_update,
    union,
    write_update,
)
from replication.errors import DecodeError, UsageError, WrongTypeError
from replication.limits import TEXT_CLIENT_MAX
from replication.model.declare import Text

if TYPE_CHECKING:
    from replication.client.entities import Steps
    from replication.client.fields import TextField
    from replication.client.objects import Handle
    from replication.client.values import Place

#: The object, the path to the fields, the field.
TextName: TypeAlias = tuple[tuple[str, bytes], "Steps", str]

#: Texts that stay loaded.
_OPEN_MAX: Final = 16


class TextEditor:
    """A text, open for reading and writing.

    Attributes:
        layout: tail and directory of the state it shows; None while a transaction edits it.
        client: who makes what is typed.
    """

    __slots__ = ("_document", "_kept", "_written", "client", "layout")

    def __init__(self, updates: Iterable[bytes], client: int, layout: Any) -> None:
        self.client = client
        self.layout = layout
        self._document = Document(updates, client)
        self._written: list[bytes] = []
        written = self._written
        self._kept = self._document.doc.observe(lambda event: written.append(event.update))

    def close(self) -> None:
        """Let it go: an observed document is never freed."""
        self._document.doc.unobserve(self._kept)

    def __str__(self) -> str:
        return str(self._document.text)

    def pieces(self) -> Pieces:
        """What it shows."""
        return self._document.pieces()

    def insert(self, index: int, text: str, formats: Mapping[str, Any] | None) -> list[bytes]:
        """Insert before the character at ``index``; returns what that wrote."""
        at = self._offset(index)
        return self._do(lambda: self._document.text.insert(at, text, dict(formats or {}) or None))

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

    def take(self, update: bytes) -> list[bytes]:
        """Apply an update of another editor."""
        return self._do(lambda: self._document.take(update))

    def state(self) -> dict[int, int]:
        """The clock after the last unit of each client."""
        return read_state(self._document.doc.get_state())

    def _do(self, act: Callable[[], None]) -> list[bytes]:
        self.layout = None
        self._written.clear()
        try:
            act()
        except BaseException as error:
            if not is_failure(error):
                raise
            raise UsageError(f"a text that can't be edited so: {error}") from None
        return [write_update(read_update(data)) for data in self._written]

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

    def open(self, name: TextName, state: Any, load: Callable[[], list[bytes]]) -> TextEditor:
        """A text for editing.

        Args:
            state: as it is committed.
            load: gives its updates.

        Raises:
            UsageError: this database has no source of random numbers.
        """
        editor = self._open.get(name)
        if editor is not None and editor.layout is not None and editor.layout == layout_of(state):
            self._open.move_to_end(name)
            return editor
        if editor is not None:
            self._open.pop(name).close()
        editor = TextEditor(load(), self._client_for(name, state), layout_of(state))
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

    def written(self, name: TextName, editor: TextEditor, state: Any) -> None:
        """A transaction that edited a text is about to be committed with this state of it."""
        editor.layout = layout_of(state)
        self._made[name] = (editor.client, end_of(state, editor.client))

    def close(self) -> None:
        """Let all of them go."""
        while self._open:
            self._open.popitem()[1].close()


def layout_of(state: Any) -> Any:
    """What tells two states of one text apart: they share parts that did not change."""
    return [list(state[1]) if isinstance(state[1], list) else state[1], *map(list, state[2:3])]


class FieldText(Text):
    """A text of an object, as an app holds it."""

    __slots__ = ("_field", "_handle")

    def __init__(self, handle: Handle, field: TextField) -> None:
        self._handle = handle
        self._field = field

    # -- reading -----------------------------------------------------------------------------
    def __str__(self) -> str:
        return "".join(piece for piece, _ in self.pieces())

    def __len__(self) -> int:
        return len(str(self))

    def __repr__(self) -> str:
        return repr(str(self))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str | Text):
            return str(self) == str(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, index: int | slice) -> str:
        return str(self)[index]

    def __contains__(self, part: str) -> bool:
        return part in str(self)

    def pieces(self) -> Pieces:
        """Strings in order, each with its formats."""
        handle = self._handle
        handle._fields()
        return handle._entity.text(handle._steps(), self._field.name)

    # -- writing -----------------------------------------------------------------------------
    def insert(self, index: int, text: str, formats: Mapping[str, Any] | None = None) -> None:
        """Insert before the character at ``index``, as `list.insert` does."""
        _check_string(text)
        _check_formats(formats or {})
        place, editor = self._editing()
        if text:
            start = slice(index, None).indices(len(str(editor)))[0]
            self._write(place, editor.insert(start, text, formats))

    def append(self, text: str, formats: Mapping[str, Any] | None = None) -> None:
        """Insert at the end."""
        self.insert(len(self), text, formats)

    def erase(self, index: int, count: int = 1) -> None:
        """Erase ``count`` characters from ``index`` on."""
        place, editor = self._editing()
        self._write(place, editor.erase(index, count))

    def __delitem__(self, index: int | slice) -> None:
        where = index if isinstance(index, slice) else slice(index, index + 1 or None)
        start, stop, _ = where.indices(len(self))
        self.erase(start, max(0, stop - start))

    def format(self, index: int, count: int, formats: Mapping[str, Any]) -> None:
        """Format ``count`` characters from ``index`` on; None takes a format away."""
        _check_formats(formats)
        place, editor = self._editing()
        self._write(place, editor.format(index, count, formats))

    # -- Yjs ---------------------------------------------------------------------------------
    def update(self) -> bytes:
        """All of it, as an update for a Yjs document whose root `text` it is."""
        handle = self._handle
        handle._fields()
        updates = handle._entity.text_updates(handle._steps(), self._field.name)
        return write_update(causal(union(map(read_update, updates)), {}))

    def apply_update(self, update: bytes) -> None:
        """Write what a Yjs document bound to this text wrote.

        Raises:
            DecodeError: it is no update, or holds what no text does.
            UsageError: it builds on what is not here: pass what came before first.
        """
        news = read_update(update)
        place, editor = self._editing()
        known = editor.state()
        following = causal(news, known)
        ends = {client: max(following.end(client), known.get(client, 0)) for client in news.runs}
        if any(ends[client] < news.end(client) for client in news.runs) or any(
            ranges[-1][1] > ends.get(client, known.get(client, 0))
            for client, ranges in news.deleted.items()
        ):
            raise UsageError("an update that builds on others: apply those first")
        self._write(place, editor.take(write_update(following)))

    def _editing(self) -> tuple[Place, TextEditor]:
        place = self._handle._place()
        return place, place.edit.text(place.path, self._field.name)

    def _write(self, place: Place, updates: list[bytes]) -> None:
        write_updates(place, self._field.name, updates)


def write_updates(place: Place, name: str, updates: list[bytes]) -> None:
    """Put what an editor wrote into the running transaction."""
    for data in updates:
        update = read_update(data)
        place.scope.write_text(name, data, {client: update.end(client) for client in update.runs})


def assign_text(place: Place, name: str, text: str) -> None:
    """Make a text show ``text``: what is alike at both ends stays what it is."""
    _check_string(text)
    editor = place.edit.text(place.path, name)
    old = str(editor)
    start = _alike(old, text)
    end = _alike(old[start:][::-1], text[start:][::-1])
    if len(old) - end > start:
        write_updates(place, name, editor.erase(start, len(old) - end - start))
    if len(text) - end > start:
        write_updates(place, name, editor.insert(start, text[start : len(text) - end], None))


def _alike(one: str, other: str) -> int:
    """How many characters two strings share at their start."""
    least = min(len(one), len(other))
    return next((at for at in range(least) if one[at] != other[at]), least)


def _check_string(text: str) -> None:
    try:
        text.encode()
    except (AttributeError, UnicodeEncodeError):
        raise WrongTypeError(f"{text!r:.60} can't stand in a text; pass a str") from None


def _check_formats(formats: Mapping[str, Any]) -> None:
    for name, value in formats.items():
        try:
            check_format(name, json.dumps(value))
        except (DecodeError, TypeError, ValueError, AttributeError) as error:
            raise WrongTypeError(f"format {name!r:.60}: {error}") from None
