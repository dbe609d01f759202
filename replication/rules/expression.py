"""The nodes of a rule expression, and how JSON is read into them. [RULES-EXPR]

Rule 1: reading never stops at a mistake: each is noted with its path and reason, and what stands
        there holds for nobody.
Rule 2: operators begin with `%` or `$`, which mean the same; expansions begin with `%%`; every
        other key is a field of the document, dots leading into it.
Rule 3: what may stand where is decided by the place of an expression (`Place`), not by the value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

from bson import json_util
from bson.binary import UuidRepresentation

from replication.errors import WrongTypeError
from replication.limits import QUERY_STEPS_MAX, RULE_DEPTH_MAX
from replication.model.foreign import native
from replication.model.values import Value
from replication.rules.conversions import CONVERSIONS


class Problem(NamedTuple):
    """A mistake in a rules file."""

    #: Where: names and indexes, as in `rules.Book[0].apply_when`.
    path: str
    reason: str


class Place(Enum):
    """What an expression decides, and so what it may look at."""

    ASSIGN = "apply_when"
    FILTER = "a document filter"
    CHANGE = "insert or delete"
    PARTITION = "a partition rule"
    #: Everything: for evaluation outside of roles.
    ANY = "an expression"


# -- operands --------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Literal:
    """A value that stands in the rule."""

    value: Value


@dataclass(frozen=True, slots=True)
class Expansion:
    """A value that is known when the rule is used: `%%user.id` has scope `user`, path `("id",)`.

    A field of the document is `root` with its path.
    """

    scope: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conversion:
    """A value of one type as one of another. See `conversions`."""

    name: str
    operand: Operand


@dataclass(frozen=True, slots=True)
class Call:
    """What a function says, that was bound when the server started."""

    name: str
    arguments: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Operand, ...]


Operand: TypeAlias = Literal | Expansion | Conversion | Call | Items


# -- conditions ------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Truth:
    """Holds always, or never."""

    value: bool


@dataclass(frozen=True, slots=True)
class AllOf:
    """All operands hold."""

    operands: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one operand holds."""

    operands: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The operand does not hold."""

    operand: Condition


@dataclass(frozen=True, slots=True)
class Comparison:
    """``left operator right``; operator: one of ``eq ne gt gte lt lte``."""

    operator: str
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class Exists:
    """There is such a thing (or, with ``wanted`` false, there is not)."""

    operand: Operand
    wanted: bool


@dataclass(frozen=True, slots=True)
class Holds:
    """A value is true: not 1, not a text."""

    operand: Operand


Condition: TypeAlias = Truth | AllOf | AnyOf | Not | Comparison | Exists | Holds

NEVER: Final = Truth(False)
ALWAYS: Final = Truth(True)

_COMPARISONS: Final = frozenset({"eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"})
#: `in` is equality: a list stands for its elements.
_SAME: Final = {"in": "eq", "nin": "ne"}
_COMPOUNDS: Final = frozenset({"and", "or", "nor"})
#: Literals that JSON has no spelling of, in extended JSON.
_EXTENDED: Final = frozenset({
    "$oid", "$uuid", "$date", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal",
    "$binary",
})  # fmt: skip
_OPTIONS: Final = json_util.JSONOptions(
    tz_aware=True, uuid_representation=UuidRepresentation.STANDARD
)
#: Every expansion with what may follow it; None: anything, at least one name if it is required.
_SCOPES: Final[dict[str, frozenset[str] | None]] = {
    "user": frozenset({"id", "type", "data", "custom_data", "identities"}),
    "values": None,
    "environment": frozenset({"tag", "values"}),
    "request": frozenset({
        "httpMethod", "httpReferrer", "httpUserAgent", "rawQueryString", "remoteIPAddress",
        "requestHeaders", "service", "action", "webhookUrl",
    }),
    "this": None, "prev": None, "root": None, "prevRoot": None, "args": None,
    "partition": frozenset(),
}  # fmt: skip
#: Which expansions a place knows.
_KNOWN: Final[dict[Place, frozenset[str]]] = {
    Place.ASSIGN: frozenset({"user", "values", "environment"}),
    Place.FILTER: frozenset({"user", "values", "environment", "root"}),
    Place.CHANGE: frozenset({"user", "values", "environment", "root", "this", "prevRoot", "prev"}),
    Place.PARTITION: frozenset({"user", "values", "environment", "partition"}),
    Place.ANY: frozenset(_SCOPES),
}
_WITHOUT_FUNCTIONS: Final = frozenset({Place.FILTER})
_WITHOUT_DOCUMENT: Final = frozenset({Place.ASSIGN, Place.PARTITION})


@dataclass(slots=True)
class Reading:
    """Reads expressions of one place; mistakes are added to `problems`."""

    place: Place
    problems: list[Problem]
    functions: frozenset[str] | None = None
    _depth: int = field(default=0, init=False)

    def condition(self, json: object, path: str) -> Condition:
        """An expression: true, false, an expansion, or an object whose pairs all hold."""
        if isinstance(json, bool) or json == {}:
            return NEVER if json is False else ALWAYS
        if isinstance(json, str) and json.startswith("%%"):
            return _held(self._expansion(json, path))
        if type(json) is not dict:
            return self._no(path, f"{_shown(json)} is no expression: true, false or an object")
        return self._all(json, path, self._pair)

    def _all(
        self, json: dict[str, object], path: str, read: Callable[[str, object, str], Condition]
    ) -> Condition:
        """What all pairs of an object say; ``read`` reads one of them."""
        if self._is_deep(path):
            return NEVER
        self._depth += 1
        parts = [read(name, value, f"{path}.{name}") for name, value in json.items()]
        self._depth -= 1
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _is_deep(self, path: str) -> bool:
        if self._depth == RULE_DEPTH_MAX:
            self._no(path, f"expressions more than {RULE_DEPTH_MAX} deep")
        return self._depth == RULE_DEPTH_MAX

    def _no(self, path: str, reason: str) -> Condition:
        self.problems.append(Problem(path, reason))
        return NEVER

    # -- pairs -----------------------------------------------------------------------------------
    def _pair(self, name: str, value: object, path: str) -> Condition:
        if name.startswith("%%"):
            return self._compared(self._expansion(name, path), value, path)
        operator = _operator(name)
        if operator is None:
            return self._compared(self._field(name, path), value, path)
        if operator in _COMPOUNDS:
            return self._compound(operator, value, path, self.condition)
        if operator == "not":
            return Not(self.condition(value, path))
        if operator == "function":
            return _held(self._call(value, path))
        return self._no(path, f"{name} does not begin a condition; a field or an expansion does")

    def _compound(
        self, operator: str, value: object, path: str, read: Callable[[object, str], Condition]
    ) -> Condition:
        if type(value) is not list:
            return self._no(path, f"{operator} needs a list, not {_shown(value)}")
        parts = tuple(read(item, f"{path}[{at}]") for at, item in enumerate(value))
        if operator == "and":
            return AllOf(parts)
        return AnyOf(parts) if operator == "or" else Not(AnyOf(parts))

    def _compared(self, left: Operand, json: object, path: str) -> Condition:
        """What is said of one thing: a value it equals, or operators that all hold."""
        if type(json) is list:
            return self._no(path, "a list equals nothing; $in asks for one of several values")
        if type(json) is not dict or _is_value(json):
            return Comparison("eq", left, self._operand(json, path))
        if not json:
            return self._no(path, "an empty object is no value to compare with")
        return self._all(json, path, lambda name, said, at: self._said(left, name, said, at))

    def _said(self, left: Operand, name: str, value: object, path: str) -> Condition:
        operator = _operator(name)
        if operator in _COMPARISONS:
            return self._comparison(operator, left, value, path)
        if operator == "exists":
            if not isinstance(value, bool):
                return self._no(path, f"$exists needs true or false, not {_shown(value)}")
            return Exists(left, value)
        if operator == "not":
            return Not(self._compared(left, value, path))
        if operator in _COMPOUNDS:
            return self._compound(
                operator, value, path, lambda item, at: self._compared(left, item, at)
            )
        if operator is None:
            return self._no(path, f"objects don't compare; write a path with dots for {name!r}")
        return self._no(path, f"{name} is no operator that compares")

    def _comparison(self, operator: str, left: Operand, value: object, path: str) -> Condition:
        if operator in _SAME:
            if type(value) is not list and not _is_later(value):
                return self._no(path, f"${operator} needs a list, not {_shown(value)}")
        elif type(value) is list:
            return self._no(path, f"${operator} needs one value, not a list")
        return Comparison(_SAME.get(operator, operator), left, self._operand(value, path))

    # -- operands --------------------------------------------------------------------------------
    def _operand(self, json: object, path: str) -> Operand:
        if isinstance(json, str) and json.startswith("%%"):
            return self._expansion(json, path)
        if type(json) is list:
            return Items(self._items(json, path))
        if type(json) is not dict:
            return self._literal(json, path)
        if len(json) == 1:
            ((name, value),) = json.items()
            operator = _operator(name)
            if name in _EXTENDED:
                return self._literal(extended(json), path)
            if operator == "function":
                return self._call(value, f"{path}.{name}")
            if operator in CONVERSIONS:
                return self._conversion(operator, value, f"{path}.{name}")
        self._no(path, f"{_shown(json)} is no value")
        return Literal(None)

    def _items(self, json: list[object], path: str) -> tuple[Operand, ...]:
        if self._is_deep(path):
            return ()
        self._depth += 1
        items = [self._operand(item, f"{path}[{at}]") for at, item in enumerate(json)]
        self._depth -= 1
        return tuple(items)

    def _literal(self, json: object, path: str) -> Operand:
        try:
            return Literal(native(json))
        except (WrongTypeError, ValueError, TypeError) as error:
            self._no(path, f"{_shown(json)} is no value: {error}")
            return Literal(None)

    def _conversion(self, name: str, json: object, path: str) -> Operand:
        if type(json) in (dict, list):
            self._no(path, f"%{name} needs a value or an expansion, not {_shown(json)}")
            return Literal(None)
        operand = self._operand(json, path)
        if isinstance(operand, Literal) and CONVERSIONS[name](operand.value) is None:
            self._no(path, f"%{name} can't convert {_shown(json)}")
        return Conversion(name, operand)

    def _call(self, json: object, path: str) -> Operand:
        if self.place in _WITHOUT_FUNCTIONS:
            self._no(path, "a function can't decide what is read: no index could serve it")
        if type(json) is not dict or not {"name"} <= set(json) <= {"name", "arguments"}:
            self._no(path, 'a function needs {"name": ..., "arguments": [...]}')
            return Literal(None)
        name, arguments = json["name"], json.get("arguments", [])
        if type(name) is not str or type(arguments) is not list:
            self._no(path, "a function's name is a text, its arguments are a list")
            return Literal(None)
        if self.functions is not None and name not in self.functions:
            known = ", ".join(sorted(self.functions)) or "none"
            self._no(f"{path}.name", f"no function {name!r} was given; there is {known}")
        return Call(name, self._items(arguments, f"{path}.arguments"))

    def _field(self, name: str, path: str) -> Operand:
        if self.place in _WITHOUT_DOCUMENT:
            self._no(path, f"{self.place.value} has no document, so there is no field {name!r}")
        return self._path("root", name, path)

    def _expansion(self, text: str, path: str) -> Operand:
        scope, _, rest = text.removeprefix("%%").partition(".")
        if scope in ("true", "false") and not rest:
            return Literal(scope == "true")
        if scope not in _SCOPES:
            self._no(path, f"no expansion %%{scope}; there are true, false, {', '.join(_SCOPES)}")
            return Literal(None)
        if scope not in _KNOWN[self.place]:
            self._no(path, f"{self.place.value} can't look at %%{scope}")
        inner = _SCOPES[scope]
        first = rest.partition(".")[0]
        if inner is not None and first not in (inner or {""}):
            follows = f"needs one of {', '.join(sorted(inner))}" if inner else "is a whole"
            self._no(path, f"%%{scope} {follows}, got {text!r}")
        return self._path(scope, rest, path)

    def _path(self, scope: str, text: str, path: str) -> Operand:
        steps = tuple(text.split(".")) if text else ()
        if "" in steps:
            self._no(path, f"{text!r} is no path: a name is missing")
        if len(steps) > QUERY_STEPS_MAX:
            self._no(path, f"{text!r:.60} is a path of more than {QUERY_STEPS_MAX} names")
        return Expansion(scope, steps)


def _held(operand: Operand) -> Condition:
    if isinstance(operand, Literal):
        return Truth(operand.value is True)
    return Holds(operand)


def _operator(name: str) -> str | None:
    return name[1:] if name[:1] in ("$", "%") else None


def _is_value(json: Mapping[str, object]) -> bool:
    """Whether an object is one value: a function, a conversion, a literal of extended JSON."""
    if len(json) != 1:
        return False
    (name,) = json
    operator = _operator(name)
    return name in _EXTENDED or operator == "function" or operator in CONVERSIONS


def _is_later(json: object) -> bool:
    """Whether what it is can only be told when the rule is used."""
    return (isinstance(json, str) and json.startswith("%%")) or (
        type(json) is dict and _is_value(json)
    )


def extended(json: dict[str, object]) -> object:
    """What an object of extended JSON stands for; any other object as it is."""
    if len(json) != 1 or not _EXTENDED.issuperset(json):
        return json
    try:
        return json_util.object_hook(json, _OPTIONS)
    except Exception:  # whatever it stumbles on, it is no value
        return json


def _shown(json: object) -> str:
    text = repr(json)
    return text if len(text) <= 60 else text[:57] + "..."


# -- looking into ----------------------------------------------------------------------------------
def operands(condition: Condition) -> Iterable[Operand]:
    """Every operand of every comparison, and what stands in it."""
    if isinstance(condition, AllOf | AnyOf):
        for part in condition.operands:
            yield from operands(part)
    elif isinstance(condition, Not):
        yield from operands(condition.operand)
    elif isinstance(condition, Comparison):
        yield from _within(condition.left)
        yield from _within(condition.right)
    elif isinstance(condition, Exists | Holds):
        yield from _within(condition.operand)


def _within(operand: Operand) -> Iterable[Operand]:
    yield operand
    if isinstance(operand, Conversion):
        yield from _within(operand.operand)
    elif isinstance(operand, Call | Items):
        for item in operand.arguments if isinstance(operand, Call) else operand.items:
            yield from _within(item)


def calls_with(condition: Condition, scope: str) -> bool:
    """Whether a function is called with what a scope expands to."""
    return any(
        isinstance(call, Call)
        and any(isinstance(each, Expansion) and each.scope == scope for each in _within(call))
        for call in operands(condition)
    )


def paths(condition: Condition) -> frozenset[tuple[str, ...]]:
    """The paths to what of the document decides it."""
    return frozenset(
        each.path
        for each in operands(condition)
        if isinstance(each, Expansion) and each.scope in ("root", "this") and each.path
    )
