"""The command line: `replication COMMAND`. One file a command, imported when it is asked for.

Rule 1: bad input ends with one sentence on stderr, without a traceback, and with exit status 1
        (2 where the command line itself is wrong). What nobody foresaw is a bug and shows its
        traceback.
Rule 2: results go to stdout, progress and remarks to stderr. With `--json` stdout holds JSON and
        nothing else.
Rule 3: `replication --help` imports nothing but click: commands import what they need when run.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

#: Command name: the module that holds it as `command`, and what `--help` says of it.
_COMMANDS: Final = {
    "demo": "Show devices going offline, editing in conflict and converging.",
    "serve": "Serve a directory of namespaces to devices.",
    "api-key": "Make, list and remove the API keys of a server.",
    "revoke": "Let a user or a token in no more; end their sessions.",
    "import": "Import a CSV, JSON lines or BSON file into a client file.",
    "sync": "Synchronise a client file with a server.",
    "subscribe": "Choose which objects a client file asks the server for.",
    "query": "Print the objects of a store that match a query.",
    "rules": "Check a rules file, begin one, explain what it allows.",
    "scenario": "Run divergence scenarios and print how they end.",
    "journal": "List what writes lost to others, and what the server refused.",
    "forget": "Forget what is dead in a namespace.",
    "inspect": "Show what a store holds: objects, history, cursors, schema.",
    "device": "",
}
#: Commands whose module has another name, because theirs is a word of Python or of a package.
_MODULES: Final = {
    "api-key": "api_key", "import": "importing", "inspect": "inspecting", "device": "demo.device",
}  # fmt: skip
#: What the demo starts, not what people type.
_HIDDEN: Final = frozenset({"device"})
#: What shells expect after a key press of Ctrl-C.
_INTERRUPTED: Final = 130


class _Commands(click.Group):
    """The group of all commands, each imported on first use; errors are told by Rule 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [name for name in _COMMANDS if name not in _HIDDEN]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"replication.cli.{_MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name]) for name in self.list_commands(ctx)])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        *_: Any,
        **extra: Any,
    ) -> Any:
        extra["standalone_mode"] = False
        sys.exit(self._status(args, prog_name or "replication", extra))

    def _status(self, args: Sequence[str] | None, prog_name: str, extra: dict[str, Any]) -> int:
        from replication.errors import ReplicationError

        try:
            status = super().main(args, prog_name, **extra)
        except click.Abort:
            return _INTERRUPTED
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            return error.exit_code
        except click.UsageError as error:
            where = "replication" if error.ctx is None else error.ctx.command_path
            return _fail(f"{error.format_message()} See `{where} --help`.", error.exit_code)
        except click.ClickException as error:
            return _fail(error.format_message(), error.exit_code)
        except ReplicationError as error:
            return _fail(str(error), 1)
        except BrokenPipeError:
            # Whoever read the output has seen enough, as `head` does; so has the interpreter's
            # own flush at exit.
            sys.stdout = None
            return 1
        except OSError as error:
            if error.filename is None:
                raise
            return _fail(f"{error.filename}: {error.strerror}", 1)
        return status if isinstance(status, int) else 0


def _fail(message: str, status: int) -> int:
    click.echo(f"Error: {' '.join(message.split())}", err=True)
    return status


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="replication-core", prog_name="replication")
def cli() -> None:
    """Objects edited offline on many devices, converging through a server.

    Start with `replication demo`. Every command explains itself with --help.
    """


def main() -> None:
    """The console script."""
    cli()
