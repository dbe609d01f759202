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
import datetime
import gc
import hashlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import coverage
import pytest
from branches import RANDOM, UNITS
from mutants import SOURCE, Made, Mutant, caches, made_at_import, mutants, put_in, unchanged

ROOT = Path(__file__).parent.parent
LEDGER = ROOT / "tests" / "mutation-ledger.jsonl"
SURVIVORS = ROOT / "tests" / "mutation-survivors.json"
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
        "test_query_tables.py",
        "test_query_parser.py",
        "test_query_paths.py",
        "test_query_index.py",
        "test_query_vectors.py",
        "test_query_sql.py",
        "test_queryable.py",
    ],
    "rules": [
        "test_rules_bounds.py",
        "test_rules_filters.py",
        "test_rules_mistakes.py",
        "test_rules_project.py",
        "test_rules_roles.py",
        "test_rules_templates.py",
        "test_rules_vectors.py",
        "test_rules_partition.py",
        "test_rules_writes.py",
        "test_rules_views.py",
        "test_rules_feed.py",
        "test_rules_members.py",
    ],
    "lost": [
        "test_lost.py",
        "test_lost_formats.py",
        "test_lost_parts.py",
        "test_refused_parts.py",
        "test_journal.py",
        "test_journal_refusals.py",
        "test_client_text_refused.py",
        "test_journal_worlds.py::test_what_is_pending_goes_on_showing_past_horizons",
        "test_journal_worlds.py::test_past_horizons_each_delta_is_judged_by_what_was_before_it",
        "test_journal_worlds.py::test_a_removal_that_was_forgotten_is_lost_to_what_comes_late",
        "test_journal_worlds.py::test_who_deletes_too_and_creates_later_takes_nothing_away",
        "test_journal_worlds.py::test_entries_name_who_when_and_by_which_rule",
    ],
}
#: The rooms that are no folder of `replication`: their files.
FILES = {
    "lost": [
        "client/kept.py",
        "client/losses.py",
        "client/lost.py",
        "client/lost_containers.py",
        "client/lost_text.py",
        "client/lost_writes.py",
        "client/overridden.py",
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
    rooms = dict.fromkeys(_room(what) for what in given.what)
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


def _room(what: str) -> str:
    """The room that is named, or that of a file."""
    return next((room for room, files in FILES.items() if what in files), what.split("/")[0])


def _files(what: str) -> list[Path]:
    """The files of a room, or the one that is named."""
    path = SOURCE / what
    if what in FILES:
        return [SOURCE / file for file in FILES[what]]
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
