"""TEXT: whether a text has some words. [QUERY-109]

Rule 1: a text is decomposed (NFD), marks (category Mn) are dropped, and what is left is
        case-folded; words are the longest runs of letters and digits (categories L and N) of it.
Rule 2: what is searched for is split at white space. Each piece, made into words likewise, has to
        be there; with `-` before it must not be; a `*` behind it stands for any ending.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from replication.limits import QUERY_PATTERN_MAX

#: Letters and digits: what Python calls a word character, but for the underscore.
_WORD: Final = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """The words of a text."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFD", text)
        text = "".join([char for char in decomposed if unicodedata.category(char) != "Mn"])
    return _WORD.findall(text.casefold())


@lru_cache(maxsize=256)
def text_test(search: str) -> Callable[[str], bool]:
    """Whether a text has all the words that are searched for, and none that must not be there."""
    pieces = search.split()
    needed: set[str] = set()
    refused: set[str] = set()
    prefixes: list[tuple[str, bool]] = []
    for piece in pieces[:QUERY_PATTERN_MAX]:
        wanted = not piece.startswith("-")
        found = words(piece)
        if piece.endswith("*") and found:
            prefixes.append((found.pop(), wanted))
        (needed if wanted else refused).update(found)
    if not pieces or len(pieces) > QUERY_PATTERN_MAX:
        return lambda _text: False

    def test(text: str) -> bool:
        held = set(words(text))
        if not needed <= held or refused & held:
            return False
        return all(
            any(word.startswith(prefix) for word in held) is wanted for prefix, wanted in prefixes
        )

    return test
