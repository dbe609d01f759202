"""`Query`: what every other room handles: a query as text, as nodes, and as a test.

`Query.check` puts a query beside a schema. It refuses what can't be meant (an unknown field, a
field that can't be queried, a comparison that could never hold), and returns the query as that
schema reads it; use what it returns. `union` is how the subscriptions of one class become one
view.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from replication.errors import QueryError
from replication.limits import QUERY_BYTES_MAX
from replication.model.schema import Schema
from replication.query.ast import (
    Aggregate,
    And,
    Arithmetic,
    Branch,
    Comparison,
    Distinct,
    Field,
    Follow,
    Modifier,
    Node,
    Not,
    Operand,
    Or,
    Path,
    Sort,
    Subquery,
    TypeOf,
)
from replication.query.canonical import all_of, any_of, branch, branches
from replication.query.check import checked
from replication.query.evaluate import Test, compile_test, holds
from replication.query.paths import Get


@lru_cache(maxsize=1024)
def _shared(names: frozenset[str]) -> frozenset[str]:
    """The same, once for the very many queries that ask for the same fields."""
    return names


@dataclass(frozen=True, slots=True)
class Query:
    """Conditions on objects of one class, and what is done to the objects that satisfy them.

    Queries with equal canonical text are equal. However it was made, its text is within
    QUERY_BYTES_MAX, or making it raises QueryError.

    Attributes:
        branches: what UNION joins; one for most queries. In normal form.
        root: the condition of the first branch.
        text: its canonical text; parsing it gives an equal query.
        fields: the names of all fields of the object itself that it reads.
    """

    branches: tuple[Branch, ...] = field(repr=False)
    text: str = field(init=False)
    _test: Test | None = field(default=None, init=False, repr=False, compare=False)
    _names: frozenset[str] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        branches = self.branches
        text = branches[0].text
        if len(branches) > 1:
            text = " UNION ".join([part.text for part in branches])
        object.__setattr__(self, "text", text)
        # A character is four bytes at most: most texts need no counting.
        if len(text) > QUERY_BYTES_MAX // 4 and len(text.encode()) > QUERY_BYTES_MAX:
            raise QueryError(f"in canonical form the query has more than {QUERY_BYTES_MAX} bytes")

    @classmethod
    def of(cls, root: Node) -> Query:
        """The query of one condition."""
        return cls((branch(root),))

    @property
    def root(self) -> Node:
        return self.branches[0].root

    @property
    def modifiers(self) -> tuple[Modifier, ...]:
        """What is done to the objects of the first branch, in order."""
        return self.branches[0].modifiers

    @property
    def fields(self) -> frozenset[str]:
        names = self._names
        if names is None:
            names = _shared(frozenset(name for part in self.branches for name in _names_of(part)))
            object.__setattr__(self, "_names", names)
        return names

    @property
    def columns(self) -> frozenset[str]:
        """The names of the fields that a column of their own serves: not those of paths."""
        operands = (each for part in self.branches for each in operands_of(part))
        return frozenset(each.name for each in operands if isinstance(each, Field))

    @property
    def lists(self) -> frozenset[str]:
        """Those of `columns` that may hold lists, as far as a schema has said."""
        operands = (each for part in self.branches for each in operands_of(part))
        return frozenset(
            each.name
            for each in operands
            if isinstance(each, Field) and (each.type is None or each.type.startswith("list"))
        )

    @property
    def links(self) -> frozenset[str]:
        """The names of the fields that begin its paths over links."""
        operands = (each for part in self.branches for each in operands_of(part))
        return frozenset(each.name for each in operands if isinstance(each, Path) and each.follows)

    @property
    def is_local(self) -> bool:
        """Whether it depends on the fields of the object alone, and on no other object.

        What does not (a condition behind a link, a window of the first n) can't be decided from
        one image of one object. Before `check` a path of names may be one over links.
        """
        if len(self.branches) > 1 or self.branches[0].modifiers:
            return False
        return not self.reaches

    @property
    def reaches(self) -> bool:
        """Whether a condition or a modifier may look at other objects."""
        operands = (each for part in self.branches for each in operands_of(part))
        return any(_reaches(each) for each in operands)

    def parted(self) -> tuple[Query | None, tuple[Branch, ...]]:
        """The part that one object alone decides, if any, and the branches that it does not."""
        if self.is_local:
            return self, ()
        plain = [part for part in self.branches if Query((part,)).is_local]
        rest = tuple(part for part in self.branches if part not in plain)
        return Query(tuple(plain)) if plain else None, rest

    def narrowed(self, by: Query) -> Query:
        """The same query, of the objects for which a condition of another one holds as well."""
        also = any_of([part.root for part in by.branches])
        return Query(
            branches(branch(all_of([part.root, also]), part.modifiers) for part in self.branches)
        )

    @property
    def test(self) -> Test:
        """What `evaluate.holds` needs to tell whether a condition of the query holds."""
        test = self._test
        if test is None:
            test = compile_test(any_of([part.root for part in self.branches]))
            object.__setattr__(self, "_test", test)
        return test

    def matches(self, get: Get) -> bool:
        """Whether a condition of the query holds for an object; modifiers are not looked at.

        Args:
            get: gives the value of a field by name: None for null or absent, a list for a list
                or set. Where links are to be followed, a `paths.Source`.

        Raises:
            QueryError: it would follow more than QUERY_FOLLOWED_MAX links.
        """
        return holds(self.test, get)

    def check(self, field_types: Mapping[str, str], schema: Schema | None = None) -> Query:
        """The query as a schema reads it: number literals take the types of their fields.

        Args:
            schema: the classes that links and embedded objects lead to; what a path leads to in a
                class that is not there is not checked.
            field_types: the type of each field that can be queried, as schemas spell it:
                ``"int"``, ``"string?"``, ``"list<double>"``, ``"link:Person"``. The primary key
                is one of them.

        Raises:
            QueryError: naming the field and the reason: an unknown field, a type that can't be
                queried, a comparison that can never hold.
        """
        found = [checked(part, field_types, schema) for part in self.branches]
        return Query(branches(found))

    def __str__(self) -> str:
        return self.text


def union(queries: Iterable[Query]) -> Query:
    """The query that holds where at least one of them does; for none, FALSEPREDICATE.

    Raises:
        QueryError: together they are longer than QUERY_BYTES_MAX.
    """
    return Query(branches(each for query in queries for each in query.branches))


def operands_of(part: Branch) -> Iterator[Operand]:
    """What a branch reads of an object: fields, paths, sub-queries, wherever they stand."""
    yield from operands_in(part.root)
    for modifier in part.modifiers:
        if isinstance(modifier, Sort):
            yield from (path for path, _ in modifier.keys)
        elif isinstance(modifier, Distinct):
            yield from modifier.paths


def operands_in(node: Node) -> Iterator[Operand]:
    """The same of a condition."""
    stack: list[Node | Operand] = [node]
    while stack:
        each = stack.pop()
        if isinstance(each, And | Or):
            stack.extend(each.operands)
        elif isinstance(each, Not):
            stack.append(each.operand)
        elif isinstance(each, Comparison | Arithmetic):
            stack += [each.left, each.right]
        elif isinstance(each, Aggregate | TypeOf):
            stack.append(each.operand)
        elif isinstance(each, Field | Path | Subquery):
            yield each


def _names_of(part: Branch) -> Iterator[str]:
    for each in operands_of(part):
        name = each.path.name if isinstance(each, Subquery) else getattr(each, "name", "")
        if name:
            yield name
    for modifier in part.modifiers:
        if isinstance(modifier, Follow) and modifier.names[0] != "*":
            yield modifier.names[0]


def _reaches(operand: Operand) -> bool:
    if isinstance(operand, Path):
        return operand.follows
    if isinstance(operand, Subquery):
        inside = "embedded:" in (operand.path.type or "") and not _reaches(operand.path)
        return not inside or any(map(_reaches, operands_in(operand.condition)))
    return False
