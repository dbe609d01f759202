"""Judging an upload: every part of it against the server's own state, before anything merges.

The unit of refusal is a part: a field, a member, a key, an element, an embedded object, an object.
What is refused is left out of the delta, and nothing else. [UP-5]

Rule 1: fields belong to an incarnation; a write is taken if that is the living one.
        An edit of one that is past is refused as "deleted", of one that never came as "depends on
        a refused write". Collections likewise: one cleared or assigned since is "replaced".
Rule 2: a causal length rises by at most 2 past the server's. A create below the server's length
        is refused as "deleted"; a delete below it has happened already and is taken.
Rule 3: a new incarnation is minted and stamped by the changeset that starts it.
Rule 4: with a schema, class and property are known, the write is of the property's kind, and the
        value of its type.

Lists are in `judge_list.py`, texts in `judge_text.py`, what is inside of mixed values in
`judge_containers.py`.
"""

from __future__ import annotations

import reprlib
from collections.abc import Collection
from typing import Any, Final, TypeAlias

from replication.crdt import object as obj
from replication.crdt.incarnation import Incarnation
from replication.crdt.list import empty_chunk
from replication.crdt.object import ObjectState, absent
from replication.crdt.parts import Parts, Path
from replication.crdt.register import Groups
from replication.limits import (
    KEY_BYTES_MAX,
    REFUSALS_PER_CHANGESET_BYTES,
    REFUSALS_PER_CHANGESET_MAX,
)
from replication.model.check import shown
from replication.model.encoding import unpack_trusted
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.values import ERASED, Key
from replication.protocol.messages import clipped
from replication.rules.roles import NO_RULING, Ruling
from replication.server.judge_containers import ContainerTrial
from replication.server.judge_list import judged_list
from replication.server.judge_text import judged_text
from replication.server.permit import Permit
from replication.server.refusals import (
    CAUSAL_LENGTH,
    DELETED,
    DEPENDS,
    REPLACED,
    UNKNOWN_CLASS,
    UNKNOWN_PROPERTY,
    WRONG_TYPE,
    Refusal,
    weight,
)
from replication.server.types import Types

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 80

#: What a write to a property of a collection kind is called, and the kind that holds it.
_COLLECTIONS: Final = {obj.SET: "set", obj.DICTIONARY: "dict", obj.LIST: "list"}
_NUMBERS: Final = ("int", "counter", "mixed")
#: How much was refused: named, omitted, bytes.
Mark: TypeAlias = tuple[int, int, int]


class Judge:
    """Judges the objects of one changeset.

    Args:
        types: what is known of the schema; None: nothing is checked against one.
        time: of the changeset.
        idents: of the file it came from.
        permit: what its user may write; None: everything.

    Attributes:
        refusals: what was refused so far; `omitted` counts what was refused past their limit.
    """

    __slots__ = ("_class_name", "_idents", "_key", "_size", "_time", "omitted", "parts", "permit",
                 "refusals", "trails", "types")  # fmt: skip

    def __init__(
        self,
        types: Types | None,
        time: int,
        idents: Collection[int],
        permit: Permit | None = None,
    ) -> None:
        self.types = types
        self.permit = permit
        self.refusals: list[Refusal] = []
        self.omitted = 0
        self._size = 0
        self._time = time
        self._idents = idents
        self._class_name = ""
        self._key: Key | None = None
        #: Where the parts of the object under judgement are.
        self.parts: Parts | None = None
        #: The way to each of its containers that was looked at, as refusals spell it.
        self.trails: dict[bytes, Path] = {}

    def object(
        self, class_name: str, key: Key, state: ObjectState, delta: ObjectState, parts: Parts | None
    ) -> ObjectState | None:
        """What may be merged of ``delta``: the same object where that is all of it, or None.

        Args:
            state: the server's, which is not changed.
            parts: where lists of it that are spread over parts are.
        """
        self.begin(class_name, key, parts)
        owner = None
        if self.types is not None:
            owner = self._owner(self.types.schema, class_name, key)
            if owner is None:
                return None
        if not self._lives((), state, delta):
            return None
        base = state[3] if state[1] == delta[1] else {}
        fields = self.fields(owner, base, delta[3], ())
        if fields is delta[3]:
            return delta
        return [*delta[:3], fields] if fields or delta[0] > state[0] else None

    def begin(self, class_name: str, key: Key, parts: Parts | None) -> None:
        """What is refused from now on is part of this object."""
        self._class_name, self._key, self.parts = class_name, key, parts
        self.trails.clear()

    def mark(self) -> Mark:
        """How much was refused so far."""
        return len(self.refusals), self.omitted, self._size

    def back_to(self, mark: Mark) -> None:
        """Take back what was refused since."""
        count, self.omitted, self._size = mark
        del self.refusals[count:]

    def _owner(self, schema: Schema, class_name: str, key: Key) -> ClassSchema | None:
        owner = schema.classes.get(class_name)
        if owner is None:
            self.refuse((), UNKNOWN_CLASS, f"the server's schema has no class {class_name}")
        elif not owner.fits_key(key):
            what = "is embedded and has no key" if owner.embedded else f"is {owner.key_type}"
            self.refuse((), WRONG_TYPE, f"{class_name}._id {what}, got {shown(key)}")
        else:
            return owner
        return None

    def refuse(self, path: Path, reason: str, message: str, ruling: Ruling = NO_RULING) -> None:
        """Refuse the part at ``path``, or with () the whole object."""
        steps = [_step(step) for step in self._way(path) if type(step) is not int]
        self.add(Refusal(self._class_name, self._key, steps, reason, clipped(message), ruling))

    def add(self, refusal: Refusal) -> None:
        """Refuse something that is no part of the object under judgement."""
        size = self._size + weight(refusal)
        full = len(self.refusals) >= REFUSALS_PER_CHANGESET_MAX
        if full or size > REFUSALS_PER_CHANGESET_BYTES:
            self.omitted += 1
            return
        self.refusals.append(refusal)
        self._size = size

    def name(self, path: Path) -> str:
        """How messages call the part at ``path``."""
        # Kinds stand in a path to tell fields of one name apart; a reader knows the one meant.
        way = map(_step, self._way(path))
        steps = "".join(f".{step!s:.80}" for step in way if type(step) is not int)
        return f"{self._class_name} {_repr.repr(self._key)}{steps}"

    def _way(self, path: Path) -> Path:
        """A path with the way to a container in place of its id."""
        for at in range(len(path) - 2, -1, -1):
            if type(path[at]) is int and path[at] == obj.CONTAINER:
                name = path[at + 1]
                assert isinstance(name, bytes)
                return (*self.trails[name], *path[at + 2 :])
        return path

    # -- objects and incarnations ----------------------------------------------------------------
    def _lives(self, path: Path, held: ObjectState, delta: ObjectState) -> bool:
        """Rules 1 and 2, for an object, top-level or embedded; refuses it where they fail."""
        now, length, at = held[0], delta[0], delta[1]
        if length > now + 2:
            message = f"causal length {length}, where at most {now + 2} can follow {now}"
            self.refuse(path, CAUSAL_LENGTH, f"{self.name(path)}: {message}")
            return False
        if at == 0:  # a delete, or nothing at all
            return True
        if at < now:
            self.refuse(path, DELETED, f"{self.name(path)} was deleted meanwhile")
            return False
        if at > now and length == 0:
            self._refuse_dependent(path)
            return False
        return self.is_current(path, held[2] if at == now else [], delta[2])

    def is_current(self, path: Path, held: Incarnation, theirs: Incarnation) -> bool:
        """Rules 1 and 3: whether an incarnation is the living one or a new one; else refuses."""
        if theirs == held or (theirs > held and self._is_new(theirs)):
            return True
        if theirs > held:
            self._refuse_dependent(path)
        else:
            self.refuse(path, REPLACED, f"{self.name(path)} was cleared or replaced meanwhile")
        return False

    def _is_new(self, incarnation: Incarnation) -> bool:
        time, origin, ident, _ = incarnation
        return time == self._time and origin in self._idents and ident in self._idents

    def _refuse_dependent(self, path: Path) -> None:
        message = "what this write builds on was refused, or never came here"
        self.refuse(path, DEPENDS, f"{self.name(path)}: {message}")

    def embedded(
        self, owner: ClassSchema | None, held: ObjectState | None, delta: ObjectState, path: Path
    ) -> ObjectState | None:
        """What may be merged of an embedded object's delta."""
        held = held or absent()
        if not self._lives(path, held, delta):
            return None
        same = delta[1] == held[1] and delta[2] == held[2]
        fields = self.fields(owner, held[3] if same else {}, delta[3], path)
        if fields is delta[3]:
            return delta
        return [*delta[:3], fields] if fields or delta[0] or not same else None

    # -- fields ----------------------------------------------------------------------------------
    def fields(
        self, owner: ClassSchema | None, base: obj.Fields, fields: obj.Fields, path: Path
    ) -> obj.Fields:
        """What may be merged of fields: the same map where that is all of it."""
        kept: obj.Fields = {}
        changed = False
        for kind, held in fields.items():
            if kind == obj.REGISTER:
                taken: Any = self._registers(owner, held, path)
            elif kind == obj.CONTAINER:
                taken = ContainerTrial(self, owner, base, kept, path).judged(held)
            else:
                taken = self._named(owner, kind, base.get(kind) or {}, held, path)
            changed = changed or taken is not held
            if taken:
                kept[kind] = taken
        return kept if changed else fields

    def _registers(self, owner: ClassSchema | None, groups: Groups, path: Path) -> Groups:
        if owner is None:
            return groups
        assert self.types is not None
        kinds = self.types.kinds[owner.name]
        refused: set[str] = set()
        for group in groups:
            for name, value in group[2].items():
                if type(value) is not kinds.get(name) and not self._fits(owner, name, value, path):
                    refused.add(name)
        if not refused:
            return groups
        kept = [
            [*group[:2], {n: v for n, v in group[2].items() if n not in refused}, *group[3:]]
            for group in groups
        ]
        return [group for group in kept if group[2]]

    def _fits(self, owner: ClassSchema, name: str, value: Any, path: Path) -> bool:
        here = (*path, obj.REGISTER, name)
        known = owner.properties.get(name)
        if known is None:
            self._refuse_unknown(owner, name, here)
            return False
        return self.fits(known, value, here, plain=True)

    def fits(self, known: Property, value: Any, path: Path, *, plain: bool = False) -> bool:
        """Rule 4 for one value; ``plain``: it is the whole property. Refuses it otherwise."""
        if (known.collection is None or not plain) and known.check_packed(value):
            return True
        self.refuse(path, WRONG_TYPE, f"{known} is {known.spelling}, got {shown(value)}")
        return False

    def _refuse_unknown(self, owner: ClassSchema, name: str, path: Path) -> None:
        message = f"{owner.name} has no property {_repr.repr(name)} in the server's schema"
        self.refuse(path, UNKNOWN_PROPERTY, message)

    def _named(
        self, owner: ClassSchema | None, kind: int, base: Any, held: dict[str, Any], path: Path
    ) -> dict[str, Any]:
        """Everything but registers: name by name."""
        kept = {}
        changed = False
        for name, delta in held.items():
            here = (*path, kind, name)
            known = None
            taken: Any = None
            if owner is not None:
                known = self._property(owner, kind, name, here)
            if owner is None or known is not None:
                taken = self._content(known, kind, base.get(name), delta, here)
            changed = changed or taken is not delta
            if taken is not None:
                kept[name] = taken
        return kept if changed else held

    def _property(self, owner: ClassSchema, kind: int, name: str, path: Path) -> Property | None:
        known = owner.properties.get(name)
        if known is None:
            self._refuse_unknown(owner, name, path)
            return None
        if kind == obj.COUNTER:
            fits, what = known.is_plain and known.type in _NUMBERS, "an increment"
        elif kind == obj.EMBEDDED:
            fits = known.collection is None and known.type == "embedded"
            what = "an embedded object"
        elif kind == obj.TEXT:
            fits, what = known.type == "text", "a text"
        else:
            fits, what = known.collection == _COLLECTIONS[kind], f"a {_COLLECTIONS[kind]}"
        if fits:
            return known
        self.refuse(path, WRONG_TYPE, f"{known} is {known.spelling}, this is a write of {what}")
        return None

    def _content(self, known: Property | None, kind: int, held: Any, delta: Any, path: Path) -> Any:
        if kind == obj.COUNTER:
            return delta
        if kind == obj.EMBEDDED:
            return self.embedded(self.target(known), held, delta, path)
        if kind == obj.TEXT:
            return judged_text(self, held, delta, path)
        return self.collection(known, kind, held, delta, path)

    def collection(
        self, known: Property | None, kind: int, held: Any, delta: Any, path: Path
    ) -> Any:
        """What may be merged of a set, dictionary or list: the same where that is all of it."""
        current = held[0] if held is not None else []
        if not self.is_current(path, current, delta[0]):
            return None
        if held is None or delta[0] != current:
            held = _EMPTY[kind]
        if kind == obj.LIST:
            return judged_list(self, known, held, delta, path)
        kept = self._members(known, delta, path)
        if kind == obj.DICTIONARY:
            kept = self._items(known, held, kept, path)
        return kept if kept is delta or _says_something(kept, delta[0] != current) else None

    def target(self, known: Property | None) -> ClassSchema | None:
        """The class of the embedded objects of a property."""
        if known is None or known.target is None or self.types is None:
            return None
        return self.types.schema.classes[known.target]

    def _members(self, known: Property | None, delta: Any, path: Path) -> Any:
        """The plain values of a set or dictionary."""
        if known is None or not delta[1]:
            return delta
        refused = set()
        for group in delta[1]:
            for name, value in group[2].items():
                member = type(name) is bytes
                if value is not ERASED and not self.fits(
                    known, unpack_trusted(name) if member else value, (*path, name)
                ):
                    refused.add(name)
        if not refused:
            return delta
        groups = [
            [*group[:2], {n: v for n, v in group[2].items() if n not in refused}, *group[3:]]
            for group in delta[1]
        ]
        return [delta[0], [group for group in groups if group[2]], *delta[2:]]

    def _items(self, known: Property | None, held: Any, delta: Any, path: Path) -> Any:
        """The embedded objects of a dictionary."""
        kept = {}
        changed = False
        for key, theirs in delta[2].items():
            here = (*path, key)
            taken = None
            if known is not None and known.type != "embedded":
                message = f"{known} is {known.spelling}, got an embedded object"
                self.refuse(here, WRONG_TYPE, message)
            else:
                taken = self.embedded(self.target(known), held[2].get(key), theirs, here)
            changed = changed or taken is not theirs
            if taken is not None:
                kept[key] = taken
        return [delta[0], delta[1], kept] if changed else delta


def _step(step: Any) -> Any:
    """A step of a path as a refusal carries it."""
    if type(step) is tuple:
        return list(step)
    return step[:KEY_BYTES_MAX] if type(step) is bytes else step


_EMPTY: Final[dict[int, Any]] = {
    obj.SET: [[], []],
    obj.DICTIONARY: [[], [], {}],
    obj.LIST: [[], empty_chunk()],
}


def _says_something(delta: Any, is_new: bool) -> bool:
    """Whether a set's or dictionary's delta is still worth merging once parts are left out."""
    return is_new or any(delta[1:])
