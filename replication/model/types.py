"""The types of properties: their names, their rules, and the one way each is spelled. [MODEL-20]

A type has four parts: what one value is, whether that value may be null, whether there is one
value or a collection of them, and for links and embedded objects the class they lead to.

Rule 1: a legal type has exactly one spelling, and `parse_type` accepts no other:
        ``int``, ``string?``, ``list<int>``, ``set<string?>``, ``dict<mixed>``, ``link:Author``,
        ``list<link:Author>``, ``embedded:Address``, ``dict<embedded:Tier>``.
Rule 2: where null is always possible (mixed; a link or an embedded object that stands alone or
        in a dictionary) the spelling has no "?"; where it never is, "?" is an error.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple, TypeAlias

from replication.errors import SchemaError
from replication.limits import CLASS_NAME_BYTES_MAX, PROPERTY_NAME_BYTES_MAX

Collection: TypeAlias = Literal["list", "set", "dict"]

#: The types whose values are written in place, in the order the spec lists them.
PLAIN_TYPES: Final = (
    "bool",
    "int",
    "float",
    "double",
    "decimal",
    "string",
    "binary",
    "timestamp",
    "objectId",
    "uuid",
    "mixed",
)
#: The types that merge in a way of their own; never in a collection, never null.
MERGING_TYPES: Final = ("counter", "text")
#: The types that lead to another class and are spelled with its name.
CLASS_TYPES: Final = ("link", "embedded")
#: What a primary key may be.
KEY_TYPES: Final = ("int", "string", "objectId", "uuid")
#: The name of every primary key.
KEY_NAME: Final = "_id"

_SPELLING: Final = re.compile(
    r"(?:(?P<collection>list|set|dict)<)?"
    r"(?:(?P<plain>[A-Za-z]+)|(?P<class_type>link|embedded):(?P<target>[^<>?]+))"
    r"(?P<null>\?)?(?P<close>>)?"
)
# Control characters break terminals and logs; the others delimit a type's spelling.
_CLASS_NAME_FORBIDS: Final = re.compile(r"[\x00-\x1f\x7f<>?]")
_PROPERTY_NAME_FORBIDS: Final = re.compile(r"[\x00-\x1f\x7f.]")


class PropertyType(NamedTuple):
    """A legal type, as `parse_type` makes it; `str()` spells it."""

    type: str
    #: Whether one value (an element, a member, a dictionary's value) may be null.
    nullable: bool = False
    collection: Collection | None = None
    #: The class that a link or an embedded object leads to, else None.
    target: str | None = None

    def __str__(self) -> str:
        return spell(*self)


def parse_type(text: str) -> PropertyType:
    """The type with that spelling.

    Raises:
        SchemaError: it is none, or not the canonical spelling.
    """
    match = _SPELLING.fullmatch(text)
    if match is None or (match["collection"] is None) != (match["close"] is None):
        raise SchemaError(f"{text!r} is no type; {_examples()}")
    name = match["plain"] or match["class_type"]
    collection: Collection | None = match["collection"]  # type: ignore[assignment]
    always = always_nullable(name, collection)
    if always and match["null"]:
        raise SchemaError(f"{text!r}: null is always allowed here, leave the '?' out")
    parsed = PropertyType(name, always or bool(match["null"]), collection, match["target"])
    reason = broken_rule(*parsed)
    if reason is not None:
        raise SchemaError(f"{text!r} is no type: {reason}")
    return parsed


def spell(name: str, nullable: bool, collection: Collection | None, target: str | None) -> str:
    """The canonical spelling of a legal type."""
    text = name if target is None else f"{name}:{target}"
    if nullable and not always_nullable(name, collection):
        text += "?"
    return text if collection is None else f"{collection}<{text}>"


def always_nullable(name: str, collection: Collection | None) -> bool:
    """Whether a value of this type may be null whatever its declaration says."""
    return name == "mixed" or (name in CLASS_TYPES and collection in (None, "dict"))


def broken_rule(
    name: str, nullable: bool, collection: Collection | None, target: str | None
) -> str | None:
    """Why these four parts make no type, or None where they make one."""
    if name not in (*PLAIN_TYPES, *MERGING_TYPES, *CLASS_TYPES):
        return f"{name!r} is not the name of a type; {_examples()}"
    if collection not in (None, "list", "set", "dict"):
        return f"{collection!r} is no collection; there are list, set and dict"
    if (target is not None) != (name in CLASS_TYPES):
        return f"a {name} {'needs' if name in CLASS_TYPES else 'has no'} class"
    if target is not None:
        return _broken_class_type_rule(name, nullable, collection, target)
    if name == "mixed" and not nullable:
        return "mixed is always nullable"
    if name in MERGING_TYPES and (nullable or collection is not None):
        return f"a {name} can't be null and can't stand in a collection"
    return None


def _broken_class_type_rule(
    name: str, nullable: bool, collection: Collection | None, target: str
) -> str | None:
    reason = broken_class_name(target)
    if reason is not None:
        return reason
    if name == "embedded" and collection == "set":
        return "embedded objects can't stand in a set; use a list"
    if nullable != always_nullable(name, collection):
        where = "alone" if collection is None else f"in a {collection}"
        return f"{name}s that stand {where} {'can never' if nullable else 'can always'} be null"
    return None


def broken_class_name(name: str) -> str | None:
    """Why a name can't be a class's, or None."""
    return _broken_name(name, "class", CLASS_NAME_BYTES_MAX, _CLASS_NAME_FORBIDS)


def broken_property_name(name: str) -> str | None:
    """Why a name can't be a property's, or None."""
    return _broken_name(name, "property", PROPERTY_NAME_BYTES_MAX, _PROPERTY_NAME_FORBIDS)


def derived_class_name(outer: str, property_name: str) -> str:
    """The name of an embedded class that nobody named: that of its place."""
    name = f"{outer}_{property_name}".encode()[:CLASS_NAME_BYTES_MAX]
    return name.decode(errors="ignore")


def _broken_name(name: str, what: str, bytes_max: int, forbids: re.Pattern[str]) -> str | None:
    if not name:
        return f"a {what} needs a name"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return f"{name!r} is no {what} name: it is not valid Unicode"
    if size > bytes_max:
        return f"{name!r} is no {what} name: it has {size} bytes, at most {bytes_max} are allowed"
    if name.startswith("$"):
        return f"{name!r} is no {what} name: it starts with '$'"
    found = forbids.search(name)
    if found is not None:
        return f"{name!r} is no {what} name: it contains {found[0]!r}"
    return None


def _examples() -> str:
    names = ", ".join(PLAIN_TYPES + MERGING_TYPES)
    return f"there are {names}, link:CLASS, embedded:CLASS, and list<>, set<>, dict<> of them"
