r"""From the text of a query to its tokens.

Rule 1: `lexemes` cuts any text into pieces without losing a character, in linear time; what is no
        token becomes a piece of kind "bad", which the parser refuses when it comes to it.
Rule 2: a piece of a given spelling is always the same token: `tokens` remembers the short ones,
        with the operand they stand for, since queries use the same few words all the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from replication.errors import QueryError
from replication.model.values import Value
from replication.query import canonical, literals
from replication.query.ast import Constant, Field

_WORD: Final = r"(?:[A-Za-z_\x80-\U0010ffff]|\\.)(?:[A-Za-z0-9_$\x80-\U0010ffff-]|\\.)*+"
_STRING: Final = r""""[^"\\]*+(?:\\.[^"\\]*+)*+"|'[^'\\]*+(?:\\.[^'\\]*+)*+'"""
_TIME: Final = r"T[-+]?[0-9]++:[-+]?[0-9]++"
_BINARY: Final = r"""B64(?:"[^"]*+"|'[^']*+')"""
_BYTES: Final = rf"binary\([ \t\r\n\f\v]*+(?:{_BINARY}|{_STRING})[ \t\r\n\f\v]*+\)"
_CALL: Final = rf"(?:(?:oid|uuid|decimal)\([^()]*+\)|{_BYTES})"
_OPERATOR: Final = r"[=!<>]=|=[<>]|<>|&&|\|\||[=<>!(){},\[\]]"
_DATE: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[@T][0-9:]*+"
_NUMBER: Final = r"[-+]?(?:[0-9]++\.?+[0-9]*+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?+"
_VARIABLE: Final = r"\$[A-Za-z0-9_]++"
#: Hexadecimal numbers, signed infinities, and what only looks like them.
_REST: Final = r"[-+]?[\w$.]++"

#: White space and one token; at the end an empty one. No group: `findall` gives the matches.
_LEXEME: Final = re.compile(
    rf"""[ \t\r\n\f\v]*+(?:
    (?!{_TIME}|B64["']|(?:oid|uuid|decimal|binary)\(){_WORD}
    | \[[cC]\] | {_OPERATOR} | {_STRING} | {_DATE} | {_TIME} | {_BINARY} | {_CALL}
    | \.?@[A-Za-z]++ | \.{_WORD} | {_NUMBER}[fF]?+(?![\w$.]) | {_VARIABLE} | {_REST} | . | \Z )""",
    re.VERBOSE | re.DOTALL,
)

_COMPLETE: Final = re.compile(
    rf"""(?P<word> {_WORD}) | (?P<operator> {_OPERATOR}|[-+*/])
    | (?P<string> {_STRING}) | (?P<date> {_DATE}) | (?P<time> {_TIME}) | (?P<binary> {_BINARY})
    | (?P<call> {_CALL}) | (?P<fold> \[[cC]\]) | (?P<aggregate> \.?@[A-Za-z]++)
    | (?P<step> \.{_WORD})
    | (?P<hex> 0[xX][0-9a-fA-F]++) | (?P<integer> [-+]?[0-9]++) | (?P<float> {_NUMBER}[fF])
    | (?P<double> {_NUMBER}) | (?P<special> [-+](?i:inf|infinity|nan))
    | (?P<argument> \$[0-9]++) | (?P<variable> \$[A-Za-z_][A-Za-z0-9_]*+) | (?P<end> \Z)""",
    re.VERBOSE | re.DOTALL,
)

_SYMBOLS: Final = {
    "=": "==",
    "<>": "!=",
    "=<": "<=",
    "=>": ">=",
    "&&": "AND",
    "||": "OR",
    "!": "NOT",
}
#: Words that mean the same in any case of their letters, and those that have only two.
_ANY_CASE: Final = {
    "and": "AND",
    "or": "OR",
    "between": "BETWEEN",
    "beginswith": "BEGINSWITH",
    "endswith": "ENDSWITH",
    "contains": "CONTAINS",
    "like": "LIKE",
    "text": "TEXT",
    "geowithin": "geoWithin",
    "truepredicate": "TRUEPREDICATE",
    "falsepredicate": "FALSEPREDICATE",
    "null": "null",
    "nil": "null",
    "inf": "special",
    "infinity": "special",
    "nan": "special",
}
_TWO_CASES: Final = {
    "in": "IN",
    "not": "NOT",
    "any": "ANY",
    "some": "ANY",
    "all": "ALL",
    "none": "NONE",
    "true": "true",
    "false": "false",
}
_KEYWORDS: Final = {**_TWO_CASES, **{word.upper(): kind for word, kind in _TWO_CASES.items()}}
_CONSTANT_WORDS: Final = frozenset({"null", "special", "true", "false"})

_LITERALS: Final[dict[str, Callable[[str], Value]]] = {
    "string": literals.read_string,
    "integer": literals.read_integer,
    "double": literals.read_double,
    "float": literals.read_float,
    "hex": literals.read_hexadecimal,
    "special": literals.read_special,
    "date": literals.read_date,
    "time": literals.read_timestamp,
    "binary": literals.read_binary,
    "call": literals.read_call,
    "null": lambda _text: None,
    "true": lambda _text: True,
    "false": lambda _text: False,
}
_SPACE: Final = " \t\r\n\f\v"
#: Characters of a piece that is remembered, and how many pieces are.
_REMEMBERED_CHARS_MAX: Final = 64
_REMEMBERED_MAX: Final = 4096


class Token(NamedTuple):
    """One token.

    Attributes:
        kind: an operator or keyword in its canonical spelling, ``constant``, ``signed`` (a number
            with a sign, which may be an operator and a number), ``word``, ``argument``,
            ``variable``, ``step`` (a dot and a name), ``aggregate`` (what begins with ``@``),
            ``fold``, ``end``, ``invalid`` (a literal that names no value) or ``bad``.
        text: as it was written, without the space before it.
        field: for a word or keyword: the field that it names where it stands for one.
        constant: the value of a literal.
        problem: what is wrong with an invalid one.
    """

    kind: str
    text: str
    field: Field | None = None
    constant: Constant | None = None
    problem: str = ""


def lexemes(text: str) -> list[str]:
    """The pieces of a text: white space and a token each, the last one without a token."""
    return _LEXEME.findall(text)


def tokens(pieces: list[str]) -> list[Token]:
    """What the pieces are."""
    known = _remembered
    return [known.get(piece) or _token_of(piece) for piece in pieces]


def _token_of(piece: str) -> Token:
    token = _token(piece)
    if len(piece) <= _REMEMBERED_CHARS_MAX:
        if len(_remembered) >= _REMEMBERED_MAX:
            _remembered.clear()  # the words that are in use soon come back
        _remembered[piece] = token
    return token


def _token(lexeme: str) -> Token:
    text = lexeme.lstrip(_SPACE)
    kind: str | None
    if text.isdigit() and text.isascii():
        kind = "integer"  # what is new in a text is mostly a number
    else:
        match = _COMPLETE.fullmatch(text)
        if match is None:
            return Token("bad", text)
        kind = match.lastgroup
    assert kind is not None
    if kind == "operator":
        return Token(_SYMBOLS.get(text, text), text)
    if kind == "word":
        kind = _KEYWORDS.get(text) or _keyword(text) or "word"
        if kind not in _CONSTANT_WORDS:
            return Token(kind, text, field=canonical.field(literals.unescaped(text)))
    reader = _LITERALS.get(kind)
    if reader is None:
        return Token(kind, text)
    try:
        kind = "signed" if text[0] in "+-" else "constant"
        return Token(kind, text, constant=literals.constant(reader(text)))
    except QueryError as error:
        return Token("invalid", text, problem=str(error))


def _keyword(word: str) -> str | None:
    # Only ASCII letters have two cases here: lower() maps others onto them (the Kelvin sign).
    return _ANY_CASE.get(word.lower()) if word.isascii() else None


#: What short pieces are. A plain dict costs a third of an `lru_cache`; threads may share it.
_remembered: dict[str, Token] = {}
