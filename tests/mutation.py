"""Mutation testing: small mistakes are put into `replication/crdt`, and tests have to notice.

    python tests/mutation.py [--sample 1/8] [--minutes N] [--names FILE] [FILE...]

A mutant is one small change of one function: another comparison, `and` for `or`, a condition that
always or never holds, a number one greater, another operator, a call or an assignment that does
not happen, `break` for `continue`, a value that is not returned.

One warm process imports everything and collects the tests: those of `make branches`, which are
quick and always the same. It first runs each of them once, to see which lines of the mutated files
it reaches and how long it takes. For each mutant it forks; the child puts the changed code into the
live function and runs the tests that reach the changed line, those that have killed most and are
quickest first, until one fails (the mutant is killed), one of them has used CPU_S seconds of CPU
(killed as well: it would hang) or all have passed (it has survived).

A mutant that they leave alive goes on to a second line: properties and machines, each with
few examples that are the same in every run. What those kill is counted apart.

Survivors that no test can kill are explained in `mutation-survivors.json`, by what was changed: an
explanation is for a change of one line of text in one function. The command fails for survivors
without one. A line of `mutation-ledger.jsonl` says what a run did.

Left out: what is done when a module is imported (tables, constants: tests hold them elsewhere),
defaults, docstrings, annotations, assertions (`strict=` is one) and what raises one (they are not
meant to be reached), and texts of errors.
"""

from __future__ import annotations

import argparse
import ast
import copy
import datetime
import hashlib
import importlib
import json
import os
import resource
import subprocess
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import coverage
import pytest
from branches import RANDOM, UNITS

ROOT = Path(__file__).parent.parent
CRDT = ROOT / "replication" / "crdt"
LEDGER = ROOT / "tests" / "mutation-ledger.jsonl"
SURVIVORS = ROOT / "tests" / "mutation-survivors.json"
#: Tests of what is made for client files alone: it is tried there.
USED_BY = ["client_text", "client_text_observing", "loaded_text", "client_nested", "list_chunks"]
#: The second line: these, and the properties in the files of the first.
DRAWN = [
    "test_merge_laws.py::test_any_order_and_grouping_gives_the_same_bytes",
    "test_merge_laws.py::test_replicas_that_know_the_same_are_the_same",
    "test_merge_laws.py::test_duplicates_change_nothing_but_counters",
    "test_merge_laws.py::test_the_laws_on_any_state",
    "test_merge_laws.py::test_hostile_states_spread_over_parts",
    "test_merge_laws.py::test_an_edit_on_any_state_is_the_merge_of_its_delta",
    "test_merge_machines.py::TestReplicas",
]
#: Examples of each property in the second line.
EXAMPLES = 15
#: Steps of each run of a machine.
STEPS = 20
#: A test that takes longer is not run: what it kills, quicker ones should.
TEST_S = 4.0
#: CPU seconds of one test after which a mutant is taken for one that hangs.
CPU_S = 25
#: Address space a mutant may use.
MEMORY = 3 * 2**30

#: Defaults are made when a module is imported.
_LEFT_OUT = frozenset(
    {"annotation", "returns", "decorator_list", "type_comment", "defaults", "kw_defaults"}
)
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift, ast.BitXor: ast.BitOr,
}  # fmt: skip


class Mutant(NamedTuple):
    """One change: where it is, what it is, and the code of the outermost function with it."""

    file: str
    #: Of the outermost function: `name` or `Class.name`.
    function: str
    #: From the first line of the statement to that of the change.
    lines: range
    change: str
    code: types.CodeType

    @property
    def name(self) -> str:
        """What names it as long as its line of text stays as it is."""
        return f"{self.file}:{self.function}: {self.change}"


# -- making mutants --------------------------------------------------------------------------------
def mutants(path: Path, wanted: Callable[[str], bool] = lambda _name: True) -> Iterator[Mutant]:
    """The mutants of a file whose names are wanted."""
    tree = ast.parse(path.read_text())
    for outer in tree.body:
        if isinstance(outer, ast.FunctionDef):
            yield from _of_function(path, [outer], wanted)
        elif isinstance(outer, ast.ClassDef):
            for item in outer.body:
                if isinstance(item, ast.FunctionDef):
                    yield from _of_function(path, [outer, item], wanted)


def _of_function(path: Path, within: list[Any], wanted: Callable[[str], bool]) -> Iterator[Mutant]:
    lines = path.read_text().splitlines()
    name = ".".join(each.name for each in within)
    seen: Counter[str] = Counter()
    for lines_of, before, after, apply, undo in _changes(within[-1]):
        change = f"{lines[lines_of[-1] - 1].strip()} | {before} -> {after}"
        seen[change] += 1
        if seen[change] > 1:
            change += f" (no. {seen[change]})"
        if not wanted(f"{path.name}:{name}: {change}"):
            continue
        apply()
        try:
            code = _compiled(path, within)
        finally:
            undo()
        yield Mutant(path.name, name, lines_of, change, code)


def _compiled(path: Path, within: list[Any]) -> types.CodeType:
    """The code of a function, the last of ``within``, in the class around it."""
    body = copy.deepcopy(within[-1])
    for outer in reversed(within[:-1]):
        body = ast.ClassDef(outer.name, [], [], [body], [])
    module = ast.parse("from __future__ import annotations")
    module.body.append(body)
    code = compile(ast.fix_missing_locations(module), str(path), "exec")
    return _code_of(code, [each.name for each in within])


def _code_of(code: types.CodeType, path: list[str]) -> types.CodeType:
    for name in path:
        found = [c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == name]
        code = found[-1]  # an overload or a property's setter comes before
    return code


Change = tuple[range, str, str, Callable[[], None], Callable[[], None]]


def _changes(function: ast.FunctionDef) -> Iterator[Change]:
    """Changes of a tree: lines, before, after, how to make and how to undo it."""
    for parent, field, index, node, first in list(_nodes(function, function.lineno)):
        for fresh in _instead(node):
            before, after = _shown(node), _shown(fresh)

            def put(what: ast.AST, parent=parent, field=field, index=index) -> None:  # type: ignore[no-untyped-def]
                if index is None:
                    setattr(parent, field, what)
                else:
                    getattr(parent, field)[index] = what

            yield (
                range(first, max(first, getattr(node, "lineno", first)) + 1),
                before,
                after,
                lambda fresh=fresh, put=put: put(fresh),  # type: ignore[misc]
                lambda node=node, put=put: put(node),  # type: ignore[misc]
            )


def _shown(node: ast.AST) -> str:
    text = ast.unparse(node).splitlines()[0]
    return text if len(text) <= 90 else text[:89] + "…"


def _nodes(root: ast.AST, first: int) -> Iterator[tuple[ast.AST, str, int | None, ast.AST, int]]:
    """Every node below one, with its place and its statement's line, but for what is left out."""
    for field, value in ast.iter_fields(root):
        if field in _LEFT_OUT:
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or isinstance(node, (ast.Raise, ast.Assert)):
                continue
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            if isinstance(node, ast.JoinedStr):
                continue
            if isinstance(node, ast.keyword) and node.arg == "strict":  # an assertion
                continue
            line = node.lineno if isinstance(node, ast.stmt) else first
            yield root, field, index, node, line
            yield from _nodes(node, line)


def _instead(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in place of a node, by mistake."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in _COMPARISONS:
            yield _with(node, ops=[_COMPARISONS[type(op)]()])
            if isinstance(op, (ast.Lt, ast.Gt, ast.LtE, ast.GtE)):
                opposite = {ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt}
                yield _with(node, ops=[opposite[type(op)]()])
        case ast.BoolOp(op=op):
            yield _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
            for index in range(len(node.values)):
                rest = [value for at, value in enumerate(node.values) if at != index]
                yield rest[0] if len(rest) == 1 else _with(node, values=rest)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(op=op) if type(op) in _OPERATORS and not isinstance(
            node.left, ast.JoinedStr
        ):
            yield _with(node, op=_OPERATORS[type(op)]())
        case ast.AugAssign(op=op) if type(op) in _OPERATORS:
            yield _with(node, op=_OPERATORS[type(op)]())
            yield _passed(node)
        case ast.Constant(value=bool(value)):
            yield _with(node, value=not value)
        case ast.Constant(value=int(value)):
            yield _with(node, value=value + 1)
        case ast.If() | ast.IfExp() | ast.While():
            for value in (True, False):
                if not (value and isinstance(node, ast.While)):
                    yield _with(node, test=ast.Constant(value))
        case ast.Break():
            yield ast.copy_location(ast.Continue(), node)
        case ast.Continue():
            yield ast.copy_location(ast.Break(), node)
        case ast.Return(value=value) if value is not None and not _is_nothing(value):
            yield _with(node, value=ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Delete():
            yield _passed(node)
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            yield _passed(node)


def _is_nothing(node: ast.AST) -> bool:
    """None, or as good as that."""
    return isinstance(node, ast.Constant) and node.value in (None, False)


def _passed(node: ast.AST) -> ast.AST:
    return ast.copy_location(ast.Pass(), node)


def _with(node: Any, **fields: Any) -> ast.AST:
    fresh = copy.copy(node)
    for name, value in fields.items():
        setattr(fresh, name, value)
    return ast.copy_location(fresh, node)


def put_in(mutant: Mutant) -> None:
    """Give the live function a mutant's code."""
    module = importlib.import_module(f"replication.crdt.{mutant.file.removesuffix('.py')}")
    holder: Any = module
    *classes, name = mutant.function.split(".")
    for each in classes:
        holder = getattr(holder, each)
    found = vars(holder)[name]
    if hasattr(found, "cache_clear"):  # the tests without a mutant filled it
        found.cache_clear()
    for wrapped in ("__func__", "fget", "__wrapped__", "func"):
        found = getattr(found, wrapped, None) or found
    found.__code__ = mutant.code


# -- running ---------------------------------------------------------------------------------------
class Outcome(NamedTuple):
    """How a mutant ended: "killed", "hung", "survived" or "unreached"; and who killed it."""

    how: str
    by: int


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _bound(item: pytest.Item) -> None:
    """A property tries few examples, the same in every run."""
    from hypothesis import Phase, settings  # which pytest wants to import first

    few: dict[str, Any] = {
        "max_examples": EXAMPLES,
        "derandomize": True,
        "database": None,
        "phases": [Phase.explicit, Phase.generate],
        "print_blob": False,
    }
    case, test = getattr(item, "cls", None), getattr(item, "obj", None)
    if hasattr(case, "settings"):  # a machine
        case.settings = settings(case.settings, stateful_step_count=STEPS, **few)
    else:
        test._hypothesis_internal_use_settings = settings(**few)


class Mutation:
    """The plugin that runs in place of pytest's own loop."""

    def __init__(
        self,
        files: list[Path],
        sample: tuple[int, int],
        until: float,
        names: frozenset[str] = frozenset(),
    ) -> None:
        self.files = files
        self.sample = sample
        #: By the monotonic clock: no mutant is begun after that.
        self.until = until
        self.chosen = 0
        self.names = names
        self.survivors: list[Mutant] = []
        self.counts: Counter[str] = Counter()
        self.tests = self.drawn = 0

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = session.items
        drawn = {at for at, item in enumerate(items) if "hypothesis" in item.keywords}
        for at in drawn:
            _bound(items[at])
        reached, seconds = self._look(session, items)
        quick = {at for at, time_s in enumerate(seconds) if time_s <= TEST_S}
        self.tests, self.drawn = len(quick - drawn), len(quick & drawn)
        kills: Counter[int] = Counter()
        chosen = self._chosen()
        self.chosen = len(chosen)
        for number, mutant in enumerate(chosen):
            if time.monotonic() > self.until:
                break
            here = quick & set().union(*(reached.get((mutant.file, n), ()) for n in mutant.lines))
            order = sorted(
                here, key=lambda at: (at in drawn, seconds[at] > 0.05, -kills[at], seconds[at])
            )
            outcome = self._try(session, items, mutant, order)
            by_drawn = outcome.how == "killed" and outcome.by in drawn
            self.counts["killed_by_drawn" if by_drawn else outcome.how] += 1
            if outcome.how == "killed":
                kills[outcome.by] += 1
            if outcome.how in ("survived", "unreached"):
                self.survivors.append(mutant)
                print(f"{outcome.how}: {mutant.name}", flush=True)
            if number % 100 == 99:
                print(
                    f"{number + 1} mutants, {time.process_time():.0f} s: {dict(self.counts)}",
                    flush=True,
                )
        return True

    def _chosen(self) -> list[Mutant]:
        shard, shards = self.sample

        def wanted(name: str) -> bool:
            if self.names:
                return name in self.names
            return int.from_bytes(_digest(name)[:4], "big") % shards == shard - 1

        chosen = [mutant for path in self.files for mutant in mutants(path, wanted)]
        # What is tried before time is up is a fair sample, too.
        return sorted(chosen, key=lambda mutant: _digest(mutant.name))

    def _look(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> tuple[dict[tuple[str, int], set[int]], list[float]]:
        """Which tests reach which lines, and how long each takes."""
        include = [str(path) for path in self.files]
        cover = coverage.Coverage(data_file=None, config_file=False, include=include)
        seconds: list[float] = []
        cover.start()
        for at, item in enumerate(items):
            cover.switch_context(str(at))
            began = time.process_time()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            seconds.append(time.process_time() - began)
            if session.testsfailed:
                print(f"left out, fails without any mutant: {item.nodeid}", flush=True)
                session.testsfailed, seconds[-1] = 0, 2 * TEST_S
        cover.stop()
        data = cover.get_data()
        reached: dict[tuple[str, int], set[int]] = {}
        for path in self.files:
            for line, contexts in data.contexts_by_lineno(str(path)).items():
                reached[path.name, line] = {int(name) for name in contexts if name}
        return reached, seconds

    def _try(
        self, session: pytest.Session, items: list[pytest.Item], mutant: Mutant, order: list[int]
    ) -> Outcome:
        if not order:
            return Outcome("unreached", -1)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            self._run(session, items, mutant, order, writer)
        os.close(writer)
        said = os.read(reader, 16)
        os.close(reader)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) or not said:
            return Outcome("hung", -1)
        by = int(said)
        return Outcome("killed", by) if by >= 0 else Outcome("survived", -1)

    def _run(
        self,
        session: pytest.Session,
        items: list[pytest.Item],
        mutant: Mutant,
        order: list[int],
        writer: int,
    ) -> None:
        """In the child. Says which test failed, -1 for none; never returns."""
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        by = -1
        try:
            put_in(mutant)
            for at in order:
                until = int(time.process_time()) + CPU_S
                resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))
                items[at].config.hook.pytest_runtest_protocol(item=items[at], nextitem=None)
                if session.testsfailed:
                    by = at
                    break
        except BaseException:
            by = order[0]
        os.write(writer, str(by).encode())
        os._exit(0)


def main(arguments: list[str]) -> int:
    """Run what is asked for; 1 if a survivor is not explained."""
    parser = argparse.ArgumentParser(description="Small mistakes that tests have to notice")
    parser.add_argument("--sample", default="1/1", help="i/n: the i-th of n parts of all mutants")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin none later")
    parser.add_argument("--names", type=Path, help="only those that a file names, one a line")
    parser.add_argument("files", nargs="*", metavar="FILE", help="of replication/crdt; all of them")
    options = parser.parse_args(arguments)
    shard, shards = (int(number) for number in options.sample.split("/"))
    files = sorted(CRDT.glob("*.py")) if not options.files else [CRDT / f for f in options.files]
    names = options.names.read_text(encoding="utf-8").splitlines() if options.names else []
    until = time.monotonic() + 60 * options.minutes
    mutation = Mutation(files, (shard, shards), until, frozenset(names))
    chosen = [str(ROOT / "tests" / f"test_{name}.py") for name in (*UNITS, *USED_BY)]
    chosen += [str(ROOT / "tests" / name) for name in DRAWN]
    skipped = " and ".join(f"not {word}" for word in RANDOM)
    flags = ["-p", "no:cacheprovider", "-p", "no:xdist", "-k", skipped]
    status = pytest.main([*flags, *chosen], plugins=[mutation])
    if status != 0:
        return int(status)
    return _report(mutation, "by name" if names else options.sample, options.files)


def _report(mutation: Mutation, sample: str, files: list[str]) -> int:
    explained = json.loads(SURVIVORS.read_text()) if SURVIVORS.exists() else {}
    new = [mutant.name for mutant in mutation.survivors if mutant.name not in explained]
    total = sum(mutation.counts.values())
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    line = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": subprocess.run(git, capture_output=True, text=True).stdout.strip(),
        "sample": sample,
        "files": files or "all",
        "tests": mutation.tests,
        "drawn": mutation.drawn,
        "chosen": mutation.chosen,
        "mutants": total,
        **mutation.counts,
        "explained": len(mutation.survivors) - len(new),
        "killed_percent": round(100 * (total - len(mutation.survivors)) / max(1, total), 2),
        "cpu_seconds": round(time.process_time() + sum(os.times()[2:4])),
    }
    with LEDGER.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line))
    for name in new:
        print(f"not explained: {name}")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
