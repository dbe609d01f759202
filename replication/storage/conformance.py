"""What a back end must do, as checks that anyone can run: no test framework is needed.

    def make():
        return MyStore(..., read_head=conformance.read_head)

    conformance.check_store(make, reopen=lambda store: ...)

Each check of CHECKS has a name, says which promise of `contract` it holds a store to, and raises
AssertionError where the store breaks it. They are in `replication.storage.checks`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from replication.storage.checks import (
    Check,
    Reopen,
    head,
    objects,
    queries,
    read_head,
    records,
    staged,
    transactions,
)
from replication.storage.contract import Store

__all__ = ["CHECKS", "Check", "Make", "Reopen", "check_store", "head", "read_head", "run_check"]

#: All checks by name.
CHECKS: Final[dict[str, Check]] = {
    **transactions.check,
    **records.check,
    **objects.check,
    **queries.check,
    **staged.check,
}
#: Gives a new, empty store whose `read_head` is the one of this module.
Make: TypeAlias = Callable[[], Store]


def check_store(make: Make, *, reopen: Reopen | None = None) -> None:
    """Run every check, each on a new store.

    Args:
        reopen: without it, the checks of what outlives a process are left out.

    Raises:
        AssertionError: with a note that names the check and the promise that was broken.
    """
    for name, check in CHECKS.items():
        if reopen is not None or not check.reopens:
            run_check(name, make, reopen=reopen)


def run_check(name: str, make: Make, *, reopen: Reopen | None = None) -> None:
    """Run one of CHECKS on a new store; some need ``reopen``."""
    check = CHECKS[name]
    opened = [make()]

    def again(store: Store) -> Store:
        if reopen is None:
            raise ValueError(f"check {name} needs a way to open a store again; pass reopen")
        opened.append(reopen(store))
        return opened[-1]

    try:
        if check.reopens:
            check.run(opened[0], again)
        else:
            check.run(opened[0])
    except BaseException as error:
        error.add_note(f"check {name}: {check.promise}")
        raise
    finally:
        for store in opened:
            store.close()
