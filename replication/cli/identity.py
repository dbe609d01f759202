"""The options of `replication serve` that say whom it lets in, and what they come to.

Rule 1: nobody is let in by accident: without one of them the server does not start, and the
        development mode, where everybody is who they say, has to be asked for. [IDENTITY-1]
Rule 2: API keys and revocations are files in the served directory, which `replication api-key` and
        `replication revoke` write; the server looks at them again and again.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replication.errors import UsageError

if TYPE_CHECKING:
    from replication.net.auth import Tokens
    from replication.net.keys import Keys
    from replication.net.watched import WatchedFile
    from replication.server.custom_data import CustomData
    from replication.server.users import Authenticate

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS = (
    click.option(
        "--development",
        is_flag=True,
        help="Trust every token dev:NAME; let clients add to schemas.",
    ),
    click.option(
        "--jwt-secret-file", type=_FILE, help="Verify tokens with this shared secret (HS256)."
    ),
    click.option(
        "--jwt-public-key", type=_FILE, help="Verify tokens with this public key, in PEM."
    ),
    click.option(
        "--jwks", type=_FILE, help="Verify tokens with the keys of this JSON Web Key Set."
    ),
    click.option("--audience", help="The audience that tokens must be for."),
    click.option("--issuer", help="Who must have issued them."),
    click.option(
        "--leeway",
        type=click.FloatRange(min=0, max=3600),
        help="Seconds by which clocks may differ. [default: 30]",
    ),
    click.option(
        "--authenticator",
        metavar="MODULE:FUNCTION",
        help="Verify tokens with a function of yours; see replication.server.users.",
    ),
    click.option(
        "--api-keys", is_flag=True, help="Let in programs with keys of `replication api-key`."
    ),
    click.option(
        "--anonymous", is_flag=True, help="Let in users without a name: tokens anonymous:SECRET."
    ),
    click.option(
        "--custom-data-claim", metavar="CLAIM", help="The claim that says more about a user."
    ),
    click.option(
        "--custom-data-class",
        metavar="CLASS[.FIELD]",
        help="The class whose objects do, by key, or by the field that holds the user's id. "
        "Without rules only API keys may write to it.",
    ),
)


@dataclass(frozen=True, slots=True)
class Identity:
    """The options, as they were given."""

    development: bool
    jwt_secret_file: Path | None
    jwt_public_key: Path | None
    jwks: Path | None
    audience: str | None
    issuer: str | None
    leeway: float | None
    authenticator: str | None
    api_keys: bool
    anonymous: bool
    custom_data_claim: str | None
    custom_data_class: str | None

    @classmethod
    def taken(cls, options: dict[str, Any]) -> Identity:
        """Take what it is made of out of all options of the command."""
        return cls(**{field.name: options.pop(field.name) for field in fields(cls)})


def identity_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@dataclass(frozen=True, slots=True)
class Doors:
    """What the options come to.

    Attributes:
        files: to be watched, see `net.watched`.
    """

    tokens: Tokens
    custom_data: CustomData | None
    files: list[WatchedFile]


def doors(identity: Identity, directory: Path) -> Doors:
    """Whom a server of a directory lets in.

    Raises:
        UsageError: nobody, or by keys that are none.
    """
    from replication.net import api_keys, revocations
    from replication.net.auth import Tokens

    files: list[WatchedFile] = []
    other = _other(identity, files)
    if other is None and not (identity.development or identity.api_keys or identity.anonymous):
        raise UsageError(
            "nobody could be let in: give --jwt-secret-file, --jwt-public-key, --jwks or "
            "--authenticator, --api-keys, --anonymous, or --development to trust everybody"
        )
    revoked = revocations.Revocations(directory / revocations.FILE_NAME)
    files.append(revoked.file)
    keys = None
    if identity.api_keys:
        keys = api_keys.ApiKeys(directory / api_keys.FILE_NAME)
        files.append(keys.file)
    tokens = Tokens(
        development=identity.development,
        anonymous=identity.anonymous,
        api_keys=keys,
        other=other,
        revocations=revoked,
    )
    return Doors(tokens, _custom_data(identity), files)


def _other(identity: Identity, files: list[WatchedFile]) -> Authenticate | None:
    sources: list[Callable[[], Authenticate]] = []
    if identity.jwt_secret_file or identity.jwt_public_key or identity.jwks:
        sources.append(lambda: _web_tokens(identity, files))
    elif identity.audience or identity.issuer or identity.leeway or identity.custom_data_claim:
        raise UsageError(
            "--audience, --issuer, --leeway and --custom-data-claim need keys: give --jwks, for "
            "example"
        )
    name = identity.authenticator
    if name is not None:
        sources.append(lambda: _loaded(name))
    if len(sources) > 1:
        raise UsageError("give keys or --authenticator: one has to verify tokens")
    return sources[0]() if sources else None


def _web_tokens(identity: Identity, files: list[WatchedFile]) -> Authenticate:
    from replication.limits import TOKEN_LEEWAY_S
    from replication.net.web_tokens import WebTokens

    return WebTokens(
        _keys(identity, files),
        audience=identity.audience,
        issuer=identity.issuer,
        leeway_s=TOKEN_LEEWAY_S if identity.leeway is None else identity.leeway,
        custom_data=identity.custom_data_claim,
    )


def _keys(identity: Identity, files: list[WatchedFile]) -> Keys:
    from replication.net.keys import KeySetFile, public_key, shared_secret

    secret, pem, jwks = identity.jwt_secret_file, identity.jwt_public_key, identity.jwks
    if sum(path is not None for path in (secret, pem, jwks)) > 1:
        raise UsageError("give one of --jwt-secret-file, --jwt-public-key and --jwks")
    if secret is not None:
        return shared_secret(secret.read_bytes().strip())
    if pem is not None:
        return public_key(pem.read_bytes())
    assert jwks is not None
    keys = KeySetFile(jwks)
    files.append(keys.file)
    return keys


def _loaded(name: str) -> Authenticate:
    """A function by its name; modules beside the server are found too, as `python -m` would."""
    module, _, function = name.partition(":")
    if not module or not function:
        raise UsageError(f"--authenticator {name!r} is not MODULE:FUNCTION, as in myapp.auth:check")
    sys.path.insert(0, os.getcwd())
    try:
        found: Authenticate = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"--authenticator {name!r}: {error}") from None
    finally:
        sys.path.pop(0)
    if not callable(found):
        raise UsageError(f"--authenticator {name!r} is no function")
    return found


def _custom_data(identity: Identity) -> CustomData | None:
    from replication.model.types import broken_class_name
    from replication.server.custom_data import CustomData

    if identity.custom_data_class is None:
        return None
    if identity.custom_data_claim is not None:
        raise UsageError("give one of --custom-data-claim and --custom-data-class")
    class_name, dot, field = identity.custom_data_class.partition(".")
    reason = broken_class_name(class_name)
    if reason is not None or (dot and not field):
        raise UsageError(
            f"--custom-data-class {identity.custom_data_class!r}: {reason or 'no field'}"
        )
    return CustomData(class_name, field) if field else CustomData(class_name)
