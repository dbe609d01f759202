"""`replication query`: the objects of a store that match a query."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from replication.cli.output import cell, console, count, noted, print_json, remark
from replication.cli.stores import Snapshot, snapshot, store_argument
from replication.errors import QueryError, UsageError

if TYPE_CHECKING:
    from replication.client.evaluation import Found
    from replication.query import Query

#: Objects printed as a table unless asked for more.
_TABLE_ROWS = 50
#: Characters of a cell that are shown however narrow the terminal is.
_CELL_MIN = 6


@click.command("query")
@store_argument
@click.argument("class_name", metavar="CLASS")
@click.argument("query", default="TRUEPREDICATE")
@click.option("--sort", help="Fields to sort by, separated by commas; -FIELD sorts downwards.")
@click.option("--limit", type=click.IntRange(min=0), help="At most that many; 0 for all.")
@click.option("--fields", help="Only these fields, separated by commas.")
@click.option("--count", "only_count", is_flag=True, help="Only print how many match.")
@click.option("--explain", is_flag=True, help="Only print how the query is answered.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, all of them.")
def command(
    store: str,
    class_name: str,
    query: str,
    sort: str | None,
    limit: int | None,
    fields: str | None,
    only_count: bool,
    explain: bool,
    as_json: bool,
) -> None:
    """Print the objects of CLASS in STORE that match QUERY.

    STORE is a client file or a namespace file, also one that is being served: it is read as it
    is at this moment, and not disturbed. Without QUERY all objects are printed.

    \b
    Example:
      replication query books.db Book 'year < 1900 AND language == "fre"' --sort -year
    """
    from replication.client.evaluation import found_by, plan, seen

    with snapshot(store) as held:
        held.known_class(class_name)
        parsed = _parsed(held, class_name, query)
        if explain:
            steps = list(plan(held.reader, class_name, parsed))
            print_json({"plan": steps}) if as_json else click.echo("\n".join(steps))
            return
        if limit is None:
            limit = 0 if as_json else _TABLE_ROWS
        at_once = 0 if only_count else limit if limit and not sort else None
        found = found_by(held.reader, None, class_name, parsed, limit=at_once)
        total = len(found)
        if parsed.is_local:
            source = seen(held.reader, class_name)
            total = held.reader.count(class_name, parsed, source=source)
        if only_count:
            print_json({"count": total}) if as_json else click.echo(str(total))
            return
        rows = _rows(held, class_name, found, sort, limit)
        names = None if fields is None else [name.strip() for name in fields.split(",")]
        if names is not None:
            rows = ({name: row.get(name) for name in ["_id", *names]} for row in rows)
        if as_json:
            for row in rows:
                print_json(noted(row))
        else:
            _print_table(list(rows), total)


def _parsed(held: Snapshot, class_name: str, text: str) -> Query:
    from replication.query import parse

    known = held.schema.get(class_name)
    parsed = parse(text)
    if known is None:
        return parsed
    types = {name: each.spelling for name, each in known.properties.items()}
    if known.key is not None:
        types[known.key.name] = known.key.spelling
    try:
        return parsed.check(types, held.schema)
    except QueryError as error:
        raise UsageError(f"{class_name}: {error}") from None


def _rows(
    held: Snapshot, class_name: str, found: list[Found], sort: str | None, limit: int
) -> Iterator[dict[str, Any]]:
    wanted = found[:limit] if limit and not sort else found
    stored = (held.reader.get_object(class_name, each.key) for each in wanted)
    rows = (held.view(class_name, row) for row in stored if row is not None)
    if not sort:
        return rows
    ordered = list(rows)
    # Python's sort is stable: the last field first.
    for name in reversed(sort.split(",")):
        name = name.strip()
        down = name.startswith("-")
        field = name.removeprefix("-")
        _check_field(held, class_name, field)
        ordered.sort(key=lambda row: _rank(row.get(field)), reverse=down)
    return iter(ordered[:limit] if limit else ordered)


def _check_field(held: Snapshot, class_name: str, name: str) -> None:
    known = held.schema.get(class_name)
    if known is not None:
        known[name]  # raises, naming those that are alike


def _rank(value: Any) -> tuple[int, Any]:
    """Where a value stands: null, numbers, strings, everything else."""
    from replication.query.columns import column_value

    if type(value) is dict:
        return (4, b"")
    column = column_value(value)
    if column is None:
        return (0, 0)
    return ({int: 1, float: 1, str: 2, bytes: 3}[type(column)], column)


def _print_table(rows: list[dict[str, Any]], total: int) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[cell(row.get(name)) for name in names] for row in rows]
    for at, name in enumerate(names):
        widest = max(len(line[at]) for line in cells)
        table.add_column(name, overflow="ellipsis", no_wrap=True, min_width=min(widest, _CELL_MIN))
    for line in cells:
        table.add_row(*line)
    if rows:
        console().print(table)
    shown = "" if len(rows) == total else f"; these are the first {len(rows):,}, see --limit"
    remark(count(total, "object") + shown)
