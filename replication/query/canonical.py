"""How conditions are made: normalised, with their canonical text. [QUERY-70]

The canonical form of a query removes what is only spelling: synonyms of operators and keywords,
a constant on the left, the order of AND, OR and IN, repetitions, redundant parentheses, double
negation, TRUEPREDICATE and FALSEPREDICATE inside of a compound. It does not reason: two queries
with equal meaning may well have different forms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from replication.query.arithmetic import calculate
from replication.query.ast import (
    Aggregate,
    And,
    Arithmetic,
    Branch,
    Comparison,
    Constant,
    Constants,
    Distinct,
    Field,
    Follow,
    Limit,
    Modifier,
    Node,
    Not,
    Operand,
    Or,
    Path,
    Quantifier,
    Region,
    Sort,
    Step,
    StepKind,
    Subquery,
    Truth,
    TypeOf,
)
from replication.query.geo import Shape
from replication.query.literals import constant, quoted

TRUE: Final = Truth("TRUEPREDICATE", True)
FALSE: Final = Truth("FALSEPREDICATE", False)

#: What an operator becomes when its operands change places.
MIRROR: Final = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
ORDERINGS: Final = frozenset({"<", "<=", ">", ">="})
STRING_OPERATORS: Final = frozenset({"BEGINSWITH", "ENDSWITH", "CONTAINS", "LIKE", "TEXT"})
#: The operators that `[c]` may follow.
FOLDABLE: Final = (STRING_OPERATORS | {"==", "!=", "IN"}) - {"TEXT"}

_WORDS: Final = """
    all and any asc ascending beginswith between contains decimal desc descending distinct endswith
    false falsepredicate geowithin in inf infinity like limit nan nil none not null obj oid or some
    sort subquery text true truepredicate uuid"""
#: Words that mean something of their own, in any case of their letters: as the name of a field
#: they are written with a backslash.
RESERVED: Final = frozenset(_WORDS.split())
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff-]*", re.ASCII)
_FIRST: Final = re.compile(r"[^A-Za-z_\x80-\U0010ffff]")
_LATER: Final = re.compile(r"[^A-Za-z0-9_$\x80-\U0010ffff-]", re.DOTALL)


def name_text(name: str) -> str:
    """A field's name as queries spell it: with backslashes where it is no plain word."""
    if _PLAIN_NAME.fullmatch(name):
        return "\\" + name if name.isascii() and name.lower() in RESERVED else name
    escaped = _LATER.sub(lambda match: "\\" + match[0], name[1:])
    return ("\\" if _FIRST.match(name) else "") + name[0] + escaped


#: How canonical text names the variable of every SUBQUERY: only the innermost one can be seen.
VARIABLE: Final = "$x"


def field(
    name: str,
    quantifier: Quantifier | None = None,
    type_name: str | None = None,
    *,
    inner: bool = False,
) -> Field:
    """The operand for a field. The name is not empty."""
    text = name_text(name)
    if inner:
        text = f"{VARIABLE}.{text}"
    if quantifier is not None:
        text = f"{quantifier.value} {text}"
    return Field(text, name, quantifier, type_name, inner)


def name_step(name: str) -> Step:
    """The step to a property of an object, or to a key of a dictionary."""
    text = f".{name}" if _PLAIN_NAME.fullmatch(name) else f"[{quoted(name)}]"
    return Step(text, StepKind.NAME, name)


def index_step(index: int) -> Step:
    """The step to an element: from 0 on; -1 is the last one."""
    return Step(f"[{'LAST' if index < 0 else index}]", StepKind.INDEX, index=index)


def links_step(class_name: str = "", property_name: str = "") -> Step:
    """The step back to what links here: the objects of a class by a property, or all."""
    text = ".@links"
    if class_name:
        text += f".{name_text(class_name)}.{name_text(property_name)}"
    return Step(text, StepKind.LINKS, class_name, property_name)


EACH: Final = Step("[*]", StepKind.EACH)
KEYS: Final = Step(".@keys", StepKind.KEYS)
VALUES: Final = Step(".@values", StepKind.VALUES)


def path(
    name: str,
    steps: tuple[Step, ...],
    quantifier: Quantifier | None = None,
    type_name: str | None = None,
    *,
    inner: bool = False,
    follows: bool = True,
    many_links: bool = False,
) -> Field | Path:
    """The operand for what steps lead to; a `Field` without any."""
    if not steps:
        return field(name, quantifier, type_name, inner=inner)
    text = name_text(name) if name else ""
    text += "".join([step.text for step in steps])
    if inner:
        text = VARIABLE + (f".{text}" if name else text)
    elif not name:
        text = text[1:]  # the dot of `.@links`
    if quantifier is not None:
        text = f"{quantifier.value} {text}"
    kinds = [step.kind for step in steps]
    follows = follows and (StepKind.NAME in kinds or StepKind.LINKS in kinds)
    return Path(text, name, steps, quantifier, type_name, inner, follows, many_links)


def with_quantifier(operand: Field | Path, quantifier: Quantifier | None) -> Field | Path:
    """The same field or path under a quantifier."""
    if not isinstance(operand, Path):
        return field(operand.name, quantifier, operand.type, inner=operand.inner)
    return path(
        operand.name,
        operand.steps,
        quantifier,
        operand.type,
        inner=operand.inner,
        follows=operand.follows,
        many_links=operand.many_links,
    )


def aggregate(function: str, operand: Field | Path) -> Aggregate:
    """The operand for ``@count`` and the like."""
    return Aggregate(f"{operand.text}.{function}", function, operand)


def count(name: str) -> Aggregate:
    """The operand for the number of elements of a field."""
    return aggregate("@count", field(name))


def type_of(operand: Field | Path) -> TypeOf:
    """The operand for ``@type``."""
    return TypeOf(f"{operand.text}.@type", operand)


def arithmetic(operator: str, left: Operand, right: Operand) -> Operand:
    """The operand for a sum, difference, product or quotient; of two constants, its value."""
    if type(left) is Constant and type(right) is Constant:
        return constant(calculate(operator, left.value, right.value))
    first, second = left.text, right.text
    if type(left) is Arithmetic and operator in "*/" and left.operator in "+-":
        first = f"({first})"
    if type(right) is Arithmetic and (operator in "*/" or right.operator in "+-"):
        second = f"({second})"
    size = 1
    for side in (left, right):
        if type(side) is Arithmetic:
            size += side.size
    return Arithmetic(f"{first} {operator} {second}", operator, left, right, size)


def subquery(operand: Field | Path, condition: Node) -> Subquery:
    """The operand for the number of objects that satisfy a condition."""
    text = f"SUBQUERY({operand.text}, {VARIABLE}, {condition.text}).@count"
    return Subquery(text, operand, condition)


def region(shape: Shape) -> Region:
    """The operand for a part of the earth."""
    return Region(shape.text, shape)


def constants(items: Iterable[Constant], *, ordered: bool) -> Constants:
    """The operand in braces; its items are sorted, once each, unless their order counts."""
    kept = list(items)
    if not ordered and len(kept) > 1:
        kept = [item for _, item in sorted({item.text: item for item in kept}.items())]
    return Constants("{" + ", ".join([item.text for item in kept]) + "}", tuple(kept))


def comparison(
    operator: str, left: Operand, right: Operand, *, fold: bool = False, position: int = 0
) -> Comparison:
    """A comparison in normal form.

    Args:
        operator: one of those of `Comparison`; for IN, ``right`` is Constants (``constant IN
            array`` is ``ANY array == constant``).
        fold: dropped where there is no string to fold.
    """
    mirror = MIRROR.get(operator)
    if mirror is not None and (
        type(left) in _CONSTANT or (type(right) not in _CONSTANT and left.text > right.text)
    ):
        operator, left, right = mirror, right, left
    fold = fold and _has_string(right)
    text = f"{left.text} {operator}{'[c]' if fold else ''} {right.text}"
    made: Comparison = _new(Comparison)
    _set_text(made, text)
    _set_operator(made, operator)
    _set_left(made, left)
    _set_right(made, right)
    _set_fold(made, fold)
    _set_position(made, position)
    return made


# Past the slow way of frozen dataclasses: every query has several of these.
_new: Final = object.__new__
_set_text: Final = Comparison.__dict__["text"].__set__
_set_operator: Final = Comparison.__dict__["operator"].__set__
_set_left: Final = Comparison.__dict__["left"].__set__
_set_right: Final = Comparison.__dict__["right"].__set__
_set_fold: Final = Comparison.__dict__["fold"].__set__
_set_position: Final = Comparison.__dict__["position"].__set__


_CONSTANT: Final = frozenset({Constant, Constants})


def _has_string(operand: Operand) -> bool:
    if type(operand) is Constant:
        return type(operand.value) is str
    if type(operand) is Constants:
        return any(type(item.value) is str for item in operand.items)
    return True


def negation(operand: Node) -> Node:
    """NOT operand."""
    if type(operand) is Not:
        return operand.operand
    if type(operand) is Truth:
        return FALSE if operand.value else TRUE
    compound = type(operand) is not Comparison
    return Not(f"NOT ({operand.text})" if compound else f"NOT {operand.text}", operand)


def all_of(operands: Iterable[Node]) -> Node:
    """operand AND operand ...; TRUEPREDICATE for none."""
    parts = _flat(operands, And, neutral=True)
    if len(parts) < 2:
        return parts[0] if parts else TRUE
    text = " AND ".join([f"({p.text})" if type(p) is Or else p.text for p in parts])
    return And(text, tuple(parts))


def any_of(operands: Iterable[Node]) -> Node:
    """operand OR operand ...; FALSEPREDICATE for none."""
    parts = _flat(operands, Or, neutral=False)
    if len(parts) < 2:
        return parts[0] if parts else FALSE
    return Or(" OR ".join([part.text for part in parts]), tuple(parts))


def _flat(operands: Iterable[Node], kind: type[And] | type[Or], *, neutral: bool) -> list[Node]:
    # Sorted, once each, with nested ones of the same kind taken in; the neutral truth is left
    # out and the other one is all that remains.
    parts: dict[str, Node] = {}
    for operand in operands:
        if isinstance(operand, kind):
            for part in operand.operands:
                parts[part.text] = part
        elif type(operand) is not Truth:
            parts[operand.text] = operand
        elif operand.value is not neutral:
            return [operand]
    return [parts[text] for text in sorted(parts)]


# -- what is done to the objects -----------------------------------------------------------------
def sort(keys: tuple[tuple[Field | Path, bool], ...]) -> Sort:
    """SORT by some paths; True for descending."""
    shown = [f"{path.text} {'DESC' if descending else 'ASC'}" for path, descending in keys]
    return Sort(f"SORT({', '.join(shown)})", keys)


def distinct(paths: tuple[Field | Path, ...]) -> Distinct:
    """DISTINCT by some paths."""
    return Distinct(f"DISTINCT({', '.join([path.text for path in paths])})", paths)


def limit(count: int) -> Limit:
    """LIMIT."""
    return Limit(f"LIMIT({count})", count)


def follow(names: tuple[str, ...], depth: int) -> Follow:
    """FOLLOW of a path, so many times."""
    text = "*" if names == ("*",) else ".".join(map(name_text, names))
    return Follow(f"FOLLOW({text}{'' if depth == 1 else f', {depth}'})", names, depth)


def branch(root: Node, modifiers: tuple[Modifier, ...] = ()) -> Branch:
    """A condition and what is done to the objects that satisfy it."""
    if not modifiers:
        return Branch(root.text, root, modifiers)
    text = " ".join([root.text, *[modifier.text for modifier in modifiers]])
    return Branch(text, root, modifiers)


def branches(found: Iterable[Branch]) -> tuple[Branch, ...]:
    """The branches of a union: the plain ones become one, which comes first. [QUERY-121]"""
    each_one = list(found)
    if len(each_one) == 1:
        return (each_one[0],)
    whole = [each for each in each_one if not each.modifiers]
    rest = {each.text: each for each in each_one if each.modifiers}
    plain = any_of([each.root for each in whole])
    parts = [rest[text] for text in sorted(rest)]
    if plain is TRUE:
        parts = [part for part in parts if any(type(each) is Follow for each in part.modifiers)]
    if plain is not FALSE or not parts:
        parts.insert(0, branch(plain))
    return tuple(parts)
