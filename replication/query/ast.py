"""The nodes of a parsed query.

Rule 1: nodes are immutable, and made only by the functions of `canonical` and `literals`, which
        normalise: two queries that differ only in spelling have equal nodes.
Rule 2: every node knows its canonical text, and that text is its identity: nodes compare and
        hash by it. What is not in the text (where it stood, what a schema said about it) does
        not make a difference.
Rule 3: an operand is whatever can stand beside an operator. New kinds of operand are new classes
        here; conditions do not change for them.
Rule 4: what stands for an object's own property is a `Field`; a `Path` goes on from there. Inside
        of SUBQUERY both begin at its variable, which the text says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from replication.model.values import Value
from replication.query.geo import Shape


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
        inner: whether it belongs to the variable of a SUBQUERY.
    """

    text: str
    name: str
    quantifier: Quantifier | None
    type: str | None = field(default=None, compare=False)
    inner: bool = field(default=False, compare=False)


class StepKind(Enum):
    """What a step of a path does."""

    #: A property of an object or embedded object, or a key of a dictionary.
    NAME = 1
    #: An element by its index; -1 for the last one.
    INDEX = 2
    #: All elements of an array or of a list in a mixed value, all values of a dictionary.
    EACH = 3
    #: The keys, and the values, of a dictionary.
    KEYS = 4
    VALUES = 5
    #: The objects of a class that link here with a property; all that link here.
    LINKS = 6


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path.

    Attributes:
        name: the property or key; of LINKS the class, empty for all of them.
        property: of LINKS, the property that links.
    """

    text: str
    kind: StepKind
    name: str = field(default="", compare=False)
    property: str = field(default="", compare=False)
    index: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Path:
    """What steps from an object lead to: one value, or many.

    Attributes:
        name: the property it begins with; empty where it begins with LINKS.
        steps: at least one.
        quantifier, type, inner: as of a `Field`.
        follows: whether it may lead to another object; a schema can say that it does not.
        many_links: whether a schema says that it leads to objects by many links.
    """

    text: str
    name: str
    steps: tuple[Step, ...] = field(compare=False)
    quantifier: Quantifier | None = field(compare=False)
    type: str | None = field(default=None, compare=False)
    inner: bool = field(default=False, compare=False)
    follows: bool = field(default=True, compare=False)
    many_links: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One value made of all elements: ``@count``, ``@sum``, ``@avg``, ``@min`` or ``@max``."""

    text: str
    function: str
    operand: Field | Path = field(compare=False)


@dataclass(frozen=True, slots=True)
class TypeOf:
    """The name of the type of a value, or of each element under a quantifier."""

    text: str
    operand: Field | Path = field(compare=False)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """``left operator right`` with one of ``+ - * /``.

    Attributes:
        size: how many operators there are in it.
    """

    text: str
    operator: str
    left: Operand = field(compare=False)
    right: Operand = field(compare=False)
    size: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Subquery:
    """How many of the objects a path leads to satisfy a condition."""

    text: str
    path: Field | Path = field(compare=False)
    condition: Node = field(compare=False)


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the surface of the earth."""

    text: str
    shape: Shape = field(compare=False)


Operand: TypeAlias = (
    Constant | Constants | Field | Path | Aggregate | TypeOf | Arithmetic | Subquery | Region
)


@dataclass(frozen=True, slots=True)
class Truth:
    """TRUEPREDICATE or FALSEPREDICATE."""

    text: str
    value: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """``left operator right``.

    Attributes:
        operator: one of ``== != < <= > >= IN BETWEEN BEGINSWITH ENDSWITH CONTAINS LIKE TEXT
            geoWithin``.
        left: a constant only where the operator has no mirror image (BEGINSWITH and its kin).
        right: `Constants` for IN and BETWEEN, and for == and != with a whole array; a `Region`
            exactly for geoWithin.
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
#: The same, to tell them from operands.
NODES: Final = (Comparison, And, Or, Not, Truth)


@dataclass(frozen=True, slots=True)
class Sort:
    """SORT: by these, the first one counts most; True for descending."""

    text: str
    keys: tuple[tuple[Field | Path, bool], ...] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Distinct:
    """DISTINCT: of objects that are alike in these, the first."""

    text: str
    paths: tuple[Field | Path, ...] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Limit:
    """LIMIT: the first ones."""

    text: str
    count: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Follow:
    """FOLLOW: also what the objects link to.

    Attributes:
        names: the properties of the path, one after the other; ``*`` for all that link.
        depth: how many times the path is followed.
    """

    text: str
    names: tuple[str, ...] = field(compare=False)
    depth: int = field(compare=False)


Modifier: TypeAlias = Sort | Distinct | Limit | Follow


@dataclass(frozen=True, slots=True)
class Branch:
    """A condition with what is done to the objects that satisfy it, in order."""

    text: str
    root: Node = field(compare=False)
    modifiers: tuple[Modifier, ...] = field(compare=False)
