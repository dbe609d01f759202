"""The campaign: all programs of three replicas with two operations each, in every interleaving.

    python tests/campaign.py [--shard 1/4] [--jobs 2] [--again] [FAMILY...]

For each family of six operations (`merge_families.py`): 36 programs a replica, 46,656 programs
together, and 90 interleavings of each program's six changesets in which every replica's own two
keep their order: 4,199,040 runs a family.

Runs share their beginnings. What a run has delivered after some steps is how many changesets of
each replica, (i, j, k) from 0 to 2; a step is a merge of the bytes there. All steps are merged
that lead to (i, j, k), from each of the up to three points before it, and have to give equal bytes.
So each interleaving's every step was executed on the very bytes that its earlier steps give, and
all 90 end with the same bytes; these have to show what the reference model shows, and to stay as
they are when a changeset comes again. Points at which a replica has delivered nothing are shared
by all programs of that replica.

Each program also passes a horizon, at a point that chance says: all of its interleavings that lead
through that point go on behind it with everything dead forgotten; see `campaign_horizons.py`.

A line of the ledger says what one slice (a family, and the first operation of the first replica)
ran: commit, digest of the code concerned, programs, runs, how many of them again past a horizon,
merges, failures, seconds of CPU. Slices that the ledger has for the same digest are skipped, so a
campaign can be interrupted, and spread over machines by shards.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from campaign_horizons import POINTS, Point, chance, past_horizon, runs_through
from merge_families import FAMILIES, Family
from reference import Model, operations
from replicas import Replica
from state_strategies import without_counters

from replication.crdt import object as obj
from replication.crdt.object import ObjectState
from replication.crdt.view import object_view
from replication.model.encoding import pack, unpack_trusted

ROOT = Path(__file__).parent.parent
LEDGER = ROOT / "tests" / "campaign-ledger.jsonl"
#: Interleavings of three sequences of two: 6! / (2! 2! 2!).
INTERLEAVINGS = 90
REPLICAS = (3, 4, 5)

#: What else the result depends on.
PROGRAMS = ("merge_families", "campaign_horizons", "reference", "reference_ages", "replicas")

#: The two operations of a replica.
Program: TypeAlias = tuple[str, str]
#: How many changesets of two replicas were delivered -> the bytes then.
Plane: TypeAlias = dict[tuple[int, int], bytes]


class Written(NamedTuple):
    """What a replica's program wrote: deltas, the same without increments, and for the model."""

    deltas: list[ObjectState]
    again: list[ObjectState]
    facts: list[Any]


class DivergenceError(AssertionError):
    """Two ways to one point gave different bytes, or a value that the model does not have."""


class Campaign:
    """One family, prepared: every program of every replica has been written."""

    def __init__(self, family: Family) -> None:
        origin = Replica(2)
        origin.write(family.fill)
        self.start = pack(origin.state)
        self.start_facts = operations(origin.state)
        self.programs: list[Program] = list(product(family.operations, repeat=2))
        self.written: dict[tuple[int, Program], Written] = {}
        self.merges = self.behind = 0
        for ident, program in product(REPLICAS, self.programs):
            # Two replicas write in the same milliseconds, the third a second later.
            device = Replica(ident, wall_ms=origin.wall_ms + (1000 if ident == 5 else 0))
            device.read(origin)
            deltas = [device.write(family.operations[name]) for name in program]
            again = [without_counters(delta) for delta in deltas]
            facts = [fact for delta in deltas for fact in operations(delta)]
            self.written[ident, program] = Written(deltas, again, facts)

    def merged(self, state: bytes, delta: ObjectState) -> bytes:
        """One step of a run: the bytes after it."""
        self.merges += 1
        return pack(obj.merge(unpack_trusted(state), delta))

    def plane(self, first: Written, second: Written) -> Plane:
        """All points of two replicas, a third having delivered nothing."""
        points = {(0, 0): self.start}
        for i, j in product(range(3), repeat=2):
            ways = set()
            if i:
                ways.add(self.merged(points[i - 1, j], first.deltas[i - 1]))
            if j:
                ways.add(self.merged(points[i, j - 1], second.deltas[j - 1]))
            if len(ways) > 1:
                raise DivergenceError(f"after {i} and {j} changesets")
            if ways:
                (points[i, j],) = ways
        return points

    def run(self, one: Program, two: Program, three: Program, planes: list[Plane]) -> None:
        """All interleavings of three programs.

        Args:
            planes: of the first and second replica, first and third, second and third.

        Raises:
            DivergenceError: they do not all end with the same bytes, or not with the model's value.
        """
        each = zip(REPLICAS, (one, two, three), strict=True)
        a, b, c = (self.written[ident, program] for ident, program in each)
        flat, left, right = planes
        points: dict[Point, bytes] = {}
        for i, j in product(range(3), repeat=2):
            points[i, j, 0], points[i, 0, j], points[0, i, j] = flat[i, j], left[i, j], right[i, j]
        for i, j, k in product((1, 2), repeat=3):
            way = self.merged(points[i - 1, j, k], a.deltas[i - 1])
            if (
                self.merged(points[i, j - 1, k], b.deltas[j - 1]) != way
                or self.merged(points[i, j, k - 1], c.deltas[k - 1]) != way
            ):
                raise DivergenceError(f"after {i}, {j} and {k} changesets of {one}, {two}, {three}")
            points[i, j, k] = way
        # Which changeset comes again changes from program to program.
        again = (*a.again, *b.again, *c.again)[self.merges % 6]
        if self.merged(way, again) != way:
            raise DivergenceError(f"changeset {self.merges % 6} again: {one}, {two}, {three}")
        known = enumerate((self.start_facts, a.facts, b.facts, c.facts))
        if pack(object_view(unpack_trusted(way))) != pack(Model(known).value()):
            raise DivergenceError(f"not the model's value: {one}, {two}, {three}")
        at = chance(POINTS, one, two, three)
        self.behind += runs_through(at)
        if wrong := past_horizon(self.start, points[at], at, (a.deltas, b.deltas, c.deltas)):
            raise DivergenceError(f"{wrong}, with a horizon at {at}: {one}, {two}, {three}")


# -- slices and the ledger -------------------------------------------------------------------
def slices() -> list[tuple[str, str]]:
    """All parts of the campaign: a family, and the first operation of its first replica."""
    return [(name, first) for name, family in FAMILIES.items() for first in family.operations]


def run_slice(name: str, first: str, sample: int = 1) -> dict[str, Any]:
    """Run all programs of one slice, or one of ``sample``; returns what the ledger is to say."""
    began = time.process_time()
    campaign = Campaign(FAMILIES[name])
    failures: list[str] = []
    done = 0
    try:
        for planes, each in _runs(campaign, first, sample):
            done += 1
            try:
                campaign.run(*each, planes)
            except DivergenceError as error:
                failures.append(str(error))
    except DivergenceError as error:  # two replicas were enough
        failures.append(str(error))
    return {
        "family": name,
        "first": first,
        "programs": done,
        "runs": done * INTERLEAVINGS,
        "behind": campaign.behind,
        "merges": campaign.merges,
        "failures": len(failures),
        "seconds": round(time.process_time() - began, 1),
        **({"failed": failures[:5]} if failures else {}),
    }


def _runs(
    campaign: Campaign, first: str, sample: int
) -> Iterator[tuple[list[Plane], tuple[Program, Program, Program]]]:
    written, programs = campaign.written, campaign.programs
    right: dict[tuple[Program, Program], Plane] = {}
    for one in (program for program in programs if program[0] == first):
        left = {p: campaign.plane(written[3, one], written[5, p]) for p in programs}
        for at, two in enumerate(programs):
            flat = campaign.plane(written[3, one], written[4, two])
            for three in programs[at % sample :: sample]:
                if (two, three) not in right:
                    right[two, three] = campaign.plane(written[4, two], written[5, three])
                yield [flat, left[three], right[two, three]], (one, two, three)


def code_digest() -> str:
    """What a campaign's result depends on: the merge, the programs, the model."""
    files = [
        *sorted((ROOT / "replication" / "crdt").glob("*.py")),
        *sorted((ROOT / "replication" / "model").glob("*.py")),
        *(ROOT / "tests" / f"{name}.py" for name in (PROGRAMS)),
    ]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def ledger(path: Path = LEDGER) -> Iterator[dict[str, Any]]:
    """What was run so far."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def main(arguments: list[str]) -> int:
    """Run what is asked for and is not in the ledger yet; 1 if anything diverged."""
    parser = argparse.ArgumentParser(description="Every program of three replicas, every order")
    parser.add_argument("--shard", default="1/1", help="i/n: each n-th slice, from the i-th on")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--again", action="store_true", help="what the ledger has as well")
    parser.add_argument("families", nargs="*", metavar="FAMILY")
    options = parser.parse_args(arguments)
    if unknown := set(options.families) - set(FAMILIES):
        parser.error(f"{sorted(unknown)} are no families; these are: {', '.join(FAMILIES)}")
    shard, shards = (int(number) for number in options.shard.split("/"))
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    code = code_digest()
    done = {(line["family"], line["first"]) for line in ledger() if line["code"] == code}
    wanted = [
        each
        for each in slices()[shard - 1 :: shards]
        if (not options.families or each[0] in options.families)
        and (options.again or each not in done)
    ]
    failures = 0
    with ProcessPoolExecutor(options.jobs) as pool, LEDGER.open("a", encoding="utf-8") as file:
        for future in as_completed(pool.submit(run_slice, *each) for each in wanted):
            today = datetime.datetime.now(datetime.UTC).date().isoformat()
            line = {"date": today, "commit": commit, "code": code, **future.result()}
            failures += line["failures"]
            file.write(json.dumps(line) + "\n")
            file.flush()
            print(json.dumps(line), flush=True)
    lines = [line for line in ledger() if line["code"] == code]
    runs, behind = (sum(line[name] for line in lines) for name in ("runs", "behind"))
    done_slices = f"{len(lines)} of {len(slices())} slices"
    print(f"{runs:,} runs of this code, {behind:,} past a horizon, in the ledger; {done_slices}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
