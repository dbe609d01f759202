"""What a user's role lets an upload write: judged before anything else, and again after merging.

Exactly what is forbidden is refused, and each refusal names the role and the clause.

Rule 1: an edit needs the write filter on the object as it was; otherwise all of it is refused. An
        object the user may not write is said nothing else about. [RULES-WRITE-1]
Rule 2: each field that is written needs write permission; the others are taken. [RULES-WRITE-2]
Rule 3: an edit needs the write filter on the object as it is afterwards, too; otherwise those
        fields are refused that the filter asks about, one if that is enough. [RULES-WRITE-3]
Rule 4: a delete needs the write filter on the object as it was, write permission for every field,
        and `delete`; an insert the write filter on the object as it is afterwards, and `insert`.
        Passing over a dead length is both. [RULES-WRITE-4]
Rule 5: making, replacing and deleting an embedded object, and the structure of a collection of
        them, need permission for all of its fields.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bson.objectid import ObjectId

from replication.crdt import object as obj
from replication.crdt.lookup import Here
from replication.crdt.object import Fields, ObjectState
from replication.crdt.parts import Parts, Path
from replication.crdt.view import object_view, queryable
from replication.limits import RULE_CLAUSE_BYTES_MAX
from replication.model.encoding import unpack_trusted
from replication.model.types import KEY_NAME
from replication.model.values import Key
from replication.protocol.messages import clipped
from replication.query import Query
from replication.rules.access import Access
from replication.rules.evaluate import Document
from replication.rules.expression import ALWAYS
from replication.rules.project import owner_of
from replication.rules.roles import FAILED, Denied, Granted, Roles
from replication.rules.sight import NOTHING
from replication.server.refusals import NOT_PERMITTED
from replication.server.touched import Way, asked_about, groups_without, touched, touches
from replication.server.types import Types
from replication.server.view import as_filter

if TYPE_CHECKING:
    from replication.server.judge import Judge
    from replication.server.objects import Plan


class Target(NamedTuple):
    """The object that a delta is about.

    Attributes:
        state: as it is here; merging changes it.
        length, is_alive: its causal length before the delta, and whether it was alive.
    """

    class_name: str
    key: Key
    state: ObjectState
    parts: Parts | None
    length: int
    is_alive: bool


class Verdict(NamedTuple):
    """A delta whose outcome is not permitted.

    Attributes:
        clause: which does not hold; `why`, as the end of a sentence.
        choices: what to leave out, any of which may be enough, the least first; none: the object is
            refused whole.
    """

    clause: str
    choices: list[frozenset[Way]]
    why: str = "does not hold after the write"


class Permit:
    """What one user may write.

    Args:
        roles: the user's.
        types: what is known of the schema.
    """

    __slots__ = ("_known", "_roles", "types")

    def __init__(self, roles: Roles, types: Types | None) -> None:
        self._roles = roles
        self.types = types
        #: For each class that was asked for: the role, its write filter as the schema reads it,
        #: and what that asks about.
        self._known: dict[str, tuple[Granted | Denied, Query, frozenset[Way]]] = {}

    def before(self, target: Target, delta: ObjectState, judge: Judge) -> ObjectState | None:
        """What may be merged of a delta, as far as the object before it decides. Rules 1, 2, 4."""
        role, write, _ = self._role(target.class_name)
        if isinstance(role, Denied):
            message = f"{judge.name(())} may not be written: {role.reason}"
            judge.refuse((), NOT_PERMITTED, message, role.ruling)
            return None
        now, length = target.length, delta[0]
        if target.is_alive and length <= now:
            return _edited(role, write, target, delta, judge)
        if target.is_alive and not self._may_delete(role, write, target, judge):
            return None
        if length % 2 and length > now:
            if role.writable.is_none:
                clause = role.role.write_clause()
                _refuse(judge, role, clause, "allows no field")
                return None
            return _writable(role, delta, None, judge)
        return delta

    def after(self, target: Target, delta: ObjectState, plan: Plan) -> Verdict | None:
        """What is wrong with what a delta makes of an object; None if nothing is. Rules 3, 4."""
        if plan.values is None:  # it is not alive
            return None
        role, write, asked = self._role(target.class_name)
        assert isinstance(role, Granted), "`before` has let it through"
        inserted = plan.length != target.length
        if not (inserted or (target.is_alive and touches(delta[3], asked))):
            return None
        if not _holds_for(write, plan):
            return Verdict(
                "document_filters.write", [] if inserted else _choices(delta, asked, plan)
            )
        if inserted and role.role.insert is not ALWAYS:
            holds = role.allows("insert", after=_document(target, plan.state))
            if holds is None:
                return Verdict("insert", [], _UNDECIDED)
            if not holds:
                return Verdict("insert", [])
        return None

    def refuse(
        self, target: Target, verdict: Verdict, left_out: frozenset[Way], judge: Judge
    ) -> None:
        """Refuse what was left out, or with nothing the whole object."""
        role, *_ = self._role(target.class_name)
        assert isinstance(role, Granted), "`before` has let it through"
        for way in sorted(left_out) or [()]:
            path = tuple(step for name in way for step in (obj.REGISTER, name))
            _refuse(judge, role, verdict.clause, verdict.why, path)

    def _role(self, class_name: str) -> tuple[Granted | Denied, Query, frozenset[Way]]:
        found = self._known.get(class_name)
        if found is None:
            role = self._roles.of(class_name)
            write = NOTHING.objects if isinstance(role, Denied) else role.write
            read = as_filter(write, class_name, self.types)
            found = self._known[class_name] = role, read, asked_about(read)
        return found

    def _may_delete(self, role: Granted, write: Query, target: Target, judge: Judge) -> bool:
        if not _matches(write, target):
            clause, when = "document_filters.write", "does not hold for it"
        elif not self._writes_all(role, target.class_name):
            clause, when = (
                role.role.write_clause(),
                "does not allow every field, as deleting asks",
            )
        else:
            holds = role.allows("delete", before=_document(target, target.state))
            if holds:
                return True
            clause, when = "delete", _UNDECIDED if holds is None else "does not hold for it"
        _refuse(judge, role, clause, when)
        return False

    def _writes_all(self, role: Granted, class_name: str) -> bool:
        if role.writable.is_all:
            return True
        known = None if self.types is None else self.types.schema.classes.get(class_name)
        return known is not None and all(role.writable.of(name).is_all for name in known.properties)


def _choices(delta: ObjectState, asked: frozenset[Way], plan: Plan) -> list[frozenset[Way]]:
    assert plan.row is not None, "it was there to be edited"
    units = touched(delta[3], asked, unpack_trusted(plan.row.head)[3])
    return [*(frozenset((unit,)) for unit in sorted(units)), units]


def _edited(
    role: Granted, write: Query, target: Target, delta: ObjectState, judge: Judge
) -> ObjectState | None:
    if not _matches(write, target):
        when = "does not hold before the write"
        _refuse(judge, role, "document_filters.write", when)
        return None
    return _writable(role, delta, target.state[3], judge)


# -- fields ----------------------------------------------------------------------------------------
def _writable(
    role: Granted, delta: ObjectState, base: Fields | None, judge: Judge
) -> ObjectState | None:
    """Rule 2. `base`: the fields here, of the same life; None: the delta begins one."""
    access = role.writable
    if access.is_all:
        return delta
    groups = delta[3].get(obj.REGISTER, ())
    if groups and len(delta[3]) == 1:  # what most writes are
        for group in groups:
            if access.lacks(group[2].keys()):
                break
        else:
            return delta
    trial = _Trial(role, judge)
    fields = trial.fields(delta[3], role.writable, base or {}, ())
    if not trial.refused:
        return delta
    return [*delta[:3], fields] if fields or base is None else None


class _Trial:
    def __init__(self, role: Granted, judge: Judge) -> None:
        self.refused: set[Path] = set()
        self._role = role
        self._judge = judge

    def fields(self, fields: Fields, access: Access, base: Fields | None, path: Path) -> Fields:
        out: Fields = {}
        for kind, held in fields.items():
            kept: Any
            if kind == obj.REGISTER:
                gone = set().union(*(access.lacks(group[2].keys()) for group in held))
                for name in sorted(gone):
                    self._refuse((*path, kind, name))
                kept = groups_without(held, gone) if gone else held
            elif kind == obj.CONTAINER:
                kept = self._containers(held, access, base, path)
            else:
                inside = None if base is None else base.get(kind) or {}
                kept = self._named(kind, held, access, inside, path)
            if kept:
                out[kind] = kept
        return out

    def _named(
        self, kind: int, held: Mapping[str, Any], access: Access, base: Any, path: Path
    ) -> dict[str, Any]:
        out = {}
        for name, content in held.items():
            inner, here = access.of(name), (*path, kind, name)
            if inner.is_all:
                out[name] = content
                continue
            state = None if base is None else base.get(name)
            kept = None if inner.is_none else self._partly(kind, content, inner, state, here)
            if kept is None:
                self._refuse(here)
            else:
                out[name] = kept
        return out

    def _partly(self, kind: int, content: Any, access: Access, base: Any, path: Path) -> Any:
        """Rule 5: an embedded object, or a collection of them; None: it is not to be written."""
        if kind == obj.EMBEDDED:
            same = base is not None and content[1:3] == base[1:3]
            if content[0] or not same:
                return None
            return [*content[:3], self.fields(content[3], access, base[3], path)]
        if kind == obj.DICTIONARY:
            return self._items(content, access, base, path)
        if kind != obj.LIST or any(content[1][:4]) or (base is None or content[0] != base[0]):
            return None
        elements = Here(base, self._judge.parts, path)
        kept = []
        for ident, sequence, fields in content[1][4]:
            here = (ident, sequence)
            inside = elements.about(here).contents.get(here, {})
            kept.append([ident, sequence, self.fields(fields, access, inside, (*path, here))])
        return [content[0], [*content[1][:4], [item for item in kept if item[2]]]]

    def _items(self, content: Any, access: Access, base: Any, path: Path) -> Any:
        if content[1] or base is None or content[0] != base[0]:
            return None
        out = {}
        for key, item in content[2].items():
            kept = self._partly(obj.EMBEDDED, item, access, base[2].get(key), (*path, key))
            if kept is None:
                self._refuse((*path, key))
            else:
                out[key] = kept
        return [*content[:2], out]

    def _containers(
        self, held: dict[bytes, Any], access: Access, base: Fields | None, path: Path
    ) -> dict[bytes, Any]:
        here = {} if base is None else base.get(obj.CONTAINER) or {}
        out = {}
        for name, content in held.items():
            owner = owner_of(name, held, here)
            # One whose property is not known is refused by the judge.
            if owner is None or access.of(owner).is_all:
                out[name] = content
            else:
                self._refuse((*path, obj.REGISTER, owner))
        return out

    def _refuse(self, path: Path) -> None:
        named = tuple(step for step in path if type(step) is not int)
        if named in self.refused:
            return
        self.refused.add(named)
        clause = self._role.role.write_clause(*_properties(path))
        _refuse(self._judge, self._role, clause, "", path)


def _properties(path: Path) -> Iterator[str]:
    """The names of the properties on a path, without keys of dictionaries."""
    for kind, name in pairwise(path):
        if type(kind) is int and type(name) is str:
            yield name


# -- conditions ------------------------------------------------------------------------------------
#: Values of columns that are what queries see.
_PLAIN: Final = frozenset({str, int, float, bool, type(None), ObjectId, uuid.UUID})


def _holds_for(query: Query, plan: Plan) -> bool:
    """Whether a query holds for an object as it will be."""
    values = plan.values
    assert values is not None
    if all(type(values.get(name, ...)) in _PLAIN for name in query.fields):
        return query.matches(values.get)
    return query.matches(plan.after.get)


def _matches(query: Query, target: Target) -> bool:
    """Whether it holds for an object as it is."""
    values = queryable(target.state, target.parts)
    return query.matches(lambda name: target.key if name == KEY_NAME else values.get(name))


def _document(target: Target, state: ObjectState) -> Document:
    """A state as expressions see it; made when that is asked for."""
    held: list[dict[str, Any]] = []

    def get(name: str) -> Any:
        if not held:
            view = object_view(state, target.parts) or {}
            held.append({**view, KEY_NAME: target.key})
        return held[0].get(name)

    return get


#: Why a clause does not hold whose function failed.
_UNDECIDED: Final = f"can't be decided: {FAILED}"


# -- refusing --------------------------------------------------------------------------------------
def _refuse(judge: Judge, role: Granted, clause: str, when: str, path: Path = ()) -> None:
    message = f"{judge.name(path)} may not be written by {role.because(clause, when)}"
    ruling = role.ruling(clipped(clause, RULE_CLAUSE_BYTES_MAX))
    judge.refuse(path, NOT_PERMITTED, message, ruling)
