"""What a device loses to a write of somebody else, told from its own delta. [JOURNAL-LOST]

`lost_parts` walks a delta of this file beside the news, and the object before and after they
merged. It goes only where both wrote, and everywhere in what the news brought to an end.

Rule 1: a part of a delta is lost where what it wrote showed before, and something else does after.
        Writes that say the same lose nothing to each other. [JOURNAL-1]
Rule 2: names, keys and members are compared by name, whatever life or incarnation they are in;
        elements of lists by their ids. [JOURNAL-2]
Rule 3: what shows before is told by stamp, so a part that this device wrote over itself, or lost
        earlier, is not lost again.
Rule 4: deletions, nulls and increments have no stamps. A deletion shows while its length is the
        last one; who deletes, too, and later creates anew, takes nothing of it away. An increment
        shows on every number but one that this device set later.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, NamedTuple

from replication.client.losses import (
    ADDED,
    CLEARING,
    CREATED,
    DELETED,
    DELETION,
    ERASURE,
    FORMAT,
    FORMATTED,
    INSERTED,
    LATER,
    MOVED,
    NO_NUMBER,
    REMOVED,
    REPLACEMENT,
    SET,
    TYPED,
    Cause,
    Lost,
    Side,
    Way,
)
from replication.client.lost_containers import Reading, replaced
from replication.client.lost_text import formats_of, has_content, reformatted, typed_in
from replication.client.lost_writes import (
    names_of,
    same,
    same_write,
    stamp_of,
    stands,
    still_shows,
    unbased,
    won_by,
    writes_of,
)
from replication.crdt import object as obj
from replication.crdt.container import (
    Home,
    Slot,
    collection_of,
    home_in,
    property_container,
    trail,
    way_of,
)
from replication.crdt.list import Elements, Id, all_elements, expand
from replication.crdt.lookup import Here
from replication.crdt.object import ObjectState, absent, is_alive
from replication.crdt.parts import Parts, Path
from replication.crdt.register import Groups, Stamp, find
from replication.crdt.sequence import Sequence
from replication.crdt.text import all_updates
from replication.crdt.union import union
from replication.crdt.units import Update
from replication.crdt.updates import read_update
from replication.crdt.view import NestedView
from replication.model.encoding import unpack_trusted
from replication.model.values import ERASED, Container

#: A set or dictionary without content.
_NO_KEYS: Final[list[Any]] = [[], [], {}]
#: The server left it out.
_LEFT_OUT: Final = Cause("", None)


def lost_parts(
    own: ObjectState,
    stamp: Stamp,
    news: ObjectState,
    before: Side,
    after: Side,
    since: Stamp | None = None,
    *,
    perhaps: bool = False,
) -> list[tuple[Cause, Lost]]:
    """What of a delta shows before the news have merged and does not after.

    Args:
        own: the delta; `stamp`: of its changeset.
        news: another delta, or a state that replaced the synced one.
        before, after: what this device shows; they and their parts are not changed.
        since: the stamp of the news, if it is known.
        perhaps: the news are several deltas merged: tell also what shows the same at the end, as it
            may have been lost in between.
    """
    walk = _Walk(stamp, since, before, after, perhaps=perhaps)
    walk.object(own, news, before.state, after.state, _At((), (), None))
    return walk.found


def only_adds(news: ObjectState, shown: ObjectState) -> bool:
    """Whether a delta takes nothing away from what shows: it inserts into lists, and counts.

    Args:
        shown: the object before they merge.
    """
    if news[0] or news[1:3] != shown[1:3]:
        return False
    for kind, held in news[3].items():
        if kind == obj.LIST:
            there = shown[3].get(obj.LIST, {})
            for name, (incarnation, chunk) in held.items():
                if any(chunk[1:]) or (name in there and there[name][0] != incarnation):
                    return False
        elif kind != obj.COUNTER:
            return False
    return True


def may_lose(own: ObjectState, news: ObjectState) -> bool:
    """Whether a delta could lose anything to the news; told from what both say alone."""
    if news[0] or news[1:3] != own[1:3]:
        return True
    mine, theirs = own[3], news[3]
    if obj.CONTAINER in mine:
        return True
    written = names_of(theirs.get(obj.REGISTER, ()))
    for kind, held in mine.items():
        if kind == obj.REGISTER:
            if any(not written.isdisjoint(group[2]) for group in held):
                return True
        elif kind == obj.COUNTER:
            if not written.isdisjoint(held):
                return True
        elif kind in theirs and not theirs[kind].keys().isdisjoint(held):
            return True
    return False


def refused_parts(
    original: ObjectState, integrated: ObjectState | None, stamp: Stamp
) -> list[Lost]:
    """What of a delta the server left out.

    Args:
        original: the delta as it was uploaded; `stamp`: of its changeset.
        integrated: what became of it; None for nothing.
    """
    if integrated is not None:  # of a blind create the server says which life it is about
        original = [*integrated[:3], original[3]]
    before, after = Side(original, None), Side(integrated or absent(), None)
    walk = _Walk(stamp, None, before, after, left_out=True)
    walk.object(original, original, original, after.state, _At((), (), None))
    return [part for _, part in walk.found]


class _At(NamedTuple):
    """A place of the object.

    Attributes:
        path: the way there, kinds included.
        way: the same as people go there.
        cause: why all that was here ended; None where it goes on.
    """

    path: Path
    way: Way
    cause: Cause | None

    def step(self, *steps: Any, kind: int | None = None) -> _At:
        """A place inside."""
        path = steps if kind is None else (kind, *steps)
        return _At((*self.path, *path), (*self.way, *steps), self.cause)


class _Owner(NamedTuple):
    """The fields of one object, before and after, and the path to them."""

    old: obj.Fields
    new: obj.Fields
    path: Path


class _Walk:
    """The walk of one delta.

    ``own``, ``news``, ``old`` and ``new`` are what stands at one place in the delta, the news and
    the two states; None where nothing does.
    """

    def __init__(
        self,
        stamp: Stamp,
        since: Stamp | None,
        before: Side,
        after: Side,
        *,
        perhaps: bool = False,
        left_out: bool = False,
    ) -> None:
        self.found: list[tuple[Cause, Lost]] = []
        self._stamp = stamp
        self._since = since
        self._perhaps = perhaps
        self._left_out = left_out
        self._before = before
        self._after = after

    def _tell(self, cause: Cause, way: Way, did: str, old: Any, new: Any = None) -> None:
        self.found.append((cause, Lost(way, did, old, new)))

    def _differ(self, ours: Any, theirs: Any) -> bool:
        return self._perhaps or self._left_out or not same(ours, theirs)

    # -- objects -----------------------------------------------------------------------------
    def object(self, own: ObjectState, news: Any, old: Any, new: Any, at: _At) -> None:
        """An object, top-level or embedded."""
        old, new = old or absent(), new or absent()
        life, length = own[1:3], own[0]
        if own[1] == 0:
            is_later = self._since is None or self._since < self._stamp
            follows = is_alive(new) or (self._perhaps and new[0] > length)
            if self._left_out and length and new == absent():
                self._tell(_LEFT_OUT, at.way, DELETED, None)
            elif length and old[0] == length and follows and is_later:
                self._tell(at.cause or Cause(REPLACEMENT, None), at.way, DELETED, None)
            return
        if old[1:3] != life:
            return
        if at.cause is None and new[1:3] == life:
            if news is not None and news[1:3] == life:
                self._fields(own[3], news[3], _Owner(old[3], new[3], at.path), at)
            return
        at = at._replace(cause=at.cause or _ending(life, new))
        assert at.cause is not None
        if length or (own[2] and own[2][0] == self._stamp[0]):
            self._tell(at.cause, at.way, CREATED, None)
        left = new[3] if is_alive(new) else {}
        self._fields(own[3], {}, _Owner(old[3], left, at.path), at)

    def _fields(self, own: obj.Fields, news: obj.Fields, owner: _Owner, at: _At) -> None:
        """The fields of one object."""
        for kind, held in own.items():
            if kind == obj.REGISTER:
                self._registers(held, news, owner, at)
            elif kind == obj.COUNTER:
                self._increments(held, news, owner, at)
            elif kind == obj.CONTAINER:
                self._containers(held, news, owner, at)
            elif at.cause or kind in news:
                theirs, was, now = (
                    news.get(kind, {}),
                    owner.old.get(kind, {}),
                    owner.new.get(kind, {}),
                )
                for name in held if at.cause else held.keys() & theirs.keys():
                    here = (held[name], theirs.get(name), was.get(name), now.get(name))
                    there = at.step(name, kind=kind)
                    if kind == obj.EMBEDDED:
                        self.object(*here, there)
                    elif kind == obj.TEXT:
                        self._text(*here, there)
                    else:
                        self._collection(kind, name, here, owner, there)

    def _registers(self, own: Groups, news: obj.Fields, owner: _Owner, at: _At) -> None:
        was, now = owner.old.get(obj.REGISTER, []), owner.new.get(obj.REGISTER, [])
        names = None if at.cause else names_of(news.get(obj.REGISTER, ()))
        for group, name, value in writes_of(own, names):
            if not stands(was, group, name, value) or stands(now, group, name, value):
                continue
            stored, winner = unbased(value), find(now, name)
            if type(stored) is Container and not stored.sequence:
                continue  # it is that of all such defaults: what is in it has entries of its own
            held = None if winner is None else unbased(winner[2][name])
            ours = self._property(self._before, owner.old, at.path, name, stored)
            theirs = self._property(self._after, owner.new, at.path, name, held)
            if self._differ(ours, theirs):
                self._tell(at.cause or won_by(group, winner), (*at.way, name), SET, ours, theirs)

    def _increments(self, own: dict[str, int], news: obj.Fields, owner: _Owner, at: _At) -> None:
        written = names_of(news.get(obj.REGISTER, ()))
        for name, amount in own.items():
            if not (self._perhaps or self._counts(owner.old, name)):  # in between it may have
                continue
            if at.cause:
                self._tell(at.cause, (*at.way, name), ADDED, amount)
            elif self._left_out:
                if owner.new.get(obj.COUNTER, {}).get(name) != amount:
                    self._tell(_LEFT_OUT, (*at.way, name), ADDED, amount)
            elif name in written:
                winner = find(owner.new[obj.REGISTER], name)
                assert winner is not None, "what was written stays written"
                theirs = unbased(winner[2][name])
                if self._perhaps or type(theirs) is not int:
                    theirs = self._property(self._after, owner.new, at.path, name, theirs)
                    why = Cause(NO_NUMBER, stamp_of(winner))
                    self._tell(why, (*at.way, name), ADDED, amount, theirs)

    def _counts(self, fields: obj.Fields, name: str) -> bool:
        """Whether an increment shows: on a number that this device has not set since. Rule 4."""
        group = find(fields.get(obj.REGISTER, []), name)
        if group is None:
            return True
        time, origin = stamp_of(group)
        is_later = origin == self._stamp[1] and time > self._stamp[0]
        return type(unbased(group[2][name])) is int and not is_later

    def _text(self, own: Any, news: Any, old: Any, new: Any, at: _At) -> None:
        """A text; see `lost_text.py`."""
        if old is None or (at.cause is None and not self._left_out and not _rival(own, news)):
            return
        update = read_update(own[1])
        if self._left_out:
            if new is None or not has_content(read_update(new[1])):
                self._typed(_LEFT_OUT, update, update, at.way)
                formats = formats_of(update)
                if formats:
                    self._tell(_LEFT_OUT, at.way, FORMATTED, ["", formats])
            return
        before = all_updates(old, self._before.parts, at.path)
        after = None
        if at.cause:
            self._typed(at.cause, update, union(map(read_update, before)), at.way)
        elif new is not None:
            after = all_updates(new, self._after.parts, at.path)
        cause = at.cause or Cause(FORMAT, None)
        if at.cause is None and self._perhaps:
            self._tell(cause, at.way, FORMATTED, ["", formats_of(update)])
        elif formats_of(update):
            for first, text, formats, others in reformatted(update, before, after):
                self._tell(cause, (*at.way, first), FORMATTED, [text, formats], others)

    def _typed(self, cause: Cause, own: Update, left: Update, way: Way) -> None:
        text = typed_in(own, left)
        if text:
            self._tell(cause, way, TYPED, text)

    # -- collections -------------------------------------------------------------------------
    def _collection(
        self, kind: int, name: Slot, here: tuple[Any, Any, Any, Any], owner: _Owner, at: _At
    ) -> None:
        own, news, old, new = here
        if old is None or old[0] != own[0]:
            return
        if at.cause is None and (new is None or new[0] != own[0]):
            stamp = (new[0][0], new[0][1]) if new is not None and new[0] else None
            at = at._replace(cause=Cause(CLEARING, stamp))
        if at.cause is None and (news is None or news[0] != own[0]):
            return
        if kind == obj.LIST:
            self._list(name, here, owner, at)
            return
        self._keys(kind, name, here, owner, at)
        if kind == obj.DICTIONARY:
            theirs, now = (news or _NO_KEYS)[2], (new or _NO_KEYS)[2]
            for key in own[2] if at.cause else own[2].keys() & theirs.keys():
                items = (own[2][key], theirs.get(key), old[2].get(key), now.get(key))
                self.object(*items, at.step(key))

    def _keys(
        self, kind: int, name: Slot, here: tuple[Any, Any, Any, Any], owner: _Owner, at: _At
    ) -> None:
        """The members of a set, the plain values of a dictionary."""
        own, news, old, new = here
        now = (new or _NO_KEYS)[1]
        shown = partial(still_shows, removal=False if kind == obj.SET else ERASED)
        # A removal that is not there may have been undone in between, or is left out itself.
        shows = stands if self._perhaps or self._left_out else shown
        for group, key, value in writes_of(own[1], None if at.cause else names_of(news[1])):
            if not shown(old[1], group, key, value) or shows(now, group, key, value):
                continue
            winner = find(now, key)
            held = None if winner is None else winner[2][key]
            why = at.cause or won_by(group, winner)
            if kind == obj.SET:
                if self._differ(value, bool(held)):
                    member = unpack_trusted(key)
                    sides = (member, None) if value else (None, member)
                    self._tell(why, at.way, INSERTED if value else REMOVED, *sides)
                continue
            home = home_in(name, key)
            ours = self._value(self._before, owner.old, owner.path, home, value)
            theirs = self._value(self._after, owner.new, owner.path, home, held)
            if self._differ(ours, theirs):
                self._tell(why, (*at.way, key), REMOVED if value is ERASED else SET, ours, theirs)

    # -- lists -------------------------------------------------------------------------------
    def _list(self, name: Slot, here: tuple[Any, Any, Any, Any], owner: _Owner, at: _At) -> None:
        own, news, old, new = here
        touched = None if at.cause or self._left_out else _touched(news)
        if touched is not None and not touched:
            return
        mine = expand(own[1])
        was = Here(old, self._before.parts, at.path)
        now = None if at.cause else Here(new, self._after.parts, at.path)
        theirs = Elements() if news is None or at.cause or len(news) == 3 else expand(news[1])
        for each in sorted({*mine.values, *mine.moves, *mine.contents}):
            before = was.about(each)
            if (touched is not None and each not in touched) or each in before.erased:
                continue
            after = Elements() if now is None else now.about(each)
            there = at.step(each)
            if each in after.erased:
                there = there._replace(cause=Cause(ERASURE, None))
            self._element(home_in(name, each), (mine, before, after), each, owner, there)
            self._moved((mine, before, after), each, (old, new), there)
            if each in mine.contents:
                fields = (before.contents.get(each, {}), after.contents.get(each, {}))
                inner = theirs.contents.get(each, {})
                self._fields(mine.contents[each], inner, _Owner(*fields, there.path), there)

    def _element(
        self, home: Home, sides: tuple[Elements, Elements, Elements], here: Id, owner: _Owner,
        at: _At,
    ) -> None:  # fmt: skip
        """The value of an element."""
        mine = sides[0]
        written, was, now = (each.values.get(here) for each in sides)
        if written is None or not same_write(was, written):
            return
        ours = self._value(self._before, owner.old, owner.path, home, written[2])
        did = INSERTED if here in mine.places else SET
        if at.cause:
            self._tell(at.cause, at.way, did, ours)
        elif now is None and self._left_out:
            self._tell(_LEFT_OUT, at.way, did, ours)
        elif now is not None:
            theirs = self._value(self._after, owner.new, owner.path, home, now[2])
            if not same_write(now, written) and self._differ(ours, theirs):
                self._tell(Cause(LATER, (now[0], now[1])), at.way, did, ours, theirs)

    def _moved(
        self, sides: tuple[Elements, Elements, Elements], here: Id, lists: tuple[Any, Any], at: _At
    ) -> None:
        """The place of an element; the loss of one that was inserted says it all."""
        mine, before, after = sides
        move, now = mine.moves.get(here), after.moves.get(here)
        if move is None or here in mine.places or before.moves.get(here) != move or now == move:
            return
        was = _index(lists[0], self._before.parts, at.path[:-1], here)
        if at.cause or now is None:
            self._tell(at.cause or Cause(LATER, None), at.way, MOVED, was)
        else:
            index = _index(lists[1], self._after.parts, at.path[:-1], here)
            self._tell(Cause(LATER, (now[0], now[1])), at.way, MOVED, was, index)

    # -- values that nest --------------------------------------------------------------------
    def _containers(self, own: dict[bytes, Any], news: obj.Fields, owner: _Owner, at: _At) -> None:
        theirs = news.get(obj.CONTAINER, {})
        before = Reading(self._before, owner.old, at.path)
        after = Reading(self._after, owner.new, at.path)
        for slot, (home, held) in own.items():
            if home and len(unpack_trusted(slot)) == 3:
                continue  # its loss is that of the write that refers to it
            steps = trail(owner.old, slot, before.element)
            if steps is None:
                continue
            cause = at.cause
            if not cause and trail(owner.new, slot, after.element) is None:
                cause = replaced(steps, before, after)
            kind = obj.container_kind(slot)
            news_here = theirs[slot][1] if slot in theirs else None
            new = None if cause else collection_of(owner.new, kind, slot)
            here = (held, news_here, collection_of(owner.old, kind, slot), new)
            place = _At((*at.path, obj.CONTAINER, slot), (*at.way, *way_of(steps)), cause)
            self._collection(kind, slot, here, owner, place)

    def _property(self, side: Side, fields: obj.Fields, path: Path, name: str, value: Any) -> Any:
        """What a property shows that holds a value."""
        slot = property_container(fields, name) if type(value) is Container else None
        if slot is None:
            return value
        return NestedView(fields, side.parts, path).inside(slot, [obj.REGISTER, name])

    def _value(self, side: Side, fields: obj.Fields, path: Path, home: Home, value: Any) -> Any:
        """What a key or an element shows that holds a value."""
        if value is ERASED:
            return None
        return NestedView(fields, side.parts, path).value(value, home)


def _ending(life: list[Any], new: ObjectState) -> Cause:
    """Why a life is over."""
    if is_alive(new) and new[1] == life[0] and new[2]:
        return Cause(REPLACEMENT, (new[2][0], new[2][1]))
    return Cause(REPLACEMENT if is_alive(new) else DELETION, None)


def _touched(state: Any) -> set[Id] | None:
    """The elements of which a list's delta may take something away; None for any."""
    if len(state) == 3:
        return None
    if not any(state[1][1:]):
        return set()
    found = expand(state[1])
    return {*found.values, *found.moves, *found.erased, *found.contents}


def _index(state: Any, parts: Parts | None, path: Path, here: Id) -> int | None:
    visible = Sequence(all_elements(state, parts, path)).visible
    return visible.index(here) if here in visible else None


def _rival(own: Any, news: Any) -> bool:
    """Whether a text may take formats of a delta away: those of a name that both put in."""
    if news is None or len(news) == 4:
        return news is not None
    theirs = formats_of(read_update(news[1]))
    return bool(theirs) and not theirs.keys().isdisjoint(formats_of(read_update(own[1])))
