"""API keys: for programs that act for a user without anybody to sign in.

A key is shown once, when it is made: `key:ID:SECRET`. The server's file holds who it stands for and
the SHA-256 of the secret, which is random and long, so that nothing slower is needed.

Rule 1: a key that is not in the file any more lets nobody in, and sessions it opened end.
Rule 2: an unknown key and a wrong secret are the same error.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from replication.errors import SessionError, UsageError
from replication.net.users import invalid, user_id
from replication.net.watched import WatchedFile, replace_file
from replication.server.users import User

PREFIX: Final = "key:"
#: The name of the file in the directory of a server.
FILE_NAME: Final = "api-keys.json"
#: Random bytes of a secret.
_SECRET_BYTES: Final = 32
_DIGEST_BYTES: Final = 32
_PROVIDER: Final = "api-key"


class ApiKey(NamedTuple):
    """One key, as the file holds it."""

    user: str
    #: Of the secret, in hexadecimal.
    sha256: str
    #: What the operator says about the user.
    custom_data: Mapping[str, Any]


class ApiKeys:
    """The keys of a file, which may change meanwhile.

    Attributes:
        file: the file.

    Raises:
        UsageError: it can't be read, or makes no sense.
    """

    def __init__(self, path: Path) -> None:
        self.all: dict[str, ApiKey] = {}
        self._path = path
        self.file = WatchedFile(path, self._take, missing=b"{}")

    def __call__(self, token: str) -> User:
        """The user of a token `key:ID:SECRET`.

        Raises:
            SessionError: TOKEN_INVALID.
        """
        name, _, secret = token.removeprefix(PREFIX).partition(":")
        key = self.all.get(name)
        digest = hashlib.sha256(secret.encode(errors="replace")).hexdigest()
        if key is None or not hmac.compare_digest(digest, key.sha256):
            raise invalid("no such API key")
        return User(
            key.user, type="server", provider=_PROVIDER, custom_data=key.custom_data, token=name
        )

    def revoked(self, user: User) -> str | None:
        """Why a user with a key is not welcome any more. Rule 1."""
        if user.provider != _PROVIDER:
            return None
        key = self.all.get(user.token or "")
        gone = key is None or key.user != user.id
        return f"API key {user.token} was revoked" if gone else None

    # -- for whoever administers them --------------------------------------------------------------
    def create(self, user: str, custom_data: Mapping[str, Any] | None = None) -> str:
        """Add a key to the file; returns its token, which is stored nowhere.

        Raises:
            UsageError: no name of a user.
        """
        try:
            user_id(user)
        except SessionError as error:
            raise UsageError(error.reason) from None
        name, secret = secrets.token_hex(6), secrets.token_urlsafe(_SECRET_BYTES)
        digest = hashlib.sha256(secret.encode()).hexdigest()
        self._store({**self.all, name: ApiKey(user, digest, custom_data or {})})
        return f"{PREFIX}{name}:{secret}"

    def remove(self, name: str) -> None:
        """Take a key out of the file.

        Raises:
            UsageError: it is not there.
        """
        if name not in self.all:
            raise UsageError(f"there is no API key {name!r} in {self._path}")
        self._store({key: value for key, value in self.all.items() if key != name})

    def _store(self, keys: Mapping[str, ApiKey]) -> None:
        content = {name: key._asdict() for name, key in keys.items()}
        replace_file(self._path, (json.dumps(content, indent=1) + "\n").encode())
        self.file.look()

    def _take(self, data: bytes) -> None:
        try:
            content = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{self._path} is no JSON: {error}") from None
        if type(content) is not dict:
            raise UsageError(f'{self._path} holds no API keys: {{"ID": {{"user": ...}}}}')
        self.all = {name: self._key(name, item) for name, item in content.items()}

    def _key(self, name: str, item: object) -> ApiKey:
        try:
            key = ApiKey(**item)  # type: ignore[arg-type]
            user_id(key.user)
            if type(key.custom_data) is dict and len(bytes.fromhex(key.sha256)) == _DIGEST_BYTES:
                return key
        except (TypeError, ValueError, SessionError):
            pass
        raise UsageError(
            f"{self._path}: {name!r:.40} is no API key: a user, the sha256 of its secret, and "
            "custom_data, an object"
        )
