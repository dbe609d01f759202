r"""From the text of a query to its nodes: one regular expression and a recursive descent.

Rule 1: parsing is total: any text gives a Query or a QueryError, which names the offending token
        and its position (0-based, in characters).
Rule 2: it is bounded: the text by QUERY_BYTES_MAX, parentheses by QUERY_DEPTH_MAX, lists by
        QUERY_LIST_MAX; and so is the canonical text, arguments included. [QUERY-2] ... [QUERY-5]
Rule 3: NOT binds tighter than AND, AND tighter than OR. [QUERY-7]
Rule 4: a word is a keyword only where a keyword can stand: `contains == 1` compares a field.
        A backslash makes the next character an ordinary one: `\null`, `first\ name`. [QUERY-9]
        [QUERY-10]

`spec/query.md` has the grammar.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final, NoReturn, TypeAlias

from replication.errors import QueryError, WrongTypeError
from replication.limits import QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_LIST_MAX
from replication.model.check import convert, shown
from replication.model.encoding import is_key
from replication.model.values import Link, Value
from replication.query import canonical, literals
from replication.query.ast import (
    Comparison,
    Constant,
    Constants,
    Count,
    Field,
    Node,
    Operand,
    Quantifier,
)
from replication.query.lexer import lexemes, tokens
from replication.query.query import Query

#: What a write would take for a value.
Argument: TypeAlias = Value | datetime.datetime | decimal.Decimal

_COMPARISONS: Final = frozenset(
    {"==", "!=", "<", "<=", ">", ">=", "IN", "BETWEEN"} | canonical.STRING_OPERATORS
)
_TRUTHS: Final = {"TRUEPREDICATE": canonical.TRUE, "FALSEPREDICATE": canonical.FALSE}
_QUANTIFIERS: Final = {quantifier.value: quantifier for quantifier in Quantifier}


def parse(text: str, *args: Argument | Sequence[Argument]) -> Query:
    """The query that a text says.

    Args:
        text: at most QUERY_BYTES_MAX bytes of UTF-8.
        args: what ``$0``, ``$1``, ... stand for: values, or lists of them for IN and BETWEEN.

    Raises:
        QueryError: the text is no query, or an argument is missing or can't stand where it does.
    """
    _check_size(text)
    return Query(_Parser(text, args).query())


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


class _Parser:
    __slots__ = ("args", "depth", "ends", "index", "tokens")

    def __init__(self, text: str, args: Sequence[Any]) -> None:
        pieces = lexemes(text)
        self.tokens = tokens(pieces)
        self.ends = list(accumulate(map(len, pieces)))
        self.args = args
        self.index = 0
        self.depth = 0

    def query(self) -> Node:
        root = self._condition()
        if self.tokens[self.index].kind != "end":
            self._fail("AND, OR or the end of the query")
        return root

    def _condition(self) -> Node:
        # Both precedences in one function: two Python frames a parenthesis, not three.
        tokens = self.tokens
        alternatives = []
        while True:
            conditions = [self._term()]
            while tokens[self.index].kind == "AND":
                self.index += 1
                conditions.append(self._term())
            alternatives.append(
                conditions[0] if len(conditions) == 1 else canonical.all_of(conditions)
            )
            if tokens[self.index].kind != "OR":
                break
            self.index += 1
        return alternatives[0] if len(alternatives) == 1 else canonical.any_of(alternatives)

    def _term(self) -> Node:
        tokens = self.tokens
        negated = False
        while tokens[self.index].kind == "NOT" and not self._is_compared():
            negated = not negated
            self.index += 1
        kind = tokens[self.index].kind
        node: Node
        if kind == "(":
            node = self._parenthesis()
        elif kind in _TRUTHS and not self._is_compared():
            node = _TRUTHS[kind]
            self.index += 1
        else:
            node = self._comparison()
        return canonical.negation(node) if negated else node

    def _parenthesis(self) -> Node:
        self.depth += 1
        if self.depth > QUERY_DEPTH_MAX:
            position = self._position()
            raise QueryError(f"'(' is nested deeper than {QUERY_DEPTH_MAX}", position)
        self.index += 1
        node = self._condition()
        self._expect(")")
        self.depth -= 1
        return node

    # -- comparisons -----------------------------------------------------------------------
    def _comparison(self) -> Comparison:
        start = self.index
        left = self._operand()
        at = self.index
        operator = self.tokens[at].kind
        if operator not in _COMPARISONS:
            self._fail("a comparison operator")
        self.index = at + 1
        fold = self.tokens[at + 1].kind == "fold"
        if fold:
            self._check_fold(operator)
        right: Operand
        if operator == "IN":
            left, operator, right = self._membership(left)
        elif operator == "BETWEEN":
            right = self._list("BETWEEN", 2)
        else:
            right_start = self.index
            right = self._operand()
            if operator in canonical.STRING_OPERATORS:
                self._check_string(at, left, start)
                self._check_string(at, right, right_start)
        if type(left) is not Field or left.quantifier is not None:
            self._check_sides(at, left, right)
        position = self.ends[start] - len(self.tokens[start].text)
        return canonical.comparison(operator, left, right, fold=fold, position=position)

    def _check_fold(self, operator: str) -> None:
        if operator not in canonical.FOLDABLE:
            self._fail(f"an operand ('[c]' has no meaning after {operator!r})")
        self.index += 1

    def _check_string(self, at: int, operand: Operand, start: int) -> None:
        if type(operand) is Constant and type(operand.value) is not str:
            message = (
                f"{self.tokens[at].text} needs a string, found {literals.clipped(operand.text)}"
            )
            raise QueryError(message, self._position(start))

    def _check_sides(self, at: int, left: Operand, right: Operand) -> None:
        if type(left) is not Field:
            if type(left) is Constant and type(right) in (Constant, Constants):
                message = f"{self.tokens[at].text!r} compares two constants; name a field"
                raise QueryError(message, self._position(at))
        elif left.quantifier is not None and type(right) is Field and right.quantifier is not None:
            message = f"{self.tokens[at].text!r} compares two arrays; one side must be one value"
            raise QueryError(message, self._position(at))

    def _membership(self, left: Operand) -> tuple[Operand, str, Operand]:
        # `IN {..}`, `IN $list`, or `IN array`, which is the mirror of `ANY array ==`.
        kind = self.tokens[self.index].kind
        if kind == "{" or (kind == "argument" and _is_list(self._argument())):
            return left, "IN", self._list("IN", None)
        position = self._position()
        right = self._operand()
        if type(right) is not Field:
            shown_text = literals.clipped(right.text)
            message = f"IN needs a list in braces or an array field, found {shown_text}"
            raise QueryError(message, position)
        return left, "==", canonical.field(right.name, right.quantifier or Quantifier.ANY)

    def _list(self, operator: str, length: int | None) -> Constants:
        start = self.index
        if self.tokens[start].kind == "argument" and _is_list(values := self._argument()):
            if len(values) > QUERY_LIST_MAX:
                self._fail_list(start)
            items = [self._argument_constant(value) for value in values]
            self.index += 1
        else:
            items = self._braces(operator)
        if length is not None and len(items) != length:
            message = f"{operator} needs exactly {length} values, found {len(items)}"
            raise QueryError(message, self._position(start))
        return canonical.constants(items, ordered=length is not None)

    def _braces(self, operator: str) -> list[Constant]:
        start = self.index
        if self.tokens[start].kind != "{":
            self._fail(f"'{{' after {operator}")
        self.index += 1
        items: list[Constant] = []
        if self.tokens[self.index].kind != "}":
            items.append(self._constant())
            while self.tokens[self.index].kind == ",":
                self.index += 1
                items.append(self._constant())
                if len(items) > QUERY_LIST_MAX:
                    self._fail_list(start)
        self._expect("}")
        return items

    # -- operands --------------------------------------------------------------------------
    def _operand(self) -> Operand:
        found = self.tokens[self.index]
        if found.constant is not None:
            self.index += 1
            return found.constant
        if found.field is None:
            return self._constant()
        following = self.tokens[self.index + 1]
        if found.kind == "word" and following.kind in _COMPARISONS:
            self.index += 1
            return found.field
        if found.text == "obj" and following.kind == "(":
            return self._link()
        quantifier = _QUANTIFIERS.get(found.kind)
        if quantifier is None or following.field is None or self._is_compared():
            return self._field(None)
        self.index += 1
        return self._field(quantifier)

    def _is_compared(self) -> bool:
        # Whether a keyword is a field's name after all: it is one, and an operator follows.
        following = self.tokens[self.index + 1].kind if self.tokens[self.index].field else ""
        return following in _COMPARISONS or following == "aggregate"

    def _field(self, quantifier: Quantifier | None) -> Field | Count:
        found = self.tokens[self.index].field
        assert found is not None
        self.index += 1
        aggregate = self.tokens[self.index]
        if aggregate.kind != "aggregate":
            return found if quantifier is None else canonical.field(found.name, quantifier)
        if aggregate.text.lower() not in (".@count", ".@size"):
            self._fail("'.@count' or '.@size'")
        if quantifier is not None:
            message = f"{quantifier.value} and {aggregate.text!r} don't go together"
            raise QueryError(message, self._position())
        self.index += 1
        return canonical.count(found.name)

    def _constant(self) -> Constant:
        kind, text, _, constant, problem = self.tokens[self.index]
        if constant is None:
            if kind == "argument":
                value = self._argument()
                if _is_list(value):
                    message = f"{text} is a list; a list stands only after IN and BETWEEN"
                    raise QueryError(message, self._position())
                constant = self._argument_constant(value)
            elif text == "obj":
                return self._link()
            elif kind == "invalid":
                raise QueryError(problem, self._position())
            elif kind == "{":
                message = "'{': a list stands only after IN and BETWEEN"
                raise QueryError(message, self._position())
            else:
                self._fail("a field or a value")
        self.index += 1
        return constant

    def _link(self) -> Constant:
        start = self.index
        self.index += 1
        self._expect("(")
        class_name, key = self._constant().value, None
        if self.tokens[self.index].kind == ",":
            self.index += 1
            key = self._constant().value
        self._expect(")")
        if type(class_name) is not str or not is_key(key):
            raise QueryError(
                "obj(...) needs the name of a class and a key: an int, string, oid or uuid",
                self._position(start),
            )
        return literals.constant(Link(class_name, key))  # type: ignore[arg-type]

    def _argument(self) -> Any:
        text = self.tokens[self.index].text
        # More digits than this name no argument, however many there are.
        number = int(text[1:]) if len(text) < 10 else len(self.args)
        if number >= len(self.args):
            given = f"{len(self.args)} were given"
            raise QueryError(f"{text} has no argument; {given}", self._position())
        return self.args[number]

    def _argument_constant(self, value: object) -> Constant:
        try:
            return literals.constant(None if value is None else convert("mixed", value))
        except (WrongTypeError, QueryError) as error:
            message = f"{self.tokens[self.index].text} is {shown(value)}: {error}"
            raise QueryError(message, self._position()) from None

    # -- tokens ----------------------------------------------------------------------------
    def _position(self, index: int | None = None) -> int:
        index = self.index if index is None else index
        return self.ends[index] - len(self.tokens[index].text)

    def _expect(self, kind: str) -> None:
        if self.tokens[self.index].kind != kind:
            self._fail(repr(kind))
        self.index += 1

    def _fail_list(self, start: int) -> NoReturn:
        raise QueryError(f"a list of more than {QUERY_LIST_MAX} values", self._position(start))

    def _fail(self, expected: str) -> NoReturn:
        kind, text, *_ = self.tokens[self.index]
        if kind == "bad" and text in ("'", '"'):
            message = f"the string that begins with {text} has no end"
        elif kind == "end":
            message = f"expected {expected}, found the end of the query"
        else:
            message = f"expected {expected}, found {literals.clipped(text)!r}"
        raise QueryError(message, self._position())


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)
