"""Lists that are spread over parts, as they were at a version. [QUERY-156]

The log has the head of an object as it was before each entry, and no parts: with every insert into
a long list that would be as much again, mostly for nobody. Here is what queries need of them.

Rule 1: from the moment on at which somebody asks for a property, by a query or by the read filter
        of their role, the parts of its lists are kept as they were before each write to them.
        What was asked for once goes on being kept: who asked may be away for long.
Rule 2: a part as of a version is the one that was kept before the first later write to it, else
        the one there is. Every later transaction gives the same answer.
Rule 3: of the time before anybody asked, parts that are not there any more read as empty. Nobody
        was sent anything by what a query would have found then.
Rule 4: of a class of which more properties are asked for than QUERIED_COLUMNS_MAX, all are kept;
        where that many classes are asked for, all of all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Final, TypeAlias

from replication.crdt import object as obj
from replication.crdt.list import empty_chunk
from replication.crdt.parts import Parts
from replication.limits import QUERIED_COLUMNS_MAX
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import Key
from replication.query.reach import ALL
from replication.server import tables
from replication.server.view import Image, no_parts
from replication.storage.contract import Reader, SourceOf, StoredObject, Writer, int_key
from replication.storage.graph import Graph

#: Begins a transaction to read in.
Reading: TypeAlias = Callable[[], AbstractContextManager[Reader]]
#: What is asked for: properties by class; `ALL` stands for every class, or every property.
Asked: TypeAlias = Mapping[str, Collection[str]]

_EMPTY: Final = pack(empty_chunk())
_LAST: Final = int_key(2**63 - 1)


def asked(reader: Reader) -> dict[str, frozenset[str]]:
    """What somebody asked for at any time. Rule 1."""
    return _names(reader.record(tables.META, tables.ASKED))


@lru_cache(maxsize=64)
def _names(data: bytes | None) -> dict[str, frozenset[str]]:
    if data is None:
        return {}
    return {name: frozenset(names) for name, names in unpack_trusted(data).items()}


def ask(writer: Writer, wanted: Asked) -> None:
    """Somebody asks for these. Rules 1, 4."""
    held = asked(writer)
    if all(covers(held, name, each) for name, names in wanted.items() for each in names):
        return
    out = {name: set(names) for name, names in held.items()}
    for name, names in wanted.items():
        out.setdefault(name, set()).update(names)
        if ALL in out[name] or len(out[name]) > QUERIED_COLUMNS_MAX:
            out[name] = {ALL}
    if ALL in out.get(ALL, ()) or len(out) > QUERIED_COLUMNS_MAX:
        out = {ALL: {ALL}}
    packed = pack({name: sorted(out[name]) for name in sorted(out)})
    writer.put_record(tables.META, tables.ASKED, packed)


def covers(held: Mapping[str, frozenset[str]], class_name: str, name: str) -> bool:
    """Whether a property is among what is asked for."""
    return any(not names.isdisjoint((name, ALL)) for names in _of(held, class_name))


def _of(held: Mapping[str, frozenset[str]], class_name: str) -> tuple[frozenset[str], ...]:
    return held.get(class_name, frozenset()), held.get(ALL, frozenset())


def is_asked(held: Mapping[str, frozenset[str]], class_name: str, part: bytes) -> bool:
    """Whether a part, by its name, is of a list that is asked for.

    Of a list in a mixed value its name does not tell the property: any of the class may be it.
    """
    if not any(_of(held, class_name)):
        return False
    path = unpack_trusted(part)[0]
    if path[0] == obj.CONTAINER:
        return True
    return path[-2] in (obj.LIST, obj.CONTAINER) and covers(held, class_name, path[1])


def keep(writer: Writer, class_name: str, key: Key, part: bytes, version: int, data: bytes) -> None:
    """A part as it was before a version."""
    name = tables.object_key(class_name, key) + part
    writer.put_record(tables.PASTS, name + int_key(version), data)


def part_at(reader: Reader, class_name: str, key: Key, part: bytes, version: int) -> bytes:
    """A part as of a version. Rules 2, 3."""
    name = tables.object_key(class_name, key) + part
    later = reader.records(
        tables.PASTS, first=name + int_key(version + 1), last=name + _LAST, limit=1
    )
    for _, data in later:
        return data
    stored = reader.get_object(class_name, key)
    found = None if stored is None else reader.part(class_name, stored.row, part)
    return _EMPTY if found is None else found.data


class Lists:
    """The long lists of a data set, at any version.

    Args:
        reading: begins a transaction, at the version asked for or later.
    """

    __slots__ = ("_reading",)

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    @classmethod
    def among(cls, reader: Reader) -> Lists:
        """Those that a transaction sees."""
        return cls(lambda: nullcontext(reader))

    def of(self, class_name: str, key: Key, version: int) -> Parts:
        """The parts of an object as of a version."""

        def read(part: bytes) -> bytes:
            with self._reading() as reader:
                return part_at(reader, class_name, key, part, version)

        return Parts(read)


def present(reader: Reader, class_name: str, key: Key, stored: StoredObject | None) -> Image:
    """An object as a transaction sees it.

    Args:
        stored: its row; None where it has none.
    """
    if stored is None:
        return Image(key, None, no_parts)
    row = stored.row

    def read(part: bytes) -> bytes | None:
        found = reader.part(class_name, row, part)
        return None if found is None else found.data

    return Image(key, stored.head, lambda: Parts(read))


def source(reader: Reader, class_name: str) -> SourceOf | None:
    """What queries on the objects alone see of the rows of a class; None where heads say it all."""
    if not tables.has_parts(reader, class_name):
        return None
    graph = Graph(reader)
    return lambda stored: graph.row(class_name, stored)
