"""What all tests share: how Hypothesis runs.

No deadline and no health check of speed: how long a test takes says more about what else the
machine does. Nor one of size: states and histories are large. A failure prints the line that
reproduces it.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "project",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("project")
