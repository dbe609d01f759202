"""Partition rules: who may read and write which partition, by the value of its key. [RULES-PART]

    {"partition": {"key": "_partition", "read": EXPRESSION, "write": EXPRESSION}}

They stand in place of the default roles: the role `partition`, whose document filters ask for the
key of each object where the expressions say `%%partition`. So what a partition's rules allow is the
same whether a device opens one partition or subscribes to parts of several.

A function can't be asked about each object. Where one is called with `%%partition` the expressions
are evaluated once, for the partition that a device opens; whoever opens none has no role.
"""

from __future__ import annotations

from replication.rules import access
from replication.rules import expression as ex
from replication.rules.expression import Condition, Expansion, Operand
from replication.rules.roles import Role

ROLE_NAME = "partition"


def partition_role(key: str, read: Condition, write: Condition) -> Role:
    """The role that the rules of a partition are."""
    opened = ex.calls_with(read, "partition") or ex.calls_with(write, "partition")
    return Role(
        ROLE_NAME,
        "partition",
        read=read if opened else asking_for(read, key),
        write=write if opened else asking_for(write, key),
        readable=access.ALL,
        writable=access.ALL,
        opened=key if opened else None,
    )


def asking_for(condition: Condition, key: str) -> Condition:
    """An expression about a partition as one about an object of it."""
    if isinstance(condition, ex.AllOf):
        return ex.AllOf(tuple(asking_for(part, key) for part in condition.operands))
    if isinstance(condition, ex.AnyOf):
        return ex.AnyOf(tuple(asking_for(part, key) for part in condition.operands))
    if isinstance(condition, ex.Not):
        return ex.Not(asking_for(condition.operand, key))
    if isinstance(condition, ex.Comparison):
        left, right = _operand(condition.left, key), _operand(condition.right, key)
        return ex.Comparison(condition.operator, left, right)
    if isinstance(condition, ex.Exists):
        return ex.Exists(_operand(condition.operand, key), condition.wanted)
    if isinstance(condition, ex.Holds):
        return ex.Holds(_operand(condition.operand, key))
    return condition


def _operand(operand: Operand, key: str) -> Operand:
    if isinstance(operand, Expansion):
        return Expansion("root", (key,)) if operand.scope == "partition" else operand
    if isinstance(operand, ex.Conversion):
        return ex.Conversion(operand.name, _operand(operand.operand, key))
    if isinstance(operand, ex.Items):
        return ex.Items(tuple(_operand(item, key) for item in operand.items))
    return operand
