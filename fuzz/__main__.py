"""Run fuzz targets: `python -m fuzz [TARGET ...] [--seconds N]`, or `python -m fuzz replay FILE`.

Each target runs in a process of its own, since the fuzzer ends its process when it is done.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fuzz.targets import TARGETS

HERE = Path(__file__).parent
LEDGER = HERE / "ledger.jsonl"


def target_of(path: Path) -> str:
    """Which target a corpus or crash file belongs to, by its folder or name."""
    for name in TARGETS:
        if name in (path.parent.name, path.name.split("-")[0]):
            return name
    sys.exit(f"{path} belongs to no target: name it TARGET-... or put it below corpus/TARGET")


def fuzz(name: str, seconds: int) -> int:
    """Run one target in a process of its own and keep what it found; returns its exit status."""
    corpus = HERE / "corpus" / name
    with tempfile.TemporaryDirectory() as found:
        command = [
            sys.executable, "-m", "fuzz", "run", name, found, str(corpus),
            f"-max_total_time={seconds}", f"-artifact_prefix={HERE}/{name}-",
        ]  # fmt: skip
        started = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        took = time.monotonic() - started
        executions = re.findall(r"^#(\d+)\s", done.stderr, re.MULTILINE)
        for path in Path(found).iterdir():
            if path.stat().st_size <= 512:
                (corpus / path.name).write_bytes(path.read_bytes())
    outcome = "ok" if done.returncode == 0 else "crash"
    line = {
        "target": name,
        "seconds": round(took),
        "executions": int(executions[-1]) if executions else 0,
        "outcome": outcome,
        "python": sys.version.split()[0],
    }
    with LEDGER.open("a") as ledger:
        ledger.write(json.dumps(line) + "\n")
    print(json.dumps(line))
    if done.returncode:
        print(done.stderr[-4000:], file=sys.stderr)
    return done.returncode


def run(arguments: list[str]) -> None:
    """Inside the target's process: hand over to the fuzzer."""
    import atheris

    name, *rest = arguments
    with atheris.instrument_imports(include=["replication", "fuzz"]):
        for module in [m for m in sys.modules if m.split(".")[0] == "replication"]:
            del sys.modules[module]
        sys.modules.pop("fuzz.targets", None)
        from fuzz import targets
    atheris.Setup(["fuzz", *rest], targets.TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    """The command line."""
    if sys.argv[1:2] == ["run"]:
        run(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; or: replay FILE")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    options = parser.parse_args()
    if options.targets[:1] == ["replay"]:
        for file in options.targets[1:]:
            TARGETS[target_of(Path(file))](Path(file).read_bytes())
        return 0
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no target {sorted(unknown)[0]!r}; there are {', '.join(TARGETS)}")
    return max([fuzz(name, options.seconds) for name in options.targets or TARGETS])


if __name__ == "__main__":
    sys.exit(main())
