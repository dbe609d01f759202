"""Who acts: the user that a token stands for.

How tokens are verified is the shell's business (`net.auth`); the server is given a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class User:
    """A user, for as long as the token lasts.

    Attributes:
        id: names the user, in one server for ever.
        claims: what the token says about the user.
        expires: Unix seconds after which the token is no longer accepted; None: never.
    """

    id: str
    claims: Mapping[str, object] = field(default_factory=dict)
    expires: float | None = None


#: The user of a token, or a SessionError with TOKEN_INVALID or TOKEN_EXPIRED.
Authenticate: TypeAlias = Callable[[str], User]
