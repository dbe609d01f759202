"""The rules file of a server: read at the start, and again whenever it changes.

Rule 1: a file with a mistake is an error at the start; later the rules there are go on to count.
        [RULES-FILE-1]
Rule 2: so is a file whose rules are about partitions by another key than the server's.
        [RULES-PART-2]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from replication.errors import RulesError
from replication.model.schema import Schema
from replication.net.watched import WatchedFile
from replication.rules.evaluate import Function
from replication.rules.read import checked
from replication.rules.roles import CLOSED, Rules
from replication.server.policy import other_key


class RulesFile:
    """Rules that an operator may change while they are in force.

    Args:
        functions: what `%function` calls, by name.
        schema: what classes and fields there are; None: that is not checked.
        keys: the partition keys of the data sets that these are the rules of, by name.

    Attributes:
        rules: what it says.
        file: to be watched; whoever does tells `Host.rules_changed`.

    Raises:
        RulesError: with a line for each mistake: file, path, reason.
    """

    def __init__(
        self,
        path: Path,
        *,
        functions: Mapping[str, Function] | None = None,
        schema: Schema | None = None,
        keys: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.rules: Rules = CLOSED
        self._keys = keys
        self._path = path
        self._functions = functions or {}
        self._schema = schema
        self.file = WatchedFile(path, self._take)

    def _take(self, data: bytes) -> None:
        rules, problems = checked(data, functions=self._functions, schema=self._schema)
        if problems:
            raise RulesError(
                "\n".join(
                    f"{self._path}: {each.path or 'the file'}: {each.reason}" for each in problems
                )
            )
        self._check_keys(rules)
        self.rules = rules

    def check(self) -> None:
        """Raise RulesError if they are about another partition key than a data set's. Rule 2."""
        self._check_keys(self.rules)

    def _check_keys(self, rules: Rules) -> None:
        for name, key in self._keys().items():
            reason = other_key(rules, key)
            if reason is not None:
                raise RulesError(f"{self._path}: partition.key: {reason} ({name})")
