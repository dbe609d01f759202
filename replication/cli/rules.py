"""`replication rules`: check a rules file, begin one, explain what it allows; `spec/rules.md`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replication.cli.output import print_json, printable
from replication.cli.stores import snapshot
from replication.errors import RulesError, UsageError, WrongTypeError

if TYPE_CHECKING:
    from replication.rules.roles import Rules
    from replication.server.explain import Explanation

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
rules_argument = click.argument("file", metavar="FILE", type=_FILE)


@click.group("rules")
def command() -> None:
    """Say who may read and write what.

    \b
    Examples:
      replication rules template own-data > rules.json
      replication rules check rules.json
      replication serve data --namespace books --jwks keys.json --rules rules.json
    """


def load_rules(path: Path) -> Rules:
    """The rules of a file; whatever functions they call are taken to be there.

    Raises:
        RulesError: a line for each mistake, each with file, path and reason.
    """
    from replication.rules.read import checked

    rules, problems = checked(path.read_bytes())
    if problems:
        lines = [f"{path}: {problem.path or 'the file'}: {problem.reason}" for problem in problems]
        raise RulesError("; ".join(lines))
    return rules


@command.command("check")
@rules_argument
@click.option("--store", type=_FILE, help="Hold it against the schema of this namespace, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the mistakes as JSON.")
def check(file: Path, store: Path | None, as_json: bool) -> int:
    """Tell every mistake of a rules FILE: where it is, and why it is one."""
    from replication.rules.read import checked

    schema = None
    if store is not None:
        with snapshot(str(store)) as held:
            schema = held.schema
    _, problems = checked(file.read_bytes(), schema=schema)
    if as_json:
        print_json([{"path": each.path, "reason": each.reason} for each in problems])
    else:
        for each in problems:
            click.echo(printable(f"{file}: {each.path or 'the file'}: {each.reason}"))
        if not problems:
            click.echo(f"{printable(str(file))} has no mistakes.")
    return 1 if problems else 0


@command.command("template")
@click.argument("name", required=False)
def template(name: str | None) -> None:
    """Print rules to begin with; without NAME, what there is to choose from."""
    from replication.rules.templates import TEMPLATES

    if name is None:
        for each, (title, _) in TEMPLATES.items():
            click.echo(f"{each:20} {title}")
        return
    if name not in TEMPLATES:
        raise UsageError(f"no template {name!r}; there are {', '.join(TEMPLATES)}")
    click.echo(json.dumps(TEMPLATES[name][1], indent=2))


@command.command("import")
@rules_argument
def import_legacy(file: Path) -> None:
    """Print a FILE in the legacy format (applyWhen, defaultRoles) in the unified one."""
    from replication.rules.legacy import imported, is_legacy

    load_rules(file)
    content = json.loads(file.read_bytes())
    if is_legacy(content):
        content = imported(content, [])
    click.echo(json.dumps(content, indent=2))


@command.command("explain")
@rules_argument
@click.option("--store", type=_FILE, required=True, help="The namespace that holds the object.")
@click.option("--user", required=True, help="The id of the user.")
@click.option("--user-type", type=click.Choice(["normal", "server"]), default="normal")
@click.option("--custom-data", default="{}", metavar="JSON", help="What is said about the user.")
@click.option("--data", default="{}", metavar="JSON", help="What the user's token says.")
@click.option("--partition", metavar="JSON", help="The partition that the user opens.")
@click.option("--class", "class_name", required=True, metavar="CLASS")
@click.option("--key", required=True, help="The primary key of the object.")
@click.option("--operation", required=True, type=click.Choice(["read", "edit", "insert", "delete"]))
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="PATH=JSON",
    help="What is written: a property, or a path as in queries: home.city, notes[0], extra['key'].",
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def explain_command(file: Path, store: Path, as_json: bool, **asked: Any) -> int:
    """Say whether the rules of FILE let a user do something, and which role and clause decide.

    \b
    Example:
      replication rules explain rules.json --store data/books.db --user ann \\
          --class Book --key 7 --operation edit --set 'title="Emma"'
    """
    from replication.server.explain import explain
    from replication.server.types import Types

    rules = load_rules(file)
    roles = rules.bind(
        {
            "id": asked["user"],
            "type": asked["user_type"],
            "data": _json("--data", asked["data"]),
            "custom_data": _json("--custom-data", asked["custom_data"]),
            "identities": [],
        },
        partition=_partition(asked["partition"]),
    )
    with snapshot(str(store)) as held:
        if held.kind != "namespace":
            raise UsageError(f"{store} is no namespace of a server: only there rules decide")
        class_name = held.known_class(asked["class_name"])
        found = explain(
            held.reader,
            Types(held.schema) if list(held.schema) else None,
            roles,
            class_name,
            held.key(class_name, asked["key"]),
            asked["operation"],
            dict(_value(each) for each in asked["sets"]),
        )
    _tell(found, as_json)
    return 0 if found.allowed else 1


def _partition(text: str | None) -> Any:
    from replication.model.notation import from_json
    from replication.rules.evaluate import ABSENT

    try:
        return ABSENT if text is None else from_json(json.loads(text))
    except (ValueError, RecursionError, WrongTypeError) as error:
        raise UsageError(f"--partition {text!r:.60}: {error}") from None


def _json(option: str, text: str) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option}: {text!r:.60} is no JSON: {error}") from None
    if type(found) is not dict:
        raise UsageError(f"{option}: {text!r:.60} is no JSON object")
    return found


def _value(text: str) -> tuple[str, Any]:
    from replication.model.notation import from_json

    name, equals, value = text.partition("=")
    try:
        if not (name and equals):
            raise ValueError("PATH=JSON is expected")
        return name, from_json(json.loads(value))
    except json.JSONDecodeError as error:
        what = f"{value!r:.60} is no JSON, in which a string needs quotes"
        raise UsageError(f"--set {text!r:.60}: {what}: {error}") from None
    except (ValueError, RecursionError, WrongTypeError) as error:
        raise UsageError(f"--set {text!r:.60}: {error}") from None


def _tell(found: Explanation, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "allowed": found.allowed,
                "role": found.role,
                "reasons": found.reasons,
                "rulings": [each._asdict() for each in found.rulings],
                "readable": found.readable,
                "writable": found.writable,
            }
        )
        return
    click.echo("allowed" if found.allowed else "refused")
    for reason in found.reasons:
        click.echo(f"  {printable(reason)}")
    for what, names in (("readable", found.readable), ("writable", found.writable)):
        click.echo(f"  {what}: {printable(', '.join(names)) or 'nothing'}")
