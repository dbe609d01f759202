"""Items: units of a text that follow each other, in memory, and blocks of them.

Rule 1: units in a row that were made in a row are one item, of at most `ITEM_MAX` where they show
        something: what is inside of it is found unit by unit.
Rule 2: of a pair of surrogates the first one shows the character and the second one nothing, even
        where something stands between them. No other halves stand alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from replication.crdt.units import Content, Run, UnitId, text_of_units, units_of

#: Units of an item that shows something.
ITEM_MAX: Final = 512
_LOW: Final = re.compile("[\udc00-\udfff]")


class Item:
    """Units that follow each other.

    Attributes:
        client, clock: the id of the first one.
        size: how many.
        left, right: what the first one was put between; of the others `left` is the one before.
        content: of strings the code units, of a format its name and JSON, None: deleted.
        shown: how many characters it shows.
        following: the item behind it.
        block: what holds it.
    """

    __slots__ = ("block", "client", "clock", "content", "following", "left", "right", "shown",
                 "size")  # fmt: skip

    def __init__(
        self,
        client: int,
        clock: int,
        size: int,
        left: UnitId | None,
        right: UnitId | None,
        content: Content,
    ) -> None:
        self.client = client
        self.clock = clock
        self.size = size
        self.left = left
        self.right = right
        self.content = content
        self.shown = shown_in(content)
        self.following: Item | None = None
        self.block: Block

    @property
    def last(self) -> UnitId:
        """The id of the last unit."""
        return (self.client, self.clock + self.size - 1)


class Block:
    """Items in a row.

    Attributes:
        shown: how many characters they show.
        formats: how many of them format.
    """

    __slots__ = ("formats", "items", "shown")

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.shown = sum(item.shown for item in items)
        self.formats = sum(type(item.content) is tuple for item in items)


def goes_on(item: Item, other: Item) -> bool:
    """Whether an item and the one behind it are deleted units in a row, made in a row."""
    return (
        item.content is None
        and other.content is None
        and item.client == other.client
        and item.clock + item.size == other.clock
        and other.left == item.last
        and other.right == item.right
    )


def items_of(client: int, run: Run) -> Iterator[Item]:
    """A run as items: Rule 4."""
    clock, size, left, right, content = run
    if not isinstance(content, str) or size <= ITEM_MAX:
        yield Item(client, clock, size, left, right, content)
        return
    start = 0
    while start < size:
        end = min(start + ITEM_MAX, size)
        if end < size and is_low(content[end]):
            end -= 1  # the pair stays in one piece
        yield Item(client, clock + start, end - start, left, right, content[start:end])
        left = (client, clock + end - 1)
        start = end


def is_low(unit: str) -> bool:
    """Whether a unit is the second half of a pair. Rule 2."""
    return "\udc00" <= unit <= "\udfff"


def shown_in(content: Content) -> int:
    """How many characters are shown."""
    if not isinstance(content, str):
        return 0
    if content.isascii():
        return len(content)
    return len(content) - len(_LOW.findall(content))


def offset_of(content: Content, characters: int) -> int:
    """How many code units so many characters take, and what shows nothing behind them."""
    assert isinstance(content, str), "nothing else shows characters"
    if not _LOW.search(content):
        return characters
    units = is_low(content[0]) + len(units_of(text_of(content)[:characters]))
    return min(units, len(content))


def text_of(content: str) -> str:
    """The characters that the units of an item show."""
    return text_of_units(content[1:] if is_low(content[0]) else content)
