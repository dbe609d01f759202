"""What is told of a loss, part by part: rules, stamps and values, and what was lost in between."""

from __future__ import annotations

from typing import Any

import pytest
from replicas import WALL_MS, Replica
from test_lost import History, run

from replication.client.losses import Side
from replication.client.lost import lost_parts, may_lose
from replication.crdt import object as obj
from replication.crdt.container import container_id, property_container
from replication.crdt.incarnation import clone
from replication.crdt.object import merge
from replication.crdt.register import find
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
        run(history, seed, 30, monkeypatch)
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


# -- what is told, exactly ---------------------------------------------------------------------
def losses(start: Any, own: Any, news: Any, *, earlier: bool = False) -> list[Any]:
    """What the second device loses to the third, both of which read the first.

    Each as (rule, whether the stamp of the third is named, way, did, old, new).
    """
    first, mine, theirs = (Replica(ident, wall_ms=WALL_MS + ident) for ident in (1, 2, 3))
    mine.wall_ms += 10 * earlier
    first.write(lambda edit: edit.create())
    first.write(start)
    for device in (mine, theirs):
        device.read(first)
    delta, time = mine.write(own), mine.clock.last
    other, since = theirs.write(news), (theirs.clock.last, 3)
    before = Side(clone(mine.state), None)
    mine.read(theirs)
    found = lost_parts(delta, (time, 2), other, before, Side(mine.state, None), since)
    assert {cause.stamp for cause, _ in found} <= {None, since}
    told = lost_parts(delta, (time, 2), other, before, Side(mine.state, None), since, perhaps=True)
    assert {repr(each) for each in found} <= {repr(each) for each in told}
    return [(cause.rule, cause.stamp is not None, *lost) for cause, lost in found]


def on(act: Any) -> Any:
    return lambda edit: act(edit.scope())


def nested(act: Any) -> Any:
    return lambda edit: act(edit.nested(edit.scope()))


def nothing(_: Any) -> None:
    pass


def both(*acts: Any) -> Any:
    def act(edit: Any) -> None:
        for each in acts:
            each(edit)

    return act


def in_list(act: str, *arguments: Any, name: str = "l") -> Any:
    def do(edit: Any) -> None:
        scope = edit.scope()
        getattr(scope, act)(name, edit.editor(scope, name), *arguments)

    return do


def outer_of(scope: Any, key: str = "") -> bytes:
    """The dictionary in the property a, or the container at a key of that."""
    slot = property_container(scope.view, "a")
    assert slot is not None
    held = find(scope.view[obj.CONTAINER][slot][1][1], key)
    found = slot if held is None else container_id(held[2][key])
    assert found is not None
    return found


def outer(nested: Any, key: str = "") -> bytes:
    return outer_of(nested._scope, key)


def in_element(nested: Any, index: int) -> bytes:
    editor = nested._editor("l")
    found = container_id(editor.elements.values[editor.id_at(index)][2])
    assert found is not None
    return found


#: The same, where the clock of the third one is behind.
EARLIER: dict[str, Any] = {
    "item removed, all cleared": (
        on(lambda s: s.create_item("d", "k", 0)),
        on(lambda s: s.erase_item("d", "k", 1)),
        both(
            on(lambda s: s.restart(obj.DICTIONARY, "d")),
            on(lambda s: s.create_item("d", "k", 0)),
        ),
        [("clear or assignment", True, ("d", "k"), "deleted", None, None)],
    ),
    "deleted": (
        nothing,
        lambda e: e.delete(),
        both(lambda e: e.delete(), lambda e: e.create()),
        [("replacement", False, (), "deleted", None, None)],
    ),
    "null, created anew": (
        on(lambda s: s.create_embedded("e", 0)),
        on(lambda s: s.erase_embedded("e", 1)),
        both(on(lambda s: s.erase_embedded("e", 1)), on(lambda s: s.create_embedded("e", 1))),
        [("replacement", False, ("e",), "deleted", None, None)],
    ),
    "null, all created anew": (
        on(lambda s: s.create_embedded("e", 0)),
        on(lambda s: s.erase_embedded("e", 1)),
        both(lambda e: e.delete(), lambda e: e.create(), on(lambda s: s.create_embedded("e", 0))),
        [("replacement", False, ("e",), "deleted", None, None)],
    ),
    "item removed, created anew": (
        on(lambda s: s.create_item("d", "k", 0)),
        on(lambda s: s.erase_item("d", "k", 1)),
        both(on(lambda s: s.erase_item("d", "k", 1)), on(lambda s: s.create_item("d", "k", 1))),
        [("replacement", False, ("d", "k"), "deleted", None, None)],
    ),
    "default": (
        nothing,
        on(lambda s: s.set_default("a", 1)),
        on(lambda s: s.set("a", 2)),
        [("write over a default", True, ("a",), "set", 1, 2)],
    ),
    "set": (
        nothing,
        on(lambda s: s.set("a", 1)),
        on(lambda s: s.set("a", 2)),
        [],
    ),
    "set, deleted": (
        nothing,
        on(lambda s: s.set("a", 1)),
        lambda e: e.delete(),
        [("deletion", False, ("a",), "set", 1, None)],
    ),
    "element set": (
        in_list("list_insert", 0, ["x", "y", "z"]),
        in_list("list_set", 1, "mine"),
        in_list("list_set", 1, "theirs"),
        [],
    ),
    "element set, erased": (
        in_list("list_insert", 0, ["x", "y", "z"]),
        in_list("list_set", 1, "mine"),
        in_list("list_erase", 1),
        [("erasure", False, ("l", (1, 2)), "set", "mine", None)],
    ),
    "element moved": (
        in_list("list_insert", 0, ["x", "y", "z"]),
        in_list("list_move", 2, 0),
        in_list("list_move", 2, 1),
        [],
    ),
    "no number": (
        on(lambda s: s.set("n", 1)),
        on(lambda s: (s.set("n", 2), s.add("n", 5))),
        on(lambda s: s.set("n", "x")),
        [],
    ),
    "cleared": (
        in_list("list_insert", 0, ["x", "y", "z"]),
        both(on(lambda s: s.restart(obj.LIST, "l")), in_list("list_insert", 0, ["mine"])),
        on(lambda s: s.restart(obj.LIST, "l")),
        [],
    ),
}
#: What the first, second and third device write; what the second one loses.
LOSSES: dict[str, Any] = {
    "key set to False, cleared": (
        nothing,
        on(lambda s: s.put_item("d", "k", False)),
        on(lambda s: s.restart(obj.DICTIONARY, "d")),
        [("clear or assignment", True, ("d", "k"), "set", False, None)],
    ),
    "key set to False, deleted": (
        nothing,
        on(lambda s: s.put_item("d", "k", False)),
        lambda edit: edit.delete(),
        [("deletion", False, ("d", "k"), "set", False, None)],
    ),
    "later": (
        nothing,
        on(lambda s: s.set("a", 1)),
        on(lambda s: s.set("a", 2)),
        [("later write", True, ("a",), "set", 1, 2)],
    ),
    "default": (
        nothing,
        on(lambda s: s.set_default("a", 1)),
        on(lambda s: s.set("a", 2)),
        [("write over a default", True, ("a",), "set", 1, 2)],
    ),
    "defaults": (
        nothing,
        on(lambda s: s.set_default("a", 1)),
        on(lambda s: s.set_default("a", 2)),
        [("later write", True, ("a",), "set", 1, 2)],
    ),
    "a list instead": (
        nothing,
        on(lambda s: s.set("a", 1)),
        nested(lambda n: n.set("a", [1, {"k": 2}])),
        [("later write", True, ("a",), "set", 1, [1, {"k": 2}])],
    ),
    "a list": (
        nothing,
        nested(lambda n: n.set("a", [1, {"k": 2}])),
        on(lambda s: s.set("a", 2)),
        [("later write", True, ("a",), "set", [1, {"k": 2}], 2)],
    ),
    "no number": (
        nothing,
        on(lambda s: s.add("n", 5)),
        nested(lambda n: n.set("n", [1])),
        [("no number", True, ("n",), "added", 5, [1])],
    ),
    "another number": (
        nothing,
        on(lambda s: s.add("n", 5)),
        on(lambda s: s.set("n", 1)),
        [],
    ),
    "added, deleted": (
        nothing,
        on(lambda s: s.add("n", 5)),
        lambda e: e.delete(),
        [("deletion", False, ("n",), "added", 5, None)],
    ),
    "set, deleted": (
        on(lambda s: s.set("a", 0)),
        on(lambda s: s.set("a", 1)),
        lambda e: e.delete(),
        [("deletion", False, ("a",), "set", 1, None)],
    ),
    "created anew": (
        on(lambda s: s.set("a", 0)),
        on(lambda s: s.set("a", 1)),
        both(lambda e: e.delete(), lambda e: e.create(), on(lambda s: s.set("a", 3))),
        [("replacement", False, ("a",), "set", 1, 3)],
    ),
    "deleted": (
        on(lambda s: s.set("a", 0)),
        lambda e: e.delete(),
        both(lambda e: e.delete(), lambda e: e.create()),
        [],
    ),
    "inserted": (
        on(lambda s: s.set_member("s", 1, present=True)),
        on(lambda s: s.set_member("s", 2, present=True)),
        on(lambda s: s.set_member("s", 2, present=False)),
        [("later write", True, ("s",), "inserted", 2, None)],
    ),
    "removed": (
        on(lambda s: s.set_member("s", 1, present=True)),
        on(lambda s: s.set_member("s", 1, present=False)),
        on(lambda s: s.set_member("s", 1, present=True)),
        [("later write", True, ("s",), "removed", None, 1)],
    ),
    "cleared set": (
        nothing,
        on(lambda s: s.set_member("s", 2, present=True)),
        on(lambda s: s.restart(obj.SET, "s")),
        [("clear or assignment", True, ("s",), "inserted", 2, None)],
    ),
    "cleared and inserted the same": (
        nothing,
        on(lambda s: s.set_member("s", 2, present=True)),
        both(
            on(lambda s: s.restart(obj.SET, "s")), on(lambda s: s.set_member("s", 2, present=True))
        ),
        [],
    ),
    "key": (
        nothing,
        on(lambda s: s.put_item("d", "k", 1)),
        nested(lambda n: n.put_item("d", "k", [2])),
        [("later write", True, ("d", "k"), "set", 1, [2])],
    ),
    "key erased": (
        on(lambda s: s.put_item("d", "k", 1)),
        on(lambda s: s.put_item("d", "k", 2)),
        on(lambda s: s.put_item("d", "k", ERASED)),
        [("later write", True, ("d", "k"), "set", 2, None)],
    ),
    "key removed": (
        on(lambda s: s.put_item("d", "k", 1)),
        on(lambda s: s.put_item("d", "k", ERASED)),
        on(lambda s: s.put_item("d", "k", 3)),
        [("later write", True, ("d", "k"), "removed", None, 3)],
    ),
    "cleared dictionary": (
        nothing,
        on(lambda s: s.put_item("d", "k", 1)),
        both(on(lambda s: s.restart(obj.DICTIONARY, "d")), on(lambda s: s.put_item("d", "k", 2))),
        [("clear or assignment", True, ("d", "k"), "set", 1, 2)],
    ),
    "embedded, null": (
        on(lambda s: s.create_embedded("e", 0)),
        on(lambda s: s.embedded("e").set("a", 1)),
        on(lambda s: s.erase_embedded("e", 1)),
        [("deletion", False, ("e", "a"), "set", 1, None)],
    ),
    "embedded, replaced": (
        on(lambda s: s.create_embedded("e", 0)),
        on(lambda s: s.embedded("e").set("a", 1)),
        on(lambda s: s.create_embedded("e", 1).set("a", 2)),
        [("replacement", True, ("e", "a"), "set", 1, 2)],
    ),
    "embedded of both": (
        nothing,
        on(lambda s: s.create_embedded("e", 0).set("a", 1)),
        on(lambda s: s.create_embedded("e", 0).set("a", 2)),
        [("later write", True, ("e", "a"), "set", 1, 2)],
    ),
    "assigned, replaced": (
        on(lambda s: s.create_embedded("e", 0)),
        on(lambda s: s.create_embedded("e", 1).set("a", 1)),
        on(lambda s: s.create_embedded("e", 1).set("b", 2)),
        [
            ("replacement", True, ("e",), "created", None, None),
            ("replacement", True, ("e", "a"), "set", 1, None),
        ],
    ),
    "null, replaced": (
        on(lambda s: s.create_embedded("e", 0)),
        on(lambda s: s.erase_embedded("e", 1)),
        both(on(lambda s: s.erase_embedded("e", 1)), on(lambda s: s.create_embedded("e", 1))),
        [],
    ),
    "embedded, all deleted": (
        on(lambda s: s.create_embedded("e", 0)),
        on(lambda s: s.create_embedded("e", 1).set("a", 1)),
        lambda e: e.delete(),
        [
            ("deletion", False, ("e",), "created", None, None),
            ("deletion", False, ("e", "a"), "set", 1, None),
        ],
    ),
    "null in what was created anew": (
        on(lambda s: s.create_embedded("e", 0)),
        on(lambda s: s.erase_embedded("e", 1)),
        both(lambda e: e.delete(), lambda e: e.create(), on(lambda s: s.create_embedded("e", 0))),
        [],
    ),
    "item": (
        on(lambda s: s.create_item("d", "k", 0)),
        on(lambda s: s.item("d", "k").set("a", 1)),
        on(lambda s: s.erase_item("d", "k", 1)),
        [("deletion", False, ("d", "k", "a"), "set", 1, None)],
    ),
    "items of both": (
        on(lambda s: (s.create_item("d", "k", 0), s.create_item("d", "j", 0))),
        on(lambda s: (s.item("d", "k").set("a", 1), s.item("d", "j").set("a", 1))),
        on(lambda s: s.item("d", "k").set("a", 2)),
        [("later write", True, ("d", "k", "a"), "set", 1, 2)],
    ),
    "element set": (
        in_list("list_insert", 0, ["x", "y", "z"]),
        in_list("list_set", 1, "mine"),
        in_list("list_set", 1, "theirs"),
        [("later write", True, ("l", (1, 2)), "set", "mine", "theirs")],
    ),
    "element erased": (
        in_list("list_insert", 0, ["x", "y", "z"]),
        in_list("list_set", 1, "mine"),
        in_list("list_erase", 1),
        [("erasure", False, ("l", (1, 2)), "set", "mine", None)],
    ),
    "element moved": (
        in_list("list_insert", 0, ["x", "y", "z"]),
        in_list("list_move", 2, 0),
        in_list("list_move", 2, 1),
        [("later write", True, ("l", (1, 3)), "moved", 0, 1)],
    ),
    "moved, erased": (
        in_list("list_insert", 0, ["x", "y", "z"]),
        in_list("list_move", 2, 0),
        in_list("list_erase", 2),
        [("erasure", False, ("l", (1, 3)), "moved", 0, None)],
    ),
    "moved, set": (
        in_list("list_insert", 0, ["x", "y", "z"]),
        in_list("list_move", 2, 0),
        in_list("list_set", 2, "theirs"),
        [],
    ),
    "inserted, list cleared": (
        in_list("list_insert", 0, ["x", "y", "z"]),
        both(in_list("list_insert", 1, ["mine"]), in_list("list_move", 0, 2)),
        on(lambda s: s.restart(obj.LIST, "l")),
        [
            ("clear or assignment", True, ("l", (1, 1)), "moved", 2, None),
            ("clear or assignment", True, ("l", (2, 1)), "inserted", "mine", None),
        ],
    ),
    "element set to the same": (
        in_list("list_insert", 0, ["x", "y", "z"]),
        in_list("list_set", 1, "same"),
        in_list("list_set", 1, "same"),
        [],
    ),
    "in a dictionary, replaced": (
        nested(lambda n: n.set("a", {"k": [1]})),
        nested(lambda n: n.put_item(outer(n), "j", 1)),
        on(lambda s: s.set("a", 2)),
        [("replacement", True, ("a", "j"), "set", 1, None)],
    ),
    "in a dictionary, its key": (
        nested(lambda n: n.set("a", {"k": [1]})),
        nested(lambda n: n.put_item(outer(n), "k", 1)),
        nested(lambda n: n.put_item(outer(n), "k", {"n": 2})),
        [("later write", True, ("a", "k"), "set", 1, {"n": 2})],
    ),
    "in a list of a key, replaced": (
        nested(lambda n: n.set("a", {"k": [1]})),
        nested(lambda n: n.list_insert(outer(n, "k"), 1, [2])),
        nested(lambda n: n.put_item(outer(n), "k", None)),
        [("replacement", True, ("a", "k", (2, 1)), "inserted", 2, None)],
    ),
    "in a list of a key, outermost replaced": (
        nested(lambda n: n.set("a", {"k": [1]})),
        nested(lambda n: n.list_insert(outer(n, "k"), 1, [2])),
        nested(lambda n: n.set("a", {"k": [3]})),
        [("replacement", True, ("a", "k", (2, 1)), "inserted", 2, None)],
    ),
    "in a list, cleared": (
        nested(lambda n: n.set("a", {"k": [1]})),
        nested(lambda n: n.list_insert(outer(n, "k"), 1, [2])),
        on(lambda s: s.restart(obj.LIST, outer_of(s, "k"))),
        [("clear or assignment", True, ("a", "k", (2, 1)), "inserted", 2, None)],
    ),
    "in a list of an element, replaced": (
        nested(lambda n: n.list_insert("l", 0, [[1], [2]])),
        nested(lambda n: n.list_insert(in_element(n, 1), 1, [3])),
        nested(lambda n: n.list_set("l", 1, 5)),
        [("replacement", True, ("l", (1, 4), (2, 1)), "inserted", 3, None)],
    ),
    "in a list of an element, erased": (
        nested(lambda n: n.list_insert("l", 0, [[1], [2]])),
        nested(lambda n: n.list_insert(in_element(n, 1), 1, [3])),
        in_list("list_erase", 1),
        [("erasure", False, ("l", (1, 4), (2, 1)), "inserted", 3, None)],
    ),
    "defaults share a list": (
        nothing,
        nested(lambda n: n.set_default("a", [1])),
        nested(lambda n: n.set_default("a", [2])),
        [],
    ),
    "shared by defaults, replaced": (
        nothing,
        both(nested(lambda n: n.set_default("a", [1])), on(lambda s: s.set("b", 1))),
        both(nested(lambda n: n.set("a", [2])), on(lambda s: s.set("b", 2))),
        [
            ("later write", True, ("b",), "set", 1, 2),
            ("replacement", True, ("a", (2, 1)), "inserted", 1, None),
        ],
    ),
    "in a list of an element, all cleared": (
        nested(lambda n: n.list_insert("l", 0, [[1], [2]])),
        nested(lambda n: n.list_insert(in_element(n, 1), 1, [3])),
        on(lambda s: s.restart(obj.LIST, "l")),
        [("clear or assignment", True, ("l", (1, 4), (2, 1)), "inserted", 3, None)],
    ),
    "in a list of a key, all cleared": (
        nested(lambda n: n.put_item("d", "k", [1])),
        nested(
            lambda n: n.list_insert(
                container_id(find(n._scope.view[obj.DICTIONARY]["d"][1], "k")[2]["k"]), 1, [2]
            )
        ),
        both(
            on(lambda s: s.restart(obj.DICTIONARY, "d")),
            nested(lambda n: n.put_item("d", "k", [1])),
        ),
        [("clear or assignment", True, ("d", "k", (2, 1)), "inserted", 2, None)],
    ),
    "in a list of a key, removed": (
        nested(lambda n: n.put_item("d", "k", [1])),
        nested(
            lambda n: n.list_insert(
                container_id(find(n._scope.view[obj.DICTIONARY]["d"][1], "k")[2]["k"]), 1, [2]
            )
        ),
        on(lambda s: s.put_item("d", "k", ERASED)),
        [("replacement", True, ("d", "k", (2, 1)), "inserted", 2, None)],
    ),
    "in a list of a key, an inner one cleared": (
        nested(lambda n: n.set("a", {"k": [1]})),
        nested(lambda n: n.list_insert(outer(n, "k"), 1, [2])),
        on(lambda s: s.restart(obj.DICTIONARY, outer_of(s))),
        [("clear or assignment", True, ("a", "k", (2, 1)), "inserted", 2, None)],
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_told_exactly(name: str) -> None:
    """JOURNAL-1 JOURNAL-2 JOURNAL-3"""
    *acts, expected = LOSSES[name]
    assert losses(*acts) == expected


@pytest.mark.parametrize("name", EARLIER)
def test_what_is_told_of_earlier_ones(name: str) -> None:
    """JOURNAL-1 JOURNAL-3: what ends anything does so at any time, and so does what was deleted."""
    *acts, expected = EARLIER[name]
    assert losses(*acts, earlier=True) == expected


def test_what_is_not_here_any_more_is_not_lost() -> None:
    """JOURNAL-1: the end of an embedded object that was forgotten, and what was written in one."""
    start, news = [1, 1, [], {}], edit(obj.EMBEDDED, {"e": [3, 3, [], {}]})
    before, after = Side(start, None), Side(merge(clone(start), clone(news)), None)
    for own in ([2, 0, [], {}], [0, 1, [], {obj.REGISTER: [[5, 2, {"a": 1}]]}]):
        assert lost_parts(edit(obj.EMBEDDED, {"e": own}), (5, 2), news, before, after) == []


@pytest.mark.parametrize(
    "later",
    [in_list("list_set", 1, "again"), in_list("list_erase", 1)],
    ids=["set again", "erased"],
)
def test_what_this_device_wrote_over_itself_is_not_lost(later: Any) -> None:
    """JOURNAL-1: it did not show when the list was cleared, nor when all was deleted."""
    for news in (on(lambda s: s.restart(obj.LIST, "l")), lambda edit: edit.delete()):
        mine, theirs = Replica(2), Replica(3, wall_ms=WALL_MS + 10)
        mine.write(lambda edit: edit.create())
        mine.write(in_list("list_insert", 0, ["x", "y", "z"]))
        theirs.read(mine)
        own, time = mine.write(in_list("list_set", 1, "mine")), mine.clock.last
        mine.write(later)
        before = Side(clone(mine.state), None)
        other = theirs.write(news)
        mine.read(theirs)
        assert lost_parts(own, (time, 2), other, before, Side(mine.state, None)) == []
