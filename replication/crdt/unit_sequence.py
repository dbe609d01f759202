"""The units of a text in their order, for whoever edits it. [MERGE-TEXT-5]

The order is that of Yjs. A sequence is built from what follows (see `union.causal`), takes what
others wrote unit by unit, and makes the updates of what is edited in it.

Rule 1: places count code points of what is shown; a unit that is deleted or formats shows nothing.
Rule 2: a unit stands behind its left one. Of those put to one place the client ids tell the order,
        and what stands behind one of them stays behind it.
Rule 3: what is inserted stands behind the character before it and what is deleted there, as in Yjs.
Rule 4: items are held in blocks, which know how much they show, so that an edit costs about the
        square root of the text; next to the last one it costs the same in any text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate, chain
from typing import Final

from replication.crdt.union import causal_runs
from replication.crdt.unit_items import (
    ITEM_MAX,
    Block,
    Item,
    goes_on,
    is_low,
    items_of,
    offset_of,
    shown_in,
    text_of,
)
from replication.crdt.units import (
    Ranges,
    Run,
    UnitId,
    Update,
    text_of_units,
    units_of,
)
from replication.errors import LimitExceededError
from replication.limits import TEXT_CLOCK_MAX

#: Items of a block, in a small text.
_BLOCK_MIN: Final = 64


class UnitSequence:
    """A text, its units in order.

    Attributes:
        ends: the clock after the last unit of each client.
        first: the first item, if there is any.
        formats: how many formats there are that are not deleted.
    """

    def __init__(self) -> None:
        self.ends: dict[int, int] = {}
        self.first: Item | None = None
        self.formats = 0
        self._shown = 0
        self._blocks: list[Block] = [Block([])]
        #: By client the clocks of its items, ascending, and the items.
        self._by_id: dict[int, tuple[list[int], list[Item]]] = {}
        #: The last place that was looked up: number and start of the block, the item, its start.
        #: Forgotten where something may come to stand before it: `take`, and edits at the start.
        self._near: tuple[int, int, Item, int] | None = None

    def __len__(self) -> int:
        return self._shown

    def __str__(self) -> str:
        found = [item.content for item in self.items() if isinstance(item.content, str)]
        return "".join(map(text_of, found))

    def formats_before(self, item: Item | None) -> Iterator[tuple[str, str]]:
        """The formats up to an item, in order."""
        if item is None or not self.formats:
            return
        here = self._blocks.index(item.block)
        rows = [block.items for block in self._blocks[:here] if block.formats]
        rows.append(item.block.items[: item.block.items.index(item) + 1])
        for each in chain.from_iterable(rows):
            if isinstance(each.content, tuple):
                yield each.content

    def items(self) -> Iterator[Item]:
        """All of them, in order."""
        item = self.first
        while item is not None:
            yield item
            item = item.following

    # -- finding -----------------------------------------------------------------------------
    def at(self, index: int) -> tuple[Item, int]:
        """The item that shows the character at ``index``, and how many it shows before that."""
        near = self._near
        if near is None or not near[3] <= index < near[3] + near[2].shown:
            near = self._look(index)
        return near[2], index - near[3]

    def _look(self, index: int) -> tuple[int, int, Item, int]:
        near = self._near
        if near is None or not near[1] <= index < near[1] + self._blocks[near[0]].shown:
            ends = list(accumulate([block.shown for block in self._blocks]))
            number = bisect_right(ends, index)
            start = ends[number] - self._blocks[number].shown
        else:
            number, start = near[:2]
        items = self._blocks[number].items
        ends = list(accumulate([item.shown for item in items]))
        item = items[bisect_right(ends, index - start)]
        before = start + ends[bisect_right(ends, index - start)] - item.shown
        self._near = (number, start, item, before)
        return self._near

    def named(self, unit: UnitId) -> Item:
        """The item that holds a unit, which is here."""
        clocks, items = self._by_id[unit[0]]
        return items[bisect_right(clocks, unit[1]) - 1]

    def place_of(self, unit: UnitId) -> int | None:
        """How many characters are shown before that of a unit; None where it shows none."""
        item = self.named(unit) if unit[1] < self.ends.get(unit[0], 0) else None
        if item is None or not isinstance(item.content, str):
            return None
        block = item.block
        before = [each.shown for each in self._blocks[: self._blocks.index(block)]]
        before += [each.shown for each in block.items[: block.items.index(item)]]
        return sum(before) + shown_in(item.content[: unit[1] - item.clock])

    # -- items -------------------------------------------------------------------------------
    def _add(self, item: Item, before: Item | None) -> None:
        """Put an item behind another one; None: first."""
        if before is None:
            block, at = self._blocks[0], 0
            item.following, self.first = self.first, item
        else:
            block = before.block
            at = block.items.index(before) + 1
            item.following, before.following = before.following, item
        block.items.insert(at, item)
        item.block = block
        block.shown += item.shown
        self._shown += item.shown
        if type(item.content) is tuple:
            block.formats += 1
            self.formats += 1
        clocks, items = self._by_id.setdefault(item.client, ([], []))
        if not clocks or clocks[-1] < item.clock:
            clocks.append(item.clock)
            items.append(item)
        else:
            place = bisect_right(clocks, item.clock)
            clocks.insert(place, item.clock)
            items.insert(place, item)
        if len(block.items) > _BLOCK_MIN + len(self._blocks):
            self._halve(block)

    def _halve(self, block: Block) -> None:
        half = len(block.items) // 2
        items = block.items[half:]
        del block.items[half:]
        other = Block(items)
        block.shown -= other.shown
        block.formats -= other.formats
        for item in items:
            item.block = other
        self._blocks.insert(self._blocks.index(block) + 1, other)

    def _split(self, item: Item, size: int) -> Item:
        """Make an item end after some of its units; returns what is behind them."""
        content = rest = item.content
        if isinstance(content, str):
            content, rest = content[:size], content[size:]
            if is_low(rest[0]):
                content = content[:-1] + text_of_units(content[-1] + rest[0])
        unit = (item.client, item.clock + size - 1)
        other = Item(item.client, unit[1] + 1, item.size - size, unit, item.right, rest)
        item.size, item.content = size, content
        shown = item.shown
        item.shown = shown_in(content)
        item.block.shown -= shown - item.shown
        self._shown -= shown - item.shown
        self._add(other, item)
        return other

    def cut(self, item: Item, characters: int) -> Item:
        """Make an item show only so many characters; returns what is behind them."""
        return self._split(item, offset_of(item.content, characters))

    def _ending(self, unit: UnitId) -> Item:
        """The item that ends with a unit."""
        item = self.named(unit)
        size = unit[1] - item.clock + 1
        if size < item.size:
            self._split(item, size)
        return item

    def _starting(self, unit: UnitId) -> Item:
        """The item that starts with a unit."""
        item = self.named(unit)
        if item.clock == unit[1]:
            return item
        return self._split(item, unit[1] - item.clock)

    def kill(self, item: Item) -> None:
        """Delete the units of an item, which is another one then, or gone. Rule 4."""
        if type(item.content) is tuple:
            item.block.formats -= 1
            self.formats -= 1
        item.block.shown -= item.shown
        self._shown -= item.shown
        item.content = None
        item.shown = 0
        items = item.block.items
        at = items.index(item)
        if at + 1 < len(items) and goes_on(item, items[at + 1]):
            self._swallow(item, items[at + 1], at)
        if at and goes_on(items[at - 1], item):
            self._swallow(items[at - 1], item, at - 1)

    def _swallow(self, item: Item, other: Item, at: int) -> None:
        del item.block.items[at + 1]
        item.following = other.following
        item.size += other.size
        clocks, items = self._by_id[item.client]
        place = bisect_right(clocks, other.clock) - 1
        del clocks[place], items[place]

    # -- what others wrote -------------------------------------------------------------------
    def take(self, update: Update) -> None:
        """Take the units and deletions that follow what is here."""
        self._near = None
        for client, run in causal_runs(update, self.ends):
            for item in items_of(client, run):
                self._integrate(item)
        for client, ranges in update.deleted.items():
            end = self.ends.get(client, 0)
            for first, last in ranges:
                self._delete(client, first, min(last, end))

    def _integrate(self, item: Item) -> None:
        """Put an item to its place. Rule 2."""
        left = None if item.left is None else self._ending(item.left)
        right = None if item.right is None else self._starting(item.right)
        other = self.first if left is None else left.following
        passed: set[Item] = set()
        rivals: set[Item] = set()
        while other is not None and other is not right:
            passed.add(other)
            rivals.add(other)
            if other.left == item.left:
                if other.client < item.client:
                    left = other
                    rivals.clear()
                elif other.right == item.right:
                    break
            elif other.left is not None and (origin := self.named(other.left)) in passed:
                if origin not in rivals:
                    left = other
                    rivals.clear()
            else:
                break
            other = other.following
        self._add(item, left)

    def _delete(self, client: int, first: int, end: int) -> None:
        while first < end:
            item = self.named((client, first))
            if item.content is not None:
                item = self._starting((client, first))
                if first + item.size > end:
                    self._split(item, end - first)
                first += item.size
                self.kill(item)
            else:
                first = item.clock + item.size

    # -- editing -----------------------------------------------------------------------------
    def before(self, index: int) -> Item | None:
        """The item that ends with the character before a place; None at the start of the text."""
        if not index:
            self._near = None
            return None
        item, within = self.at(index - 1)
        if within + 1 < item.shown:
            self.cut(item, within + 1)
        return item

    def put(self, client: int, content: str | tuple[str, str], left: Item | None) -> Run:
        """Make units right behind an item; None: at the start. Returns them as a run.

        Raises:
            LimitExceededError: the client makes more than there are clocks.
        """
        size = len(content) if isinstance(content, str) else 1
        clock = self.ends.get(client, 0)
        if clock + size > TEXT_CLOCK_MAX:
            raise LimitExceededError(
                f"a client that makes more than {TEXT_CLOCK_MAX} units of text"
            )
        self.ends[client] = clock + size
        following = self.first if left is None else left.following
        last = None if left is None else left.last
        right = None if following is None else (following.client, following.clock)
        run = (clock, size, last, right, content)
        if (
            left is not None
            and last == (client, clock - 1)
            and left.right == right
            and size + left.size <= ITEM_MAX
            and isinstance(left.content, str)
            and isinstance(content, str)
        ):
            self._lengthen(left, content)
            return run
        for item in items_of(client, run):
            self._add(item, left)
            left = item
        return run

    def _lengthen(self, item: Item, content: str) -> None:
        assert isinstance(item.content, str)
        shown = shown_in(content)
        item.content += content
        item.size += len(content)
        item.shown += shown
        item.block.shown += shown
        self._shown += shown

    def type(self, client: int, index: int, text: str) -> Run:
        """Insert before the character at ``index``: Rule 3."""
        left = self.before(index)
        following = self.first if left is None else left.following
        while following is not None and following.content is None:
            left, following = following, following.following
        run = self.put(client, units_of(text), left)
        near = self._near
        if near is not None:
            assert left is not None, "at the start nothing was looked up"
            if left.following is not following:
                assert left.following is not None, "what was put there"
                if left.following.block is self._blocks[near[0]]:
                    self._near = (near[0], near[1], left.following, index)
        return run

    def erase(self, index: int, count: int) -> dict[int, Ranges]:
        """Delete ``count`` characters from ``index`` on; returns the deletions by client."""
        out: dict[int, Ranges] = {}
        item: Item | None
        item, within = self.at(index)
        if within:
            item = self.cut(item, within)
        while count:
            assert item is not None, "the caller counted"
            following = item.following
            if item.shown:
                if item.shown > count:
                    following = self.cut(item, count)
                count -= item.shown
                out.setdefault(item.client, []).append((item.clock, item.clock + item.size))
                self.kill(item)
            item = following
        return out
