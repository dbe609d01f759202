"""Reasons of refusals that clients act on; see `server.refusals` for all of them."""

from __future__ import annotations

from typing import Final

#: Nothing wrong with it, but what it builds on was refused, or never came.
DEPENDS: Final = "depends on a refused write"
