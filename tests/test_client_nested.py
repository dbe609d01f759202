"""Lists and dictionaries in mixed properties, as an app holds them, beside Python's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from library import STORES, Author, Book, make_memory, opened

from replication.client.database import Database
from replication.client.nested import NestedDictionary, NestedList
from replication.client.restamp import adopt
from replication.errors import LimitExceededError, NoSuchObjectError, WrongTypeError
from replication.limits import CONTAINER_NESTING_MAX, LIST_PART_ELEMENTS_MAX
from replication.model.declare import EmbeddedObject, Mixed, Object, declaration_of
from replication.model.values import Link

VALUE: dict[str, Any] = {"k": [1, {"z": [None, "x"]}], "q": [], "e": {}}


@pytest.fixture(params=STORES)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with opened(STORES[request.param](tmp_path)) as db:
        yield db


def create(db: Database, key: int = 1, **values: Any) -> Any:
    with db.write():
        return db.create(Book, _id=key, **values)


def test_what_is_assigned_is_read_back(db: Database) -> None:
    book = create(db, anything=VALUE, extra={"k": VALUE, "n": 1})
    for held in (book.anything, book.extra["k"]):
        assert isinstance(held, NestedDictionary)
        assert held == VALUE
        assert held.to_dict() == VALUE
        assert isinstance(held["k"], NestedList)
        assert held["k"][1]["z"] == [None, "x"]
        assert held["k"].to_list() == VALUE["k"]
        assert repr(held) == repr(dict(sorted(VALUE.items())))
        assert ("k" in held, "y" in held, len(held["q"])) == (True, False, 0)
    assert book.to_dict()["extra"] == {"k": VALUE, "n": 1}
    with db.write():
        book.anything = (1, [2])
        book.extra = {"new": [{}]}
    assert book.anything == [1, [2]]
    assert book.extra == {"new": [{}]}
    with pytest.raises(TypeError):
        hash(book.anything)


def test_they_are_edited_as_lists_and_dictionaries_are(db: Database) -> None:
    book, plain = create(db, anything=[]), list[Any]()
    with db.write():
        for held in (book.anything, plain):
            held.append([1])
            held += [{"a": 1}, "x"]
            held.insert(0, {"deep": [[]]})
            held[0]["deep"][0].extend([1, 2, 3])
            held[0]["deep"] += [4]
            held[1] += [2]
            held[2]["a"] = {"b": 1}
            held[2]["a"].update(c=[5], d=6)
            held[2]["a"].setdefault("e", []).append(7)
            del held[3]
            held[1:1] = [["slice"], None]
            held[0]["deep"][0].pop(1)
            assert held[2] is None
    assert book.anything == plain
    assert book.anything.to_list() == plain


def test_handles_follow_moves_and_read_what_is_there(db: Database) -> None:
    book = create(db, anything=[["a"], ["b"]])
    first = book.anything[0]
    with db.write():
        book.anything.move(0, 1)
        first.append("more")
        assert book.anything == [["b"], ["a", "more"]]
    assert first == ["a", "more"]
    with db.write():
        book.anything.reverse()
    assert book.anything == [["a", "more"], ["b"]]


def test_handles_of_what_was_replaced_say_so(db: Database) -> None:
    book = create(db, anything={"k": [1, [2]]}, extra={"k": [3]})
    outer, lists, inner = book.anything, book.anything["k"], book.anything["k"][1]
    assert all(held.is_valid for held in (outer, lists, inner))
    with db.write():
        lists[1] = 5
        assert not inner.is_valid
        with pytest.raises(NoSuchObjectError, match="that list of Book 1 is not there any more"):
            inner.append(1)
    with pytest.raises(NoSuchObjectError):
        len(inner)
    with db.write():
        book.anything = 1
    for held in (outer, lists):
        assert not held.is_valid
        with pytest.raises(NoSuchObjectError, match="written over"):
            list(held)
    kept = book.extra["k"]
    with db.write():
        book.extra.clear()
    assert not kept.is_valid
    with db.write():
        book.anything = []
    held = book.anything
    with db.write():
        db.delete(book)
    assert not held.is_valid
    with pytest.raises(NoSuchObjectError, match="Book 1 is deleted"):
        len(held)


def test_clearing_keeps_the_handle(db: Database) -> None:
    book = create(db, anything={"k": [1], "d": {"a": 1}})
    inner, other = book.anything["k"], book.anything["d"]
    with db.write():
        inner.clear()
        other.clear()
        inner.append("new")
        assert (inner, other) == (["new"], {})
    assert book.anything == {"d": {}, "k": ["new"]}


def test_augmented_assignment_is_no_replacement(db: Database) -> None:
    book = create(db, anything=[[1]], extra={"k": [1]})
    held = [book.anything, book.anything[0], book.extra["k"]]
    with db.write():
        book.anything += [2]
        book.anything[0] += [3]
        book.extra["k"] += [4]
        book.anything = book.anything
    assert held == [[[1, 3], 2], [1, 3], [1, 4]]
    assert all(each.is_valid for each in held)


def test_what_stands_elsewhere_is_copied(db: Database) -> None:
    book = create(db, anything={"k": [1, [2]]}, tags=["t"])
    with db.write():
        book.extra["copy"] = book.anything
        book.anything["self"] = book.anything
        book.extra["tags"] = book.tags
        book.anything["k"].append(3)
    assert book.extra == {"copy": {"k": [1, [2]]}, "tags": ["t"]}
    assert book.anything == {"k": [1, [2], 3], "self": {"k": [1, [2]]}}


def test_links_inside_read_as_objects_while_they_are_here(db: Database) -> None:
    book = create(db)
    with db.write():
        author = db.create(Author, _id=7, name="A")
        book.anything = {"by": [author, {"too": author}]}
    assert book.anything["by"][0] == author
    assert book.anything["by"][1]["too"].name == "A"
    link = Link("Author", 7)
    assert book.to_dict()["anything"] == {"by": [link, {"too": link}]}
    with db.write():
        db.delete(author)
    assert book.anything["by"] == [None, {"too": None}]
    with db.write():
        db.create(Author, _id=7, name="again")
    assert book.anything["by"][0].name == "again"


def test_values_that_do_not_fit_write_nothing(db: Database) -> None:
    book = create(db, anything={"k": []})
    deepest: Any = 1
    for _ in range(CONTAINER_NESTING_MAX - 2):
        deepest = [deepest]
    itself: list[Any] = []
    itself.append(itself)
    with db.write():
        inner = book.anything["k"]
        for bad in (object(), {1}, [[object()]], {"a": {1: 2}}):
            for put in (lambda v: setattr(book, "anything", v), inner.append,
                        lambda v: book.extra.update(a=1, b=v)):  # fmt: skip
                with pytest.raises(WrongTypeError, match=r"mixed>?, got"):
                    put(bad)  # type: ignore[no-untyped-call]
        for bad in ([deepest], itself):
            with pytest.raises(LimitExceededError, match="inside each other"):
                inner.append(bad)
        inner.append(deepest)
        with pytest.raises(WrongTypeError, match=r"set<string>|set<"):
            book.genres.add([1])
    assert book.anything == {"k": [deepest]}
    assert book.extra == {}


def test_defaults_are_lists_and_dictionaries_too(db: Database) -> None:
    book = create(db)
    with db.write():
        book.set_default("anything", {"a": []})
        book.anything["a"].append(1)
    held = book.anything
    assert held == {"a": [1]}
    with db.write():
        book.set_default("anything", {"b": 2})
    assert held == {"a": [1], "b": 2}
    with db.write():
        book.anything = 5
    assert not held.is_valid
    with pytest.raises(WrongTypeError, match="only a plain one takes a default"), db.write():
        book.set_default("tags", [])


@pytest.mark.parametrize(
    "values",
    [
        ([1], [2]),
        ([1], [2], [3]),
        ([1], [1]),
        ([[1], 5], [[2]]),
        ([{"a": 1}], 5, [2, {"b": [1]}]),
        ([1], {"a": 1}, [2]),
        ({"a": [1]}, {"b": [2]}),
    ],
)
def test_a_default_that_is_set_again_in_one_transaction_starts_anew(
    db: Database, values: tuple[Any, ...]
) -> None:
    """EDIT-1: what is open of the first one is not shown beside the second, nor written with it."""
    book = create(db)
    with db.write():
        for value in values:
            book.set_default("anything", value)
            assert book.anything == value
    assert book.anything == values[-1]
    with db.write():
        book.title = "what was open is read again"
    assert book.anything == values[-1]


def test_a_default_adds_to_what_others_set_however_often(db: Database) -> None:
    """MERGE-REG-2: what is open of theirs stays, with what this transaction wrote there."""
    book = create(db)
    with db.write():
        book.set_default("anything", [1])
    with db.write():
        book.anything.append(2)
        book.set_default("anything", [3])
        book.set_default("anything", [4])
        assert book.anything == [1, 2, 3, 4]
    assert book.anything == [1, 2, 3, 4]


def test_handles_survive_the_first_ident(db: Database) -> None:
    book = create(db, anything={"k": [[1]]})
    held, element = book.anything["k"], book.anything["k"][0]
    with db.write():
        book.anything["d"] = {}
        book.set_default("subtitle", "x")
    with db.integrating() as work:
        adopt(work, 7, 1)
    assert (held, element) == ([[1]], [1])
    with db.write():
        element.append(2)
        assert held == [[1, 2]]
    assert book.anything == {"d": {}, "k": [[1, 2]]}


def test_long_lists_are_spread_and_read(db: Database) -> None:
    many = [[number] for number in range(2 * LIST_PART_ELEMENTS_MAX)]
    book = create(db, anything={"l": many[:5]})
    held = book.anything["l"]
    with db.write():
        held += many[5:]
    assert held == many
    with db.write():
        held[300].append("x")
        del held[0]
    many[300].append("x")
    assert db.get(Book, 1).anything["l"] == many[1:]  # type: ignore[union-attr]
    kept = held[7]
    with db.write():
        held.clear()
    assert held == []
    assert not kept.is_valid


def test_notifications_name_what_looks_different(db: Database) -> None:
    long = list(range(LIST_PART_ELEMENTS_MAX + 1))
    book = create(db, anything={"k": [1], "long": []}, extra={"k": [[]]})
    with db.write():
        book.anything["long"] += long
        book.extra["long"] = []
        book.extra["long"] += long
    seen: list[Any] = []
    with book.observe(lambda change: seen.append(change.fields)):
        for act, expected in [
            (lambda: book.anything["k"].append(2), ["anything"]),
            (lambda: book.anything["k"].__setitem__(1, 2), None),
            (lambda: book.extra["k"][0].append({}), ["extra"]),
            (lambda: book.anything["long"].append(5), ["anything"]),
            (lambda: book.anything["long"].__setitem__(9, "x"), ["anything"]),
            (lambda: book.extra["long"].__setitem__(9, "x"), ["extra"]),
            (lambda: book.anything.update(k=[1, 2]), None),
            (lambda: book.anything.update(k=[1, 2.0]), ["anything"]),
            (lambda: book.extra["k"].clear(), ["extra"]),
            (lambda: setattr(book, "anything", None), ["anything"]),
        ]:
            del seen[:]
            with db.write():
                act()  # type: ignore[no-untyped-call]
            assert seen == ([] if expected is None else [expected]), expected


def test_queries_find_no_value_in_them(db: Database) -> None:
    """[QUERY-65] Neither null nor equal to anything, committed or not."""
    create(db, 1, anything=[1])
    create(db, 2, anything={})
    create(db, 3, anything=1)
    create(db, 4)
    for text, keys in [
        ("anything == 1", [3]), ("anything == null", [4]), ("anything != 1", [1, 2, 4]),
        ("anything > 0", [3]), ("anything != null", [1, 2, 3]), ("anything == anything", [3, 4]),
    ]:  # fmt: skip
        results = db.objects(Book, text)
        assert sorted(book._id for book in results) == keys, text
        with db.write():
            db.get(Book, 3).year = 1  # type: ignore[union-attr]
            assert sorted(book._id for book in db.objects(Book, text)) == keys, text


class Inner(EmbeddedObject):
    value: Mixed


class Outer(Object):
    _id: int
    one: Inner | None
    many: list[Inner]
    named: dict[str, Inner | None]


def test_embedded_objects_have_their_own() -> None:
    with opened(make_memory(Path()), declaration_of(Outer)) as db:
        with db.write():
            outer = db.create(
                Outer, _id=1, one={"value": [1]}, many=[{"value": {"k": [2]}}],
                named={"n": {"value": [[3]]}},
            )  # fmt: skip
        held = [outer.one.value, outer.many[0].value["k"], outer.named["n"].value[0]]
        with db.write():
            for each in held:
                each.append("x")
        assert held == [[1, "x"], [2, "x"], [3, "x"]]
        assert outer.to_dict()["many"] == [{"value": {"k": [2, "x"]}}]
        with db.write():
            outer.one = {"value": [4]}
            del outer.many[0]
        assert [each.is_valid for each in held] == [False, False, True]


def test_random_edits_beside_pythons_own(db: Database) -> None:
    """Prints the seed of what fails."""
    for seed in range(15):
        rng = Random(seed)
        book, plain = create(db, 100 + seed, anything={}), {"anything": dict[str, Any]()}
        for _ in range(12):
            with db.write():
                for _ in range(rng.randint(1, 4)):
                    _edit(rng, book, plain)
                    assert book.anything == plain["anything"], f"Random({seed})"
            assert book.anything == plain["anything"], f"Random({seed})"


def _edit(rng: Random, book: Any, plain: dict[str, Any]) -> None:
    if rng.random() < 0.1:
        value = _value(rng, 3)
        book.anything = value
        plain["anything"] = _copied(value)
        if not isinstance(value, list | dict):
            book.anything = {}
            plain["anything"] = {}
        return
    held, model = book.anything, plain["anything"]
    while rng.random() < 0.6:
        steps = list(model) if isinstance(model, dict) else list(range(len(model)))
        inside = [step for step in steps if isinstance(model[step], list | dict)]
        if not inside:
            break
        step = rng.choice(inside)
        held, model = held[step], model[step]
    value = _value(rng, 2)
    choice = rng.random()
    if choice < 0.1:
        held.clear()
        model.clear()
    elif isinstance(model, dict):
        key = rng.choice("abc")
        if choice < 0.3:
            held.pop(key, None)
            model.pop(key, None)
        else:
            held[key], model[key] = value, _copied(value)
    elif not model or choice < 0.5:
        index = rng.randint(0, len(model))
        held.insert(index, value)
        model.insert(index, _copied(value))
    elif choice < 0.7:
        index = rng.randrange(len(model))
        held[index], model[index] = value, _copied(value)
    elif choice < 0.85:
        source, target = rng.randrange(len(model)), rng.randrange(len(model))
        held.move(source, target)
        model.insert(target, model.pop(source))
    else:
        index = rng.randrange(len(model))
        del held[index], model[index]


def _value(rng: Random, depth: int) -> Any:
    if depth == 0 or rng.random() < 0.4:
        return rng.choice([None, 1, "x", 2.5])
    inner = [_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    return inner if rng.random() < 0.5 else dict(zip("abc", inner, strict=False))


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return [_copied(each) for each in value]
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return value
