"""Mutation testing: small mistakes are put into `replication`, and tests have to notice.

    python tests/mutation.py [--sample 1/8] [--minutes N] [--names FILE] [ROOM | FILE...]

A mutant is one small change of one function: another comparison, `and` for `or`, a condition that
always or never holds, a number one greater, another operator, `min` for `max`, a call or an
assignment that does not happen, `break` for `continue`, a value that is not returned.

One warm process imports everything and collects the tests of the room (ROOMS); for `crdt` those of
`make branches`, which are quick and always the same. It first runs each of them once, to see which
lines of the mutated files it reaches and how long it takes, and once more in a child where each
function has been put in unchanged, in another order: a test that fails there would kill mutants
for no reason, and is left out. For each mutant it forks; the child puts the changed code into the
live function and runs the tests that reach the changed statement, those that have killed most and
are quickest first, until one fails (the mutant is killed), one takes many times as long as it did
(killed as well: it would hang) or all have passed (it has survived). What functions remember
(`lru_cache`) is forgotten before each test.

A mutant that they leave alive goes on to a second line: properties and machines, each with
few examples that are the same in every run. What those kill is counted apart.
`--first` leaves the second line out; `--explained` counts those that are explained (see below) as
alive without trying them. `--killers FILE` keeps who killed which mutant for the next run, which
then asks them first.

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
import functools
import gc
import hashlib
import importlib
import json
import os
import resource
import select
import signal
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
SOURCE = ROOT / "replication"
LEDGER = ROOT / "tests" / "mutation-ledger.jsonl"
SURVIVORS = ROOT / "tests" / "mutation-survivors.json"
OURS = "replication"
#: What the two lines of each room run: tests of `tests/`, whole files or one by one. What is made
#: for client files alone is tried there.
ROOMS = {
    "crdt": [
        *(f"test_{name}.py" for name in UNITS),
        "test_client_text.py",
        "test_client_text_observing.py",
        "test_loaded_text.py",
        "test_client_nested.py",
        "test_list_chunks.py",
        "test_merge_laws.py::test_any_order_and_grouping_gives_the_same_bytes",
        "test_merge_laws.py::test_replicas_that_know_the_same_are_the_same",
        "test_merge_laws.py::test_duplicates_change_nothing_but_counters",
        "test_merge_laws.py::test_the_laws_on_any_state",
        "test_merge_laws.py::test_hostile_states_spread_over_parts",
        "test_merge_laws.py::test_an_edit_on_any_state_is_the_merge_of_its_delta",
        "test_merge_machines.py::TestReplicas",
    ],
    "history": [
        "test_changeset.py",
        "test_merge_corners.py",
        "test_spec_vectors.py",
        "test_check.py",
        "test_container.py",
        "test_list.py",
    ],
    "protocol": [
        "test_messages.py",
        "test_protocol_connection.py",
        "test_sessions.py",
        "test_session_vectors.py",
        "test_partitions.py",
        "test_spec_tables.py",
        "test_restamp.py",
    ],
    "query": [
        "test_query_evaluate.py",
        "test_query_parser.py",
        "test_query_paths.py",
        "test_query_index.py",
        "test_query_vectors.py",
        "test_query_sql.py",
        "test_queryable.py",
    ],
    "rules": [
        "test_rules_filters.py",
        "test_rules_project.py",
        "test_rules_roles.py",
        "test_rules_templates.py",
        "test_rules_vectors.py",
        "test_rules_partition.py",
        "test_rules_writes.py",
    ],
}
#: Examples of each property in the second line.
EXAMPLES = 15
#: Steps of each run of a machine.
STEPS = 20
#: A test that takes longer is not run: what it kills, quicker ones should.
TEST_S = 4.0
#: CPU seconds of one test after which a mutant is taken for one that hangs: so many, and so many
#: times what it took without the mutant (and with coverage).
CPU_S, CPU_TIMES = 2, 3
#: The same for a test that waits for what never comes.
WALL_S = 300
#: Address space a mutant may use.
MEMORY = 3 * 2**30

#: What a child says instead of the number of the test that failed.
ALL_PASSED, NO_END, NOT_PUT_IN = -1, -2, -3

#: Defaults are made when a module is imported.
_LEFT_OUT = frozenset(
    {"annotation", "returns", "decorator_list", "type_comment", "defaults", "kw_defaults"}
)
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
}  # fmt: skip
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift, ast.BitXor: ast.BitOr,
}  # fmt: skip


class Mutant(NamedTuple):
    """One change: where it is, what it is, and the code of the outermost function with it."""

    #: Below `replication`.
    file: str
    #: Of the outermost function: `name` or `Class.name`.
    function: str
    #: Of the statement, of a compound one its head; on to the change.
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
    for within in _functions(path):
        yield from _of_function(path, within, wanted)


def _functions(path: Path) -> Iterator[list[Any]]:
    """Each function of a file, after the class that it is in."""
    for outer in ast.parse(path.read_text()).body:
        if isinstance(outer, ast.FunctionDef):
            yield [outer]
        elif isinstance(outer, ast.ClassDef):
            yield from ([outer, item] for item in outer.body if isinstance(item, ast.FunctionDef))


def _of_function(path: Path, within: list[Any], wanted: Callable[[str], bool]) -> Iterator[Mutant]:
    lines = path.read_text().splitlines()
    file = path.relative_to(SOURCE).as_posix()
    name = ".".join(each.name for each in within)
    seen: Counter[str] = Counter()
    for at, lines_of, before, after, apply, undo in _changes(within[-1]):
        change = f"{lines[at - 1].strip()} | {before} -> {after}"
        seen[change] += 1
        if seen[change] > 1:
            change += f" (no. {seen[change]})"
        if not wanted(f"{file}:{name}: {change}"):
            continue
        apply()
        try:
            code = _compiled(path, within)
        finally:
            undo()
        yield Mutant(file, name, lines_of, change, code)


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


Change = tuple[int, range, str, str, Callable[[], None], Callable[[], None]]


def _changes(function: ast.FunctionDef) -> Iterator[Change]:
    """Changes of a tree: line, lines, before, after, how to make and how to undo it."""
    for parent, field, index, node, within in list(_nodes(function, function)):
        for fresh in _instead(node):
            before, after = _shown(node), _shown(fresh)

            def put(what: ast.AST, parent=parent, field=field, index=index) -> None:  # type: ignore[no-untyped-def]
                if index is None:
                    setattr(parent, field, what)
                else:
                    getattr(parent, field)[index] = what

            line = max(within.lineno, getattr(node, "lineno", 0))
            yield (
                line,
                range(within.lineno, max(line, _end_of_head(within)) + 1),
                before,
                after,
                lambda fresh=fresh, put=put: put(fresh),  # type: ignore[misc]
                lambda node=node, put=put: put(node),  # type: ignore[misc]
            )


def _end_of_head(statement: ast.stmt) -> int:
    """The last line of what a statement evaluates itself: `if (` may have no code on its line."""
    heads: list[ast.expr]
    match statement:
        case ast.If(test=test) | ast.While(test=test):
            heads = [test]
        case ast.For(iter=iterated):
            heads = [iterated]
        case ast.With(items=items):
            heads = [item.context_expr for item in items]
        case ast.Match(subject=subject):
            heads = [subject]
        case ast.FunctionDef() | ast.ClassDef() | ast.Try():
            heads = []
        case _:
            return statement.end_lineno or statement.lineno
    return max((head.end_lineno or 0 for head in heads), default=statement.lineno)


def _shown(node: ast.AST) -> str:
    text = ast.unparse(node).splitlines()[0]
    return text if len(text) <= 90 else text[:89] + "…"


def _nodes(
    root: ast.AST, within: ast.stmt
) -> Iterator[tuple[ast.AST, str, int | None, ast.AST, ast.stmt]]:
    """Every node below one, with its place and its statement, but for what is left out."""
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
            inner = node if isinstance(node, ast.stmt) else within
            yield root, field, index, node, inner
            yield from _nodes(node, inner)


def _instead(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in place of a node, by mistake."""
    match node:
        case ast.Compare(ops=ops):
            for index, op in enumerate(ops):
                for other in (_COMPARISONS, _OPPOSITES):
                    if type(op) in other:
                        changed = [*ops[:index], other[type(op)](), *ops[index + 1 :]]
                        yield _with(node, ops=changed)
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
        case ast.Call(func=ast.Name(id=called)) if called in _CALLS:
            yield _with(node, func=ast.copy_location(ast.Name(_CALLS[called], ast.Load()), node))
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


#: Functions that functions made when a module was imported, by their code.
Made = dict[types.CodeType, list[types.FunctionType]]


def made_at_import() -> Made:
    """Those of ours that are there before the first test."""
    out: Made = {}
    for each in gc.get_objects():
        if isinstance(each, types.FunctionType) and "<locals>" in each.__qualname__:
            ours = each.__module__.split(".")[0] == OURS
            out.setdefault(each.__code__, []).extend([each] * ours)
    return out


def put_in(mutant: Mutant, made: Made) -> None:
    """Give the live function a mutant's code, and those that it made."""
    name = mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    holder: Any = importlib.import_module(f"replication.{name}")
    *classes, name = mutant.function.split(".")
    for each in classes:
        holder = getattr(holder, each)
    found = vars(holder)[name]
    for wrapped in ("__func__", "fget", "__wrapped__", "func"):
        found = getattr(found, wrapped, None) or found
    _put_inside(found.__code__, mutant.code, made)
    found.__code__ = mutant.code


def _put_inside(old: types.CodeType, new: types.CodeType, made: Made) -> None:
    inside = [[c for c in each.co_consts if isinstance(c, types.CodeType)] for each in (old, new)]
    for one, other in zip(*inside, strict=False):
        if (one.co_name, one.co_freevars) == (other.co_name, other.co_freevars):
            for function in made.get(one, ()):
                function.__code__ = other
            _put_inside(one, other, made)


def unchanged(path: Path) -> Iterator[Mutant]:
    """Each function of a file as it is, made as a mutant is made."""
    for within in _functions(path):
        name = ".".join(each.name for each in within)
        file = path.relative_to(SOURCE).as_posix()
        yield Mutant(file, name, range(0), "nothing", _compiled(path, within))


def caches() -> list[Callable[[], None]]:
    """What makes each function of ours forget what it remembers."""
    owners: list[Any] = [m for name, m in list(sys.modules.items()) if name.split(".")[0] == OURS]
    owners += [each for owner in owners for each in vars(owner).values() if isinstance(each, type)]
    found = [each for owner in owners for each in vars(owner).values()]
    found = [getattr(each, "__func__", each) for each in found]
    return [each.cache_clear for each in found if isinstance(each, functools._lru_cache_wrapper)]


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


class Options(NamedTuple):
    """What a run is asked for."""

    files: list[Path]
    sample: tuple[int, int]
    #: By the monotonic clock: no mutant is begun after that.
    until: float
    #: If any: only these.
    names: frozenset[str]
    #: Without the second line.
    first: bool
    #: Alive without being tried.
    explained: frozenset[str]
    #: The test that killed a mutant in earlier runs, and where that is kept.
    killers: dict[str, str]
    kept: Path | None

    def keep(self) -> None:
        """Write down who killed what."""
        if self.kept:
            self.kept.write_text(json.dumps(self.killers), encoding="utf-8")


class Mutation:
    """The plugin that runs in place of pytest's own loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.chosen = 0
        self.survivors: list[Mutant] = []
        self.counts: Counter[str] = Counter()
        self.tests = self.drawn = 0
        self.items: list[pytest.Item] = []
        self.seconds: list[float] = []
        self.forget: list[Callable[[], None]] = []
        self.made: Made = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = session.items
        drawn = {at for at, item in enumerate(self.items) if "hypothesis" in item.keywords}
        for at in drawn:
            _bound(self.items[at])
        if self.options.first:
            session.items[:] = [item for at, item in enumerate(self.items) if at not in drawn]
            drawn = set()
        self.forget = caches()
        self.made = made_at_import()
        reached = self._look(session)
        quick = {at for at, time_s in enumerate(self.seconds) if time_s <= TEST_S}
        gc.collect()
        gc.freeze()
        quick -= self._fail_unchanged(session, sorted(quick, key=lambda at: self.seconds[at]))
        self.tests, self.drawn = len(quick - drawn), len(quick & drawn)
        self._all(session, reached, quick, drawn)
        return True

    def _all(
        self,
        session: pytest.Session,
        reached: dict[tuple[str, int], set[int]],
        quick: set[int],
        drawn: set[int],
    ) -> None:
        """Try the mutants."""
        kills: Counter[int] = Counter()
        near: dict[tuple[str, str], Counter[int]] = {}
        ids = {item.nodeid: at for at, item in enumerate(self.items)}
        chosen = self._chosen()
        self.chosen = len(chosen)
        for number, mutant in enumerate(chosen):
            if time.monotonic() > self.options.until:
                break
            here = quick & set().union(*(reached.get((mutant.file, n), ()) for n in mutant.lines))
            last = ids.get(self.options.killers.get(mutant.name, ""), -1)
            same = near.setdefault((mutant.file, mutant.function), Counter())
            order = sorted(
                here,
                key=lambda at: (
                    at != last,
                    at in drawn,
                    -same[at],
                    self.seconds[at] > 0.05,
                    -kills[at],
                    self.seconds[at],
                ),
            )
            if mutant.name in self.options.explained:
                outcome = Outcome("survived", -1)
            else:
                outcome = self._try(session, mutant, order)
            by_drawn = outcome.how == "killed" and outcome.by in drawn
            self.counts["killed_by_drawn" if by_drawn else outcome.how] += 1
            if outcome.how == "killed":
                kills[outcome.by] += 1
                same[outcome.by] += 1
                self.options.killers[mutant.name] = self.items[outcome.by].nodeid
            if outcome.how in ("survived", "unreached"):
                self.survivors.append(mutant)
                if mutant.name not in self.options.explained:
                    print(f"{outcome.how}: {mutant.name}", flush=True)
            if number % 100 == 99:
                self.options.keep()
                seconds = sum(os.times()[:4])
                print(f"{number + 1} mutants, {seconds:.0f} s: {dict(self.counts)}", flush=True)

    def _chosen(self) -> list[Mutant]:
        shard, shards = self.options.sample
        names = self.options.names

        def wanted(name: str) -> bool:
            if names:
                return name in names
            return int.from_bytes(_digest(name)[:4], "big") % shards == shard - 1

        chosen = [mutant for path in self.options.files for mutant in mutants(path, wanted)]
        # What is tried before time is up is a fair sample, too.
        return sorted(chosen, key=lambda mutant: _digest(mutant.name))

    def _run(self, at: int) -> None:
        """One test."""
        for forget in self.forget:
            forget()
        item = self.items[at]
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)

    def _look(self, session: pytest.Session) -> dict[tuple[str, int], set[int]]:
        """Which tests reach which lines; and how long each takes."""
        include = [str(path) for path in self.options.files]
        cover = coverage.Coverage(data_file=None, config_file=False, include=include)
        cover.start()
        for at, item in enumerate(self.items):
            cover.switch_context(str(at))
            began = time.process_time()
            self._run(at)
            self.seconds.append(time.process_time() - began)
            if session.testsfailed:
                print(f"left out, fails without any mutant: {item.nodeid}", flush=True)
                session.testsfailed, self.seconds[-1] = 0, 2 * TEST_S
        cover.stop()
        data = cover.get_data()
        reached: dict[tuple[str, int], set[int]] = {}
        for path in self.options.files:
            file = path.relative_to(SOURCE).as_posix()
            for line, contexts in data.contexts_by_lineno(str(path)).items():
                reached[file, line] = {int(name) for name in contexts if name}
        return reached

    def _fail_unchanged(self, session: pytest.Session, order: list[int]) -> set[int]:
        """The tests that fail where each function has been put in as it is."""
        failed: set[int] = set()
        every = [mutant for path in self.options.files for mutant in unchanged(path)]
        while (at := self._in_child(session, every, [n for n in order if n not in failed])) >= 0:
            print(f"left out, fails with nothing changed: {self.items[at].nodeid}", flush=True)
            failed.add(at)
        if at != ALL_PASSED:
            raise RuntimeError("the tests do not come to an end with nothing changed")
        return failed

    def _try(self, session: pytest.Session, mutant: Mutant, order: list[int]) -> Outcome:
        if not order:
            return Outcome("unreached", -1)
        by = self._in_child(session, [mutant], order)
        if by == NO_END:
            return Outcome("hung", -1)
        return Outcome("survived", -1) if by == ALL_PASSED else Outcome("killed", by)

    def _in_child(self, session: pytest.Session, changes: list[Mutant], order: list[int]) -> int:
        """The first of the tests to fail, ALL_PASSED, or NO_END for a child that did not say."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            self._child(session, changes, order, writer)
        os.close(writer)
        said = b""
        ready, _, _ = select.select([reader], [], [], WALL_S)
        if ready:
            said = os.read(reader, 16)
        else:
            os.kill(child, signal.SIGKILL)
        os.close(reader)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) or not said:
            return NO_END
        if int(said) == NOT_PUT_IN:
            raise RuntimeError(f"cannot be put in: {changes[0].name}")
        return int(said)

    def _child(
        self, session: pytest.Session, changes: list[Mutant], order: list[int], writer: int
    ) -> None:
        """In the child. Says which test failed; never returns."""
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        by = NOT_PUT_IN
        try:
            for each in changes:
                put_in(each, self.made)
            by = ALL_PASSED
            for at in order:
                until = int(time.process_time() + CPU_S + CPU_TIMES * self.seconds[at])
                resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))
                failing = at
                self._run(at)
                if session.testsfailed:
                    by = at
                    break
        except BaseException:
            by = by if by == NOT_PUT_IN else failing
        os.write(writer, str(by).encode())
        os._exit(0)


def main(arguments: list[str]) -> int:
    """Run what is asked for; 1 if a survivor is not explained."""
    parser = argparse.ArgumentParser(description="Small mistakes that tests have to notice")
    parser.add_argument("--sample", default="1/1", help="i/n: the i-th of n parts of all mutants")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin none later")
    parser.add_argument("--names", type=Path, help="only those that a file names, one a line")
    parser.add_argument("--first", action="store_true", help="without the second line")
    parser.add_argument("--explained", action="store_true", help="alive without being tried")
    parser.add_argument("--killers", type=Path, help="who killed what, from run to run")
    parser.add_argument("what", nargs="*", default=["crdt"], help="rooms and files: crdt/list.py")
    given = parser.parse_args(arguments)
    shard, shards = (int(number) for number in given.sample.split("/"))
    names = given.names.read_text(encoding="utf-8").splitlines() if given.names else []
    killers = given.killers and given.killers.exists() and json.loads(given.killers.read_text())
    options = Options(
        [path for what in given.what for path in _files(what)],
        (shard, shards),
        time.monotonic() + 60 * given.minutes,
        frozenset(names),
        given.first,
        frozenset(explanations() if given.explained else ()),
        killers or {},
        given.killers,
    )
    mutation = Mutation(options)
    rooms = dict.fromkeys(what.split("/")[0] for what in given.what)
    chosen = [str(ROOT / "tests" / test) for room in rooms for test in ROOMS[room]]
    skipped = " and ".join(f"not {word}" for word in RANDOM)
    flags = ["-p", "no:cacheprovider", "-p", "no:xdist", "-k", skipped]
    status = pytest.main([*flags, *chosen], plugins=[mutation])
    options.keep()
    if status != 0:
        return int(status)
    return _report(mutation, "by name" if names else given.sample, given.what)


def explanations() -> dict[str, str]:
    """Why nothing can kill a mutant, by its name."""
    found: dict[str, str] = json.loads(SURVIVORS.read_text(encoding="utf-8"))
    return found


def _files(what: str) -> list[Path]:
    """The files of a room, or the one that is named."""
    path = SOURCE / what
    return [path] if path.is_file() else sorted(path.glob("*.py"))


def _report(mutation: Mutation, sample: str, what: list[str]) -> int:
    explained = explanations()
    new = [mutant.name for mutant in mutation.survivors if mutant.name not in explained]
    total = sum(mutation.counts.values())
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    line = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": subprocess.run(git, capture_output=True, text=True).stdout.strip(),
        "sample": sample,
        "files": " ".join(what),
        "tests": mutation.tests,
        "drawn": mutation.drawn,
        "chosen": mutation.chosen,
        "mutants": total,
        **mutation.counts,
        "explained": len(mutation.survivors) - len(new),
        "killed_percent": round(100 * (total - len(mutation.survivors)) / max(1, total), 2),
        "cpu_seconds": round(sum(os.times()[:4])),
    }
    with LEDGER.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line))
    for name in new:
        print(f"not explained: {name}")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
