"""Lists, sets and dictionaries of objects, beside Python's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)
from library import STORES, Address, Author, Book, make_memory, opened

from replication.client.database import Database
from replication.client.restamp import adopt
from replication.crdt import object as obj
from replication.errors import NoSuchObjectError, WrongTypeError


@pytest.fixture(params=STORES)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with opened(STORES[request.param](tmp_path)) as db:
        yield db


def create(db: Database, key: int = 1, **values: Any) -> Any:
    with db.write():
        return db.create(Book, _id=key, **values)


def incarnation(db: Database, kind: int, name: str) -> list[int]:
    fields = db.entities.entity("Book", 1).fields()
    assert fields is not None
    found: list[int] = fields[kind][name][0]
    return found


# -- lists -----------------------------------------------------------------------------------


def test_lists_read_as_lists_do(db: Database) -> None:
    book = create(db, tags=list("abcde"))
    tags, plain = book.tags, list("abcde")
    for index in range(-5, 5):
        assert tags[index] == plain[index]
    for index in (5, -6):
        with pytest.raises(IndexError, match=f"index {index} in a list of 5"):
            tags[index]
    with pytest.raises(WrongTypeError, match="'a' is no index"):
        tags["a"]
    for part in (slice(None), slice(1, 3), slice(None, None, -2), slice(3, 99), slice(4, 1)):
        assert tags[part] == plain[part]
    assert tags == plain
    assert tags != plain[:4]
    assert tags == book.tags
    assert repr(tags) == repr(plain)
    assert ("c" in tags, "x" in tags, 5 in tags) == (True, False, False)
    assert (tags.index("c"), tags.count("a"), list(reversed(tags))) == (2, 1, plain[::-1])
    with pytest.raises(TypeError):
        hash(tags)


def test_lists_are_edited_as_lists_are(db: Database) -> None:
    book, plain = create(db, numbers=[]), list[int]()
    with db.write():
        for tags in (book.numbers, plain):
            tags.append(1)
            tags.extend([2, 3, 4, 5])
            tags.insert(0, 6)
            tags.insert(-1, 7)
            tags.insert(99, 8)
            tags.insert(-99, 9)
            tags[0] = 10
            tags[-1] += 1
            del tags[1]
            del tags[2:4]
            assert tags.pop() == 9
            assert tags.pop(0) == 10
            tags.remove(4)
            tags += [1, 2, 3]
            tags[1:2] = [7, 8, 9]
            tags.reverse()
            del tags[::2]
        assert book.numbers == plain
    assert book.numbers == plain


def test_moving_keeps_the_element(db: Database) -> None:
    book = create(db, visited=[{"number": number} for number in range(4)])
    first = book.visited[0]
    with db.write():
        book.visited.move(0, 2)
        assert [each.number for each in book.visited] == [1, 2, 0, 3]
        book.visited.move(-1, 0)
        first.number = 9
    assert [each.number for each in book.visited] == [3, 1, 2, 9]
    with pytest.raises(IndexError), db.write():
        book.visited.move(0, 4)


def test_assigning_an_element_that_is_embedded_replaces_it(db: Database) -> None:
    book = create(db, visited=[{"number": number} for number in range(3)])
    old = book.visited[1]
    with db.write():
        book.visited[1] = Address(number=9)
    assert [each.number for each in book.visited] == [0, 9, 2]
    with pytest.raises(NoSuchObjectError, match="embedded in Book 1 at visited"):
        old.number  # noqa: B018


def test_assigning_a_collection_starts_a_new_incarnation(db: Database) -> None:
    book = create(db, tags=["a"], genres={"a"}, extra={"a": 1}, places={"a": {}})
    kinds = [
        (obj.LIST, "tags", ["b"]),
        (obj.SET, "genres", ["b"]),
        (obj.DICTIONARY, "extra", {"b": 2}),
        (obj.DICTIONARY, "places", {"b": {"number": 1}}),
    ]
    for kind, name, value in kinds:
        assert incarnation(db, kind, name) == []
        with db.write():
            book[name] = value
        assert len(incarnation(db, kind, name)) == 4
        assert list(book[name]) == list(value)
    assert book.places["b"].number == 1


def test_emptying_what_is_empty_does_nothing(db: Database) -> None:
    book = create(db, address={})
    version = db.local.client_version
    with db.write():
        for name, empty in (("tags", []), ("genres", set()), ("extra", {}), ("places", {})):
            book[name].clear()
            book[name] = empty
        book.address.lines.clear()
    assert db.local.client_version == version
    with db.write():
        book.tags.append("a")
        book.genres.add("a")
        book.extra["a"] = 1
        book.places["a"] = {}
    with db.write():
        for name in ("tags", "genres", "extra", "places"):
            book[name].clear()
    assert [len(book[name]) for name in ("tags", "genres", "extra", "places")] == [0] * 4
    assert len(incarnation(db, obj.LIST, "tags")) == 4


def test_in_place_operators_edit_and_do_not_assign(db: Database) -> None:
    book = create(db, tags=["a"], genres={"a"})
    with db.write():
        book.tags += ["b"]
        book.genres |= {"b"}
        book.genres -= {"a"}
    assert (list(book.tags), set(book.genres)) == (["a", "b"], {"b"})
    assert incarnation(db, obj.LIST, "tags") == incarnation(db, obj.SET, "genres") == []
    with db.write():
        book.tags = book.tags[:1]
    assert list(book.tags) == ["a"]
    assert len(incarnation(db, obj.LIST, "tags")) == 4


def test_a_value_that_does_not_fit_leaves_the_list_alone(db: Database) -> None:
    book = create(db, tags=["a"], visited=[{}])
    attempts: list[Any] = [
        lambda: book.tags.extend(["b", 1]),
        lambda: book.tags.append(None),
        lambda: book.tags.__setitem__(slice(0, 1), [2]),
        lambda: book.tags.__setitem__(slice(0, 1, 2), ["b"]),
        lambda: book.visited.append({"number": "x"}),
        lambda: book.genres.update(["a", 1]),
        lambda: book.extra.update(a=1, b=object()),
        lambda: book.places.update(a={}, b=1),
    ]
    with db.write():
        for attempt in attempts:
            with pytest.raises(WrongTypeError):
                attempt()
    assert db.local.client_version == 2
    assert (list(book.tags), len(book.visited)) == (["a"], 1)


def test_long_lists_lie_in_parts(db: Database) -> None:
    book = create(db, numbers=range(700), visited=[{"number": n, "lines": "ab"} for n in range(0)])
    assert list(book.numbers) == list(range(700))
    with db.write():
        book.numbers.insert(350, -1)
        del book.numbers[0]
        book.visited.extend({"number": number, "lines": ["x"] * 300} for number in range(300))
        assert book.numbers[349] == -1
    assert book.numbers[349] == -1
    assert len(book.numbers) == 700
    deep = book.visited[299]
    assert (deep.number, len(deep.lines)) == (299, 300)
    with db.write():
        deep.lines[7] = "y"
        deep.number = 5
    assert (deep.number, deep.lines[7], len(deep.lines)) == (5, "y", 300)
    title = create(db, 2, numbers=range(700))
    assert (title.title, title.numbers[-1]) == ("", 699)


def test_a_loop_over_indexes_is_not_quadratic(db: Database) -> None:
    book = create(db, numbers=range(10_000))
    reads = 0
    reading = db.reading

    def counted() -> Any:
        nonlocal reads
        reads += 1
        return reading()

    db.reading = counted  # type: ignore[method-assign]
    numbers = book.numbers
    assert sum(numbers[index] for index in range(len(numbers))) == sum(range(10_000))
    assert reads <= 2


def test_hidden_links_and_indexes(db: Database) -> None:
    """[STATE-LINK-1]"""
    book: Any
    with db.write():
        people = [db.create(Author, _id=key) for key in range(6)]
        book = db.create(Book, _id=1, authors=people)
    with db.write():
        for key in (0, 2, 5):
            db.delete(people[key])
        assert [each._id for each in book.authors] == [1, 3, 4]
        book.authors.insert(1, people[4])
        assert [each._id for each in book.authors] == [1, 4, 3, 4]
        book.authors[1] = people[1]
        assert [each._id for each in book.authors] == [1, 1, 3, 4]
        book.authors.append(people[3])
    assert [each._id for each in book.authors] == [1, 1, 3, 4, 3]
    assert book.authors[-1] == people[3]
    assert [each._id for each in book.authors[1:3]] == [1, 3]
    with db.write():
        book.authors.move(0, 2)
        book.authors[0] = people[4]
        del book.authors[-1]
    assert [each._id for each in book.authors] == [4, 3, 1, 4]
    with db.write():
        for key in (0, 2, 5):
            db.create(Author, _id=key)
    shown = [each._id for each in book.authors]
    assert sorted(shown) == [0, 1, 2, 3, 4, 4, 5]
    with db.write():
        for key in range(6):
            db.delete(people[key])
    assert (list(book.authors), len(book.authors), book.authors[:]) == ([], 0, [])
    with db.write():
        book.authors.clear()
        db.create(Author, _id=0)
    assert list(book.authors) == []


def test_hidden_links_inside_one_transaction(db: Database) -> None:
    book: Any
    with db.write():
        people = [db.create(Author, _id=key) for key in range(3)]
        book = db.create(Book, _id=1, authors=people)
    with db.write():
        assert len(book.authors) == 3
        db.delete(people[0])
        assert len(book.authors) == 2
        db.create(Author, _id=0)
        assert len(book.authors) == 3

    def failing() -> None:
        with db.write():
            db.delete(people[1])
            assert len(book.authors) == 2
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert len(book.authors) == 3


# -- sets and dictionaries ---------------------------------------------------------------------


def test_sets_are_sets(db: Database) -> None:
    book = create(db, genres={"b", "a"})
    genres = book.genres
    assert list(genres) == ["a", "b"]
    assert genres == {"a", "b"}
    assert genres != {"a"}
    assert ("a" in genres, "x" in genres, 5 in genres) == (True, False, False)
    assert genres | {"c"} == {"a", "b", "c"}
    assert genres & {"a"} == {"a"}
    assert type(genres - {"a"}) is set
    assert genres <= {"a", "b", "c"}
    assert not genres.isdisjoint({"a"})
    with db.write():
        genres.add("c")
        genres.discard("x")
        genres.remove("a")
        with pytest.raises(KeyError):
            genres.remove("a")
        genres.update(["d", "e"])
        assert genres.pop() == "b"
        assert genres == {"c", "d", "e"}
    assert repr(genres) == "{'c', 'd', 'e'}"
    with db.write():
        genres.clear()
    assert repr(genres) == "set()"


def test_dictionaries_are_dictionaries(db: Database) -> None:
    book = create(db, extra={"b": 1, "a": None})
    extra = book.extra
    assert list(extra) == ["a", "b"]
    assert extra == {"a": None, "b": 1}
    assert repr(extra) == "{'a': None, 'b': 1}"
    assert (extra.get("x"), extra.get("x", 5), "a" in extra, 5 in extra) == (None, 5, True, False)
    with pytest.raises(KeyError):
        extra["x"]
    with pytest.raises(KeyError):
        extra[5]
    with db.write():
        extra["c"] = "x"
        extra.update({"d": 1.5}, e=b"")
        del extra["a"]
        with pytest.raises(KeyError):
            del extra["a"]
        assert extra.pop("b") == 1
        assert extra.setdefault("f", True) is True
        assert extra == {"c": "x", "d": 1.5, "e": b"", "f": True}
    assert list(extra.items()) == [("c", "x"), ("d", 1.5), ("e", b""), ("f", True)]
    with pytest.raises(TypeError):
        hash(extra)


def test_dictionaries_of_embedded_objects(db: Database) -> None:
    book = create(db, places={"a": {"number": 1}})
    place = book.places["a"]
    assert place is not None
    with db.write():
        book.places["b"] = Address(number=2)
        place.number = 5
        book.places["c"] = None
    assert {key: each.number for key, each in book.places.items()} == {"a": 5, "b": 2}
    with db.write():
        book.places["a"] = None
        del book.places["b"]
        with pytest.raises(KeyError):
            del book.places["b"]
    assert len(book.places) == 0
    assert not place.is_valid
    with db.write():
        book.places["a"] = {}
    assert place.number == 0


def test_lengths_of_what_is_embedded_rise_by_the_least(db: Database) -> None:
    book = create(db, address={"country": {}}, places={"a": {"country": {}}})
    with db.write():
        for place in (book.address, book.places["a"]):
            place.country = None
        book.address = {}
        book.places = {"a": {}}
        for place in (book.address, book.places["a"]):
            place.country = {}
            place.country = None
            place.country = {}
    for path in (("address",), ("places", "a")):
        fields = db.entities.entity("Book", 1).fields(path)
        assert fields is not None
        assert fields[obj.EMBEDDED]["country"][:2] == [1, 1]


def test_many_members_at_once(db: Database) -> None:
    book = create(db, genres=map(str, range(3000)), extra={str(n): n for n in range(3000)})
    assert (len(book.genres), book.extra["2999"]) == (3000, 2999)


# -- beside Python's own -------------------------------------------------------------------------

NUMBERS = st.integers(-3, 3)
KEYS = st.sampled_from("abc")
INDEXES = st.integers(-4, 6)
LIST_OPERATIONS = ["insert", "extend", "set", "delete", "slice", "move", "assign", "clear"]
EMBEDDED_OPERATIONS = [
    "address", "none", "edit", "place", "unplace", "replace", "visit", "leave", "inside",
]  # fmt: skip


class _Model:
    """What a book should show."""

    def __init__(self) -> None:
        self.title = ""
        self.copies = 0
        self.numbers: list[int] = []
        self.genres: set[str] = set()
        self.extra: dict[str, Any] = {}
        self.address: dict[str, Any] | None = None
        self.visited: list[dict[str, Any]] = []
        self.places: dict[str, dict[str, Any]] = {}

    def copy(self) -> _Model:
        new = _Model()
        for name, value in vars(self).items():
            setattr(new, name, _copied(value))
        return new


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_copied(each) for each in value]
    return set(value) if isinstance(value, set) else value


def shown(book: Any) -> dict[str, Any]:
    """What a book does show, in the model's terms."""
    out = {name: each for name, each in book.to_dict().items() if name in vars(_Model())}
    out["genres"] = set(out["genres"])
    for inner in (out["address"], *out["visited"], *out["places"].values()):
        if inner is not None:
            for name in list(inner):
                if name not in ("number", "lines"):
                    del inner[name]
    return out


class Collections(RuleBasedStateMachine):
    """Any operations in any transactions, some of which fail, on books and on plain Python."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = opened(make_memory(Path()))
        self.db = self.entered.__enter__()
        with self.db.write():
            self.books = {key: self.db.create(Book, _id=key) for key in (1, 2)}
        self.models = {1: _Model(), 2: _Model()}
        self.saved: dict[int, _Model] | None = None
        self.writing: Any = None
        self.idents = iter(range(5, 1000))

    def teardown(self) -> None:
        if self.writing is not None:
            self.writing.__exit__(None, None, None)
        self.entered.__exit__(None, None, None)

    def both(self, key: int) -> tuple[Any, _Model]:
        return self.books[key], self.models[key]

    # -- transactions
    @precondition(lambda self: self.writing is None)
    @rule()
    def begin(self) -> None:
        self.saved = {key: model.copy() for key, model in self.models.items()}
        self.writing = self.db.write()
        self.writing.__enter__()

    @precondition(lambda self: self.writing is not None)
    @rule(fails=st.booleans())
    def end(self, fails: bool) -> None:
        writing, self.writing = self.writing, None
        if fails:
            assert self.saved is not None
            self.models = self.saved
            assert not writing.__exit__(RuntimeError, RuntimeError("rolled back"), None)
        else:
            writing.__exit__(None, None, None)

    @precondition(lambda self: self.writing is None)
    @rule()
    def get_an_ident(self) -> None:
        with self.db.integrating() as work:
            adopt(work, next(self.idents), 1)

    # -- operations
    @precondition(lambda self: self.writing is not None)
    @rule(key=st.sampled_from([1, 2]), number=NUMBERS, title=st.text(max_size=2))
    def plain(self, key: int, number: int, title: str) -> None:
        book, model = self.both(key)
        book.title = model.title = title
        if number == 3:
            book.copies = model.copies = 7
        else:
            book.copies += number
            model.copies += number

    @precondition(lambda self: self.writing is not None)
    @rule(
        key=st.sampled_from([1, 2]),
        index=INDEXES,
        other=INDEXES,
        values=st.lists(NUMBERS, max_size=3),
        what=st.sampled_from(
            ["insert", "extend", "set", "delete", "slice", "move", "assign", "clear"]
        ),
    )
    def lists(self, key: int, index: int, other: int, values: list[int], what: str) -> None:
        book, model = self.both(key)
        apply_to_list(book.numbers, model.numbers, what, index, other, values)
        if what == "assign":
            book.numbers = values
            model.numbers = list(values)

    @precondition(lambda self: self.writing is not None)
    @rule(key=st.sampled_from([1, 2]), member=KEYS, what=st.sampled_from(["add", "discard", "set"]))
    def sets(self, key: int, member: str, what: str) -> None:
        book, model = self.both(key)
        if what == "set":
            book.genres = model.genres = {member}
        else:
            getattr(book.genres, what)(member)
            getattr(model.genres, what)(member)

    @precondition(lambda self: self.writing is not None)
    @rule(
        key=st.sampled_from([1, 2]),
        name=KEYS,
        value=st.one_of(NUMBERS, st.none(), st.text(max_size=1)),
        what=st.sampled_from(["set", "pop", "assign", "clear"]),
    )
    def dictionaries(self, key: int, name: str, value: Any, what: str) -> None:
        book, model = self.both(key)
        for target, extra in ((book, book.extra), (model, model.extra)):
            if what == "set":
                extra[name] = value
            elif what == "pop":
                extra.pop(name, None)
            elif what == "assign":
                target.extra = {name: value}
            else:
                extra.clear()

    @precondition(lambda self: self.writing is not None)
    @rule(
        key=st.sampled_from([1, 2]),
        name=KEYS,
        number=NUMBERS,
        what=st.sampled_from(
            ["address", "none", "edit", "place", "unplace", "replace", "visit", "leave", "inside"]
        ),
    )
    def embedded(self, key: int, name: str, number: int, what: str) -> None:
        book, model = self.both(key)
        fresh = {"number": number, "lines": [name]}
        if what == "address":
            book.address, model.address = Address(**fresh), _copied(fresh)
        elif what == "none":
            book.address = model.address = None
        elif what == "edit" and model.address is not None:
            book.address.number = model.address["number"] = number
            book.address.lines.append(name)
            model.address["lines"].append(name)
        elif what == "place":
            book.places[name], model.places[name] = fresh, _copied(fresh)
        elif what == "unplace" and name in model.places:
            del book.places[name], model.places[name]
        elif what == "replace":
            book.places, model.places = {name: fresh}, {name: _copied(fresh)}
        elif what == "visit":
            book.visited.insert(number, fresh)
            model.visited.insert(number, _copied(fresh))
        elif what == "leave" and model.visited:
            assert book.visited.pop(0) is not None
            model.visited.pop(0)
        elif what == "inside":
            for shown_place, place in zip(book.visited, model.visited, strict=True):
                shown_place.lines.insert(0, name)
                shown_place.number = number
                place["lines"].insert(0, name)
                place["number"] = number

    @precondition(lambda self: self.writing is not None)
    @rule(key=st.sampled_from([1, 2]))
    def born_again(self, key: int) -> None:
        self.db.delete(self.books[key])
        self.db.create(Book, _id=key)
        self.models[key] = _Model()

    @invariant()
    def they_show_the_same(self) -> None:
        for key, model in self.models.items():
            assert shown(self.books[key]) == vars(model)


def apply_to_list(
    shown: Any, plain: list[Any], what: str, index: int, other: int, values: list[Any]
) -> None:
    """One operation on a list of an object, and the same on a plain one."""
    inside = -len(plain) <= index < len(plain)
    if what == "insert":
        shown.insert(index, 9)
        plain.insert(index, 9)
    elif what == "extend":
        shown.extend(values)
        plain.extend(values)
    elif what == "set" and inside:
        shown[index] = plain[index] = 8
    elif what == "delete" and inside:
        del shown[index], plain[index]
    elif what == "slice":
        if index <= other:
            shown[index:other] = values
            plain[index:other] = values
        else:
            del shown[index:other:-1], plain[index:other:-1]
    elif what == "move" and inside and -len(plain) <= other < len(plain):
        shown.move(index, other)
        target = other + len(plain) if other < 0 else other
        plain.insert(target, plain.pop(index))
    elif what == "clear":
        shown.clear()
        plain.clear()


Collections.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestCollections = Collections.TestCase
