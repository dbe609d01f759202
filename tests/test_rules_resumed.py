"""Downloads that are cut, and gone on with after what a user may read has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from server_devices import Device
from test_rules_feed import Library, filtered, named, setting
from test_rules_roles import role

from replication.errors import ErrorCode
from replication.model.encoding import pack
from replication.protocol.messages import Query
from replication.server.custom_data import CustomData

KEYS = 10
#: What a user reads who is of a team.
TEAM = filtered({"team": "%%user.custom_data.team"})


def of_team(library: Library, team: str) -> None:
    library.owner.write(setting(team=team), ("Person", "ann"))
    library.owner.run()


def restarted(rules: dict[str, Any]) -> Callable[[Library], None]:
    """The server stops, and comes back with another rules file."""

    def act(library: Library) -> None:
        library.now(rules)
        library.world.start()
        library.owner.connect()

    return act


def there_and_back(library: Library) -> None:
    """Two changes, the second to what was: the device was there for neither."""
    of_team(library, "blue")
    other = Device(library.world, "ann")
    other.subscribe(Book="TRUEPREDICATE")
    other.run()
    of_team(library, "red")


#: What changes while the device is away, and the teams whose books it may read then.
CHANGES: dict[str, tuple[Callable[[Library], None], set[str]]] = {
    "custom data": (lambda library: of_team(library, "blue"), {"blue"}),
    "no team": (lambda library: of_team(library, ""), set()),
    "the rules file": (restarted(filtered({"team": "blue"})), {"blue"}),
    "no role": (restarted(filtered(True, when={"%%user.id": "bob"})), set()),
    "fields": (restarted(role("r", fields={"team": {"read": True}})), {"red", "blue"}),
    "there and back": (there_and_back, {"red"}),
    "nothing": (lambda library: None, {"red"}),
}


def caught(messages: int) -> tuple[Library, set[int]]:
    """A device of the red team, cut in the middle of a download, and the bases it staged under."""
    library = Library(TEAM, bytes_target=1, custom_data=CustomData("Person"))
    of_team(library, "red")
    library.ann.run()
    for key in range(KEYS):
        library.write(key, team=("red", "blue")[key % 2], note=f"note {key}")
    library.ann.subscribe(Book="team != 'x'")
    library.ann.talk()
    since = len(library.ann.downloads)
    while len(library.ann.downloads) < since + messages:
        assert library.ann.step()
    library.ann.cut()
    bases = {download.base for download, _ in library.ann.downloads[since:] if not download.last}
    return library, bases


@pytest.mark.parametrize("messages", [1, 2, 4])
@pytest.mark.parametrize("name", CHANGES)
def test_cut_then_another_role_then_resumed(name: str, messages: int) -> None:
    """[RULES-CHANGE-4] BOOT-3: nothing that was staged before shows, nor is anything missing."""
    library, bases = caught(messages)
    assert len(bases) == 1, "it is in the middle"
    change, teams = CHANGES[name]
    change(library)
    library.write(1, n=1)  # of both teams something has changed meanwhile
    library.write(2, n=1)
    since = len(library.ann.downloads)
    library.ann.connect()
    library.ann.run()
    shown = {key: state for (_, key), state in library.ann.holds().items()}
    expected = {key for key in range(KEYS) if ("red", "blue")[key % 2] in teams}
    assert set(shown) == expected
    if name == "fields":
        assert not any(b"note" in state for state in shown.values())
    resumed = {download.base for download, _ in library.ann.downloads[since:]}
    stays = name in ("nothing", "there and back")
    assert (resumed <= bases) is stays, "what stays as it was goes on where it was"


def test_a_position_that_says_it_stands_elsewhere() -> None:
    """[RULES-CHANGE-3] BOOT-7: it would be told of what was hidden then, as if it had held it."""
    library = Library(TEAM, custom_data=CustomData("Person"))
    ann = library.ann
    of_team(library, "red")
    library.write(1, team="red")
    ann.run()
    ann.cut()
    of_team(library, "blue")
    library.write(4711, team="red")
    of_team(library, "green")
    ann.connect()
    base = library.world.latest
    position = pack(["Book", 1, 0, 0, base, base])
    assert ann.session is not None
    ann.session.query_version = 9
    ann.wanted[9] = {"Book": "team != 'x'"}
    ann.send(Query(1, 9, {"Book": "team != 'x'"}, base, position))
    ann.run()
    assert ("Book", 4711) not in set(named(ann))
    assert ann.ended is ErrorCode.BAD_MESSAGE
    ann.connect()
    ann.run()
    assert ann.holds() == {}
