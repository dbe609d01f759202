"""The order of a list, derived from its places: a Fugue tree. [MERGE-ORDER]

Rule 1: a place comes after its left children's subtrees and before its right children's; siblings
        on one side stand by stamp, earlier first, ties by id. [MERGE-ORDER-1]
Rule 2: places not reachable from the root hang at the end, in the order of their ids.
        [MERGE-ORDER-2]
Rule 3: an element shows at its current place if that place is known, has a value and is not
        erased. [MERGE-ORDER-3]
Rule 4: an insert between two visible neighbours becomes the right child of the left one, or,
        where that one has right children already, the left child of the place that follows it.
        So concurrent runs never interleave. [MERGE-ORDER-4]

After Weidner and Kleppmann, "The Art of the Fugue" (2023).
"""

from __future__ import annotations

from typing import TypeAlias

from replication.crdt.list import LEFT, RIGHT, ROOT, Elements, Id, Place

#: Left and right children by parent.
Children: TypeAlias = dict[Id, tuple[list[Id], list[Id]]]


class Sequence:
    """The visible elements of one list, kept up while its own device edits it.

    Attributes:
        visible: ids of the elements a reader sees, in order.
    """

    __slots__ = ("_children", "_current", "_leftmost", "visible")

    def __init__(self, elements: Elements) -> None:
        self._children = children_of(elements.places)
        #: The first place below some; a later one is below it, so the way there is gone once.
        self._leftmost: dict[Id, Id] = {}
        #: Where elements stand; of one that is removed it is not asked any more.
        self._current = {
            here: elements.moves[here][2] if here in elements.moves else here
            for here in elements.values
            if here not in elements.erased
        }
        order = in_order(elements.places, self._children)
        self.visible: list[Id] = []
        if not elements.moves:
            self.visible = [place for place in order if place in self._current]
            return
        at_place: dict[Id, list[Id]] = {}
        for here, place in self._current.items():
            at_place.setdefault(place, []).append(here)
        for place in order:
            standing = at_place.get(place)
            if standing is not None:
                self.visible.extend(sorted(standing))

    def anchor(self, index: int) -> tuple[Id, int]:
        """Parent and side of a place for a new element at ``index`` (0..len). Rule 4."""
        left = self._current[self.visible[index - 1]] if index else ROOT
        _, right = self._children.get(left, ((), ()))
        if not right:
            return left, RIGHT
        follower = self._leftmost.get(right[0], right[0])
        while self._children.get(follower, ((), ()))[0]:
            follower = self._children[follower][0][0]
        self._leftmost[right[0]] = follower
        return follower, LEFT

    def inserted(self, index: int, here: Id, place: Id, parent: Id, side: int) -> None:
        """An element was put at ``index``, at a place that is the latest of its siblings."""
        self._children.setdefault(parent, ([], []))[side].append(place)
        self._current[here] = place
        self.visible.insert(index, here)

    def removed(self, index: int) -> Id:
        """The element at ``index`` was erased, or is about to be put elsewhere."""
        return self.visible.pop(index)


def children_of(places: dict[Id, Place]) -> Children:
    """The left and right children of each place that has any, in order."""
    out: Children = {}
    for here, (parent, side, _, _) in places.items():
        siblings = out.get(parent)
        if siblings is None:
            siblings = out[parent] = ([], [])
        siblings[side].append(here)
    for siblings in out.values():
        for side in (LEFT, RIGHT):
            if len(siblings[side]) > 1:
                siblings[side].sort(key=lambda here: (places[here][2:], here))
    return out


def preorder(children: Children) -> list[Id]:
    """All places reachable from the root, each before those below it."""
    none: tuple[list[Id], list[Id]] = ([], [])
    out = list(children.get(ROOT, none)[RIGHT])
    for here in out:  # which grows meanwhile
        left, right = children.get(here, none)
        out += left
        out += right
    return out


def in_order(places: dict[Id, Place], children: Children) -> list[Id]:
    """All places in the order of Rules 1 and 2. Without recursion: chains are long."""
    out: list[Id] = []
    none: tuple[list[Id], list[Id]] = ([], [])
    # Ready places are emitted when popped; others first push their subtree around themselves.
    stack: list[tuple[Id, bool]] = [
        (child, False) for child in reversed(children.get(ROOT, none)[RIGHT])
    ]
    while stack:
        here, ready = stack.pop()
        left, right = children.get(here, none)
        while len(right) == 1 and (ready or not left):  # a run: one after the other
            out.append(here)
            here, ready = right[0], False
            left, right = children.get(here, none)
        if left and not ready:
            stack.append((here, True))
            stack.extend([(child, False) for child in reversed(left)])
            continue
        out.append(here)
        stack.extend([(child, False) for child in reversed(right)])
    if len(out) < len(places):
        out.extend(sorted(places.keys() - set(out)))
    return out
