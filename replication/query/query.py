"""`Query`: what every other room handles: a query as text, as nodes, and as a test.

`Query.check` puts a query beside a schema. It refuses what can't be meant (an unknown field, a
field that can't be queried, a comparison that could never hold), and returns the query as that
schema reads it; use what it returns. `union` is how the subscriptions of one class become one
view.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from replication.errors import QueryError
from replication.limits import QUERY_BYTES_MAX
from replication.query.ast import And, Comparison, Count, Field, Node, Not, Or
from replication.query.canonical import any_of
from replication.query.check import checked
from replication.query.evaluate import Get, Test, compile_test


@dataclass(frozen=True, slots=True)
class Query:
    """A condition on objects of one class. Queries with equal canonical text are equal.

    However it was made, its text is within QUERY_BYTES_MAX, or making it raises QueryError.

    Attributes:
        root: the condition in normal form.
        text: its canonical text; parsing it gives an equal query.
        fields: the names of all fields it reads.
    """

    root: Node = field(repr=False)
    _test: Test | None = field(default=None, init=False, repr=False, compare=False)
    _names: frozenset[str] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        text = self.root.text
        # A character is four bytes at most: most texts need no counting.
        if len(text) > QUERY_BYTES_MAX // 4 and len(text.encode()) > QUERY_BYTES_MAX:
            raise QueryError(f"in canonical form the query has more than {QUERY_BYTES_MAX} bytes")

    @property
    def text(self) -> str:
        return self.root.text

    @property
    def fields(self) -> frozenset[str]:
        names = self._names
        if names is None:
            names = frozenset(_fields(self.root))
            object.__setattr__(self, "_names", names)
        return names

    @property
    def is_local(self) -> bool:
        """Whether it depends on the fields of the object alone, and on no other object.

        What does not (a condition behind a link, a window of the first n) can't be decided from
        one image of one object.
        """
        return True  # every query of the language, so far

    def matches(self, get: Get) -> bool:
        """Whether the query holds for an object.

        Args:
            get: gives the value of a field by name: None for null or absent, a list for a list
                or set.
        """
        test = self._test
        if test is None:
            test = compile_test(self.root)
            object.__setattr__(self, "_test", test)
        return test(get)

    def check(self, field_types: Mapping[str, str]) -> Query:
        """The query as a schema reads it: number literals take the types of their fields.

        Args:
            field_types: the type of each field that can be queried, as schemas spell it:
                ``"int"``, ``"string?"``, ``"list<double>"``, ``"link:Person"``. The primary key
                is one of them.

        Raises:
            QueryError: naming the field and the reason: an unknown field, a type that can't be
                queried, a comparison that can never hold.
        """
        root = checked(self.root, field_types)
        return self if root is self.root else Query(root)

    def __str__(self) -> str:
        return self.root.text


def union(queries: Iterable[Query]) -> Query:
    """The query that holds where at least one of them does; for none, FALSEPREDICATE.

    Raises:
        QueryError: together they are longer than QUERY_BYTES_MAX.
    """
    return Query(any_of(query.root for query in queries))


def _fields(node: Node) -> Iterable[str]:
    if isinstance(node, And | Or):
        for operand in node.operands:
            yield from _fields(operand)
    elif isinstance(node, Not):
        yield from _fields(node.operand)
    elif isinstance(node, Comparison):
        for side in (node.left, node.right):
            if isinstance(side, Field | Count):
                yield side.name
