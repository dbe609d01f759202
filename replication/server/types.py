"""A schema prepared for judging: what there is to look up for every value of every changeset."""

from __future__ import annotations

from replication.model.check import PACKED_KINDS
from replication.model.schema import Schema
from replication.model.values import Link
from replication.server.queryable import UNCONFIGURED, Queryable

#: Knowing that a value is of these Python types is not enough: bytes have a size, links a class.
_NOT_ENOUGH = (None, bytes, Link)


class Types:
    """A schema, prepared for looking up the types of plain fields quickly.

    Attributes:
        schema: the schema.
        queryable: which fields of it subscriptions may ask for.
    """

    __slots__ = ("kinds", "queryable", "schema")

    def __init__(self, schema: Schema, queryable: Queryable = UNCONFIGURED) -> None:
        self.schema = schema
        self.queryable = queryable
        #: For each class the Python types of those plain properties where that says it all.
        self.kinds: dict[str, dict[str, type]] = {
            item.name: {
                name: PACKED_KINDS[each.type]
                for name, each in item.properties.items()
                if each.collection is None and PACKED_KINDS.get(each.type) not in _NOT_ENOUGH
            }
            for item in schema
        }
