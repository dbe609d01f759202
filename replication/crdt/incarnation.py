"""Incarnations: what clearing or assigning a whole collection starts anew. [MERGE-INC]

An incarnation is `[]`, the first one, or `[time, origin, ident, sequence]`: the stamp of the
write that started it and the id it was minted.

Rule 1: of two incarnations the greater wins with its whole content; equal ones merge their
        contents. Lists of numbers compare as they stand: by stamp, then id. A greater one is
        merged into an empty collection rather than copied, so that its long lists are spread
        over parts as any other. [MERGE-INC-1]
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

Incarnation: TypeAlias = list[int]
#: [incarnation, content...]
Collection: TypeAlias = list[Any]


def clone(value: Any) -> Any:
    """A deep copy of a structure of lists and maps; values are immutable and shared."""
    # Loops, not comprehensions: each of those would cost the deepest structure a frame more.
    kind = type(value)
    if kind is list:
        items = []
        for item in value:
            items.append(clone(item) if type(item) in _NESTING else item)
        return items
    if kind is dict:
        entries = {}
        for key, item in value.items():
            entries[key] = clone(item) if type(item) in _NESTING else item
        return entries
    return value


_NESTING: Final = frozenset({list, dict})
