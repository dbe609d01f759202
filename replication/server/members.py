"""Which objects a view holds that one object alone does not decide. [QUERY-151]

A condition behind a link, a window of the first n, what FOLLOW brings along: for these a view has
**members**, worked out whole from the objects of one version of the data set.

Rule 1: the members as of a version are a function of that version: what was, is read from the
        images in the log, and nothing is remembered that could not be worked out again. [DOWN-1]
Rule 2: lists spread over parts are read as they were then; see `lists`.
Rule 3: objects that SORT leaves equal stand in the order of the canonical bytes of their keys.
        [QUERY-152]
Rule 4: FOLLOW brings what the objects of its branch link to, as long as one of them does: from a
        property, and from what that leads to as often as it says, or by the next property of
        its path. What the links lead to needs no query of its own. [QUERY-153]
Rule 5: of one object QUERY_FOLLOWED_SERVER_MAX links are followed to judge it; further ones read
        null. [QUERY-154]
Rule 7: where rules say what a user may read, it is as if nothing else existed. [RULES-READ-3]
Rule 6: behind a stretch of the log members move along, branch by branch, as `branches` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, count
from typing import Final

from replication.crdt.object import is_alive
from replication.crdt.parts import Parts
from replication.crdt.view import QueryFields
from replication.history.changeset import outline_trusted
from replication.limits import QUERY_FOLLOWED_SERVER_MAX
from replication.model.encoding import key_bytes, unpack_trusted
from replication.model.values import Key
from replication.server import tables
from replication.server.branches import Held, Stretch
from replication.server.lists import Lists
from replication.server.shared import Shared
from replication.server.touches import Touched
from replication.server.view import View
from replication.storage.contract import Reader
from replication.storage.graph import Fields, Graph, Name

#: Objects of a stretch up to which it is worth to look for what links to them.
_STEPS_MAX: Final = 1000
_serials: Final = count(1)


class Members(dict[Name, Key]):
    """Class and key of each, by class and the bytes of the key, as of one version. Not changed.

    What they are worked out from goes on to the members of a later version, and is there no more.
    """

    __slots__ = ("_held", "_moved", "_serial", "_since")

    def __init__(
        self,
        members: Mapping[Name, Key] | Iterable[tuple[Name, Key]] = (),
        held: list[Held] | None = None,
    ) -> None:
        super().__init__(members)
        self._serial = next(_serials)
        self._held = [] if held is None else [held]
        #: Those they were made of, and what may be different there.
        self._since = 0
        self._moved: frozenset[Name] = frozenset()

    def after(self, held: list[Held], moved: Mapping[Name, Key]) -> Members:
        """Those of a later version, at which no others may have come or gone than some."""
        out = Members(self, held)
        for name, key in moved.items():
            if any(name in each for each in held):
                out[name] = key
            else:
                out.pop(name, None)
        out._since, out._moved = self._serial, frozenset(moved)
        return out

    @property
    def weight(self) -> int:
        """Bytes in memory, roughly."""
        return 200 + 100 * len(self) + sum(each.weight for held in self._held for each in held)

    def take(self) -> list[Held] | None:
        """What they are worked out from; None if it has gone on already."""
        try:
            return self._held.pop()  # at once, whoever else is about to
        except IndexError:
            return None

    def changed_since(self, before: Members) -> set[Name]:
        """The members that came or went."""
        if self is before:
            return set()
        if self._since == before._serial:
            return {name for name in self._moved if (name in self) is not (name in before)}
        return set(self.keys() ^ before.keys())


NOBODY: Final = Members()


def members_at(shared: Shared, view: View, reader: Reader, version: int, latest: int) -> Members:
    """The members of a view as of a version.

    Args:
        latest: the latest version of the transaction.
    """
    if view.is_local:
        return NOBODY
    found = shared.members.get((view.key, version))
    if found is not None:
        return found
    graph = _graph(view, reader, _images(reader, version, latest))
    held = [Held(name, branch) for name, each in view.beyond.items() for branch in each]
    for branch in held:
        branch.begin(graph)
    return _keep(shared, view, version, Members(chain(*(each.names() for each in held)), held))


def members_after(
    shared: Shared,
    view: View,
    reader: Reader,
    before: Members,
    touched: Sequence[Touched],
    latest: int,
) -> Members:
    """The members as of the latest version, from those before a stretch and what it touched.

    Rule 6.
    """
    found = shared.members.get((view.key, latest))
    if found is not None:
        return found
    held = before.take() if len(touched) <= _STEPS_MAX else None
    if held is None:
        return members_at(shared, view, reader, latest, latest)
    named = {(item.class_name, key_bytes(item.key)): item for item in touched}
    schema = None if view.types is None else view.types.schema
    stretch = Stretch(reader, _graph(view, reader), named, schema)
    moved: dict[Name, Key] = {}
    for branch in held:
        moved |= branch.move(stretch)
    return _keep(shared, view, latest, before.after(held, moved))


def _keep(shared: Shared, view: View, version: int, members: Members) -> Members:
    shared.members.put((view.key, version), members, members.weight)
    return members


def _graph(
    view: View, reader: Reader, images: Mapping[Name, tuple[Key, Fields]] | None = None
) -> Graph:
    return Graph(reader, images, followed_max=QUERY_FOLLOWED_SERVER_MAX, lens=view.lens)


def keep_members(shared: Shared, view: View, version: int, latest: int) -> None:
    """Nothing that has a say changed since a version: what is known of it goes for the latest."""
    found = None if view.is_local else shared.members.get((view.key, version))
    if found is not None:
        _keep(shared, view, latest, found)


def _images(reader: Reader, version: int, latest: int) -> dict[Name, tuple[Key, Fields]]:
    """What was touched after a version, as it was then."""
    out: dict[Name, tuple[Key, Fields]] = {}
    lists = Lists.among(reader)
    for entry in tables.entries(reader, version + 1, latest):
        for item, before in zip(
            outline_trusted(entry.changeset).objects, entry.before, strict=True
        ):
            name = (item[0], key_bytes(item[1]))
            if name not in out:
                parts = lists.of(*item[:2], entry.version - 1)
                out[name] = (item[1], _fields(before, parts))
    return out


def _fields(head: bytes | None, parts: Parts) -> QueryFields | None:
    state = None if head is None else unpack_trusted(head)
    return QueryFields(state[3], parts) if state is not None and is_alive(state) else None
