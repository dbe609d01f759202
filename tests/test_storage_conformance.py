"""The stores of this package against the checks that other back ends are held to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replication.storage import conformance
from replication.storage.contract import Store
from replication.storage.memory import MemoryStore
from replication.storage.sqlite import SQLiteStore


def _memory(_path: Path) -> tuple[conformance.Make, conformance.Reopen]:
    def reopen(store: Any) -> Store:
        store.close()
        return store.reopen()

    return lambda: MemoryStore(conformance.read_head), reopen


def _sqlite(path: Path) -> tuple[conformance.Make, conformance.Reopen]:
    def make() -> Store:
        return SQLiteStore(path / "store.db", conformance.read_head)

    def reopen(store: Store) -> Store:
        store.close()
        return make()

    return make, reopen


@pytest.mark.parametrize("back_end", [_memory, _sqlite])
@pytest.mark.parametrize("name", conformance.CHECKS)
def test_check(
    name: str,
    back_end: Callable[[Path], tuple[conformance.Make, conformance.Reopen]],
    tmp_path: Path,
) -> None:
    make, reopen = back_end(tmp_path)
    conformance.run_check(name, make, reopen=reopen)


def test_check_store_runs_all_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def run(name: str, _make: object, *, reopen: object) -> None:
        assert reopen is None
        ran.append(name)

    monkeypatch.setattr(conformance, "run_check", run)
    conformance.check_store(lambda: MemoryStore(conformance.read_head))
    reopening = [name for name, check in conformance.CHECKS.items() if check.reopens]
    assert reopening
    assert ran == [name for name in conformance.CHECKS if name not in reopening]


def test_a_broken_store_is_named_with_its_promise() -> None:
    class Forgetful(MemoryStore):
        def write(self) -> Any:
            writer = super().write()
            self._state = type(self._state)({}, {})
            return writer

    with pytest.raises(AssertionError) as caught:
        conformance.check_store(lambda: Forgetful(conformance.read_head))
    assert any(
        "check committed_is_visible: write() sees" in note for note in caught.value.__notes__
    )
