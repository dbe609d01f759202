"""What tests of the command line share: running a command, and how every failure must look."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from replication.cli import cli

DATA = Path(os.environ.get("REPLICATION_DATA", Path(__file__).parent.parent / "../shared/data"))


def data_file(name: str) -> Path:
    """A file of the data folder; the test is skipped where it is not there."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not in {DATA}")
    return path


@dataclass
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its stdout as one JSON text."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Its stdout as one JSON text a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def run(*arguments: object) -> Ran:
    """Run a command in this process; bugs raise, as they should."""
    done = CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)
    return Ran(done.exit_code, done.stdout, done.stderr)


def ok(*arguments: object) -> Ran:
    """Run a command that succeeds."""
    ran = run(*arguments)
    assert ran.status == 0, ran.err
    return ran


def refused(*arguments: object, status: int = 1) -> str:
    """Run a command that refuses its input; returns the one sentence it says."""
    ran = run(*arguments)
    assert ran.status == status, (ran.out, ran.err)
    assert ran.out == ""
    assert ran.err.startswith("Error: ")
    assert ran.err.count("\n") == 1
    return ran.err.removeprefix("Error: ").rstrip("\n")
