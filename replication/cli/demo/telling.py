"""How the demo tells its story: acts, what each device did and saw, tables, a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from replication.cli.output import console, printable

_COLOURS: Final = {
    "server": "bold",
    "laptop": "cyan",
    "tablet": "green",
    "phone": "magenta",
    "kiosk": "yellow",
}
_NAME_WIDTH: Final = 8


class Teller:
    """Prints the story, or, silent, nothing of it."""

    def __init__(self, *, silent: bool = False) -> None:
        self._console = console()
        self._silent = silent
        self._acts = 0

    def act(self, title: str) -> None:
        """The next part begins."""
        from rich.rule import Rule

        self._acts += 1
        if not self._silent:
            self._console.print()
            self._console.print(Rule(f"{self._acts}. {title}", align="left", style="dim"))

    def says(self, who: str, text: str) -> None:
        """What a device or the server did or saw."""
        from rich.table import Table
        from rich.text import Text

        if self._silent:
            return
        line = Table.grid(padding=(0, 1))
        line.add_column(width=_NAME_WIDTH)
        line.add_column()
        line.add_row(Text(who, style=_COLOURS.get(who, "bold")), Text(printable(text)))
        self._console.print(line)

    def remark(self, text: str) -> None:
        """Why it is so."""
        self.says("", text)

    def scene(self, title: str, lines: Sequence[tuple[str, str]]) -> None:
        """Several lines about one thing."""
        if not self._silent:
            self._console.print(printable(title), style="bold")
        for who, text in lines:
            self.says(who, text)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows of text."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        if self._silent:
            return
        table = Table(box=box.SIMPLE, pad_edge=False)
        for name in columns:
            table.add_column(name, overflow="fold", style=_COLOURS.get(name))
        for row in rows:
            table.add_row(*(Text(printable(text)) for text in row))
        self._console.print(table)

    def verdict(self, text: str, *, good: bool) -> None:
        """The last line."""
        from rich.text import Text

        if not self._silent:
            self._console.print(Text(text, style="bold green" if good else "bold red"))
