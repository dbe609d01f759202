"""The vectors of texts: updates and their canonical union, states, and what is none."""

from __future__ import annotations

import zlib
from random import Random
from typing import Any

from made_updates import erased, typed
from test_updates import REFUSED
from text_strategies import session

from replication.crdt import object as obj
from replication.crdt.document import text_view
from replication.crdt.text import blank, text_of
from replication.crdt.union import union
from replication.crdt.units import Update
from replication.crdt.updates import EMPTY, read_update, write_update
from replication.limits import TEXT_TAIL_BYTES_MAX, TEXT_TAIL_UPDATES_MAX
from replication.model.encoding import pack

Vector = dict[str, Any]
HELLO = write_update(Update({5: [(0, 5, None, None, "hello")]}))
OWNED = [[5, 2, 5]]


def texts() -> list[Vector]:
    """Unions, refusals, blanks."""
    return [*_unions(), *_sessions(), *_refused_updates(), *_refused_texts(), *_blanks()]


def _text(name: str, covers: list[str], *updates: bytes) -> Vector:
    together = write_update(union(map(read_update, updates)))
    return {
        "name": f"text/{name}",
        "covers": covers,
        "updates": [data.hex() for data in updates],
        "update": together.hex(),
        "shows": text_view([[], together], None, ()),
    }


def _one(client: int, *runs: Any) -> bytes:
    return write_update(Update({client: list(runs)}))


def _unions() -> list[Vector]:
    world = typed(5, 5, (5, 4), None, " world")
    bold = _one(6, (0, 1, (5, 0), (5, 1), ("b", "true")), (1, 1, (5, 3), (5, 4), ("b", "null")))
    face = _one(7, (0, 2, (5, 4), None, "\ud83d\ude00"))
    rival = _one(5, (0, 5, None, None, "jelly"))
    elsewhere = _one(5, (0, 2, None, (9, 9), "no"))
    return [
        _text("typed on", ["TEXT-6", "MERGE-TEXT-1"], HELLO, world),
        _text("typed at one place", ["MERGE-TEXT-5"], HELLO, typed(6, 0, (5, 4), None, "A"),
              typed(7, 0, (5, 4), None, "BC")),
        _text("erased", ["TEXT-7", "TEXT-8"], HELLO, erased(5, [(1, 3)])),
        _text("erased before it came", ["MERGE-TEXT-4"], erased(5, [(1, 3)])),
        _text("formatted", ["TEXT-4", "MERGE-TEXT-5"], HELLO, bold),
        _text("formatted with numbers", ["TEXT-4"], HELLO,
              _one(6, (0, 1, None, (5, 0), ("n", "1")))),
        _text("formatted with brackets in a string", ["TEXT-4"], HELLO,
              _one(6, (0, 1, None, (5, 0), ("link", '"?' + "a[]=1&" * 9 + '"')))),
        _text("a gap", ["MERGE-TEXT-4", "TEXT-8"], HELLO, typed(5, 8, (5, 7), None, "later")),
        _text("between what is not known", ["MERGE-TEXT-4"], HELLO, typed(6, 0, (9, 1), None, "x")),
        _text("half a pair erased", ["TEXT-9"], HELLO, face, erased(7, [(0, 1)])),
        _text("one id, two contents", ["MERGE-TEXT-2"], HELLO, rival),
        _text("one id, two places", ["MERGE-TEXT-2"], HELLO, elsewhere),
    ]  # fmt: skip


def _sessions() -> list[Vector]:
    out = []
    for seed in range(5):
        written, editors = session(Random(seed), turns=25)
        for editor in editors:
            editor.close()
        covers = ["MERGE-TEXT-1", "MERGE-TEXT-5", "TEXT-6"]
        out.append(_text(f"three editors, {seed}", covers, *written))
    return out


def _refused_updates() -> list[Vector]:
    return [
        {
            "name": f"update-refused/{name}",
            "covers": ["TEXT-1", "TEXT-2", "TEXT-3", "TEXT-4"],
            "hex": data,
        }
        for name, data in REFUSED.items()
    ]


def in_object(text: Any) -> list[Any]:
    """A living object with a text `t`."""
    return [1, 1, [], {obj.TEXT: {"t": text}}]


def _refused_texts() -> list[Vector]:
    part = [0, len(HELLO), zlib.crc32(HELLO)]
    many = [typed(5, clock, (5, clock - 1), None, "a") for clock in range(1, 70)]
    large = typed(5, 1, (5, 0), None, "a" * TEXT_TAIL_BYTES_MAX)
    halves = _one(5, (0, 3, None, None, "hel"), (3, 2, (5, 2), None, "lo"))
    refused: list[tuple[str, str, bool, Any]] = [
        ("an update that is not canonical", "TEXT-10", False, [OWNED, HELLO[:-1] + b"\x80\0"]),
        ("runs that go on as one", "TEXT-10", False, [OWNED, halves]),
        ("not bytes", "TEXT-10", False, [OWNED, "hello"]),
        ("an owner too few", "TEXT-11", False, [[], HELLO]),
        ("an owner too many", "TEXT-11", False, [[*OWNED, [6, 2, 1]], HELLO]),
        ("owners out of order", "TEXT-11", False, [[[6, 2, 1], *OWNED], HELLO]),
        ("another end", "TEXT-11", False, [[[5, 2, 6]], HELLO]),
        ("no end", "TEXT-11", False, [[[5, 2, 0]], EMPTY]),
        ("an owner that is none", "TEXT-11", False, [[[5, 2]], HELLO]),
        ("owners that are no list", "TEXT-11", False, [{}, EMPTY]),
        ("spread in a delta", "STATE-32", False, [OWNED, [HELLO], [], 0]),
        ("three items", "TEXT-11", True, [OWNED, [HELLO], []]),
        ("units of nobody in a tail", "TEXT-11", True, [[], [HELLO], [], 0]),
        ("nothing in a tail", "TEXT-12", True, [OWNED, [HELLO, EMPTY], [], 0]),
        ("a long tail", "TEXT-12", True,
         [[[5, 2, 70]], many[: TEXT_TAIL_UPDATES_MAX + 1], [], 0]),
        ("a large tail", "TEXT-12", True, [[[5, 2, 1 + TEXT_TAIL_BYTES_MAX]], [large], [], 0]),
        ("a large update", "TEXT-12", True, [[[5, 2, 1 + TEXT_TAIL_BYTES_MAX]], large]),
        ("no tail", "TEXT-12", True, [OWNED, HELLO, [], 0]),
        ("a number not given out", "TEXT-13", True, [OWNED, [], [part], 0]),
        ("a number twice", "TEXT-13", True, [OWNED, [], [part, part], 1]),
        ("an entry that is none", "TEXT-13", True, [OWNED, [], [[0, 5]], 1]),
        ("no directory", "TEXT-13", True, [OWNED, [], {}, 1]),
        ("no next number", "TEXT-13", True, [OWNED, [], [], "0"]),
    ]  # fmt: skip
    return [
        {
            "name": f"text-refused/{name}",
            "covers": [rule],
            "hex": pack(in_object(text)).hex(),
            **({"head": True} if head else {}),
        }
        for name, rule, head, text in refused
    ]


def _blanks() -> list[Vector]:
    updates = {
        "typed": typed(5, 5, (5, 4), None, "no"),
        "erased": erased(6, [(0, 3)]),
        "all of it": write_update(
            union([read_update(HELLO), read_update(erased(5, [(0, 2)])),
                   read_update(erased(6, [(0, 3)]))])
        ),
    }  # fmt: skip
    return [
        {
            "name": f"blank/{name}",
            "covers": ["TEXT-24"],
            "hex": pack(text_of(read_update(data), 2)).hex(),
            "blank": pack(blank(text_of(read_update(data), 2))).hex(),
        }
        for name, data in updates.items()
    ]
