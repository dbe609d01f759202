"""Partitions: a data set cut by the value of one property, for clients that open one value each.

A partition is the query `key == value` on every class; what a session of one may ask for and write
follows from that. The same data is served to clients with subscriptions of their own.

Rule 1: every class with a primary key has the partition key: a server adds it to those that come
        without. It is one of four types, and may be null unless it is required. [PART-1]
Rule 2: a value of another type, or null where the key is required, is no partition. [PART-2]
Rule 3: sessions of a partition ask for nothing else, and write nothing outside of it; what they
        create without the key gets it. [PART-4] [PART-5]
Rule 4: where partitions are served as subscriptions, the same session asks for what it likes, and
        what it creates without the key still gets it. [PART-6]
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from bson.objectid import ObjectId

from replication.crdt import object as obj
from replication.crdt.incarnation import clone
from replication.crdt.object import merge
from replication.crdt.register import Stamp
from replication.errors import ErrorCode, SchemaError, SessionError
from replication.history.changeset import ObjectDelta
from replication.model.check import shown
from replication.model.encoding import unpack_trusted
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.types import KEY_NAME, KEY_TYPES, broken_property_name
from replication.protocol.partitions import partition_query
from replication.server.refusals import SCHEMA, Refusal

if TYPE_CHECKING:
    from replication.server.judge import Judge

#: What the service that this replaces calls the types of a key.
_SPELLINGS: Final = {"long": "int", "objectid": "objectId"}
_KINDS: Final = {str: "string", int: "int", ObjectId: "objectId"}
_SERVED: Final = ("both", "partitions", "flexible")


@dataclass(frozen=True)
class Partitions:
    """How a data set is cut.

    Attributes:
        key: the name of the partition key.
        type: "string", "int", "objectId" or "uuid".
        required: it is never null: there is no null partition.
        served: "partitions", or "flexible": to clients that open partitions as subscriptions of
            their own, Rule 4; with "both" and "flexible" to clients without a partition, too.
    """

    key: str
    type: str
    required: bool = False
    served: str = "both"

    @classmethod
    def from_json(cls, found: Any) -> Partitions:
        """`{"key": "owner_id", "type": "string", "required": false, "served": "both"}`.

        Raises:
            SchemaError: it is none; the message names what is wrong with it.
        """
        names = ("key", "type", "required", "served")
        if (
            type(found) is not dict
            or found.keys() - set(names)
            or type(found.get("key")) is not str
        ):
            raise SchemaError(f'partitions are {{"key": NAME, "type": TYPE}}, not {shown(found)}')
        key, kind = found["key"], found.get("type")
        kind = _SPELLINGS.get(kind, kind) if type(kind) is str else kind
        reason = f"{KEY_NAME} is the primary key" if key == KEY_NAME else broken_property_name(key)
        if reason is not None:
            raise SchemaError(f"the partition key {key!r}: {reason}")
        if kind not in KEY_TYPES:
            raise SchemaError(
                f"the partition key {key!r} is {shown(kind)}; it is one of {', '.join(KEY_TYPES)}"
            )
        required, served = found.get("required", False), found.get("served", "both")
        if type(required) is not bool or served not in _SERVED:
            raise SchemaError(
                f'"required" is true or false, and "served" one of {", ".join(_SERVED)}: '
                f"{shown(found)}"
            )
        return cls(key, kind, required, served)

    def to_packed(self) -> list[Any]:
        """What a store keeps."""
        return [self.key, self.type, self.required, self.served]

    @classmethod
    def from_stored(cls, data: bytes) -> Partitions:
        """From what `to_packed` gave, packed."""
        return cls(*unpack_trusted(data))

    def open(self, value: Any) -> Partition:
        """One partition.

        Raises:
            SessionError: BAD_PARTITION: a value of another type. Rule 2.
        """
        found = "null" if value is None else _KINDS.get(type(value), "uuid")
        if found != self.type and (value is not None or self.required):
            raise SessionError(
                ErrorCode.BAD_PARTITION,
                f"expected a partition of type {self.type}, found {found} {shown(value)}",
            )
        return Partition(self, value)

    def completed(self, schema: Schema, judge: Judge) -> Schema:
        """A schema that clients have added to, with the key; what contradicts it is refused."""
        try:
            return schema.merge(self.missing(schema))[0]
        except SchemaError as error:
            judge.add(Refusal("", None, [], SCHEMA, str(error)))
            return schema

    def missing(self, schema: Schema) -> Schema:
        """The partition key of each class that needs one and has none. Rule 1.

        Raises:
            SchemaError: a class has it with another type.
        """
        item = Property(self.key, self.type, nullable=not self.required, queryable=True)
        out = []
        for each in schema:
            held = each.properties.get(self.key, item)
            if not held.is_plain or held.type != self.type:
                raise SchemaError(f"{held} is {held.spelling}; the partition key is {self.type}")
            if not each.embedded and (held is item or not held.queryable):
                wanted = replace(held, queryable=True)
                out.append(ClassSchema(each.name, [wanted], key=each.key_type))
        return Schema(out)


@dataclass(frozen=True)
class Partition:
    """One partition of a data set."""

    partitions: Partitions
    value: Any

    @property
    def is_flexible(self) -> bool:
        """Whether its sessions go on as those with subscriptions do. Rule 4."""
        return self.partitions.served == "flexible"

    @property
    def key(self) -> str:
        """The name of the partition key."""
        return self.partitions.key

    def holds(self, found: Any) -> bool:
        """Whether an object whose key has this value is in it."""
        return type(found) is type(self.value) and bool(found == self.value)

    @property
    def query(self) -> str:
        """What its sessions ask for, of every class."""
        return partition_query(self.partitions.key, self.value)

    def injected(self, item: ObjectDelta, stamp: Stamp) -> ObjectDelta:
        """A creation with the partition key."""
        groups = [[*stamp, {self.partitions.key: self.value}]]
        _, at, incarnation, _ = item.delta
        delta = merge(clone(item.delta), [0, at, incarnation, {obj.REGISTER: groups}])
        return item._replace(delta=delta)
