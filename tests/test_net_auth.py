"""Tokens: who is let in, and everybody who is not, each with a reason."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from replication.errors import Action, ErrorCode, SessionError, UsageError
from replication.limits import TOKEN_BYTES_MAX, TOKEN_LEEWAY_S, USER_BYTES_MAX
from replication.net.auth import Tokens
from replication.net.keys import KeySetFile, public_key, shared_secret
from replication.net.web_tokens import WebTokens

NOW = 1_800_000_000.0
SECRET = b"0123456789abcdef0123456789abcdef"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WEAK_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(key: object) -> bytes:
    public = key.public_key()  # type: ignore[attr-defined]
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def claims(**changes: object) -> dict[str, object]:
    out: dict[str, object] = {"sub": "ada", "exp": NOW + 60, "aud": "books", "iss": "library"}
    out.update(changes)
    return {name: value for name, value in out.items() if value is not ...}


def secret_tokens(**options: object) -> WebTokens:
    options = {"audience": "books", "issuer": "library", **options}
    return WebTokens(shared_secret(SECRET), wall=lambda: NOW, **options)  # type: ignore[arg-type]


def signed(**changes: object) -> str:
    return jwt.encode(claims(**changes), SECRET, "HS256")


def refused(verify: Callable[[str], object], token: str, *words: str) -> SessionError:
    with pytest.raises(SessionError) as caught:
        verify(token)
    assert caught.value.code in (ErrorCode.TOKEN_INVALID, ErrorCode.TOKEN_EXPIRED)
    assert caught.value.code.action is Action.REFRESH_TOKEN
    for word in words:
        assert word in str(caught.value)
    return caught.value


def test_a_header_that_demands_what_is_not_known() -> None:
    """IDENTITY-9"""
    for demanded in (["b64"], ["exp"], [], "b64", None):
        token = jwt.encode(claims(), SECRET, "HS256", headers={"crit": demanded, "b64": True})
        refused(secret_tokens(), token)
    assert secret_tokens()(signed())


# -- development tokens ----------------------------------------------------------------------------
def test_development_tokens_need_the_development_mode() -> None:
    """IDENTITY-1"""
    tokens = Tokens(development=True)
    assert tokens("dev:ada").id == "ada"
    assert tokens("dev:ada").expires is None
    refused(Tokens(other=secret_tokens()), "dev:ada", "development mode")
    with pytest.raises(UsageError, match="development mode"):
        Tokens()


@pytest.mark.parametrize(
    ("token", "word"),
    [
        ("", "empty"),
        ("ada", "only development tokens"),
        ("dev:", "is no user"),
        ("dev:" + "x" * (USER_BYTES_MAX + 1), "is no user"),
        ("x" * (TOKEN_BYTES_MAX + 1), "bytes"),
    ],
)
def test_bad_development_tokens(token: str, word: str) -> None:
    refused(Tokens(development=True), token, word)


def test_both_kinds_at_once() -> None:
    tokens = Tokens(development=True, other=secret_tokens())
    assert tokens("dev:bob").id == "bob"
    assert tokens(signed()).id == "ada"


# -- claims ----------------------------------------------------------------------------------------
def test_a_good_token() -> None:
    user = secret_tokens()(signed(role="reader"))
    assert (user.id, user.expires) == ("ada", NOW + 60 + TOKEN_LEEWAY_S)
    assert user.claims["role"] == "reader"
    assert (user.type, user.provider, user.custom_data) == ("normal", "custom-token", {})
    assert secret_tokens()(signed(aud=["films", "books"])).id == "ada"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"sub": ...}, "None is no user"),
        ({"sub": ""}, "is no user"),
        ({"sub": 7}, "7 is no user"),
        ({"sub": "x" * 300}, "is no user"),
        ({"sub": "\ud800"}, "is no user"),
        ({"aud": ...}, "audience is None"),
        ({"aud": "films"}, "'films'"),
        ({"aud": ["films"]}, "'films'"),
        ({"aud": {"books": 1}}, "audience is"),
        ({"iss": ...}, "issuer is None"),
        ({"iss": "shop"}, "'shop'"),
        ({"exp": ...}, "'exp'"),
        ({"exp": "soon"}, "'soon'"),
        ({"exp": True}, "True"),
        ({"exp": float("nan")}, "nan"),
        ({"exp": float("inf")}, "inf"),
        ({"exp": 10**400}, "no time"),
        ({"nbf": NOW + 31}, "'nbf'"),
        ({"iat": NOW + 31}, "'iat'"),
        ({"nbf": [1]}, "'nbf'"),
        ({"jti": 7}, "'jti'"),
        ({"more": "all"}, "'more' 'all' is no JSON object"),
    ],
)
def test_bad_claims(changes: dict[str, object], word: str) -> None:
    """IDENTITY-3"""
    error = refused(secret_tokens(custom_data="more"), signed(**changes), word)
    assert error.code is ErrorCode.TOKEN_INVALID


def test_a_claim_may_say_more_about_a_user() -> None:
    tokens = secret_tokens(custom_data="https://example.com/more")
    said = {"team": "red", "teams": ["red", {"of": "colours"}]}
    assert tokens(signed(**{"https://example.com/more": said})).custom_data == said
    assert tokens(signed()).custom_data == {}


def test_expiry_to_the_second() -> None:
    assert secret_tokens()(signed(exp=NOW - TOKEN_LEEWAY_S + 0.01)).id == "ada"
    error = refused(secret_tokens(), signed(exp=NOW - TOKEN_LEEWAY_S), "expired at 1799999970")
    assert error.code is ErrorCode.TOKEN_EXPIRED
    assert secret_tokens()(signed(nbf=NOW + 29, iat=NOW + 29)).id == "ada"
    assert secret_tokens(leeway_s=100)(signed(exp=NOW - 99)).id == "ada"


def test_a_token_for_some_audience_is_refused_where_none_is_known() -> None:
    tokens = secret_tokens(audience=None, issuer=None)
    refused(tokens, signed(), "'books'")
    assert tokens(signed(aud=..., iss=...)).id == "ada"


# -- signatures and algorithms ---------------------------------------------------------------------
def by_hand(header: dict[str, object], secret: bytes, payload: bytes | None = None) -> str:
    """A token no library would make: HMAC-SHA256 under any header."""
    body = json.dumps(claims()).encode() if payload is None else payload

    def packed(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signing = packed(json.dumps(header).encode()) + b"." + packed(body)
    mac = hmac.new(secret, signing, hashlib.sha256).digest() if secret else b""
    return (signing + b"." + packed(mac)).decode()


def public_tokens(key: object) -> WebTokens:
    return WebTokens(public_key(pem(key)), audience="books", issuer="library", wall=lambda: NOW)


def test_public_keys() -> None:
    for key, algorithm in ((RSA, "RS256"), (P256, "ES256"), (ED, "EdDSA")):
        token = jwt.encode(claims(), key, algorithm)
        assert public_tokens(key)(token).id == "ada"
    refused(public_tokens(OTHER_RSA), jwt.encode(claims(), RSA, "RS256"), "signature")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "HS256", "HS512", "", None])
def test_the_token_does_not_choose_the_algorithm(algorithm: str | None) -> None:
    """IDENTITY-2: `none`, and the public key used as an HMAC secret."""
    for secret in (b"", pem(RSA), pem(RSA).strip()):
        refused(public_tokens(RSA), by_hand({"alg": algorithm, "typ": "JWT"}, secret))


def test_other_algorithms_of_the_same_key_are_refused() -> None:
    refused(public_tokens(RSA), jwt.encode(claims(), RSA, "PS256"), "'PS256'")
    refused(public_tokens(RSA), jwt.encode(claims(), RSA, "RS512"), "'RS512'")
    refused(secret_tokens(), jwt.encode(claims(), SECRET * 2, "HS512"), "'HS512'")
    refused(secret_tokens(), jwt.encode(claims(), RSA, "RS256"), "'RS256'")


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c",
        "....",
        "é.é.é",
        by_hand({"alg": "HS256", "crit": ["b64"], "b64": False}, SECRET),
        by_hand({"alg": "HS256", "crit": ["what"]}, SECRET),
        by_hand({"alg": "HS256", "kid": 7}, SECRET),
        by_hand({"alg": ["HS256"]}, SECRET),
        by_hand({"alg": "HS256"}, SECRET, b"[]"),
        by_hand({"alg": "HS256"}, SECRET, b"not JSON"),
        by_hand({"alg": "HS256"}, SECRET, b"\xff"),
        by_hand({"alg": "HS256"}, SECRET, b"[" * 40000),
        by_hand({"alg": "HS256"}, SECRET, b'{"exp": ' + b"9" * 5000 + b"}"),
        signed()[:-2],
        signed() + "x",
        by_hand({"alg": "HS256"}, b"another secret, as long as the real one"),
    ],
)
def test_broken_tokens(token: str) -> None:
    refused(secret_tokens(), token)


@given(st.data())
def test_no_changed_token_is_accepted(data: st.DataObject) -> None:
    token = signed()
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="utf-8"))
    # The last character of a signature holds bits that no byte of it needs.
    if place != len(token) - 1 and other != token[place]:
        refused(secret_tokens(), token[:place] + other + token[place + 1 :])


@given(st.text(max_size=200))
def test_no_text_is_a_token(text: str) -> None:
    refused(Tokens(other=secret_tokens()), text)


# -- keys ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: shared_secret(SECRET[:31]), "31 bytes"),
        (lambda: shared_secret(b""), "0 bytes"),
        (lambda: shared_secret(pem(RSA)), "key file"),
        (lambda: public_key(b"nonsense"), "PEM"),
        (lambda: public_key(pem(WEAK_RSA)), "1024 bits"),
        (lambda: public_key(pem(P384)), "verifies no token"),
        (
            lambda: public_key(
                RSA.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            ),
            "private key",
        ),
    ],
)
def test_bad_keys_are_errors_at_start(make: Callable[[], object], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        make()


def jwk(key: object, **members: object) -> dict[str, object]:
    kind = (
        jwt.algorithms.RSAAlgorithm
        if isinstance(key, rsa.RSAPrivateKey)
        else jwt.algorithms.ECAlgorithm
    )
    out = kind.to_jwk(key.public_key(), as_dict=True)  # type: ignore[attr-defined]
    return {**out, **members}


def write_set(path: Path, *keys: object) -> Path:
    path.write_text(json.dumps({"keys": keys}))
    return path


def set_tokens(path: Path) -> WebTokens:
    return WebTokens(KeySetFile(path), audience="books", issuer="library", wall=lambda: NOW)


def with_kid(key: object, kid: str | None, algorithm: str = "RS256") -> str:
    headers = None if kid is None else {"kid": kid}
    return jwt.encode(claims(), key, algorithm, headers=headers)  # type: ignore[arg-type]


def test_a_key_set_file(tmp_path: Path) -> None:
    path = write_set(
        tmp_path / "keys.json",
        jwk(RSA, kid="one"),
        jwk(OTHER_RSA, kid="two", use="sig", alg="RS256"),
        jwk(P256),
        {"kty": "RSA", "use": "enc"},
        {"kty": "of the future"},
    )
    tokens = set_tokens(path)
    assert tokens(with_kid(RSA, "one")).id == "ada"
    assert tokens(with_kid(OTHER_RSA, "two")).id == "ada"
    assert tokens(with_kid(OTHER_RSA, None)).id == "ada"
    assert tokens(with_kid(P256, "any", "ES256")).id == "ada"
    refused(tokens, with_kid(RSA, "two"), "signature")
    refused(tokens, with_kid(RSA, "three"), "'three'")
    refused(tokens, by_hand({"alg": "HS256", "kid": "one"}, pem(RSA)), "'HS256'")


def test_a_key_set_is_read_again_when_it_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_set(tmp_path / "keys.json", jwk(RSA, kid="one"))
    tokens = set_tokens(path)
    refused(tokens, with_kid(OTHER_RSA, "two"), "'two'")
    write_set(path, jwk(RSA, kid="one"), jwk(OTHER_RSA, kid="two"))
    assert tokens(with_kid(OTHER_RSA, "two")).id == "ada"
    path.write_text("{half a")
    with caplog.at_level(logging.WARNING):
        refused(tokens, with_kid(OTHER_RSA, "three"), "'three'")
    assert "goes on to count" in caplog.text
    assert tokens(with_kid(OTHER_RSA, "two")).id == "ada"
    path.unlink()
    refused(tokens, with_kid(OTHER_RSA, "three"), "'three'")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "can't read"),
        (b"\xff", "can't read"),
        (b"[" * 100_000, "can't read"),
        (b"[]", "no key set"),
        (b'{"keys": 1}', "no key set"),
        (b'{"keys": [%s]}' % b",".join([b"{}"] * 101), "no key set"),
        (b'{"keys": []}', "no key that"),
        (b'{"keys": [1]}', "no key that"),
        (b'{"keys": [{"kty": "oct", "k": "AAAA"}]}', "shared secret"),
        (json.dumps({"keys": [jwk(RSA, kid=3)]}).encode(), "no key id"),
        (json.dumps({"keys": [jwk(WEAK_RSA)]}).encode(), "1024 bits"),
        (json.dumps({"keys": [jwk(RSA, alg="RS512")]}).encode(), "no key that"),
    ],
)
def test_bad_key_sets_are_errors_at_start(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=word):
        KeySetFile(path)


def test_a_private_key_in_a_set_is_an_error(tmp_path: Path) -> None:
    private = jwt.algorithms.RSAAlgorithm.to_jwk(RSA, as_dict=True)
    with pytest.raises(UsageError, match="private key"):
        KeySetFile(write_set(tmp_path / "keys.json", {**private, "key_ops": ["verify"]}))
    with pytest.raises(UsageError, match="can't read"):
        KeySetFile(tmp_path / os.urandom(4).hex())


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(UsageError, match=r"replication-core\[server\]"):
        shared_secret(SECRET)
