"""Refusals as an ACK carries them: what was refused of an upload, and what decided that. [REFUSAL]

    [client_version, class, key, path, reason, message]
    [client_version, class, key, path, reason, message, role, rule_path, clause]

Rule 1: the longer form is of what rules decided; the other has nothing to say there.
Rule 2: every item is checked before anything is done with it; see `read_refusal`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from replication.errors import DecodeError
from replication.history.changeset import check_class_name, check_key
from replication.limits import (
    DEPTH_MAX,
    DICTIONARY_KEY_BYTES_MAX,
    ERROR_MESSAGE_BYTES_MAX,
    IDENT_MAX,
    KEY_BYTES_MAX,
    REASON_BYTES_MAX,
    ROLE_NAME_BYTES_MAX,
    RULE_CLAUSE_BYTES_MAX,
    SEQUENCE_MAX,
    TIME_MAX,
)
from replication.model.values import Key

#: A reason clients act on; see `server.refusals` for all of them. Nothing is wrong with what was
#: refused, but what it builds on was refused, or never came.
DEPENDS: Final = "depends on a refused write"


class Refusal(NamedTuple):
    """One part of a changeset that the server did not take, and why.

    Attributes:
        client_version: of the changeset.
        class_name: of the object; empty where it is about no class.
        key: of the object; None where it is about no single one.
        path: names, dictionary keys, [ident, sequence] of elements, the (first) bytes of set
            members; empty for the whole object.
        reason: one of `server.refusals.REASONS`.
        message: a sentence that names the value.
        role: where rules decided, the user's role; empty where no role applies.
        rule_path: the place in the rules file, as in ``rules.Book[0]``; empty where rules had no
            say.
        clause: what of the role does not allow it: ``document_filters.write``,
            ``fields.title.write``, ``insert``.
    """

    client_version: int
    class_name: str
    key: Key | None
    path: list[Any]
    reason: str
    message: str
    role: str = ""
    rule_path: str = ""
    clause: str = ""

    def packed(self) -> list[Any]:
        """As it travels. Rule 1."""
        return list(self if self.rule_path else self[:6])


def read_refusal(item: Any) -> Refusal:
    """A refusal that travelled.

    Raises:
        DecodeError: it is none.
    """
    if type(item) is not list or len(item) not in (6, 9):
        raise DecodeError(f"{item!r:.60} is no refusal")
    if type(item[0]) is not int or not 0 <= item[0] <= TIME_MAX:
        raise DecodeError(f"{item[0]!r:.60} is no client version of a refusal")
    refusal = Refusal(*item)
    if refusal.class_name != "":
        check_class_name(refusal.class_name)
    if refusal.key is not None:
        check_key(refusal.key)
    _check_path(refusal.path)
    for name, bytes_max in _TEXTS.items():
        if not _fits(getattr(refusal, name), bytes_max):
            raise DecodeError(f"{getattr(refusal, name)!r:.60} is no {name} of a refusal")
    if not refusal.reason or (len(item) == 9 and not refusal.rule_path):
        raise DecodeError(f"{item!r:.60} does not say what refused it")
    return refusal


_TEXTS: Final = {
    "reason": REASON_BYTES_MAX,
    "message": ERROR_MESSAGE_BYTES_MAX,
    "role": ROLE_NAME_BYTES_MAX,
    "rule_path": RULE_CLAUSE_BYTES_MAX,
    "clause": RULE_CLAUSE_BYTES_MAX,
}


def _fits(text: Any, bytes_max: int) -> bool:
    return type(text) is str and len(text) <= bytes_max and len(text.encode()) <= bytes_max


def _check_path(path: Any) -> None:
    if type(path) is not list or len(path) > DEPTH_MAX or not all(map(_is_step, path)):
        raise DecodeError(f"{path!r:.60} is no path of a refusal")


def _is_step(step: Any) -> bool:
    if type(step) is bytes:
        return len(step) <= KEY_BYTES_MAX
    if type(step) is not list:
        return _fits(step, DICTIONARY_KEY_BYTES_MAX)
    if [type(number) for number in step] != [int, int]:
        return False
    ident, sequence = step
    return bool(0 <= ident <= IDENT_MAX and 0 <= sequence <= SEQUENCE_MAX)
