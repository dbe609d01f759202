"""Objects as plain Python data that link to one another: what queries are judged by in tests.

Written from `spec/query.md`, not from the engine's sources: classes are dicts from keys to
documents, a document is a dict of values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from replication.model.encoding import pack
from replication.model.notation import from_json
from replication.model.types import KEY_NAME
from replication.model.values import EmbeddedValues, Link, NestedDict, NestedList


class Objects:
    """The objects of some classes."""

    def __init__(self, classes: Mapping[str, Mapping[Any, Mapping[str, Any]]]) -> None:
        self._held = {
            pack(Link(name, key)): (Link(name, key), document)
            for name, documents in classes.items()
            for key, document in documents.items()
        }

    def get(self, link: Link) -> PlainSource | None:
        """One object."""
        found = self._held.get(pack(link))
        return None if found is None else PlainSource(self, *found)

    def of(self, class_name: str) -> list[PlainSource]:
        """All objects of a class."""
        return [
            PlainSource(self, link, document)
            for link, document in self._held.values()
            if link.class_name == class_name
        ]

    def linking(self, target: Link, class_name: str, name: str) -> list[Link]:
        """What links somewhere, once for each link."""
        return [
            link
            for link, document in self._held.values()
            for field, value in document.items()
            if not class_name or (link.class_name, field) == (class_name, name)
            for each in _links(value)
            if pack(each) == pack(target)
        ]


def _links(value: Any) -> Iterator[Link]:
    if isinstance(value, Link):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _links(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _links(each)


class PlainSource:
    """One object among others."""

    def __init__(self, objects: Objects, link: Link, document: Mapping[str, Any]) -> None:
        self.objects = objects
        self.link = link
        self.document = document

    def __call__(self, name: str) -> Any:
        return self.link.key if name == KEY_NAME else self.document.get(name)

    def follow(self, link: Link) -> PlainSource | None:
        """Another object."""
        return self.objects.get(link)

    def backlinks(self, class_name: str, name: str) -> list[Link]:
        """What links here."""
        return self.objects.linking(self.link, class_name, name)


def value_from_json(noted: Any) -> Any:
    """A value of a field, as vectors spell it: see `spec/query.md`."""
    if isinstance(noted, dict) and len(noted) == 1:
        [(kind, inner)] = noted.items()
        if kind == "$list":
            return [value_from_json(each) for each in inner]
        if kind == "$dictionary":
            return {key: value_from_json(each) for key, each in sorted(inner.items())}
        if kind == "$object":
            return EmbeddedValues({key: value_from_json(each) for key, each in inner.items()})
        if kind == "$nested" and isinstance(inner, list):
            return NestedList(map(value_from_json, inner))
        if kind == "$nested":
            return NestedDict({key: value_from_json(each) for key, each in sorted(inner.items())})
    return from_json(noted)


def document_from_json(noted: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an object."""
    return {name: value_from_json(value) for name, value in noted.items()}


def objects_from_json(noted: Mapping[str, Any]) -> Objects:
    """``{class: [{"_id": key, field: value, ...}, ...]}``."""
    classes: dict[str, dict[Any, dict[str, Any]]] = {}
    for name, documents in noted.items():
        for each in documents:
            document = document_from_json(each)
            classes.setdefault(name, {})[document.pop(KEY_NAME)] = document
    return Objects(classes)
