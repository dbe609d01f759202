"""What a user may do with an object, and which rule says so, without doing it.

Rule 1: a write is explained by planning it and writing nothing: the answer is that of an upload.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from replication.crdt.object import Fields
from replication.crdt.parts import Parts
from replication.crdt.view import queryable
from replication.errors import UsageError
from replication.history.changeset import ObjectDelta
from replication.limits import TIME_MAX
from replication.model.encoding import unpack_trusted
from replication.model.schema import Schema
from replication.model.types import KEY_NAME
from replication.model.values import Key, Value
from replication.rules.access import Access
from replication.rules.roles import Denied, Granted, Roles, Ruling
from replication.server import tables
from replication.server.asked import IDENT, written
from replication.server.judge import Judge
from replication.server.lists import present
from replication.server.objects import Objects
from replication.server.permit import Permit
from replication.server.refusals import Refusal
from replication.server.types import Types
from replication.server.view import Image, as_filter
from replication.storage.contract import Reader, StoredObject, Writer

Operation = Literal["read", "edit", "insert", "delete"]
OPERATIONS: Final[tuple[Operation, ...]] = ("read", "edit", "insert", "delete")


@dataclass(frozen=True, slots=True)
class Explanation:
    """What came of a question.

    Attributes:
        allowed: whether all of it is.
        role: the user's for that class; None: there is none.
        reasons: sentences: why not, or by what.
        rulings: what of the rules decided each of the reasons; without a role where none did.
        readable, writable: the object's fields of which that is true; those of the schema, too.
    """

    allowed: bool
    role: str | None
    reasons: list[str]
    rulings: list[Ruling]
    readable: list[str]
    writable: list[str]


def explain(
    reader: Reader,
    types: Types | None,
    roles: Roles,
    class_name: str,
    key: Key,
    operation: Operation,
    values: Mapping[str, Value] | None = None,
) -> Explanation:
    """What a user may do with an object.

    Args:
        types: what is known of the schema.
        roles: the user's; see `Rules.bind`.
        values: what an edit or insert writes, by path; see `asked`.

    Raises:
        UsageError: the object is not there to be read, edited or deleted; no path leads there.
    """
    role = roles.of(class_name)
    row = reader.get_object(class_name, key)
    image = present(reader, class_name, key, row)
    if operation != "insert" and not image.is_alive:
        raise UsageError(f"there is no {class_name} {key!r} to {operation}")
    if isinstance(role, Denied):
        reason = f"{class_name} {key!r}: {role.reason}"
        return Explanation(False, None, [reason], [role.ruling], [], [])
    readable, writable = _fields(image, class_name, types, role)
    if operation == "read":
        allowed, clause, when = _read(image, class_name, types, role)
        may = "may be read" if allowed else "may not be read"
        reason = f"{class_name} {key!r} {may} by {role.because(clause, when)}"
        rulings = [role.ruling(clause)]
        return Explanation(allowed, role.name, [reason], rulings, readable, writable)
    schema = Schema() if types is None else types.schema
    base: Fields = {}
    parts = None
    if operation == "edit" and row is not None:
        base, parts = _base(reader, class_name, row)
    fields = written(values or {}, base, parts, schema, class_name)
    delta = _delta(image, operation, fields)
    refused = _refusals(reader, types, roles, ObjectDelta(class_name, key, delta, False))
    reasons = [refusal.message for refusal in refused]
    rulings = [refusal.ruling for refusal in refused]
    if not refused:
        reasons = [f"role {role.name!r} of {role.role.where} allows it"]
        rulings = [role.ruling("")]
    return Explanation(not refused, role.name, reasons, rulings, readable, writable)


def _read(
    image: Image, class_name: str, types: Types | None, role: Granted
) -> tuple[bool, str, str]:
    """Whether an object may be read, the clause that says so, and how it does."""
    if role.readable.is_none:
        return False, "fields", "allows no field"
    if as_filter(role.write, class_name, types).matches(image.get):
        return True, "document_filters.write", "holds"
    if as_filter(role.read, class_name, types).matches(image.get):
        return True, "document_filters.read", "holds"
    return False, "document_filters.read", "does not hold"


def _fields(
    image: Image, class_name: str, types: Types | None, role: Granted
) -> tuple[list[str], list[str]]:
    names = set(queryable(unpack_trusted(image.head))) if image.head is not None else set()
    known = None if types is None else types.schema.classes.get(class_name)
    names.update(() if known is None else known.properties)
    names.discard(KEY_NAME)

    def some(access: Access) -> list[str]:
        return sorted(name for name in names if not access.of(name).is_none)

    return some(role.readable), some(role.writable)


def _base(reader: Reader, class_name: str, row: StoredObject) -> tuple[Fields, Parts]:
    """The fields of an object, and what of them is in parts."""
    held = {part.name: part.data for part in reader.parts(class_name, row.row)}
    return unpack_trusted(row.head)[3], Parts(held.get, lambda: held)


def _delta(image: Image, operation: Operation, fields: Fields) -> list[Any]:
    now = 0 if image.head is None else unpack_trusted(image.head)[0]
    if operation == "delete":
        return [now + 1, 0, [], {}]
    if operation == "insert" and image.is_alive:
        raise UsageError(f"{image.key!r} is there already; ask about an edit")
    length = now + 1 if operation == "insert" else 0
    return [length, length or now, [], fields]


def _refusals(
    reader: Reader, types: Types | None, roles: Roles, item: ObjectDelta
) -> list[Refusal]:
    judge = Judge(types, TIME_MAX, (IDENT,), Permit(roles, types))
    ledger = tables.load_ledger(reader)
    # Planning reads only.
    Objects(cast(Writer, reader), ledger.horizon).plan(item, ledger.version, judge)
    return judge.refusals
