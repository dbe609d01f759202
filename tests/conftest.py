"""What all tests share: how Hypothesis runs, and a store of each kind.

No deadline and no health check of speed: how long a test takes says more about what else the
machine does. Nor one of size: states and histories are large. A failure prints the line that
reproduces it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from replication.crdt.view import query_values
from replication.storage.contract import Store
from replication.storage.memory import MemoryStore
from replication.storage.sqlite import SQLiteStore

settings.register_profile(
    "project",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("project")


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of a server; a test that asks for it runs with each kind."""
    made: Store = (
        MemoryStore(query_values)
        if request.param == "memory"
        else SQLiteStore(tmp_path / "server.db", query_values)
    )
    yield made
    made.close()
