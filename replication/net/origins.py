"""Which web pages may connect: a browser tells in `Origin` what page asks it to.

A page of anybody's can have a browser connect to any server that the browser reaches, a developer's
own one included, where the names of users are all it takes to be one.

Rule 1: who sends no `Origin` is no browser, and let in. [CONN-10]
Rule 2: pages of this very machine may connect, and those of origins that the operator names. What
        a name resolves to has no say: whoever owns the name decides that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from replication.errors import UsageError

#: Stands for every page.
ANY: Final = "*"
_ORIGIN: Final = re.compile(r"https?://[^\s/?#@:]+(:\d{1,5})?|https?://\[[0-9a-f:.]+\](:\d{1,5})?")
_HERE: Final = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?")


class Origins:
    """The origins whose pages may connect.

    Args:
        named: `https://app.example`, with a port where it is no default one; `*` for all.

    Raises:
        UsageError: one that is no origin.
    """

    def __init__(self, named: Iterable[str] = ()) -> None:
        self._named = frozenset(each.lower() for each in named)
        for each in sorted(self._named - {ANY}):
            if not _ORIGIN.fullmatch(each):
                raise UsageError(f"{each!r} is no origin: https://HOST or https://HOST:PORT, or *")

    def welcome(self, told: Sequence[str]) -> bool:
        """Whether a peer that sent these `Origin` headers may connect. Rules 1 and 2."""
        if not told or ANY in self._named:
            return True
        origin = told[0].lower()
        if len(told) > 1:
            return False
        return origin in self._named or _HERE.fullmatch(origin) is not None


#: Pages of this machine alone.
HERE: Final = Origins()
