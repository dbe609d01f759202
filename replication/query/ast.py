"""The nodes of a parsed query.

Rule 1: nodes are immutable, and made only by the functions of `canonical` and `literals`, which
        normalise: two queries that differ only in spelling have equal nodes.
Rule 2: every node knows its canonical text, and that text is its identity: nodes compare and
        hash by it. What is not in the text (where it stood, what a schema said about it) does
        not make a difference.
Rule 3: an operand is whatever can stand beside an operator. New kinds of operand (paths,
        aggregates, sub-queries) are new classes here; conditions do not change for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from replication.model.values import Value


class Quantifier(Enum):
    """How many elements of an array must satisfy a comparison."""

    ANY = "ANY"
    ALL = "ALL"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class Constant:
    """One value, from a literal or an argument."""

    text: str
    value: Value = field(compare=False)


@dataclass(frozen=True, slots=True)
class Constants:
    """The values in the braces of IN and BETWEEN."""

    text: str
    items: tuple[Constant, ...] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Field:
    """The value of a field, or its elements under a quantifier.

    Attributes:
        quantifier: None where none was written: an array then reads as ANY, everything else as
            one value.
        type: what a schema says, as schemas spell it; None before `Query.check`. A field that
            was checked and has no quantifier is known to hold one value.
    """

    text: str
    name: str
    quantifier: Quantifier | None
    type: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Count:
    """The number of elements of an array."""

    text: str
    name: str


Operand: TypeAlias = Constant | Constants | Field | Count


@dataclass(frozen=True, slots=True)
class Truth:
    """TRUEPREDICATE or FALSEPREDICATE."""

    text: str
    value: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """``left operator right``.

    Attributes:
        operator: one of ``== != < <= > >= IN BETWEEN BEGINSWITH ENDSWITH CONTAINS LIKE``.
        left: a constant only where the operator has no mirror image (BEGINSWITH and its kin).
        right: `Constants` exactly for IN and BETWEEN.
        fold: whether strings are compared without regard to case.
        position: where it starts in the text it was parsed from.
    """

    text: str
    operator: str
    left: Operand = field(compare=False)
    right: Operand = field(compare=False)
    fold: bool = field(compare=False)
    position: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """The operand, a comparison or a compound, does not hold."""

    text: str
    operand: Node = field(compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """All operands hold: two or more, none of them an And, sorted by text."""

    text: str
    operands: tuple[Node, ...] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Or:
    """At least one operand holds: two or more, none of them an Or, sorted by text."""

    text: str
    operands: tuple[Node, ...] = field(compare=False)


Node: TypeAlias = Truth | Comparison | Not | And | Or
