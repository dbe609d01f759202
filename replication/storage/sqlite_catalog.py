"""What tables an SQLite store has, and the SQL that is run on them.

Names of classes, fields and record tables are any text, so they never become SQL names: each has
a number, and the tables are `o<number>` (objects of a class), `r<number>` (records), with the
columns `q<number>` (a queryable field). Beside them:

* `classes (number, name, last_row)`: last_row is the greatest row that was ever deleted.
* `fields (class, number, name)`: the queryable fields.
* `record_tables (number, name, by_int)`: a named table of records is up to two SQL tables, each
  made with its first record: one for the keys of `int_key`, where the key is SQLite's own row
  number, and one for all other keys. It halves the work for the log and for pending changes.
* `parts (class, object, name, version, data)`.
* `s<number>`: the staged rows of a class that has some, or had: like `o<number>`, but without
  indexes of queryable fields, for these are made faster once all rows are there.

Rule 1: a catalog is immutable; a change makes another one, so that a roll-back puts the former
        one back. Each is good for one value of SQLite's schema cookie, which every committed
        change of tables increments.
Rule 2: an object's row is one more than the greatest row its class ever had.
Rule 3: rows that are not alive are in the indexes with nulls. Partial indexes without them would
        be smaller, but SQLite can't use those for a query with OR, as every union is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

#: Runs a statement with its bindings, if any, and gives its rows.
Run: TypeAlias = Callable[..., Iterable[Any]]

APPLICATION_ID: Final = 0x5250_4C31  # "RPL1"
SCHEMA_VERSION: Final = 1

CREATE: Final = (
    """CREATE TABLE classes (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        last_row INTEGER NOT NULL DEFAULT 0
    )""",
    """CREATE TABLE fields (
        class INTEGER NOT NULL,
        number INTEGER NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (class, number)
    ) WITHOUT ROWID""",
    """CREATE TABLE record_tables (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        by_int INTEGER NOT NULL,
        UNIQUE (name, by_int)
    )""",
    """CREATE TABLE parts (
        id INTEGER PRIMARY KEY,
        class INTEGER NOT NULL,
        object INTEGER NOT NULL,
        name BLOB NOT NULL,
        version INTEGER NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (class, object, name)
    )""",
)


class ClassTable:
    """The SQL of one class; with "s" as its ``prefix``, of the staged rows of one."""

    __slots__ = (
        "columns",
        "dead",
        "delete",
        "get",
        "insert",
        "name",
        "number",
        "select_all",
        "stage",
        "update_head",
        "written",
    )

    def __init__(self, number: int, columns: dict[str, str], prefix: str = "o") -> None:
        self.number = number
        #: The SQL column of each queryable field, in the order they were added.
        self.columns = columns
        #: The SQL columns that `put_object` writes beside version and head.
        self.written = ("alive", *columns.values())
        #: What it writes there for an object that is not alive.
        self.dead = (0, *(None for _ in columns))
        self.name = table = f"{prefix}{number}"
        listed = ", ".join(self.written)
        marks = ", ".join("?" * (4 + len(self.written)))
        self.get = f"SELECT id, version, head, {listed} FROM {table} WHERE key = ?"
        self.insert = (
            f"INSERT INTO {table} (id, key, version, head, {listed}) VALUES ({marks})"
            " ON CONFLICT DO NOTHING"
        )
        ordered = ("version", "head", "alive", *(columns[name] for name in sorted(columns)))
        #: Binds id, key, version, head, alive, and the fields in the order of their names.
        self.stage = (
            f"INSERT INTO {table} (id, key, {', '.join(ordered)}) VALUES ({marks})"
            f" ON CONFLICT (key) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in ordered)}"
        )
        self.update_head = f"UPDATE {table} SET version = ?, head = ? WHERE id = ?"
        self.delete = f"DELETE FROM {table} WHERE id = ?"
        self.select_all = f"SELECT id, key, version, head FROM {table} WHERE id > ? ORDER BY id"

    def update(self, changed: list[int]) -> str:
        """Replaces version, head and some of ``written``, given by position."""
        listed = "".join(f", {self.written[position]} = ?" for position in changed)
        return f"UPDATE {self.name} SET version = ?, head = ?{listed} WHERE id = ?"

    def select(self, conditions: list[str], *, in_order: bool = False) -> str:
        """Living rows past the row bound first, under conditions, as many as is bound last.

        Args:
            in_order: read row by row, whatever an index would find.
        """
        return (
            f"SELECT id, key, version, head FROM {self.name}{' NOT INDEXED' if in_order else ''}"
            f" WHERE {' AND '.join(('alive', 'id > ?', *conditions))} ORDER BY id LIMIT ?"
        )

    def count(self, conditions: list[str]) -> str:
        """How many living rows are under these conditions."""
        return f"SELECT count(*) FROM {self.name} WHERE {' AND '.join(('alive', *conditions))}"


class RecordTable:
    """The SQL of one table of records."""

    __slots__ = ("_key", "_table", "delete", "get", "put")

    def __init__(self, number: int, by_int: bool) -> None:
        self._table = table = f"r{number}"
        self._key = key = "id" if by_int else "key"
        self.get = f"SELECT value FROM {table} WHERE {key} = ?"
        self.put = (
            f"INSERT INTO {table} ({key}, value) VALUES (?, ?)"
            " ON CONFLICT DO UPDATE SET value = excluded.value"
        )
        self.delete = f"DELETE FROM {table} WHERE {key} = ?"

    def select(self, *, bounded: bool, reverse: bool) -> str:
        """A range, from the first binding to the second where bounded; the last is a limit."""
        order = "DESC" if reverse else "ASC"
        return (
            f"SELECT {self._key}, value FROM {self._table} {self._range(bounded)}"
            f" ORDER BY {self._key} {order} LIMIT ?"
        )

    def delete_range(self, *, bounded: bool) -> str:
        """The same range, without a limit."""
        return f"DELETE FROM {self._table} {self._range(bounded)}"

    def _range(self, bounded: bool) -> str:
        upper = f" AND {self._key} <= ?" if bounded else ""
        return f"WHERE {self._key} >= ?{upper}"


class Catalog(NamedTuple):
    """The tables as of one schema cookie."""

    cookie: int
    classes: Mapping[str, ClassTable]
    #: By name, the tables for keys of `int_key` and those for all other keys.
    by_int: Mapping[str, RecordTable]
    by_bytes: Mapping[str, RecordTable]
    #: By class, the tables of staged rows.
    staged: Mapping[str, ClassTable]


def load_catalog(cookie: int, run: Run) -> Catalog:
    """Read the catalog in the transaction that is under way; ``cookie`` is the cookie in it."""
    columns: dict[int, dict[str, str]] = {}
    for class_number, number, name in run("SELECT class, number, name FROM fields ORDER BY number"):
        columns.setdefault(class_number, {})[name] = f"q{number}"
    classes = {
        name: ClassTable(number, columns.get(number, {}))
        for number, name in run("SELECT number, name FROM classes")
    }
    by_int: dict[str, RecordTable] = {}
    by_bytes: dict[str, RecordTable] = {}
    for number, name, is_int in run("SELECT number, name, by_int FROM record_tables"):
        (by_int if is_int else by_bytes)[name] = RecordTable(number, bool(is_int))
    tables = {name for (name,) in run("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    staged = {
        name: ClassTable(table.number, table.columns, "s")
        for name, table in classes.items()
        if f"s{table.number}" in tables
    }
    return Catalog(cookie, classes, by_int, by_bytes, staged)


def with_record_table(catalog: Catalog, run: Run, name: str, *, by_int: bool) -> Catalog:
    """Create a table of records."""
    ((number,),) = run("SELECT count(*) + 1 FROM record_tables")
    run("INSERT INTO record_tables VALUES (?, ?, ?)", (number, name, int(by_int)))
    key = "" if by_int else "key BLOB NOT NULL UNIQUE, "
    run(f"CREATE TABLE r{number} (id INTEGER PRIMARY KEY, {key}value BLOB NOT NULL)")
    table = RecordTable(number, by_int)
    if by_int:
        return catalog._replace(by_int={**catalog.by_int, name: table})
    return catalog._replace(by_bytes={**catalog.by_bytes, name: table})


def with_class(catalog: Catalog, run: Run, name: str) -> Catalog:
    """Create the table of a class, without queryable fields."""
    ((number,),) = run("SELECT count(*) + 1 FROM classes")
    run("INSERT INTO classes (number, name) VALUES (?, ?)", (number, name))
    table = ClassTable(number, {})
    _create_rows(run, table)
    return catalog._replace(classes={**catalog.classes, name: table})


def with_staged(catalog: Catalog, run: Run, name: str) -> Catalog:
    """Create the table of a class's staged rows."""
    table = ClassTable(catalog.classes[name].number, catalog.classes[name].columns, "s")
    _create_rows(run, table)
    return catalog._replace(staged={**catalog.staged, name: table})


def with_adopted(catalog: Catalog, run: Run, name: str) -> Catalog:
    """Put the table of a class's staged rows in the place of its own. No statement may be open."""
    table, staged = catalog.classes[name], catalog.staged[name]
    run(f"DROP TABLE {table.name}")
    run(f"ALTER TABLE {staged.name} RENAME TO {table.name}")
    for field in table.columns:
        create_index(run, table, field)
    left = {other: kept for other, kept in catalog.staged.items() if other != name}
    return catalog._replace(staged=left)


def _create_rows(run: Run, table: ClassTable) -> None:
    columns = "".join(f", {column}" for column in table.columns.values())
    run(
        f"CREATE TABLE {table.name} (id INTEGER PRIMARY KEY, key NOT NULL UNIQUE,"
        f" version INTEGER NOT NULL, alive INTEGER NOT NULL, head BLOB NOT NULL{columns})"
    )


def with_columns(catalog: Catalog, run: Run, name: str, added: list[str]) -> Catalog:
    """Add columns for queryable fields to a class; they are null and not indexed yet."""
    table = catalog.classes[name]
    staged = catalog.staged.get(name)
    columns = dict(table.columns)
    for field in added:
        number = len(columns) + 1
        columns[field] = f"q{number}"
        run("INSERT INTO fields VALUES (?, ?, ?)", (table.number, number, field))
        for each in (table, staged):
            if each is not None:
                run(f"ALTER TABLE {each.name} ADD COLUMN q{number}")
    catalog = catalog._replace(classes={**catalog.classes, name: ClassTable(table.number, columns)})
    if staged is None:
        return catalog
    table = ClassTable(table.number, columns, "s")
    return catalog._replace(staged={**catalog.staged, name: table})


def create_index(run: Run, table: ClassTable, field: str) -> None:
    """Index the column of a queryable field."""
    column = table.columns[field]
    run(f"CREATE INDEX {table.name}{column} ON {table.name} ({column})")
