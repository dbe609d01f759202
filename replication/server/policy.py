"""What the rules of a server make of its users: their roles, and since when they may read what.

Rule 1: what a file's user might read at its cursor is remembered (`tables.SIGHTS`), so that a
        change of rules, role or user reaches the device as a difference, however long it was away,
        and nobody is reset. [RULES-CHANGE-1]
Rule 2: a change that shows in what may be read makes an entry of the log, so that what follows has
        a version past every cursor there is.
        What filters ask about is kept from then on; see `lists`.
Rule 3: a server without rules lets nobody do anything, and says so. [RULES-FILE-3] So does one
        whose rules are about partitions by another key than the data set's. [RULES-PART-2]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from replication.errors import ErrorCode, SessionError
from replication.query.reach import ALL
from replication.rules.evaluate import ABSENT
from replication.rules.roles import CLOSED, OPEN, Denied, Roles, Rules, Ruling
from replication.rules.sight import EVERYTHING, Sight
from replication.server import tables
from replication.server.lists import ask
from replication.server.tables import Ledger
from replication.server.users import User
from replication.storage.contract import Writer

if TYPE_CHECKING:
    from replication.server.links import Link
    from replication.server.namespace import Namespace
    from replication.server.partitions import Partition, Partitions


class Assigned(NamedTuple):
    """What a session goes by.

    Attributes:
        roles: of its user; None: everything is allowed.
        since: the version from which on its user may read what they may read now.
    """

    roles: Roles | None
    since: int

    @property
    def sight(self) -> Sight:
        """What may be read."""
        return EVERYTHING if self.roles is None else self.roles.sight


#: Of a session that no rules are about.
FREE = Assigned(None, 0)


class Policy:
    """The rules of a server's data sets.

    Args:
        rules: of a data set, by its name.
        report: told of functions that fail, and of stores.
    """

    def __init__(self, rules: Callable[[str], Rules], report: Callable[[Exception], None]) -> None:
        self.rules = rules
        self._report = report

    def roles(
        self, name: str, user: User, partitions: Partitions | None, opened: Partition | None
    ) -> Roles | None:
        """A user's roles in a data set; None: they may do everything.

        Args:
            partitions: how the data set is cut; `opened`: the partition that a session is of.
        """
        rules = self.rules(name)
        if rules is OPEN:
            return None
        if partitions is not None:
            reason = other_key(rules, partitions.key)
            if reason is not None:
                return Roles({}, Denied(reason, Ruling(rule_path="partition.key")))
        value = ABSENT if opened is None else opened.value
        return rules.bind(described(user), self._report, value)

    def admit(self, name: str) -> None:
        """Raise SessionError with PERMISSION_DENIED where there are no rules. Rule 3."""
        if self.rules(name) is CLOSED:
            raise SessionError(
                ErrorCode.PERMISSION_DENIED,
                "this server was given no rules, so nobody may read or write anything",
            )

    # -- sessions --------------------------------------------------------------------------------
    def derive(self, link: Link) -> Roles | None:
        """The roles of a session's user, as rules and user are now."""
        assert link.user is not None
        assert link.namespace is not None
        name, namespace = link.namespace
        basis = (link.user, self.rules(name))
        if link.basis is None or any(a is not b for a, b in zip(link.basis, basis, strict=True)):
            link.roles = self.roles(name, link.user, namespace.partitions, link.partition)
            link.basis = basis
        return link.roles

    def is_settled(self, link: Link) -> bool:
        """Whether the session goes by these roles."""
        return self.derive(link) is link.assigned.roles

    def settle(self, namespace: Namespace, links: Iterable[Link]) -> Ledger | None:
        """Have sessions of a data set go by the roles that their users have now. Rule 2.

        Returns:
            Where the log ends; None where none may read anything else than before.
        """
        moved = [link for link in links if link.basis is not None and self._moves(link)]
        if not moved:
            return None
        try:
            with namespace.store.write() as writer:
                files = [(link.session.ident, link.roles) for link in moved]
                since = assign(namespace, writer, files)
                ledger = tables.load_ledger(writer)
        except Exception as error:
            self._report(error)
            for link in moved:
                link.end(ErrorCode.STORE_UNAVAILABLE, "the server can't store what it may read")
            return None
        for link, (ident, roles) in zip(moved, files, strict=True):
            link.assigned = Assigned(roles, since[ident])
            link.wake()
        return ledger

    def _moves(self, link: Link) -> bool:
        """Derive a session's roles; whether something else may be read under them."""
        roles = self.derive(link)
        fresh = Assigned(roles, link.assigned.since)
        if fresh.sight.key != link.assigned.sight.key:
            return True
        link.assigned = fresh
        return False


def other_key(rules: Rules, key: str) -> str | None:
    """Why rules don't fit a data set that is cut by a key; None if they do."""
    if rules.partition_key in (None, key):
        return None
    by = rules.partition_key
    return f"the rules are about partitions by {by!r}, but the data set is cut by {key!r}"


def described(user: User) -> dict[str, Any]:
    """A user as `%%user` stands for them."""
    return {
        "id": user.id,
        "type": user.type,
        "data": user.claims,
        "custom_data": user.custom_data,
        "identities": [{"id": user.id, "provider_type": "custom-token"}],
    }


def assign(
    namespace: Namespace, writer: Writer, found: Iterable[tuple[int, Roles | None]]
) -> dict[int, int]:
    """Remember what files' users may read from now on. Rules 1 and 2.

    Args:
        found: client files with the roles of their users.

    Returns:
        For each file the version from which on that holds.
    """
    latest = namespace.latest(writer)
    out = {}
    changed: list[tuple[int, Sight]] = []
    for ident, roles in found:
        sight = EVERYTHING if roles is None else roles.sight
        ask(writer, {name or ALL: query.fields for name, query in sight.filters.items()})
        since, held = tables.sight_at(writer, ident, latest)
        out[ident] = since
        if held.key != sight.key:
            changed.append((ident, sight))
    if changed:
        version = namespace.write(writer, lambda _author: []).version
        for ident, sight in changed:
            tables.store_sight(writer, ident, version, sight)
            out[ident] = version
    return out
