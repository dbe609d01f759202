"""What was typed last: it is in the log of pending changesets, and not in its object's row yet.

Typing into a text is many small commits. To work the row out anew, and to write it, would cost
each of them about as much as all the rest.

Rule 1: the last pending changesets may be *typed*: each wrote to texts of one object and to nothing
        else, all of them to the same object. Its row is as it was before the first of them; the
        record says which object that is, and the client version of the first.
Rule 2: a text is a union of updates. Whoever reads the row puts those behind it (`as_shown`), in
        one read transaction; so does another process.
Rule 3: every other commit and all synchronisation write the row first (`Replica.catch_up`). So
        does who types, once there are many, or too many bytes of them.
Rule 4: a row that this process read since the last commit is written with the next one: to whoever
        reads after each commit, as observers do, to put updates behind a row costs more than that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from replication.client.records import META, PENDING
from replication.crdt import object as obj
from replication.crdt.text import Text, appended, empty_text, text_of
from replication.crdt.union import union
from replication.crdt.units import Update
from replication.crdt.updates import read_update
from replication.history.changeset import decode_trusted
from replication.limits import TEXT_TAIL_BYTES_MAX
from replication.model.encoding import key_bytes, pack, sorted_map, unpack_trusted
from replication.model.values import Key
from replication.storage.contract import Reader, StoredObject, Writer, int_key

if TYPE_CHECKING:
    from replication.client.entities import ObjectName

#: The record of Rule 1: [class, key, client version].
_RECORD: Final = b"typed"
#: Changesets that wait: readers take each of them apart.
_CHANGESETS_MAX: Final = 32
_BYTES_MAX: Final = TEXT_TAIL_BYTES_MAX


class Typed(NamedTuple):
    """What the row of an object lacks, decoded.

    Attributes:
        ident: under which it was typed.
        first: the client version of the first changeset of it.
        changesets: how many it is; `size`: bytes of all updates.
        updates: each with the name of the text, in their order.
    """

    name: ObjectName
    key: Key
    ident: int
    first: int
    changesets: int = 0
    size: int = 0
    updates: tuple[tuple[str, Update], ...] = ()

    @property
    def is_full(self) -> bool:
        """Whether the row is to be written now. Rule 3."""
        return self.changesets >= _CHANGESETS_MAX or self.size > _BYTES_MAX

    def more(self, updates: list[tuple[str, Update]], size: int) -> Typed:
        """The same with those of one more changeset."""
        return self._replace(
            changesets=self.changesets + 1,
            size=self.size + size,
            updates=(*self.updates, *updates),
        )

    def texts(self) -> dict[str, Text]:
        """What was typed in each text, in one piece, as a delta has it."""
        of: dict[str, list[Update]] = {}
        for name, update in self.updates:
            of.setdefault(name, []).append(update)
        return {name: text_of(union(of[name]), self.ident) for name in sorted(of)}


def begin(writer: Writer, typed: Typed) -> None:
    """Note that the row of an object is not to be written for a while. Rule 1."""
    writer.put_record(META, _RECORD, pack([typed.name[0], typed.key, typed.first]))


def end(writer: Writer) -> None:
    """Note that it is written."""
    writer.delete_record(META, _RECORD)


def load(reader: Reader, ident: int) -> Typed | None:
    """What was typed last, of a file with this ident; None where all rows are up to date."""
    record = reader.record(META, _RECORD)
    if record is None:
        return None
    class_name, key, first = unpack_trusted(record)
    out = Typed((class_name, key_bytes(key)), key, ident, first)
    for texts in _texts(reader, first):
        updates = [(name, read_update(text[1])) for name, text in texts.items()]
        out = out.more(updates, sum(len(text[1]) for text in texts.values()))
    return out


def as_shown(reader: Reader, class_name: str, row: StoredObject) -> StoredObject:
    """A row of a client file with what it lacks. Rule 2.

    The tails of its texts may hold more updates than those of a row that was written.
    """
    record = reader.record(META, _RECORD)
    if record is None:
        return row
    typed_class, key, first = unpack_trusted(record)
    if typed_class != class_name or key_bytes(key) != key_bytes(row.key):
        return row
    state = unpack_trusted(row.head)
    held = state[3][obj.TEXT]  # there: a commit that only typed wrote this row
    for texts in _texts(reader, first):
        for name, text in texts.items():
            held[name] = appended(held.get(name) or empty_text(), text)
    state[3][obj.TEXT] = sorted_map(held)
    return row._replace(head=pack(state))


def _texts(reader: Reader, first: int) -> Iterator[dict[str, Text]]:
    """What each of the typed changesets wrote."""
    for _, data in reader.records(PENDING, first=int_key(first)):
        (item,) = decode_trusted(unpack_trusted(data)[0]).objects
        texts: dict[str, Any] = item.delta[3][obj.TEXT]
        yield texts
