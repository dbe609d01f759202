"""`replication scenario`: run divergence scenarios and print how they end.

Rule 1: one JSON object a scenario on stdout, in the order of the files; what can't be read or run
        ends with one sentence on stderr that names file, line and value. What was run before it
        has been printed.
Rule 2: exit status 0: all converged; 2: a scenario did not; 3: a bad line, or a failure of this
        package, which shows its traceback; 4: the command line is wrong.
"""

from __future__ import annotations

import gc
import json
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import click

_DIVERGED: Final = 2
_FAILED: Final = 3
_USAGE: Final = 4
_STDIN: Final = Path("-")


class _FailedError(click.ClickException):
    """A line that can't be read or run."""

    exit_code = _FAILED


class _UsageError(click.UsageError):
    """The command line is wrong."""

    exit_code = _USAGE


class _Command(click.Command):
    """Usage errors have a status of their own. Rule 2."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise _UsageError(error.format_message(), ctx) from None


@click.command("scenario", cls=_Command)
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--pretty", is_flag=True, help="Indent the JSON.")
@click.option("--peers", is_flag=True, help="Show the state of every peer.")
@click.option("--strict", is_flag=True, help="An operation that can't run is an error.")
@click.option("--explain", is_flag=True, help="Say which values lost, to what, by which rule.")
def command(files: Sequence[Path], pretty: bool, **options: bool) -> int:
    """Run the scenarios of FILEs, or of stdin, and print how each of them ends.

    A scenario says what each peer wrote, when, and who synchronised in which order: one JSON object
    a line. It runs on the merge code itself, through real client and server sessions.

    \b
    Example:
      replication scenario --peers diverging.jsonl
    """
    status = 0
    for file in files or (_STDIN,):
        name = "stdin" if file == _STDIN else str(file)
        try:
            with click.open_file(str(file), encoding="utf-8") as lines:
                ran = _run(lines, pretty=pretty, **options)
        except (click.ClickException, BrokenPipeError):
            raise
        except OSError as error:
            raise _UsageError(f"{name}: {error.strerror}.") from None
        except UnicodeDecodeError as error:
            raise _FailedError(f"{name}: not UTF-8: {error}") from None
        except _bad_lines() as error:
            raise _FailedError(f"{name}, {error}") from None
        except Exception:
            traceback.print_exc()
            return _FAILED
        status = max(status, ran)
    return status


def _run(lines: Iterable[str], *, pretty: bool, **options: Any) -> int:
    from replication.simulation.runner import run
    from replication.simulation.scenario import read

    # What is loaded by now stays: the collector need not look at it again after each scenario.
    gc.freeze()
    status = 0
    for scenario in read(lines):
        outcome = run(scenario, strict=options["strict"], explain=options["explain"])
        out = outcome.as_json(peers=options["peers"])
        text = json.dumps(out, ensure_ascii=False, indent=2 if pretty else None, sort_keys=True)
        click.echo(text)
        if not outcome.converged:
            status = _DIVERGED
    return status


def _bad_lines() -> type[Exception]:
    from replication.simulation.scenario import ScenarioError

    return ScenarioError
