"""A changeset of this file, taken apart: which objects it wrote to, its deltas still bytes.

Objects are asked for in the order of changesets, and one of these may hold thousands: taking it
apart for each of them would take time in the square of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from replication.client.entities import ObjectName
from replication.history.changeset import outline_trusted
from replication.model.encoding import key_bytes
from replication.model.values import Key


class Opened(NamedTuple):
    """A changeset taken apart.

    Attributes:
        time: of its stamp.
        deltas: by object, in the order of the changeset; `keys`: of these objects.
        marked: those that are blind: this file did not hold them.
    """

    time: int
    deltas: dict[ObjectName, bytes]
    keys: list[Key]
    marked: frozenset[ObjectName]

    def objects(self) -> Iterator[tuple[ObjectName, Key]]:
        """The objects it wrote to."""
        return zip(self.deltas, self.keys, strict=True)


def opened(changeset: bytes) -> Opened:
    """Take a changeset apart that this file stores."""
    outline = outline_trusted(changeset)
    names = [(class_name, key_bytes(key)) for class_name, key, _ in outline.objects]
    return Opened(
        outline.time,
        {name: item[2] for name, item in zip(names, outline.objects, strict=True)},
        [key for _, key, _ in outline.objects],
        frozenset([names[position] for position in outline.marks]),
    )
