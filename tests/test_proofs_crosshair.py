"""CrossHair confirms the claims of `crosshair_contracts.py` on all paths of the real functions."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

CONTRACTS = Path(__file__).parent / "crosshair_contracts.py"
LINE = re.compile(r":(\d+): (?:info|error): (.*)")


def claims() -> list[ast.FunctionDef]:
    """The functions that assert something."""
    tree = ast.parse(CONTRACTS.read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [f for f in functions if any(isinstance(node, ast.Assert) for node in f.body)]


def test_each_claim_assumes_first_and_claims_later() -> None:
    """Assertions at the beginning are assumed, so there has to be one that is not."""
    for function in claims():
        asserts = [isinstance(node, ast.Assert) for node in function.body]
        assert asserts[0], function.name
        claims_after = asserts[asserts.index(False) :] if False in asserts else []
        assert any(claims_after), f"{function.name} claims nothing"


def test_crosshair_confirms_each_claim_and_refutes_a_wrong_one() -> None:
    """[MERGE-1] [MERGE-2]: of one name, member, element or object, for all integers."""
    command = [sys.executable, "-m", "crosshair", "check", str(CONTRACTS)]
    options = ["--analysis_kind=asserts", "--report_all", "--per_condition_timeout=60"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    begins = {function.lineno: function.name for function in claims()}
    verdicts = {}
    for line in done.stdout.splitlines():
        match = LINE.search(line)
        assert match, line
        verdicts[begins[max(at for at in begins if at <= int(match[1]))]] = match[2]
    wrong = verdicts.pop("wrong_the_first_write_wins")
    assert "AssertionError" in wrong, "CrossHair finds what is wrong"
    right = {name for name in begins.values() if not name.startswith("wrong")}
    assert verdicts == dict.fromkeys(right, "Confirmed over all paths."), done.stderr
