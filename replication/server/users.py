"""Who acts: the user that a token stands for.

How tokens are verified is the shell's business (`net.auth`); the server is given functions:

* `Authenticate` turns a token into a `User`, or says why not. It may ask another service: it is
  called in a worker thread, and only the session it is about waits for it.
* `Revoked` says of a user who was let in why they are not welcome any more, or None. It only looks
  at what it holds in memory; see `Host.end_revoked`.

Rule 1: without an authenticator nobody is let in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from replication.errors import ErrorCode, SessionError


@dataclass(frozen=True, slots=True)
class User:
    """A user, for as long as the token lasts.

    Attributes:
        id: names the user, in one server for ever.
        claims: what the token says about the user.
        expires: Unix seconds after which the token is no longer accepted; None: never.
        provider: what vouches for the user: "custom-token", "api-key", "anon-user", "development",
            or whatever an authenticator says.
        type: "server" for a program that holds an API key, "normal" for everybody else.
        custom_data: what the operator says about the user; empty where nothing is.
        token: names the token among all others, for revoking it; None: it can't be.
        issued: Unix seconds when the token was issued; None where it doesn't say.
    """

    id: str
    claims: Mapping[str, object] = field(default_factory=dict)
    expires: float | None = None
    provider: str = ""
    type: Literal["normal", "server"] = "normal"
    custom_data: Mapping[str, object] = field(default_factory=dict)
    token: str | None = None
    issued: float | None = None


#: The user of a token, or a SessionError with TOKEN_INVALID or TOKEN_EXPIRED.
Authenticate: TypeAlias = Callable[[str], User]
#: Why a user is not welcome any more; None: they still are.
Revoked: TypeAlias = Callable[[User], str | None]


def nobody(_token: str) -> User:
    """The authenticator of a server that was given none. Rule 1."""
    raise SessionError(ErrorCode.TOKEN_INVALID, "this server was not told whom to let in")
