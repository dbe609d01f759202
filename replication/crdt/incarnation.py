"""Incarnations: what clearing or assigning a whole collection starts anew. [MERGE-INC]

An incarnation is `[]`, the first one, or `[time, origin, ident, sequence]`: the stamp of the
write that started it and the id it was minted.

Rule 1: of two incarnations the greater wins with its whole content; equal ones merge their
        contents. Lists of numbers compare as they stand: by stamp, then id. [MERGE-INC-1]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Incarnation: TypeAlias = list[int]
#: [incarnation, content...]
Collection: TypeAlias = list[Any]


def clone(value: Any) -> Any:
    """A deep copy of a structure of lists and maps; values are immutable and shared."""
    kind = type(value)
    if kind is list:
        return [clone(item) if type(item) in (list, dict) else item for item in value]
    if kind is dict:
        return {
            key: clone(item) if type(item) in (list, dict) else item for key, item in value.items()
        }
    return value


def merge_incarnated(
    state: Collection, delta: Collection, merge_content: Callable[[Collection, Collection], Any]
) -> Collection:
    """Rule 1, with the type's own merge for equal incarnations."""
    if delta[0] > state[0]:
        return clone(delta)  # type: ignore[no-any-return]
    if delta[0] == state[0]:
        merge_content(state, delta)
    return state
