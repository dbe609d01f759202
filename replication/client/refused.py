"""What the server refused: noted in the journal with what was written, and told to the app once.

Rule 1: a refused part is what the delta said and what was integrated of it does not. It belongs to
        the refusal whose path leads to it; what was left out with it, to one of its object.
        [JOURNAL-9]
Rule 2: the app is told after the view is without it: in this process or, where nobody listened or
        it died before, in a later one. Then never again. [JOURNAL-10]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from replication.client.entities import ObjectName
from replication.client.journal import Entry, append, entries, listed, way_from
from replication.client.losses import FORMATTED, TYPED, Lost, Way
from replication.client.lost import refused_parts
from replication.client.records import META
from replication.history.changeset import decode_trusted
from replication.model.encoding import key_bytes, pack, unpack_trusted
from replication.protocol.refusals import Refusal
from replication.storage.contract import Reader, Writer

#: What is written to texts: what no refusal is about was done again.
_OF_TEXT: Final = (TYPED, FORMATTED)

if TYPE_CHECKING:
    from replication.client.retype import Rewrite


def note_refusals(
    writer: Writer, rewrites: list[Rewrite], refusals: list[Refusal], ident: int
) -> None:
    """Write refusals into the journal. Rule 1.

    Args:
        rewrites: the changesets that were rewritten.
        ident: of this file.
    """
    if not refusals:
        return
    times: dict[int, int] = {}
    parts: dict[tuple[int, ObjectName], list[Lost]] = {}
    for version, original, rewritten in rewrites:
        changeset = decode_trusted(original)
        times[version] = changeset.time
        taken = {
            (item.class_name, key_bytes(item.key)): item.delta
            for item in decode_trusted(rewritten).objects
        }
        for item in changeset.objects:
            name = (item.class_name, key_bytes(item.key))
            stamp = (changeset.time, ident)
            parts[version, name] = refused_parts(item.delta, taken.get(name), stamp)
    for refusal in refusals:
        version, class_name, key, path = refusal[:4]
        way = way_from(path)
        mine: list[Lost] = []
        if key is not None:
            left = parts.get((version, (class_name, key_bytes(key))), [])
            others = [r[3] for r in refusals if r is not refusal and r[:3] == refusal[:3]]
            mine = _belonging(way, left, [way_from(other) for other in others])
            left[:] = [part for part in left if part not in mine]
        entry = Entry(class_name, key, version, times.get(version, 0), tuple(mine),
                      reason=refusal.reason, message=refusal.message, path=way,
                      role=refusal.role, rule_path=refusal.rule_path, clause=refusal.clause,
                      )  # fmt: skip
        append(writer, entry)


def _belonging(way: Way, parts: list[Lost], others: list[Way]) -> list[Lost]:
    """The parts a refusal is about. Text that no refusal is about was typed again."""
    return [
        part
        for part in parts
        if _leads_to(way, part)
        or (part.did not in _OF_TEXT and not any(_leads_to(other, part) for other in others))
    ]


def _leads_to(way: Way, part: Lost) -> bool:
    if way and type(way[-1]) is bytes:  # the (first) bytes of a set's member
        member = part.old if part.old is not None else part.new
        return part.path == way[:-1] and pack(member).startswith(way[-1])
    return part.path[: len(way)] == way


# -- telling the app ---------------------------------------------------------------------------
def refusals(reader: Reader) -> list[Refusal]:
    """The refusals in the journal, oldest first."""
    return [_as_told(entry) for entry in entries(reader) if entry.is_refusal]


def untold(reader: Reader) -> tuple[list[Refusal], int]:
    """Those nobody was told of yet, and the number of the last one; 0 for none. Rule 2."""
    data = reader.record(META, b"told")
    told = 0 if data is None else unpack_trusted(data)
    found = [entry for entry in entries(reader, after=told) if entry.is_refusal]
    return [_as_told(entry) for entry in found], found[-1].number if found else 0


def told(writer: Writer, number: int) -> None:
    """The app has heard of all refusals up to that entry."""
    writer.put_record(META, b"told", pack(number))


def _as_told(entry: Entry) -> Refusal:
    return Refusal(entry.client_version, entry.class_name, entry.key, listed(entry.path),
                   entry.reason, entry.message, entry.role, entry.rule_path, entry.clause,
                   )  # fmt: skip
