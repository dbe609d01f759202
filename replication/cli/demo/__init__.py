"""`replication demo`: real processes, real files, and a story on books and authors."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from replication.cli.output import count, duration, print_json
from replication.errors import UsageError

if TYPE_CHECKING:
    from replication.cli.demo.story import Stage

#: Books taken with --fast.
_FAST: Final = 100


@click.command("demo")
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV table of books in place of the project's own.",
)
@click.option("--fast", is_flag=True, help=f"Take only the first {_FAST} books.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Leave the files of all devices in this directory, for `replication inspect`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print only the figures, as JSON.")
def command(data: Path | None, fast: bool, keep: Path | None, as_json: bool) -> int:
    """Show what this is: devices go offline, edit in conflict, come back and converge.

    Starts a server and four devices, each a process with a file of its own, in a temporary
    directory. In the end all files are compared byte for byte; the exit status is 1 if any two
    disagree.

    \b
    Example:
      replication demo
      replication demo --data books.csv
    """
    from replication.cli.demo.library import load
    from replication.cli.demo.story import ACTS, Stage
    from replication.cli.demo.telling import Teller

    started = time.monotonic()
    limit = _FAST if fast else None
    library = load(data, limit)
    with ExitStack() as stack:
        if keep is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="replication")))
        else:
            keep.mkdir(parents=True, exist_ok=True)
            if any(keep.iterdir()):
                raise UsageError(f"{keep} is not empty; the demo starts from nothing")
            directory = keep
        # Processes end before the directory they work in goes.
        processes = stack.enter_context(ExitStack())
        stage = Stage(directory, library, data, limit, Teller(silent=as_json), processes)
        for act in ACTS:
            act(stage)
        seconds = time.monotonic() - started
        _verdict(stage, seconds)
        if as_json:
            figures = {name: round(value, 4) for name, value in stage.figures.items()}
            agree = not stage.wrong
            print_json({"agree": agree, "wrong": stage.wrong, "seconds": seconds, **figures})
    return 1 if stage.wrong else 0


def _verdict(stage: Stage, seconds: float) -> None:
    if stage.wrong:
        wrong = count(len(stage.wrong), "check")
        stage.teller.verdict(f"Something is wrong: {wrong} failed.", good=False)
        return
    stage.teller.verdict(
        f"All {len(stage.devices)} devices and the server agree byte for byte on "
        f"{int(stage.figures['objects']):,} objects. ({duration(seconds)})",
        good=True,
    )
