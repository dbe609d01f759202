"""Texts that a database has open for writing.

Rule 1: a text is edited in a sequence of units that stays loaded from one transaction to the next,
        and catches up with what is committed (see `loaded_text.py`).
Rule 2: an edit writes one canonical update.
Rule 3: whoever opens a file draws a client id at random. Where units that were made under it are
        gone from a text (refused, restored, reset), that text is written under another. [TEXT-20]
Rule 4: indexes count code points of what is shown.
Rule 5: an object that was typed into stays as that transaction left it: the next one takes it up,
        and may leave its row as it is (see `typed.py`). Whatever else is written to the object
        drops it; a transaction that fails drops all of them, and so does a horizon.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from replication.client.loaded_text import Load, LoadedText
from replication.crdt import formatting
from replication.crdt.delta import Delta, Pieces
from replication.crdt.text import Text as State
from replication.crdt.text import end_of
from replication.crdt.unit_sequence import UnitSequence
from replication.crdt.units import Run, UnitId, Update, joined, normalise
from replication.crdt.updates import write_run, write_update
from replication.errors import UsageError
from replication.limits import TEXT_CLIENT_MAX, TEXT_CLOCK_MAX
from replication.model.encoding import key_bytes
from replication.model.values import Key

if TYPE_CHECKING:
    from replication.client.entities import ObjectName, Steps
    from replication.client.object_edit import ObjectEdit
    from replication.client.replica import Replica
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

    __slots__ = ("_loaded", "_made", "_units", "client", "edited")

    def __init__(self, client: int) -> None:
        self.client = client
        self.edited = False
        #: All that was written since the last commit.
        self._made: list[Update] = []
        self._loaded = LoadedText()
        self._units = UnitSequence()

    def catch_up(self, state: State, load: Load) -> bool:
        """Show what is committed; False where that needs another editor."""
        news = self._loaded.news(state, load, self._units.ends, self._made)
        if news is None:
            return False
        self._made = []
        self.edited = False
        self._units.take(news)
        return True

    def written(self, state: State, load: Load) -> None:
        """What was edited is committed, in this state of the text."""
        self._loaded.shows(state, load)
        self._made = []
        self.edited = False

    def typed(self, update: bytes) -> list[Update]:
        """The same where the state stays as it was, with an update behind it; returns the edits."""
        self._loaded.longer(update)
        made, self._made = self._made, []
        self.edited = False
        return made

    def stored(self, state: State, load: Load) -> None:
        """What was typed before is in this state of the text now."""
        self._loaded.shows(state, load)

    def __str__(self) -> str:
        return str(self._units)

    def __len__(self) -> int:
        return len(self._units)

    def pieces(self) -> Pieces:
        """What it shows."""
        return formatting.pieces(self._units)

    def insert(self, index: int, text: str, formats: Mapping[str, Any] | None) -> list[Written]:
        """Insert before the character at ``index``; returns what that wrote.

        Args:
            formats: None: as what stands there.
        """
        self._check(index)
        units = self._units
        if formats is None or not (formats or units.formats):
            return self._typed(units.type(self.client, index, text))
        return self._tell(formatting.insert(units, self.client, index, text, formats))

    def erase(self, index: int, count: int) -> list[Written]:
        """Erase ``count`` characters from ``index`` on."""
        self._check(index, count)
        if not count:
            return []
        return self._tell(Update({}, self._units.erase(index, count)))

    def format(self, index: int, count: int, formats: Mapping[str, Any]) -> list[Written]:
        """Format ``count`` characters from ``index`` on; None takes a format away."""
        self._check(index, count)
        if not count:
            return []
        return self._tell(formatting.apply(self._units, self.client, index, count, formats))

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

    def take(self, update: Update) -> list[Written]:
        """Apply an update of another editor, which follows what is shown."""
        self._units.take(update)
        return self._tell(update)

    def place_of(self, unit: UnitId) -> int | None:
        """The index of a character, by the id of its unit; None where it is not shown."""
        return self._units.place_of(unit)

    @property
    def ends(self) -> Mapping[int, int]:
        """The clock after the last unit of each client."""
        return self._units.ends

    def _typed(self, run: Run) -> list[Written]:
        """What typing wrote: a run is canonical as it is."""
        self.edited = True
        runs = {self.client: [run]}
        self._loaded.made(runs)
        self._made.append(Update(runs))
        return [Written(write_run(self.client, run), {self.client: run[0] + run[1]})]

    def _tell(self, update: Update) -> list[Written]:
        """What was written, in canonical form."""
        self.edited = True
        if update.is_empty:
            return []
        self._loaded.made(update.runs)
        update.deleted = {client: joined(ranges) for client, ranges in update.deleted.items()}
        normalise(update)
        self._made.append(update)
        ends = {client: update.end(client) for client in update.runs}
        return [Written(write_update(update), ends)]

    def _check(self, index: int, count: int = 0) -> None:
        size = len(self._units)
        if not 0 <= index <= index + count <= size:
            wrong = index if not 0 <= index <= size else index + count
            raise IndexError(f"index {wrong} in a text of {size} characters")


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
        #: Objects that were typed into. Rule 5.
        self._kept: OrderedDict[ObjectName, ObjectEdit] = OrderedDict()

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
        editor = TextEditor(self._client_for(name, state))
        editor.catch_up(state, load)
        self._open[name] = editor
        if len(self._open) > _OPEN_MAX:
            self._open.popitem(last=False)
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

    def keep(self, edit: ObjectEdit) -> None:
        """A transaction wrote nothing to an object but its texts: the next may go on with it."""
        edit.was_read = False
        self._kept[edit.name] = edit
        if len(self._kept) > _OPEN_MAX:
            self._kept.popitem(last=False)

    def take(self, name: ObjectName) -> ObjectEdit | None:
        """What was kept of an object: it is the caller's."""
        return self._kept.pop(name, None)

    def note_read(self, name: ObjectName) -> None:
        """Somebody read what is committed of an object. Rule 4 of `typed.py`."""
        edit = self._kept.get(name)
        if edit is not None:
            edit.was_read = True

    def drop(self, objects: Iterable[tuple[str, Key]]) -> None:
        """These objects were written to otherwise."""
        if self._kept:
            for class_name, key in objects:
                self._kept.pop((class_name, key_bytes(key)), None)

    def clear(self) -> None:
        """Anything may have been written, or taken back."""
        self._kept.clear()

    def catch_up(self, replica: Replica, open_edit: ObjectEdit | None = None) -> None:
        """Write the row of the object that was typed into, if there is one. See `typed.py`.

        Args:
            open_edit: that object, where a transaction has taken it.
        """
        typed, row = replica.typed, replica.catch_up()
        if typed is None or row is None:
            return
        edit = open_edit or self._kept.get(typed.name)
        if edit is not None:
            edit.stored(replica, row)

    def renounce(self, name: TextName) -> None:
        """Units that were made in a text are gone: make no others under that client id. Rule 3."""
        self._kept.pop(name[0], None)
        self._made[name] = (self._client, TEXT_CLOCK_MAX + 1)

    def written(self, name: TextName, editor: TextEditor, state: State, load: Load) -> None:
        """A transaction that edited a text is about to be committed with this state of it."""
        editor.written(state, load)
        self._made[name] = (editor.client, end_of(state, editor.client))

    def typed(self, name: TextName, editor: TextEditor, update: bytes) -> list[Update]:
        """The same where its state stays as it was, with an update behind it; returns the edits."""
        self._made[name] = (editor.client, editor.ends.get(editor.client, 0))
        return editor.typed(update)


def write_updates(scope: Scope, name: str, written: list[Written]) -> None:
    """Put what an editor of the text ``name`` wrote into the running transaction."""
    for update, ends in written:
        scope.write_text(name, update, ends)
