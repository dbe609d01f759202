"""Looking up single elements of a list that may be spread over parts: only their parts are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replication.crdt.list import Chunk, Elements, Id, expand, has_place, part_of

if TYPE_CHECKING:
    from replication.crdt.parts import Parts, Path


class Here:
    """The elements of one list of a state.

    Args:
        held: the list.
        parts: where its parts are; None only where no list is spread over any.
        path: to the list.
    """

    __slots__ = ("_elements", "_held", "_parts", "_path", "_places")

    def __init__(self, held: Any, parts: Parts | None, path: Path) -> None:
        self._held = held
        self._parts = parts
        self._path = path
        #: By the number of the part; a list that is not spread is one part.
        self._places: dict[int, Chunk] = {0: held[1]} if len(held) == 2 else {}
        self._elements: dict[int, Elements] = {}

    def has_place(self, here: Id) -> bool:
        """Whether a place is known."""
        number = self._number(here)
        if number not in self._places:
            assert self._parts is not None, "a spread list comes with its parts"
            self._places[number] = self._parts.places(self._path, self._held[0], number)
        return has_place(self._places[number], here)

    def about(self, here: Id) -> Elements:
        """Elements among which ``here`` is, if it is anywhere."""
        number = self._number(here)
        if number not in self._elements:
            self._elements[number] = expand(self._chunk(number))
        return self._elements[number]

    def _number(self, here: Id) -> int:
        if len(self._held) == 2:
            return 0
        number: int = self._held[1][part_of(self._held[1], here)][2]
        return number

    def _chunk(self, number: int) -> Chunk:
        if len(self._held) == 2:
            return self._held[1]  # type: ignore[no-any-return]
        assert self._parts is not None, "a spread list comes with its parts"
        return self._parts.load(self._path, self._held[0], number)  # type: ignore[no-any-return]
