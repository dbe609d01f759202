"""When a client's own token expires, as far as a client can tell.

A client verifies nothing: it only reads what the token says, to ask for a fresh one in time.
"""

from __future__ import annotations

import base64
import json

from replication.limits import TOKEN_REFRESH_AHEAD_S

#: Of the time that is left to a short-lived token, the part after which a fresh one is asked for.
_PART = 0.8


def expires_at(token: str) -> float | None:
    """Unix seconds when a JSON Web Token expires; None where it does not say, or is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        expires = claims["exp"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return float(expires) if type(expires) in (int, float) and abs(expires) < 2**53 else None


def refresh_in(left: float) -> float:
    """In how many seconds to ask for a fresh token, if the present one has so many left."""
    return max(0.0, left - TOKEN_REFRESH_AHEAD_S, left * _PART)
