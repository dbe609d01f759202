"""The command line as a whole: help, and how it fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from replication.cli import cli
from tests.command_line import ok, refused, run

COMMANDS = [
    "demo",
    "serve",
    "api-key",
    "revoke",
    "import",
    "sync",
    "subscribe",
    "query",
    "rules",
    "scenario",
    "journal",
    "forget",
    "inspect",
]


def test_help_lists_every_command() -> None:
    help_text = ok("--help").out
    context = click.Context(cli)
    assert cli.list_commands(context) == COMMANDS
    for name in COMMANDS:
        assert f"  {name} " in help_text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name: str) -> None:
    help_text = ok(name, "--help").out
    assert f"replication {name}" in help_text.partition("Example")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{name} {parameter.opts}"


def test_no_command_is_told_how_to_begin() -> None:
    ran = run()
    assert ran.status == 2
    assert "replication demo" in ran.err


def test_what_is_no_command() -> None:
    assert "'serv'" in refused("serv", status=2)


def test_what_is_no_store(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("nothing to see here, " * 100)
    for command in (["query", text, "Book"], ["inspect", text]):
        assert "notes.txt" in refused(*command)
    assert "does not exist" in refused("inspect", tmp_path / "nowhere.db", status=2)


def test_a_bug_shows_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from replication.cli import inspecting

    def broken(_path: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(inspecting, "snapshot", broken)
    (tmp_path / "a.db").touch()
    with pytest.raises(ZeroDivisionError):
        run("inspect", tmp_path / "a.db")


def test_help_is_fast_because_it_loads_little() -> None:
    code = (
        "import sys; sys.argv = ['replication', '--help']\n"
        "from replication.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'trio', 'rich.console', 'bson', 'apsw', 'msgpack', 'websockets'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
