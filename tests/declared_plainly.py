# Declared classes for `test_declare`, without postponed annotations on purpose.
"""A module as an application may have it."""

from typing import Annotated, Optional

from replication.model.declare import Counter, EmbeddedObject, Indexed, Object


class Note(EmbeddedObject):
    text: str


class Node(Object):
    _id: int
    label: Annotated[str | None, Indexed]
    count: Counter
    next: Optional["Node"]
    children: list["Node"]
    note: Note | None


class Author(Object):
    _id: int
