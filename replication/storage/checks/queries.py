"""Checks of queries: every combination of columns and cuts gives the same answers."""

from __future__ import annotations

import itertools
from typing import Any, Final

from replication.model.values import SPREAD
from replication.query import parse
from replication.query.paths import Get
from replication.storage.checks import Checks, head, keys, put
from replication.storage.contract import Store, StoredObject, Writer

check: Final = Checks()


def _shelf(txn: Writer, columns: list[str]) -> None:
    txn.declare("Book", columns)
    put(txn, "Book", "a", price=10, title="Emma", tags=["red", "new"], stock=3)
    put(txn, "Book", "b", price=20, title="Ulysses", tags=[], stock=0)
    put(txn, "Book", "c", price=None, title="Émile", tags=["red"], stock=3)
    put(txn, "Book", "d", title=None)
    put(txn, "Book", "e", price=20, title="emma", tags=["new"], stock=3)
    put(txn, "Book", "f", price=10, title="Dead", tags=["red"], stock=3)
    txn.put_object("Book", "f", 2, b"\xc1 is no head", None)
    txn.put_object("Book", "g", 2, b"\xc1 is no head", None)
    put(txn, "Book", "h", 2, price=10.5, title="Zola", tags=["new"], stock=-1)


_QUESTIONS: Final = {
    "TRUEPREDICATE": "abcdeh",
    "FALSEPREDICATE": "",
    "price == 20": "be",
    "price == 10": "a",
    "price != 20": "acdh",
    "price == nil": "cd",
    "price > 10": "beh",
    "NOT price > 10": "acd",
    "price IN {10, 10.5}": "ah",
    "price == 20 AND stock == 3": "e",
    "price == 20 OR title == 'Emma'": "abe",
    "title BEGINSWITH 'E'": "a",
    "title ==[c] 'EMMA'": "ae",
    "ANY tags == 'red'": "ac",
    "NONE tags == 'red'": "bdeh",
    "tags.@count == 0": "bd",
    "stock BETWEEN {-1, 0}": "bh",
    "_id IN {'a', 'd', 'f'}": "ad",
    "_id != 'b' AND price == 20": "e",
    "_id == 5 OR _id > 'e'": "h",
}


@check
def queries_are_answered(store: Store) -> None:
    """scan() gives the living rows that match a query and not another, by row."""
    subsets = [[], ["price"], ["price", "tags"], ["price", "stock", "tags", "title"]]
    for columns in subsets:
        with store.write() as txn:
            _shelf(txn, columns)
            assert "".join(map(str, keys(txn.all_objects("Book")))) == "abcdefgh"
            for question, answer in _QUESTIONS.items():
                query = parse(question)
                assert "".join(map(str, keys(txn.scan("Book", query)))) == answer, question
                assert txn.count("Book", query) == len(answer), question
                others = "".join(map(str, keys(txn.scan("Book", but_not=query))))
                assert others == "".join(sorted(set("abcdeh") - set(answer))), question
            assert txn.count("Book") == 6


@check
def scans_are_cut(store: Store) -> None:
    """scan(query, but_not) takes both; after_row and limit cut the result."""
    with store.write() as txn:
        _shelf(txn, ["price"])
        rows = {stored.key: stored.row for stored in txn.all_objects("Book")}
        for question, other in itertools.product(_QUESTIONS, repeat=2):
            left = [key for key in _QUESTIONS[question] if key not in _QUESTIONS[other]]
            both: dict[str, Any] = {"query": parse(question), "but_not": parse(other)}
            assert keys(txn.scan("Book", **both)) == left
            assert txn.count("Book", **both) == len(left)
            for after, limit in itertools.product("abf", (None, 0, 1, 2, 9)):
                cut = [key for key in left if key > after][:limit]
                found = txn.scan("Book", **both, after_row=rows[after], limit=limit)
                assert keys(found) == cut, (question, other, after, limit)
        assert keys(txn.all_objects("Book", after_row=rows["e"])) == ["f", "g", "h"]
        assert list(txn.scan("Book", after_row=rows["h"])) == []


@check
def lists_in_parts_are_asked_for(store: Store) -> None:
    """A column that is `SPREAD` is judged by what ``source`` says, and is null without one."""
    with store.write() as txn:
        txn.declare("Book", ["tags", "price"])
        put(txn, "Book", "a", tags=["red"], price=1)
        for key, price in (("b", 1), ("c", 2)):
            columns: dict[str, Any] = {"tags": SPREAD, "price": price}
            txn.put_object("Book", key, 1, head(price=price), columns)
        put(txn, "Book", "d", tags=[], price=1)
        whole = {"a": ["red"], "b": ["red", "new"], "c": ["new"], "d": []}

        def source(stored: StoredObject) -> Get:
            fields = {"tags": whole[str(stored.key)], "price": 2 if stored.key == "c" else 1}
            return lambda name: fields.get(name)

        for question, answer, without in (
            ("ANY tags == 'red'", "ab", "a"),
            ("NOT ANY tags == 'red'", "cd", "bcd"),
            ("tags.@count > 1", "b", ""),
            ("NOT tags.@count > 1 AND price == 1", "ad", "abd"),
            ("ANY tags == 'new' OR price == 2", "bc", "c"),
        ):
            for types in (None, {"tags": "list<string>", "price": "int?"}):
                query = parse(question) if types is None else parse(question).check(types)
                assert keys(txn.scan("Book", query, source=source)) == [*answer], question
                assert txn.count("Book", query, source=source) == len(answer)
                rest = [key for key in "abcd" if key not in answer]
                assert keys(txn.scan("Book", but_not=query, source=source)) == rest
                assert keys(txn.scan("Book", query)) == [*without], question
                assert txn.count("Book", query) == len(without)


@check
def columns_follow(store: Store) -> None:
    """Columns follow the object: changed, dead, alive again; more than declared are ignored."""
    with store.write() as txn:
        txn.declare("Book", ["price", "title"])
        puts: list[dict[str, Any] | None] = [
            {"price": 1, "title": "a"},
            {"price": 2, "title": "a"},
            {"price": 2.0, "title": "a"},
            {"price": 2},
            None,
            {"price": 2, "title": "a", "more": 1},
            {"price": "2", "title": True},
            {"price": True, "title": 1},
        ]
        for fields in puts:
            data = b"" if fields is None else head(**fields)
            txn.put_object("Book", 1, 1, data, fields)
            for field, value in itertools.product(("price", "title"), (1, 2, "2", "a", True, None)):
                query = parse(f"{field} == $0", value)
                same = fields is not None and query.matches(fields.get)
                assert txn.count("Book", query) == same, (fields, field, value)
