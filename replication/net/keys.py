"""Keys that verify signatures: a shared secret, a public key, a key set that may change.

Rule 1: a key is used with one algorithm, that of its kind: HS256 for a shared secret, RS256 for
        RSA, ES256 for P-256, EdDSA for Ed25519.
Rule 2: a weak key, a private key in place of a public one, an unreadable file are errors when the
        server starts, not warnings.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from replication.errors import UsageError
from replication.net.watched import WatchedFile

if TYPE_CHECKING:
    from types import ModuleType

#: The least bytes of a shared secret (RFC 7518 §3.2) and bits of an RSA modulus (§3.3).
SECRET_BYTES_MIN: Final = 32
RSA_BITS_MIN: Final = 2048
_JWKS_KEYS_MAX: Final = 100


class Key(NamedTuple):
    """What verifies signatures: one algorithm, one key, and the name a key set gives it."""

    algorithm: str
    key: object
    kid: str | None = None


class Keys(Protocol):
    """Where keys come from."""

    def find(self, algorithm: str, kid: str | None) -> Sequence[Key]:
        """The keys that may have signed a token with such a header."""


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
    pyjwt()
    return _FixedKeys(Key("HS256", secret))


def public_key(pem: bytes) -> Keys:
    """A public key in PEM form: RSA for RS256, P-256 for ES256, Ed25519 for EdDSA.

    Raises:
        UsageError: it is none of these, too weak, or a private one.
    """
    pyjwt()
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
    """A file that holds a JSON Web Key Set.

    Attributes:
        file: the file; it is also read again when a token names a key that is missing.

    Raises:
        UsageError: it can't be read or holds no key that can be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys = _FixedKeys()
        self.file = WatchedFile(path, self._take)

    def find(self, algorithm: str, kid: str | None) -> Sequence[Key]:
        """The keys that may have signed a token with such a header."""
        found = self._keys.find(algorithm, kid)
        return found if found or not self.file.look() else self._keys.find(algorithm, kid)

    def _take(self, data: bytes) -> None:
        try:
            content = json.loads(data)
        except (ValueError, RecursionError) as error:
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
        jwt = pyjwt()
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


def pyjwt() -> ModuleType:
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
