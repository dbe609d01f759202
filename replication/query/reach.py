"""How far subscriptions may look. [QUERY-150]

Rule 1: what a subscription asks of other objects is behind single links: a server has to work it
        out again whenever one of them changes. What asks for all that links to an object, or
        counts objects, is for local queries.
Rule 2: it has to be known to be: past a mixed value, or without a schema, nobody can tell.
"""

from __future__ import annotations

from replication.query.ast import Path, StepKind, Subquery
from replication.query.query import Query, operands_of


def unsubscribable(query: Query, *, known: bool, ruled: bool) -> str | None:
    """Why a query, checked where there is a schema, can't be subscribed to; None if it can.

    Args:
        known: whether there is a schema.
        ruled: whether roles decide what may be read.
    """
    if query.is_local:
        return None
    if ruled:
        return "it looks at other objects than those it asks for, which may not be readable"
    for part in query.branches:
        for operand in operands_of(part):
            if isinstance(operand, Subquery) and Query.of(part.root).reaches:
                return f"SUBQUERY is for local queries: {operand.text:.80}"
            if isinstance(operand, Path) and operand.follows:
                if any(step.kind is StepKind.LINKS for step in operand.steps):
                    return f"@links is for local queries: {operand.text:.80}"
                if not known or operand.type is None:
                    return f"nobody knows what {operand.text:.80} leads to; declare its class"
                if operand.many_links:
                    return f"only single links can be followed: {operand.text:.80}"
    return None
