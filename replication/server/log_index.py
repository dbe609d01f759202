"""An index of the log: which entries somebody who was away has to look at.

The log is divided into chunks of CHUNK entries. When one is full, it gets a row that says in which
of its entries which terms occur: a value that a queryable field had or got, the class, the key, the
file that wrote it. So whoever comes back reads the entries that their queries may be concerned
with, and of the others only one row in CHUNK.

    [{class: [field, ...]}, terms, places]

* the fields of each class whose values were indexed throughout the chunk.
* terms: 32-bit hashes, ascending; places: for each the number of the entry in its chunk, 16 bits.

Rule 1: a row has all entries of its chunk. One that this process did not see from its first entry
        on, or that was rolled back, gets none: it is read entry by entry.
Rule 2: what is found may be too much, as hashes collide, and is never too little.
Rule 3: an entry without an image inside of any of the views is not found by them, so what it did
        to an object out of view is not told when that comes back into view.
Rule 4: what concerns everybody has a term of its own: schemas that grew, horizons.
Rule 5: so has a list that is spread over parts, whatever is in it, for all who ask for its field.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple
from zlib import crc32

from replication.model.encoding import pack, unpack_trusted
from replication.model.types import KEY_NAME
from replication.model.values import SPREAD, Key
from replication.query import Query
from replication.query.compare import KINDS, Kind
from replication.query.paths import ARRAYS, elements
from replication.query.terms import NAN, Equal, choices, plain
from replication.server import tables
from replication.server.view import View
from replication.storage.contract import Reader, Writer, int_key

#: Entries of a chunk.
CHUNK: int = 1024
#: Chunks whose rows are looked at for one message.
_CHUNKS_MAX: Final = 4096


class Indexing(NamedTuple):
    """What an entry did to one object.

    Attributes:
        before, after: its queryable fields; None where it was, or is, not alive.
    """

    class_name: str
    key: Key
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


class LogIndex:
    """Makes the rows of one data set, while its log grows. One process writes it."""

    def __init__(self) -> None:
        #: The chunk all of whose entries so far are in `_found`; None: none.
        self._chunk: int | None = None
        self._last = 0
        self._found: list[int] = []
        self._covered: dict[str, frozenset[str]] = {}

    def add(
        self, writer: Writer, version: int, origin: int, items: Iterable[Indexing], *, general: bool
    ) -> None:
        """An entry was written.

        Args:
            general: it concerns everybody. Rule 4.
        """
        chunk, place = divmod(version - 1, CHUNK)
        if place == 0:
            self._chunk, self._found, self._covered = chunk, [], {}
        elif chunk != self._chunk or version > self._last + 1:
            self._chunk = None
        elif version <= self._last:  # what was there before is rolled back
            self._found = [each for each in self._found if each & 0xFFFF < place]
        self._last = version
        if self._chunk is None:
            return
        terms = {_file_term(origin)}
        if general:
            terms.add(_GENERAL)
        for item in items:
            self._add_object(item, terms)
        self._found += [term << 16 | place for term in terms]
        if place == CHUNK - 1:
            self._write(writer, chunk)

    def _add_object(self, item: Indexing, terms: set[int]) -> None:
        class_name = item.class_name
        terms.add(_class_term(class_name))
        terms.add(_term(class_name, KEY_NAME, KINDS[type(item.key)], plain(item.key)))
        before: Mapping[str, Any] = {}
        for values in (item.before, item.after):
            if values is None:
                continue
            names = self._covered.get(class_name)
            if names is None or not names <= values.keys():
                kept = values.keys() if names is None else names & values.keys()
                self._covered[class_name] = frozenset(kept)
            for name, value in values.items():
                if value is None or before.get(name) is not value:  # most are as they were
                    terms.update(_terms(class_name, name, value))
            before = values

    def _write(self, writer: Writer, chunk: int) -> None:
        found = sorted(set(self._found))
        row = [
            {name: sorted(fields) for name, fields in sorted(self._covered.items())},
            _stored(array("I", [each >> 16 for each in found])),
            _stored(array("H", [each & 0xFFFF for each in found])),
        ]
        writer.put_record(tables.POSTINGS, int_key(chunk), pack(row))
        self._chunk, self._found, self._covered = None, [], {}


class Wanted:
    """What a client file has to look at, by the queries of its views.

    Args:
        ident: of the file, whose own entries it has to see as well.
        views: in which an image makes an entry worth reading.
    """

    def __init__(self, ident: int, *views: View) -> None:
        self._terms = [_GENERAL, _file_term(ident)]
        queries = {(name, q.text): q for view in views for name, q in view.queries.items()}
        #: Queries that other objects matter to: the whole log has to be read.
        self._is_all = not all(query.is_local for query in queries.values())
        self._choices = [(name, _equalities(name, query)) for (name, _), query in queries.items()]

    def versions(
        self, reader: Reader, first: int, last: int, *, most: int
    ) -> tuple[list[int], int]:
        """The versions to read, ascending, and up to which one these are all.

        Args:
            first, last: the stretch of the log; it need not be covered to its end.
            most: about how many.
        """
        out: list[int] = []
        version = first
        for _ in range(_CHUNKS_MAX):
            if version > last or len(out) >= most:
                break
            chunk = (version - 1) // CHUNK
            end = min(last, (chunk + 1) * CHUNK)
            places = None if self._is_all else self._places(reader, chunk)
            if places is None:
                end = min(end, version + most - 1)
                out += range(version, end + 1)
            else:
                start = chunk * CHUNK + 1
                out += [start + place for place in places if version <= start + place <= end]
            version = end + 1
        if len(out) > most:
            del out[most:]
            return out, out[-1]
        return out, version - 1

    def _places(self, reader: Reader, chunk: int) -> list[int] | None:
        """The entries of a chunk; None for all of them. Rule 1."""
        data = reader.record(tables.POSTINGS, int_key(chunk))
        if data is None:
            return None
        covered, *stored = unpack_trusted(data)
        terms, places = _restored("I", stored[0]), _restored("H", stored[1])

        def spans(wanted: Iterable[int]) -> list[tuple[int, int]]:
            return [(bisect_left(terms, term), bisect_right(terms, term)) for term in wanted]

        found = spans(self._terms)
        for class_name, options in self._choices:
            names = {KEY_NAME, *covered.get(class_name, ())}
            usable = [terms for fields, terms in options if fields <= names]
            tried = [spans(each) for each in [(_class_term(class_name),), *usable]]
            found += min(tried, key=lambda each: sum(end - start for start, end in each))
        return sorted({place for start, end in found for place in places[start:end]})


def _equalities(class_name: str, query: Query) -> list[tuple[frozenset[str], list[int]]]:
    """The fields and terms of each choice of a query that is made of equalities alone."""
    out = []
    for choice in choices(query.root):
        equal = [term for term in choice if isinstance(term, Equal) and not term.fold]
        if len(equal) == len(choice):
            terms = [_term(class_name, term.name, term.kind, term.value) for term in equal]
            terms += {_spread_term(class_name, term.name) for term in equal}
            out.append((frozenset(term.name for term in equal), terms))
    return out


# -- terms -------------------------------------------------------------------------------------
def _terms(class_name: str, name: str, value: Any) -> Iterator[int]:
    """Those of a field's value: of its elements, where it is an array or a dictionary. Rule 5."""
    if value is SPREAD:
        yield _spread_term(class_name, name)
        return
    for each in elements(value) if type(value) in ARRAYS else (value,):
        kind = KINDS.get(type(each))
        if kind is not None:
            yield _term(class_name, name, kind, plain(each))


def _term(class_name: str, name: str, kind: Kind, value: Any) -> int:
    return crc32(_bytes(kind, value), _prefix(class_name, name, kind))


def _bytes(kind: Kind, value: Any) -> bytes:
    """The same for values that are equal."""
    if kind is Kind.STRING:
        return value.encode(errors="surrogatepass")  # type: ignore[no-any-return]
    if kind is Kind.NUMBER:
        # Python's hash of numbers is the same for all types, and always.
        return b"nan" if value is NAN else b"%d" % hash(value)
    return pack(value)


@lru_cache(maxsize=4096)
def _prefix(class_name: str, name: str, kind: Kind) -> int:
    return crc32(pack([class_name, name, kind.value]))


@lru_cache(maxsize=4096)
def _spread_term(class_name: str, name: str) -> int:
    return crc32(pack([class_name, name]))


@lru_cache(maxsize=4096)
def _class_term(class_name: str) -> int:
    return crc32(pack([class_name]))


@lru_cache(maxsize=4096)
def _file_term(ident: int) -> int:
    return crc32(pack(ident))


_GENERAL: Final = crc32(b"")


def _stored(items: array[int]) -> bytes:
    if sys.byteorder == "big":
        items.byteswap()
    return items.tobytes()


def _restored(kind: str, data: bytes) -> array[int]:
    items = array(kind, data)
    if sys.byteorder == "big":
        items.byteswap()
    return items
