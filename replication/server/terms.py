"""On what terms a session's writes are taken, beside what the user's role allows.

Rule 1: where views are strict, a write is refused if it creates an object outside of the session's
        view, or changes or deletes one that was not in it. Writing an object out of the view is
        allowed: it is evicted. Otherwise whatever the rules allow is taken. [SUB-12]
Rule 2: a session that never had a subscription set has no view to keep to.
"""

from __future__ import annotations

from typing import NamedTuple

from replication.server.judge import Judge
from replication.server.objects import Plan
from replication.server.refusals import OUTSIDE_VIEW
from replication.server.view import Image, View


class Terms(NamedTuple):
    """The terms of one session.

    Attributes:
        view: what its writes have to keep to; None if to nothing. Rule 1.
    """

    view: View | None = None

    def allow(self, plan: Plan, judge: Judge) -> bool:
        """Whether what was planned of an object just judged may be written; else it is refused."""
        if self.view is None:
            return True
        class_name, key = plan.item[:2]
        before = Image(key, None if plan.row is None else plan.row.head)
        seen = before if before.is_alive else Image(key, plan.head)
        if not seen.is_alive or self.view.sees(class_name, seen):
            return True
        judge.refuse((), OUTSIDE_VIEW, f"{judge.name(())} is outside of the current query view")
        return False
