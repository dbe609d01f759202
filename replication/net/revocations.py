"""Revocations: users and tokens that were good and are not welcome any more.

The file is JSON: `{"users": {"ada": true, "bob": 1800000000}, "tokens": ["..."]}`. A user with
`true` is out; one with a time, in Unix seconds, has to bring a token that was issued after it.
Tokens go by their `jti`.

Rule 1: a token that does not say when it was issued was issued too early.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from replication.errors import UsageError
from replication.net.watched import WatchedFile, replace_file
from replication.server.users import User

#: The name of the file in the directory of a server.
FILE_NAME: Final = "revoked.json"


class Revocations:
    """What a file revokes; it may change meanwhile, and may not be there yet.

    Attributes:
        users: by id: whoever is out, or since when tokens have to be.
        tokens: the `jti` of each token that is out.
        file: the file.

    Raises:
        UsageError: it can't be read, or makes no sense.
    """

    def __init__(self, path: Path) -> None:
        self.users: dict[str, float | bool] = {}
        self.tokens: frozenset[str] = frozenset()
        self._path = path
        self.file = WatchedFile(path, self._take, missing=b"{}")

    def __call__(self, user: User) -> str | None:
        """Why a user is not welcome any more; None: they are."""
        since = self.users.get(user.id)
        if since is True:
            return f"user {user.id} was revoked"
        if since is not None and (user.issued is None or user.issued <= since):
            return f"the tokens of user {user.id} that were issued up to {since:.0f} were revoked"
        if user.token is not None and user.token in self.tokens:
            return f"token {user.token} was revoked"
        return None

    # -- for whoever administers them --------------------------------------------------------------
    def revoke_user(self, user: str, since: float | bool = True) -> None:
        """Let a user in no more; or only with tokens issued after ``since``, in Unix seconds."""
        self._store({**self.users, user: since}, self.tokens)

    def revoke_token(self, token: str) -> None:
        """Let a token, named by its `jti`, in no more."""
        self._store(self.users, self.tokens | {token})

    def restore(self, user: str | None, token: str | None) -> None:
        """Let a user or a token in again.

        Raises:
            UsageError: they were not revoked.
        """
        if user is not None and user not in self.users:
            raise UsageError(f"user {user!r} was not revoked in {self._path}")
        if token is not None and token not in self.tokens:
            raise UsageError(f"token {token!r} was not revoked in {self._path}")
        users = {name: since for name, since in self.users.items() if name != user}
        self._store(users, self.tokens - {token})

    def _store(self, users: dict[str, float | bool], tokens: frozenset[str | None]) -> None:
        content = {"users": users, "tokens": sorted(filter(None, tokens))}
        replace_file(self._path, (json.dumps(content, indent=1) + "\n").encode())
        self.file.look()

    def _take(self, data: bytes) -> None:
        try:
            content = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{self._path} is no JSON: {error}") from None
        if type(content) is not dict or content.keys() - {"users", "tokens"}:
            raise self._nonsense('{"users": {...}, "tokens": [...]}')
        users, tokens = content.get("users", {}), content.get("tokens", [])
        if type(users) is not dict or not all(map(_is_since, users.values())):
            raise self._nonsense("for each user true, or a time in Unix seconds")
        if type(tokens) is not list or not all(type(token) is str for token in tokens):
            raise self._nonsense("tokens are a list of texts")
        self.users, self.tokens = users, frozenset(tokens)

    def _nonsense(self, form: str) -> UsageError:
        return UsageError(f"{self._path} says not what is revoked: {form}")


def _is_since(value: object) -> bool:
    return value is True or (type(value) in (int, float) and abs(value) < 2**53)  # type: ignore[arg-type]
