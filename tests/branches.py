"""Every branch of the merge and of the history is taken by table tests alone. [MERGE]

What is drawn at random is left out: it may take a branch today and miss it tomorrow.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
#: The bytes of Yjs updates and the native document behind a text: `test_text.py` has its own way
#: with them, at random as well.
LEFT_OUT = "*/updates.py,*/units.py,*/union.py,*/document.py"
#: The unit and table tests of `crdt` and `history`.
UNITS = [
    "register", "counter", "set", "dictionary", "list", "sequence", "object", "container", "parts",
    "view", "edit", "check", "substitute", "forget", "rebase", "changeset", "text", "updates",
    "text_corners", "text_bounds", "unit_sequence", "unit_bounds", "delta", "merge_corners",
    "merge_bounds", "full_state", "spread_state", "spec_vectors",
]  # fmt: skip
#: Long loops over seeds, in those files.
RANDOM = [
    "mutated", "random", "long_lives", "queue", "any_order_of_steps", "in_edited_lists",
    "what_replicas_write", "seed", "as_many_bare",
]  # fmt: skip


def main() -> int:
    """Of `crdt` and `history`, but for LEFT_OUT: 0 if all lines and branches are taken."""
    source = ",".join(str(ROOT / "replication" / room) for room in ("crdt", "history"))
    chosen = [str(ROOT / "tests" / f"test_{name}.py") for name in UNITS]
    skipped = " and ".join(f"not {word}" for word in RANDOM)
    select = ["-m", "not hypothesis", "-k", skipped, "-p", "no:cacheprovider", "-p", "no:xdist"]
    with tempfile.TemporaryDirectory() as folder:
        data = f"--data-file={Path(folder) / 'coverage'}"
        run = [sys.executable, "-m", "coverage", "run", data, "--branch", f"--source={source}"]
        run += [f"--omit={LEFT_OUT}", "-m", "pytest", *select, *chosen]
        report = [sys.executable, "-m", "coverage", "report", data, "-m", "--skip-covered"]
        failed = subprocess.run(run, cwd=ROOT).returncode
        return failed or subprocess.run([*report, "--fail-under=100"], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
