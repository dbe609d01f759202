"""Room for what a pending changeset may become before the server has it.

A changeset is renamed when its file gets an ident, or another one, and re-based when what it was
written on is forgotten: both make it longer. One that no longer fits then can never be uploaded.

Rule 1: a transaction fits if its changeset does with all idents and sequences as long as they are
        ever, and with two records, the longest there are, for each run of places in its lists:
        hung anew, runs are at most cut where others begin. [CHG-14]
"""

from __future__ import annotations

from dataclasses import replace

from replication.crdt.list import Elements, Id, contract
from replication.crdt.register import Stamp
from replication.crdt.substitute import Substitution
from replication.errors import LimitExceededError
from replication.history.changeset import Changeset, encode_unbounded
from replication.limits import CHANGESET_BYTES_MAX

#: Nothing grows more than so many times: below, there is nothing to look at.
_GROWTH_MAX = 16
#: An ident or a sequence from here on takes the most bytes a number can.
_LONG = 2**40
#: Bytes by which a run grows at most when it gets another link, and those of one more run.
_RUN_BYTES = 100


def check_room(changeset: Changeset, size: int) -> None:
    """Raise LimitExceededError unless a changeset of ``size`` bytes will always fit. Rule 1."""
    if size <= CHANGESET_BYTES_MAX // _GROWTH_MAX:
        return
    most = longest(changeset)
    if most > CHANGESET_BYTES_MAX:
        raise LimitExceededError(
            f"a transaction of {size} bytes, which may become {most} when its ids are those of an "
            f"identified file; at most {CHANGESET_BYTES_MAX} are allowed, so split it"
        )


def longest(changeset: Changeset) -> int:
    """How many bytes a changeset may have once it was renamed and re-based."""
    widest = _Widest()
    objects = [item._replace(delta=widest.object(item.delta)) for item in changeset.objects]
    renamed = replace(changeset, objects=objects, horizon=2**62)
    return len(encode_unbounded(renamed)) + _RUN_BYTES * widest.runs


class _Widest(Substitution):
    """Gives everything a long name; different ones stay different, and runs stay runs.

    Attributes:
        runs: how many runs of places there were.
    """

    __slots__ = ("runs",)

    def __init__(self) -> None:
        super().__init__(_stamp, _id)
        self.runs = 0

    def _elements(self, old: Elements) -> Elements:
        out = super()._elements(old)
        self.runs += len(contract(out)[0])
        return out


def _stamp(time: int, origin: int) -> Stamp:
    return (time, _long(origin))


def _id(ident: int, sequence: int) -> Id:
    return (_long(ident), _long(sequence))


def _long(number: int) -> int:
    return number if number >= _LONG else number + _LONG
