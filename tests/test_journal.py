"""The journal of a client file: what it tells, when it is not sure, and how it stays bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from client_files import check, client_file, download, take
from command_line import ok, refused
from test_client_apply import LATE, delta_op, insert, set_fields
from test_journal_worlds import prepared
from worlds import World

from replication.client import journal, kept
from replication.client.database import Database
from replication.client.journal import Entry, append
from replication.client.losses import Lost
from replication.client.records import ACKED, KEPT
from replication.client.results import ObjectChange, ResultsChange
from replication.crdt import object as obj
from replication.errors import UsageError
from replication.model.encoding import pack
from replication.net.local import open_database
from replication.protocol.body import AuthorOp, DeltaOp, StateOp
from replication.protocol.messages import Ack


def parts(entry: Entry) -> list[Any]:
    return [tuple(part) for part in entry.lost]


def acknowledged(db: Database, version: int) -> None:
    """The last changeset is integrated as a server version, and folded."""
    own = db.local.client_version
    take(db, Ack(1, own, version, [], []))
    take(db, download(version, mark=own))


def holding(**values: Any) -> Database:
    """A file that wrote a book, which the server has as version 5."""
    db = client_file()
    set_fields(db, **values)
    acknowledged(db, 5)
    return db


# -- whether the winner had seen it ------------------------------------------------------------
@pytest.mark.parametrize(("seen", "told"), [(4, 1), (5, 0), (0, 1)])
def test_only_who_had_not_seen_it_takes_it_away(seen: int, told: int) -> None:
    """JOURNAL-1: what an author overrides that has seen it is decided, not lost."""
    db = holding(title="mine")
    take(db, download(7, AuthorOp(7, 9, LATE, seen), delta_op(7, title="theirs")))
    check(db)
    assert len(db.journal) == told
    for entry in db.journal:
        assert (entry.by, entry.at, entry.version, entry.seen) == (9, LATE, 7, seen)
        assert parts(entry) == [(("title",), "set", "mine", "theirs")]


def test_what_is_not_acknowledged_was_seen_by_nobody() -> None:
    """JOURNAL-1: whatever the author had seen by then."""
    db = client_file()
    take(db, download(3, StateOp("Book", 1, 3, pack([1, 1, [], {}]), [])))
    set_fields(db, title="mine")
    take(db, download(7, AuthorOp(7, 9, LATE, 6), delta_op(7, title="theirs")))
    assert [parts(entry) for entry in db.journal] == [[(("title",), "set", "mine", "theirs")]]


def test_the_same_value_takes_nothing_away() -> None:
    """JOURNAL-1"""
    db = holding(title="same")
    take(db, download(7, AuthorOp(7, 9, LATE, 0), delta_op(7, title="same")))
    assert list(db.journal) == []


def test_the_author_of_a_blind_create_had_not_seen_what_is_there() -> None:
    """JOURNAL-1 BODY-7: its cursor says how much it had seen, and not that it did not hold this."""
    db = holding(title="mine")
    delta = pack([1, 1, [], {obj.REGISTER: [[LATE, 9, {"title": "theirs"}]]}])
    take(db, download(7, AuthorOp(7, 9, LATE, 6), DeltaOp("Book", 1, 7, delta, 1)))
    (entry,) = db.journal
    assert (entry.seen, parts(entry)) == (0, [(("title",), "set", "mine", "theirs")])


def test_two_devices_that_create_one_key_both_learn_what_they_lost() -> None:
    """JOURNAL-1: end to end, also where the second one's create is made an update."""
    world = World(2)
    first, second = world.devices
    first.subscribe()
    second.subscribe("year > 100")
    for device in (first, second):
        device.sync()
    set_fields(first.db, title="first", year=1)
    first.sync()
    world.ms += 1000
    second.subscribe()
    second.sync()
    second.subscribe("year > 100")
    second.sync()
    assert second.view() == {}
    set_fields(second.db, title="second")  # it has seen the version of the first, and not held it
    second.sync()
    first.sync()
    (entry,) = first.db.journal
    assert parts(entry) == [(("title",), "set", "first", "second")]
    assert (entry.by, entry.seen) == (second.db.local.ident, 0)
    assert list(second.db.journal) == []


def test_nor_had_they_seen_it_who_write_to_what_they_created_blindly() -> None:
    """JOURNAL-1 EDIT-6"""
    world = World(2)
    first, second = world.devices
    first.subscribe()
    second.subscribe("year > 100")
    set_fields(first.db, title="first", year=1)
    first.sync()
    second.sync()
    world.ms += 1000
    with second.db.write() as tx:
        tx.create("Book", 1)
    set_fields(second.db, title="second")
    second.sync()
    first.sync()
    (entry,) = first.db.journal
    assert parts(entry) == [(("title",), "set", "first", "second")]
    assert (entry.by, entry.seen) == (second.db.local.ident, 0)


def test_a_blind_create_that_turns_out_to_be_an_update_may_lose() -> None:
    """JOURNAL-1: told once its changeset is folded, to whoever was there first."""
    world = World(2)
    first, second = world.devices
    first.subscribe()
    first.sync()
    set_fields(second.db, title="second")
    world.ms += 1000
    set_fields(first.db, title="first", year=1)
    first.sync()
    second.subscribe()
    second.sync()
    assert second.view()[1]["title"] == "first"
    (entry,) = second.db.journal
    assert parts(entry) == [(("title",), "set", "second", "first")]
    assert entry.by == first.db.local.ident


# -- states ------------------------------------------------------------------------------------
def state_op(version: int, touched: list[int], **values: Any) -> StateOp:
    head = [1, 1, [], {obj.REGISTER: [[LATE, 9, dict(sorted(values.items()))]]}]
    return StateOp("Book", 1, version, pack(head), [], touched)


@pytest.mark.parametrize(("seen", "told"), [(4, 1), (6, 0)])
def test_stamps_tell_who_made_what_of_a_state(seen: int, told: int) -> None:
    """JOURNAL-1 JOURNAL-8"""
    db = holding(title="mine")
    take(db, download(8, AuthorOp(8, 9, LATE, seen), state_op(8, [8], title="theirs")))
    assert [(entry.by, entry.seen) for entry in db.journal] == [(9, seen)] * told


def test_a_state_without_authors_leaves_open_what_they_had_seen() -> None:
    """JOURNAL-8: it says who and when, and that it does not know the rest."""
    db = holding(title="mine")
    take(db, download(8, state_op(8, [], title="theirs")))
    (entry,) = db.journal
    assert (entry.by, entry.at, entry.seen) == (9, LATE, None)


@pytest.mark.parametrize(
    ("seen", "expected"), [([6, 7], []), ([1, 2], [(None, 2)]), ([1, 7], [(None, None)])]
)
def test_of_a_deletion_in_a_state_those_who_touched_it_are_asked(
    seen: list[int], expected: list[Any]
) -> None:
    """JOURNAL-8: if all had seen it nothing is lost, if none had it is certain, else it is open."""
    db = holding(title="mine")
    authors = [AuthorOp(8, 9, LATE, seen[0]), AuthorOp(9, 8, LATE + 1, seen[1])]
    gone = StateOp("Book", 1, 9, pack([2, 0, [], {}]), [], [8, 9])
    take(db, download(9, *authors, gone))
    assert [(entry.by, entry.seen) for entry in db.journal] == expected


def blames(db: Database) -> list[Any]:
    return [(entry.by, entry.at, entry.version, entry.seen) for entry in db.journal]


def test_who_alone_touched_it_deleted_it() -> None:
    """JOURNAL-8: a deletion has no stamp, but there is one author whom it can be of."""
    db = holding(title="mine")
    gone = StateOp("Book", 1, 9, pack([2, 0, [], {}]), [], [9])
    take(db, download(9, AuthorOp(9, 8, LATE, 4), gone))
    assert blames(db) == [(8, LATE, 9, 4)]


def test_what_a_stamp_says_is_of_its_author_however_many_touched_it() -> None:
    """JOURNAL-8: where the author is not told of, the rest is open, and not another one's."""
    db = holding(title="mine")
    other = AuthorOp(9, 8, LATE + 1, 4)
    take(db, download(9, other, state_op(9, [8, 9], title="theirs")))
    assert [blame[:3] for blame in blames(db)] == [(9, LATE, None)]


def test_a_state_of_who_cannot_have_seen_it_takes_a_pending_write_away() -> None:
    """JOURNAL-1: whatever else they had seen."""
    db = client_file()
    take(db, download(3, StateOp("Book", 1, 3, pack([1, 1, [], {}]), [])))
    set_fields(db, title="mine")
    take(db, download(8, AuthorOp(8, 9, LATE, 7), state_op(8, [8], title="theirs")))
    assert blames(db) == [(9, LATE, 8, 7)]


def test_what_is_acknowledged_and_not_folded_was_seen_all_the_same() -> None:
    """JOURNAL-1: the ACK says its version, whenever the download with it comes."""
    for seen, told in ((4, 1), (5, 0)):
        db = client_file()
        take(db, download(3, StateOp("Book", 1, 3, pack([1, 1, [], {}]), [])))
        set_fields(db, title="mine")
        take(db, Ack(1, db.local.client_version, 5, [], []))
        take(db, download(7, AuthorOp(7, 9, LATE, seen), delta_op(7, title="theirs")))
        assert len(db.journal) == told


def test_who_deletes_it_too_and_creates_it_later_takes_nothing_away_by_a_state() -> None:
    """JOURNAL-1: its least stamp says that all of it is later."""
    for time, told in ((LATE, 0), (1, 1)):
        db = holding(title="mine")
        with db.write() as tx:
            tx.delete("Book", 1)
        acknowledged(db, 6)
        again = StateOp("Book", 1, 8, pack([3, 3, [], {}]), [], [8])
        take(db, download(8, AuthorOp(8, 9, time, 5), again))
        found = [(entry.rule, parts(entry)) for entry in db.journal]
        assert found == [("replacement", [((), "deleted", None, None)])] * told


def test_a_delta_of_nobody_is_told_with_what_its_stamps_say() -> None:
    """JOURNAL-8: of a deletion that is nothing but its version."""
    db = holding(title="mine")
    take(db, download(7, delta_op(7, title="theirs")))
    assert blames(db) == [(9, LATE, 7, None)]
    db = holding(title="mine")
    take(db, download(7, DeltaOp("Book", 1, 7, pack([2, 0, [], {}]), 0)))
    assert blames(db) == [(None, None, 7, None)]


def test_what_was_lost_while_it_was_out_of_view_is_told_when_it_is_back() -> None:
    """JOURNAL-1: where stamps tell; nothing else is claimed then."""
    from replication.protocol.body import EvictOp

    db = holding(title="mine", year=1)
    take(db, download(6, EvictOp("Book", 1)))
    assert list(db.journal) == []
    take(db, download(8, AuthorOp(8, 9, LATE, 4), state_op(8, [8], title="theirs")))
    (entry,) = db.journal
    assert parts(entry) == [(("title",), "set", "mine", "theirs")]


# -- told once, kept, bounded --------------------------------------------------------------------
def test_a_part_is_told_once() -> None:
    """JOURNAL-5: what came back and is lost again was told before, while the entry is there."""
    db = client_file()
    take(db, download(3, StateOp("Book", 1, 3, pack([1, 1, [], {}]), [])))
    set_fields(db, title="mine", year=1)
    author = AuthorOp(7, 9, LATE, 0)
    take(db, download(7, author, delta_op(7, title="theirs")))
    state = StateOp("Book", 1, 3, pack([1, 1, [], {}]), [])
    take(db, download(8, state))
    assert len(db.journal) == 1
    take(db, download(9, AuthorOp(9, 9, LATE, 0), delta_op(9, title="theirs", year=7)))
    assert [parts(entry) for entry in db.journal] == [
        [(("title",), "set", "mine", "theirs")],
        [(("year",), "set", 1, 7)],
    ]


def test_entries_outlive_the_process_and_go_when_dismissed(tmp_path: Path) -> None:
    """JOURNAL-4: durable with what they tell of; listed, by object too, and dismissed."""
    world = prepared(2, 1)
    lose(world)
    device = world.devices[0]
    device.cut()
    device.open()
    entries = list(device.db.journal)
    assert [entry.number for entry in entries] == [1, 2]
    assert device.db.journal.of("Book", 1) == entries[:1]
    assert device.db.journal.of("Book", 99) == []
    with pytest.raises(UsageError, match="no entry 7"):
        device.db.journal.dismiss(1, 7)
    assert len(device.db.journal) == 2
    device.db.journal.dismiss(1)
    assert list(device.db.journal) == entries[1:]
    device.db.journal.clear()
    assert (len(device.db.journal), list(device.db.journal)) == (0, [])
    assert device.db.journal.of("Book", 2) == []
    check(device.db)


def lose(world: World) -> None:
    """The first device loses the titles of two books."""
    first, second = world.devices
    for key in (1, 2):
        set_fields(first.db, key, title="first")
    world.ms += 1000
    for key in (1, 2):
        set_fields(second.db, key, title="second")
    second.sync()
    first.sync()


def test_the_oldest_entries_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """JOURNAL-6"""
    monkeypatch.setattr(journal, "JOURNAL_ENTRIES_MAX", 3)
    db = client_file()

    def write(number: int, old: str) -> None:
        entry = Entry("Book", 1, number, 1, (Lost(("title",), "set", old, None),), "later write")
        with db.integrating() as work:
            append(work.writer, entry)

    for number in range(1, 6):
        write(number, "x")
    assert [entry.number for entry in db.journal] == [3, 4, 5]
    assert db.journal.dropped == 2
    assert len(db.journal.of("Book", 1)) == 3
    monkeypatch.setattr(journal, "JOURNAL_BYTES_MAX", 200)
    write(6, "y" * 120)
    assert [entry.number for entry in db.journal] == [6]
    assert db.journal.dropped == 5


def test_an_entry_holds_so_much_and_counts_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """JOURNAL-6"""
    monkeypatch.setattr(journal, "JOURNAL_ENTRY_BYTES_MAX", 100)
    db = client_file()
    many = tuple(Lost((f"p{number}",), "set", "x" * 20, None) for number in range(9))
    with db.integrating() as work:
        append(work.writer, Entry("Book", 1, 1, 1, many, "deletion"))
    (entry,) = db.journal
    assert 0 < len(entry.lost) < 9
    assert len(entry.lost) + entry.omitted == 9


def test_deltas_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """JOURNAL-7: the oldest go until half is left; what is left still tells."""
    monkeypatch.setattr(kept, "KEPT_DELTAS_MAX", 4)
    db = client_file()
    for number in range(1, 6):
        set_fields(db, number, title="mine")
        acknowledged(db, 4 + number)
    assert db.synced.kept_count == 2
    with db.store.read() as reader:
        assert len(list(reader.records(KEPT))) == 2
        assert list(reader.records(ACKED)) == []
    for number in (1, 5):
        author = AuthorOp(20 + number, 9, LATE, 0)
        take(db, download(20 + number, author, delta_op(20 + number, number, title="theirs")))
    assert [entry.key for entry in db.journal] == [5]
    monkeypatch.setattr(kept, "KEPT_DELTA_BYTES_MAX", 10)
    set_fields(db, 6, title="much more than that")
    acknowledged(db, 30)
    assert db.synced.kept_count == 2


def test_of_one_object_the_latest_deltas_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """JOURNAL-7: what makes room is the oldest one, and of that object the others stay."""
    monkeypatch.setattr(kept, "KEPT_DELTAS_MAX", 4)
    db = client_file()
    for version, name in enumerate(["title", "year", "price"], 4):
        set_fields(db, **{name: {"title": "mine", "year": 1, "price": 1.5}[name]})
        acknowledged(db, version)
    set_fields(db, title="again")
    acknowledged(db, 8)
    set_fields(db, 2, title="other")
    acknowledged(db, 9)
    news = delta_op(20, title="t", year=9, price=9.5)
    take(db, download(20, AuthorOp(20, 9, LATE, 0), news))
    assert [parts(entry)[0][:3] for entry in db.journal] == [(("title",), "set", "again")]


def test_of_a_large_changeset_what_is_small_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """JOURNAL-7: a delta that is too large, and what is too much, goes without the others."""
    monkeypatch.setattr(kept, "KEPT_DELTA_BYTES_MAX", 40)
    monkeypatch.setattr(kept, "KEPT_DELTAS_MAX", 3)
    db = client_file()
    with db.write() as tx:
        for key, title in enumerate(["one", "x" * 60, "three", "four", "five"], 1):
            tx.create("Book", key).scope().set("title", title)
    acknowledged(db, 5)
    assert db.synced.kept_count == 3
    reopened = Database(db.store, wall_ms=db.wall_ms)  # what is kept is read, not remembered
    author = AuthorOp(20, 9, LATE, 0)
    take(reopened, download(20, author, *[delta_op(20, key, title="new") for key in range(1, 6)]))
    assert [entry.key for entry in reopened.journal] == [1, 3, 4]


def test_the_latest_changeset_is_kept_however_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """JOURNAL-7"""
    monkeypatch.setattr(kept, "KEPT_DELTAS_MAX", 3)
    db = client_file()
    for keys in ([1, 2], [3, 4, 5]):
        with db.write() as tx:
            for key in keys:
                tx.create("Book", key).scope().set("title", "mine")
        acknowledged(db, 4 + keys[0])
    assert db.synced.kept_count == 3
    author = AuthorOp(20, 9, LATE, 0)
    take(db, download(20, author, *[delta_op(20, key, title="new") for key in range(1, 6)]))
    assert [entry.key for entry in db.journal] == [3, 4, 5]


def test_many_objects_lose_in_one_download_what_they_lose_in_many() -> None:
    """JOURNAL-1"""
    found = []
    for together in (True, False):
        db = client_file()
        for number in range(1, 31):
            set_fields(db, number, title="mine")
            acknowledged(db, 4 + number)
        author = AuthorOp(50, 9, LATE, 0)
        deltas = [delta_op(50, number, title="theirs") for number in range(30, 0, -1)]
        for message in [deltas] if together else [[delta] for delta in deltas]:
            take(db, download(50, author, *message))
        found.append(sorted(db.journal, key=lambda entry: int(entry.key)))
    assert [entry.key for entry in found[0]] == list(range(1, 31))
    assert [entry.pack() for entry in found[0]] == [entry.pack() for entry in found[1]]


def test_of_several_deltas_each_has_an_author() -> None:
    """JOURNAL-1: who had seen it takes nothing away, whoever else comes in the same download."""
    db = holding(title="mine", year=1)
    deltas = [delta_op(7, title="theirs"), delta_op(8, time=LATE + 1, year=2)]
    authors = [AuthorOp(7, 9, LATE, 5), AuthorOp(8, 9, LATE + 1, 0)]
    take(db, download(8, *authors, *deltas))
    assert [parts(entry) for entry in db.journal] == [[(("year",), "set", 1, 2)]]


def test_of_several_deltas_it_is_enough_that_one_write_loses() -> None:
    """JOURNAL-1: another one of the same object may lose nothing, before or behind it."""
    for first, second in (({"title": "mine"}, {"year": 1}), ({"year": 1}, {"title": "mine"})):
        db = holding(**first)
        set_fields(db, **second)
        acknowledged(db, 6)
        deltas = [delta_op(7, title="theirs"), delta_op(8, time=1, year=7)]  # an earlier one
        take(db, download(8, AuthorOp(7, 9, LATE, 0), AuthorOp(8, 9, 1, 0), *deltas))
        assert [parts(entry) for entry in db.journal] == [[(("title",), "set", "mine", "theirs")]]


# -- lists over parts --------------------------------------------------------------------------
def test_elements_of_long_lists_are_lost_and_told() -> None:
    """JOURNAL-1: only the parts that hold them are looked at."""
    db = client_file()
    set_fields(db, title="long")
    insert(db, 0, list(range(700)))
    acknowledged(db, 6)
    ids = [[2, 1, 700]]
    with db.store.read() as reader:
        row = reader.get_object("Book", 1)
        assert row is not None
        assert len(list(reader.parts("Book", row.row))) == 3
    erase = pack([0, 1, [], {obj.LIST: {"notes": [[], [[], [], [], [[2, 300, 2]], []]]}}])
    take(db, download(7, AuthorOp(7, 9, LATE, 3), DeltaOp("Book", 1, 7, erase)))
    (entry,) = db.journal
    first = ids[0][1]
    assert parts(entry) == [
        (("notes", (2, 300)), "inserted", 300 - first, None),
        (("notes", (2, 301)), "inserted", 301 - first, None),
    ]
    check(db)


def test_a_move_in_a_long_list_is_lost_and_told() -> None:
    """JOURNAL-1: with the indexes it had, over all parts."""
    db = client_file()
    set_fields(db, title="long")
    insert(db, 0, list(range(700)))
    acknowledged(db, 6)
    with db.write() as tx:
        edit = tx.edit("Book", 1)
        editor = edit.editor((), "notes")
        here = editor.ids[600]
        edit.scope().list_move("notes", editor, 600, 2)
    acknowledged(db, 7)
    elsewhere = [[*here, LATE, 9, 9, 1]]  # a place that is not here, so nowhere
    news = pack([0, 1, [], {obj.LIST: {"notes": [[], [[], [], elsewhere, [], []]]}}])
    take(db, download(8, AuthorOp(8, 9, LATE, 6), DeltaOp("Book", 1, 8, news)))
    (entry,) = db.journal
    assert parts(entry) == [(("notes", here), "moved", 2, None)]
    check(db)


# -- live results --------------------------------------------------------------------------------
def test_live_results_say_what_was_overridden() -> None:
    """JOURNAL-1: with the change that did it, in results and in objects."""
    world = prepared(2, 1)
    db = world.devices[0].db
    told: list[ResultsChange] = []
    seen: list[ObjectChange] = []
    with db.objects("Book").observe(told.append), db.get("Book", 1).observe(seen.append):
        lose(world)
    entries = list(db.journal)
    change = told[-1]
    assert change.modified == {1: ["title"], 2: ["title"]}
    assert change.overridden == {1: entries[:1], 2: entries[1:]}
    assert seen[-1] == ObjectChange(False, True, ["title"], entries[:1])
    assert all(not each.overridden for each in (*told[:-1], *seen[:-1]))


# -- on the command line -------------------------------------------------------------------------
def test_the_journal_on_the_command_line(tmp_path: Path) -> None:
    """JOURNAL-4: listed for people and programs, dismissed; `inspect` mentions it."""
    path = tmp_path / "mine.db"
    with open_database(path) as db, db.integrating() as work:
        lost = (Lost(("notes", (2, 7)), "inserted", 5, None), Lost(("title",), "set", "a\x1b", "b"))
        entry = Entry("Book", 1, 3, LATE, lost, "later write", 9, LATE, 7, 4)
        append(work.writer, entry)
        refusal = Entry("Tag", "x", 4, LATE, (), reason="wrong type", message="Tag x is no number")
        append(work.writer, refusal)
    said = ok("journal", path).out
    assert "Book 1: lost to a later write of" in said
    assert "by file 9" in said
    assert "notes[2:7] inserted 5\n" in said
    assert "title set a\\x1b, now b\n" in said
    assert "Tag x: refused (wrong type): Tag x is no number" in said
    first, second = ok("journal", path, "--json").lines
    assert (first["rule"], first["by"], first["seen"]) == ("later write", 9, 4)
    assert first["lost"][0] == {"path": ["notes", [2, 7]], "did": "inserted", "old": 5, "new": None}
    assert second["reason"] == "wrong type"
    assert ok("journal", path, "--class", "Tag", "--json").lines == [second]
    assert ok("inspect", path, "journal", "--json").lines == [first, second]
    assert ok("inspect", path, "--json").json["journal"] == 2
    assert "no entry 9" in refused("journal", path, "--dismiss", 9)
    assert "by their numbers" in refused("journal", path, "--dismiss", 1, "--class", "Tag")
    assert "nothing to write again" in refused("journal", path, "--retry", 2)
    assert ok("journal", path, "--dismiss", 1).err == "1 entry dismissed\n"
    assert [line["number"] for line in ok("journal", path, "--json").lines] == [2]
    assert ok("journal", path, "--dismiss-all").err == "1 entry dismissed\n"
    assert "Nothing was lost" in ok("journal", path).err
