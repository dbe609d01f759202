"""On what terms a session's writes are taken, beside what the user's role allows.

Rule 1: where views are strict, a write is refused if it creates an object outside of the session's
        view, or changes or deletes one that was not in it. Writing an object out of the view is
        allowed: it is evicted. Otherwise whatever the rules allow is taken. [SUB-12]
Rule 2: a session that never had a subscription set has no view to keep to.
Rule 3: what a session that was opened with a partition creates without the partition key gets it.
        A session that keeps to the partition is refused what is, or would be, outside of it.
        [PART-4] [PART-5]
Rule 4: a view that other objects have a say in is not strict: what a write makes of it is only
        known after it.
Rule 5: without rules nobody but a program with an API key writes to the class that says who users
        are: rules that come later would believe it. [IDENTITY-10]
"""

from __future__ import annotations

from typing import Final, NamedTuple

from replication.crdt.register import Stamp
from replication.history.changeset import ObjectDelta
from replication.model.check import shown
from replication.server.judge import Judge
from replication.server.objects import Objects, Plan
from replication.server.partitions import Partition
from replication.server.refusals import NOT_PERMITTED, OUTSIDE_PARTITION, OUTSIDE_VIEW
from replication.server.touched import touches
from replication.server.view import View

_RESERVED: Final = (
    "holds what the server knows of its users: without rules that allow it, only a program with an "
    "API key may write it (`replication serve --rules`, `replication api-key create`)"
)


class Terms(NamedTuple):
    """The terms of one session.

    Attributes:
        view: what its writes have to keep to; None if to nothing. Rule 1.
        partition: the one it was opened with. Rule 3.
        reserved: the class that it may not write to; empty for none. Rule 5.
    """

    view: View | None = None
    partition: Partition | None = None
    reserved: str = ""

    def plan(
        self, objects: Objects, item: ObjectDelta, cursor: int, judge: Judge, stamp: Stamp
    ) -> Plan | None:
        """What becomes of an object on these terms; None where all of it is refused.

        Args:
            stamp: that of the changeset.
        """
        if item.class_name == self.reserved:
            judge.begin(item.class_name, item.key, None)
            judge.refuse((), NOT_PERMITTED, f"{judge.name(())} {_RESERVED}")
            return None
        partition = self.partition
        if partition is not None and judge.permit is not None and self._comes_bare(objects, item):
            # Rules ask about the key, so it has to be there before they do.
            plan = objects.plan(partition.injected(item, stamp), cursor, judge)
            plan = None if plan is None else plan._replace(rewritten=True)
            return plan if plan is not None and self._allow(objects, plan, judge) else None
        mark = judge.mark()
        plan = objects.plan(item, cursor, judge)
        if plan is not None and self._lacks_key(objects, plan):
            assert self.partition is not None
            judge.back_to(mark)  # it is judged once more
            plan = objects.plan(self.partition.injected(item, stamp), cursor, judge)
            plan = None if plan is None else plan._replace(rewritten=True)
        return plan if plan is not None and self._allow(objects, plan, judge) else None

    def _comes_bare(self, objects: Objects, item: ObjectDelta) -> bool:
        """Whether a delta makes an object and does not write the partition key."""
        partition = self.partition
        if partition is None or partition.value is None or item.delta[0] % 2 == 0:
            return False
        if touches(item.delta[3], [(partition.key,)]):
            return False
        return not objects.is_alive(item.class_name, item.key)

    def _lacks_key(self, objects: Objects, plan: Plan) -> bool:
        partition = self.partition
        if partition is None or partition.value is None or objects.before(plan).is_alive:
            return False
        after = plan.after
        return after.is_alive and after.get(partition.key) is None

    def _allow(self, objects: Objects, plan: Plan, judge: Judge) -> bool:
        before, after = objects.before(plan), plan.after
        partition, view = self.partition, self.view
        if partition is not None and not partition.is_flexible:
            for image in (before, after):
                found = image.get(partition.key)
                if image.is_alive and not partition.holds(found):
                    what = f"{judge.name(())} has {partition.key} {shown(found)}"
                    message = f"{what}, but the partition is {shown(partition.value)}"
                    judge.refuse((), OUTSIDE_PARTITION, message)
                    return False
        if view is None:
            return True
        seen = before if before.is_alive else after
        if not seen.is_alive or not view.is_local or view.sees(plan.item.class_name, seen):
            return True
        judge.refuse((), OUTSIDE_VIEW, f"{judge.name(())} is outside of the current query view")
        return False
