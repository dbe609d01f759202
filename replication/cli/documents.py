"""Documents written as objects: what `import` puts into a client file.

A document is what `model.infer` converts a row into: values of the schema's types by name, lists
and dicts for collections, dicts for embedded objects; a null is left out.
"""

from __future__ import annotations

from typing import Any

from replication.client.database import Database
from replication.model.encoding import pack
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema


def put(db: Database, known: ClassSchema, schema: Schema, document: dict[str, Any]) -> str:
    """Write a document, in the running transaction; "created", "updated" or "unchanged".

    Of an object that is there, what differs is written; fields the document does not name stay.
    """
    held = db.get(known.name, document["_id"])
    if held is None:
        db.create(known.name, **document)
        return "created"
    shown = held.to_dict()
    done = "unchanged"
    for name, value in document.items():
        if name != "_id" and not _holds(schema, known[name], shown[name], value):
            held[name] = value
            done = "updated"
    return done


def _holds(schema: Schema, item: Property, shown: Any, wanted: Any) -> bool:
    """Whether a property that shows this holds what is wanted of it."""
    if item.collection is None:
        return _one_holds(schema, item, shown, wanted)
    if item.collection == "set":
        return {pack(member) for member in shown} == {pack(member) for member in wanted}
    if item.collection == "dict":
        if shown.keys() != wanted.keys():
            return False
        pairs = [(shown[key], each) for key, each in wanted.items()]
    else:
        if len(shown) != len(wanted):
            return False
        pairs = list(zip(shown, wanted, strict=True))
    return all(_one_holds(schema, item, left, right) for left, right in pairs)


def _one_holds(schema: Schema, item: Property, shown: Any, wanted: Any) -> bool:
    if item.type != "embedded" or shown is None or wanted is None:
        return pack(_in_order(shown)) == pack(_in_order(wanted))
    inner = schema[str(item.target)]
    return all(_holds(schema, inner[name], shown[name], each) for name, each in wanted.items())


def _in_order(value: Any) -> Any:
    """A value of a mixed property with the keys of all dictionaries in it ascending."""
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value)}
    return [_in_order(each) for each in value] if isinstance(value, list) else value
