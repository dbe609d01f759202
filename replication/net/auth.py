"""Tokens: development tokens, and JSON Web Tokens signed by keys the operator names.

Rule 1: a development token `dev:<user>` is good only at a server whose development mode was asked
        for.
Rule 2: a key is used with one algorithm, that of its kind, and the token's header must name it:
        a token can't choose how it is verified, and `none` is no algorithm.
Rule 3: a weak key, a private key in place of a public one, an unreadable file are errors when the
        server starts, not warnings.
Rule 4: `exp` and `sub` are required; `sub` is the user. `aud` and `iss` must be the configured
        ones; a token for some audience is refused where none is configured.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from replication.errors import ErrorCode, SessionError, UsageError
from replication.limits import TOKEN_BYTES_MAX, TOKEN_LEEWAY_S, USER_BYTES_MAX
from replication.server.users import User

if TYPE_CHECKING:
    from types import ModuleType

DEVELOPMENT_PREFIX: Final = "dev:"
#: The least bytes of a shared secret (RFC 7518 §3.2) and bits of an RSA modulus (§3.3).
SECRET_BYTES_MIN: Final = 32
RSA_BITS_MIN: Final = 2048
_JWKS_KEYS_MAX: Final = 100
#: The last second that is a time: a long time after every clock has stopped.
_TIME_MAX_S: Final = 2**53

_log = logging.getLogger(__name__)


class Key(NamedTuple):
    """What verifies signatures: one algorithm, one key, and the name a key set gives it."""

    algorithm: str
    key: object
    kid: str | None = None


class Keys(Protocol):
    """Where keys come from."""

    def find(self, algorithm: str, kid: str | None) -> Sequence[Key]:
        """The keys that may have signed a token with such a header."""


class Tokens:
    """Verifies the tokens a server accepts: call it with one.

    Args:
        development: accept `dev:<user>` from anybody.
        jwt: verifies all others.

    Raises:
        UsageError: nothing would ever be accepted.
    """

    def __init__(self, *, development: bool = False, jwt: WebTokens | None = None) -> None:
        if not development and jwt is None:
            raise UsageError(
                "no token could be verified: give a key, or ask for the development mode"
            )
        self._development = development
        self._jwt = jwt

    def __call__(self, token: str) -> User:
        """The user of a token.

        Raises:
            SessionError: TOKEN_INVALID or TOKEN_EXPIRED, naming what is wrong.
        """
        if not token:
            raise _invalid("the token is empty")
        if len(token) > TOKEN_BYTES_MAX:
            raise _invalid(f"a token of {len(token)} bytes; at most {TOKEN_BYTES_MAX}")
        if token.startswith(DEVELOPMENT_PREFIX):
            if not self._development:
                raise _invalid("development tokens are only accepted in development mode")
            return User(_user_id(token.removeprefix(DEVELOPMENT_PREFIX)))
        if self._jwt is None:
            raise _invalid('this server accepts development tokens only: "dev:" and a user')
        return self._jwt(token)


class WebTokens:
    """Verifies JSON Web Tokens.

    Args:
        keys: `shared_secret`, `public_key` or `KeySetFile`.
        audience, issuer: what `aud` must hold and `iss` must be; None: there must be no `aud`.
        leeway_s: how far clocks may differ, in seconds.
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
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._jwt = _pyjwt()
        self._keys = keys
        self._audience = audience
        self._issuer = issuer
        self._leeway_s = leeway_s
        self._wall = wall

    def __call__(self, token: str) -> User:
        """The user of a token.

        Raises:
            SessionError: TOKEN_INVALID or TOKEN_EXPIRED, naming what is wrong.
        """
        claims = self._verified(token)
        self._check_parties(claims)
        expires = self._check_times(claims)
        return User(_user_id(claims.get("sub")), claims, expires)

    def _verified(self, token: str) -> Mapping[str, object]:
        """The claims of a token with a good signature."""
        jwt = self._jwt
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
            keys = self._keys.find(algorithm, kid)
            if not keys:
                raise _invalid(f"no key here is for algorithm {algorithm!r} and key id {kid!r}")
            for key in keys:
                try:
                    payload = jwt.PyJWS().decode(token, key.key, algorithms=[key.algorithm])
                except jwt.InvalidSignatureError:
                    continue
                claims = json.loads(payload)
                if type(claims) is not dict:
                    raise _invalid("the claims of the token are no JSON object")
                return claims
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            raise _invalid(f"not a valid JSON Web Token: {error}") from None
        raise _invalid(f"the signature fits no key for algorithm {algorithm!r}")

    def _check_parties(self, claims: Mapping[str, object]) -> None:
        issuer, audience = claims.get("iss"), claims.get("aud")
        if self._issuer is not None and issuer != self._issuer:
            raise _invalid(f"the issuer is {issuer!r}, not {self._issuer!r}")
        for_whom = audience if type(audience) is list else [audience]
        if self._audience is None:
            if audience is not None:
                raise _invalid(f"the token is for audience {audience!r}, and none is known here")
        elif self._audience not in for_whom:
            raise _invalid(f"the audience is {audience!r}, not {self._audience!r}")

    def _check_times(self, claims: Mapping[str, object]) -> float:
        """Unix seconds until which the token is accepted."""
        now = self._wall()
        until = _seconds(claims, "exp")
        if until is None:
            raise _invalid("the token says no 'exp', when it expires")
        expires = until + self._leeway_s
        if now >= expires:
            raise SessionError(
                ErrorCode.TOKEN_EXPIRED,
                f"it expired at {until:.0f}, {now - until:.0f} s before the server's time",
            )
        for name in ("nbf", "iat"):
            since = _seconds(claims, name)
            if since is not None and since > now + self._leeway_s:
                raise _invalid(f"its {name!r} {since:.0f} is after the server's time {now:.0f}")
        return expires


# -- keys ------------------------------------------------------------------------------------------
class _FixedKeys:
    def __init__(self, *keys: Key) -> None:
        self._all = keys

    def find(self, algorithm: str, kid: str | None) -> Sequence[Key]:
        return [
            key
            for key in self._all
            if key.algorithm == algorithm and (kid is None or key.kid in (None, kid))
        ]


def shared_secret(secret: bytes) -> Keys:
    """A secret that signs and verifies: HS256.

    Raises:
        UsageError: too short to be one, or a key file by mistake.
    """
    if secret.lstrip().startswith(b"-----BEGIN"):
        raise UsageError("this is a key file in PEM form, not a shared secret")
    if len(secret) < SECRET_BYTES_MIN:
        raise UsageError(
            f"a shared secret of {len(secret)} bytes; at least {SECRET_BYTES_MIN} random ones "
            "are needed"
        )
    _pyjwt()
    return _FixedKeys(Key("HS256", secret))


def public_key(pem: bytes) -> Keys:
    """A public key in PEM form: RSA for RS256, P-256 for ES256, Ed25519 for EdDSA.

    Raises:
        UsageError: it is none of these, too weak, or a private one.
    """
    _pyjwt()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if b"PRIVATE KEY" in pem:
        raise UsageError("this is a private key; a server needs, and should have, the public one")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"not a public key in PEM form: {error}") from None
    return _FixedKeys(Key(_algorithm(key), key))


class KeySetFile:
    """A file that holds a JSON Web Key Set; read again when it changed and a key is missing.

    Raises:
        UsageError: it can't be read or holds no key that can be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = (0, 0)
        self._keys = _FixedKeys()
        self._load()

    def find(self, algorithm: str, kid: str | None) -> Sequence[Key]:
        """The keys that may have signed a token with such a header."""
        found = self._keys.find(algorithm, kid)
        if found or not self._changed():
            return found
        try:
            self._load()
        except UsageError as error:
            _log.warning("the keys stay as they were: %s", error)
        return self._keys.find(algorithm, kid)

    def _changed(self) -> bool:
        try:
            status = self._path.stat()
        except OSError:
            return False
        return (status.st_mtime_ns, status.st_size) != self._stamp

    def _load(self) -> None:
        try:
            status = self._path.stat()
            self._stamp = (status.st_mtime_ns, status.st_size)
            content = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"can't read the key set {self._path}: {error}") from None
        items = content.get("keys") if type(content) is dict else None
        if type(items) is not list or len(items) > _JWKS_KEYS_MAX:
            raise UsageError(
                f'{self._path} is no key set: {{"keys": [...]}}, at most {_JWKS_KEYS_MAX}'
            )
        keys = [key for item in items if (key := self._key(item)) is not None]
        if not keys:
            raise UsageError(f"{self._path} holds no key that verifies signatures")
        self._keys = _FixedKeys(*keys)

    def _key(self, item: object) -> Key | None:
        """A key of the set; None for one that is there for something else."""
        jwt = _pyjwt()
        if type(item) is not dict or item.get("use", "sig") != "sig":
            return None
        kid = item.get("kid")
        if kid is not None and type(kid) is not str:
            raise UsageError(f"{self._path}: {kid!r} is no key id")
        if item.get("kty") == "oct":
            raise UsageError(f"{self._path}: key {kid!r} is a shared secret; it has to be secret")
        if "d" in item:
            raise UsageError(f"{self._path}: key {kid!r} is a private key; keep it to its owner")
        try:
            key = jwt.PyJWK(item).key
        except jwt.PyJWTError:
            return None
        algorithm = _algorithm(key)
        return Key(algorithm, key, kid) if item.get("alg", algorithm) == algorithm else None


def _algorithm(key: object) -> str:
    """The one algorithm a public key is used with."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < RSA_BITS_MIN:
            raise UsageError(f"an RSA key of {key.key_size} bits; at least {RSA_BITS_MIN} needed")
        return "RS256"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1":
        return "ES256"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "EdDSA"
    raise UsageError(f"a key of type {type(key).__name__} verifies no token here")


def _pyjwt() -> ModuleType:
    """PyJWT, with what it needs for public keys. Imported late: it is slow, and an extra."""
    try:
        import cryptography  # noqa: F401
        import jwt
    except ImportError as error:
        raise UsageError(
            f"verifying JSON Web Tokens needs the package {error.name}: "
            'pip install "replication-core[server]"'
        ) from None
    return jwt


def _user_id(value: object) -> str:
    if type(value) is str and value:
        try:
            if len(value.encode()) <= USER_BYTES_MAX:
                return value
        except UnicodeEncodeError:  # JSON can spell half a surrogate pair
            pass
    shown = repr(value)[:60]
    raise _invalid(f"{shown} is no user: a text of 1 to {USER_BYTES_MAX} bytes")


def _seconds(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, (int, float)) and type(value) is not bool and 0 <= value <= _TIME_MAX_S:
        return float(value)
    raise _invalid(f"its {name!r} {value!r:.40} is no time in seconds")


def _invalid(message: str) -> SessionError:
    return SessionError(ErrorCode.TOKEN_INVALID, message)
