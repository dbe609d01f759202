"""Properties: what one field of a class is, and which values it takes. [MODEL-30]

Rule 1: `check` is for what an application passes: it converts where nothing gets lost, and its
        errors name the property, its type and the value. `check_packed` is for what a peer's
        changeset holds: yes or no, and cheap.
Rule 2: both look at one value. Of a collection that is one element, member or dictionary value;
        `check_collection` takes a whole one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from replication.errors import SchemaError, WrongTypeError
from replication.limits import KEY_BYTES_MAX, VALUE_BYTES_MAX
from replication.model.check import (
    PACKED_KINDS,
    ZEROS,
    convert,
    convert_dictionary_key,
    convert_key,
    shown,
)
from replication.model.encoding import is_key, is_value
from replication.model.types import (
    Collection,
    broken_property_name,
    broken_rule,
    parse_type,
    spell,
)
from replication.model.values import ERASED, Based, Container, Link, Value

#: The types an increment can be added to.
_NUMBERS: Final = ("int", "counter", "mixed")


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a class.

    `owner`, `target_key` and `initial` are no part of what is compared, packed or merged: the
    first two repeat what the schema around says, the last is one device's own business.
    """

    name: str
    #: "int", "string", ..., "link", "embedded": what one value is.
    type: str
    #: Whether one value may be null: of a collection, one element.
    nullable: bool = False
    collection: Collection | None = None
    #: The class that a link or an embedded object leads to.
    target: str | None = None
    #: Whether stores keep an indexed column of it and subscriptions may ask for it.
    queryable: bool = False
    #: What the application declared a new object to start with; None: the type's own zero.
    initial: Value = field(default=None, compare=False)
    #: The class it belongs to, for error messages.
    owner: str = field(default="", compare=False, repr=False)
    #: Of a link: the type of the target's primary key, once the property stands in a schema.
    target_key: str | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls, name: str, spelling: str, *, queryable: bool = False, initial: Value = None
    ) -> Property:
        """A property from its spelled type, as in ``Property.of("tags", "list<string>")``.

        Raises:
            SchemaError: an illegal name, type, or combination.
        """
        return cls(name, *parse_type(spelling), queryable=queryable, initial=initial)

    def __post_init__(self) -> None:
        reason = broken_property_name(self.name) or broken_rule(
            self.type, self.nullable, self.collection, self.target
        )
        if reason is not None:
            raise SchemaError(f"property {self}: {reason}")
        if self.queryable and (self.type in ("embedded", "text") or self.collection == "dict"):
            raise SchemaError(f"{self} is {self.spelling} and can't be queryable")
        if self.initial is not None:
            object.__setattr__(self, "initial", self._checked_initial())

    def __str__(self) -> str:
        return f"{self.owner}.{self.name}" if self.owner else self.name

    @property
    def spelling(self) -> str:
        """The type as it is spelled: ``parse_type`` reads it back."""
        return spell(self.type, self.nullable, self.collection, self.target)

    @property
    def is_plain(self) -> bool:
        """Whether it is one register: neither a collection nor embedded nor text."""
        return self.collection is None and self.type not in ("embedded", "text")

    def is_within(self, other: Property | None) -> bool:
        """Whether ``other`` already says all that this property says."""
        return (
            other is not None
            and self.spelling == other.spelling
            and other.queryable >= self.queryable
        )

    def default(self) -> Value:
        """What a plain property starts with; None for what starts empty."""
        if not self.is_plain or (self.initial is None and self.nullable):
            return None
        return ZEROS[self.type] if self.initial is None else self.initial

    def check(self, value: object) -> Value:
        """``value`` as one value of this property: of a collection, one element of it.

        Raises:
            WrongTypeError: it does not fit; the message names property, type and value.
        """
        if value is None:
            if not self.nullable:
                raise self._misfit(value, f"only {self._one()}? could hold null")
            return None
        if self.type in ("embedded", "text"):
            raise self._misfit(value, "it is written part by part, not assigned")
        try:
            converted = convert(self.type, value)
            return self._checked_link(converted) if self.type == "link" else converted
        except WrongTypeError as error:
            raise self._misfit(value, str(error)) from None

    def check_collection(self, value: object) -> list[Value] | dict[str, Value]:
        """``value`` as the whole content of this collection; a set comes back as a list.

        Raises:
            WrongTypeError: it is no such collection, or an element does not fit.
        """
        assert self.collection is not None, f"{self} is no collection"
        if self.collection == "dict":
            if not isinstance(value, Mapping):
                raise self._misfit(value, "pass a dict")
            return {self.check_key(key): self.check(item) for key, item in value.items()}
        if not isinstance(value, list | tuple | set | frozenset):
            raise self._misfit(value, f"pass a {self.collection}")
        return [self.check(item) for item in value]

    def check_key(self, key: object) -> str:
        """``key`` as a key of this dictionary.

        Raises:
            WrongTypeError: it is no string, or too long.
        """
        try:
            return convert_dictionary_key(key)
        except WrongTypeError as error:
            raise self._misfit(key, str(error), what="key ") from None

    def check_packed(self, value: object) -> bool:
        """Whether a decoded register, element, member or dictionary value fits this property.

        The engine's marks: a value based on a total stands in a number that is one register; a
        container in mixed, but in no set; an erased value never fits, whoever holds a dictionary
        knows it before asking.
        """
        kind = type(value)
        if kind is Based:
            assert isinstance(value, Based)
            return (
                self.type in _NUMBERS
                and self.collection is None
                and value.seen != 0
                and self.check_packed(value.value)
            )
        if value is None:
            return self.nullable and self.type != "embedded"
        if self.type == "mixed":
            if kind is Container:
                return self.collection != "set"
            return is_value(value) and value is not ERASED and _fits_size(value)
        if kind is not PACKED_KINDS.get(self.type):
            return False
        return self._fits_link(value) if kind is Link else _fits_size(value)

    def _checked_initial(self) -> Value:
        if not self.is_plain:
            raise SchemaError(f"{self} is {self.spelling}: it starts empty and has no default")
        return self.check(self.initial)

    def _checked_link(self, link: Value) -> Link:
        assert isinstance(link, Link)
        if link.class_name != self.target:
            raise WrongTypeError(f"it leads to {link.class_name}, not to {self.target}")
        return Link(link.class_name, convert_key(self.target_key, link.key))

    def _fits_link(self, link: Any) -> bool:
        if link.class_name != self.target:
            return False
        return fits_key(self.target_key, link.key)

    def _one(self) -> str:
        return self.type if self.target is None else f"{self.type}:{self.target}"

    def _misfit(self, value: object, advice: str, what: str = "") -> WrongTypeError:
        return WrongTypeError(f"{self} is {self.spelling}, got {what}{shown(value)}; {advice}")


def _fits_size(value: Any) -> bool:
    # Decoding has bounded strings already, but not bytes, and a set's members not at all.
    if type(value) is str and len(value) > VALUE_BYTES_MAX // 4:
        return len(value.encode()) <= VALUE_BYTES_MAX
    return type(value) is not bytes or len(value) <= VALUE_BYTES_MAX


def fits_key(key_type: str | None, key: Any) -> bool:
    """Whether a decoded primary key is one of ``key_type``; of any key type where it is None."""
    if key_type is None:
        return is_key(key)
    if type(key) is not PACKED_KINDS[key_type]:
        return False
    return (
        type(key) is not str
        or len(key) * 4 <= KEY_BYTES_MAX
        or (len(key.encode()) <= KEY_BYTES_MAX)
    )
