"""The tables of the spec that come from the code. Run as a script to write them again."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

from replication import limits as LIMITS  # noqa: N812  a table of constants
from replication.errors import ErrorCode
from replication.protocol.legality import RECEIVED, State
from replication.protocol.messages import MESSAGES

SPEC = Path(__file__).parent.parent / "spec"
PACKAGE = Path(__file__).parent.parent / "replication"
SERVER_STATES = (State.NEW, State.BINDING, State.BOUND, State.RESUMING, State.ACTIVE)
CLIENT_STATES = (State.UNIDENTIFIED, State.CONNECTED, State.UNBINDING)
#: Connection messages, which the sessions' table does not know.
CONNECTION = {"Hello": "C S", "Ping": "C S", "Pong": "C S"}


def senders(name: str) -> str:
    """Who sends a message: whoever's peer may receive it."""
    if name in CONNECTION:
        return CONNECTION[name]
    out = []
    for letter, states in (("C", SERVER_STATES), ("S", CLIENT_STATES)):
        if any(kind.__name__ == name for state in states for kind in RECEIVED[state]):
            out.append(letter)
    return " ".join(out)


def spelled(name: str) -> str:
    """`QueryState` as the spec writes it."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def messages() -> list[str]:
    rows = ["| number | message | from | fields |", "| --- | --- | --- | --- |"]
    for kind in MESSAGES:
        fields = ", ".join(field.name for field in dataclasses.fields(kind))
        name = kind.__name__
        rows.append(f"| {kind.number} | {spelled(name)} | {senders(name)} | {fields} |")
    return rows


def errors() -> list[str]:
    rows = ["| code | name | fault | next | meaning |", "| --- | --- | --- | --- | --- |"]
    for code in ErrorCode:
        row = (str(int(code)), f"`{code.label}`", code.fault.value, code.action.value, code.meaning)
        rows.append(f"| {' | '.join(row)} |")
    return rows


def legality() -> list[str]:
    rows = ["| end | state | message | next state |", "| --- | --- | --- | --- |"]
    for end, states in (("server", SERVER_STATES), ("client", CLIENT_STATES)):
        for state in states:
            legal = RECEIVED[state]
            for kind, target in legal.items():
                name = spelled(kind.__name__)
                rows.append(f"| {end} | {state.value} | {name} | {target.value} |")
            if not legal:
                rows.append(f"| {end} | {state.value} | none | |")
    rows.append("| both | closed | none | |")
    return rows


def limits() -> list[str]:
    """Each constant of `limits.py` with the comment above it."""
    rows = ["| limit | value | bounds |", "| --- | --- | --- |"]
    comment: list[str] = []
    for line in (PACKAGE / "limits.py").read_text().splitlines():
        if line.startswith("#: "):
            comment.append(line[3:])
        elif constant := re.match(r"([A-Z0-9_]+): Final", line):
            name = constant[1]
            assert comment, f"{name} does not say what it bounds"
            rows.append(f"| `{name}` | {amount(getattr(LIMITS, name))} | {' '.join(comment)} |")
            comment = []
    return rows


def amount(value: float) -> str:
    """Great numbers as people say them."""
    if isinstance(value, int) and abs(value) >= 2**31:
        sign, power = ("−" if value < 0 else ""), abs(value).bit_length()
        if abs(value) == 2 ** (power - 1):
            return f"{sign}2^{power - 1}"
        assert value == 2**power - 1, value
        return f"2^{power} − 1"
    return f"{value:,}"


TABLES: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "messages": ("messages.md", messages),
    "errors": ("errors.md", errors),
    "legality": ("sessions.md", legality),
    "limits": ("limits.md", limits),
}


def replaced(text: str, name: str, rows: list[str]) -> str:
    """A page with one table filled in."""
    begin, end = f"<!-- table: {name} -->\n", "\n<!-- end -->"
    head, rest = text.split(begin)
    rest = f"\n{rest}"  # so that an empty table has an end too
    tail = rest.split(end, 1)[1]
    return head + begin + "\n".join(rows) + end + tail


if __name__ == "__main__":
    for table, (page, make) in TABLES.items():
        path = SPEC / page
        path.write_text(replaced(path.read_text(), table, make()))
