"""What a write loses, by the reference model: all operations are kept, and asked again each time.

It shares nothing with `replication.client.lost` but what entries are called. An operation *stands*
in a set of changesets if a reader of them comes by it and it is the last one there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import plain_text
from reference import (
    CONTAINER,
    COUNTER,
    DICTIONARY,
    EMBEDDED,
    LIST,
    REGISTER,
    SET,
    Operation,
    Where,
    _Reader,
    operations,
)

from replication.model.encoding import pack, unpack_trusted
from replication.model.values import Based, Container, _Erased

#: (way, what was done, the packed old and new value)
Told = tuple[Any, str, bytes, bytes]


#: What a write can lose; the rest says where things are. A removal is a write that a horizon has
#: spent: it shows as long as nobody writes there.
_LEAVES = {"length", "life", "write", "add", "value", "move", "typed", "removal"}


class Known(_Reader):
    """Changesets by name, and what a reader of them comes by."""

    def __init__(self, changesets: Mapping[Any, list[Operation]]) -> None:
        super().__init__(changesets.values())
        self._by = {
            (where, what, repr(details)): name
            for name, found in changesets.items()
            for where, what, *details in found
        }

    def current(self, place: Where) -> Any:
        """The life of a place that goes on, or None."""
        length = max((n for (n,) in self._all(place, "length")), default=0)
        at, incarnation = max(map(tuple, self._all(place, "life")), default=(0, ()))
        return (at, incarnation) if at >= length and at else None

    def alive(self, place: Where) -> bool:
        """Whether an object is there."""
        length = max((n for (n,) in self._all(place, "length")), default=0)
        life = self.current(place)
        return life is not None and life[0] == length and length % 2 == 1

    def way(self, where: Where) -> Any:
        """The way to a place as people go there; None if a reader does not come by it."""
        out: list[Any] = []
        at = 0
        while at < len(where):
            if where[at] == "life":
                if self.current(where[:at]) != where[at + 1 : at + 3]:
                    return None
                at += 3
                continue
            kind, name = where[at], where[at + 1]
            if kind == CONTAINER:
                steps = self.steps(where[:at], name)
                if steps is None:
                    return None
                out += steps
            else:
                out.append(name)
            at += 2
            if at < len(where) and where[at] == "incarnation":
                if max(i for (i,) in self._all(where[:at], "incarnation")) != where[at + 1]:
                    return None
                at += 2
                if at < len(where):
                    what, key = where[at], where[at + 1]
                    if what == "element" and (key,) in map(tuple, self._all(where[:at], "erase")):
                        return None
                    if what != "key" or kind != SET:
                        out.append(key)
                    at += 2
        return tuple(out)

    def steps(self, life: Where, name: Any) -> list[Any] | None:
        """The way from an object's fields to a container; None if it is not shown."""
        out: list[Any] = []
        for _ in range(101):
            home = self._home(life, name)
            if not home or self._refers(life, home) != name:
                return None
            step = [tuple(each) if isinstance(each, list) else each for each in home[2:]]
            if home[0] != CONTAINER:
                return [home[1], *step, *out]
            out, name = [*step, *out], home[1]
        return None

    def _refers(self, life: Where, home: list[Any]) -> bytes | None:
        kind, slot, *step = home
        if kind == REGISTER:
            writes = self._writes((*life, REGISTER, slot))
            if not writes:
                return None
            order, _, value = writes[-1]
            if isinstance(value, Based):
                value = value.value
            if isinstance(value, Container) and order[2] and not value.sequence:
                return pack([value.kind, slot, *order[:2]])
        else:
            field = (*life, kind, slot)
            incarnations = [i for (i,) in self._all(field, "incarnation")]
            if not incarnations:
                return None
            content = (*field, "incarnation", max(incarnations))
            if isinstance(step[0], list):
                here = tuple(step[0])
                if (here,) in map(tuple, self._all(content, "erase")):
                    return None
                values = [
                    (rank, value)
                    for each, rank, value in self._all(content, "value")
                    if each == here
                ]
                value = max(values, key=lambda each: each[0])[1] if values else None
            else:
                (value,) = self._latest((*content, "key", step[0])) or (None,)
        if not isinstance(value, Container):
            return None
        return pack([value.kind, value.ident, value.sequence])

    def text(self, where: Where) -> plain_text.Text:
        """All that was typed into a text."""
        together = plain_text.Text({}, set())
        for (each,) in self._all(where, "typed"):
            together = plain_text.merge(together, plain_text.read(each))
        return together

    def left_of(self, where: Where, update: bytes) -> str:
        """The characters of an update that a text still shows, in the order of their making."""
        together = self.text(where)
        own = [together.units[here].content for here in sorted(plain_text.read(update).units)]
        return plain_text.joined([unit for unit in own if isinstance(unit, str)])

    def stands(self, operation: Operation, is_ours: Callable[[Any], bool]) -> bool:
        """Whether an operation's content is what a reader comes by.

        Args:
            is_ours: whether a changeset is a later one of the same author.
        """
        where, what, *details = operation
        if self.way(where) is None:
            return False
        if what == "removal":
            return not self._writes(where)
        if what == "typed":  # what others delete of it they have seen
            return True
        if what == "length":
            return max(n for (n,) in self._all(where, "length")) == details[0]
        if what == "life":
            return self.current(where) == (details[0], details[1])
        if what == "write":
            return [each[:2] for each in self._writes(where)[-1:]] == [details[:2]]
        if what == "add":
            writes = self._writes((*where[:-2], REGISTER, where[-1]))
            if not writes:
                return True
            value = writes[-1][2]
            if type(value.value if isinstance(value, Based) else value) is not int:
                return False
            key = ((*where[:-2], REGISTER, where[-1]), "write", repr(writes[-1]))
            return not is_ours(self._by[key])
        if (details[0],) in map(tuple, self._all(where, "erase")):
            return False
        rivals = [rank for here, rank, *_ in self._all(where, what) if here == details[0]]
        return max(rivals) == details[1]


def lost(
    own: tuple[int, int],
    time: int,
    before: Mapping[Any, list[Operation]],
    after: Mapping[Any, list[Operation]],
    since: tuple[int, int],
) -> list[Told]:
    """What of the changeset ``own`` stands before and does not after, and is not said again.

    Args:
        own: its name: the ident of its author, and its number there.
        time: of the changeset.
        since: the stamp of what is news.
    """
    was, now = Known(before), Known(after)
    ours = before[own]

    def own_is_later(changeset: Any) -> bool:
        return changeset[0] == own[0] and changeset[1] > own[1]

    made = {
        (where, here) for where, what, here, *_ in ours if what == "place"
    }  # elements born here
    homes = {where for where, what, home in (op for op in ours if len(op) == 3) if what == "home"
             and home != pack([]) and len(unpack_trusted(where[-1])) == 3}  # fmt: skip
    out = []
    for operation in ours:
        where = operation[0]
        if operation[1] not in _LEAVES or any(where[: len(home)] == home for home in homes):
            continue
        if operation[1] == "typed" and was.way(where) is not None:
            out += _formats(operation, was, now)
        if was.stands(operation, own_is_later) and not now.stands(operation, own_is_later):
            if operation[1] == "length" and since > (time, own[0]):
                continue  # whoever deletes, too, and creates later takes nothing away
            out += _told(operation, was, now, made, ours, time)
    return out


def _told(
    operation: Operation, was: Known, now: Known, made: set[Any], ours: list[Operation], time: int
) -> Iterable[Told]:
    where, what, *details = operation
    way = was.way(where)
    if what == "length":
        if way is None:
            return
        if details[0] % 2 == 0 and details[0] and now.alive(where):
            yield way, "deleted", pack(None), pack(None)
        return
    if what == "life":
        if way is not None and details[0] and _creates(operation, ours, time):
            yield way, "created", pack(None), pack(None)
        return
    if what == "typed":
        text = was.left_of(where, details[0])
        if text:
            yield way, "typed", pack(text), pack(None)
    elif what == "add":
        yield way, "added", pack(details[0]), pack(None)
    elif what == "move":
        here = details[0]
        if (where, here) not in made:
            yield (*way, here), "moved", pack(None), pack(None)
    elif what == "value":
        here, _, value = details
        did = "inserted" if (where, here) in made else "set"
        home = [where[-4], where[-3], list(here)]
        old = _view(was, where[:-4], home, value)
        new = _view_of_element(now, where, here, home)
        if old != new or not now.way((*where, "element", here)):
            yield (*way, here), did, old, pack(None)
    elif where[-2] == "key":
        yield from _key(operation, was, now, way)
    else:
        value = details[-1]
        stored = value.value if isinstance(value, Based) else value
        if isinstance(stored, Container) and not stored.sequence:
            return
        old = _view(was, where[:-2], [REGISTER, where[-1]], stored, details[0])
        new = _named(now, way[:-1], where)
        if old != new:
            yield way, "set", old, new


# -- formats -----------------------------------------------------------------------------------
def _formats(operation: Operation, was: Known, now: Known) -> Iterable[Told]:
    """Characters in a row that lose the same formats to the same ones."""
    where, _, update = operation
    way, before = was.way(where), was.text(where)
    after = None if now.way(where) is None else now.text(where)
    order = list(formats_by_unit(before, set()))
    lost: dict[plain_text.Id, tuple[dict[str, Any], dict[str, Any]]] = {}
    for unit, name, old, new in lost_formats(plain_text.read(update), before, after):
        olds, news = lost.setdefault(unit, ({}, {}))
        olds[name], news[name] = old, new
    rows: list[tuple[list[plain_text.Id], bytes]] = []
    for unit, formats in lost.items():
        at, what = order.index(unit), pack(list(formats))
        if not (rows and rows[-1][1] == what and order[at - 1] == rows[-1][0][-1]):
            rows.append(([], what))
        rows[-1][0].append(unit)
    for units, what in rows:
        olds, news = unpack_trusted(what)
        text = "".join(_character(before, unit) for unit in units)
        old, new = pack([text, olds]), pack(None if after is None else news)
        yield (*way, units[0]), "formatted", old, new


def _character(text: plain_text.Text, unit: plain_text.Id) -> str:
    """What begins at a code unit."""
    first, client, clock = text.units[unit].content, *unit
    rest = text.units.get((client, clock + 1)) if "\ud800" <= first <= "\udbff" else None
    return plain_text.joined([first] if rest is None else [first, rest.content])


def formats_by_unit(
    text: plain_text.Text, without: set[plain_text.Id]
) -> dict[plain_text.Id, dict[str, Any]]:
    """What characters are formatted with, some marks left out."""
    out: dict[plain_text.Id, dict[str, Any]] = {}
    formats: dict[str, Any] = {}
    for here in plain_text.in_order(text):
        content = text.units[here].content
        if type(content) is tuple and here not in without:
            formats = {**formats, content[0]: json.loads(content[1])}
        elif type(content) is str and not "\udc00" <= content <= "\udfff":
            out[here] = {name: value for name, value in formats.items() if value is not None}
    return out


def lost_formats(
    own: plain_text.Text, before: plain_text.Text, after: plain_text.Text | None
) -> list[tuple[plain_text.Id, str, Any, Any]]:
    """(first unit of a character, name, old value, new value), in order."""
    marks = {unit for unit, held in own.units.items() if type(held.content) is tuple}
    was, without = formats_by_unit(before, set()), formats_by_unit(before, marks)
    now = None if after is None else formats_by_unit(after, set())
    out = []
    for unit, formats in was.items():
        for name in sorted(formats.keys() | without[unit].keys()):
            old = formats.get(name)
            if json.dumps(old) == json.dumps(without[unit].get(name)):
                continue
            if now is None:
                out.append((unit, name, old, None))
            elif unit in now and json.dumps(now[unit].get(name)) != json.dumps(old):
                out.append((unit, name, old, now[unit].get(name)))
    return out


def _creates(operation: Operation, ours: list[Operation], time: int) -> bool:
    """Whether a delta began the life it is about, rather than edited in it."""
    where, _, _at, incarnation = operation
    if any(each[:2] == (where, "length") and each[2] for each in ours):
        return True
    return bool(incarnation) and incarnation[0] == time


def _key(operation: Operation, was: Known, now: Known, way: Any) -> Iterable[Told]:
    where, _, _order, _, value = operation
    content, key = where[:-2], where[-1]
    there = _current_content(now, content)
    latest = [] if there is None else now._latest((*there, "key", key))
    if content[-4] == SET:
        if (latest == [True]) is not value:
            member = unpack_trusted(key)
            sides = (pack(member), pack(None)) if value else (pack(None), pack(member))
            yield way, "inserted" if value else "removed", *sides
        return
    home = [content[-4], content[-3], key]
    old = pack(None) if isinstance(value, _Erased) else _view(was, content[:-4], home, value)
    new = pack(None)
    if latest and not isinstance(latest[0], _Erased):
        assert there is not None
        new = _view(now, there[:-4], home, latest[0])
    if old != new:
        yield way, "removed" if isinstance(value, _Erased) else "set", old, new


def _view(known: Known, life: Where, home: list[Any], value: Any, order: Any = (0, 0, 0)) -> bytes:
    return pack(known._value(life, home, value, order))


def _view_of_element(now: Known, content: Where, here: Any, home: list[Any]) -> bytes:
    values = [(rank, value) for each, rank, value in now._all(content, "value") if each == here]
    return _view(now, content[:-4], home, max(values, key=lambda each: each[0])[1])


def _renewed(known: Known, where: Where) -> Where | None:
    """The same place in the lives and incarnations of today; None if there is none."""
    out: list[Any] = []
    at = 0
    while at < len(where):
        if where[at] == "life":
            if not known.alive(tuple(out)):
                return None
            life = known.current(tuple(out))
            out += ["life", *life]
            at += 3
        elif where[at] == "incarnation":
            found = [i for (i,) in known._all(tuple(out), "incarnation")]
            if not found:
                return None
            out += ["incarnation", max(found)]
            at += 2
            if at < len(where):
                if where[at] == "element" and max(found) != where[at - 1]:
                    return None
                out += where[at : at + 2]
                at += 2
        else:
            if where[at] == CONTAINER and known.steps(tuple(out), where[at + 1]) is None:
                return None
            out += where[at : at + 2]
            at += 2
    return tuple(out) if known.way(tuple(out)) is not None else None


def _current_content(known: Known, content: Where) -> Where | None:
    return _renewed(known, content)


def _named(now: Known, way: Any, where: Where) -> bytes:
    """What a property shows now."""
    there = _renewed(now, where[:-2])
    if there is None:
        return pack(None)
    writes = now._writes((*there, REGISTER, where[-1]))
    if not writes:
        return pack(None)
    order, _, value = writes[-1]
    stored = value.value if isinstance(value, Based) else value
    return _view(now, there, [REGISTER, where[-1]], stored, order)


__all__ = ["COUNTER", "DICTIONARY", "EMBEDDED", "LIST", "Known", "Told", "lost", "operations"]
