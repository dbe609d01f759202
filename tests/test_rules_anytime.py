"""R15: what a user may do changes at every point of a bootstrap and of an upload.

Exhaustive on a small scope: a device bootstraps, writes and uploads by single messages, and before
each of its steps the rules change once; with the connection whole, cut, or the server started again
at that point. Whatever the point, it ends with what it may read, and what it uploaded was
judged, each changeset whole, by the rules before or by those after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from replicas import Edit
from server_devices import Device
from test_rules_feed import Library, filtered, setting
from test_rules_roles import role

from replication.crdt.object import is_alive
from replication.crdt.view import object_view
from replication.server.refusals import NOT_PERMITTED

KEYS = 3
RED, BLUE = {"team": "red"}, {"team": "blue"}
ALL = filtered(True, True)
#: What holds before and after.
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "widened": (filtered(RED, RED), ALL),
    "narrowed": (ALL, filtered(RED, RED)),
    "exchanged": (filtered(RED, RED), filtered(BLUE, BLUE)),
    "the role lost": (ALL, filtered(True, True, when={"%%user.id": "bob"})),
    "the role gained": (filtered(True, True, when={"%%user.id": "bob"}), ALL),
    "a field hidden": (ALL, role("r", fields={"team": {"write": True}, "n": {"write": True}})),
    "a field shown": (role("r", fields={"team": {"write": True}}), ALL),
    "writing lost": (ALL, filtered(True, False)),
    "writing gained": (filtered(True, False), ALL),
}


def cut(library: Library) -> None:
    library.ann.cut()


def restart(library: Library) -> None:
    library.ann.cut()
    library.world.start()
    library.owner.connect()


#: What happens to the connection at that point.
BREAKS: dict[str, Callable[[Library], None]] = {
    "whole": lambda library: None,
    "cut": cut,
    "restarted": restart,
}


def library_under(before: dict[str, Any], script: Script) -> Library:
    """The books, and a device that has them unless the script is to bring them."""
    library = Library(before, bytes_target=1, entries_max=1)
    for key in range(KEYS):
        library.write(key, team=("red", "blue")[key % 2], note=f"note {key}", n=0)
    library.ann.run()
    if script.begins:
        library.ann = Device(library.world, "ann")
    library.ann.clock.receive(library.owner.clock.last)  # what it writes blindly is later, too
    return library


def step(library: Library) -> bool:
    """One message is taken, or the device connects again; whether there was anything to do."""
    if library.ann.session is None:
        library.ann.connect()
        return True
    return library.ann.step()


class Script(NamedTuple):
    """What a device does.

    Attributes:
        begins: by asking for all books, of which it has none yet.
        writes: key and value, one object each.
    """

    begins: bool
    writes: list[tuple[int, int]]

    @property
    def acts(self) -> list[Callable[[Library], None]]:
        """Its steps."""
        first = [subscribe] if self.begins else []
        return [*first, *(writing(*each) for each in self.writes)]


def played(name: str, broken: str, at: int, script: Script) -> int:
    """Play a script, with a change before one of its steps; returns how many steps there were."""
    before, after = CHANGES[name]
    library = library_under(before, script)
    steps = 0

    def turn() -> None:
        nonlocal steps
        if steps == at:
            library.now(after)
            BREAKS[broken](library)
        steps += 1

    for act in script.acts:
        turn()
        act(library)
        library.ann.talk()
        for _ in range(2):
            turn()
            step(library)
    turn()
    while step(library):
        turn()
    assert steps > at or at == NEVER
    query = next(iter(library.ann.active.values()), None)
    expected = {} if query is None else library.may_read("ann", query)
    assert library.ann.holds() == expected
    check_uploads(library, script.writes)
    return steps


def check_uploads(library: Library, writes: list[tuple[int, int]]) -> None:
    """Every changeset was acknowledged; what was not refused is there, what was is not."""
    ann = library.ann
    assert ann.acknowledged == ann.written
    refused = {item[0] for item in ann.refused if item[3] in ([], ["n"])}
    assert {item[4] for item in ann.refused} <= {NOT_PERMITTED}
    shown = {
        key: object_view(state) or {}
        for (_, key), state in library.world.states().items()
        if is_alive(state)
    }
    for number, (key, value) in enumerate(writes, start=1):
        if number <= ann.written:
            there = shown.get(key, {}).get("n") == value
            assert there is (number not in refused), (number, ann.refused)


#: One object each; the last is a new one.
WRITES = [(0, 11), (1, 12), (2, 13), (KEYS, 14)]


def writing(key: int, value: int) -> Callable[[Library], None]:
    def act(library: Library) -> None:
        def edit(edit: Edit) -> None:
            setting(**({"n": value} if is_alive(edit.view) else {"n": value, "team": "red"}))(edit)

        library.ann.write(edit, ("Book", key))

    return act


def subscribe(library: Library) -> None:
    library.ann.subscribe(Book="n >= 0")


SCRIPTS = {
    "a bootstrap": Script(True, []),
    "uploads": Script(False, WRITES),
    "both": Script(True, WRITES[2:]),
}
#: More steps than any script has.
NEVER = 10**6


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("script", SCRIPTS)
def test_rules_that_change_at_any_point(script: str, name: str, broken: str) -> None:
    """R15 [RULES-CHANGE-1] [RULES-CHANGE-2] [RULES-CHANGE-4]"""
    points = played(name, broken, NEVER, SCRIPTS[script])
    for at in range(points):
        played(name, broken, at, SCRIPTS[script])


def test_the_scripts_have_points_in_the_middle() -> None:
    """Each object is a message of its own, and each write an upload."""
    for name in SCRIPTS:
        assert played("narrowed", "whole", NEVER, SCRIPTS[name]) >= 5, name
