"""Parts: what of an object lies beside its head, so that one insert does not rewrite a long list.

A part is one chunk of a list (see `list.py`), named by the canonical bytes of
`[path, incarnation, number]`. A **path** leads from the object to the list, field by field: the
field's kind (see `object.py`) and name and, where it goes on into an embedded object inside a
dictionary or list, the key or the element's id. The kind tells fields of one name apart:

    4 "tags"                            the list `tags`
    3 "rooms" "hall" 4 "lamps"          the list `lamps` of the object at key "hall" of `rooms`
    4 "orders" [2, 17] 5 "to" 4 "lines" the list `lines` of `to` of the element (2, 17) of `orders`
    7 id                                the list that is the container of that id (see `container`)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from replication.crdt.incarnation import Incarnation
from replication.model.encoding import pack, unpack_trusted

Path: TypeAlias = tuple[int | str | bytes | tuple[int, int], ...]


def part_name(path: Path, incarnation: Incarnation, number: int) -> bytes:
    """The name under which a store keeps a part."""
    return pack([list(path), incarnation, number])


class Parts:
    """The parts of one object while a merge works on it: read on demand, changes collected.

    Args:
        read: the stored bytes of a part by its name, None where there is none.
        names: the names of all stored parts of the object.
        places: the places of a stored chunk by its name, for whoever remembers them.
    """

    __slots__ = ("_changed", "_names", "_places", "_read")

    def __init__(
        self,
        read: Callable[[bytes], bytes | None] = lambda _name: None,
        names: Callable[[], Iterable[bytes]] = tuple,
        places: Callable[[bytes], Any] | None = None,
    ) -> None:
        self._read = read
        self._names = names
        self._changed: dict[bytes, bytes | None] = {}
        self._places = places

    def load(self, path: Path, incarnation: Incarnation, number: int) -> Any:
        """A chunk, for the caller to change."""
        name = part_name(path, incarnation, number)
        data = self._changed[name] if name in self._changed else self._read(name)
        if data is None:
            raise AssertionError(f"part {number} of {path!r} is missing from the store")
        return unpack_trusted(data)

    def places(self, path: Path, incarnation: Incarnation, number: int) -> Any:
        """A chunk that has the places of a chunk as it is now, not to be changed."""
        name = part_name(path, incarnation, number)
        if self._places is None or name in self._changed:
            return self.load(path, incarnation, number)
        return self._places(name)

    def store(self, path: Path, incarnation: Incarnation, number: int, chunk: Any) -> None:
        """Replace a chunk."""
        self._changed[part_name(path, incarnation, number)] = pack(chunk)

    def remove(self, path: Path, incarnation: Incarnation, number: int) -> None:
        """Forget one part."""
        self._changed[part_name(path, incarnation, number)] = None

    def drop(self, path: Path) -> None:
        """Forget every part at or below a path."""
        prefix = [list(step) if type(step) is tuple else step for step in path]
        for name in {*self._names(), *self._changed}:
            if unpack_trusted(name)[0][: len(prefix)] == prefix:
                self._changed[name] = None

    def names(self) -> list[bytes]:
        """The names of all parts there are now."""
        kept = {name for name in self._names() if name not in self._changed}
        return sorted(kept | {name for name, data in self._changed.items() if data is not None})

    def read(self, name: bytes) -> bytes | None:
        """The bytes of a part as they are now."""
        return self._changed[name] if name in self._changed else self._read(name)

    def changes(self) -> dict[bytes, bytes | None]:
        """What is to be written: bytes by name, None where a part goes."""
        return self._changed
