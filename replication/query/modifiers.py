"""What is done to the objects that satisfy a condition: SORT, DISTINCT, LIMIT, FOLLOW.

Rule 1: any number of them, in any order, each applied to what the one before it left. [QUERY-120]
Rule 2: FOLLOW changes nothing of the result: it says what a subscription brings along.
"""

from __future__ import annotations

from typing import Final, NoReturn

from replication.limits import QUERY_FOLLOW_DEPTH_MAX, QUERY_MODIFIERS_MAX
from replication.query import canonical, literals
from replication.query.ast import (
    Field,
    Modifier,
    Path,
    StepKind,
)
from replication.query.operands import OperandReader

_ORDERS: Final = {"ASC": False, "ASCENDING": False, "DESC": True, "DESCENDING": True}


class ModifierReader(OperandReader):
    """Reads what follows a condition."""

    __slots__ = ()

    def modifiers(self) -> tuple[Modifier, ...]:
        """Read all of them."""
        found: list[Modifier] = []
        while self.tokens[self.index].kind == "word" and not self.is_word("UNION"):
            reader = _READERS.get(self.tokens[self.index].text.upper())
            if reader is None:
                self._fail_modifier()
            if len(found) >= QUERY_MODIFIERS_MAX:
                self.refuse(f"more than {QUERY_MODIFIERS_MAX} modifiers of one condition")
            self.index += 1
            self.expect("(")
            found.append(reader(self))
            self.expect(")")
        return tuple(found)

    def _fail_modifier(self) -> NoReturn:
        self.fail("AND, OR or the end of the query")

    def _sort(self) -> Modifier:
        keys = []
        while True:
            path = self._single("SORT")
            word = self.tokens[self.index].text.upper()
            descending = _ORDERS.get(word) if self.tokens[self.index].kind == "word" else None
            if descending is not None:
                self.index += 1
            keys.append((path, bool(descending)))
            if not self._comma(len(keys)):
                return canonical.sort(tuple(keys))

    def _distinct(self) -> Modifier:
        paths = []
        while True:
            paths.append(self._single("DISTINCT"))
            if not self._comma(len(paths)):
                return canonical.distinct(tuple(paths))

    def _comma(self, count: int) -> bool:
        if self.tokens[self.index].kind != ",":
            return False
        if count >= QUERY_MODIFIERS_MAX:
            self.refuse(f"more than {QUERY_MODIFIERS_MAX} properties")
        self.index += 1
        return True

    def _single(self, where: str) -> Field | Path:
        start = self.index
        found = self.tokens[start]
        if found.field is None:
            self.fail("a property")
        operand = self.path(None)
        kinds = [step.kind for step in operand.steps] if isinstance(operand, Path) else []
        many = {StepKind.EACH, StepKind.KEYS, StepKind.VALUES, StepKind.LINKS} & set(kinds)
        if not isinstance(operand, Field | Path) or many:
            self.refuse(
                f"{where} needs a path to one value, not {literals.clipped(operand.text)}", start
            )
        return operand

    def _limit(self) -> Modifier:
        start = self.index
        value = self.one_constant().value
        if type(value) is not int or value < 0:
            self.refuse(f"LIMIT needs a number from 0 on, not {value!r:.40}", start)
        return canonical.limit(value)

    def _follow(self) -> Modifier:
        names: list[str] = []
        while True:
            token = self.tokens[self.index]
            if token.kind == "*" and not names:
                names.append("*")
            elif token.kind == "step" and names:
                names.append(literals.unescaped(token.text[1:]))
            elif token.field is not None and not names:
                names.append(token.field.name)
            else:
                break
            self.index += 1
        if not names:
            self.fail("a property that links, or *")
        depth = 1
        if self.tokens[self.index].kind == ",":
            self.index += 1
            depth = self._depth(len(names))
        return canonical.follow(tuple(names), depth)

    def _depth(self, steps: int) -> int:
        start = self.index
        value = self.one_constant().value
        if type(value) is not int or not 1 <= value * steps <= QUERY_FOLLOW_DEPTH_MAX:
            self.refuse(
                f"FOLLOW goes 1 to {QUERY_FOLLOW_DEPTH_MAX} links deep, not {value!r:.40} times"
                f" {steps}",
                start,
            )
        return value


_READERS: Final = {
    "SORT": ModifierReader._sort,
    "DISTINCT": ModifierReader._distinct,
    "LIMIT": ModifierReader._limit,
    "FOLLOW": ModifierReader._follow,
}
