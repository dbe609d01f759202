"""Judging what an upload writes into containers: lists and dictionaries inside mixed values.

Rule 1: a container that a delta makes is taken with the write that refers to it. Where that write
        was refused, or is not in the delta at all, it is left out without a refusal of its own.
Rule 2: an edit of a container that is shown here is taken; one of a container that is not, any
        more, is refused as "replaced", one of a container that never came as "depends on a
        refused write".
Rule 3: what is in a container is judged as the elements or keys of a mixed collection are.
Rule 4: nothing is taken that is deeper than would be shown.
Rule 5: a container that is here stays where it is: whoever says that it is elsewhere is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replication.crdt import object as obj
from replication.crdt.container import Home, Slot, collection_of, list_path, referred, trail, way_of
from replication.crdt.list import Id, expand
from replication.crdt.lookup import Here
from replication.crdt.parts import Parts, Path
from replication.limits import CONTAINER_NESTING_MAX
from replication.server.refusals import DEPENDS, REPLACED, TOO_LARGE

if TYPE_CHECKING:
    from replication.model.property import Property
    from replication.model.schema import ClassSchema
    from replication.server.judge import Judge


class ContainerTrial:
    """The containers of a delta's fields while they are judged.

    Args:
        owner: the class of the object; None: nothing is checked against a schema.
        base: the fields here, of the same life.
        kept: what is taken of the delta's other kinds; the containers are added.
        path: of the object.
    """

    __slots__ = ("_base", "_elements", "_judge", "_kept", "_news", "_owner", "_path", "_trails")

    def __init__(
        self,
        judge: Judge,
        owner: ClassSchema | None,
        base: obj.Fields,
        kept: obj.Fields,
        path: Path,
    ) -> None:
        self._judge = judge
        self._owner = owner
        self._base = base
        self._kept = {**kept, obj.CONTAINER: {}}
        self._path = path
        self._elements: dict[Slot, dict[Id, Any]] = {}
        self._trails: dict[bytes, list[Home]] = {}
        self._news: dict[bytes, Any] = {}

    def judged(self, news: dict[bytes, Any]) -> dict[bytes, Any]:
        """What may be merged of ``news``: the same map where that is all of it."""
        self._news = news
        inside: dict[bytes, list[bytes]] = {}
        ready = []
        for name, (home, _) in news.items():
            if home and home[0] == obj.CONTAINER and home[1] in news:
                inside.setdefault(home[1], []).append(name)
            else:
                ready.append(name)
        taken: dict[bytes, Any] = self._kept[obj.CONTAINER]
        while ready:
            name = ready.pop()
            kept = self._one(name)
            if kept is not None:
                taken[name] = kept
                ready += inside.get(name, ())
        if len(taken) == len(news) and all(taken[name] is news[name] for name in news):
            return news
        if not self._judge.refusals:  # nobody was told yet: no write was refused, there was none
            self._refuse(next(name for name in news if name not in taken))
        return dict(sorted(taken.items()))

    def _one(self, name: bytes) -> Any:
        """What may be merged of one container, those around it being judged already."""
        home, delta = self._news[name]
        known = self._home_here(name)
        if home and known and home != known:
            self._refuse(name)
            return None
        steps = self._made(name, home) if home else None
        if steps is None:
            steps = trail(self._base, name, self._element_here)
        if steps is None:
            if not home:
                self._refuse(name)
            return None
        self._trails[name] = steps
        path = (*self._path, obj.CONTAINER, name)
        self._judge.trails[name] = (*self._path, *way_of(steps))
        if len(steps) > CONTAINER_NESTING_MAX:
            message = f"more than {CONTAINER_NESTING_MAX} lists and dictionaries inside each other"
            self._judge.refuse(path, TOO_LARGE, f"{self._judge.name(path)}: {message}")
            return None
        kind = obj.container_kind(name)
        held = collection_of(self._base, kind, name) or obj.empty_collection(kind)
        kept = self._judge.collection(self._property(steps), kind, held, delta, path)
        if kept is None:
            return [home, obj.empty_collection(kind)] if home else None
        return self._news[name] if kept is delta else [home, kept]

    def _made(self, name: bytes, home: Home) -> list[Home] | None:
        """The way to a container that the delta makes; None where nothing refers to it. Rule 1."""
        if referred(self._kept, home, self._element_kept) != name:
            return None
        if home[0] != obj.CONTAINER:
            return [home]
        outer = self._trails.get(home[1])
        return None if outer is None else [*outer, home]

    def _refuse(self, name: bytes) -> None:
        """Refuse an edit of what is not shown here. Rule 2."""
        path = (*self._path, obj.CONTAINER, name)
        known = self._home_here(name)
        if known:
            self._judge.trails[name] = (*self._path, *way_of([known]))
            message = "was replaced meanwhile, or what it was in"
            self._judge.refuse(path, REPLACED, f"{self._judge.name(path)} {message}")
        else:
            home = self._news[name][0]
            self._judge.trails[name] = (*self._path, *way_of([home] if home else []))
            message = "a list or dictionary it writes to was refused, or never came here"
            self._judge.refuse(path, DEPENDS, f"{self._judge.name(path)}: {message}")

    def _home_here(self, name: bytes) -> Any:
        """Where a container is, if it is here."""
        held = self._base.get(obj.CONTAINER, {}).get(name)
        return None if held is None else held[0]

    def _property(self, steps: list[Home]) -> Property | None:
        return None if self._owner is None else self._owner.properties.get(steps[0][1])

    def _element_here(self, slot: Slot, here: Id) -> Any:
        """The value of an element here."""
        state = collection_of(self._base, obj.LIST, slot)
        if state is None:
            return None
        parts: Parts | None = self._judge.parts
        value = Here(state, parts, list_path(self._path, slot)).about(here).values.get(here)
        return None if value is None else value[2]

    def _element_kept(self, slot: Slot, here: Id) -> Any:
        """The value that the delta gives an element."""
        found = self._elements.get(slot)
        if found is None:
            state = collection_of(self._kept, obj.LIST, slot)
            values = {} if state is None else expand(state[1]).values
            found = self._elements[slot] = {each: value for each, (*_, value) in values.items()}
        return found.get(here)
