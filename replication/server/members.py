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
Rule 6: where each object is judged by itself and what it links to, a stretch of the log concerns
        what it touched and what links there, and nothing else is judged again. Windows by the
        objects' own fields move along as `windows` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from replication.crdt.object import is_alive
from replication.crdt.parts import Parts
from replication.crdt.view import QueryFields
from replication.history.changeset import outline_trusted
from replication.limits import QUERY_FOLLOWED_SERVER_MAX
from replication.model.encoding import key_bytes, unpack_trusted
from replication.model.values import Key, Link
from replication.query import Query, canonical, literals
from replication.query.ast import Branch, Follow
from replication.query.ordering import arranged
from replication.query.reach import is_window
from replication.server import tables
from replication.server.lists import Lists
from replication.server.shared import Shared
from replication.server.touches import Touched
from replication.server.view import View
from replication.server.windows import window_after
from replication.storage.contract import Reader
from replication.storage.graph import Fields, Graph, Name, Node, links_in

#: Class and key, by class and the bytes of the key.
Members: TypeAlias = Mapping[Name, Key]
NOBODY: Members = {}
#: Objects of a stretch up to which it is worth to look for what links to them.
_STEPS_MAX: Final = 1000


def members_at(shared: Shared, view: View, reader: Reader, version: int, latest: int) -> Members:
    """The members of a view as of a version.

    Args:
        latest: the latest version of the transaction.
    """
    if view.is_local:
        return NOBODY
    key = (view.key, version)
    found = shared.members.get(key)
    if found is None:
        images = _images(reader, version, latest)
        graph = _graph(view, reader, images)
        found = _members(view, graph)
        shared.members.put(key, found, 200 + 100 * len(found))
    return found


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
    if not view.steps_once or len(touched) > _STEPS_MAX:
        return members_at(shared, view, reader, latest, latest)
    graph = _graph(view, reader)
    out = dict(before)
    for class_name, branches in view.beyond.items():
        if is_window(branches):
            moved = _moved_window(class_name, branches[0], graph, before, touched)
            if moved is None:
                return members_at(shared, view, reader, latest, latest)
            out = {name: key for name, key in out.items() if name[0] != class_name}
            out |= {(class_name, key_bytes(key)): key for key in moved}
            continue
        condition = Query(branches)
        for key in _concerned(class_name, condition, reader, touched):
            name = (class_name, key_bytes(key))
            node = graph.judged(Link(class_name, key))
            if node is not None and condition.matches(node):
                out[name] = key
            else:
                out.pop(name, None)
    shared.members.put((view.key, latest), out, 200 + 100 * len(out))
    return out


def _graph(
    view: View, reader: Reader, images: Mapping[Name, tuple[Key, Fields]] | None = None
) -> Graph:
    return Graph(reader, images, followed_max=QUERY_FOLLOWED_SERVER_MAX, lens=view.lens)


def keep_members(shared: Shared, view: View, version: int, latest: int) -> None:
    """Nothing that has a say changed since a version: what is known of it goes for the latest."""
    found = None if view.is_local else shared.members.get((view.key, version))
    if found is not None:
        shared.members.put((view.key, latest), found, 200 + 100 * len(found))


def _moved_window(
    class_name: str, branch: Branch, graph: Graph, before: Members, touched: Sequence[Touched]
) -> list[Key] | None:
    held = {key: value for (name, key), value in before.items() if name == class_name}
    mine = [item for item in touched if item.class_name == class_name]
    return window_after(class_name, branch, graph, held, mine) if mine else [*held.values()]


def _concerned(
    class_name: str, condition: Query, reader: Reader, touched: Sequence[Touched]
) -> Iterator[Key]:
    """Whom a stretch may have moved: what it touched, and what links there now."""
    yield from (item.key for item in touched if item.class_name == class_name)
    targets = [literals.constant(Link(item.class_name, item.key)) for item in touched]
    listed = canonical.constants(targets, ordered=False)
    for name in sorted(condition.links):
        linking = canonical.comparison("IN", canonical.field(name, type_name="mixed"), listed)
        yield from (stored.key for stored in reader.scan(class_name, Query.of(linking)))


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


def _members(view: View, graph: Graph) -> dict[Name, Key]:
    out: dict[Name, Key] = {}
    for class_name, branches in view.beyond.items():
        for branch in branches:
            found = graph.matching(class_name, Query.of(branch.root))
            found.sort(key=_key_bytes)
            rows = arranged(branch, found, lambda node: node)
            _add(out, rows)
            for modifier in branch.modifiers:
                if isinstance(modifier, Follow):
                    _follow(graph, rows, modifier, out)
    return out


def _key_bytes(node: Node) -> bytes:
    return key_bytes(node.link.key)


def _add(out: dict[Name, Key], nodes: Iterable[Node]) -> None:
    for node in nodes:
        out[node.link.class_name, _key_bytes(node)] = node.link.key


def _follow(graph: Graph, rows: list[Node], follow: Follow, out: dict[Name, Key]) -> None:
    frontier = [seen for seen in map(graph.seen, rows) if seen is not None]
    for _ in range(follow.depth):
        for name in follow.names:
            reached = {
                (node.link.class_name, _key_bytes(node)): node
                for source in frontier
                for node in _targets(graph, source, name)
            }
            frontier = list(reached.values())
            _add(out, frontier)


def _targets(graph: Graph, source: Node, name: str) -> Iterator[Node]:
    for field in [*source.fields] if name == "*" else [name]:
        for link in links_in(source.fields.get(field)):
            found = graph.find(link)
            if found is not None:
                yield found
