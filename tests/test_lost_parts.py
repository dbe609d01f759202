"""What is told of a loss, part by part: rules, stamps and values, and what was lost in between."""

from __future__ import annotations

from typing import Any

import pytest
import replicas
from replicas import Replica, wander
from test_lost import FAMILIES, History, within

from replication.client.losses import Side
from replication.client.lost import lost_parts, may_lose
from replication.crdt import object as obj
from replication.crdt.incarnation import clone
from replication.crdt.object import merge
from replication.model.values import ERASED


def edit(kind: int, held: Any) -> Any:
    return [0, 1, [], {kind: held}]


def written(name: str, value: Any, time: int, by: int) -> Any:
    return edit(obj.REGISTER, [[time, by, {name: value}]])


# -- several deltas at once --------------------------------------------------------------------
class Batches(History):
    """Devices that read several deltas at once, as a download brings them.

    Attributes:
        hits: how often such a one took something away.
    """

    hits = 0

    def read(self, device: Replica, other: Replica) -> None:
        names = [each for each in other.known if each not in device.known]
        names = names[: self.rng.randint(2, 10)]
        before = Side(clone(device.state), None)
        own = [each for each in device.known if each[0] == device.ident]
        news: Any = None
        lost = set()
        for name in names:
            delta = other.known[name]
            was = Side(clone(device.state), None)
            device.receive(name, clone(delta))
            news = clone(delta) if news is None else merge(news, clone(delta))
            now, since = Side(device.state, None), (self.times[name], name[0])
            for each in own:
                stamp = (self.times[each], each[0])
                if each not in self.seen[name] and lost_parts(
                    device.known[each], stamp, clone(delta), was, now, since
                ):
                    lost.add(each)
        after = Side(device.state, None)
        for each in lost if len(names) > 1 else ():
            self.hits += 1
            where = f"seed {self.seed}: {each} loses to {names}"
            assert may_lose(device.known[each], news), where
            stamp = (self.times[each], each[0])
            assert lost_parts(
                device.known[each], stamp, news, before, after, perhaps=True
            ), where  # fmt: skip


#: Of those that were not told once: an increment, a removal.
UNTOLD = [37, 77, 247, 376, 1006]


def test_what_one_delta_of_several_takes_away_may_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """JOURNAL-1: whatever comes behind it in the same download."""
    hits = 0
    for seed in [*UNTOLD, *range(40)]:
        history = Batches(seed)
        if seed % 5:
            monkeypatch.setattr(replicas, "VALUES", [None, True, 1, "b"])
            history.run(30, within(history.rng, FAMILIES[seed % len(FAMILIES)]))
        else:
            monkeypatch.undo()
            history.run(30, wander(history.rng))
        hits += history.hits
    assert hits > 50


ADDED = edit(obj.COUNTER, {"n": 5})
REMOVED = edit(obj.SET, {"s": [[], [[5, 2, {b"\x01": False}]]]})
ERASED_KEY = edit(obj.DICTIONARY, {"d": [[], [[5, 2, {"k": ERASED}]], {}]})


@pytest.mark.parametrize(
    ("own", "start", "first", "second"),
    [
        # It counts on the number that comes, and no more on what comes behind that.
        (ADDED, written("n", True, 3, 4), written("n", 1, 7, 3), written("n", "x", 8, 3)),
        # It is there again once somebody inserts it, and gone with all that is there.
        (
            REMOVED,
            edit(obj.SET, {}),
            edit(obj.SET, {"s": [[], [[7, 3, {b"\x01": True}]]]}),
            edit(obj.SET, {"s": [[8, 3, 3, 9], []]}),
        ),
        (
            ERASED_KEY,
            edit(obj.DICTIONARY, {}),
            edit(obj.DICTIONARY, {"d": [[], [[7, 3, {"k": 1}]], {}]}),
            edit(obj.DICTIONARY, {"d": [[8, 3, 3, 9], [], {}]}),
        ),
    ],
    ids=["increment", "member", "key"],
)
def test_what_comes_back_and_is_lost_in_one_download(
    own: Any, start: Any, first: Any, second: Any
) -> None:
    """JOURNAL-1: what shows neither before nor after was lost in between, and may be told."""
    states = [merge(merge([1, 1, [], {}], clone(start)), clone(own))]
    for each in (first, second):
        states.append(merge(clone(states[-1]), clone(each)))
    before, between, after = (Side(each, None) for each in states)
    news = merge(clone(first), clone(second))
    assert lost_parts(own, (5, 2), news, before, after) == []
    one_by_one = [
        *lost_parts(own, (5, 2), first, before, between, (7, 3)),
        *lost_parts(own, (5, 2), second, between, after, (8, 3)),
    ]
    assert len(one_by_one) == 1
    assert lost_parts(own, (5, 2), news, before, after, perhaps=True)
