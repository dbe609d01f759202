"""The story of the demo, act by act.

Each act drives real processes, tells what they did and saw, and holds what they saw against what
the merge rules say. What does not hold is collected in `Stage.wrong`, and the demo fails.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from replication.cli.demo.conflicts import CONFLICTS, Conflict, Place
from replication.cli.demo.library import Library
from replication.cli.demo.processes import Device, Server
from replication.cli.demo.telling import Teller
from replication.cli.output import count, duration

_EVERYTHING: Final = [["Book", "TRUEPREDICATE"], ["Author", "TRUEPREDICATE"]]
#: Objects a transaction when the library is written.
_BATCH: Final = 500
#: Messages the kiosk takes in before it is killed.
_KILL_AFTER: Final = 3


@dataclass
class Stage:
    """Everything the acts share.

    Attributes:
        path: the file the library is from, None for the project's own.
        wrong: sentences on what was not as the rules say.
        figures: what was measured, by name.
    """

    directory: Path
    library: Library
    path: Path | None
    limit: int | None
    teller: Teller
    stack: ExitStack
    server: Server | None = None
    devices: dict[str, Device] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def device(self, name: str) -> Device:
        """Start the process of a device; again, if it ran before."""
        device = self.stack.enter_context(Device(name, self.directory))
        self.devices[name] = device
        return device

    def serve(self, *, message_bytes: int) -> Server:
        """Start the server."""
        folder = self.directory / "server"
        folder.mkdir()
        self.server = self.stack.enter_context(Server(folder, message_bytes=message_bytes))
        return self.server

    @property
    def url(self) -> str:
        """Where the server listens."""
        assert self.server is not None
        return self.server.url

    def expect(self, true: bool, sentence: str) -> None:
        """``sentence`` tells what is wrong unless ``true``."""
        if not true:
            self.wrong.append(sentence)
            self.teller.says("!", sentence)

    def key(self, place: Place) -> int:
        """The key of the book a conflict is about."""
        if place.book is None:
            return max(book.key for book in self.library.books) + 1
        return self.library.books[place.book].key


def offline_first(stage: Stage) -> None:
    """A device writes before it ever met a server."""
    tell = stage.teller
    tell.act("A laptop, and no server anywhere")
    laptop = stage.device("laptop")
    laptop.ask("subscribe", queries=_EVERYTHING)
    path = None if stage.path is None else str(stage.path)
    done = laptop.ask("load", path=path, batch=_BATCH, limit=stage.limit)
    stage.figures["load_s"] = done["seconds"]
    tell.says(
        "laptop",
        f"writes {count(len(stage.library.books), 'book')} and "
        f"{count(len(stage.library.born), 'author')} into its own file, in "
        f"{count(done['client_version'], 'transaction')} and {duration(done['seconds'])}.",
    )
    tell.remark(
        "Each transaction is durable when it returns. Nobody has given this file an ident yet, "
        "so everything it stamps is by file 0: itself."
    )
    stage.expect(done["ident"] == 0, f"the laptop has ident {done['ident']} without a server")


def meet(stage: Stage) -> None:
    """The server starts; one device uploads, another downloads everything."""
    tell = stage.teller
    tell.act("A server, and a second device")
    # Small messages, so that a download takes many and can be interrupted in its middle.
    objects = len(stage.library.books) + len(stage.library.born)
    server = stage.serve(message_bytes=max(256, min(65536, objects * 8)))
    tell.says("server", f"listens at {server.url}; its data set is one SQLite file")
    laptop = stage.devices["laptop"]
    laptop.ask("connect", url=stage.url)
    up = laptop.ask("settle")
    stage.figures["upload_s"] = up["seconds"]
    tell.says(
        "laptop",
        f"connects, is given ident {up['ident']}, which takes the place of 0 everywhere, and "
        f"uploads {count(up['acknowledged'], 'changeset')} in {duration(up['seconds'])}: each is "
        "durable at the server before it is acknowledged.",
    )
    tablet = stage.device("tablet")
    tablet.ask("subscribe", queries=_EVERYTHING)
    tablet.ask("connect", url=stage.url)
    down = tablet.ask("settle")
    stage.figures["bootstrap_s"] = down["seconds"]
    tell.says(
        "tablet",
        f"subscribes to everything and receives {_counted(down)} in "
        f"{count(down['messages'] + 1, 'message')} and {duration(down['seconds'])}; they became "
        "visible at once, in one transaction.",
    )
    stage.expect(up["counts"] == down["counts"], "the tablet does not hold what the laptop does")


def conflict(stage: Stage) -> None:
    """Two devices edit the same objects while they can't see each other, and meet again."""
    tell = stage.teller
    laptop, tablet = stage.devices["laptop"], stage.devices["tablet"]
    laptop.ask("write", ops=list(_operations(stage, "before")))
    laptop.ask("settle")
    tablet.ask("settle")
    tell.act("Both go offline, and edit the same books")
    for device in (laptop, tablet):
        device.ask("disconnect")
    for which, device in (("laptop", laptop), ("tablet", tablet)):
        for each in CONFLICTS:
            device.ask("write", ops=list(_operations_of(stage, each, which)))
    for each in CONFLICTS:
        tell.scene(
            f"{each.what}: {_title(stage, each)}",
            (("laptop", each.laptop_told), ("tablet", each.tablet_told)),
        )
    apart = sum(_seen(stage, laptop, each) != _seen(stage, tablet, each) for each in CONFLICTS)
    tell.remark(f"They now disagree in {apart} of {len(CONFLICTS)} places, and neither waits.")
    stage.expect(apart == len(CONFLICTS), "the devices saw each other while they were offline")

    tell.act("Both come back")
    for device in (tablet, laptop):
        device.ask("connect", url=stage.url)
    # Each uploads, then each sees what the other has uploaded.
    for device in (tablet, laptop, tablet):
        device.ask("settle")
    for each in CONFLICTS:
        left, right = _seen(stage, laptop, each), _seen(stage, tablet, each)
        stage.expect(
            left == right == each.result,
            f"{each.what}: the laptop reads {left}, the tablet {right}, expected {each.result}",
        )
        both = _told(left) if left == right else f"{_told(left)} / {_told(right)}"
        tell.scene(each.what, (("both", both), ("", each.rule)))


def _operations(stage: Stage, which: str) -> Iterator[list[Any]]:
    for each in CONFLICTS:
        yield from _operations_of(stage, each, which)


def _operations_of(stage: Stage, each: Conflict, which: str) -> Iterator[list[Any]]:
    for name, *arguments in getattr(each, which):
        yield [name, "Book", stage.key(each.place), *arguments]


def _seen(stage: Stage, device: Device, each: Conflict) -> dict[str, Any]:
    found = device.ask("read", keys=[["Book", stage.key(each.place)]])["objects"][0]
    return {} if found is None else {name: found[name] for name in each.place.fields or found}


def _title(stage: Stage, each: Conflict) -> str:
    return "(a new one)" if each.place.book is None else stage.library.books[each.place.book].title


def _told(seen: dict[str, Any]) -> str:
    if not seen:
        return "gone"
    parts = [", ".join(v) if type(v) is list else str(v) for v in seen.values()]
    return " · ".join(parts)


def _counted(status: dict[str, Any]) -> str:
    books, authors = status["counts"].get("Book", 0), status["counts"].get("Author", 0)
    return f"{count(books, 'book')} and {count(authors, 'author')}"


def subscribe(stage: Stage) -> None:
    """A device that wants a part; objects enter and leave it; then it wants another."""
    tell, language = stage.teller, stage.library.language
    laptop = stage.devices["laptop"]
    tell.act("A phone that wants only a part")
    phone = stage.device("phone")
    query = f'language == "{language}" OR shelf == "for the phone"'
    phone.ask("subscribe", queries=[["Book", query]])
    phone.ask("connect", url=stage.url)
    first = phone.ask("settle")
    held = first["counts"].get("Book", 0)
    tell.says("phone", f"subscribes to books where {query}, and receives {held:,} of them.")

    books = [each.key for each in stage.library.books[3:] if each.language != language][:5]
    _shelve(laptop, books, "for the phone")
    entered = phone.ask("settle")["counts"]["Book"]
    tell.says("laptop", f"puts {count(len(books), 'other')} on the shelf 'for the phone'.")
    tell.says("phone", f"has {entered:,}: what begins to match enters, with all its history.")
    _shelve(laptop, books[:3], "returned")
    left = phone.ask("settle")["counts"]["Book"]
    tell.says("laptop", f"takes {len(books[:3])} of them off again.")
    tell.says("phone", f"has {left:,}: what stops matching leaves, and is deleted nowhere.")
    stage.expect(
        (entered, left) == (held + len(books), held + len(books[3:])),
        f"the phone held {held}, then {entered}, then {left} books",
    )

    query = "year BETWEEN {1900, 1949}"
    phone.ask("subscribe", queries=[["Book", query]])
    second = phone.ask("settle")
    stage.figures["query_change_s"] = second["seconds"]
    tell.says(
        "phone",
        f"changes its mind: books where {query}. {second['counts']['Book']:,} books, after "
        f"{duration(second['seconds'])}: only the difference travelled, and took effect at once.",
    )


def _shelve(device: Device, keys: list[int], shelf: str) -> None:
    device.ask("write", ops=[["set", "Book", key, "shelf", shelf] for key in keys])
    device.ask("settle")


def kill(stage: Stage) -> None:
    """A device is killed in the middle of a download, and goes on where it was."""
    tell = stage.teller
    tell.act("Killed in the middle of a download")
    kiosk = stage.device("kiosk")
    kiosk.ask("subscribe", queries=_EVERYTHING)
    kiosk.say({"do": "connect", "url": stage.url, "halt_after": _KILL_AFTER})
    said = kiosk.hear() | kiosk.hear()  # the answer, and that it has halted, in either order
    halted = said["halted"]
    status = kiosk.kill()
    tell.says(
        "kiosk",
        f"subscribes to everything; after {halted} messages its process gets kill -9 "
        f"(exit status {status}).",
    )
    _shelve(stage.devices["laptop"], [stage.library.books[4].key], "changed meanwhile")
    tell.says("laptop", "changes a book meanwhile.")
    kiosk = stage.device("kiosk")
    found = kiosk.ask("status")
    shown = sum(found["counts"].values())
    tell.says(
        "kiosk",
        f"starts again: {found['staged']} messages are there, durable, and {shown} objects to be "
        "seen: half a download is never visible.",
    )
    stage.expect((found["staged"], shown) == (halted, 0), f"after kill -9 it holds {found}")
    kiosk.ask("connect", url=stage.url)
    done = kiosk.ask("settle")
    tablet = stage.devices["tablet"].ask("settle")
    tell.says(
        "kiosk",
        f"goes on behind message {halted}: {count(done['messages'] + 1, 'more message')} instead "
        f"of all of them, and it holds {_counted(done)}.",
    )
    stage.figures["messages_before_kill"] = halted
    stage.figures["messages_after_kill"] = done["messages"] + 1
    stage.expect(done["counts"] == tablet["counts"], "the kiosk does not hold what the tablet does")
    stage.expect(done["messages"] > 0, "the download did not go on, it began anew")


def tell_agreement(stage: Stage) -> None:
    """Every replica, read from its file, is held against the server's."""
    from replication.cli.demo.agreement import compare

    tell = stage.teller
    tell.act("Do they agree?")
    for device in stage.devices.values():
        device.ask("settle")
    assert stage.server is not None
    sizes = {name: device.path for name, device in stage.devices.items()}
    for process in (*stage.devices.values(), stage.server):
        status = process.close()
        stage.expect(status == 0, f"the {process.name} process ended with status {status}")
    started = time.monotonic()
    replicas = compare(stage.server.path, sizes)
    stage.figures["compare_s"] = time.monotonic() - started
    tell.table(
        ("replica", "objects", "fingerprint", "with all metadata", "file"),
        [
            (
                each.name,
                f"{each.objects:,}",
                each.fingerprint,
                "–" if each.name == "server" else f"{each.states:,}",
                f"{_path(stage, each.name).stat().st_size / 1024:,.0f} KiB",
            )
            for each in replicas
        ],
    )
    for each in replicas:
        stage.expect(not each.pending, f"{each.name} still has {each.pending} changesets to send")
        for difference in each.differences:
            stage.expect(False, f"{each.name}: {difference}")
    stage.figures["objects"] = replicas[0].objects


def _path(stage: Stage, name: str) -> Path:
    assert stage.server is not None
    return stage.server.path if name == "server" else stage.devices[name].path


ACTS: Final = (offline_first, meet, conflict, subscribe, kill, tell_agreement)
