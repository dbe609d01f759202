"""What forgetting means: the reference model of merging, with horizons. [FORGET]

Horizons divide history into *ages*. A changeset is of the age in which it is merged; one that was
written before a horizon and is merged behind it is *late*. The model keeps all operations for ever,
as `reference.py` does, but at the end of each age some of them are *spent*: a reader of later
ages no longer asks them. Spent are

    all writes to a member of a set, or key of a dictionary, whose last one removed it.

So a member or key that was removed is not told apart any more from one that never was. [FORGET-5]
Nothing else is spent. A state drops more, places, records of what was erased and containers, and no
reader can tell: the model drops none of them, and has to show the same.

What has to be equal, then:

Law 1:  a state shows what the model does, whenever it forgets what is to be forgotten.
        [FORGET-1] to [FORGET-10]
Law 2:  what somebody writes who has passed the horizon comes to the same as if it had never been:
        ages make no difference to the model as long as nothing is late.
Law 3:  what is late and was re-based shows what it would have shown as it was written: the same
        elements with the same values. Only the order of a list may be another one, and not among
        places that its author knew, its own included (`alike`). [REBASE-1] [REBASE-2]
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from typing import Any

from reference import SET, Operation, Where, _Reader, operations

from replication.model.encoding import pack
from replication.model.values import _Erased


class Aged:
    """All operations of one object that a replica knows, age by age."""

    def __init__(self) -> None:
        self._ages: list[dict[Hashable, list[Operation]]] = [{}]

    def take(self, changeset: Hashable, delta: Any) -> None:
        """Receive a delta, once, in this age."""
        self.take_facts(changeset, operations(delta))

    def take_facts(self, changeset: Hashable, facts: list[Operation]) -> None:
        """The same for a delta that is taken apart already."""
        self._ages[-1].setdefault(changeset, facts)

    def forget(self) -> None:
        """This age is over."""
        self._ages.append({})

    def value(self, *, named: bool = False) -> Any:
        """What a reader sees; see `reference._Reader` for ``named``."""
        kept: list[list[Operation]] = []
        for age in self._ages[:-1]:
            kept = [unspent([*kept, *age.values()])]
        return _Reader([*kept, *self._ages[-1].values()], named=named).object(())


def unspent(known: Iterable[list[Operation]]) -> list[Operation]:
    """The operations of an age and of those before it that later ones still ask."""
    facts = [fact for changeset in known for fact in changeset]
    return without(facts, removed(facts))


def removed(facts: list[Operation]) -> set[Where]:
    """The members and keys whose last write removed them."""
    reader = _Reader([facts])
    writes = {where for where, what, *_ in facts if what == "write" and where[-2] == "key"}
    return {where for where in writes if _is_removed(reader, where)}


def without(facts: list[Operation], gone: set[Where]) -> list[Operation]:
    """Operations but for those on members and keys that are gone."""
    return [
        fact
        for fact in facts
        if fact[0] not in gone and not (fact[1] == "key" and (*fact[0], "key", fact[2]) in gone)
    ]


def _is_removed(reader: _Reader, where: Where) -> bool:
    """Whether a member (of a set) or key (of a dictionary) was written, and is not there."""
    (latest,) = reader._latest(where)
    return isinstance(latest, _Erased) or (where[-6] == SET and latest is False)


def alike(left: Any, right: Any, known: Collection[frozenset[Any]]) -> bool:
    """Whether two named values are the same but for the order of lists. Law 3.

    Args:
        known: of every late changeset, the places its author knew; among them order counts.
    """
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            alike(left[name], right[name], known) for name in left
        )
    if not (_is_list(left) and _is_list(right)):
        return _is_list(left) == _is_list(right) and pack(left) == pack(right)
    others = {here: (place, shown) for here, place, shown in right}
    return (
        {here for here, _, _ in left} == others.keys()
        and len(left) == len(right)
        and all(
            place == others[here][0] and alike(shown, others[here][1], known)
            for here, place, shown in left
        )
        and all(
            [here for here, place, _ in left if place in places]
            == [here for here, place, _ in right if place in places]
            for places in known
        )
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is tuple for each in value)


def places_in(facts: Iterable[Operation]) -> frozenset[Any]:
    """The places that operations speak of."""
    return frozenset(fact[2] for fact in facts if fact[1] == "place")
