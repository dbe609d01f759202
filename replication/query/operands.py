r"""Operands: constants, fields, paths, aggregates, arithmetic, sub-queries, regions.

Rule 1: `*` and `/` bind tighter than `+` and `-`; all of them from the left. [QUERY-105]
Rule 2: a number with a sign that follows an operand is the sign's operation: `a -1` is `a + -1`.
        A `-` that follows a name directly belongs to the name: `a-1` is one name. [QUERY-106]
Rule 3: inside of SUBQUERY every path begins with its variable; those of outer ones can't be seen.
        [QUERY-107]
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final

from replication.errors import QueryError
from replication.limits import (
    QUERY_LIST_MAX,
    QUERY_OPERATORS_MAX,
    QUERY_PATTERN_MAX,
    QUERY_STEPS_MAX,
    QUERY_SUBQUERY_DEPTH_MAX,
)
from replication.model.encoding import is_key
from replication.model.values import Link
from replication.query import canonical, geo, literals
from replication.query.arithmetic import AGGREGATES
from replication.query.ast import (
    Aggregate,
    Arithmetic,
    Constant,
    Constants,
    Field,
    Node,
    Operand,
    Path,
    Quantifier,
    Region,
    Step,
    Subquery,
    TypeOf,
)
from replication.query.reading import Reading, is_list

COMPARISONS: Final = frozenset(
    {"==", "!=", "<", "<=", ">", ">=", "IN", "BETWEEN", "geoWithin"} | canonical.STRING_OPERATORS
)
QUANTIFIERS: Final = {quantifier.value: quantifier for quantifier in Quantifier}
ARITHMETIC: Final = frozenset("+-*/")
#: What goes on with an operand that has begun.
CONTINUES: Final = ARITHMETIC | {"signed", "step", "[", "aggregate", "("}
_AFTER_A_NAME: Final = COMPARISONS | CONTINUES - {"signed", "("}
_INDEXES: Final = {"FIRST": 0, "LAST": -1}
_LISTS: Final = "a list stands only after IN, BETWEEN, == and !="
_COUNTS: Final = ("@count", "@size")


class OperandReader(Reading):
    """Reads operands."""

    __slots__ = ("variables",)

    def __init__(self, text: str, args: Sequence[Any]) -> None:
        super().__init__(text, args)
        #: The variables of the sub-queries that are being read, the innermost last.
        self.variables: list[str] = []

    @abstractmethod
    def condition(self) -> Node:
        """Read a condition."""

    # -- expressions -----------------------------------------------------------------------
    def operand(self) -> Operand:
        """Read what stands on one side of an operator."""
        tokens, at = self.tokens, self.index
        found = tokens[at]
        if found.kind == "end" or tokens[at + 1].kind not in CONTINUES:
            if found.constant is not None:
                self.index = at + 1
                return found.constant
            if found.kind == "word" and not self.variables:
                assert found.field is not None
                self.index = at + 1
                return found.field
        return self.sum(self.product(self.value()))

    def sum(self, left: Operand) -> Operand:
        """Read on after a product."""
        while True:
            kind = self.tokens[self.index].kind
            if kind == "signed":
                operator = "+"
            elif kind in "+-":
                operator = kind
                self.index += 1
            else:
                return left
            at = self.index
            right = self.product(self.value())
            left = self._calculation(operator, left, right, at)

    def product(self, left: Operand) -> Operand:
        """Read on after a value."""
        while (operator := self.tokens[self.index].kind) in ("*", "/"):
            self.index += 1
            at = self.index
            left = self._calculation(operator, left, self.value(), at)
        return left

    def _calculation(self, operator: str, left: Operand, right: Operand, at: int) -> Operand:
        for side in (left, right):
            if isinstance(side, Constants | Region | TypeOf):
                self.refuse(f"{operator!r} needs numbers, not {literals.clipped(side.text)}", at)
            if isinstance(side, Field | Path) and side.quantifier is not None:
                self.refuse(f"{side.quantifier.value} and {operator!r} don't go together", at)
        found = canonical.arithmetic(operator, left, right)
        if isinstance(found, Arithmetic) and found.size > QUERY_OPERATORS_MAX:
            self.refuse(f"a calculation of more than {QUERY_OPERATORS_MAX} operators", at)
        return found

    def value(self) -> Operand:
        """Read one operand without arithmetic."""
        found = self.tokens[self.index]
        if found.constant is not None:
            self.index += 1
            return found.constant
        if found.kind == "(":
            return self._parenthesis()
        following = self.tokens[self.index + 1] if found.kind != "end" else found
        if found.kind == "word" and following.kind == "(":
            return self._call(found.text)
        quantifier = QUANTIFIERS.get(found.kind)
        begins = following.field is not None or following.kind in ("variable", "aggregate")
        if quantifier is not None and begins and not self.is_compared():
            self.index += 1
            return self.path(quantifier)
        if found.field is not None or found.kind in ("variable", "aggregate"):
            return self.path(None)
        return self.one_constant()

    def is_compared(self) -> bool:
        """Whether a keyword is a field's name after all: it is one, and an operator follows."""
        token = self.tokens[self.index]
        if token.field is None:
            return False
        following = self.tokens[self.index + 1]
        # `ANY @links...`: what begins with @ begins a path, what begins with a dot goes on.
        return following.kind in _AFTER_A_NAME and following.text[:1] != "@"

    def _parenthesis(self) -> Operand:
        self.deeper()
        self.index += 1
        inner = self.operand()
        self.expect(")")
        self.depth -= 1
        return inner

    # -- paths -----------------------------------------------------------------------------
    def path(self, quantifier: Quantifier | None) -> Field | Path | Aggregate | TypeOf:
        """Read a path, and the aggregate at its end."""
        start = self.index
        inner = self._begin()
        name = ""
        steps: list[Step] = []
        function = ""
        function_at = start
        found = self.tokens[self.index]
        if inner:
            if found.kind == "step":
                name = self._step_name()
                self.index += 1
            elif found.kind != "aggregate":
                self.fail("'.' and a property of the variable")
        elif found.field is not None:
            name = found.field.name
            self.index += 1
        while not function or function not in (*_COUNTS, "@type"):
            step = self._step(function != "")
            if isinstance(step, str):
                function, function_at = step, self.index - 1
            elif step is None:
                break
            else:
                steps.append(step)
            if len(steps) > QUERY_STEPS_MAX:
                self.refuse(f"a path of more than {QUERY_STEPS_MAX} steps", start)
        if not name and not steps:
            self.fail("a property")
        operand = canonical.path(name, tuple(steps), quantifier, inner=inner)
        return self._aggregated(operand, function, function_at)

    def _begin(self) -> bool:
        # Whether the path begins with the variable of a sub-query.
        found = self.tokens[self.index]
        if found.kind == "variable":
            if not self.variables or found.text != self.variables[-1]:
                known = f"here it is {self.variables[-1]}" if self.variables else "there is none"
                self.refuse(f"{found.text} is no variable of this SUBQUERY; {known}")
            self.index += 1
            return True
        if self.variables:
            message = f"inside of SUBQUERY a path begins with {self.variables[-1]}"
            self.refuse(f"{message}, found {literals.clipped(found.text)!r}")
        return False

    def _aggregated(
        self, operand: Field | Path, function: str, start: int
    ) -> Field | Path | Aggregate | TypeOf:
        if not function:
            return operand
        if function == "@type":
            return canonical.type_of(operand)
        if operand.quantifier is not None:
            self.refuse(f"{operand.quantifier.value} and {function!r} don't go together", start)
        return canonical.aggregate("@count" if function == "@size" else function, operand)

    def _step(self, aggregated: bool) -> Step | str | None:
        """Read a step; an aggregate as its name; None where the path ends."""
        found = self.tokens[self.index]
        if found.kind == "step":
            self.index += 1
            return canonical.name_step(self._step_name(self.index - 1))
        if found.kind == "aggregate":
            return self._at_word(aggregated)
        if found.kind == "[":
            self.index += 1
            step = self._bracket()
            self.expect("]")
            return step
        return None

    def _step_name(self, index: int | None = None) -> str:
        return literals.unescaped(self.tokens[self.index if index is None else index].text[1:])

    def _at_word(self, aggregated: bool) -> Step | str:
        word = self.tokens[self.index].text.lstrip(".").lower()
        if word == "@links":
            return self._links()
        if word not in ("@keys", "@values", "@type", *_COUNTS, *AGGREGATES):
            self.fail("@count, @size, @sum, @avg, @min, @max, @type, @keys, @values or @links")
        if aggregated and word not in ("@keys", "@values"):
            self.refuse(f"{word!r} after another aggregate")
        self.index += 1
        if word == "@keys":
            return canonical.KEYS
        return canonical.VALUES if word == "@values" else word

    def _links(self) -> Step:
        self.index += 1
        if self.tokens[self.index].kind != "step":
            return canonical.links_step()
        class_name = self._step_name()
        self.index += 1
        if self.tokens[self.index].kind != "step":
            self.fail(f"'.' and the property of {class_name} that links here")
        self.index += 1
        return canonical.links_step(class_name, self._step_name(self.index - 1))

    def _bracket(self) -> Step | str:
        found = self.tokens[self.index]
        self.index += 1
        if found.kind == "word" and (word := found.text.upper()) in (*_INDEXES, "SIZE"):
            return "@count" if word == "SIZE" else canonical.index_step(_INDEXES[word])
        if found.kind == "*":
            return canonical.EACH
        self.index -= 1
        value = self.one_constant().value
        if type(value) is str:
            return canonical.name_step(value)
        if type(value) is not int or value < 0:
            self.index -= 1
            self.fail("an index, a key in quotes, FIRST, LAST, SIZE or *")
        return canonical.index_step(value)

    # -- constants -------------------------------------------------------------------------
    def one_constant(self) -> Constant:
        """Read a constant."""
        kind, text, _, constant, _problem = self.tokens[self.index]
        if constant is None:
            if kind == "argument":
                value = self.argument()
                if is_list(value):
                    self.refuse(
                        f"{text} is a list; a list stands only after IN, BETWEEN, == and !="
                    )
                constant = self.argument_constant(value)
            elif text == "obj":
                return self._link()
            elif kind == "{":
                self.refuse(f"'{{': {_LISTS}")
            else:
                self.fail("a field or a value")
        self.index += 1
        return constant

    def constants(self, operator: str, length: int | None, *, ordered: bool) -> Constants:
        """Read several constants, in braces or as an argument."""
        start = self.index
        if self.tokens[start].kind == "argument" and is_list(values := self.argument()):
            if len(values) > QUERY_LIST_MAX:
                self._fail_list(start)
            items = [self.argument_constant(value) for value in values]
            self.index += 1
        else:
            items = self._braces(operator)
        if length is not None and len(items) != length:
            self.refuse(f"{operator} needs exactly {length} values, found {len(items)}", start)
        return canonical.constants(items, ordered=ordered)

    def _braces(self, operator: str) -> list[Constant]:
        start = self.index
        if self.tokens[start].kind != "{":
            self.fail(f"'{{' after {operator}")
        self.index += 1
        items: list[Constant] = []
        if self.tokens[self.index].kind != "}":
            items.append(self.one_constant())
            while self.tokens[self.index].kind == ",":
                self.index += 1
                items.append(self.one_constant())
                if len(items) > QUERY_LIST_MAX:
                    self._fail_list(start)
        self.expect("}")
        return items

    def _fail_list(self, start: int) -> None:
        self.refuse(f"a list of more than {QUERY_LIST_MAX} values", start)

    # -- calls -----------------------------------------------------------------------------
    def _call(self, text: str) -> Operand:
        if text == "obj":
            return self._link()
        if text.upper() == "SUBQUERY":
            return self._subquery()
        shape = _SHAPES.get(text.upper())
        if shape is None:
            self.index += 1
            self.fail(f"an operator after {literals.clipped(text)!r}")
        return self.region()

    def _link(self) -> Constant:
        start = self.index
        self.index += 1
        self.expect("(")
        class_name, key = self.one_constant().value, None
        if self.tokens[self.index].kind == ",":
            self.index += 1
            key = self.one_constant().value
        self.expect(")")
        if type(class_name) is not str or not is_key(key):
            self.refuse(
                "obj(...) needs the name of a class and a key: an int, string, oid or uuid", start
            )
        return literals.constant(Link(class_name, key))  # type: ignore[arg-type]

    def _subquery(self) -> Subquery:
        if len(self.variables) >= QUERY_SUBQUERY_DEPTH_MAX:
            self.refuse(f"SUBQUERY is nested deeper than {QUERY_SUBQUERY_DEPTH_MAX}")
        self.deeper()
        self.index += 1
        self.expect("(")
        start = self.index
        operand = self.path(None)
        if not isinstance(operand, Field | Path):
            self.refuse("SUBQUERY needs a path to objects", start)
        self.expect(",")
        variable = self.tokens[self.index]
        if variable.kind != "variable":
            self.fail("a variable: '$' and a name")
        self.index += 1
        self.expect(",")
        self.variables.append(variable.text)
        condition = self.condition()
        self.variables.pop()
        self.expect(")")
        self.depth -= 1
        if self.tokens[self.index].text.lower() not in (".@count", ".@size"):
            self.fail("'.@count' after SUBQUERY(...)")
        self.index += 1
        return canonical.subquery(operand, condition)

    # -- regions ---------------------------------------------------------------------------
    def region(self) -> Region:
        """Read a region, written or as an argument."""
        start = self.index
        token = self.tokens[start]
        if token.kind == "argument":
            value = self.argument()
            if not isinstance(value, geo.SHAPES):
                self.refuse(f"{token.text} is no geo.Box, geo.Circle or geo.Polygon")
            self.index += 1
            return canonical.region(value)
        make = _SHAPES.get(token.text.upper()) if token.kind == "word" else None
        if make is None:
            self.fail("geoBox(...), geoCircle(...) or geoPolygon(...)")
        self.index += 1
        self.expect("(")
        try:
            shape = make(self)
        except QueryError as error:
            if error.position is not None:
                raise
            raise QueryError(str(error), self.position(start)) from None
        self.expect(")")
        return canonical.region(shape)

    def box(self) -> geo.Shape:
        """Read the two corners of a box."""
        low = self._point()
        self.expect(",")
        return geo.Box(low, self._point())

    def circle(self) -> geo.Shape:
        """Read the centre and the radius of a circle."""
        center = self._point()
        self.expect(",")
        return geo.Circle(center, self._number())

    def polygon(self) -> geo.Shape:
        """Read the rings of a polygon."""
        rings = [self._ring()]
        while self.tokens[self.index].kind == ",":
            self.index += 1
            rings.append(self._ring())
        return geo.Polygon(rings[0], tuple(rings[1:]))

    def _ring(self) -> geo.Ring:
        self.expect("{")
        points = [self._point()]
        while self.tokens[self.index].kind == ",":
            self.index += 1
            points.append(self._point())
        self.expect("}")
        return tuple(points)

    def _point(self) -> geo.Point:
        self.expect("[")
        longitude = self._number()
        self.expect(",")
        latitude = self._number()
        if self.tokens[self.index].kind == ",":  # an altitude
            self.index += 1
            self._number()
        self.expect("]")
        return longitude, latitude

    def _number(self) -> float:
        value = self.one_constant().value
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.index -= 1
            self.fail("a number")
        return float(value)

    # -- strings ---------------------------------------------------------------------------
    def check_string(self, operator_at: int, operand: Operand, start: int) -> None:
        """Refuse what can't stand beside a string operator."""
        operator = self.tokens[operator_at].kind
        if type(operand) is not Constant:
            return
        if type(operand.value) is not str:
            shown = literals.clipped(operand.text)
            self.refuse(f"{self.tokens[operator_at].text} needs a string, found {shown}", start)
        size = len(operand.value.split() if operator == "TEXT" else operand.value)
        if operator in ("LIKE", "TEXT") and size > QUERY_PATTERN_MAX:
            unit = "words" if operator == "TEXT" else "characters"
            self.refuse(f"{operator} with more than {QUERY_PATTERN_MAX} {unit}", start)


_SHAPES: Final[dict[str, Callable[[OperandReader], geo.Shape]]] = {
    "GEOBOX": OperandReader.box,
    "GEOCIRCLE": OperandReader.circle,
    "GEOPOLYGON": OperandReader.polygon,
}
