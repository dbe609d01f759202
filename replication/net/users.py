"""What every kind of token has in common: how a user may be named, and how a token is refused."""

from __future__ import annotations

from replication.errors import ErrorCode, SessionError
from replication.limits import USER_BYTES_MAX


def user_id(value: object) -> str:
    """What names a user.

    Raises:
        SessionError: TOKEN_INVALID: it names nobody.
    """
    if type(value) is str and value:
        try:
            if len(value.encode()) <= USER_BYTES_MAX:
                return value
        except UnicodeEncodeError:  # JSON can spell half a surrogate pair
            pass
    shown = repr(value)[:60]
    raise invalid(f"{shown} is no user: a text of 1 to {USER_BYTES_MAX} bytes")


def invalid(message: str) -> SessionError:
    """The error that refuses a token, to be raised."""
    return SessionError(ErrorCode.TOKEN_INVALID, message)
