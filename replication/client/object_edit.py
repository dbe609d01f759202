"""One object while a transaction edits it: what it sees, and what it wrote.

Rule 1: what is flat, an object without open lists and inner texts, is edited in its view, which is
        then what is stored; anything else is merged anew from its row.
Rule 2: an object of which only texts were written is kept as it is for the next transaction, and
        its row may lack what was typed (see `typed.py`).
"""

from __future__ import annotations

from typing import Any, Final

from replication.client.entities import ObjectName, Steps, inside
from replication.client.loaded_text import Load
from replication.client.open_lists import OpenLists
from replication.client.replica import Replica, is_settled, state_of
from replication.client.text_editor import TextEditor, Texts
from replication.crdt import object as obj
from replication.crdt.container import Slot, collection_of, list_path
from replication.crdt.edit import Author, ListEditor, Scope, raised, seal
from replication.crdt.incarnation import clone
from replication.crdt.list import Id, all_elements, empty_chunk
from replication.crdt.object import ObjectState, absent, is_alive, merge
from replication.crdt.parts import Parts, Path
from replication.crdt.text import all_updates, empty_text, merge_text
from replication.crdt.units import Update
from replication.errors import NoSuchObjectError
from replication.history.changeset import ObjectDelta
from replication.model.values import Key
from replication.storage.contract import StoredObject


class ObjectEdit:
    """One object while a transaction edits it.

    Attributes:
        view: its state as the transaction sees it; lists in it stay as they were (see `editor`).
        delta: what the transaction wrote.
        editors: the lists that are open.
        replaced: what other lists of it are in may have been replaced, so parts may have to go.
        goes_on: where a transaction left it that wrote to nothing but its texts; `was_read`:
            what is committed of it was read since then.
    """

    __slots__ = ("_has_inner", "_open_lists", "_opened_texts", "_parts", "_replica", "_starts",
                 "_texts", "author", "class_name", "delta", "editors", "goes_on", "key", "name",
                 "replaced", "row", "settled", "start", "view", "was_read")  # fmt: skip

    def __init__(
        self,
        replica: Replica,
        name: ObjectName,
        key: Key,
        author: Author,
        open_lists: OpenLists,
        texts: Texts,
    ) -> None:
        self._replica = replica
        self._texts = texts
        self._opened_texts: dict[tuple[Steps, str], TextEditor] = {}
        #: Whether any of them is of an embedded object.
        self._has_inner = False
        self._open_lists = open_lists
        self.name = name
        self.class_name = class_name = name[0]
        self.key = key
        self.row = stored = replica.row(class_name, key)
        #: The parts as they are after forgetting, where that is still to be written.
        self.settled: Parts | None = None
        if not is_settled(stored, replica.horizon):
            self.row, self.settled = replica.settled(class_name, stored, replica.horizon)
        self._parts: Parts | None = None
        self.author = author
        self.view = state_of(self.row)
        self.start = self.view[0]
        self.delta: ObjectState = [0, self.view[1], [], {}]
        self.replaced = False
        self._starts: dict[Steps, int] = {}
        self.editors: dict[tuple[Steps, Slot], ListEditor] = {}
        self.goes_on = self.was_read = False

    def again(self, replica: Replica, author: Author) -> None:
        """Edit it in another transaction."""
        self._replica, self.author = replica, author
        self._parts = self.settled = None
        self.goes_on = True
        self.delta = [0, self.view[1], [], {}]

    def stored(self, replica: Replica, row: StoredObject) -> None:
        """What was typed before is in the row now. See `typed.py`."""
        self._replica, self.row = replica, row
        self._parts = None
        texts = self.view[3][obj.TEXT] = state_of(row)[3][obj.TEXT]
        for (path, name), editor in self._opened_texts.items():
            if not path:
                state = texts.get(name) or empty_text()
                editor.stored(state, self._load_of((obj.TEXT, name)))

    # -- existence ---------------------------------------------------------------------------
    def create(self) -> None:
        """Bring the object to life, empty."""
        length = raised(self.start, self.view[0], alive=True)
        waiting = None
        if self.view[0] == 0 and self.view[1]:  # edits of an incarnation that left the view
            length, waiting = max(length, self.view[1]), self.view
        self._restart([length, length, [], {}])
        if waiting is not None:
            self.view = merge(waiting, self.view, self.parts)

    def delete(self) -> None:
        """Delete it."""
        self._restart([raised(self.start, self.view[0], alive=False), 0, [], {}])

    def _restart(self, state: ObjectState) -> None:
        self.view = clone(state)
        self.delta = state
        self.replaced = True
        self._starts.clear()
        self.editors.clear()
        self._opened_texts.clear()

    # -- fields ------------------------------------------------------------------------------
    def fields(self, path: Steps = ()) -> obj.Fields | None:
        """The fields at a path, to read only; None where no object is."""
        if not is_alive(self.view):
            return None
        return inside(self.view[3], path, self._element)[0] if path else self.view[3]

    def _element(self, path: Steps, name: str, here: Id) -> obj.Fields | None:
        elements = self.editor(path, name).elements
        return elements.contents.get(here, {}) if here in elements.values else None

    def scope(self, path: Steps = ()) -> Scope:
        """The fields at a path, to read and edit.

        Args:
            path: () for the object's own; each step enters an embedded object: a field name, a
                field name and a dictionary key, or a field name and an element's id.

        Raises:
            NoSuchObjectError: the object or an embedded object on the way is not there.
        """
        if not is_alive(self.view):
            raise NoSuchObjectError(f"{self.class_name} {self.key!r} is deleted")
        scope = Scope(self.view[3], self.delta[3], self.author)
        position = 0
        while position < len(path):
            name = path[position]
            assert isinstance(name, str)
            step = path[position + 1] if position + 1 < len(path) else None
            if isinstance(step, tuple):
                editor = self.editor(path[:position], name)
                if step not in editor.elements.values:
                    raise NoSuchObjectError(f"that element of {name!r} is erased")
                scope = scope.element(name, editor, step)
                position += 2
            elif name in scope.view.get(obj.EMBEDDED, {}):
                if not is_alive(scope.view[obj.EMBEDDED][name]):
                    raise NoSuchObjectError(f"{name!r} of {self.class_name} {self.key!r} is null")
                scope = scope.embedded(name)
                position += 1
            else:
                held = scope.view.get(obj.DICTIONARY, {}).get(name)
                if held is None or step is None or not is_alive(held[2].get(step, absent())):
                    raise NoSuchObjectError(f"{name!r} of {self.class_name} {self.key!r} is null")
                scope = scope.item(name, step)
                position += 2
        return scope

    def starting_length(self, place: Steps, now: int) -> int:
        """The causal length an embedded object's place had before the transaction.

        Args:
            place: the path to it.
            now: its length, asked before this operation changes it.
        """
        return self._starts.setdefault(place, now)

    def editor(self, path: Steps, name: Slot) -> ListEditor:
        """A list of the fields at a path, of a property or a container, open for editing."""
        if (path, name) not in self.editors:
            fields, place = inside(self.view[3], path, self._element)
            if fields is None or not is_alive(self.view):
                raise NoSuchObjectError(f"{self.class_name} {self.key!r} has no object at {path}")
            kept = None if self.replaced else self._open_lists.take(self.name, path, name)
            if kept is None:
                state = collection_of(fields, obj.LIST, name) or [[], empty_chunk()]
                elements = all_elements(state, self.parts, list_path(place, name))
                kept = ListEditor(list(state[0]), elements)
            self.editors[path, name] = kept
        return self.editors[path, name]

    def opened(self, path: Steps, name: str) -> ListEditor | None:
        """The same, if it was opened before."""
        return self.editors.get((path, name))

    def restart_list(self, path: Steps, name: Slot) -> ListEditor:
        """Start a new incarnation of a list: clear, or the first half of assigning."""
        self.scope(path).restart(obj.LIST, name)
        self.editors.pop((path, name), None)
        self.replaced = True
        if isinstance(name, str):
            self.forget_below((*path, name))
        return self.editor(path, name)

    def text(self, path: Steps, name: str) -> TextEditor:
        """The text ``name`` of the fields at ``path``, open for reading and editing."""
        if (path, name) not in self._opened_texts:
            self._has_inner = self._has_inner or bool(path)
            fields, place = inside(self.view[3], path, self._element)
            if fields is None or not is_alive(self.view):
                raise NoSuchObjectError(f"{self.class_name} {self.key!r} has no object at {path}")
            state = fields.get(obj.TEXT, {}).get(name) or empty_text()
            self._opened_texts[path, name] = self._texts.open(
                (self.name, path, name),
                state,
                self._load_of((*place, obj.TEXT, name)),
            )
        return self._opened_texts[path, name]

    def text_updates(self, path: Steps, name: str) -> list[bytes] | None:
        """The updates of a text as its row has it; None where no object is."""
        fields, place = inside(self.view[3] if is_alive(self.view) else None, path, self._element)
        if fields is None:
            return None
        state = fields.get(obj.TEXT, {}).get(name) or empty_text()
        return all_updates(state, self.parts, (*place, obj.TEXT, name))

    def _load_of(self, place: Path) -> Load:
        # Most texts have no parts, and most transactions never look at any.
        return lambda number: self.parts.load(place, [], number)

    def forget_below(self, path: Steps) -> None:
        """Forget the lists and lengths inside of what was replaced or removed.

        Args:
            path: of an embedded object, or of a field with all that is in it.
        """
        self.replaced = True
        end = len(path)
        for known in [each for each in self.editors if each[0][:end] == path]:
            del self.editors[known]
        for known in [each for each in self._opened_texts if each[0][:end] == path]:
            del self._opened_texts[known]
        for place in [each for each in self._starts if len(each) > end and each[:end] == path]:
            del self._starts[place]

    @property
    def parts(self) -> Parts:
        """The parts of the object; most transactions never look at them."""
        if self._parts is None:
            under = self.settled
            self._parts = (
                self._replica.parts(self.class_name, self.row)
                if under is None
                else Parts(under.read, under.names)
            )
        return self._parts

    @property
    def read_parts(self) -> Parts | None:
        """The same, if anybody did; after `result` they tell what changed."""
        return self._parts

    # -- the end -----------------------------------------------------------------------------
    def sealed(self, *, begun: bool) -> ObjectDelta | None:
        """What was written, or None.

        Args:
            begun: whether this file began it without holding it, nobody has said yet in which life
                that is, and what is seen of it is not a later one that came.
        """
        length, at, incarnation, fields = self.delta
        fields = seal(fields)
        if length == 0 and not _says_something(fields):
            return None
        # A row without a length holds only edits of what is out of view by now: where they are of
        # a later life, that is known, and this create is of it.
        blind = begun or (self.start == 0 and length == 1)
        delta = [length, at, incarnation, fields]
        return ObjectDelta(self.class_name, self.key, delta, blind)

    def result(self, delta: ObjectState) -> ObjectState:
        """The state after the transaction."""
        if not self._is_flat:
            after = merge(state_of(self.row), delta, self.parts)
            self._texts_written(after)
            return after
        self._merge_texts(delta[3].get(obj.TEXT, {}))
        fields = self.view[3]
        if self.only_texts(delta):  # all else is as it was stored, or came to nothing
            fields[obj.TEXT] = dict(sorted(fields[obj.TEXT].items()))
            self.view[3] = {kind: held for kind, held in sorted(fields.items()) if held}
            return self.view
        return [*self.view[:3], seal(fields)]

    @property
    def _is_flat(self) -> bool:
        """Whether the view shows what is to be stored, but for texts at the top."""
        replaced = self.replaced and self.row is not None
        return not (self.editors or self._has_inner or replaced) and is_alive(self.view)

    def only_texts(self, delta: ObjectState) -> bool:
        """Whether nothing but texts at the top was written, and the object may be kept as it is."""
        fields = delta[3]
        return obj.TEXT in fields and len(fields) == 1 and not delta[0] and self._is_flat

    def typed(self, delta: ObjectState) -> list[tuple[str, Update]]:
        """What was written, where only texts were and the row is to stay as it is."""
        out: list[tuple[str, Update]] = []
        for name, (_, update) in delta[3][obj.TEXT].items():
            editor = self._opened_texts[(), name]
            for made in self._texts.typed((self.name, (), name), editor, update):
                out.append((name, made))
        return out

    def _merge_texts(self, written: dict[str, Any]) -> None:
        """Take what was typed over into the view, which shows it already: all is at the top."""
        for name, delta in written.items():
            place = (obj.TEXT, name)
            texts = self.view[3].setdefault(obj.TEXT, {})
            texts[name] = merge_text(texts.get(name) or empty_text(), delta, self.parts, place)
            editor, load = self._opened_texts[(), name], self._load_of(place)
            self._texts.written((self.name, (), name), editor, texts[name], load)

    def _texts_written(self, after: ObjectState) -> None:
        for (path, name), editor in self._opened_texts.items():
            if editor.edited and not any(isinstance(step, tuple) for step in path):
                top = after[3] if is_alive(after) else None
                fields, place = inside(top, path, self._element)
                state = (fields or {}).get(obj.TEXT, {}).get(name)
                if state is not None:
                    load = self._load_of((*place, obj.TEXT, name))
                    self._texts.written((self.name, path, name), editor, state, load)


def _says_something(fields: obj.Fields) -> bool:
    # Entering an embedded object or a list to read it leaves an empty shell behind.
    for kind, held in fields.items():
        is_shell = _SHELLS.get(kind)
        if is_shell is None or not all(map(is_shell, held.values())):
            return True
    return False


def _is_shell(state: ObjectState) -> bool:
    return state[0] == 0 and not state[2] and not _says_something(state[3])


def _is_empty(state: Any) -> bool:
    return not state[0] and bool(state[1] == empty_chunk())


_SHELLS: Final = {obj.EMBEDDED: _is_shell, obj.LIST: _is_empty}
