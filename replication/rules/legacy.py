"""The legacy format of roles, imported into the unified one. [RULES-LEGACY]

    {"defaultRoles": [ROLE, ...], "rules": {CLASS: [ROLE, ...]}}        or inside of "permissions"

    ROLE    {"name": ..., "applyWhen": EXPRESSION, "read": EXPRESSION, "write": EXPRESSION}

`read` and `write` say which objects; all their fields may then be read and written, and objects
inserted and deleted.
"""

from __future__ import annotations

from typing import Any

from replication.rules.expression import Problem


def is_legacy(content: dict[str, Any]) -> bool:
    """Whether a rules file is in the legacy format."""
    if "permissions" in content or "defaultRoles" in content:
        return True
    rules = content.get("rules")
    lists = rules.values() if type(rules) is dict else ()
    return any("applyWhen" in role for roles in lists if type(roles) is list for role in roles
               if type(role) is dict)  # fmt: skip


def imported(content: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The same in the unified format; what does not belong into the legacy one is noted."""
    inner = content
    if "permissions" in content:
        for name in set(content) - {"permissions"}:
            problems.append(Problem(name, "stands beside permissions, which hold everything"))
        inner = content["permissions"]
        if type(inner) is not dict:
            problems.append(Problem("permissions", f"an object, not {inner!r:.60}"))
            return {}
    for name in sorted(set(inner) - {"defaultRoles", "rules", "values", "environment"}):
        problems.append(Problem(name, "unknown beside defaultRoles: this is the legacy format"))
    out: dict[str, Any] = {}
    out |= {name: inner[name] for name in ("values", "environment") if name in inner}
    if "defaultRoles" in inner:
        out["default_roles"] = _roles(inner["defaultRoles"], "defaultRoles", problems)
    rules = inner.get("rules", {})
    if type(rules) is not dict:
        problems.append(Problem("rules", f"an object, not {rules!r:.60}"))
        return out
    out["rules"] = {name: _roles(roles, f"rules.{name}", problems) for name, roles in rules.items()}
    return out


def _roles(items: Any, path: str, problems: list[Problem]) -> Any:
    if type(items) is not list:
        return items
    return [_role(item, f"{path}[{at}]", problems) for at, item in enumerate(items)]


def _role(item: Any, path: str, problems: list[Problem]) -> Any:
    if type(item) is not dict:
        return item
    for name in sorted(set(item) - {"name", "applyWhen", "read", "write"}):
        problems.append(Problem(f"{path}.{name}", "unknown in the legacy format"))
    out = {"apply_when": item["applyWhen"]} if "applyWhen" in item else {}
    return {
        "name": item.get("name"),
        **out,
        "document_filters": {name: item[name] for name in ("read", "write") if name in item},
        **dict.fromkeys(("read", "write", "insert", "delete"), True),
    }
