"""Custom user data: what the operator says about each user, in objects of the data set itself.

One class holds one object a user, found by its primary key or by a field that holds the user's id.
Who may write to that class decides what everybody may do: give it rules, or write to it from the
server or with an API key alone, which is all that is allowed without them. [IDENTITY-10]

Rule 1: a user without an object has no custom data, which is no error.
Rule 2: two objects for one user, or one past CUSTOM_DATA_BYTES_MAX, give nobody anything: the
        session is refused, with the reason.
Rule 3: a user id is looked up as a string, an ObjectId and a UUID, whichever it can be read as;
        the first living object counts.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from bson.errors import InvalidId
from bson.objectid import ObjectId

from replication.crdt.parts import Parts
from replication.crdt.view import object_view, shows
from replication.errors import ErrorCode, SessionError
from replication.limits import CUSTOM_DATA_BYTES_MAX
from replication.model.encoding import unpack_trusted
from replication.model.types import KEY_NAME
from replication.model.values import Key
from replication.query import Query, parse
from replication.query.canonical import name_text
from replication.server.touches import Touched
from replication.storage.contract import Reader, StoredObject, Writer


class CustomData(NamedTuple):
    """Where custom user data is.

    Attributes:
        class_name: the class that holds it.
        field: the property that holds the id of its user.
    """

    class_name: str
    field: str = KEY_NAME

    def of(self, reader: Reader, user: str) -> Mapping[str, Any]:
        """What is said about a user now.

        Raises:
            SessionError: PERMISSION_DENIED. Rule 2.
        """
        found = self._rows(reader, user)
        if not found:
            return {}
        if len(found) > 1:
            keys = ", ".join(f"{row.key!r:.80}" for row in found)
            raise _denied(f"{len(found)} objects of {self.class_name} say who {user!r} is: {keys}")
        (row,) = found
        held = {part.name: part.data for part in reader.parts(self.class_name, row.row)}
        size = len(row.head) + sum(map(len, held.values()))
        if size > CUSTOM_DATA_BYTES_MAX:
            raise _denied(
                f"the custom data of {user!r} has {size} bytes; at most {CUSTOM_DATA_BYTES_MAX}"
            )
        view = object_view(unpack_trusted(row.head), Parts(held.get, held.keys))
        return {} if view is None else {KEY_NAME: row.key, **view}

    def prepare(self, writer: Writer) -> None:
        """See to it that looking up a user costs no scan of the class."""
        if self.field != KEY_NAME and self.class_name in writer.classes():
            writer.declare(self.class_name, [self.field])

    def users(self, touched: Touched) -> Iterator[str]:
        """The ids of the users that a touched object speaks of, or spoke of."""
        if touched.class_name != self.class_name:
            return
        if self.field == KEY_NAME:
            yield str(touched.key)
            return
        for image in (touched.before, touched.now):
            yield str(image.get(self.field))

    def concerns(self, user: str, named: set[str] | None) -> bool:
        """Whether a user is among those named by `users`; None names all of them."""
        return named is None or any(str(key) in named for key in _keys(user))

    def _rows(self, reader: Reader, user: str) -> list[StoredObject]:
        if self.class_name not in reader.classes():
            return []
        if self.field != KEY_NAME:
            return list(reader.scan(self.class_name, self._query(user), limit=2))
        for key in _keys(user):
            row = reader.get_object(self.class_name, key)
            if row is not None and shows(row.head):
                return [row]
        return []

    def _query(self, user: str) -> Query:
        return parse(f"{name_text(self.field)} IN $0", list(_keys(user)))


def _keys(user: str) -> Iterator[Key]:
    """Rule 3."""
    yield user
    with suppress(InvalidId):
        yield ObjectId(user)
    with suppress(ValueError):
        yield uuid.UUID(user)


def _denied(message: str) -> SessionError:
    return SessionError(ErrorCode.PERMISSION_DENIED, message)
