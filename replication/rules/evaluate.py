"""What a rule expression means, in Python. [RULES-EXPR]

Rule 1: evaluation is total but for functions: what a function raises is raised as `RulesError`.
Rule 2: a list stands for its elements, on either side: a comparison holds if it holds for any of
        them. `ne` is the exact opposite of `eq`.
Rule 3: an expansion that has no value makes its comparison false, `ne` included, so that a user
        without a team is in nobody's team. A field of a document that is there and has no value is
        null, which is a value.
Rule 4: values compare as queries compare them.
Rule 5: a path leads where it leads in a query: into embedded objects and dictionaries, from each
        element of a list; not over links.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from replication.errors import RulesError, WrongTypeError
from replication.limits import RULE_DEPTH_MAX
from replication.model.foreign import native
from replication.query import canonical
from replication.query.ast import Field, Path
from replication.query.compare import equal
from replication.query.evaluate import relation
from replication.query.paths import Get, path_value
from replication.rules import expression as ex
from replication.rules.conversions import CONVERSIONS
from replication.rules.expression import Condition, Operand

#: The value of a field of a document, by its name, as queries see it; None for null or absent.
Document: TypeAlias = Get
#: What `%function` calls.
Function: TypeAlias = Callable[..., Any]


class _Absent:
    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


#: What has no value at all.
ABSENT: Final = _Absent()
#: What a document as a whole is: it exists, and equals nothing.
_WHOLE: Final = object()

_RELATIONS: Final = {
    "gt": relation(">"), "gte": relation(">="), "lt": relation("<"), "lte": relation("<="),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scope:
    """What expansions stand for.

    Attributes:
        known: `user`, `values`, `environment`, `request`, `args`, as far as there are any.
        functions: by name.
        root, previous: the document after and before; None: there is none.
        partition: the value of the partition key; ABSENT: there is none.
    """

    known: Mapping[str, Any] = field(default_factory=dict)
    functions: Mapping[str, Function] = field(default_factory=dict)
    root: Document | None = None
    previous: Document | None = None
    partition: Any = ABSENT


def holds(condition: Condition, scope: Scope) -> bool:
    """Whether an expression holds.

    Raises:
        RulesError: a function failed, or is not there.
    """
    if isinstance(condition, ex.Truth):
        return condition.value
    if isinstance(condition, ex.AllOf):
        return all(holds(part, scope) for part in condition.operands)
    if isinstance(condition, ex.AnyOf):
        return any(holds(part, scope) for part in condition.operands)
    if isinstance(condition, ex.Not):
        return not holds(condition.operand, scope)
    if isinstance(condition, ex.Comparison):
        left, right = value_of(condition.left, scope), value_of(condition.right, scope)
        return compared(condition.operator, left, right)
    if isinstance(condition, ex.Exists):
        found = value_of(condition.operand, scope)
        return (found is not ABSENT and found is not None) is condition.wanted
    return value_of(condition.operand, scope) is True


def compared(operator: str, left: Any, right: Any) -> bool:
    """Rules 2 to 4, for two values."""
    if left is ABSENT or right is ABSENT:
        return False
    if operator == "ne":
        return not compared("eq", left, right)
    related = equal if operator == "eq" else _RELATIONS[operator]
    return any(related(a, b) for a in _elements(left) for b in _elements(right))


def _elements(value: Any) -> list[Any]:
    return value if type(value) is list else [value]


def value_of(operand: Operand, scope: Scope) -> Any:
    """The value of an operand, or ABSENT."""
    if isinstance(operand, ex.Literal):
        return operand.value
    if isinstance(operand, ex.Expansion):
        return _expanded(operand, scope)
    if isinstance(operand, ex.Items):
        items = [value_of(item, scope) for item in operand.items]
        return [item for item in items if item is not ABSENT]
    if isinstance(operand, ex.Conversion):
        found = CONVERSIONS[operand.name](value_of(operand.operand, scope))
        return ABSENT if found is None else found
    return _called(operand, scope)


def _expanded(operand: ex.Expansion, scope: Scope) -> Any:
    match operand.scope:
        case "root" | "this":
            return _of_document(scope.root, operand.path)
        case "prevRoot" | "prev":
            return _of_document(scope.previous, operand.path)
        case "partition":
            return scope.partition
    found: Any = scope.known.get(operand.scope, ABSENT)
    for step in operand.path:
        if not isinstance(found, Mapping) or step not in found:
            return ABSENT
        found = found[step]
    return _native(found)


def _of_document(document: Document | None, path: tuple[str, ...]) -> Any:
    if document is None:
        return ABSENT
    return path_value(at_path(path))(document) if path else _WHOLE


def at_path(path: tuple[str, ...]) -> Field | Path:
    """What queries call what a path of names leads to. Rule 5."""
    return canonical.path(path[0], tuple(map(canonical.name_step, path[1:])))


def _native(value: Any, depth: int = 0) -> Any:
    """A value of JSON, or of the program that embeds us, as one of ours.

    What is too deep has no value: a token may hold what its user wrote.
    """
    if isinstance(value, list | tuple):
        if depth == RULE_DEPTH_MAX:
            return ABSENT
        items = [_native(item, depth + 1) for item in value]
        return [item for item in items if item is not ABSENT]
    if isinstance(value, Mapping):
        value = ex.extended(dict(value))
        if isinstance(value, dict):
            return _WHOLE
    try:
        return native(value)
    except (WrongTypeError, ValueError):
        return ABSENT


def _called(operand: ex.Call, scope: Scope) -> Any:
    function = scope.functions.get(operand.name)
    if function is None:
        raise RulesError(f"no function {operand.name!r} was given to this server")
    arguments = [value_of(item, scope) for item in operand.arguments]
    try:
        return _native(function(*(None if item is ABSENT else item for item in arguments)))
    except Exception as error:
        raise RulesError(f"the function {operand.name!r} failed: {error!r:.200}") from error
