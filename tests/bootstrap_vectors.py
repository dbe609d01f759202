"""The vectors of bootstraps: what a client shows and says at each step, what a server sends.

Each is what happened between a real server and a real client file; a client of any language can be
led through the same, and stopped between any two steps. `test_bootstrap_vectors.py` does both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from worlds import Device, World

from replication.protocol import messages
from replication.protocol.body import DeltaOp, EvictOp, StateOp, decode_operations
from replication.protocol.messages import (
    Download,
    Ident,
    Mark,
    Message,
    Progress,
    Query,
    Upload,
)

Step: TypeAlias = dict[str, Any]
#: What a device writes: keys, with the fields that are set; a book that is not here is created.
Writes: TypeAlias = dict[int, dict[str, Any]]


# -- what a client does --------------------------------------------------------------------------
def spelled(message: Message) -> list[Any] | None:
    """A message of a client, as far as it does not depend on how it is written."""
    match message:
        case Ident():
            where = [message.cursor, message.client_version, message.last_version]
            which = [message.query_version, message.queries]
            return ["IDENT", *where, *which, message.base, message.position.hex()]
        case Query():
            which = [message.query_version, message.queries]
            return ["QUERY", *which, message.base, message.position.hex()]
        case Upload():
            return ["UPLOAD", message.first]
        case Mark():
            return ["MARK", message.request]
        case Progress():
            return ["PROGRESS", message.cursor]
    return None


def shows(device: Device) -> list[Any]:
    """What an application sees: `[key, fields]`, keys ascending."""
    return [[key, fields] for key, fields in sorted(device.view().items())]


def write(device: Device, books: Writes) -> None:
    """One transaction."""
    with device.db.write() as tx:
        for key, fields in books.items():
            edit = tx.edit("Book", key)
            if edit.fields() is None:
                edit.create()
            for name, value in fields.items():
                edit.scope().set(name, value)


def does(device: Device, action: list[Any]) -> None:
    """One action of an application, or of its connection."""
    kind, *arguments = action
    if kind == "subscribe":
        with device.db.subscriptions.edit() as edit:
            edit.clear()
            for class_name, query in arguments[0].items():
                edit.add(class_name, query)
    elif kind == "write":
        write(device, dict(arguments[0]))
    elif kind == "connect":
        device.connect()
    elif kind == "cut":
        device.cut()
    else:
        assert kind == "receive", kind
        device.inbox.append(messages.decode(bytes.fromhex(arguments[0])))
        device.take()
    if device.agent is not None:
        device.wake()


def looks(device: Device) -> Step:
    """What there is to see of a client, and what it has sent since the last step."""
    sent = [item for item in map(spelled, device.outbox) if item is not None]
    return {
        "shows": shows(device),
        "active": device.db.subscriptions.active.version,
        "progress": device.db.progress.fraction,
        "sends": sent,
    }


class _Recorder:
    """A device whose steps are written down."""

    def __init__(self, world: World, device: Device) -> None:
        self.world = world
        self.device = device
        self.steps: list[Step] = []

    def do(self, *action: Any) -> None:
        """Let it do something, and the server have what it sends then."""
        does(self.device, list(action))
        self.steps.append({"do": list(action), **looks(self.device)})
        while self.device.outbox:
            self.device.deliver()

    def take(self) -> Message | None:
        """Let it receive the next message, if there is one."""
        device = self.device
        if not device.inbox and not device.fetch():
            return None
        message = device.inbox.popleft()
        # Only what is on its way now is on its way when the step is done.
        rest, answers = list(device.inbox), messages.encode(message).hex()
        device.inbox.clear()
        self.do("receive", answers)
        device.inbox.extendleft(reversed(rest))
        return message

    def take_all(self) -> None:
        """Everything there is."""
        while self.take() is not None:
            pass

    def take_downloads(self, count: int) -> None:
        """So many downloads, and whatever comes before them."""
        while count:
            message = self.take()
            assert message is not None, "there is more"
            count -= isinstance(message, Download)


def _world(books: Writes, **options: Any) -> tuple[Device, _Recorder]:
    """A server with books, who wrote them, and a new device; every object travels alone."""
    world = World(2, **{"bytes_target": 1, "entries_max": 2, **options})
    writer, reader = world.devices
    writer.subscribe()
    write(writer, books)
    writer.sync()
    return writer, _Recorder(world, reader)


def _books(*keys: int) -> Writes:
    return {key: {"title": f"book {key}", "year": key} for key in keys}


def _first_set() -> list[Step]:
    _, device = _world(_books(1, 2, 3, 4))
    device.do("subscribe", {"Book": "year < 4"})
    device.do("connect")
    device.take_all()
    return device.steps


def _first_set_with_writes() -> list[Step]:
    """Before, in the middle, of what comes and of what does not."""
    _, device = _world(_books(1, 2, 3))
    device.do("write", [[7, {"title": "mine", "year": 1}], [8, {"title": "mine", "year": 8}]])
    device.do("subscribe", {"Book": "year < 4"})
    device.do("connect")
    device.take_downloads(2)
    device.do("write", [[9, {"title": "out of view", "year": 9}], [7, {"title": "again"}]])
    device.take_all()
    return device.steps


def _another_set() -> list[Step]:
    """What both sets see is not sent; what only the one before sees goes with the last message."""
    _, device = _world(_books(1, 2, 3, 4, 5))
    device.do("subscribe", {"Book": "year < 4"})
    device.do("connect")
    device.take_all()
    device.do("write", [[1, {"title": "written, and gone from here"}]])
    device.do("subscribe", {"Book": "year > 2"})
    device.take_all()
    return device.steps


def _superseded() -> list[Step]:
    """What was staged for a set that nobody wants any more is dropped."""
    _, device = _world(_books(1, 2, 3, 4))
    device.do("subscribe", {"Book": "year < 4"})
    device.do("connect")
    device.take_downloads(2)
    device.do("subscribe", {"Book": "year > 2"})
    device.take_all()
    return device.steps


def _cut() -> list[Step]:
    """The next session goes on behind the last message that came, whatever is written meanwhile."""
    writer, device = _world(_books(1, 2, 3, 4))
    device.do("subscribe", {"Book": "year < 4"})
    device.do("connect")
    device.take_downloads(2)
    device.do("cut")
    write(writer, {1: {"title": "changed after it was sent"}, 2: {"year": 9}})
    writer.sync()
    device.do("connect")
    device.take_all()
    return device.steps


def _catching_up() -> list[Step]:
    """The active set, after a long absence: that takes several messages too."""
    writer, device = _world(_books(1, 2, 3, 4))
    device.do("subscribe", {"Book": "year < 4"})
    device.do("connect")
    device.take_all()
    device.do("cut")
    for key in (1, 2, 4):
        write(writer, {key: {"title": f"changed {key}", "year": key % 4}})
    write(writer, {3: {"year": 9}})
    writer.sync()
    device.do("connect")
    device.take_downloads(2)
    device.do("cut")
    device.do("connect")
    device.take_all()
    return device.steps


_SCRIPTS: list[tuple[str, list[str], Callable[[], list[Step]]]] = [
    ("first-set", ["BOOT-5", "BOOT-6", "SUB-2", "SUB-8"], _first_set),
    ("first-set-with-writes", ["BOOT-5", "SUB-3"], _first_set_with_writes),
    ("another-set", ["BOOT-1", "BOOT-2", "BOOT-5"], _another_set),
    ("superseded", ["BOOT-5", "DOWN-5"], _superseded),
    ("cut", ["BOOT-3", "BOOT-5", "DOWN-4"], _cut),
    ("catching-up", ["BOOT-5", "BOOT-6", "DOWN-4"], _catching_up),
]


def led(steps: list[Step]) -> Device:
    """A new device that has done some steps."""
    device = World(1).devices[0]
    for step in steps:
        does(device, step["do"])
        device.outbox.clear()
    return device


def coming_back(device: Device) -> list[Any]:
    """What a device says first when its process is started again."""
    device.cut()
    device.open()
    device.connect()
    device.wake()
    return [item for item in map(spelled, device.outbox) if item is not None]


def _scripts() -> list[dict[str, Any]]:
    out = []
    for name, covers, record in _SCRIPTS:
        steps = record()
        for at, step in enumerate(steps, start=1):
            step["resumes"] = coming_back(led(steps[:at]))
        out.append({"name": f"client/{name}", "covers": covers, "steps": steps})
    return out


# -- what a server sends ---------------------------------------------------------------------------
#: Name, what there is, the set before and the new one, what is written in between.
_CHANGES: list[tuple[str, Writes, str, str, Writes]] = [
    ("first", _books(1, 2, 3, 4), "FALSEPREDICATE", "year < 3", {}),
    ("narrower", _books(1, 2, 3, 4), "TRUEPREDICATE", "year < 3", {}),
    ("wider", _books(1, 2, 3, 4), "year < 3", "TRUEPREDICATE", {}),
    ("beside", _books(1, 2, 3, 4, 5), "year < 4", "year > 2", {}),
    ("put-otherwise", _books(1, 2, 3), "year < 3", "NOT year >= 3", {}),
    ("nothing", _books(1, 2, 3), "year < 3", "FALSEPREDICATE", {}),
    (
        "written-to-meanwhile",
        _books(1, 2, 3, 4),
        "year < 4",
        "year > 1",
        {2: {"title": "changed"}, 3: {"year": 0}, 4: {"title": "changed"}, 6: {"year": 6}},
    ),
]


def differences(
    books: Writes, before: str, after: str, meanwhile: Writes, size: int
) -> dict[str, list[int]]:
    """The keys of what a server sends for a change of the set: states and deltas, and evicts."""
    world = World(2, bytes_target=size)
    writer, reader = world.devices
    writer.subscribe()
    write(writer, books)
    writer.sync()
    reader.subscribe(before)
    reader.sync()
    reader.cut()
    if meanwhile:
        write(writer, meanwhile)
        writer.sync()
    reader.subscribe(after)
    reader.connect()
    reader.wake()
    operations: list[Any] = []
    while reader.inbox or reader.outbox or reader.fetch():
        while reader.outbox:
            reader.deliver()
        if not reader.inbox:
            continue
        message = reader.take()
        if isinstance(message, Download):
            operations += decode_operations(message.size, message.body)
        reader.wake()
    return {
        "sent": sorted({each.key for each in operations if isinstance(each, StateOp | DeltaOp)}),
        "evicts": sorted({each.key for each in operations if isinstance(each, EvictOp)}),
    }


def _differences() -> list[dict[str, Any]]:
    return [
        {
            "name": f"server/{name}",
            "covers": ["BOOT-1", "BOOT-2", "BOOT-4"],
            "books": list(map(list, books.items())),
            "before": before,
            "after": after,
            "meanwhile": list(map(list, meanwhile.items())),
            **differences(books, before, after, meanwhile, 1),
        }
        for name, books, before, after, meanwhile in _CHANGES
    ]


def bootstraps() -> list[dict[str, Any]]:
    """All of them."""
    return [*_scripts(), *_differences()]
