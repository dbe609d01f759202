"""What a refused part is called, and why parts are refused.

The reasons are part of the protocol: an app may act on them.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from replication.model.encoding import pack
from replication.model.values import Key
from replication.protocol import refusals
from replication.rules.roles import NO_RULING, Ruling

DELETED: Final = "deleted"
DEPENDS: Final = refusals.DEPENDS
REPLACED: Final = "replaced"
CAUSAL_LENGTH: Final = "causal length"
UNKNOWN_CLASS: Final = "unknown class"
UNKNOWN_PROPERTY: Final = "unknown property"
WRONG_TYPE: Final = "wrong type"
#: A class or property of the changeset's schema contradicts the server's.
SCHEMA: Final = "schema"
#: The object would pass what one message can carry.
TOO_LARGE: Final = "too large"
#: The user's role does not allow it.
NOT_PERMITTED: Final = "not permitted"
#: The session's subscriptions do not see it, and the server is strict about that.
OUTSIDE_VIEW: Final = "outside of the view"
#: It is, or would be, an object of another partition.
OUTSIDE_PARTITION: Final = "outside of the partition"
#: Nothing wrong with it, but its transaction was to be refused whole.
ATOMIC: Final = "atomic"
#: Stands for all refusals of a changeset past REFUSALS_PER_CHANGESET_MAX.
MORE: Final = "more"

REASONS: Final = (
    DELETED, DEPENDS, REPLACED, CAUSAL_LENGTH, UNKNOWN_CLASS, UNKNOWN_PROPERTY, WRONG_TYPE, SCHEMA,
    TOO_LARGE, NOT_PERMITTED, OUTSIDE_VIEW, OUTSIDE_PARTITION, ATOMIC, MORE,
)  # fmt: skip


class Refusal(NamedTuple):
    """One part that was refused."""

    class_name: str
    #: None where it is about no single object.
    key: Key | None
    #: Names, dictionary keys, [ident, sequence] of elements, the (first) bytes of set members.
    path: list[Any]
    reason: str
    #: A sentence that names the value.
    message: str
    #: What of the rules decided it.
    ruling: Ruling = NO_RULING


def weight(refusal: Refusal) -> int:
    """Its bytes in an ACK, roughly."""
    texts = (refusal.class_name, refusal.reason, refusal.message, *refusal.ruling)
    return len(pack(refusal.path)) + len(pack(refusal.key)) + sum(map(len, texts)) + 32
