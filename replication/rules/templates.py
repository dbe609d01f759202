"""Templates: rules to begin with. `replication rules template NAME` prints them."""

from __future__ import annotations

from typing import Any, Final

_EVERYBODY: Final[dict[str, Any]] = {}
_OWNER: Final = {"owner_id": "%%user.id"}


def _role(
    name: str, apply_when: Any, read: Any, write: Any, fields: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "apply_when": apply_when,
        "document_filters": {"read": read, "write": write},
        **(fields or {"read": True, "write": True}),
        "insert": True,
        "delete": True,
    }


def _defaults(*roles: dict[str, Any]) -> dict[str, Any]:
    return {"default_roles": list(roles), "rules": {}}


_SHARED: Final = {"$or": [_OWNER, {"collaborators": "%%user.id"}]}
_TEAM: Final = {"team": "%%user.custom_data.team"}

#: By name: what it is for, and the rules.
TEMPLATES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "own-data": (
        "Users read and write their own objects only.",
        _defaults(_role("owner", _EVERYBODY, _OWNER, _OWNER)),
    ),
    "read-all-write-own": (
        "Users read everything and write their own objects.",
        _defaults(_role("owner", _EVERYBODY, True, _OWNER)),
    ),
    "admins": (
        "Owners have their own objects, administrators all of them.",
        _defaults(
            _role("admin", {"%%user.custom_data.isGlobalAdmin": True}, True, True),
            _role("user", _EVERYBODY, _OWNER, _OWNER),
        ),
    ),
    "news-feed": (
        "Users read what those write whom they subscribed to, and write their own.",
        _defaults(
            _role(
                "subscriber",
                _EVERYBODY,
                {"owner_id": {"$in": "%%user.custom_data.subscribedTo"}},
                _OWNER,
            )
        ),
    ),
    "collaboration": (
        "The owner of an object and its collaborators read and write it, and may add others.",
        _defaults(_role("collaborator", _EVERYBODY, _SHARED, _SHARED)),
    ),
    "tiers": (
        "Members of a team read what is the team's and write their own; administrators write all.",
        _defaults(
            _role("teamAdmin", {"%%user.custom_data.isTeamAdmin": True}, _TEAM, _TEAM),
            _role("teamMember", _EVERYBODY, _TEAM, _OWNER),
        ),
    ),
    "everyone": (
        "Everybody reads and writes everything.",
        _defaults(_role("everyone", _EVERYBODY, True, True)),
    ),
    "read-only": (
        "Everybody reads everything; nobody writes.",
        _defaults(_role("reader", _EVERYBODY, True, False, {"read": True, "write": False})),
    ),
    "fields": (
        "Everybody reads everything and writes the field 'comment' alone.",
        _defaults(
            _role(
                "commentator",
                _EVERYBODY,
                True,
                True,
                {
                    "fields": {"comment": {"write": True}},
                    "additional_fields": {"read": True, "write": False},
                },
            )
        ),
    ),
}
