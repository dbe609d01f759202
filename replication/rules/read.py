"""Reading a rules file, and everything that can be wrong with it. [RULES-FILE]

    {"default_roles": [ROLE, ...],
     "rules": {CLASS: [ROLE, ...]},
     "partition": {"key": FIELD, "read": EXPRESSION, "write": EXPRESSION},
     "values": {...}, "environment": {"tag": "...", "values": {...}}}

Rule 1: every mistake is found in one go, each with its path and reason; there is no half of a file.
Rule 2: a file in the legacy format is imported first; see `legacy`. It has roles that say
        `applyWhen`, or `defaultRoles`, and is never half one and half the other.
Rule 3: with a schema, classes and fields have to be in it, a filter's fields queryable, and its
        paths inside of the object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from replication.errors import QueryError, RulesError
from replication.limits import ROLE_NAME_BYTES_MAX, RULE_DEPTH_MAX
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.types import KEY_NAME, broken_class_name, broken_property_name
from replication.query import Query, canonical, literals
from replication.rules import access
from replication.rules import expression as ex
from replication.rules.access import Access
from replication.rules.compile import uncompilable
from replication.rules.evaluate import Function, at_path
from replication.rules.expression import Place, Problem, Reading
from replication.rules.legacy import imported, is_legacy
from replication.rules.partition import asking_for, partition_role
from replication.rules.roles import Named, Role, Rules

_FILE_KEYS: Final = frozenset({"default_roles", "rules", "partition", "values", "environment"})
_ROLE_KEYS: Final = frozenset({
    "name", "apply_when", "document_filters", "read", "write", "insert", "delete", "search",
    "fields", "additional_fields",
})  # fmt: skip
_FIELD_KEYS: Final = frozenset({"read", "write", "fields"})


def read_rules(
    text: str | bytes,
    *,
    functions: Mapping[str, Function] | None = None,
    schema: Schema | None = None,
) -> Rules:
    """The rules of a file.

    Args:
        functions: what `%function` may call.
        schema: Rule 3.

    Raises:
        RulesError: a line for each mistake.
    """
    rules, problems = checked(text, functions=functions or {}, schema=schema)
    if problems:
        raise RulesError("\n".join(f"{each.path}: {each.reason}" for each in problems))
    return rules


def checked(
    text: str | bytes,
    *,
    functions: Mapping[str, Function] | None = None,
    schema: Schema | None = None,
) -> tuple[Rules, list[Problem]]:
    """The rules of a file, and what is wrong with it: if anything is, they are not to be used.

    Args:
        functions: as there; None: whatever a rule calls will be given.
    """
    reader = _Reader(functions, schema)
    try:
        content = json.loads(text, object_pairs_hook=reader.once)
    except (ValueError, RecursionError) as error:
        return Rules(), [Problem("", f"no JSON: {error}")]
    if type(content) is not dict:
        return Rules(), [Problem("", 'rules are an object: {"default_roles": [...], ...}')]
    if is_legacy(content):
        content = imported(content, reader.problems)
    return reader.rules(content), reader.problems


class _Reader:
    def __init__(self, functions: Mapping[str, Function] | None, schema: Schema | None) -> None:
        self.problems: list[Problem] = []
        self._functions = functions
        self._schema = schema
        self._partition_key: str | None = None

    def once(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """An object of JSON whose names are all different."""
        out = dict(pairs)
        if len(out) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            self._no("", f"the name {twice!r} stands twice in one object")
        return out

    def rules(self, content: dict[str, Any]) -> Rules:
        self._keys(content, _FILE_KEYS, "")
        classes = self._object(content, "rules", "")
        return Rules(
            {name: self._of_class(name, roles) for name, roles in classes.items()},
            self._defaults(content),
            self._object(content, "values", ""),
            self._object(content, "environment", ""),
            self._functions or {},
            self._partition_key,
        )

    def _defaults(self, content: dict[str, Any]) -> tuple[Role, ...]:
        if "partition" not in content:
            return self._roles(content.get("default_roles", []), "default_roles", None)
        if "default_roles" in content:
            self._no("partition", "stands in place of default_roles; give one of them")
        found = self._object(content, "partition", "")
        self._keys(found, frozenset({"key", "read", "write"}), "partition")
        key = found.get("key")
        reason = broken_property_name(key) if type(key) is str else f"{key!r:.60} is no name"
        if type(key) is not str or reason is not None:
            self._no("partition.key", f"the property that says which partition: {reason}")
            return ()
        self._partition_key = key
        read, write = (self._of_partition(found, clause, key) for clause in ("read", "write"))
        return (partition_role(key, read, write),)

    def _of_partition(self, found: dict[str, Any], clause: str, key: str) -> ex.Condition:
        path = f"partition.{clause}"
        condition, is_one = self._clause(found, clause, Place.PARTITION, path)
        if is_one and not ex.calls_with(condition, "partition"):
            self._compilable(asking_for(condition, key), path)
        return condition

    def _of_class(self, name: str, roles: Any) -> tuple[Role, ...]:
        path = f"rules.{name}"
        known = None
        reason = broken_class_name(name)
        if reason is not None:
            self._no(path, reason)
        elif self._schema is not None:
            known = self._schema.classes.get(name)
            if known is None:
                self._no(path, f"the schema has no class {name}")
            elif known.embedded:
                self._no(path, f"{name} is embedded in others: its fields belong to their rules")
        return self._roles(roles, path, known)

    def _roles(self, items: Any, path: str, known: ClassSchema | None) -> tuple[Role, ...]:
        if type(items) is not list:
            self._no(path, f"roles are a list, not {items!r:.60}")
            return ()
        out: list[Role] = []
        for at, item in enumerate(items):
            role = self._role(item, f"{path}[{at}]", known)
            if role.name and any(role.name == other.name for other in out):
                self._no(f"{path}[{at}].name", f"another role is called {role.name!r}")
            out.append(role)
        return tuple(out)

    # -- one role --------------------------------------------------------------------------------
    def _role(self, item: Any, path: str, known: ClassSchema | None) -> Role:
        if type(item) is not dict:
            self._no(path, f"a role is an object, not {item!r:.60}")
            return Role("", path)
        self._keys(item, _ROLE_KEYS, path)
        if "apply_when" not in item:
            self._no(f"{path}.apply_when", "is missing: who has this role? {} is everybody")
        if _deep(item) > RULE_DEPTH_MAX:
            self._no(f"{path}.fields", f"fields more than {RULE_DEPTH_MAX} deep")
            item = {**item, "fields": {}}
        self._shape(item, path, known)
        writable = self._access(item, "write")
        return Role(
            self._name(item, path),
            path,
            self._expression(item.get("apply_when", False), Place.ASSIGN, f"{path}.apply_when"),
            *self._filters(item, path, known),
            self._change(item, "insert", path),
            self._change(item, "delete", path),
            access.union(self._access(item, "read"), writable),
            writable,
            None if isinstance(item.get("write"), bool) else _named(item) or {},
        )

    def _name(self, item: dict[str, Any], path: str) -> str:
        name = item.get("name")
        if type(name) is not str or not name:
            self._no(f"{path}.name", "a role needs a name: refusals say it")
            return ""
        if len(name.encode(errors="replace")) > ROLE_NAME_BYTES_MAX:
            self._no(f"{path}.name", f"a name has at most {ROLE_NAME_BYTES_MAX} bytes")
        return name

    def _expression(self, item: Any, place: Place, path: str) -> ex.Condition:
        names = None if self._functions is None else frozenset(self._functions)
        return Reading(place, self.problems, names).condition(item, path)

    def _clause(
        self, item: dict[str, Any], clause: str, place: Place, path: str
    ) -> tuple[ex.Condition, bool]:
        """A clause that has to be there, and whether nothing is wrong with it."""
        if clause not in item:
            self._no(path, "is missing: true, false or an expression")
            return ex.NEVER, False
        before = len(self.problems)
        condition = self._expression(item[clause], place, path)
        return condition, len(self.problems) == before

    def _compilable(self, condition: ex.Condition, path: str) -> None:
        for reason in uncompilable(condition):
            self._no(path, f"no query can be made of it: it {reason}")

    def _change(self, item: dict[str, Any], clause: str, path: str) -> ex.Condition:
        return self._expression(item.get(clause, True), Place.CHANGE, f"{path}.{clause}")

    def _filters(
        self, item: dict[str, Any], path: str, known: ClassSchema | None
    ) -> tuple[ex.Condition, ex.Condition]:
        path = f"{path}.document_filters"
        if "document_filters" not in item:
            self._no(path, 'is missing: which objects? {"read": true, "write": true} are all')
            return ex.NEVER, ex.NEVER
        filters = self._object(item, "document_filters", path.rpartition(".")[0])
        self._keys(filters, frozenset({"read", "write"}), path)
        return self._filter(filters, "read", path, known), self._filter(
            filters, "write", path, known
        )

    def _filter(
        self, filters: dict[str, Any], clause: str, path: str, known: ClassSchema | None
    ) -> ex.Condition:
        path = f"{path}.{clause}"
        condition, is_one = self._clause(filters, clause, Place.FILTER, path)
        if is_one:
            self._compilable(condition, path)
            self._queryable(condition, path, known)
        return condition

    def _queryable(self, found: ex.Condition, path: str, known: ClassSchema | None) -> None:
        for steps in sorted(ex.paths(found)) if known is not None else ():
            assert known is not None
            held = known.get(steps[0])
            if held is None:
                self._no(path, f"{known.name} has no property {steps[0]!r:.80} in the schema")
            elif len(steps) > 1:
                self._path_in(held, steps, path)
            elif _has_index(held) and not held.queryable:
                self._no(path, f"{held} is not queryable; the schema must say so")

    def _path_in(self, held: Property, steps: tuple[str, ...], path: str) -> None:
        """What is wrong with a path that begins with a property."""
        exists = Query.of(canonical.comparison("==", at_path(steps), literals.constant(None)))
        try:
            query = exists.check({steps[0]: held.spelling}, self._schema)
        except QueryError as error:
            self._no(path, f"{'.'.join(steps)!r:.80}: {error}")
            return
        if not query.is_local:
            into = "a path leads into embedded objects and dictionaries, not past links or mixed"
            self._no(path, f"{'.'.join(steps)!r:.80}: {into} values")

    # -- fields ----------------------------------------------------------------------------------
    def _shape(self, item: dict[str, Any], path: str, known: ClassSchema | None) -> None:
        """What is wrong with what a role says about fields."""
        for clause in ("read", "write"):
            self._literal(item, clause, path, "put conditions into document_filters")
        rest = self._object(item, "additional_fields", path)
        self._keys(rest, frozenset({"read", "write"}), f"{path}.additional_fields")
        for clause in rest:
            self._literal(rest, clause, f"{path}.additional_fields", "a field has no conditions")
        self._fields(item, path, known)

    def _fields(self, item: dict[str, Any], path: str, known: ClassSchema | None) -> None:
        for name, inner in self._object(item, "fields", path).items():
            here = f"{path}.fields.{name}"
            if name == KEY_NAME:
                self._no(here, f"{KEY_NAME} names the object and is read with it")
            held = None if known is None else known.get(name)
            if known is not None and held is None:
                self._no(here, f"{known.name} has no property {name!r:.80} in the schema")
            if type(inner) is not dict:
                self._no(here, f'{{"read": ..., "write": ...}}, not {inner!r:.60}')
                continue
            self._keys(inner, _FIELD_KEYS, here)
            for clause in ("read", "write"):
                self._literal(inner, clause, here, "a field has no conditions")
            if "fields" in inner:
                self._fields(inner, here, self._target(held, here))

    def _target(self, held: Any, path: str) -> ClassSchema | None:
        if held is None or self._schema is None:
            return None
        if held.type != "embedded":
            self._no(f"{path}.fields", f"{held} holds no embedded objects")
            return None
        return self._schema.classes.get(held.target)

    def _access(self, item: Mapping[str, Any], clause: str) -> Access:
        said = item.get(clause)
        if isinstance(said, bool):
            return access.ALL if said else access.NONE
        fields, rest = item.get("fields"), item.get("additional_fields")
        named = {
            name: self._access(inner, clause)
            for name, inner in (fields.items() if type(fields) is dict else ())
            if type(inner) is dict
        }
        others = type(rest) is dict and rest.get(clause) is True
        return access.access(others, named)

    # -- shapes ----------------------------------------------------------------------------------
    def _literal(self, item: dict[str, Any], clause: str, path: str, hint: str) -> None:
        if clause in item and not isinstance(item[clause], bool):
            self._no(f"{path}.{clause}", f"true or false, not {item[clause]!r:.60}; {hint}")

    def _object(self, item: dict[str, Any], name: str, path: str) -> dict[str, Any]:
        found = item.get(name, {})
        if type(found) is not dict:
            self._no(f"{path}.{name}".lstrip("."), f"an object, not {found!r:.60}")
            return {}
        return found

    def _keys(self, item: dict[str, Any], known: frozenset[str], path: str) -> None:
        for name in item:
            if name not in known:
                expected = ", ".join(sorted(known))
                self._no(f"{path}.{name}".lstrip("."), f"unknown; there are {expected}")

    def _no(self, path: str, reason: str) -> None:
        problem = Problem(path, reason)
        if problem not in self.problems:
            self.problems.append(problem)


def _has_index(item: Property) -> bool:
    """Whether a schema can say that a property is queryable."""
    return item.type != "embedded" and item.collection != "dict"


def _deep(item: dict[str, Any]) -> int:
    """How many `fields` stand in each other."""
    depth, here = -1, [item]
    while here:
        depth += 1
        fields = [each["fields"] for each in here if type(each.get("fields")) is dict]
        here = [inner for each in fields for inner in each.values() if type(inner) is dict]
    return depth


def _named(item: dict[str, Any]) -> Named:
    """What a role, or a field of it, names; None where its `write` decides for all."""
    fields = item.get("fields")
    if isinstance(item.get("write"), bool) or type(fields) is not dict:
        return None
    return {name: _named(inner) for name, inner in fields.items() if type(inner) is dict}
