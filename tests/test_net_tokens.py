"""API keys, anonymous users, revocations, and the files of an operator that change meanwhile."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing
from test_net_auth import NOW, refused, secret_tokens, signed

from replication.errors import ErrorCode, SessionError, UsageError
from replication.limits import ANONYMOUS_SECRET_CHARACTERS_MIN, FILES_CHECK_S
from replication.net.api_keys import ApiKeys
from replication.net.auth import Tokens, anonymous_token
from replication.net.revocations import Revocations
from replication.net.watched import WatchedFile, replace_file, watch
from replication.server.users import User


# -- API keys --------------------------------------------------------------------------------------
def test_an_api_key_acts_for_its_user(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path / "keys.json")
    token = keys.create("importer", {"team": "red"})
    tokens = Tokens(api_keys=keys)
    user = tokens(token)
    assert (user.id, user.type, user.provider) == ("importer", "server", "api-key")
    assert (user.custom_data, user.expires) == ({"team": "red"}, None)
    assert tokens.revoked(user) is None
    # What is stored lets nobody in, and nobody else may read even that.
    secret = token.split(":")[2]
    assert secret not in keys.file.path.read_text()
    assert len(secret) >= 43
    assert stat.S_IMODE(keys.file.path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [keys.file.path]
    # Another process made them: a server that started before it finds them too.
    assert Tokens(api_keys=ApiKeys(tmp_path / "keys.json"))(token) == user


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:-1],
        lambda token: token + "x",
        lambda token: token.replace("key:", "key:x"),
        lambda token: token.rpartition(":")[0],
        lambda token: token.rpartition(":")[0] + ":",
        lambda token: "key:" + token.rpartition(":")[2],
        lambda token: "key:",
        lambda token: "key::",
        lambda token: token[:-1] + "\ud800",
        lambda token: (
            token.rpartition(":")[0]
            + ":"
            + hashlib.sha256(token.rpartition(":")[2].encode()).hexdigest()
        ),
    ],
)
def test_no_other_key_is_accepted(tmp_path: Path, change: Callable[[str], str]) -> None:
    keys = ApiKeys(tmp_path / "keys.json")
    token = keys.create("importer")
    error = refused(Tokens(api_keys=keys), change(token), "no such API key")
    assert str(error) == str(refused(Tokens(api_keys=keys), "key:nix:nix"))


def test_api_keys_have_to_be_asked_for(tmp_path: Path) -> None:
    token = ApiKeys(tmp_path / "keys.json").create("importer")
    refused(Tokens(development=True), token, "API keys are not accepted")
    refused(Tokens(api_keys=ApiKeys(tmp_path / "other.json")), "dev:ada", "development mode")
    refused(Tokens(api_keys=ApiKeys(tmp_path / "other.json")), "a.b.c", "only API keys are")


def test_a_key_that_was_removed_or_given_to_another_is_revoked(tmp_path: Path) -> None:
    """IDENTITY-7"""
    path = tmp_path / "keys.json"
    server, operator = ApiKeys(path), ApiKeys(path)
    first, second = operator.create("importer"), operator.create("exporter")
    assert server.file.look()
    users = [Tokens(api_keys=server)(token) for token in (first, second)]
    operator.remove(first.split(":")[1])
    refused(Tokens(api_keys=server), first, "no such API key")
    content = json.loads(path.read_text())
    content[second.split(":")[1]]["user"] = "somebody else"
    replace_file(path, json.dumps(content).encode())
    assert server.file.look()
    reasons = [Tokens(api_keys=server).revoked(user) for user in users]
    assert [reason and reason.endswith("was revoked") for reason in reasons] == [True, True]
    refused(Tokens(api_keys=server), first, "no such API key")
    # Other users are none of its business.
    assert server.revoked(User("importer", token=first.split(":")[1])) is None
    with pytest.raises(UsageError, match="there is no API key 'nix'"):
        operator.remove("nix")
    with pytest.raises(UsageError, match="is no user"):
        operator.create("")


@pytest.mark.parametrize(
    "content",
    [
        b"{half",
        b"[]",
        b'{"a": 1}',
        b'{"a": {"user": "u"}}',
        b'{"a": {"user": "", "sha256": "%s", "custom_data": {}}}' % (b"00" * 32),
        b'{"a": {"user": "u", "sha256": "00", "custom_data": {}}}',
        b'{"a": {"user": "u", "sha256": "%s", "custom_data": []}}' % (b"00" * 32),
        b'{"a": {"user": "u", "sha256": "%s", "custom_data": {}, "x": 1}}' % (b"00" * 32),
        b'{"a": {"user": "u", "sha256": 7, "custom_data": {}}}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_files_that_hold_no_api_keys(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"keys\.json"):
        ApiKeys(tmp_path / "keys.json")


# -- anonymous users -------------------------------------------------------------------------------
def test_an_anonymous_user_is_whoever_knows_the_secret() -> None:
    """IDENTITY-4"""
    tokens = Tokens(anonymous=True)
    token = anonymous_token()
    user = tokens(token)
    assert tokens(token).id == user.id
    assert tokens(anonymous_token()).id != user.id
    assert (user.type, user.provider, user.claims) == ("normal", "anon-user", {})
    assert token.partition(":")[2][:8] not in user.id
    assert tokens(user.id).id != user.id  # a user's name lets nobody in as that user
    refused(tokens, "anonymous:" + "x" * (ANONYMOUS_SECRET_CHARACTERS_MIN - 1), "31 characters")
    refused(tokens, "anonymous:", "0 characters")
    assert tokens("anonymous:" + "\ud800" * 40).id
    refused(Tokens(development=True), token, "not let in here")
    refused(tokens, "a.b.c", "only anonymous tokens are accepted")


# -- an authenticator of one's own -----------------------------------------------------------------
def test_whatever_is_of_no_other_kind_is_for_the_operators_function() -> None:
    def authenticate(token: str) -> User:
        if token != "open sesame":
            raise SessionError(ErrorCode.TOKEN_INVALID, "a wrong word")
        return User("ali", provider="cave")

    tokens = Tokens(other=authenticate)
    assert tokens("open sesame").id == "ali"
    refused(tokens, "open", "a wrong word")
    for mine in ("dev:ali", "anonymous:" + "x" * 40, "key:a:b"):
        refused(tokens, mine)


# -- revocations -----------------------------------------------------------------------------------
def test_revocations(tmp_path: Path) -> None:
    """IDENTITY-7"""
    path = tmp_path / "revoked.json"
    held, operator = Revocations(path), Revocations(path)
    tokens = Tokens(other=secret_tokens(), revocations=held)
    old, young, unsaid = (signed(**more) for more in ({"iat": NOW - 9}, {"iat": NOW}, {}))
    other = signed(sub="bob", jti="token 7")
    users = [tokens(token) for token in (old, young, unsaid, other)]

    def out() -> list[bool]:
        refused(tokens, "x")  # whoever comes has the file looked at
        return [tokens.revoked(user) is not None for user in users]

    assert out() == [False] * 4
    operator.revoke_user("ada", NOW - 1)
    assert out() == [True, False, True, False]
    operator.revoke_user("ada", NOW)
    assert out() == [True, True, True, False]
    operator.revoke_token("token 7")
    assert out() == [True] * 4
    operator.restore("ada", None)
    assert out() == [False, False, False, True]
    operator.restore(None, "token 7")
    operator.revoke_user("ada")
    assert out() == [True, True, True, False]
    assert tokens.revoked(User("ada")) == "user ada was revoked"
    for user, token in (("bob", None), (None, "nix")):
        with pytest.raises(UsageError, match="was not revoked"):
            operator.restore(user, token)


@pytest.mark.parametrize(
    "content",
    [b"{half", b"[]", b'{"user": {}}', b'{"users": []}', b'{"users": {"a": false}}',
     b'{"users": {"a": "x"}}', b'{"users": {"a": NaN}}', b'{"tokens": {}}', b'{"tokens": [1]}',
     b"[" * 100_000],
)  # fmt: skip
def test_files_that_do_not_say_what_is_revoked(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "revoked.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"revoked\.json"):
        Revocations(tmp_path / "revoked.json")


# -- files that change -----------------------------------------------------------------------------
def test_a_broken_file_changes_nothing_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "revoked.json"
    replace_file(path, b'{"users": {"ada": true}}')
    held = Revocations(path)
    path.write_bytes(b'{"users": {"ada"')
    with caplog.at_level(logging.WARNING):
        assert not held.file.look()
        assert not held.file.look()
    assert len(caplog.records) == 1
    assert "goes on to count" in caplog.text
    assert held(User("ada")) is not None
    replace_file(path, b"{}")
    assert held.file.look()
    assert held(User("ada")) is None
    path.unlink()
    assert held.file.look()  # none is as good as an empty one
    assert not held.file.look()


def test_a_file_that_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        WatchedFile(tmp_path / "nix", lambda _data: None)
    with pytest.raises(UsageError, match="Is a directory"):
        WatchedFile(tmp_path, lambda _data: None, missing=b"")


def test_a_change_that_only_the_inode_tells(tmp_path: Path) -> None:
    path = tmp_path / "file"
    taken: list[bytes] = []
    replace_file(path, b"one")
    file = WatchedFile(path, taken.append)
    at = path.stat().st_mtime_ns
    replace_file(path, b"two")
    os.utime(path, ns=(at, at))
    assert file.look()
    assert taken == [b"one", b"two"]


async def test_files_are_looked_at_again_and_again(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    taken: list[bytes] = []
    seen: list[int] = []
    paths = [tmp_path / "a", tmp_path / "b"]
    files = [WatchedFile(path, taken.append, missing=b"") for path in paths]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, files, lambda: seen.append(len(taken)))

        async def pass_time() -> None:
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(FILES_CHECK_S)
            for _ in range(5):
                await trio.testing.wait_all_tasks_blocked(0.005)

        await pass_time()
        assert seen == []
        replace_file(paths[0], b"x")
        replace_file(paths[1], b"y")
        await pass_time()
        assert (seen, taken[2:]) == ([4], [b"x", b"y"])
        replace_file(paths[1], b"yy")
        assert files[1].look()  # somebody else looked first
        await pass_time()
        assert seen == [4, 5]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("anonymous", [True, False])
def test_no_other_token_names_an_anonymous_user(anonymous: bool) -> None:
    """[IDENTITY-4]: such a name is no secret, and an issuer may let its users choose theirs."""
    victim = Tokens(anonymous=True)(anonymous_token()).id
    vouching = Tokens(anonymous=anonymous, other=lambda _token: User(victim))
    refused(vouching, "header.claims.signature", "only its secret lets in")
    assert Tokens(other=lambda _token: User("anonymousse"))("x").id == "anonymousse"
