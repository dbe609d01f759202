"""A schema for documents that have none: sampled, and good for what was sampled.

Rule 1: one type is that type; int and double are double (where every int is one exactly); anything
        else together is mixed. Null or missing makes a property nullable.
Rule 2: a document inside is an embedded object named after its place, ``Class_field``; unless it
        looks like a dictionary: its keys are made up or many and sparse, its values of one shape.
Rule 3: in a table of texts (CSV) nothing is null, and a column is int or double where every text
        is a number written the one usual way. A leading zero or plus makes it a string.
Rule 4: `Inferred.convert` makes of a document what the schema takes, or says which row, which
        field and which value it can't.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from replication.errors import SchemaError, WrongTypeError
from replication.limits import PROPERTIES_MAX
from replication.model.check import shown
from replication.model.foreign import MisfitError, at, native, nested, parsed
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.shape import Shape
from replication.model.types import (
    KEY_NAME,
    KEY_TYPES,
    Collection,
    PropertyType,
    always_nullable,
    broken_property_name,
    derived_class_name,
    parse_type,
)
from replication.model.values import Key

#: Makes of a value of a document what the property takes; None for what need not be written.
Convert: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True)
class Inferred:
    """What was found out about a pile of documents."""

    schema: Schema
    #: What somebody might want to know or overrule, in sentences.
    notes: list[str]
    #: How many documents were looked at.
    rows: int
    _key_field: str = field(repr=False)
    _dropped: frozenset[str] = field(repr=False)
    _converters: Mapping[str, Convert] = field(repr=False)

    def convert(self, document: Mapping[str, Any], row: int) -> dict[str, Any]:
        """A document with `_id` and values that the schema takes; nulls are left out.

        Embedded objects are dicts, sets are lists, and mixed properties may hold lists and dicts.

        Raises:
            WrongTypeError: it does not fit; the message names row, field and value.
        """
        known = {name: value for name, value in document.items() if name not in self._dropped}
        try:
            out = _converted(known, self._converters)
        except MisfitError as error:
            raise WrongTypeError(f"{_where(row, *error.path)}: {error}") from None
        return {KEY_NAME: out.pop(self._key_field), **out}


def _converted(document: Mapping[str, Any], converters: Mapping[str, Convert]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in document.items():
        with at(str(name)):
            if name not in converters:
                raise WrongTypeError(f"{shown(value)} is in a field that no sampled row has")
            converted = converters[name](value)
        if converted is not None:
            out[name] = converted
    if len(document) < len(converters):
        # What is missing must be allowed to be: its converter knows.
        for name in converters.keys() - document.keys():
            with at(name):
                converters[name](None)
    return out


def infer(
    documents: Iterable[Mapping[str, Any]],
    class_name: str,
    key: str | None = None,
    types: Mapping[str, str] | None = None,
    *,
    text: bool = False,
) -> Inferred:
    """The schema that ``documents`` fit, and how to convert them.

    Args:
        key: the field that becomes the primary key ``_id``; None: the field ``_id`` itself.
        types: types of fields (``{"isbn": "string", "address.zip": "int?"}``) that overrule what
            would be inferred. An embedded type names the class: ``dict<embedded:Tier>``.
        text: whether all values are texts, as in CSV.

    Raises:
        SchemaError: no documents, no usable key, a field that can't be a property.
        WrongTypeError: a value that can't be represented; with row (from 1), field and value.
    """
    key_field = KEY_NAME if key is None else key
    top, rows = _gathered(documents, key_field, text)
    if rows == 0:
        raise SchemaError("there are no documents to infer a schema from")
    builder = _Builder(class_name, dict(types or {}), text)
    return builder.built(top, key_field, rows)


def _gathered(
    documents: Iterable[Mapping[str, Any]], key_field: str, text: bool
) -> tuple[dict[str, Shape], int]:
    top: dict[str, Shape] = {}
    row = 0
    for row, document in enumerate(documents, 1):
        for name, value in document.items():
            if not isinstance(name, str):
                raise WrongTypeError(f"row {row} has a field without a name: {shown(value)}")
            shape = top.get(name)
            if shape is None:
                shape = top[name] = Shape()
                if len(top) > PROPERTIES_MAX:
                    raise SchemaError(f"row {row}: over {PROPERTIES_MAX} different fields")
            if text:
                shape.add_text(value)
                continue
            try:
                with at(name):
                    shape.add(value)
            except MisfitError as error:
                raise WrongTypeError(f"{_where(row, *error.path)}: {error}") from None
        key = document.get(key_field)
        if key_field in top and (key is None or (text and key == "")):
            raise WrongTypeError(f"{_where(row, key_field)} is empty, and it is the primary key")
    return top, row


def _where(row: int, *path: str) -> str:
    return f"row {row}, field {'.'.join(path)!r}"


class _Builder:
    """Builds classes from shapes, and converters beside them."""

    def __init__(self, class_name: str, types: dict[str, str], text: bool) -> None:
        self._class_name = class_name
        self._types = types
        self._text = text
        self._taken = {class_name}
        self._classes: list[ClassSchema] = []
        self._notes: list[str] = []
        self._unused = set(types)

    def built(self, top: dict[str, Shape], key_field: str, rows: int) -> Inferred:
        if key_field not in top:
            usable = ", ".join(
                repr(name) for name, shape in top.items() if self._key_type(shape, rows)
            )
            raise SchemaError(f"there is no field {key_field!r}; the key can be {usable or 'none'}")
        fields = {name: top[name] for name in sorted(top) if name != key_field}
        dropped = frozenset({KEY_NAME} & fields.keys())
        if dropped:
            fields.pop(KEY_NAME)
            self._notes.append(f"{KEY_NAME!r} is left out, because {key_field!r} is the key")
        key_type, convert_key_value = self._key(key_field, top[key_field], rows)
        converters: dict[str, Convert] = {key_field: convert_key_value}
        properties = []
        for name, shape in fields.items():
            found, converters[name] = self._property(self._class_name, name, shape, rows, (name,))
            properties.append(found)
        if self._unused:
            name = min(self._unused)
            raise SchemaError(f"there is no field {name!r} to be {self._types[name]}")
        self._classes.append(ClassSchema(self._class_name, properties, key=key_type))
        schema = Schema(self._classes)
        return Inferred(schema, self._notes, rows, key_field, dropped, converters)

    # -- the key -----------------------------------------------------------------------------
    def _key_type(self, shape: Shape, rows: int) -> str | None:
        kind = shape.text_kind() if self._text else shape.kind()
        complete = shape.count == rows and not shape.nulls
        return kind if kind in KEY_TYPES and complete else None

    def _key(self, name: str, shape: Shape, rows: int) -> tuple[str, Convert]:
        asked = self._asked((name,))
        kind = self._key_type(shape, rows) if asked is None else str(asked)
        if kind not in KEY_TYPES:
            seen = kind or (shape.text_kind() if self._text else shape.kind())
            raise SchemaError(
                f"field {name!r} is {seen}; a primary key is {', '.join(KEY_TYPES)} and never null"
            )
        key_type, item = kind, ClassSchema(self._class_name, key=kind)
        parse = self._text or asked is not None

        def convert(value: Any) -> Key:
            known = native(value)
            return item.check_key(parsed(key_type, known) if parse and known is not None else known)

        return kind, convert

    # -- properties --------------------------------------------------------------------------
    def _asked(self, path: tuple[str, ...]) -> PropertyType | None:
        name = ".".join(path)
        if name not in self._types:
            return None
        self._unused.discard(name)
        asked = parse_type(self._types[name])
        if asked.type in ("link", "text"):
            raise SchemaError(f"field {name!r} can't be imported as {asked}; use a plain type")
        return asked

    def _property(
        self, outer: str, name: str, shape: Shape, expected: int, path: tuple[str, ...]
    ) -> tuple[Property, Convert]:
        reason = broken_property_name(name)
        if reason is not None:
            raise SchemaError(f"field {'.'.join(path)!r} can't be a property: {reason}")
        asked = self._asked(path)
        nullable = shape.nulls > 0 or shape.count < expected
        if asked is None:
            form = self._text_form(shape, nullable) if self._text else self._form(shape, nullable)
        else:
            form = asked
        if form.type == "embedded":
            return self._embedded(outer, name, shape, form, path)
        found = Property(name, *form, owner=outer)
        if asked is None and not self._text:
            self._note(path, shape, form)
        return found, _converter(found, text=self._text, parse=self._text or asked is not None)

    def _text_form(self, shape: Shape, nullable: bool) -> PropertyType:
        return PropertyType(shape.text_kind(), nullable)

    def _form(self, shape: Shape, nullable: bool) -> PropertyType:
        # An embedded form has no class yet: `_embedded` names it.
        kind = shape.kind()
        if kind == "document":
            if not shape.is_dictionary():
                return PropertyType("embedded", True)
            return PropertyType(*self._element(shape.values(), "dict"), "dict")
        if kind == "list":
            return PropertyType(*self._element(shape.items or Shape(), "list"), "list")
        if kind in ("mixed", "null"):
            return PropertyType("mixed", True)
        return PropertyType(kind, nullable)

    def _element(self, values: Shape, collection: Collection) -> tuple[str, bool]:
        kind = values.kind()
        if kind == "document" and not values.is_dictionary():
            always = always_nullable("embedded", collection)
            if always or not values.nulls:
                return "embedded", always
        if kind in ("mixed", "null", "list", "document"):
            return "mixed", True
        return kind, values.nulls > 0

    def _note(self, path: tuple[str, ...], shape: Shape, form: PropertyType) -> None:
        name = ".".join(path)
        if form.collection == "dict":
            self._notes.append(f"{name!r} is a dictionary: {form}")
        elif form.type == "mixed":
            inside = shape.items or Shape() if form.collection == "list" else shape
            seen = sorted(inside.types) + ["documents"] * bool(inside.documents)
            seen += ["lists"] * bool(inside.lists)
            self._notes.append(f"{name!r} is {form}: it holds {', '.join(seen) or 'nothing'}")

    # -- embedded objects --------------------------------------------------------------------
    def _embedded(
        self, outer: str, name: str, shape: Shape, form: PropertyType, path: tuple[str, ...]
    ) -> tuple[Property, Convert]:
        where = ".".join(path)
        values = shape
        if form.collection is not None:
            values = shape.values() if form.collection == "dict" else shape.items or Shape()
        if values.kind() != "document" or None in values.fields:
            raise SchemaError(f"field {where!r} holds no documents to embed as {form.type}")
        class_name = self._class_of(outer, name, form.target)
        properties = []
        converters: dict[str, Convert] = {}
        for each, item in sorted((str(key), item) for key, item in values.fields.items()):
            found, converters[each] = self._property(
                class_name, each, item, values.documents, (*path, each)
            )
            properties.append(found)
        self._classes.append(ClassSchema(class_name, properties))
        owned = Property(name, "embedded", form.nullable, form.collection, class_name, owner=outer)
        if form.collection == "dict" and form.target is None:
            self._notes.append(f"{where!r} is a dictionary: {owned.spelling}")

        def one(value: Any) -> Any:
            if value is None and owned.nullable:
                return None
            if not isinstance(value, Mapping):
                raise _misfit(owned, value, "an embedded object is made of a document")
            return _converted(value, converters)

        return owned, _whole(owned, one, text=False)

    def _class_of(self, outer: str, name: str, asked: str | None) -> str:
        free, number = asked or derived_class_name(outer, name), 1
        if asked in self._taken:
            raise SchemaError(f"class {asked} is taken; give {outer}.{name} another")
        while free in self._taken:
            number += 1
            # 13 letters of up to four bytes leave room for the number.
            free = f"{derived_class_name(outer, name)[:13]}_{number}"
        self._taken.add(free)
        return free


def _converter(item: Property, *, text: bool, parse: bool) -> Convert:
    # ``text``: all values are texts, and an empty one is null. ``parse``: somebody, or the column
    # as a whole, said what type is wanted, so a text is read as that.
    def one(value: Any) -> Any:
        if item.type == "mixed":
            return nested(None if text and value == "" else value)
        known = native(value)
        empty = isinstance(known, str) and not known
        if parse and empty and (item.type != "string" or (text and item.nullable)):
            known = None
        if parse and known is not None:
            try:
                known = parsed(item.type, known)
            except WrongTypeError as error:
                raise _misfit(item, value, str(error)) from None
        return item.check(known)

    return _whole(item, one, text=text)


def _whole(item: Property, one: Convert, *, text: bool) -> Convert:
    if item.collection is None:
        return one

    def whole(value: Any) -> Any:
        if value is None or (text and value == ""):
            return None
        if item.collection == "dict" and isinstance(value, Mapping):
            out = {}
            for key, each in value.items():
                with at(str(key)):
                    out[item.check_key(key)] = one(each)
            return out
        if item.collection != "dict" and isinstance(value, list):
            items = []
            for index, each in enumerate(value):
                with at(str(index)):
                    items.append(one(each))
            return items
        made_of = "document" if item.collection == "dict" else "list"
        raise _misfit(item, value, f"it is made of a {made_of}")

    return whole


def _misfit(item: Property, value: object, reason: str) -> WrongTypeError:
    return WrongTypeError(f"{item} is {item.spelling}, got {shown(value)}; {reason}")
