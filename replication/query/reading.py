"""Where a parser stands in a text, its arguments, and how it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NoReturn

from replication.errors import QueryError, WrongTypeError
from replication.limits import QUERY_DEPTH_MAX
from replication.model.check import convert, shown
from replication.query import literals
from replication.query.ast import Constant
from replication.query.lexer import lexemes, tokens


class Reading:
    """The tokens of a text and the one that comes next."""

    __slots__ = ("args", "depth", "ends", "index", "tokens")

    def __init__(self, text: str, args: Sequence[Any]) -> None:
        pieces = lexemes(text)
        self.tokens = tokens(pieces)
        self.ends = list(accumulate(map(len, pieces)))
        self.args = args
        self.index = 0
        self.depth = 0

    def position(self, index: int | None = None) -> int:
        """Where a token begins; the next one unless another is named."""
        index = self.index if index is None else index
        return self.ends[index] - len(self.tokens[index].text)

    def expect(self, kind: str) -> None:
        """Pass over a token of a kind, or refuse the one that is there."""
        if self.tokens[self.index].kind != kind:
            self.fail(repr(kind))
        self.index += 1

    def deeper(self) -> None:
        """Go into a parenthesis."""
        self.depth += 1
        if self.depth > QUERY_DEPTH_MAX:
            raise QueryError(f"'(' is nested deeper than {QUERY_DEPTH_MAX}", self.position())

    def is_word(self, word: str) -> bool:
        """Whether the next token is a word, in any case of its letters."""
        token = self.tokens[self.index]
        return token.kind == "word" and token.text.isascii() and token.text.upper() == word

    def fail(self, expected: str) -> NoReturn:
        """Refuse the next token."""
        kind, text, *_ = self.tokens[self.index]
        if kind == "bad" and text in ("'", '"'):
            message = f"the string that begins with {text} has no end"
        elif kind == "invalid":
            message = self.tokens[self.index].problem
        elif kind == "end":
            message = f"expected {expected}, found the end of the query"
        else:
            message = f"expected {expected}, found {literals.clipped(text)!r}"
        raise QueryError(message, self.position())

    def refuse(self, message: str, index: int | None = None) -> NoReturn:
        """Refuse what begins at a token."""
        raise QueryError(message, self.position(index))

    # -- arguments -------------------------------------------------------------------------
    def argument(self) -> Any:
        """What stands for ``$0`` and the like."""
        text = self.tokens[self.index].text
        # More digits than this name no argument, however many there are.
        number = int(text[1:]) if len(text) < 10 else len(self.args)
        if number >= len(self.args):
            self.refuse(f"{text} has no argument; {len(self.args)} were given")
        return self.args[number]

    def argument_constant(self, value: object) -> Constant:
        """The constant for an argument."""
        try:
            return literals.constant(None if value is None else convert("mixed", value))
        except (WrongTypeError, QueryError) as error:
            text = self.tokens[self.index].text
            self.refuse(f"{text} is {shown(value)}: {error}")


def is_list(value: object) -> bool:
    """Whether an argument stands for several values."""
    return isinstance(value, list | tuple)
