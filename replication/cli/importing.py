"""`replication import`: the rows of a file, as objects of a client file; see `importer`."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from replication.cli.output import count, duration, on_terminal, print_json, printable, remark
from replication.errors import UsageError

if TYPE_CHECKING:
    from replication.cli.importer import Done, Passing, Plan, Told

#: Bad rows that --skip-bad lists on stderr one by one.
_LISTED: Final = 20


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--into",
    "store",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The client file; made where there is none.",
)
@click.option("--class", "class_name", help="The class of the objects. Default: the file's name.")
@click.option("--key", help="The field that is the primary key. Default: _id.")
@click.option(
    "--types",
    help="Types of fields, as FIELD=TYPE,...; for example isbn=string,authors=list<string>.",
)
@click.option("--without", help="Fields to leave out, separated by commas.")
@click.option("--queryable", help="Fields to index for queries, separated by commas.")
@click.option(
    "--separator", default=",", show_default=True, help="Between the elements of a list in CSV."
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(("csv", "jsonl", "bson")),
    help="Default: by the file's name.",
)
@click.option("--update", is_flag=True, help="Write over objects that exist already.")
@click.option(
    "--upload-only",
    is_flag=True,
    help="Don't subscribe: the objects leave the file once a server has them.",
)
@click.option("--skip-bad", is_flag=True, help="Leave out rows that don't fit, and list them.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def command(
    file: Path,
    store: Path,
    class_name: str | None,
    key: str | None,
    types: str | None,
    without: str | None,
    queryable: str | None,
    separator: str,
    kind: str | None,
    update: bool,
    upload_only: bool,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Import FILE, a CSV table, JSON lines or a BSON dump, into a client file.

    Types are inferred from all rows. A column of a CSV table is a number if every text in it is
    written as one; objects inside objects become embedded objects, or dictionaries where many
    distinct keys hold values of one shape. --types overrules it.

    The objects are pending changesets: the next `replication sync` uploads them. The file
    subscribes to CLASS, unless it does already. A row that does not fit is named, and nothing is
    imported at all, unless --skip-bad is given.

    \b
    Example:
      replication import books.csv --into books.db --class Book --key book_id \\
          --types 'isbn=string,authors=list<string>'
    """
    from replication.cli.importer import Plan, Source, run
    from replication.cli.rows import format_of

    started = time.monotonic()
    source = Source(
        file,
        format_of(file, kind),
        key or "_id",
        _types(types),
        frozenset(_names(without)),
        separator,
    )
    name = class_name or _class_name(file)
    plan = Plan(source, store, name, update=update, skip_bad=skip_bad, subscribe=not upload_only)
    with _progress(file, as_json) as passing:
        done = run(plan, _names(queryable), passing)
    seconds = time.monotonic() - started
    if as_json:
        print_json(done.tree(plan) | {"seconds": round(seconds, 3)})
    else:
        _print(plan, done, seconds)


def _names(text: str | None) -> list[str]:
    return [] if not text else [name.strip() for name in text.split(",")]


def _types(text: str | None) -> dict[str, str]:
    out = {}
    for item in _names(text):
        name, equals, spelling = item.partition("=")
        if not equals or not name.strip() or not spelling.strip():
            raise UsageError(f"--types: {item!r} is not FIELD=TYPE, as in isbn=string")
        out[name.strip()] = spelling.strip()
    return out


def _class_name(file: Path) -> str:
    name = re.sub(r"\W+", "_", file.name.split(".")[0]).strip("_")
    return name[:1].upper() + name[1:] or "Imported"


# -- for people ------------------------------------------------------------------------------------
@contextmanager
def _progress(file: Path, as_json: bool) -> Iterator[Passing]:
    if as_json or not on_terminal():
        yield lambda _name: nullcontext(lambda _size: None)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from replication.cli.output import console

    columns = (TextColumn("{task.description:9}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:

        @contextmanager
        def passing(name: str) -> Iterator[Told]:
            task = progress.add_task(name, total=file.stat().st_size)
            yield lambda size: progress.update(task, completed=size)
            progress.remove_task(task)

        yield passing


def _print(plan: Plan, done: Done, seconds: float) -> None:
    for each in done.skipped[:_LISTED]:
        remark(f"skipped {printable(str(each))}")
    if len(done.skipped) > _LISTED:
        remark(f"... and {len(done.skipped) - _LISTED} more")
    for note in done.notes:
        remark(printable(f"note: {note}"))
    own = done.schema[plan.class_name]
    assert own.key is not None
    types = [f"_id {own.key.spelling}"]
    types += [f"{name} {item.spelling}" for name, item in own.properties.items()]
    click.echo(printable(f"{own.name}: {', '.join(types)}"))
    parts = [f"{count(done.created, 'object')} created"]
    parts += [f"{done.updated:,} updated"] if done.updated else []
    parts += [f"{done.unchanged:,} unchanged"] if done.unchanged else []
    parts += [f"{count(len(done.skipped), 'row')} skipped"] if done.skipped else []
    transactions = count(done.transactions, "transaction")
    click.echo(f"{', '.join(parts)}, in {transactions} and {duration(seconds)}.")
    if done.created or done.updated:
        click.echo(f"They wait in {plan.store} to be uploaded: see `replication sync --help`.")
