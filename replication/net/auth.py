"""Whom a server lets in: every kind of token it accepts, each only where it was asked for.

| token | who it lets in | asked for with |
| --- | --- | --- |
| `dev:USER` | anybody, as whoever they say | `development` |
| `anonymous:SECRET` | whoever knows the secret, as the user it stands for | `anonymous` |
| `key:ID:SECRET` | programs the operator gave an API key | `api_keys` |
| anything else | whom the operator's keys, or function, vouch for | `other` |

Rule 1: nothing is accepted that was not asked for; where nothing was, there is no `Tokens`.
        [IDENTITY-1]
Rule 2: an anonymous user is named by a digest of the secret: the name tells nobody the secret, and
        no other token lets anybody in under it. [IDENTITY-4]
Rule 3: whatever can be revoked is looked at again whenever a session begins, gets a fresh token,
        or the operator's files change (see `net.watched`): `revoked` is what a `Host` is given
        beside this.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from replication.errors import UsageError
from replication.limits import ANONYMOUS_SECRET_CHARACTERS_MIN, TOKEN_BYTES_MAX
from replication.net import api_keys as keys_of_programs
from replication.net.api_keys import ApiKeys
from replication.net.revocations import Revocations
from replication.net.users import invalid, user_id
from replication.server.users import Authenticate, User

DEVELOPMENT_PREFIX: Final = "dev:"
ANONYMOUS_PREFIX: Final = "anonymous:"


class Tokens:
    """Verifies the tokens a server accepts: call it with one. The arguments say which.

    Args:
        other: verifies what is of no other kind: `WebTokens`, or a function of the operator's.
        revocations: what was good and is no more.

    Raises:
        UsageError: nothing would ever be accepted.
    """

    def __init__(
        self,
        *,
        development: bool = False,
        anonymous: bool = False,
        api_keys: ApiKeys | None = None,
        other: Authenticate | None = None,
        revocations: Revocations | None = None,
    ) -> None:
        if not (development or anonymous or api_keys or other):
            raise UsageError(
                "no token could be verified: give a key, or ask for API keys, anonymous users or "
                "the development mode"
            )
        self._development = development
        self._anonymous = anonymous
        self._api_keys = api_keys
        self._other = other
        self._revocations = revocations

    def __call__(self, token: str) -> User:
        """The user of a token.

        Raises:
            SessionError: TOKEN_INVALID or TOKEN_EXPIRED, naming what is wrong.
        """
        self._look()
        if not token:
            raise invalid("the token is empty")
        if len(token) > TOKEN_BYTES_MAX:
            raise invalid(f"a token of {len(token)} bytes; at most {TOKEN_BYTES_MAX}")
        if token.startswith(DEVELOPMENT_PREFIX):
            return self._developer(token)
        if token.startswith(ANONYMOUS_PREFIX):
            return self._anybody(token)
        if token.startswith(keys_of_programs.PREFIX):
            if self._api_keys is None:
                raise invalid("API keys are not accepted here")
            return self._api_keys(token)
        if self._other is None:
            raise invalid(f"only {self._accepted()} are accepted here")
        user = self._other(token)
        if user.id.startswith(ANONYMOUS_PREFIX):
            raise invalid(f"{user.id!r} is an anonymous user's name; only its secret lets in")
        return user

    def revoked(self, user: User) -> str | None:
        """Why a user who was let in is not welcome any more; None: they are. Rule 3."""
        reason = None if self._revocations is None else self._revocations(user)
        if reason is None and self._api_keys is not None:
            reason = self._api_keys.revoked(user)
        return reason

    def _look(self) -> None:
        """What was changed just now counts for whoever comes now."""
        for held in (self._revocations, self._api_keys):
            if held is not None:
                held.file.look()

    def _developer(self, token: str) -> User:
        if not self._development:
            raise invalid("development tokens are only accepted in development mode")
        return User(user_id(token.removeprefix(DEVELOPMENT_PREFIX)), provider="development")

    def _anybody(self, token: str) -> User:
        if not self._anonymous:
            raise invalid("anonymous users are not let in here")
        secret = token.removeprefix(ANONYMOUS_PREFIX)
        if len(secret) < ANONYMOUS_SECRET_CHARACTERS_MIN:
            raise invalid(
                f"the secret of an anonymous token has {len(secret)} characters; at least "
                f"{ANONYMOUS_SECRET_CHARACTERS_MIN} random ones are needed"
            )
        digest = hashlib.sha256(secret.encode(errors="replace")).hexdigest()
        return User(f"{ANONYMOUS_PREFIX}{digest[:_DIGITS]}", provider="anon-user")

    def _accepted(self) -> str:
        kinds = {
            "development tokens (dev:USER)": self._development,
            "anonymous tokens": self._anonymous,
            "API keys": self._api_keys is not None,
        }
        return ", ".join(kind for kind, asked in kinds.items() if asked)


def anonymous_token() -> str:
    """A token for a user without a name. Keep it: who loses it can't be that user any more."""
    return ANONYMOUS_PREFIX + secrets.token_urlsafe(32)


#: Hexadecimal digits of the digest that names an anonymous user.
_DIGITS: Final = 32
