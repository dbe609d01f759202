"""Text that was typed after a refused one is typed again. [TEXT-25]

Units follow units: where the server refuses a text, it refuses what was typed into it later, too,
as dependent, though nothing may be wrong with that.

Rule 1: what later deltas of this file changed in a text, beside what was refused for a reason of
        its own, is done again at the same places in a new changeset, under another client id, as
        soon as the refusal is known. Their own refusals, whenever those come, are no loss.
Rule 2: nothing of an atomic changeset is done again without the rest of it.
Rule 3: a dependent delta that would follow what is here is refused for something else, and lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from replication.client.entities import ObjectName, Steps
from replication.client.integration import Integration
from replication.client.open_lists import OpenLists
from replication.client.records import PENDING
from replication.client.text_editor import write_updates
from replication.client.transaction import Transaction
from replication.clock import HybridClock
from replication.crdt import object as obj
from replication.crdt.delta import Delta
from replication.crdt.document import Document
from replication.crdt.edit import Author
from replication.crdt.text import Text, blank
from replication.crdt.union import causal, is_whole, union
from replication.crdt.units import Update
from replication.crdt.updates import read_update, write_update
from replication.history.changeset import decode_trusted, encode
from replication.model.encoding import key_bytes, pack
from replication.model.values import Key
from replication.protocol.refusals import DEPENDS, Refusal
from replication.storage.contract import int_key

#: The object, the path to the fields, the field.
_Where: TypeAlias = tuple[ObjectName, Steps, str]


class Rewrite(NamedTuple):
    """A changeset of this file and what the server made of it."""

    version: int
    original: bytes
    rewritten: bytes


class _Case:
    """A text some of which was refused.

    Attributes:
        first: the client version of the first refused delta.
        refused: deltas that were, for a reason of their own.
        dependent: those that build on them, refused already or about to be, each with the indexes
            of its refusals.
    """

    def __init__(self, key: Key, first: int) -> None:
        self.key = key
        self.first = first
        self.refused: list[Text] = []
        self.dependent: list[tuple[Text, list[int]]] = []


def retype(work: Integration, rewrites: list[Rewrite], refusals: list[Refusal]) -> list[Refusal]:
    """Do again what dependent texts of an ACK changed; the views are without them already.

    Returns the refusals that are left to be told.
    """
    cases: dict[_Where, _Case] = {}
    for rewrite in rewrites:
        _gather(cases, rewrite, refusals)
    if not cases:
        return refusals
    answered: set[int] = set()
    transaction = _begin(work)
    for where, case in cases.items():
        work.texts.renounce(where)
        _add_later(work, where, case)
        answered |= _do_again(work, transaction, where, case)
    _finish(work, transaction)
    return [refusal for at, refusal in enumerate(refusals) if at not in answered]


def _gather(cases: dict[_Where, _Case], rewrite: Rewrite, refusals: list[Refusal]) -> None:
    """Sort the texts that a rewritten changeset lost."""
    version, original, rewritten = rewrite
    left = {
        (item.class_name, key_bytes(item.key), steps, field)
        for item in decode_trusted(rewritten).objects
        for steps, field, _ in _texts_in(item.delta[3])
    }
    changeset = decode_trusted(original)
    for item in changeset.objects:
        name = (item.class_name, key_bytes(item.key))
        for steps, field, text in _texts_in(item.delta[3]):
            if (*name, steps, field) in left:
                continue
            case = cases.setdefault((name, steps, field), _Case(item.key, version))
            reasons = _reasons(refusals, version, name, (*steps, field))
            if changeset.atomic or any(refusals[at].reason != DEPENDS for at in reasons or [0]):
                case.refused.append(text)
            else:
                case.dependent.append((text, reasons))


def _texts_in(fields: obj.Fields, steps: Steps = ()) -> Iterator[tuple[Steps, str, Text]]:
    """The texts in the fields of a delta, and where they are."""
    for name, text in fields.get(obj.TEXT, {}).items():
        yield steps, name, text
    for name, held in fields.get(obj.EMBEDDED, {}).items():
        yield from _texts_in(held[3], (*steps, name))
    for name, held in fields.get(obj.DICTIONARY, {}).items():
        for key, item in held[2].items():
            yield from _texts_in(item[3], (*steps, name, key))
    for name, held in fields.get(obj.LIST, {}).items():
        for ident, sequence, inner in held[1][4]:
            yield from _texts_in(inner, (*steps, name, (ident, sequence)))


def _reasons(refusals: list[Refusal], version: int, name: ObjectName, steps: Steps) -> list[int]:
    """The refusals of a part: those with the longest path that leads there."""
    way = [list(step) if isinstance(step, tuple) else step for step in steps]
    found: dict[int, list[int]] = {}
    for at, (client_version, class_name, key, path, *_) in enumerate(refusals):
        if (client_version, class_name) != (version, name[0]) or key is None:
            continue
        if key_bytes(key) == name[1] and path == way[: len(path)]:
            found.setdefault(len(path), []).append(at)
    return found[max(found)] if found else []


def _add_later(work: Integration, where: _Where, case: _Case) -> None:
    """What is still pending will be refused where it follows what was: it is done again, too."""
    name, steps, field = where
    for version in work.pending.get(name, []):
        if version <= case.first:
            continue
        atomic = work.changeset(version).atomic
        for delta in work.deltas(name, [version]):
            for text in (t for s, f, t in _texts_in(delta[3]) if (s, f) == (steps, field)):
                if atomic:
                    case.refused.append(text)
                else:
                    case.dependent.append((text, []))


def _do_again(work: Integration, transaction: Transaction, where: _Where, case: _Case) -> set[int]:
    """Rules 1 to 3; returns which refusals are no loss."""
    (class_name, _), steps, field = where
    edit = transaction.edit(class_name, case.key)
    updates = edit.text_updates(steps, field)
    if updates is None or not work.texts.can_write:
        return set()
    held = union(map(read_update, updates))
    here = causal(held, {})
    ends = {client: here.end(client) for client in here.runs}
    missed = [read_update(blank(text)[1]) for text in case.refused]
    answered: set[int] = set()
    for text, reasons in case.dependent:
        update = read_update(text[1])
        if not is_whole(causal(update, ends), update, ends):
            missed.append(update)
            answered.update(reasons)
    delta = _difference(here, causal(union([here, *missed]), {}))
    if delta:
        write_updates(edit.scope(steps), field, edit.text(steps, field).apply(delta))
    return answered


def _difference(here: Update, wanted: Update) -> Delta:
    document = Document([])
    document.take(write_update(here))
    return document.take_told(write_update(wanted), document.pieces())


def _begin(work: Integration) -> Transaction:
    clock = HybridClock(work.local.clock)
    time = clock.tick(work.wall_ms() + work.local.skew_ms)
    author = Author((time, work.local.ident), _mint)
    return Transaction(work.replica, author, work.pending, work.blind, OpenLists(), work.texts)


def _mint() -> int:
    raise AssertionError("text mints no ids")


def _finish(work: Integration, transaction: Transaction) -> None:
    """Make what was done again a pending changeset."""
    finished = transaction.finish(work.synced.cursor)
    transaction.over()
    if finished is None:
        return
    changeset, changes = finished
    version = work.local.client_version + 1
    record = pack([encode(changeset), work.local.sequence + 1, work.local.sequence])
    work.writer.put_record(PENDING, int_key(version), record)
    work.local = work.local._replace(clock=changeset.time, client_version=version)
    for item in changeset.objects:
        work.pending.setdefault((item.class_name, key_bytes(item.key)), []).append(version)
    work.changes += changes
