"""Roles: which of them a user has for each class, and what it lets them do. [RULES-ROLE]

Rule 1: a class that has roles of its own is looked for in these alone, any other class in the
        default roles. The first role whose `apply_when` holds is taken. No role: nothing is
        allowed.
Rule 2: everything about the user is filled in once, when roles are bound.
Rule 3: whoever may write may read: the read filter of a role is the one or the other filter, its
        readable fields are those and the writable ones.
Rule 4: a function that fails allows nothing, is reported, and its user is told no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from replication.errors import QueryError, RulesError
from replication.query import Query, canonical, literals, union
from replication.rules import access
from replication.rules import expression as ex
from replication.rules.access import Access
from replication.rules.compile import compiled
from replication.rules.evaluate import ABSENT, Document, Function, Scope, holds
from replication.rules.expression import Condition
from replication.rules.sight import NOTHING, Seen, Sight

_NOTHING: Final = Query.of(canonical.FALSE)
#: What users are told of a function that failed: not what it raised.
FAILED: Final = "a function failed"
#: Failures that are told for one user, at most.
_TOLD_MAX: Final = 100

#: The fields that a role or field names, each with those that it names inside; None where `write`
#: decides for all of them.
Named: TypeAlias = Mapping[str, "Named"] | None


@dataclass(frozen=True, slots=True)
class Role:
    """A role as the rules have it.

    Attributes:
        where: its place in the file, as in `rules.Book[0]`.
        readable, writable: fields; Rule 3 is applied already.
        named: the fields that it names.
        opened: of the rules of partitions that call functions with `%%partition`, the partition
            key: `read` and `write` are about the one partition that somebody opens.
    """

    name: str
    where: str
    apply_when: Condition = ex.ALWAYS
    read: Condition = ex.NEVER
    write: Condition = ex.NEVER
    insert: Condition = ex.ALWAYS
    delete: Condition = ex.ALWAYS
    readable: Access = access.NONE
    writable: Access = access.NONE
    named: Named = None
    opened: str | None = None

    def write_clause(self, *names: str) -> str:
        """The clause that says whether a field may be written; without names: whether any may.

        Args:
            names: the field and those of embedded objects inside of it.
        """
        clause, named = "", self.named
        for name in names:
            if named is None:
                break
            if name not in named:
                return f"{clause}fields" if clause else "additional_fields.write"
            clause, named = f"{clause}fields.{name}.", named[name]
        return clause + ("write" if named is None else "fields")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a rules file says.

    Attributes:
        classes: the roles of each class that has its own.
        defaults: those of all other classes.
        values, environment: what `%%values` and `%%environment` stand for.
        functions: what `%function` calls.
        partition_key: the property that the rules of partitions are about; None: there are none.
    """

    classes: Mapping[str, tuple[Role, ...]] = field(default_factory=dict)
    defaults: tuple[Role, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    functions: Mapping[str, Function] = field(default_factory=dict)
    partition_key: str | None = None

    def bind(
        self,
        user: Mapping[str, Any],
        report: Callable[[Exception], None] = lambda _error: None,
        partition: Any = ABSENT,
    ) -> Roles:
        """The roles of a user for every class.

        Args:
            user: `id`, `type`, `data`, `custom_data`, `identities`.
            report: told of functions that fail, once of each failure.
            partition: the value of the one partition that is opened.
        """
        known = {"user": user, "values": self.values, "environment": self.environment}
        scope = Scope(known, self.functions, partition=partition)
        once = _Once(report)
        granted = {
            name: _assigned(f"rules.{name}", roles, scope, once)
            for name, roles in self.classes.items()
        }
        return Roles(granted, _assigned("default_roles", self.defaults, scope, once))


class _Once:
    """Tells each failure once: whoever may write could have one told as often as they write."""

    def __init__(self, report: Callable[[Exception], None]) -> None:
        self._report = report
        self._told: set[str] = set()

    def __call__(self, error: Exception) -> None:
        text = str(error)
        if text not in self._told and len(self._told) < _TOLD_MAX:
            self._told.add(text)
            self._report(error)


class Ruling(NamedTuple):
    """What of the rules decided something.

    Attributes:
        role: its name; empty where no role applies.
        rule_path: its place in the file, as in `rules.Book[0]`, or that of the list of roles.
        clause: what of it: `document_filters.write`, `fields.title.write`, `insert`.
    """

    role: str = ""
    rule_path: str = ""
    clause: str = ""


#: Rules had no say.
NO_RULING: Final = Ruling()


class Denied(NamedTuple):
    """No role lets the user do anything with a class."""

    #: A sentence without its end: "no role in rules.Book applies to you".
    reason: str
    ruling: Ruling


@dataclass(frozen=True, slots=True)
class Granted:
    """A role, bound to a user.

    Attributes:
        read: the objects that may be read. Rule 3.
        write: those that may be written.
        report: told of functions that fail.
    """

    role: Role
    scope: Scope
    read: Query
    write: Query
    report: Callable[[Exception], None]

    @property
    def name(self) -> str:
        """The role's."""
        return self.role.name

    @property
    def readable(self) -> Access:
        """The fields that may be read."""
        return self.role.readable

    @property
    def writable(self) -> Access:
        """The fields that may be written."""
        return self.role.writable

    def ruling(self, clause: str) -> Ruling:
        """What decided, where a clause of it did."""
        return Ruling(self.role.name, self.role.where, clause)

    def because(self, clause: str, when: str = "") -> str:
        """The end of a sentence that says what a clause decided."""
        return f"role {self.name!r}: {self.role.where}.{clause} {when}".rstrip()

    def allows(
        self, clause: str, *, before: Document | None = None, after: Document | None = None
    ) -> bool | None:
        """Whether `insert` or `delete` holds for an object; None: a function failed. Rule 4."""
        condition = self.role.insert if clause == "insert" else self.role.delete
        if isinstance(condition, ex.Truth):
            return condition.value
        root = before if after is None else after
        scope = Scope(self.scope.known, self.scope.functions, root=root, previous=before)
        try:
            return holds(condition, scope)
        except RulesError as error:
            self.report(error)
            return None


class Roles:
    """A user's roles: one a class, for as long as a session goes on under them.

    Attributes:
        sight: what is read under them.
    """

    __slots__ = ("_classes", "_default", "sight")

    def __init__(self, classes: Mapping[str, Granted | Denied], default: Granted | Denied) -> None:
        self._classes = classes
        self._default = default
        seen = {name: _seen(found) for name, found in classes.items()}
        self.sight = Sight(seen, _seen(default))

    def of(self, class_name: str) -> Granted | Denied:
        """The role for a class, or why there is none."""
        return self._classes.get(class_name, self._default)

    @property
    def denied(self) -> str | None:
        """Why nothing at all is allowed; None where something is."""
        if isinstance(self._default, Granted):
            return None
        if any(isinstance(found, Granted) for found in self._classes.values()):
            return None
        return self._default.reason


def _seen(found: Granted | Denied) -> Seen:
    if isinstance(found, Denied):
        return NOTHING
    return Seen(found.read, found.readable)


def _assigned(
    where: str, roles: tuple[Role, ...], scope: Scope, report: Callable[[Exception], None]
) -> Granted | Denied:
    """Rule 1."""
    for role in roles:
        clause = "apply_when"
        try:
            if holds(role.apply_when, scope):
                clause = "document_filters"
                return _granted(role, scope, report)
        except RulesError as error:
            report(error)
            reason = f"{clause} of role {role.name!r} in {role.where} can't be decided: {FAILED}"
            return Denied(reason, Ruling(role.name, role.where, clause))
        except QueryError as error:
            reason = f"a filter of role {role.name!r} in {role.where} can't be used: {error}"
            return Denied(reason, Ruling(role.name, role.where, "document_filters"))
    if not roles:
        return Denied(f"{where} has no roles", Ruling(rule_path=where))
    return Denied(f"no role in {where} applies to you", Ruling(rule_path=where))


def _granted(role: Role, scope: Scope, report: Callable[[Exception], None]) -> Granted | Denied:
    if role.opened is not None and scope.partition is ABSENT:
        reason = f"the rules of {role.where} ask a function about the partition: open one"
        return Denied(reason, Ruling(role.name, role.where, "document_filters"))
    write = _filter(role, role.write, scope)
    read = union([_filter(role, role.read, scope), write])
    if role.readable.is_none:
        read = write = _NOTHING
    return Granted(role, scope, read, write, report)


def _filter(role: Role, condition: Condition, scope: Scope) -> Query:
    if role.opened is None:
        return compiled(condition, scope)
    if not holds(condition, scope):
        return _NOTHING
    value = literals.constant(scope.partition)
    return Query.of(canonical.comparison("==", canonical.field(role.opened), value))


def role_of_everybody(where: str) -> Role:
    """A role that everybody has and that allows everything."""
    return Role(
        "everyone", where, ex.ALWAYS, ex.ALWAYS, ex.ALWAYS, readable=access.ALL, writable=access.ALL
    )


#: Everybody may do everything: the development mode, unless it is given rules.
OPEN: Final = Rules(defaults=(role_of_everybody("default_roles[0]"),))
#: Nobody may do anything: a server that was given no rules.
CLOSED: Final = Rules()
