"""JSON Web Tokens, signed by keys the operator names.

Rule 1: the key decides the algorithm, and the token's header must name it: a token can't choose
        how it is verified, and `none` is no algorithm. [IDENTITY-2]
Rule 2: `exp` and `sub` are required; `sub` is the user. `aud` and `iss` must be the configured
        ones; a token for some audience is refused where none is configured. [IDENTITY-3]
Rule 3: nothing of a token is looked at before its signature was verified, but the header that
        says which key to try; one that demands more than this file knows (`crit`) is refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from replication.errors import ErrorCode, SessionError
from replication.limits import TOKEN_LEEWAY_S
from replication.net.keys import Keys, pyjwt
from replication.net.users import invalid, user_id
from replication.server.users import User

#: The last second that is a time: a long time after every clock has stopped.
_TIME_MAX_S: Final = 2**53


class WebTokens:
    """Verifies JSON Web Tokens.

    Args:
        keys: `shared_secret`, `public_key` or `KeySetFile`.
        audience, issuer: what `aud` must hold and `iss` must be; None: there must be no `aud`.
        leeway_s: how far clocks may differ, in seconds.
        custom_data: the claim that says more about the user, a JSON object; None: no claim does.
        wall: the clock, in Unix seconds.

    Raises:
        UsageError: the packages for it are not installed.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        audience: str | None = None,
        issuer: str | None = None,
        leeway_s: float = TOKEN_LEEWAY_S,
        custom_data: str | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._jwt = pyjwt()
        self._keys = keys
        self._audience = audience
        self._issuer = issuer
        self._leeway_s = leeway_s
        self._custom_data = custom_data
        self._wall = wall

    def __call__(self, token: str) -> User:
        """The user of a token.

        Raises:
            SessionError: TOKEN_INVALID or TOKEN_EXPIRED, naming what is wrong.
        """
        claims = self._verified(token)
        self._check_parties(claims)
        expires = self._check_times(claims)
        return User(
            user_id(claims.get("sub")),
            claims,
            expires,
            provider="custom-token",
            custom_data=self._said_more(claims),
            token=_text(claims, "jti"),
            issued=_seconds(claims, "iat"),
        )

    def _said_more(self, claims: Mapping[str, object]) -> Mapping[str, Any]:
        said = {} if self._custom_data is None else claims.get(self._custom_data, {})
        if type(said) is dict:
            return said
        raise invalid(f"its {self._custom_data!r} {said!r:.40} is no JSON object")

    def _verified(self, token: str) -> Mapping[str, object]:
        """The claims of a token with a good signature."""
        jwt = self._jwt
        try:
            header = jwt.get_unverified_header(token)
            if "crit" in header:
                raise invalid(f"its header demands {header['crit']!r:.60}, which is not known here")
            algorithm, kid = header.get("alg"), header.get("kid")
            keys = self._keys.find(algorithm, kid)
            if not keys:
                raise invalid(f"no key here is for algorithm {algorithm!r} and key id {kid!r}")
            for key in keys:
                try:
                    payload = jwt.PyJWS().decode(token, key.key, algorithms=[key.algorithm])
                except jwt.InvalidSignatureError:
                    continue
                claims = json.loads(payload)
                if type(claims) is not dict:
                    raise invalid("the claims of the token are no JSON object")
                return claims
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            raise invalid(f"not a valid JSON Web Token: {error}") from None
        raise invalid(f"the signature fits no key for algorithm {algorithm!r}")

    def _check_parties(self, claims: Mapping[str, object]) -> None:
        issuer, audience = claims.get("iss"), claims.get("aud")
        if self._issuer is not None and issuer != self._issuer:
            raise invalid(f"the issuer is {issuer!r}, not {self._issuer!r}")
        for_whom = audience if type(audience) is list else [audience]
        if self._audience is None:
            if audience is not None:
                raise invalid(f"the token is for audience {audience!r}, and none is known here")
        elif self._audience not in for_whom:
            raise invalid(f"the audience is {audience!r}, not {self._audience!r}")

    def _check_times(self, claims: Mapping[str, object]) -> float:
        """Unix seconds until which the token is accepted."""
        now = self._wall()
        until = _seconds(claims, "exp")
        if until is None:
            raise invalid("the token says no 'exp', when it expires")
        expires = until + self._leeway_s
        if now >= expires:
            raise SessionError(
                ErrorCode.TOKEN_EXPIRED,
                f"it expired at {until:.0f}, {now - until:.0f} s before the server's time",
            )
        for name in ("nbf", "iat"):
            since = _seconds(claims, name)
            if since is not None and since > now + self._leeway_s:
                raise invalid(f"its {name!r} {since:.0f} is after the server's time {now:.0f}")
        return expires


def _seconds(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, (int, float)) and type(value) is not bool and 0 <= value <= _TIME_MAX_S:
        return float(value)
    raise invalid(f"its {name!r} {value!r:.40} is no time in seconds")


def _text(claims: Mapping[str, object], name: str) -> str | None:
    value = claims.get(name)
    if value is None or type(value) is str:
        return value
    raise invalid(f"its {name!r} {value!r:.40} is no text")
