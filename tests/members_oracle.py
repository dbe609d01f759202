"""What subscription sets hold that look at other objects, by brute force on plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plain_objects import Objects, PlainSource
from server_devices import Name

from replication.crdt.object import ObjectState, is_alive
from replication.crdt.view import queryable
from replication.model.encoding import key_bytes, pack
from replication.model.schema import Schema
from replication.model.values import Link
from replication.query import parse
from replication.query.ast import Branch, Follow
from replication.query.ordering import arranged
from replication.rules.project import projected
from replication.rules.roles import Granted, Roles


def restricted(
    states: Mapping[Name, ObjectState], roles: Roles
) -> tuple[Objects, dict[Name, bytes]]:
    """All that somebody may read, as plain data and as states."""
    classes: dict[str, dict[Any, dict[str, Any]]] = {}
    out = {}
    for (name, key), state in states.items():
        role = roles.of(name)
        if not is_alive(state) or not isinstance(role, Granted) or role.readable.is_none:
            continue
        if role.read.matches(queryable(state).get):
            left = projected(state, role.readable, state)
            classes.setdefault(name, {})[key] = dict(queryable(left))
            out[name, key] = pack(left)
    return Objects(classes), out


def brought(held: Objects, texts: dict[str, str], schema: Schema) -> set[Name]:
    """What a subscription set asks for, by brute force."""
    out: set[Name] = set()
    for class_name, text in texts.items():
        types = {each.name: each.spelling for each in schema[class_name].properties.values()}
        query = parse(text).check({**types, "_id": "int"}, schema)
        for branch in query.branches:
            out |= of_branch(held, class_name, branch)
    return out


def of_branch(held: Objects, class_name: str, branch: Branch) -> set[Name]:
    condition = parse(branch.root.text)
    found = sorted(held.of(class_name), key=lambda each: key_bytes(each.link.key))
    rows = arranged(branch, [each for each in found if condition.matches(each)], lambda row: row)
    out = {(each.link.class_name, each.link.key) for each in rows}
    for modifier in branch.modifiers:
        if isinstance(modifier, Follow):
            steps = modifier.names * modifier.depth
            for each in rows:
                out |= reached(held, each, steps)
    return out


def reached(held: Objects, source: PlainSource, steps: tuple[str, ...]) -> set[Name]:
    if not steps:
        return set()
    out: set[Name] = set()
    for field, value in source.document.items():
        for link in value if isinstance(value, list) else [value]:
            if isinstance(link, Link) and steps[0] in ("*", field):
                target = held.get(link)
                if target is not None:
                    out |= {(link.class_name, link.key)} | reached(held, target, steps[1:])
    return out
