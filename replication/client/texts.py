"""Collaborative texts, as an app holds them.

Rule 1: indexes count code points of what is shown.
Rule 2: whoever observes a text is told its changes as deltas (see `crdt.delta`): first what it
        shows, then what each transaction changed, local or not, as live results are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from replication.client.text_editor import TextEditor, write_updates
from replication.crdt.delta import Delta, Pieces
from replication.crdt.formatting import spelled
from replication.crdt.union import causal, is_whole, union
from replication.crdt.updates import check_format, read_update, write_update
from replication.errors import DecodeError, UsageError, WrongTypeError
from replication.model.declare import Text

if TYPE_CHECKING:
    from replication.client.fields import TextField
    from replication.client.objects import Handle
    from replication.client.text_observation import TextChange, TextObservation
    from replication.client.values import Place


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

    def observe(self, callback: Callable[[TextChange], None]) -> TextObservation:
        """Call ``callback`` now, and after each transaction that changed what this text shows.

        What it raises goes to `Database.on_callback_error`. It may write to the text.

        Returns:
            The observation: a context manager; `stop` ends it.

        Raises:
            NoSuchObjectError: there is no such object.
            UsageError: a write transaction is running in this thread.
        """
        from replication.client.text_observation import TextObservation  # it is made of texts

        self._handle._fields()
        return TextObservation(self._handle, self._field.name, callback)

    # -- writing -----------------------------------------------------------------------------
    def insert(self, index: int, text: str, formats: Mapping[str, Any] | None = None) -> None:
        """Insert before the character at ``index``, as `list.insert` does.

        Args:
            formats: of what is inserted; None: those of the character before it.
        """
        _check_string(text)
        if formats:
            _check_formats(formats)
        place, editor = self._editing()
        if text:
            start = slice(index, None).indices(len(editor))[0]
            write_updates(place.scope, self._field.name, editor.insert(start, text, formats))

    def append(self, text: str, formats: Mapping[str, Any] | None = None) -> None:
        """Insert at the end."""
        self.insert(sys.maxsize, text, formats)

    def erase(self, index: int, count: int = 1) -> None:
        """Erase ``count`` characters from ``index`` on."""
        place, editor = self._editing()
        write_updates(place.scope, self._field.name, editor.erase(index, count))

    def __delitem__(self, index: int | slice) -> None:
        where = index if isinstance(index, slice) else slice(index, index + 1 or None)
        place, editor = self._editing()
        start, stop, _ = where.indices(len(editor))
        write_updates(place.scope, self._field.name, editor.erase(start, max(0, stop - start)))

    def format(self, index: int, count: int, formats: Mapping[str, Any]) -> None:
        """Format ``count`` characters from ``index`` on; None takes a format away."""
        _check_formats(formats)
        place, editor = self._editing()
        write_updates(place.scope, self._field.name, editor.format(index, count, formats))

    def apply_delta(self, delta: Delta) -> None:
        """Do what a delta says (see `crdt.delta`), as one that `observe` told elsewhere.

        Raises:
            WrongTypeError: it is no delta of a text.
            IndexError: it is one of a longer text.
        """
        _check_delta(delta)
        place, editor = self._editing()
        end = sum(step.get("retain", 0) + step.get("delete", 0) for step in delta)
        if end > len(editor):
            raise IndexError(f"a delta over {end} characters, in a text of {len(editor)}")
        write_updates(place.scope, self._field.name, editor.apply(delta))

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
        known = editor.ends
        following = causal(news, known)
        if not is_whole(following, news, known):
            raise UsageError("an update that builds on others: apply those first")
        write_updates(place.scope, self._field.name, editor.take(following))

    def _editing(self) -> tuple[Place, TextEditor]:
        place = self._handle._place()
        return place, place.edit.text(place.path, self._field.name)


def assign_text(place: Place, name: str, text: str) -> None:
    """Make a text show ``text``: what is alike at both ends stays what it is."""
    _check_string(text)
    editor = place.edit.text(place.path, name)
    old = str(editor)
    start = _alike(old, text)
    end = _alike(old[start:][::-1], text[start:][::-1])
    if len(old) - end > start:
        write_updates(place.scope, name, editor.erase(start, len(old) - end - start))
    if len(text) - end > start:
        write_updates(place.scope, name, editor.insert(start, text[start : len(text) - end], None))


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
            check_format(name, spelled(value))
        except (DecodeError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise WrongTypeError(f"format {name!r:.60}: {error}") from None


def _check_delta(delta: Delta) -> None:
    for step in delta:
        kind = next(iter(step.keys() - {"attributes"}), None) if isinstance(step, dict) else None
        if kind == "insert":
            _check_string(step[kind])
        elif kind not in ("retain", "delete") or type(step[kind]) is not int or step[kind] < 1:
            raise WrongTypeError(f"{step!r:.60} is no step of a delta: see `crdt.delta`")
        _check_formats(step.get("attributes", {}))
