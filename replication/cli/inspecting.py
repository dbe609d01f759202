"""`replication inspect`: what a store holds, taken apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import click

from replication.cli.output import cell, console, count, key_text, noted, print_json, shown
from replication.cli.stores import Snapshot, snapshot, store_argument
from replication.errors import NoSuchObjectError, UsageError

_WHAT = ("summary", "objects", "history", "cursors", "schema", "subscriptions", "journal")


@click.command("inspect")
@store_argument
@click.argument("what", type=click.Choice(_WHAT), default="summary")
@click.argument("class_name", metavar="[CLASS]", required=False)
@click.argument("key", required=False)
@click.option(
    "--from",
    "first",
    type=click.IntRange(min=1),
    default=1,
    help="history: the first version to show.",
)
@click.option("--limit", type=click.IntRange(min=1), help="At most that many objects or versions.")
@click.option("--json", "as_json", is_flag=True, help="JSON, one object a line.")
def command(
    store: str,
    what: str,
    class_name: str | None,
    key: str | None,
    first: int,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show what STORE holds. STORE is a client file or a namespace file, read as it is now.

    \b
      summary        what it is, its classes and counts (the default)
      objects        keys of a CLASS, or the state of one object with all its stamps
      history        pending changesets of a client file, log of a namespace
      cursors        how far a client file is, or every client file a namespace knows
      schema         classes and properties; as JSON what `replication serve --schema` reads
      subscriptions  what a client file asked for
      journal        what was lost to others' writes or refused, and why

    \b
    Example:
      replication inspect books.db objects Book 17
    """
    if class_name is not None and what != "objects":
        raise UsageError(f"{class_name!r} is too much: only `objects` takes a class and a key")
    with snapshot(store) as held:
        if what == "schema" and as_json:
            _print_json_schema(held)
            return
        if what == "objects" and class_name is not None:
            _objects(held, held.known_class(class_name), key, limit, as_json)
            return
        trees: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
            "summary": lambda: iter([_summary(held)]),
            "objects": lambda: iter(_counts(held)),
            "history": lambda: _room(held).history(held, first, limit),
            "cursors": lambda: iter(_room(held).cursors(held)),
            "schema": lambda: _schema(held),
            "subscriptions": lambda: _subscriptions(held),
            "journal": lambda: _room(held).journal(held),
        }
        _print(what, trees[what](), as_json)


def _room(held: Snapshot) -> Any:
    """The module that knows this kind of store."""
    if held.kind == "client":
        from replication.cli import inspect_client

        return inspect_client
    from replication.cli import inspect_namespace

    return inspect_namespace


# -- what there is -----------------------------------------------------------------------------
def _summary(held: Snapshot) -> dict[str, Any]:
    return {
        "store": held.path,
        "kind": held.kind,
        "classes": _counts(held),
        **_room(held).summary(held),
    }


def _counts(held: Snapshot) -> list[dict[str, Any]]:
    return [
        {"class": name, "objects": held.reader.count(name), "queryable": held.reader.columns(name)}
        for name in held.reader.classes()
    ]


def _schema(held: Snapshot) -> Iterator[dict[str, Any]]:
    for item in held.schema:
        yield {"class": item.name, **item.to_packed()}


def _print_json_schema(held: Snapshot) -> None:
    from replication.model.json_schema import to_json_schema, to_relationships

    schemas, relationships = to_json_schema(held.schema), to_relationships(held.schema)
    print_json({"schemas": schemas, "relationships": relationships})


def _subscriptions(held: Snapshot) -> Iterator[dict[str, Any]]:
    if held.kind != "client":
        raise UsageError(f"{held.path} is a namespace: subscriptions are kept by client files")
    found: Iterator[dict[str, Any]] = _room(held).subscriptions(held)
    return found


# -- objects -----------------------------------------------------------------------------------
def _objects(
    held: Snapshot, class_name: str, key: str | None, limit: int | None, as_json: bool
) -> None:
    if key is not None:
        _print("object", iter([_object(held, class_name, key)]), as_json)
        return
    from itertools import islice

    from replication.crdt.object import is_alive
    from replication.model.encoding import unpack_trusted

    rows = islice(held.reader.all_objects(class_name), limit)
    trees = (
        {
            "key": noted(row.key),
            "version": row.version,
            "alive": is_alive(unpack_trusted(row.head)),
            "bytes": len(row.head),
            "parts": len(held.reader.parts(class_name, row.row)),
        }
        for row in rows
    )
    _print("keys", trees, as_json)


def _object(held: Snapshot, class_name: str, text: str) -> dict[str, Any]:
    from replication.cli.states import state_tree
    from replication.model.encoding import unpack_trusted

    key = held.key(class_name, text)
    row = held.reader.get_object(class_name, key)
    if row is None:
        raise NoSuchObjectError(f"{held.path} holds no {class_name} {key_text(key)}")
    row = held.whole(class_name, row)
    tree = {
        "class": class_name,
        "key": noted(key),
        "version": row.version,
        "state": state_tree(unpack_trusted(row.head), held.parts(class_name, row.row)),
    }
    if held.kind == "client":
        tree |= _room(held).pending_of(held, class_name, key)
    return tree


# -- printing ----------------------------------------------------------------------------------
def _print(what: str, trees: Iterator[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        for tree in trees:
            print_json(tree)
        return
    lines = {
        "summary": _summary_lines,
        "object": _object_lines,
        "history": _history_lines,
        "schema": _schema_lines,
    }.get(what, _plain_lines)
    out = console()
    nothing = True
    for tree in trees:
        nothing = False
        for line in lines(tree):
            out.print(line, soft_wrap=True)
    if nothing:
        out.print("nothing")


def _plain_lines(tree: dict[str, Any]) -> Iterator[str]:
    yield "  ".join(f"{name}: {shown(_plain(value))}" for name, value in tree.items())


def _plain(value: Any) -> Any:
    # Trees hold JSON; notations in it (an object with one "$..." key) become values again.
    from replication.model.notation import from_json

    if type(value) is list:
        return [_plain(item) for item in value]
    if type(value) is dict:
        if len(value) == 1 and next(iter(value)).startswith("$"):
            return from_json(value)
        return {key: _plain(item) for key, item in value.items()}
    return value


def _summary_lines(tree: dict[str, Any]) -> Iterator[str]:
    yield f"{tree['store']}: a {'client file' if tree['kind'] == 'client' else 'namespace'}"
    for item in tree["classes"]:
        indexed = f", queryable: {', '.join(item['queryable'])}" if item["queryable"] else ""
        yield f"  {cell(item['class'])}: {count(item['objects'], 'object')}{indexed}"
    for name, value in tree.items():
        if name not in ("store", "kind", "classes"):
            yield f"  {name.replace('_', ' ')}: {shown(value)}"


def _object_lines(tree: dict[str, Any]) -> Iterator[str]:
    from replication.cli.states import tree_lines

    yield f"{tree['class']} {shown(_plain(tree['key']))}, at server version {tree['version']}"
    yield from tree_lines(tree["state"], "  ")
    for item in tree.get("pending", ()):
        yield f"  pending, client version {item['client_version']}:"
        yield from tree_lines(item["delta"], "    ")


def _history_lines(tree: dict[str, Any]) -> Iterator[str]:
    from replication.cli.states import tree_lines

    if "version" in tree:
        author = f"file {tree['origin']}, its {tree['client_version']}"
        yield f"#{tree['version']}  {tree['when']}  by {author}, user {shown(tree['user'])}"
    else:
        yield f"#{tree['client_version']}  {tree['when']}  {tree['state']}"
    for name in tree.get("schema", ()):
        yield f"  schema: {shown(name)}"
    for item in tree["objects"]:
        yield f"  {item['class']} {shown(_plain(item['key']))}"
        yield from tree_lines(item["delta"], "    ")


def _schema_lines(tree: dict[str, Any]) -> Iterator[str]:
    key = f" (_id: {tree['key']})" if tree["key"] else " (embedded)"
    yield f"{shown(tree['class'])}{key}"
    for name, spelling in tree["properties"].items():
        yield f"  {shown(name)}: {spelling}{' queryable' if name in tree['queryable'] else ''}"
