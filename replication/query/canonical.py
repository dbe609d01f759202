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

from replication.query.ast import (
    And,
    Comparison,
    Constant,
    Constants,
    Count,
    Field,
    Node,
    Not,
    Operand,
    Or,
    Quantifier,
    Truth,
)

TRUE: Final = Truth("TRUEPREDICATE", True)
FALSE: Final = Truth("FALSEPREDICATE", False)

#: What an operator becomes when its operands change places.
MIRROR: Final = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
ORDERINGS: Final = frozenset({"<", "<=", ">", ">="})
STRING_OPERATORS: Final = frozenset({"BEGINSWITH", "ENDSWITH", "CONTAINS", "LIKE"})
#: The operators that `[c]` may follow.
FOLDABLE: Final = STRING_OPERATORS | {"==", "!=", "IN"}

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


def field(name: str, quantifier: Quantifier | None = None, type_name: str | None = None) -> Field:
    """The operand for a field. The name is not empty."""
    text = name_text(name)
    if quantifier is not None:
        text = f"{quantifier.value} {text}"
    return Field(text, name, quantifier, type_name)


def count(name: str) -> Count:
    """The operand for the number of elements of a field."""
    return Count(f"{name_text(name)}.@count", name)


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
        type(left) is Constant or (type(right) is not Constant and left.text > right.text)
    ):
        operator, left, right = mirror, right, left
    if fold and _has_string(right):
        text = f"{left.text} {operator}[c] {right.text}"
        return Comparison(text, operator, left, right, True, position)
    text = f"{left.text} {operator} {right.text}"
    return Comparison(text, operator, left, right, False, position)


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
