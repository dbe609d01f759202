"""The conflicts of the demo: what two devices write to the same objects, and what must come of it.

Each is one row of the story: operations before both devices go offline, then those of each device
by itself, then what both must read afterwards, and the merge rule that makes it so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple


class Place(NamedTuple):
    """Where a conflict is looked at: the n-th book of the library, and some fields of it.

    `book` None: one that is not in the library.
    """

    book: int | None
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Conflict:
    """One conflict. Operations are `device.py`'s, without class and key.

    Attributes:
        before: what the laptop wrote while everybody was connected.
        laptop, tablet: what each wrote offline, the laptop first.
        result: what both read of those fields in the end; empty: the object is gone.
        rule: why.
    """

    what: str
    place: Place
    before: list[list[Any]]
    laptop: list[list[Any]]
    laptop_told: str
    tablet: list[list[Any]]
    tablet_told: str
    result: dict[str, Any]
    rule: str


CONFLICTS: Final = (
    Conflict(
        what="a field",
        place=Place(0, ("shelf",)),
        before=[],
        laptop=[["set", "shelf", "window"]],
        laptop_told="puts it on the shelf 'window'",
        tablet=[["set", "shelf", "classics"]],
        tablet_told="a moment later, on 'classics'",
        result={"shelf": "classics"},
        rule="last writer wins: the tablet's stamp is the later one",
    ),
    Conflict(
        what="a list",
        place=Place(0, ("notes",)),
        before=[["insert", "notes", 0, ["preface", "chapter 1", "chapter 2"]]],
        laptop=[
            ["insert", "notes", 1, ["laptop: reread", "laptop: quote"]],
            ["move", "notes", 4, 0],
        ],
        laptop_told="inserts two notes behind 'preface', moves 'chapter 2' to the front",
        tablet=[["insert", "notes", 1, ["tablet: why?"]], ["erase", "notes", 2]],
        tablet_told="inserts one behind 'preface', erases 'chapter 1'",
        result={
            "notes": [
                "chapter 2",
                "preface",
                "laptop: reread",
                "laptop: quote",
                "tablet: why?",
            ]
        },
        rule="elements have identities, not indexes: every insert is there, runs stay together, "
        "the earlier one first; the moved element moved, the erased one is gone",
    ),
    Conflict(
        what="a counter",
        place=Place(0, ("loans",)),
        before=[["add", "loans", 10]],
        laptop=[["add", "loans", 3]],
        laptop_told="counts 3 more loans: 13",
        tablet=[["add", "loans", 2], ["add", "loans", 2]],
        tablet_told="counts 4 more: 14",
        result={"loans": 17},
        rule="increments add up, each exactly once: 10 + 3 + 4",
    ),
    Conflict(
        what="a set",
        place=Place(0, ("tags",)),
        before=[["include", "tags", "novel"]],
        laptop=[["include", "tags", "long"]],
        laptop_told="adds 'long'",
        tablet=[["include", "tags", "old"], ["exclude", "tags", "novel"]],
        tablet_told="adds 'old', takes 'novel' out",
        result={"tags": ["old", "long"]},
        rule="every member is a place of its own, where the last writer wins",
    ),
    Conflict(
        what="a delete",
        place=Place(1, ()),
        before=[],
        laptop=[["delete"]],
        laptop_told="deletes the book",
        tablet=[["set", "shelf", "repairs"]],
        tablet_told="a moment later, sends it to 'repairs'",
        result={},
        rule="a delete beats every concurrent edit of what it saw, whatever the clocks say",
    ),
    Conflict(
        what="a deletion and a new entry",
        place=Place(2, ("shelf",)),
        before=[],
        laptop=[["delete"], ["create", {"title": "(bought again)", "shelf": "new"}]],
        laptop_told="deletes the book and enters it anew",
        tablet=[["set", "shelf", "attic"]],
        tablet_told="a moment later, puts it in the 'attic'",
        result={"shelf": "new"},
        rule="the edit was of the old incarnation: only what is written to the new one counts",
    ),
    Conflict(
        what="a create",
        place=Place(None, ("title", "year", "language")),
        before=[],
        laptop=[["create", {"title": "Collected Letters", "year": 1999}]],
        laptop_told="enters a new book: 'Collected Letters', 1999",
        tablet=[["create", {"title": "Letters", "language": "eng"}]],
        tablet_told="a moment later, under the same number: 'Letters', in English",
        result={"title": "Letters", "year": 1999, "language": "eng"},
        rule="one object: its fields merge one by one, the last writer wins in each",
    ),
)
