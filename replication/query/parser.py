r"""From the text of a query to its nodes: one regular expression and a recursive descent.

Rule 1: parsing is total: any text gives a Query or a QueryError, which names the offending token
        and its position (0-based, in characters).
Rule 2: it is bounded: the text by QUERY_BYTES_MAX, parentheses by QUERY_DEPTH_MAX, lists by
        QUERY_LIST_MAX; and so is the canonical text, arguments included. [QUERY-2] ... [QUERY-5]
Rule 3: NOT binds tighter than AND, AND tighter than OR. [QUERY-7]
Rule 4: a word is a keyword only where a keyword can stand: `contains == 1` compares a field.
        A backslash makes the next character an ordinary one: `\null`, `first\ name`. [QUERY-9]
        [QUERY-10]
Rule 5: what a parenthesis holds shows at its end: an operand, if no operator has come until then.
        So nothing is read twice.

`spec/query.md` has the grammar.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Sequence
from typing import Final, TypeAlias

from replication.errors import QueryError
from replication.limits import QUERY_BYTES_MAX
from replication.model.values import Value
from replication.query import canonical, kinds, literals
from replication.query.ast import (
    NODES,
    Branch,
    Comparison,
    Constant,
    Constants,
    Field,
    Node,
    Operand,
    Path,
    Quantifier,
    Region,
    TypeOf,
)
from replication.query.geo import Shape
from replication.query.modifiers import ModifierReader
from replication.query.operands import ARITHMETIC, COMPARISONS, CONTINUES
from replication.query.query import Query
from replication.query.reading import is_list

#: What a write would take for a value, and a region.
Argument: TypeAlias = Value | datetime.datetime | decimal.Decimal | Shape

_TRUTHS: Final = {"TRUEPREDICATE": canonical.TRUE, "FALSEPREDICATE": canonical.FALSE}
#: What follows an operand in parentheses.
_GOES_ON: Final = COMPARISONS | ARITHMETIC | {"signed"}
_PLAIN: Final = frozenset({"==", "!=", "<", "<=", ">", ">="})
_WHOLE: Final = frozenset({"==", "!="})


def parse(text: str, *args: Argument | Sequence[Argument]) -> Query:
    """The query that a text says.

    Args:
        text: at most QUERY_BYTES_MAX bytes of UTF-8.
        args: what ``$0``, ``$1``, ... stand for: values, regions, or lists of values.

    Raises:
        QueryError: the text is no query, or an argument is missing or can't stand where it does.
    """
    _check_size(text)
    return Query(_Parser(text, args).branches())


def _check_size(text: str) -> None:
    if len(text) > QUERY_BYTES_MAX:
        size = len(text)
    elif text.isascii():
        return
    else:
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise QueryError(
                f"{text[error.start]!r} is half of a surrogate pair", error.start
            ) from None
    if size > QUERY_BYTES_MAX:
        raise QueryError(f"a query of {size} bytes; at most {QUERY_BYTES_MAX} are allowed")


class _Parser(ModifierReader):
    __slots__ = ()

    def branches(self) -> tuple[Branch, ...]:
        found = [self._branch()]
        while self.is_word("UNION"):
            self.index += 1
            found.append(self._branch())
        if self.tokens[self.index].kind != "end":
            self.fail("AND, OR or the end of the query")
        return canonical.branches(found)

    def _branch(self) -> Branch:
        root = self.condition()
        if self.tokens[self.index].kind != "word":
            return canonical.branch(root)
        return canonical.branch(root, self.modifiers())

    def condition(self) -> Node:
        node = self._condition(bare=False)
        assert isinstance(node, NODES)
        return node

    def _condition(self, *, bare: bool) -> Node | Operand:
        # Both precedences in one function: few Python frames a parenthesis.
        tokens = self.tokens
        alternatives: list[Node] = []
        while True:
            first = self._term(bare=bare and not alternatives)
            if not isinstance(first, NODES):
                return first
            conditions = [first]
            while tokens[self.index].kind == "AND":
                self.index += 1
                conditions.append(self._condition_term())
            alternatives.append(
                conditions[0] if len(conditions) == 1 else canonical.all_of(conditions)
            )
            if tokens[self.index].kind != "OR":
                break
            self.index += 1
        return alternatives[0] if len(alternatives) == 1 else canonical.any_of(alternatives)

    def _condition_term(self) -> Node:
        node = self._term(bare=False)
        assert isinstance(node, NODES)
        return node

    def _term(self, *, bare: bool) -> Node | Operand:
        tokens = self.tokens
        negated = False
        while tokens[self.index].kind == "NOT" and not self.is_compared():
            negated = not negated
            bare = False
            self.index += 1
        kind = tokens[self.index].kind
        node: Node | Operand
        if kind == "(":
            node = self._group(bare=bare)
        elif kind in _TRUTHS and not self.is_compared():
            node = _TRUTHS[kind]
            self.index += 1
        else:
            node = self._comparison(self.index, self.operand(), bare=bare)
        if negated:
            assert isinstance(node, NODES)
            return canonical.negation(node)
        return node

    def _group(self, *, bare: bool) -> Node | Operand:
        """Read a condition in parentheses, or what begins with an operand in them. Rule 5."""
        start = self.index
        self.deeper()
        self.index += 1
        inner = self._condition(bare=True)
        self.expect(")")
        self.depth -= 1
        if isinstance(inner, NODES):
            return inner
        return self._comparison(start, self.sum(self.product(inner)), bare=bare)

    # -- comparisons -----------------------------------------------------------------------
    def _comparison(self, start: int, left: Operand, *, bare: bool) -> Comparison | Operand:
        at = self.index
        operator = self.tokens[at].kind
        if operator not in COMPARISONS:
            if bare and operator == ")":
                return left
            self.fail("a comparison operator")
        self.index = at + 1
        if operator in _PLAIN and type(left) is Field and left.quantifier is None:
            following = self.tokens[at + 1]  # most comparisons are one of a field and a constant
            if following.constant is not None and self.tokens[at + 2].kind not in CONTINUES:
                self.index = at + 2
                position = self.ends[start] - len(self.tokens[start].text)
                return canonical.comparison(operator, left, following.constant, position=position)
        fold = self.tokens[at + 1].kind == "fold"
        if fold:
            self._check_fold(operator)
        right: Operand
        if operator == "IN":
            left, operator, right = self._membership(left)
        elif operator == "BETWEEN":
            right = self.constants("BETWEEN", 2, ordered=True)
        elif operator == "geoWithin":
            right = self._region(left, start)
        elif operator in _WHOLE and self._is_list_next():
            right = self._whole(operator, left, start)
        else:
            right_start = self.index
            right = self.operand()
            if operator in canonical.STRING_OPERATORS:
                self.check_string(at, left, start)
                self.check_string(at, right, right_start)
        if type(left) is not Field or left.quantifier is not None:
            self._check_sides(at, left, right)
        if type(left) is TypeOf or type(right) is TypeOf:
            left, right = self._tags(at, operator, left, right)
        position = self.ends[start] - len(self.tokens[start].text)
        return canonical.comparison(operator, left, right, fold=fold, position=position)

    def _check_fold(self, operator: str) -> None:
        if operator not in canonical.FOLDABLE:
            self.fail(f"an operand ('[c]' has no meaning after {operator!r})")
        self.index += 1

    def _check_sides(self, at: int, left: Operand, right: Operand) -> None:
        if isinstance(left, Constant | Constants) and isinstance(right, Constant | Constants):
            self.refuse(f"{self.tokens[at].text!r} compares two constants; name a field", at)
        if quantifier_of(left) is not None and quantifier_of(right) is not None:
            message = f"{self.tokens[at].text!r} compares two arrays; one side must be one value"
            self.refuse(message, at)

    def _is_list_next(self) -> bool:
        token = self.tokens[self.index]
        return token.kind == "{" or (token.kind == "argument" and is_list(self.argument()))

    def _membership(self, left: Operand) -> tuple[Operand, str, Operand]:
        # `IN {..}`, `IN $list`, or `IN array`, which is the mirror of `ANY array ==`.
        if self._is_list_next():
            return left, "IN", self.constants("IN", None, ordered=False)
        start = self.index
        right = self.operand()
        if not isinstance(right, Field | Path):
            shown_text = literals.clipped(right.text)
            self.refuse(f"IN needs a list in braces or an array field, found {shown_text}", start)
        return left, "==", canonical.with_quantifier(right, right.quantifier or Quantifier.ANY)

    def _whole(self, operator: str, left: Operand, start: int) -> Constants:
        """Read the list that a whole array is compared with."""
        if not isinstance(left, Field | Path):
            self.refuse(
                f"{operator} {{...}} needs an array, not {literals.clipped(left.text)}", start
            )
        if left.quantifier is not None:
            message = f"{left.quantifier.value} and {operator} {{...}} don't go together; use IN"
            self.refuse(message, start)
        return self.constants(operator, None, ordered=True)

    def _region(self, left: Operand, start: int) -> Region:
        if not isinstance(left, Field | Path):
            self.refuse(f"geoWithin needs a field, not {literals.clipped(left.text)}", start)
        return self.region()

    def _tags(
        self, at: int, operator: str, left: Operand, right: Operand
    ) -> tuple[Operand, Operand]:
        """Both sides, with the names of types as canonical text has them."""
        if operator not in ("==", "!=", "IN"):
            self.refuse(f"@type is compared with ==, != and IN, not {self.tokens[at].text}", at)
        sides = []
        for side in (left, right):
            if isinstance(side, Constant | Constants):
                try:
                    side = kinds.tags(side)
                except QueryError as error:
                    self.refuse(str(error), at)
            elif not isinstance(side, TypeOf):
                self.refuse(f"@type never equals {literals.clipped(side.text)}", at)
            sides.append(side)
        return sides[0], sides[1]


def quantifier_of(operand: Operand) -> Quantifier | None:
    """The quantifier that is written before an operand."""
    if isinstance(operand, TypeOf):
        operand = operand.operand
    return operand.quantifier if isinstance(operand, Field | Path) else None
