"""What changed in a text, as Yjs and Quill spell it: steps over the text as it was.

    {"retain": 4}                                go on behind four characters
    {"retain": 4, "attributes": {"bold": None}}  the same, and format them; None takes a format away
    {"insert": "abc", "attributes": {"bold": True}}
    {"delete": 2}

Rule 1: steps count code points of what is shown, whatever the native code counts.
Rule 2: a delta says only what looks different: formats that were there already are left out, so
        is a `retain` at the end. The delta of nothing is empty.
Rule 3: neighbours of one kind with the same attributes are one step; an insert stands before a
        delete at the same place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

#: Strings in order, each with its formats by name.
Pieces: TypeAlias = list[tuple[str, dict[str, Any]]]
Step: TypeAlias = dict[str, Any]
Delta: TypeAlias = list[Step]


def inserted(pieces: Pieces) -> Delta:
    """The delta from an empty text."""
    out: Delta = []
    for text, formats in pieces:
        _push(out, "insert", text, formats)
    return out


def replaced(before: Pieces, after: Pieces) -> Delta:
    """A delta between two texts of which nothing else is known: both ends that are alike stay."""
    old, new = _characters(before), _characters(after)
    start = _alike(old, new)
    end = _alike(old[start:][::-1], new[start:][::-1])
    out: Delta = []
    if start == len(old) == len(new):
        return out
    _push(out, "retain", start, {})
    for char, spelled in new[start : len(new) - end]:
        _push(out, "insert", char, json.loads(spelled))
    _push(out, "delete", len(old) - end - start, {})
    return out


def _characters(pieces: Pieces) -> list[tuple[str, str]]:
    return [(char, spell(formats)) for text, formats in pieces for char in text]


def _alike(one: list[Any], other: list[Any]) -> int:
    least = min(len(one), len(other))
    return next((at for at in range(least) if one[at] != other[at]), least)


def told(native: Iterable[Mapping[str, Any]], before: Pieces) -> Delta:
    """What the native code tells of a change, counted in bytes of UTF-8, by Rules 1 to 3."""
    shown = _Shown(before)
    out: Delta = []
    for step in native:
        formats: dict[str, Any] = integers(step.get("attributes", {}))
        if "insert" in step:
            kept = {name: value for name, value in formats.items() if value is not None}
            _push(out, "insert", step["insert"], kept)
        elif "delete" in step:
            for count, _ in shown.take(step["delete"]):
                _push(out, "delete", count, {})
        else:
            for count, held in shown.take(step["retain"]):
                _push(out, "retain", count, _different(formats, held))
    if out and "retain" in out[-1] and "attributes" not in out[-1]:
        out.pop()
    return out


class _Shown:
    """A text, walked through by bytes."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = [(text.encode(), formats) for text, formats in reversed(pieces)]

    def take(self, size: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """The characters in the next bytes: how many have which formats."""
        while size:
            data, formats = self._pieces.pop()
            if len(data) > size:
                self._pieces.append((data[size:], formats))
                data = data[:size]
            size -= len(data)
            yield len(data.decode()), formats


def _different(formats: dict[str, Any], held: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in formats.items() if spell(held.get(name)) != spell(value)}


def _push(out: Delta, kind: str, content: Any, formats: dict[str, Any]) -> None:
    """Append a step. Rule 3."""
    if not content:
        return
    at = len(out)
    if kind == "insert" and out and "delete" in out[-1]:
        at -= 1
    last = out[at - 1] if at else {}
    if kind in last and spell(last.get("attributes", {})) == spell(formats):
        last[kind] += content
    else:
        out.insert(at, {kind: content, **({"attributes": formats} if formats else {})})


def spell(value: Any) -> str:
    """JSON in one form, to compare: Python finds 1 and True equal."""
    return json.dumps(value, sort_keys=True)


def integers(value: Any) -> Any:
    """JSON as Python has it: the native code makes a double of every number."""
    match value:
        case float():
            return int(value) if value.is_integer() else value
        case list():
            return [integers(each) for each in value]
        case dict():
            return {name: integers(each) for name, each in value.items()}
    return value
