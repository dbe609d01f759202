"""Judging what an upload writes to a list, element by element.

Rule 1: a place is taken if its parent is known: here, or in the same delta.
Rule 2: a write to an element that is erased here is refused as "deleted", erasing it again is
        taken. One that is neither here nor born in the delta: "depends on a refused write".
Rule 3: a refused insert refuses the element, not its place: others may build on that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from replication.crdt.list import ROOT, Chunk, Elements, Id, contract, expand, has_place, parent_of
from replication.crdt.lookup import Here
from replication.crdt.parts import Path
from replication.server.refusals import DELETED, DEPENDS, WRONG_TYPE

if TYPE_CHECKING:
    from replication.model.property import Property
    from replication.server.judge import Judge


def judged_list(judge: Judge, known: Property | None, held: Any, delta: Any, path: Path) -> Any:
    """What may be merged of a list's delta: the same where that is all of it, None for nothing.

    Args:
        known: its property; None: nothing is checked against a schema.
        held: the list here, in the incarnation the delta writes to.
    """
    here = Here(held, judge.parts, path)
    if _is_undisputed(known, here, delta[1]):
        return delta
    trial = _Trial(judge, known, here, expand(delta[1]), path)
    kept = trial.kept()
    if kept is trial.news:
        return delta
    is_new = delta[0] != held[0]
    return [delta[0], contract(kept)] if is_new or kept.ids() else None


def _is_undisputed(known: Property | None, here: Here, chunk: Chunk) -> bool:
    """Whether it only inserts values that fit, next to places that are here or come before.

    As most deltas do: of them nothing has to be spread out.
    """
    runs, *others = chunk
    if any(others):
        return False
    for run in runs:
        parent = parent_of(run)
        comes_before = parent < (run[0], run[1]) and has_place(chunk, parent)
        if not (parent == ROOT or comes_before or here.has_place(parent)):
            return False
        if known is not None and type(run[5]) is list and not all(map(known.check_packed, run[5])):
            return False
    return True


class _Trial:
    """One list's delta while it is judged."""

    __slots__ = ("_here", "_judge", "_known", "_path", "_refused", "news")

    def __init__(
        self, judge: Judge, known: Property | None, here: Here, news: Elements, path: Path
    ) -> None:
        self._judge = judge
        self._known = known
        self._here = here
        self._path = path
        self._refused: set[Id] = set()
        self.news = news

    def kept(self) -> Elements:
        """What is left of `news`; the same where that is all of it."""
        news = self.news
        places = self._placed()
        named = [news.values, news.moves, news.erased, news.contents]
        for here in sorted({here for ids in named for here in ids}):
            if not self._judge_element(here, places):
                self._refused.add(here)
        contents = self._contents()
        if not self._refused and len(places) == len(news.places) and contents is news.contents:
            return news
        return Elements(
            {here: news.places[here] for here in places},
            self._left(news.values),
            self._left(news.moves),
            news.erased - self._refused,
            self._left(contents),
        )

    def _left(self, items: dict[Id, Any]) -> dict[Id, Any]:
        return {here: item for here, item in items.items() if here not in self._refused}

    def _placed(self) -> set[Id]:
        """The new places that hang on something known. Rule 1."""
        news = self.news.places
        children: dict[Id, list[Id]] = {}
        ready: list[Id] = []
        for here, place in news.items():
            if place[0] in news and not self._is_place(place[0]):
                children.setdefault(place[0], []).append(here)
            elif self._is_place(place[0]):
                ready.append(here)
        placed = set(ready)
        while ready:
            below = children.get(ready.pop(), ())
            placed.update(below)
            ready.extend(below)
        return placed

    def _is_place(self, here: Id) -> bool:
        return here == ROOT or self._here.has_place(here)

    def _judge_element(self, here: Id, places: set[Id]) -> bool:
        """Whether what the delta says of one element is taken; refuses it otherwise."""
        news, judge, path = self.news, self._judge, (*self._path, here)
        if here in news.places:
            if here not in places:
                return self._refuse_dependent(path)
        else:
            ours = self._here.about(here)
            if here in ours.erased:
                if here in news.erased:
                    return True
                judge.refuse(path, DELETED, f"{judge.name(path)} was erased meanwhile")
                return False
            if here not in ours.values:
                return self._refuse_dependent(path)
        if here in news.moves:
            target = news.moves[here][2]
            if target not in places and not self._is_place(target):
                return self._refuse_dependent(path)
        return here not in news.values or self._fits(news.values[here][2], path)

    def _refuse_dependent(self, path: Path) -> bool:
        name = self._judge.name(path)
        message = "the element or place it builds on was refused, is forgotten, or never came here"
        self._judge.refuse(path, DEPENDS, f"{name}: {message}")
        return False

    def _fits(self, value: Any, path: Path) -> bool:
        known = self._known
        if known is not None and known.type == "embedded" and value is None:
            return True
        return known is None or self._judge.fits(known, value, path)

    def _contents(self) -> dict[Id, Any]:
        """The fields of embedded objects that may be merged."""
        known, judge = self._known, self._judge
        target = judge.target(known)
        contents = {}
        changed = False
        for here, fields in self._undisputed(self.news.contents):
            path = (*self._path, here)
            if known is not None and known.type != "embedded":
                message = f"{known} is {known.spelling}, got an embedded object"
                judge.refuse(path, WRONG_TYPE, message)
                self._refused.add(here)
                continue
            base = self._here.about(here).contents.get(here, {})
            contents[here] = judge.fields(target, base, fields, path)
            changed = changed or contents[here] is not fields
        return contents if changed else self.news.contents

    def _undisputed(self, items: dict[Id, Any]) -> Iterable[tuple[Id, Any]]:
        return [(here, item) for here, item in items.items() if here not in self._refused]
