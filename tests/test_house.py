"""The house: which room may import which, who may do I/O, and what every file looks like."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "replication"

#: Rooms from the ground up: a room may import itself and what stands above it here.
ROOMS = [
    "errors", "limits", "clock", "model", "crdt", "history", "query", "rules", "protocol",
    "storage", "client", "server", "net", "simulation", "cli",
]  # fmt: skip
#: Who may run tasks, read clocks, draw random numbers and open sockets.
SHELL = {"net", "cli"}
#: What nobody outside of the shell imports: clocks, randomness, the environment, sockets, tasks.
IMPURE = {
    "trio", "asyncio", "socket", "ssl", "select", "random", "secrets", "time", "subprocess",
    "signal", "urllib", "http", "logging",
}  # fmt: skip
#: Calls that would smuggle the same in through other doors.
IMPURE_CALLS = {
    ("os", "urandom"), ("os", "getenv"), ("os", "environ"), ("uuid", "uuid1"), ("uuid", "uuid4"),
    ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"),
}  # fmt: skip


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of every module a file imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            if node.module == "replication":
                yield from (f"replication.{alias.name}" for alias in node.names)


def rooms_imported(tree: ast.AST) -> set[str]:
    names = (name.split(".") for name in imported(tree))
    return {parts[1] for parts in names if parts[0] == "replication" and len(parts) > 1}


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_rooms_above_it(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return  # the package's own front, which re-exports
    assert room in ROOMS, f"{room} is no room of the house"
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    below = rooms_imported(ast.parse(path.read_text())) - allowed
    assert not below, f"{room} may not import from {sorted(below)}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_shell_does_io(path: Path) -> None:
    if room_of(path) in SHELL:
        return
    tree = ast.parse(path.read_text())
    impure = {name.split(".")[0] for name in imported(tree)} & IMPURE
    assert not impure, f"{sorted(impure)} belong into the shell"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value).split(".")[-1]
            assert (owner, node.attr) not in IMPURE_CALLS, f"{owner}.{node.attr} is for the shell"


def test_importing_the_package_loads_no_task_runner() -> None:
    import subprocess
    import sys

    heavy = "{'trio', 'pycrdt', 'pymongo', 'prometheus_client', 'jwt'}"
    code = f"import sys, replication; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_says_what_it_decides_and_stays_small(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a file starts with what it decides"
    assert len(text.splitlines()) <= 700, "one thing a file: split it"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 70, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_things_have_docstrings(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name.startswith("_"):
                continue
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_nothing_is_left_for_later() -> None:
    words = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error"]
    for path in [*sources(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "spec").rglob("*.md")]:
        text = path.read_text()
        found = [word for word in words if word in text]
        assert not found, f"{path.relative_to(ROOT)} says {found}"


def test_the_import_test_can_fail() -> None:
    tree = ast.parse("from replication.server import host")
    assert rooms_imported(tree) - set(ROOMS[: ROOMS.index("client") + 1]) == {"server"}
    assert "time" in set(imported(ast.parse("import time")))
