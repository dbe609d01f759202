"""One branch of a query that looks at other objects: what it holds, and how that moves on.

A branch holds its **rows**, the objects of its class, and what FOLLOW brings along, step by step.
All of it can be worked out from the whole class. Behind a commit that is only done where nothing
less will do: what the commit touched, and what links there, says what else has to be looked at.

Rule 1: rows that are judged one by one, by themselves and by what single links lead to, are judged
        again where the stretch touched them, or an object on the way there.
Rule 2: a window, or DISTINCT, by the objects' own fields moves along as `windows` and `distinct`
        say.
Rule 3: any other rows (a window over what links lead to, conditions behind links whose end nobody
        knows) are worked out whole, where an object of a class with a say was touched.
Rule 4: what FOLLOW brings is counted: an object is there as long as some link of the step before
        leads to it. Only what entered, left or was touched is looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from operator import itemgetter
from typing import Final, NamedTuple

from replication.model.encoding import key_bytes
from replication.model.schema import Schema
from replication.model.values import Key, Link
from replication.query import Query, canonical, literals
from replication.query.ast import Branch, Follow, Modifier, Sort
from replication.query.ordering import arranged
from replication.query.reach import ALL, depends_on, hops, is_window
from replication.server.distinct import Firsts, is_distinct
from replication.server.touches import Touched
from replication.server.windows import window_after
from replication.storage.contract import Reader
from replication.storage.graph import Graph, Name, links_in

#: Objects up to which it is worth to look for what links to them.
_STEPS_MAX: Final = 1000
#: Of which so many are looked for at a time.
_AT_ONCE: Final = 100


class Stretch(NamedTuple):
    """What members are moved along with.

    Attributes:
        graph: the objects as they are at its end.
        touched: what it touched, by name.
        schema: as the view was read by it; None where there is none.
    """

    reader: Reader
    graph: Graph
    touched: Mapping[Name, Touched]
    schema: Schema | None

    def of(self, class_name: str) -> list[Touched]:
        """What it touched of a class."""
        return [item for item in self.touched.values() if item.class_name == class_name]


class Step:
    """One step of a FOLLOW.

    Attributes:
        held: what it brings, by name.
    """

    __slots__ = ("_counts", "_field", "_links", "held")

    def __init__(self, field: str) -> None:
        self._field = field
        #: What each object of the step before links to, and how many of them there are for each.
        self._links: dict[Name, tuple[Link, ...]] = {}
        self._counts: dict[Name, int] = {}
        self.held: dict[Name, Link] = {}

    @property
    def weight(self) -> int:
        """Bytes in memory, roughly."""
        return 200 * (len(self._links) + len(self._counts) + len(self.held))

    def move(
        self, graph: Graph, sources: Mapping[Name, Link | None], touched: Mapping[Name, Link]
    ) -> dict[Name, tuple[Link, bool]]:
        """What comes or goes, and whether it is here now.

        Args:
            sources: objects of the step before that are new, changed or, None, there no more.
        """
        concerned: dict[Name, Link] = {}
        for source, link in sources.items():
            for target in self._links.pop(source, ()):
                name = name_of(target)
                concerned[name] = target
                self._counts[name] -= 1
            found = () if link is None else tuple(self._targets(graph, link))
            if found:
                self._links[source] = found
            for target in found:
                name = name_of(target)
                concerned[name] = target
                self._counts[name] = self._counts.get(name, 0) + 1
        concerned.update((name, link) for name, link in touched.items() if name in self._counts)
        out: dict[Name, tuple[Link, bool]] = {}
        for name, link in concerned.items():
            if not self._counts[name]:
                del self._counts[name]
            here = name in self._counts and graph.find(link) is not None
            if here is not (name in self.held):
                out[name] = link, here
                if here:
                    self.held[name] = link
                else:
                    del self.held[name]
        return out

    def _targets(self, graph: Graph, source: Link) -> Iterator[Link]:
        node = graph.find(source)
        fields = {} if node is None else node.fields
        for field in [*fields] if self._field == ALL else [self._field]:
            yield from links_in(fields.get(field))


class Held:
    """What one branch of a view holds.

    Attributes:
        rows: its rows, by the bytes of their keys.
    """

    __slots__ = ("_branch", "_class_name", "_firsts", "_plain", "_steps", "rows")

    def __init__(self, class_name: str, branch: Branch) -> None:
        self._class_name = class_name
        self._branch = branch
        self._plain = replace(branch, modifiers=_without_follow(branch))
        self._firsts: Firsts | None = None
        self.rows: dict[bytes, Key] = {}
        follows = [each for each in branch.modifiers if isinstance(each, Follow)]
        self._steps = [[Step(name) for name in each.names * each.depth] for each in follows]

    @property
    def weight(self) -> int:
        """Bytes in memory, roughly."""
        return 100 * len(self.rows) + sum(step.weight for step in chain(*self._steps))

    def __contains__(self, name: Name) -> bool:
        if name[0] == self._class_name and name[1] in self.rows:
            return True
        return any(name in step.held for step in chain(*self._steps))

    def names(self) -> Iterator[tuple[Name, Key]]:
        """All it holds; some perhaps more than once."""
        yield from (((self._class_name, key), held) for key, held in self.rows.items())
        for step in chain(*self._steps):
            yield from ((name, link.key) for name, link in step.held.items())

    def begin(self, graph: Graph) -> None:
        """Work it all out."""
        self._replace(graph)
        self._follow(graph, self.rows, {})

    def move(self, stretch: Stretch) -> dict[Name, Key]:
        """Go on behind a stretch of the log; returns what may have come or gone."""
        class_name, schema = self._class_name, stretch.schema
        relevant = None if schema is None else depends_on(class_name, [self._branch], schema)
        if relevant is not None and all(name not in relevant for name, _ in stretch.touched):
            return {}
        moved = self._move_rows(stretch)
        for (name, key), item in stretch.touched.items():
            if name == class_name and key in self.rows:
                moved[key] = item.key  # what it links to may be something else now
        touched = {name: Link(name[0], item.key) for name, item in stretch.touched.items()}
        return self._follow(stretch.graph, moved, touched)

    def _move_rows(self, stretch: Stretch) -> dict[bytes, Key]:
        """Rules 1 to 3; returns the rows that came or went."""
        class_name, plain, graph = self._class_name, self._plain, stretch.graph
        mine = stretch.of(class_name)
        if is_window([plain]):
            if not mine:
                return {}
            found = window_after(class_name, plain, graph, self.rows, mine)
            if found is not None:
                return self._replace(graph, {key_bytes(key): key for key in found})
        elif self._firsts is not None:
            moved = self._firsts.move(graph, self.rows, mine)
            if moved is not None:
                return moved
        elif all(isinstance(each, Sort) for each in plain.modifiers):
            concerned = _concerned(class_name, plain, stretch)
            if concerned is not None:
                return self._judge(graph, concerned)
        return self._replace(graph)

    def _judge(self, graph: Graph, concerned: Mapping[bytes, Key]) -> dict[bytes, Key]:
        condition = Query.of(self._branch.root)
        moved: dict[bytes, Key] = {}
        for key, held in concerned.items():
            node = graph.judged(Link(self._class_name, held))
            here = node is not None and condition.matches(node)
            if here is not (key in self.rows):
                moved[key] = held
                if here:
                    self.rows[key] = held
                else:
                    del self.rows[key]
        return moved

    def _replace(self, graph: Graph, rows: dict[bytes, Key] | None = None) -> dict[bytes, Key]:
        """Other rows, from the whole class unless they are given; returns who came or went."""
        if rows is None:
            rows = _whole(self._class_name, self._plain, graph)
            if is_distinct(self._plain):
                self._firsts = Firsts(self._class_name, self._plain)
                self._firsts.begin(graph, rows)
        was, self.rows = self.rows, rows
        gone = {key: was[key] for key in was.keys() - rows.keys()}
        return gone | {key: rows[key] for key in rows.keys() - was.keys()}

    def _follow(
        self, graph: Graph, moved: Mapping[bytes, Key], touched: Mapping[Name, Link]
    ) -> dict[Name, Key]:
        """Rule 4; returns all that may have come or gone.

        Args:
            moved: rows that came, went, or may link to something else.
        """
        out: dict[Name, Key] = {(self._class_name, key): held for key, held in moved.items()}
        for steps in self._steps:
            sources: dict[Name, Link | None] = {
                (self._class_name, key): Link(self._class_name, held) if key in self.rows else None
                for key, held in moved.items()
            }
            for step in steps:
                found = step.move(graph, sources, touched)
                sources = {name: link for name, link in touched.items() if name in step.held}
                for name, (link, here) in found.items():
                    out[name] = link.key
                    sources[name] = link if here else None
        return out


def name_of(link: Link) -> Name:
    """What names the object that a link leads to."""
    return link.class_name, key_bytes(link.key)


def _without_follow(branch: Branch) -> tuple[Modifier, ...]:
    return tuple(each for each in branch.modifiers if not isinstance(each, Follow))


def _whole(class_name: str, branch: Branch, graph: Graph) -> dict[bytes, Key]:
    """The rows of a branch, from its whole class."""
    found = [
        (key_bytes(node.link.key), node)
        for node in graph.matching(class_name, Query.of(branch.root))
    ]
    found.sort(key=itemgetter(0))
    return {key: node.link.key for key, node in arranged(branch, found, itemgetter(1))}


def _concerned(class_name: str, branch: Branch, stretch: Stretch) -> dict[bytes, Key] | None:
    """Whom a stretch may have moved: what it touched, and what links there now. Rule 1.

    Returns:
        None where nobody can tell, or there are too many.
    """
    out = {key: item.key for (name, key), item in stretch.touched.items() if name == class_name}
    trails = None if stretch.schema is None else hops(class_name, branch, stretch.schema)
    if trails is None:
        return None
    touched = [Link(name, item.key) for (name, _), item in stretch.touched.items()]
    for trail in trails:
        targets = touched
        for at, field in reversed(trail):
            sources = [Link(at, key) for key in _linking(stretch.reader, at, field, targets)]
            if len(sources) > _STEPS_MAX:
                return None
            targets = touched + sources
        rows = (link.key for link in targets if link.class_name == class_name)
        out.update((key_bytes(key), key) for key in rows)
    return out


def _linking(reader: Reader, class_name: str, field: str, targets: list[Link]) -> Iterator[Key]:
    """The objects of a class that link to one of some with a property."""
    for start in range(0, len(targets), _AT_ONCE):
        constants = [literals.constant(each) for each in targets[start : start + _AT_ONCE]]
        listed = canonical.constants(constants, ordered=False)
        linking = canonical.comparison("IN", canonical.field(field, type_name="mixed"), listed)
        yield from (stored.key for stored in reader.scan(class_name, Query.of(linking)))
