"""Exactly once: what is sent again, what is sent differently, what breaks the rules of authorship.

And what integration leaves behind: the log with its images, the columns, the books of the files.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replicas import Edit, wander
from server_files import (
    SCHEMA,
    WALL_MS,
    ClientFile,
    latest,
    new_namespace,
    of,
    reasons,
    server_state,
    server_view,
)

from replication.clock import time_from_ms
from replication.crdt import object as obj
from replication.crdt.edit import Author, Scope, seal
from replication.crdt.list import Elements, contract
from replication.crdt.object import absent, merge
from replication.crdt.whole import joined
from replication.errors import ErrorCode, SchemaError, SessionError
from replication.history.changeset import (
    DIGEST_START,
    Changeset,
    ObjectDelta,
    decode,
    encode,
    next_digest,
)
from replication.limits import CLOCK_SKEW_MS_MAX, REFUSALS_MAX
from replication.model.encoding import pack, unpack_trusted
from replication.model.schema import ClassSchema, Schema
from replication.protocol.messages import Ack, Ident, Nack
from replication.query import parse
from replication.server import tables
from replication.server.namespace import Namespace
from replication.storage.contract import Store, Writer, int_key


def setting(name: str, value: Any) -> Any:
    def act(edit: Edit) -> None:
        if not edit.view[0] % 2:
            edit.create()
        edit.scope().set(name, value)

    return act


def contents(store: Store) -> dict[str, list[tuple[bytes, bytes]]]:
    """All records of a server's store."""
    names = (tables.META, tables.LOG, tables.FILES, tables.RUNS, tables.REFUSALS, tables.LENGTHS)
    with store.read() as reader:
        return {name: list(reader.records(name)) for name in names}


def identify(file: ClientFile, **changes: Any) -> Ident:
    """What a client that has seen all its ACKs says."""
    fields: dict[str, Any] = {
        "session": 1,
        "ident": file.ident,
        "cursor": 0,
        "cursor_salt": 0,
        "client_version": len(file.changesets),
        "digest": file.digest,
        "last_version": len(file.changesets),
        "query_version": 0,
        "queries": {},
    }
    return Ident(**{**fields, **changes})


def resume(file: ClientFile, **changes: Any) -> ErrorCode | None:
    """What the server makes of a position: None, or why not."""
    namespace = file.namespace
    try:
        with namespace.store.write() as writer:
            namespace.resume(writer, identify(file, **changes))
    except SessionError as error:
        return error.code
    return None


# -- exactly once ----------------------------------------------------------------------------
def test_what_is_sent_again_is_acknowledged_and_not_integrated_again(store: Store) -> None:
    namespace = new_namespace(store)
    file = ClientFile(namespace)
    changesets = []
    for number in range(5):
        edit = lambda edit: (edit.view[0] or edit.create(), edit.scope().add("copies", 1))  # noqa: E731
        changesets.append(file.changeset(file.edit(edit)))
        file.upload(changesets[-1])
        assert number + 1 == latest(store, namespace)
    before = contents(store)
    for first, last in [(1, 5), (2, 3), (5, 5)]:
        answers, error = file.upload(*changesets[first - 1 : last], first=first)
        assert error is None
        assert answers == [Ack(1, last, last, [], [])]
        assert contents(store) == before
    assert server_view(store) == {"copies": 5}
    more = file.changeset(file.edit(setting("title", "x")))
    answers, _ = file.upload(changesets[4], more, first=5)
    assert [answer.client_version for answer in answers] == [6]
    assert server_view(store) == {"copies": 5, "title": "x"}


def test_what_is_sent_again_with_other_content_was_written_by_a_copy(store: Store) -> None:
    namespace = new_namespace(store)
    file = ClientFile(namespace)
    sent = []
    for value in range(3):
        sent.append(file.changeset(file.edit(setting("year", value))))
        file.upload(sent[-1])
    other = file.changeset(file.edit(setting("year", 9)))
    before = contents(store)
    for changesets, first in [((other,), 3), ((sent[2], sent[1]), 2)]:
        with pytest.raises(SessionError) as caught:
            file.upload(*changesets, other, first=first)
        assert caught.value.code is ErrorCode.FILE_COPIED
        assert contents(store) == before
    # What comes again as it was is acknowledged, however it goes on: it is not another's.
    for known in (1, 2):
        answers, error = file.upload(*sent[:known], other, other, first=1)
        assert error is not None
        assert error.code is ErrorCode.FILE_COPIED
        assert [answer.client_version for answer in answers] == [known]
        assert contents(store) == before
    for first in (0, 5):
        with pytest.raises(SessionError) as caught:
            file.upload(other, first=first)
        assert caught.value.code is ErrorCode.BAD_MESSAGE


def test_refusals_and_rewrites_come_again_until_they_are_confirmed(store: Store) -> None:
    namespace = new_namespace(store, schema=SCHEMA)
    file = ClientFile(namespace)
    changesets = []
    for value in ("fine", 5, "fine", 6):
        changesets.append(file.changeset(file.edit(setting("title", value))))
    (first,), _ = file.upload(*changesets)
    assert [item[0] for item in first.refusals] == [2, 4]  # type: ignore[union-attr]
    assert [item[0] for item in first.rewrites] == [2, 4]  # type: ignore[union-attr]
    (again,), _ = file.upload(*changesets, first=1)
    assert again == first
    chain = next_digest(next_digest(DIGEST_START, changesets[0]), changesets[1])
    assert resume(file, client_version=2, digest=chain) is None
    (again,), _ = file.upload(*changesets[2:], first=3)
    assert [item[0] for item in again.refusals] == [4]  # type: ignore[union-attr]
    with store.read() as reader:
        assert [item.client_version for item in tables.remembered(reader, file.ident, 0, 9)] == [4]
        held = tables.load_file(reader, file.ident)
    assert held is not None
    assert held.remembered == 2, "one refusal and its rewrite"


def test_a_file_confirms_before_it_gets_more_refusals_than_are_remembered(store: Store) -> None:
    namespace = new_namespace(store)
    file = ClientFile(namespace)
    file.upload(file.changeset(file.edit(setting("a", 1))))
    with store.write() as writer:
        held = tables.load_file(writer, file.ident)
        assert held is not None
        held.remembered = REFUSALS_MAX + 1
        tables.store_file(writer, file.ident, held)
    with pytest.raises(SessionError) as caught:
        file.upload(file.changeset(file.edit(setting("a", 2))))
    assert caught.value.code is ErrorCode.STORE_UNAVAILABLE


def test_acks_with_much_to_say_are_several_messages() -> None:
    namespace = new_namespace(schema=SCHEMA)
    file = ClientFile(namespace)
    changesets = [
        file.changeset(file.edit(setting("anything", b"x" * 400_000)), flags=0) for _ in range(2)
    ]
    act = lambda edit: (setting("anything", b"y" * 700_000)(edit), edit.scope().set("wrong", 1))  # noqa: E731
    changesets += [file.changeset(file.edit(act, key=key)) for key in range(3, 7)]
    answers, _ = file.upload(*changesets)
    assert [answer.client_version for answer in answers] == [3, 4, 5, 6]
    assert [[item[0] for item in ack.rewrites] for ack in answers] == [[3], [4], [5], [6]]  # type: ignore[union-attr]


# -- what stops an upload --------------------------------------------------------------------
def test_a_stamp_too_far_ahead_stops_what_is_behind_it(store: Store) -> None:
    namespace = new_namespace(store)
    file = ClientFile(namespace)
    good = file.changeset(file.edit(setting("year", 1)))
    file.ms = WALL_MS + CLOCK_SKEW_MS_MAX - 1
    edge = file.changeset(file.edit(setting("year", 2)))
    ahead = file.changeset(file.edit(setting("year", 3)))
    assert file.ms == WALL_MS + CLOCK_SKEW_MS_MAX + 1
    (ack, nack), error = file.upload(good, edge, ahead, good)
    assert error is None
    assert isinstance(ack, Ack)
    assert ack.client_version == 2
    assert isinstance(nack, Nack)
    assert (nack.client_version, nack.code) == (3, ErrorCode.CLOCK_SKEW)
    assert nack.server_ms == WALL_MS
    (nack,), _ = file.upload(ahead)
    assert nack.client_version == 3
    assert server_view(store) == {"year": 2}


def broken_changesets(file: ClientFile) -> Iterator[tuple[str, bytes]]:
    """Changesets that their file may not write, with what is wrong."""
    author = file.author()
    time, me = author.stamp

    def changing(delta: Any, *, cursor: int = 0, at: int = time) -> bytes:
        return encode(Changeset(at, cursor, [ObjectDelta("Book", 1, delta)]))

    def fields(held: Any) -> bytes:
        return changing([1, 1, [], held])

    def notes(elements: Elements) -> Any:
        return {obj.LIST: {"notes": [[], contract(elements)]}}

    def registers(*groups: Any) -> Any:
        return {obj.REGISTER: list(groups)}

    yield "no changeset", b"\x90"
    yield "not canonical", b"\xc4" + file.changeset()
    yield "a cursor from the future", changing([1, 1, [], {}], cursor=99)
    yield "the stamp of another file", fields(registers([time, me + 1, {"a": 1}]))
    yield "the stamp of another time", fields(registers([time - 1, me, {"a": 1}]))
    yield "a default's own stamp", fields(registers([0, 0, {"a": 1}, time, me + 1]))
    yield "a member's stamp", fields({obj.SET: {"s": [[], [[time, 7, {pack(1): True}]]]}})
    yield "a key's stamp", fields({obj.DICTIONARY: {"d": [[], [[time, 7, {"k": 1}]], {}]}})
    place = ((0, 0), 1, time, me)
    yield "another's place", fields(notes(Elements({(me + 1, 1): place})))
    yield "a place's stamp", fields(notes(Elements({(me, 1): (*place[:3], me + 1)})))
    yield "a value's stamp", fields(notes(Elements(values={(5, 1): (time, 7, 1)})))
    yield "a move's stamp", fields(notes(Elements(moves={(5, 1): (time, 7, (me, 1))})))
    inner = registers([time, 7, {"a": 1}])
    yield "inside an element", fields(notes(Elements(contents={(5, 1): inner})))
    yield "inside an embedded object", fields({obj.EMBEDDED: {"e": [1, 1, [], inner]}})
    yield "inside a dictionary", fields({obj.DICTIONARY: {"d": [[], [], {"k": [1, 1, [], inner]}]}})
    yield "an incarnation at the top", changing([0, 1, [time, me, me, 1], {}])
    yield "a create without content", changing([1, 0, [], {}])
    yield "a create of another length", changing([1, 3, [], {}])
    yield "a delete with content", changing([2, 3, [], {}])


def test_a_broken_changeset_stops_the_session_and_nothing_before_it(store: Store) -> None:
    """UP-4"""
    namespace = new_namespace(store)
    file = ClientFile(namespace)
    for what, data in broken_changesets(file):
        good = file.changeset(file.edit(setting("year", len(file.changesets))))
        count = len(file.changesets)
        before = server_state(store, "Book", 1)
        answers, error = file.upload(good, data, good)
        assert error is not None, what
        assert error.code is ErrorCode.BAD_CHANGESET
        assert f"changeset {count + 2}:" in error.reason
        assert [answer.client_version for answer in answers] == [count + 1]
        assert server_state(store, "Book", 1) != before
        assert latest(store, namespace) == count + 1


def test_idents_a_file_had_before_are_its_own(store: Store) -> None:
    """UP-4"""
    namespace = new_namespace(store)
    file = ClientFile(namespace)
    with store.write() as writer:
        held = tables.load_file(writer, file.ident)
        assert held is not None
        held.former = [77]
        tables.store_file(writer, file.ident, held)
    author = Author((time_from_ms(file.ms), 77), lambda: 1)
    delta: Any = {}
    Scope({}, delta, author).set("year", 4)
    item = ObjectDelta("Book", 1, [1, 1, [], seal(delta)])
    _, error = file.upload(file.changeset(item))
    assert error is None
    assert server_view(store) == {"year": 4}


# -- the log ---------------------------------------------------------------------------------
def test_the_log_holds_what_was_integrated_and_what_was_there_before(store: Store) -> None:
    namespace = new_namespace(store, schema=SCHEMA)
    file, other = ClientFile(namespace), ClientFile(namespace)
    heads: list[bytes | None] = [None]
    acts = [setting("title", "a"), setting("title", 5), lambda edit: edit.delete(),
            setting("year", 7)]  # fmt: skip
    for act in acts:
        writer = file if len(heads) % 2 else other
        writer.upload(writer.changeset(writer.edit(act)))
        with store.read() as reader:
            row = reader.get_object("Book", 1)
            assert row is not None
            heads.append(row.head)
            assert row.version == (len(heads) - 1 if len(heads) != 3 else 1)
    with store.read() as reader:
        entries = list(tables.entries(reader, 1, 99))
    assert [entry.version for entry in entries] == [1, 2, 3, 4]
    assert len({entry.salt for entry in entries}) == 4
    assert [(entry.origin, entry.client_version) for entry in entries] == [
        (file.ident, 1), (other.ident, 1), (file.ident, 2), (other.ident, 2),
    ]  # fmt: skip
    assert [entry.user for entry in entries] == ["ann"] * 4
    assert [entry.received_ms for entry in entries] == [WALL_MS] * 4
    assert [entry.before for entry in entries] == [[None], [], [heads[1]], [heads[3]]]
    assert decode(entries[1].changeset).objects == [], "all of it was refused"
    assert entries[1].digest == next_digest(DIGEST_START, other.changesets[0])
    assert entries[2].digest == file.digest


@given(st.randoms(use_true_random=False))
def test_the_log_replays_to_the_objects_and_its_images_are_what_was_there(rng: Random) -> None:
    """For any changesets, conflicts included: state n is merge(state n-1, entry n)."""
    namespace = new_namespace()
    files = [ClientFile(namespace) for _ in range(3)]
    seen = {file.ident: {key: absent() for key in range(3)} for file in files}
    for _ in range(10):
        file = rng.choice(files)
        key = rng.randrange(3)
        if rng.random() < 0.5:
            seen[file.ident][key] = file.state(key=key)
        item = file.edit(wander(rng), key=key, start=seen[file.ident][key])
        blind = item.delta[0] % 2 == 1 and rng.random() < 0.5
        cursor = rng.randint(0, namespace.version)
        _, error = file.upload(
            file.changeset(item._replace(blind=blind), cursor=cursor, flags=rng.randint(0, 1))
        )
        assert error is None
    states: dict[Any, Any] = {}
    with namespace.store.read() as reader:
        for entry in tables.entries(reader, 1, namespace.version):
            changeset = decode(entry.changeset)
            assert len(changeset.objects) == len(entry.before)
            for item, before in zip(changeset.objects, entry.before, strict=True):
                state = states.get(item.key)
                whole = None if before is None else pack(joined(unpack_trusted(before)))
                assert whole == (None if state is None else pack(state))
                states[item.key] = merge(state or absent(), item.delta)
    for key, state in states.items():
        assert pack(server_state(namespace.store, "Book", key)) == pack(state)


def test_columns_follow_the_objects(store: Store) -> None:
    namespace = new_namespace(store, schema=SCHEMA)
    file = ClientFile(namespace)
    for key, year in enumerate([1990, 2000, 2010]):
        file.upload(file.changeset(file.edit(setting("year", year), key=key)))
    file.upload(file.changeset(file.edit(lambda edit: edit.scope().add("year", 5), key=1)))
    file.upload(file.changeset(file.edit(lambda edit: edit.delete(), key=2)))
    with store.read() as reader:
        assert reader.columns("Book") == ["title", "year"]
        for text, keys in [("year > 1995", [1]), ("year == 2005", [1]), ("TRUEPREDICATE", [0, 1])]:
            assert [item.key for item in reader.scan("Book", parse(text))] == keys


def test_columns_that_come_with_a_changeset_are_filled_by_the_next(store: Store) -> None:
    namespace = new_namespace(store, development=True)
    file = ClientFile(namespace)

    def schema(*queryable: str) -> Any:
        names = [of(name, "int", queryable=name in queryable) for name in ("a", "b")]
        return Schema([ClassSchema("Book", names, key="int")]).to_packed()

    def both(edit: Edit) -> None:
        edit.create()
        edit.scope().set("a", 1)
        edit.scope().set("b", 2)

    changesets = [
        file.changeset(file.edit(both, key=key), schema=schema(*queryable))
        for key, queryable in enumerate([("a",), ("a", "b"), ("a",)])
    ]
    (ack,), _ = file.upload(*changesets)
    assert ack.refusals == []  # type: ignore[union-attr]
    with store.read() as reader:
        assert reader.columns("Book") == ["a", "b"]
        assert [item.key for item in reader.scan("Book", parse("b == 2"))] == [0, 1, 2]


def assert_told_where_each_one_is(file: ClientFile, order: list[tuple[int, int]]) -> None:
    """UP-7: from the ACKs of an upload of everything again, with one more, all versions follow."""
    one_more = file.changeset(file.edit(setting("year", 9)))
    out = file.upload(*file.changesets, one_more, first=1)
    order.append((file.ident, len(file.changesets)))
    acknowledged = 0
    for ack in out.answers:
        assert isinstance(ack, Ack)
        for number in range(acknowledged + 1, ack.client_version + 1):
            version = ack.version - (ack.client_version - number)
            assert order[version - 1] == (file.ident, number)
        acknowledged = ack.client_version
    assert acknowledged == len(file.changesets)


def test_versions_are_found_again_however_they_were_mixed(store: Store) -> None:
    namespace = new_namespace(store)
    files = [ClientFile(namespace) for _ in range(3)]
    rng = Random(3)
    order: list[tuple[int, int]] = []
    for _ in range(30):
        file = rng.choice(files)
        count = rng.randint(1, 3)
        batch = [file.changeset(file.edit(setting("year", n))) for n in range(count)]
        order += [(file.ident, len(file.changesets) + 1 + n) for n in range(count)]
        file.upload(*batch)
    with store.read() as reader:
        runs = sum(1 for _ in reader.records(tables.RUNS))
        for version, (ident, client_version) in enumerate(order, start=1):
            assert tables.version_of(reader, ident, client_version) == version
    switches = 1 + sum(order[n][0] != order[n + 1][0] for n in range(len(order) - 1))
    assert runs == switches, "a row for each change of author, not for each changeset"
    for file in files:
        assert_told_where_each_one_is(file, order)


# -- client files ----------------------------------------------------------------------------
def test_a_file_is_known_by_its_salt_and_belongs_to_its_user(store: Store) -> None:
    namespace = new_namespace(store)
    file = ClientFile(namespace, "ann")
    other = ClientFile(namespace, "bob")
    assert {file.ident, other.ident} == {2, 3}
    assert file.salt != other.salt

    def opened(user: str, ident: int, salt: int) -> Any:
        with store.write() as writer:
            try:
                return namespace.open_file(writer, user, ident, salt)
            except SessionError as error:
                return error.code

    assert opened("ann", 2, file.salt) == (2, file.salt, False)
    assert opened("bob", 2, file.salt) is ErrorCode.USER_MISMATCH
    assert opened("ann", 2, other.salt) is ErrorCode.UNKNOWN_FILE
    assert opened("ann", 9, 0) is ErrorCode.UNKNOWN_FILE
    with store.write() as writer:
        namespace.write(writer, lambda _author: [])
        server = tables.load_file(writer, tables.SERVER_IDENT)
    assert server is not None
    assert opened("", tables.SERVER_IDENT, server.salt) is ErrorCode.UNKNOWN_FILE


def test_a_position_must_fit_this_history(store: Store) -> None:
    namespace = new_namespace(store)
    file = ClientFile(namespace)
    for value in range(3):
        file.upload(file.changeset(file.edit(setting("year", value))))
    with store.read() as reader:
        salts = [0] + [entry.salt for entry in tables.entries(reader, 1, 3)]
    for cursor, salt in enumerate(salts):
        assert resume(file, cursor=cursor, cursor_salt=salt) is None
        assert resume(file, cursor=cursor, cursor_salt=salt + 1) is ErrorCode.DIVERGED
    assert resume(file, cursor=4) is ErrorCode.DIVERGED
    assert resume(file, client_version=4, last_version=4) is ErrorCode.DIVERGED
    assert resume(file, digest=DIGEST_START) is ErrorCode.FILE_COPIED
    assert resume(file, client_version=2) is ErrorCode.FILE_COPIED
    assert resume(file, client_version=0, digest=DIGEST_START) is None
    assert resume(file, client_version=0) is ErrorCode.FILE_COPIED
    rolled_back = next_digest(DIGEST_START, file.changesets[0])
    assert resume(file, client_version=1, digest=rolled_back) is None
    last = {"client_version": 1, "digest": rolled_back, "last_version": 1}
    assert resume(file, **last) is ErrorCode.FILE_COPIED, "three were integrated, it has one"
    assert resume(file, client_version=0, digest=DIGEST_START, last_version=0) is (
        ErrorCode.FILE_COPIED
    )
    # What it has of them is to be acknowledged first.
    assert resume(file, **{**last, "last_version": 2}) is None
    assert resume(file, ident=99) is ErrorCode.UNKNOWN_FILE


# -- the namespace ---------------------------------------------------------------------------
def test_a_namespace_goes_on_where_it_was(store: Store) -> None:
    namespace = new_namespace(store, schema=SCHEMA)
    file = ClientFile(namespace)
    file.upload(file.changeset(file.edit(setting("title", "x"))))
    again = new_namespace(store)
    assert again.version == 1
    file.namespace = again
    (ack,), _ = file.upload(file.changeset(file.edit(setting("wrong", 1))))
    assert [reason for _, reason in reasons(ack)] == ["unknown property"]  # type: ignore[arg-type]


def test_a_schema_that_grows_with_the_server_goes_into_the_log(store: Store) -> None:
    def schema(*names: str) -> Schema:
        return Schema([ClassSchema("Book", [of(name, "int") for name in names], key="int")])

    assert new_namespace(store, schema=schema("a")).version == 0
    assert new_namespace(store, schema=schema("a")).version == 0
    file = ClientFile(new_namespace(store))
    file.upload(file.changeset(file.edit(setting("a", 1))))
    assert new_namespace(store, schema=schema("a", "b")).version == 2
    with store.read() as reader:
        entry = tables.entry_at(reader, 2)
    assert entry is not None
    assert (entry.origin, list(entry.schema["Book"]["properties"])) == (tables.SERVER_IDENT, ["b"])
    with pytest.raises(SchemaError, match=r"Book\.b"):
        new_namespace(store, schema=Schema([ClassSchema("Book", [of("b", "string")], key="int")]))


def test_the_server_writes_as_a_file_of_its_own(store: Store) -> None:
    namespace = new_namespace(store, schema=SCHEMA)
    file = ClientFile(namespace)
    file.ms = WALL_MS + 50_000  # ahead of the server, within the limit
    file.upload(file.changeset(file.edit(setting("title", "client"))))

    def make(author: Author) -> list[ObjectDelta]:
        edit = Edit(server_state(store, "Book", 1), author)
        edit.scope().set("title", "server")
        scope = edit.scope()
        scope.list_insert("notes", edit.editor(scope, "notes"), 0, [author.id()[1]])
        return [ObjectDelta("Book", 1, edit.finish()[0])]

    for _ in range(2):
        with store.write() as writer:
            assert not namespace.write(writer, make).refusals
    assert server_view(store) == {"title": "server", "notes": [3, 1]}
    with store.read() as reader:
        origins = [entry.origin for entry in tables.entries(reader, 1, 9)]
        assert reader.record(tables.FILES, int_key(tables.SERVER_IDENT)) is not None
    assert origins == [file.ident, 1, 1]


def test_a_job_that_is_undone_leaves_nothing(store: Store) -> None:
    namespace: Namespace = new_namespace(store)
    file = ClientFile(namespace)
    file.upload(file.changeset(file.edit(setting("year", 1))))
    before, state = contents(store), server_state(store, "Book", 1)
    data = file.changeset(file.edit(setting("year", 2)))

    def integrate_and_fail(writer: Writer) -> None:
        namespace.integrate(writer, 1, file.ident, 2, [data])
        raise ZeroDivisionError

    def in_a_savepoint(writer: Writer) -> None:
        with writer.savepoint():
            integrate_and_fail(writer)

    def in_a_transaction() -> None:
        with store.write() as writer:
            integrate_and_fail(writer)

    with store.write() as writer, pytest.raises(ZeroDivisionError):
        in_a_savepoint(writer)
    assert contents(store) == before
    assert server_state(store, "Book", 1) == state
    with pytest.raises(ZeroDivisionError):
        in_a_transaction()
    assert contents(store) == before
    assert not file.upload(data).error
    assert server_view(store) == {"year": 2}
