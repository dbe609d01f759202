"""Scenarios: what each peer wrote, when, and who synchronised in which order; one JSON a line.

This file reads them. `runner` runs them, and says what came out.

Rule 1: what a line says is checked against the scenario's own schema and peers as far as that
        can be done without running it. A line that can't be read ends the reading, with an error
        that names it and the value in it.
Rule 2: whether an operation can run is decided where it runs: see `operations`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

from replication.clock import COUNTER_BITS
from replication.errors import ReplicationError, UsageError
from replication.limits import IDENT_MAX, TIME_MAX
from replication.model.check import shown
from replication.model.notation import from_json
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.types import KEY_NAME
from replication.query import parse as parse_query

#: The server, where peers are named.
SERVER: Final = 1


class ScenarioError(UsageError):
    """A line that can't be read or run. `line` is its number, the first being 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class Operation(NamedTuple):
    """One operation of a transaction.

    Attributes:
        name: "create", "set", ...
        path: the field it is about; () for the object itself.
        arguments: by name; values are checked notations, as `from_json` reads them.
    """

    name: str
    table: str
    key: Any
    path: tuple[str | int, ...]
    arguments: dict[str, Any]


class Txn(NamedTuple):
    """A write transaction of a peer. ``ms``: its wall clock, since 2015."""

    peer: int
    ms: int
    operations: list[Operation]


class Sync(NamedTuple):
    """Peers upload all in that order, then download all in that order; None for all peers."""

    peers: list[int] | None


class Upload(NamedTuple):
    """A peer uploads that many changesets; None for all."""

    peer: int
    most: int | None


class Download(NamedTuple):
    """A peer downloads that many changesets; None for all."""

    peer: int
    most: int | None


class Snapshot(NamedTuple):
    """The state of everybody, to be shown under a label."""

    label: str


class Restart(NamedTuple):
    """A peer, or 1 for the server, closes its store and opens it again."""

    peer: int


class Subscribe(NamedTuple):
    """A peer replaces its subscription set: a query for each class it wants."""

    peer: int
    queries: dict[str, str]


Step = Txn | Sync | Upload | Download | Snapshot | Restart | Subscribe


@dataclass(frozen=True, eq=False)
class Declared:
    """The schema of a scenario. ``keys``: what the primary key of each class is called.

    Equal texts give the same one: it can be a key.
    """

    schema: Schema
    keys: dict[str, str]


@dataclass
class Scenario:
    """One scenario: `steps` are pairs of line number and step.

    `peers` stand in the order in which all of them synchronise where nothing else is said.
    """

    name: str
    line: int
    declared: Declared | None = None
    peers: list[int] = field(default_factory=list)
    steps: list[tuple[int, Step]] = field(default_factory=list)
    final_sync: list[int] = field(default_factory=list)

    @property
    def final_order(self) -> list[int]:
        """The order of the final synchronisation."""
        return self.final_sync or self.peers


def read(lines: Iterable[str]) -> Iterator[Scenario]:
    """The scenarios of a file.

    Raises:
        ScenarioError: a line that can't be read. Scenarios before it were returned.
    """
    reading: Scenario | None = None
    for number, text in enumerate(lines, 1):
        if not text.strip() or text.startswith("#"):
            continue
        kind, value = _line(number, text)
        if kind in ("scenario", "end"):
            if reading is not None:
                yield _complete(reading)
            reading = None
            if kind == "scenario":
                reading = Scenario(_text(number, kind, value), number)
        elif reading is None:
            raise ScenarioError(
                number, f'{kind!r} before a scenario: begin with {{"scenario":NAME}}'
            )
        else:
            _add(reading, number, kind, value)
    if reading is not None:
        yield _complete(reading)


def _line(number: int, text: str) -> tuple[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScenarioError(
            number, f"{text.strip()!r:.60} is not a line of JSON: {error}"
        ) from None
    if type(found) is not dict or len(found) != 1:
        raise ScenarioError(number, f"{text.strip()!r:.60} is no object with exactly one key")
    ((kind, value),) = found.items()
    return kind, value


def _complete(scenario: Scenario) -> Scenario:
    if scenario.declared is None or not scenario.peers:
        missing = "schema" if scenario.declared is None else "peers"
        raise ScenarioError(
            scenario.line, f"the scenario {scenario.name!r} has no {missing!r} line"
        )
    return scenario


def _add(scenario: Scenario, number: int, kind: str, value: Any) -> None:
    if kind == "comment":
        return
    if kind in ("schema", "peers"):
        _set_up(scenario, number, kind, value)
        return
    if kind in _NOT_YET:
        raise ScenarioError(number, f"{kind!r} is not supported yet")
    reader = _STEPS.get(kind)
    if reader is None and kind != "final_sync":
        known = ", ".join(("scenario", "schema", "peers", *_STEPS, "final_sync", "comment", "end"))
        raise ScenarioError(number, f"{kind!r} is no line of a scenario; there are {known}")
    if scenario.declared is None or not scenario.peers:
        raise ScenarioError(number, f"{kind!r} before the lines 'schema' and 'peers'")
    if reader is None:
        scenario.final_sync = _permutation(scenario, number, kind, value)
    else:
        scenario.steps.append((number, reader(scenario, number, value)))


def _set_up(scenario: Scenario, number: int, kind: str, value: Any) -> None:
    if scenario.steps or (scenario.declared if kind == "schema" else scenario.peers):
        raise ScenarioError(number, f"{kind!r} comes once, before everything that happens")
    if kind == "peers":
        scenario.peers = _peers(number, value)
        return
    try:
        scenario.declared = declared(json.dumps(value, sort_keys=True))
    except ReplicationError as error:
        raise ScenarioError(number, str(error)) from None


_NOT_YET: Final = frozenset({"backup", "restore", "reset"})


# -- the schema ----------------------------------------------------------------------------------
@lru_cache(maxsize=64)
def declared(text: str) -> Declared:
    """The schema of a scenario, from its JSON.

    Raises:
        UsageError: it is none.
    """
    found = json.loads(text)
    tables = _member(found, "schema", "tables", list)
    names = [_member(table, "a table", "name", str) for table in tables]
    embedded = {
        name for name, table in zip(names, tables, strict=True) if table.get("embedded") is True
    }
    classes, keys = [], {}
    for name, table in zip(names, tables, strict=True):
        _known(table, f"table {name!r}", ("name", "pk", "fields", "embedded"))
        fields = _member(table, f"table {name!r}", "fields", list)
        key_type = None
        if name not in embedded:
            key = _member(table, f"table {name!r}", "pk", dict)
            keys[name] = _member(key, f"the pk of {name!r}", "name", str)
            key_type = _member(key, f"the pk of {name!r}", "type", str)
        properties = [_property(each, f"table {name!r}", embedded) for each in fields]
        if name in keys and keys[name] in [item.name for item in properties]:
            raise UsageError(f"table {name!r}: {keys[name]!r} is the pk and a field")
        classes.append(ClassSchema(name, properties, key=key_type))
    return Declared(Schema(classes), keys)


def _property(found: Any, where: str, embedded: set[str]) -> Property:
    name = _member(found, f"a field of {where}", "name", str)
    where = f"field {name!r} of {where}"
    spelled = _member(found, where, "type", str)
    _known(found, where, ("name", "type", "nullable", "collection"))
    collection = found.get("collection")
    outer, separator, rest = spelled.partition("<")
    if separator and rest.endswith(">"):
        if collection is not None:
            raise UsageError(f"{where}: {spelled!r} and a collection {collection!r}")
        collection, spelled = outer, rest[:-1]
    if collection not in (None, "list", "set", "dict"):
        raise UsageError(f"{where}: {collection!r} is no collection; there are list, set and dict")
    nullable = found.get("nullable", False)
    if type(nullable) is not bool:
        raise UsageError(f"{where}: nullable is true or false, not {shown(nullable)}")
    nullable = nullable or spelled.endswith("?")
    kind, _, target = spelled.removesuffix("?").partition(":")
    if kind == "link" and target in embedded:
        kind = "embedded"
    if kind == "mixed" or (kind in ("link", "embedded") and collection in (None, "dict")):
        nullable = True
    return Property(name, kind, nullable, collection, target or None)


def _member(found: Any, where: str, name: str, kind: type) -> Any:
    if type(found) is not dict:
        raise UsageError(f"{where} is an object, not {shown(found)}")
    if type(found.get(name)) is not kind:
        word = {"list": "a list", "str": "a string", "dict": "an object"}[kind.__name__]
        raise UsageError(f"{where} needs {name!r}: {word}, not {shown(found.get(name))}")
    return found[name]


def _known(found: Mapping[str, Any], where: str, names: Iterable[str]) -> None:
    strange = sorted(set(found) - set(names))
    if strange:
        raise UsageError(f"{where} has {strange[0]!r}; there are {', '.join(names)}")


# -- steps ---------------------------------------------------------------------------------------
def _text(number: int, kind: str, value: Any) -> str:
    if type(value) is not str:
        raise ScenarioError(number, f"{kind!r} holds a string, not {shown(value)}")
    return value


def _whole(number: int, what: str, value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ScenarioError(
            number, f"{what} is an integer from {least} to {most}, not {shown(value)}"
        )
    return value


def _peers(number: int, value: Any) -> list[int]:
    if type(value) is not list or not value:
        raise ScenarioError(number, f"'peers' holds a list of file idents, not {shown(value)}")
    peers = [_whole(number, "a peer", peer, 2, IDENT_MAX) for peer in value]
    if len(set(peers)) != len(peers):
        raise ScenarioError(number, f"{value} names a peer twice")
    return sorted(peers)


def _permutation(scenario: Scenario, number: int, kind: str, value: Any) -> list[int]:
    if type(value) is not list or not value:
        raise ScenarioError(number, f"{kind!r} holds a list of peers, not {shown(value)}")
    peers = [_peer(scenario, number, peer) for peer in value]
    if len(set(peers)) != len(peers):
        raise ScenarioError(number, f"{value} names a peer twice")
    if kind == "final_sync" and len(peers) != len(scenario.peers):
        raise ScenarioError(number, f"{value} must name each of {scenario.peers}")
    return peers


def _peer(scenario: Scenario, number: int, value: Any) -> int:
    if type(value) is not int or value not in scenario.peers:
        raise ScenarioError(number, f"{shown(value)} is none of the peers {scenario.peers}")
    return value


def _object(number: int, what: str, value: Any, names: Iterable[str]) -> dict[str, Any]:
    if type(value) is not dict:
        raise ScenarioError(number, f"{what} is an object, not {shown(value)}")
    for name in names:
        if name not in value:
            raise ScenarioError(number, f"{what} needs {name!r}: {json.dumps(value):.60}")
    strange = sorted(set(value) - set(names))
    if strange:
        raise ScenarioError(number, f"{what} has no {strange[0]!r}: {json.dumps(value):.60}")
    return value


def _sync(scenario: Scenario, number: int, value: Any) -> Sync:
    if value == "all":
        return Sync(None)
    return Sync(_permutation(scenario, number, "sync", value))


def _counted(scenario: Scenario, number: int, value: Any) -> tuple[int, int | None]:
    if type(value) is not dict:
        return _peer(scenario, number, value), None
    _object(number, "what is transferred", value, ("peer", "count"))
    count = _whole(number, "'count'", value["count"], 0, 2**31)
    return _peer(scenario, number, value["peer"]), count


def _restart(scenario: Scenario, number: int, value: Any) -> Restart:
    server = type(value) is int and value == SERVER
    return Restart(SERVER if server else _peer(scenario, number, value))


def _subscribe(scenario: Scenario, number: int, value: Any) -> Subscribe:
    _object(number, "'subscribe'", value, ("peer", "queries"))
    queries = value["queries"]
    if type(queries) is not dict:
        raise ScenarioError(number, f"'queries' is an object, not {shown(queries)}")
    for table, text in queries.items():
        _table(scenario, number, table)
        try:
            parse_query(_text(number, table, text))
        except UsageError as error:
            raise ScenarioError(number, f"the query {text!r}: {error}") from None
    return Subscribe(_peer(scenario, number, value["peer"]), queries)


def _txn(scenario: Scenario, number: int, value: Any) -> Txn:
    _object(number, "'txn'", value, ("peer", "t", "ops"))
    if type(value["ops"]) is not list:
        raise ScenarioError(number, f"'ops' is a list, not {shown(value['ops'])}")
    ms = _whole(number, "'t'", value["t"], -(2**62), TIME_MAX >> COUNTER_BITS)
    operations = [_operation(scenario, number, each) for each in value["ops"]]
    return Txn(_peer(scenario, number, value["peer"]), ms, operations)


_STEPS: Final[dict[str, Callable[[Scenario, int, Any], Step]]] = {
    "txn": _txn,
    "sync": _sync,
    "upload": lambda scenario, number, value: Upload(*_counted(scenario, number, value)),
    "download": lambda scenario, number, value: Download(*_counted(scenario, number, value)),
    "snapshot": lambda _scenario, number, value: Snapshot(_text(number, "snapshot", value)),
    "restart": _restart,
    "subscribe": _subscribe,
}


# -- operations ----------------------------------------------------------------------------------
#: The arguments of each operation, behind table and pk.
ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    "create": (),
    "erase": (),
    "set": ("field", "value"),
    "set_default": ("field", "value"),
    "add": ("field", "value"),
    "list_insert": ("field", "index", "value"),
    "list_set": ("field", "index", "value"),
    "list_move": ("field", "from", "to"),
    "list_erase": ("field", "index"),
    "list_clear": ("field",),
    "set_clear": ("field",),
    "dict_clear": ("field",),
    "assign": ("field", "value"),
    "set_insert": ("field", "value"),
    "set_erase": ("field", "value"),
    "dict_set": ("field", "key", "value"),
    "dict_erase": ("field", "key"),
    "text_insert": ("field", "index", "value"),
    "text_erase": ("field", "index", "count"),
}


def _operation(scenario: Scenario, number: int, found: Any) -> Operation:
    name = found.get("op") if type(found) is dict else None
    if type(name) is not str or name not in ARGUMENTS:
        raise ScenarioError(
            number,
            f"{json.dumps(found):.60} is no operation; 'op' is one of {', '.join(ARGUMENTS)}",
        )
    _object(number, f"{name!r}", found, ("op", "table", "pk", *ARGUMENTS[name]))
    table = _table(scenario, number, found["table"])
    path: tuple[str | int, ...] = ()
    if "field" in ARGUMENTS[name]:
        path = _path(scenario, number, table, found["field"])
    arguments: dict[str, Any] = {}
    for each in ARGUMENTS[name]:
        if each in ("index", "from", "to", "count"):
            arguments[each] = _whole(number, f"{each!r}", found[each], -(2**63), 2**63 - 1)
        elif each == "key":
            arguments[each] = _text(number, "key", found[each])
        elif each == "value":
            arguments[each] = _value(number, found[each], whole=name == "assign")
    return Operation(name, table, _value(number, found["pk"]), path, arguments)


def _table(scenario: Scenario, number: int, name: Any) -> str:
    assert scenario.declared is not None
    if type(name) is not str or name not in scenario.declared.keys:
        known = ", ".join(scenario.declared.keys)
        raise ScenarioError(number, f"{shown(name)} is no table with a pk; there are {known}")
    return name


def _path(scenario: Scenario, number: int, table: str, found: Any) -> tuple[str | int, ...]:
    path = found if type(found) is list else [found]
    if not path or any(type(step) not in (str, int) for step in path):
        raise ScenarioError(
            number, f"'field' is a name or a path of names, keys and indexes, not {shown(found)}"
        )
    assert scenario.declared is not None
    if path[0] == scenario.declared.keys[table]:
        return (KEY_NAME, *path[1:])
    properties = scenario.declared.schema[table].properties
    if path[0] not in properties:
        known = ", ".join(properties)
        raise ScenarioError(number, f"{table} has no field {path[0]!r}; there are {known}")
    return tuple(path)


def _value(number: int, found: Any, *, whole: bool = False) -> Any:
    try:
        if whole and type(found) is list:
            return [from_json(each) for each in found]
        if whole and type(found) is dict and not any(key.startswith("$") for key in found):
            return {key: from_json(each) for key, each in found.items()}
        return from_json(found)
    except UsageError as error:
        raise ScenarioError(number, str(error)) from None
