"""`replication import`: the rows of a file, as objects of a client file.

Rule 1: a file is read three times: to infer the schema, to check every row against it, to write.
        So a bad row is found before anything is written: nothing is imported, or, with
        --skip-bad, everything else.
Rule 2: objects are committed in transactions of `_BATCH`; a crash leaves whole batches, and the
        same command with --update goes on.
Rule 3: what the store declares of a class already counts: a second file's columns are read as
        the types that are known.
"""

from __future__ import annotations

import re
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from replication.cli.output import count, duration, on_terminal, print_json, printable, remark
from replication.errors import NoSubscriptionError, SchemaError, UsageError

if TYPE_CHECKING:
    from replication.cli.rows import BadRowError, Row
    from replication.cli.stores import Snapshot
    from replication.client.database import Database
    from replication.model.infer import Inferred
    from replication.model.schema import Schema
    from replication.model.values import Key

#: Objects a transaction: enough to share a commit, few enough for changesets of some 100 KB.
_BATCH: Final = 500
#: Bad rows that --skip-bad lists on stderr one by one.
_LISTED: Final = 20

#: Tells the progress of a pass: bytes of the file read so far.
Told = Callable[[int], None]


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


# -- where rows come from ------------------------------------------------------------------------
@dataclass(frozen=True)
class Source:
    """A file, and how its rows are read."""

    path: Path
    kind: str
    key: str
    #: What the user said of types.
    types: dict[str, str]
    without: frozenset[str]
    separator: str

    def rows(self, told: Told) -> Iterator[Row | BadRowError]:
        """The rows, without the fields that are left out; one without its key is bad."""
        from replication.cli.rows import BadRowError, Row, rows

        for row in rows(self.path, self.kind, told=told):
            if isinstance(row, BadRowError):
                yield row
                continue
            cells = row.cells
            if self.without:
                cells = {name: cell for name, cell in cells.items() if name not in self.without}
            if cells.get(self.key) is None and cells:
                found = ", ".join(repr(name) for name in list(cells)[:8])
                reason = f"field {self.key!r}, the primary key, is missing; there are {found}"
                yield BadRowError(self.path, row.number, reason)
            elif cells:
                yield Row(row.number, cells)

    def split(self, cells: dict[str, Any]) -> dict[str, Any]:
        """The texts of a CSV row; where a list or set is wanted, its elements."""
        if self.kind != "csv":
            return cells
        out = dict(cells)
        for name in self._lists & cells.keys():
            parts = (part.strip() for part in cells[name].split(self.separator))
            out[name] = [part for part in parts if part]
        return out

    @property
    def _lists(self) -> frozenset[str]:
        return frozenset(n for n, text in self.types.items() if text.startswith(("list<", "set<")))


@dataclass(frozen=True)
class Plan:
    """What is to be imported into what, and how."""

    source: Source
    store: Path
    class_name: str
    update: bool
    skip_bad: bool
    subscribe: bool


@dataclass
class Done:
    """What an import did."""

    schema: Schema
    notes: list[str]
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    transactions: int = 0
    skipped: list[BadRowError] = field(default_factory=list)

    def tree(self, plan: Plan) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "file": str(plan.source.path),
            "store": str(plan.store),
            "class": plan.class_name,
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "transactions": self.transactions,
            "skipped": [{"row": each.number, "reason": each.reason} for each in self.skipped],
            "schema": self.schema.to_packed(),
            "notes": self.notes,
        }


#: Begins a pass over the file under a name; gives what is to be told the bytes read.
Passing = Callable[[str], AbstractContextManager[Told]]


def run(plan: Plan, queryable: list[str], passing: Passing) -> Done:
    """Import.

    Raises:
        ReplicationError: a file that can't be read, a row that does not fit, a store in use;
            nothing was written, except where a row is bad that an earlier pass found good.
    """
    from replication.cli.stores import writing

    known = _Known(plan)
    with passing("reading") as told:
        inferred = _inferred(plan, known, told)
    schema = _marked(inferred.schema, plan.class_name, queryable)
    done = Done(schema, inferred.notes)
    with passing("checking") as told:
        _check(plan, known, inferred, done, told)
    merged, contradictions = known.schema.merge(schema)
    if contradictions:
        raise SchemaError("; ".join(str(each) for each in contradictions))
    with writing(plan.store, merged) as db, passing("writing") as told:
        # Before the objects: a server is asked for them before it is given them, so that they
        # stay where they are.
        if plan.subscribe:
            _subscribe(db, plan.class_name)
        try:
            _write(db, plan, inferred, done, told)
        except NoSubscriptionError:
            raise UsageError(
                f"{plan.store} subscribes to other classes only, so what is imported would never "
                f"be synchronised: first `replication subscribe {plan.store} {plan.class_name}`"
            ) from None
    return done


def _subscribe(db: Database, class_name: str) -> None:
    with db.subscriptions.edit() as edited:
        if all(each.class_name != class_name for each in edited.subscriptions):
            edited.add(class_name)


class _Known:
    """What the store holds before the import."""

    def __init__(self, plan: Plan) -> None:
        from replication.cli.stores import client_snapshot
        from replication.model.schema import Schema

        self.schema: Schema = Schema()
        self._plan = plan
        self._opening: AbstractContextManager[Snapshot | None] = nullcontext(None)
        if plan.store.exists() and plan.store.stat().st_size:
            self._opening = client_snapshot(plan.store)
            with client_snapshot(plan.store) as held:
                self.schema = held.schema

    @contextmanager
    def exists(self) -> Iterator[Callable[[Key], bool]]:
        """Whether an object with a key is alive."""
        from replication.crdt.object import is_alive
        from replication.model.encoding import unpack_trusted

        with self._opening as held:

            def alive(key: Key) -> bool:
                assert held is not None
                row = held.reader.get_object(self._plan.class_name, key)
                return row is not None and is_alive(unpack_trusted(row.head))

            yield (lambda _key: False) if held is None else alive


# -- the three passes ------------------------------------------------------------------------------
def _inferred(plan: Plan, known: _Known, told: Told) -> Inferred:
    types = dict(plan.source.types)
    inferred = _infer_once(plan, types, told)
    class_known = known.schema.get(plan.class_name)
    if class_known is None:
        return inferred
    differing = _known_types(known.schema, inferred.schema, plan.class_name, ())
    differing = {name: text for name, text in differing.items() if name not in types}
    return _infer_once(plan, types | differing, told) if differing else inferred


def _infer_once(plan: Plan, types: dict[str, str], told: Told) -> Inferred:
    from replication.cli.rows import BadRowError
    from replication.errors import WrongTypeError
    from replication.model.infer import infer

    at = 0

    def documents() -> Iterator[dict[str, Any]]:
        nonlocal at
        for row in plan.source.rows(told):
            if not isinstance(row, BadRowError):
                at = row.number
                yield row.cells
            elif not plan.skip_bad:
                raise row

    source = plan.source
    try:
        return infer(documents(), plan.class_name, source.key, types, text=source.kind == "csv")
    except WrongTypeError as error:
        raise BadRowError(source.path, at, _reason(error)) from None
    except SchemaError as error:
        raise UsageError(f"{source.path.name}: {error}") from None


def _reason(error: Exception) -> str:
    # `infer` counts rows where the file is known by its lines; the number goes, the rest stays.
    return re.sub(r"^row \d+, ", "", str(error))


def _known_types(
    known: Schema, fresh: Schema, class_name: str, path: tuple[str, ...]
) -> dict[str, str]:
    """The types known of fields that would be inferred otherwise, by dotted path."""
    out: dict[str, str] = {}
    old, new = known.get(class_name), fresh.get(class_name)
    if old is None or new is None:
        return out
    for name, item in new.properties.items():
        held = old.properties.get(name)
        if held is None:
            continue
        if held.spelling != item.spelling:
            out[".".join((*path, name))] = held.spelling
        elif item.type == "embedded":
            out |= _known_types(known, fresh, str(item.target), (*path, name))
    return out


def _marked(schema: Schema, class_name: str, queryable: list[str]) -> Schema:
    from replication.model.schema import ClassSchema, Schema

    own = schema[class_name]
    for name in queryable:
        own[name]  # raises, naming those that are alike
    marked: ClassSchema = ClassSchema(
        class_name,
        (
            replace(item, queryable=True) if item.name in queryable else item
            for item in own.properties.values()
        ),
        key=own.key_type,
    )
    return Schema(marked if item.name == class_name else item for item in schema)


def _check(plan: Plan, known: _Known, inferred: Inferred, done: Done, told: Told) -> None:
    from replication.cli.documents import check_document
    from replication.cli.rows import BadRowError
    from replication.errors import ReplicationError
    from replication.model.encoding import key_bytes

    own = inferred.schema[plan.class_name]
    first_at: dict[bytes, int] = {}
    with known.exists() as exists:

        def checked(row: Row) -> None:
            document = inferred.convert(plan.source.split(row.cells), row.number)
            check_document(document, own, inferred.schema)
            key = document["_id"]
            before = first_at.setdefault(key_bytes(key), row.number)
            if before != row.number:
                raise UsageError(f"key {key!r} stands in row {before} already")
            if not plan.update and exists(key):
                raise UsageError(
                    f"{plan.class_name} {key!r} exists already; --update writes over it"
                )

        for row in plan.source.rows(told):
            bad = row if isinstance(row, BadRowError) else None
            if bad is None:
                assert not isinstance(row, BadRowError)
                try:
                    checked(row)
                except ReplicationError as error:
                    bad = BadRowError(plan.source.path, row.number, _reason(error))
            if bad is None:
                continue
            if not plan.skip_bad:
                raise bad
            done.skipped.append(bad)


def _write(db: Database, plan: Plan, inferred: Inferred, done: Done, told: Told) -> None:
    from replication.cli.documents import put
    from replication.cli.rows import BadRowError

    bad = {each.number for each in done.skipped}

    def documents() -> Iterator[dict[str, Any]]:
        for row in plan.source.rows(told):
            if row.number not in bad:
                assert not isinstance(row, BadRowError)
                yield inferred.convert(plan.source.split(row.cells), row.number)

    own = db.known_schema[plan.class_name]
    tally = Tally[str]()
    version = db.local.client_version
    for batch in _batches(documents()):
        with db.write():
            tally.update(put(db, own, db.known_schema, document) for document in batch)
    done.transactions = db.local.client_version - version
    done.created, done.updated = tally["created"], tally["updated"]
    done.unchanged = tally["unchanged"]


def _batches(documents: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    from itertools import islice

    while batch := list(islice(documents, _BATCH)):
        yield batch


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
