"""The committed corpora of the fuzz targets, replayed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # `fuzz` is no part of the installed package

from fuzz.targets import TARGETS  # noqa: E402


@pytest.mark.parametrize("target", TARGETS)
def test_corpus(target: str) -> None:
    files = sorted((ROOT / "fuzz" / "corpus" / target).iterdir())
    assert len(files) >= 10, "a corpus to start from"
    for path in files:
        TARGETS[target](path.read_bytes())


def test_every_invariant_is_stated() -> None:
    text = (ROOT / "fuzz" / "README.md").read_text()
    source = (ROOT / "fuzz" / "targets.py").read_text()
    for name in ("FRAME", "CHANGESET", "QUERY", "UPDATE"):
        for number in range(2, 4):
            assert f"{name}-{number}:" in text
            assert f'"{name}-{number}"' in source
