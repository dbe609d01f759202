"""`replication scenario`: the lines it reads, what it prints, how it exits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from replication.cli import cli
from replication.simulation import runner
from tests.command_line import Ran, run

FIELDS = [
    {"name": "n", "type": "int"},
    {"name": "maybe", "type": "int", "nullable": True},
    {"name": "c", "type": "counter"},
    {"name": "m", "type": "mixed"},
    {"name": "f", "type": "float"},
    {"name": "d", "type": "double?"},
    {"name": "l", "type": "list<int>"},
    {"name": "many", "type": "link:T", "collection": "list"},
    {"name": "s", "type": "set<mixed>"},
    {"name": "by", "type": "dict<mixed>"},
    {"name": "one", "type": "link:T"},
    {"name": "home", "type": "link:E"},
    {"name": "all", "type": "list<link:E>"},
    {"name": "at", "type": "dict<link:E>"},
]
SCHEMA = {
    "tables": [
        {"name": "T", "pk": {"name": "key", "type": "int"}, "fields": FIELDS},
        {"name": "E", "embedded": True, "fields": [{"name": "city", "type": "string"},
                                                  {"name": "l", "type": "list<int>"}]},
    ]
}  # fmt: skip
#: What an object shows that nobody wrote to.
EMPTY = {
    "n": 0, "maybe": None, "c": 0, "m": None, "f": {"$float": 0.0}, "d": None, "l": [], "many": [],
    "s": [], "by": {}, "one": None, "home": None, "all": [], "at": {},
}  # fmt: skip


def op(name: str, field: Any = None, pk: Any = 1, **arguments: Any) -> dict[str, Any]:
    """An operation on table T."""
    path = {} if field is None else {"field": field}
    return {"op": name, "table": "T", "pk": pk, **path, **arguments}


def txn(peer: int, *operations: dict[str, Any], t: int = 1) -> dict[str, Any]:
    """A transaction."""
    return {"txn": {"peer": peer, "t": t, "ops": list(operations)}}


CREATE = txn(2, op("create"))
SYNC = {"sync": "all"}


def text(*lines: Any, name: str = "it", peers: tuple[int, ...] = (2, 3)) -> str:
    """A scenario."""
    head = [{"scenario": name}, {"schema": SCHEMA}, {"peers": list(peers)}]
    return "".join(json.dumps(line) + "\n" for line in [*head, *lines])


def stdin(given: str, *options: str) -> Ran:
    """Run the command on its standard input."""
    done = CliRunner().invoke(cli, ["scenario", *options], input=given, catch_exceptions=False)
    return Ran(done.exit_code, done.stdout, done.stderr)


def ends(*lines: Any, peers: tuple[int, ...] = (2, 3)) -> dict[str, Any]:
    """What a scenario that converges and skips nothing prints."""
    ran = stdin(text(*lines, peers=peers), "--strict")
    assert ran.status == 0, ran.err
    found: dict[str, Any] = ran.json
    assert found["converged"]
    assert found["skipped"] == []
    return found


def object_after(*operations: dict[str, Any]) -> dict[str, Any]:
    """What object 1 shows of the fields that changed, after a transaction of peer 2."""
    (shown,) = ends(CREATE, SYNC, txn(2, *operations))["state"]["T"]
    return {name: value for name, value in shown.items() if EMPTY.get(name, ...) != value}


# -- operations ----------------------------------------------------------------------------------
def ints(*numbers: int) -> list[dict[str, Any]]:
    """A list of numbers."""
    return [op("list_insert", "l", index=i, value=n) for i, n in enumerate(numbers)]


@pytest.mark.parametrize(
    ("operations", "shown"),
    [
        ([op("set", "n", value=5)], {"n": 5}),
        ([op("set", "f", value=0.1)], {"f": {"$float": 0.10000000149011612}}),
        ([op("set", "d", value=2)], {"d": 2.0}),
        ([op("set", "d", value={"$double": "inf"})], {"d": {"$double": "inf"}}),
        ([op("set", "m", value={"$bin": "00ff"})], {"m": {"$bin": "00ff"}}),
        ([op("set", "one", value={"$link": ["T", 1]})], {"one": {"$link": ["T", 1]}}),
        ([op("set_default", "n", value=5)], {"n": 5}),
        ([op("set", "m", value=5), op("add", "m", value=2)], {"m": 7}),
        ([op("add", "n", value=2), op("add", "c", value=-2)], {"n": 2, "c": -2}),
        ([*ints(1, 2, 3), op("list_move", "l", **{"from": 2, "to": 0})], {"l": [3, 1, 2]}),
        ([*ints(1, 2, 3), op("list_erase", "l", index=1)], {"l": [1, 3]}),
        ([*ints(1, 2), op("list_set", "l", index=1, value=4)], {"l": [1, 4]}),
        ([*ints(1, 2), op("set", ["l", 0], value=4)], {"l": [4, 2]}),
        ([*ints(1), op("list_clear", "l")], {}),
        ([*ints(1), op("assign", "l", value=[7, 8])], {"l": [7, 8]}),
        ([op("assign", "s", value=["b", 2, {"$double": "nan"}, None, 1.5, "a", 10])],
         {"s": [None, 2, 10, {"$double": "nan"}, 1.5, "a", "b"]}),
        ([op("assign", "by", value={"b": 1, "a": {"$link": ["T", 1]}})],
         {"by": {"a": {"$link": ["T", 1]}, "b": 1}}),
        ([op("assign", "by", value={"$dict": {"b": 1}})], {"by": {"b": 1}}),
        ([op("set_insert", "s", value=1), op("set_insert", "s", value=2),
          op("set_erase", "s", value=1)], {"s": [2]}),
        ([op("set_insert", "s", value=1), op("set_clear", "s")], {}),
        ([op("dict_set", "by", key="a", value=1), op("dict_set", "by", key="b", value=2),
          op("dict_erase", "by", key="a")], {"by": {"b": 2}}),
        ([op("set", ["by", "k"], value=1)], {"by": {"k": 1}}),
        ([op("dict_set", "by", key="a", value=1), op("dict_clear", "by")], {}),
        ([op("set", "home", value={"$embedded": {}}), op("set", ["home", "city"], value="x"),
          op("list_insert", ["home", "l"], index=0, value=4)], {"home": {"city": "x", "l": [4]}}),
        ([op("list_insert", "all", index=0, value={"$embedded": {}}),
          op("set", ["all", 0, "city"], value="y")], {"all": [{"city": "y", "l": []}]}),
        ([op("dict_set", "at", key="k", value={"$embedded": {}}),
          op("set", ["at", "k", "city"], value="z")], {"at": {"k": {"city": "z", "l": []}}}),
        ([op("list_insert", "many", index=0, value={"$link": ["T", 1]})],
         {"many": [{"$link": ["T", 1]}]}),
    ],
    ids=json.dumps,
)  # fmt: skip
def test_what_operations_do(operations: list[dict[str, Any]], shown: dict[str, Any]) -> None:
    assert object_after(*operations) == {"key": 1, **shown}


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (op("create"), "T 1 exists already; edit it, or delete it first"),
        (op("create", pk="one"), "T._id is int, got 'one' (string); a key here is int, not 'one'"),
        (op("erase", pk=2), "there is no T 2"),
        (op("set", "n", pk=2, value=1), "there is no T 2"),
        (op("set", "n", value="x"), "T.n is int, got 'x' (string); pass an int"),
        (op("set", "n", value=None), "T.n is int, got None (null); only int? could hold null"),
        (op("set", "key", value=5), "T._id of T("),
        (op("set", "one", value={"$link": ["T", 9]}), "the link's target T 9 is not there"),
        (op("set", "l", value=1), "T.l is list<int>: assign it"),
        (op("set", "home", value=1), 'T.home takes {"$embedded":{}} or null, not 1 (int)'),
        (op("set", "m", value={"$embedded": {}}), "T.m is mixed: no embedded object"),
        (op("set", ["home", "city"], value="x"), "home is None (null), nothing to go into"),
        (op("set", ["at", "k", "city"], value="x"), "there is no key 'k'"),
        (op("set", ["all", 0, "city"], value="x"), "index 0 in a list of 0"),
        (op("set", ["n", "x"], value="x"), "n is 0 (int), nothing to go into"),
        (op("set", ["s", 1], value=1), "s.1 is no field of an object"),
        (op("set", ["all", "x", "y"], value=1), "'x' leads nowhere in a list"),
        (op("set_default", "l", value=1), "T.l is list<int>: only a plain one takes a default"),
        (op("add", "maybe", value=1), "T.maybe holds None (null): nothing can be added to it"),
        (op("add", "l", value=1), "T.l holds None (null): nothing can be added to it"),
        (op("add", "n", value=1.5), "amount is int, got 1.5 (double); pass an int"),
        (op("list_insert", "l", index=1, value=1), "index 1 in a list of 0"),
        (op("list_insert", "l", index=-1, value=1), "index -1 in a list of 0"),
        (op("list_insert", "n", index=0, value=1), "n is 0 (int), nothing to go into"),
        (op("list_insert", "s", index=0, value=1), "s is no list"),
        (op("list_erase", "l", index=0), "index 0 in a list of 0"),
        (op("list_move", "l", **{"from": 0, "to": 0}), "index 0 in a list of 0"),
        (op("list_clear", "l"), "T.l is empty already"),
        (op("set_clear", "s"), "T.s is empty already"),
        (op("dict_clear", "by"), "T.by is empty already"),
        (op("assign", "l", value=[]), "T.l is empty already"),
        (op("assign", "l", value={"a": 1}), "T.l is list<int>, not {'a': 1} (dict)"),
        (op("assign", "n", value=[1]), "T.n is int: no collection"),
        (op("set_erase", "s", value=1), "1 (int) is not in the set"),
        (op("dict_erase", "by", key="k"), "there is no key 'k'"),
    ],
    ids=json.dumps,
)  # fmt: skip
def test_an_operation_that_cannot_run_is_left_out(operation: dict[str, Any], reason: str) -> None:
    ran = stdin(text(CREATE, txn(2, operation, op("set", "c", value=1))))
    assert ran.status == 0, ran.err
    (skipped,) = ran.json["skipped"]
    assert skipped["line"] == 5
    assert skipped["op"] == operation["op"]
    assert skipped["reason"].startswith(f"operation 1: {reason}")
    expected = {**EMPTY, "key": 1, "c": 1}
    assert ran.json["state"]["T"] == [expected], "the rest of the transaction ran"


def test_what_is_there_already_is_left_out() -> None:
    twice = [op("set_insert", "s", value=1)] * 2
    moved = [*ints(1, 2), op("list_move", "l", **{"from": 1, "to": 1})]
    ran = stdin(text(CREATE, txn(2, *twice, *moved)))
    assert [each["reason"] for each in ran.json["skipped"]] == [
        "operation 2: 1 (int) is in the set already",
        "operation 5: a move of 1 onto itself",
    ]


def test_a_transaction_without_effect_leaves_no_trace() -> None:
    ran = stdin(text(CREATE, txn(2, op("list_clear", "l")), {"upload": {"peer": 2, "count": 1}},
                     {"snapshot": "a"}))  # fmt: skip
    assert len(ran.json["snapshots"]["a"]["1"]["T"]) == 1


# -- who synchronises when -----------------------------------------------------------------------
def numbers(state: dict[str, Any]) -> list[int]:
    """The field n of all objects."""
    return [item["n"] for item in state["T"]]


def test_uploads_and_downloads_one_way_and_by_count() -> None:
    writes = [txn(2, op("set", "n", value=n)) for n in (1, 2, 3)]
    found = ends(
        CREATE, SYNC, *writes,
        {"upload": {"peer": 2, "count": 1}}, {"snapshot": "one up"},
        {"download": 3}, {"snapshot": "one down"},
        {"upload": 2}, {"snapshot": "all up"},
        {"download": 3}, {"snapshot": "all down"},
    )  # fmt: skip
    seen = {
        label: [numbers(peers[who]) for who in "123"] for label, peers in found["snapshots"].items()
    }
    assert seen == {
        "one up": [[1], [3], [0]],
        "one down": [[1], [3], [1]],
        "all up": [[3], [3], [1]],
        "all down": [[3], [3], [3]],
    }


def test_a_download_by_count_takes_changesets_one_by_one() -> None:
    writes = [txn(2, op("set", "n", value=n)) for n in (1, 2, 3)]
    one = {"download": {"peer": 3, "count": 1}}
    found = ends(
        CREATE, SYNC, *writes, {"upload": 2},
        one, {"snapshot": "a"}, {"restart": 1}, one, {"snapshot": "b"},
    )  # fmt: skip
    assert numbers(found["snapshots"]["a"]["3"]) == [1]
    # What was on its way is lost with the connection: then it comes in one piece.
    assert numbers(found["snapshots"]["b"]["3"]) == [3]


def test_downloads_leave_uploads_where_they_are() -> None:
    found = ends(
        CREATE, SYNC, txn(2, op("set", "n", value=1)), txn(3, op("set", "c", value=1)),
        {"upload": 2}, {"download": 3}, {"snapshot": "a"},
    )  # fmt: skip
    assert found["snapshots"]["a"]["1"]["T"][0]["c"] == 0
    assert found["snapshots"]["a"]["3"]["T"][0]["n"] == 1


def test_a_sync_uploads_all_before_anybody_downloads() -> None:
    found = ends(CREATE, txn(3, op("create", pk=2)), {"sync": [3, 2]}, {"snapshot": "a"})
    assert len(found["snapshots"]["a"]["3"]["T"]) == 2


def test_equal_times_go_to_the_higher_peer() -> None:
    """Also at 0, right after everybody got the schema. CLOCK-2"""
    for t in (0, 1):
        writes = [txn(peer, op("create"), op("set", "n", value=peer), t=t) for peer in (9, 2, 70)]
        found = ends(*writes, {"final_sync": [70, 2, 9]}, peers=(70, 9, 2))
        assert numbers(found["state"]) == [70]


def test_the_later_time_wins() -> None:
    """MERGE-REG-1"""
    late, early = txn(2, op("set", "n", value=2), t=10), txn(3, op("set", "n", value=3), t=5)
    assert numbers(ends(CREATE, SYNC, late, early)["state"]) == [2]


@pytest.mark.parametrize("who", [1, 2])
def test_a_restart_loses_nothing(who: int) -> None:
    again = {"restart": who}
    found = ends(CREATE, again, SYNC, txn(2, op("set", "n", value=4)), again, {"upload": 2}, again)
    assert numbers(found["state"]) == [4]


def test_a_peer_with_a_query_converges_to_what_matches_it() -> None:
    lines = [
        txn(2, op("create"), op("create", pk=2), op("set", "n", pk=2, value=5),
            op("set", "one", pk=2, value={"$link": ["T", 1]})),
        SYNC, {"subscribe": {"peer": 3, "queries": {"T": "n > 3"}}}, SYNC,
    ]  # fmt: skip
    found = stdin(text(*lines), "--peers").json
    assert found["converged"]
    (held,) = found["peers"]["3"]["T"]
    assert (held["key"], held["one"]) == (2, None), "a link to what is not there is null"
    assert len(found["peers"]["2"]["T"]) == 2


# -- what it prints and how it exits -------------------------------------------------------------
def test_one_line_of_json_a_scenario(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text(text(CREATE, name="a") + '{"end":true}\n\n# no scenario\n' + text(name="b"))
    second.write_text(text({"comment": "nothing"}, name="c"))
    ran = run("scenario", first, second)
    assert ran.status == 0
    assert [found["scenario"] for found in ran.lines] == ["a", "b", "c"]
    assert ran.lines[1] == {"scenario": "b", "converged": True, "state": {"T": []}, "skipped": []}
    pretty = run("scenario", "--pretty", second)
    assert pretty.out.startswith("{\n")
    assert pretty.json == ran.lines[2]


def test_divergence_is_told_and_has_a_status(monkeypatch: pytest.MonkeyPatch) -> None:
    settle = runner._Running.settle
    monkeypatch.setattr(runner._Running, "settle", lambda _self: None)
    ran = stdin(text(txn(3, op("create"))) + text(name="b"))
    assert ran.status == 2
    first, second = ran.lines
    assert first["converged"] is False
    assert first["diverged"] == [3]
    assert [item["key"] for item in first["peers"]["3"]["T"]] == [1]
    assert list(first["peers"]) == ["3"]
    assert second["converged"] is True
    monkeypatch.setattr(runner._Running, "settle", settle)
    assert stdin(text(txn(3, op("create")))).status == 0


def test_strict_makes_an_error_of_what_is_left_out() -> None:
    ran = stdin(text(name="a") + text(txn(2, op("erase"))), "--strict")
    assert ran.status == 3
    assert len(ran.lines) == 1
    assert ran.err == "Error: stdin, line 7: erase: operation 1: there is no T 1\n"


@pytest.mark.parametrize("options", [["--nothing"], ["missing.jsonl"]])
def test_a_wrong_command_line_has_a_status_of_its_own(options: list[str]) -> None:
    ran = stdin("", *options)
    assert ran.status == 4
    assert options[0] in ran.err
    assert ran.err.count("\n") == 1


def test_a_failure_of_ours_shows_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(runner, "perform", fail)
    ran = stdin(text(CREATE))
    assert ran.status == 3
    assert ran.err.endswith("ZeroDivisionError: a defect\n")


BAD_LINES = [
    ("nonsense", "'nonsense' is not a line of JSON"),
    ("[1]", "'[1]' is no object with exactly one key"),
    ('{"a":1,"b":2}', "is no object with exactly one key"),
    ('{"upload":5}', "5 (int) is none of the peers [2, 3]"),
    ('{"upload":{"peer":2}}', "what is transferred needs 'count'"),
    ('{"upload":{"peer":2,"count":-1}}', "'count' is an integer from 0 to"),
    ('{"sync":[2,2]}', "[2, 2] names a peer twice"),
    ('{"sync":"some"}', "'sync' holds a list of peers, not 'some' (string)"),
    ('{"final_sync":[2]}', "[2] must name each of [2, 3]"),
    ('{"snapshot":1}', "'snapshot' holds a string, not 1 (int)"),
    ('{"restart":7}', "7 (int) is none of the peers"),
    ('{"restart":true}', "True (bool) is none of the peers"),
    ('{"backup":"a"}', "'backup' is not supported yet"),
    ('{"restore":"a"}', "'restore' is not supported yet"),
    ('{"reset":{"peer":2,"mode":"recover"}}', "'reset' is not supported yet"),
    ('{"merge":1}', "'merge' is no line of a scenario; there are scenario, schema"),
    ('{"schema":{"tables":[]}}', "'schema' comes once"),
    ('{"peers":[2]}', "'peers' comes once"),
    ('{"txn":{"peer":2,"t":1}}', "'txn' needs 'ops'"),
    ('{"txn":{"peer":2,"t":"1","ops":[]}}', "'t' is an integer from"),
    ('{"txn":{"peer":2,"t":1,"ops":[],"x":1}}', "'txn' has no 'x'"),
    ('{"txn":{"peer":2,"t":1,"ops":[{"op":"explode"}]}}', "is no operation; 'op' is one of"),
    ('{"txn":{"peer":2,"t":1,"ops":[5]}}', "5 is no operation"),
    ('{"subscribe":{"peer":2,"queries":{"T":"n >"}}}', "the query 'n >': "),
    ('{"subscribe":{"peer":2,"queries":{"E":"TRUEPREDICATE"}}}', "'E' (string) is no table"),
    (json.dumps(txn(2, op("create", table="X"))), "'X' (string) is no table with a pk"),
    (json.dumps(txn(2, op("set", "x", value=1))), "T has no field 'x'; there are all, at, "),
    (json.dumps(txn(2, op("set", [], value=1))), "'field' is a name or a path of names"),
    (json.dumps(txn(2, op("set", "n"))), "'set' needs 'value'"),
    (json.dumps(txn(2, op("set", "n", value=[1]))), '[1] (list) is no value; a list is {"$list"'),
    (json.dumps(txn(2, op("list_erase", "l", index="0"))), "'index' is an integer"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=[line for line, _ in BAD_LINES])
def test_a_bad_line_is_named(line: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text(name="good") + text() + line + "\n")
    ran = run("scenario", path)
    assert ran.status == 3
    assert [found["scenario"] for found in ran.lines] == ["good"]
    assert ran.err.startswith(f"Error: {path}, line 7: "), ran.err
    assert reason in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (['{"peers":[2]}'], "line 1: 'peers' before a scenario"),
        (['{"scenario":"a"}'], "line 1: the scenario 'a' has no 'schema' line"),
        (
            ['{"scenario":"a"}', '{"schema":{"tables":[]}}'],
            "line 1: the scenario 'a' has no 'peers'",
        ),
        (['{"scenario":"a"}', '{"sync":"all"}'], "line 2: 'sync' before the lines 'schema' and"),
        (['{"scenario":"a"}', '{"peers":[1,2]}'], "line 2: a peer is an integer from 2 to"),
        (['{"scenario":"a"}', '{"peers":[2,2]}'], "line 2: [2, 2] names a peer twice"),
        (['{"scenario":"a"}', '{"peers":2}'], "line 2: 'peers' holds a list of file idents"),
    ],
)
def test_what_a_scenario_needs(lines: list[str], reason: str) -> None:
    ran = stdin("\n".join(lines))
    assert ran.status == 3
    assert ran.err.startswith(f"Error: stdin, {reason}"), ran.err


def table(**parts: Any) -> dict[str, Any]:
    """A schema of one table."""
    whole = {"name": "T", "pk": {"name": "key", "type": "int"}, "fields": [], **parts}
    return {"tables": [whole]}


def typed(**parts: Any) -> dict[str, Any]:
    """A schema of one field."""
    return table(fields=[{"name": "f", "type": "int", **parts}])


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (5, "schema is an object, not 5 (int)"),
        ({}, "schema needs 'tables': a list, not None (null)"),
        (table(name=5), "a table needs 'name': a string, not 5 (int)"),
        (table(pk=None), "table 'T' needs 'pk': an object, not None (null)"),
        (table(pk={"name": "key", "type": "bool"}), "T._id is 'bool'; a primary key is one of"),
        (table(extra=1), "table 'T' has 'extra'; there are name, pk, fields, embedded"),
        (typed(name="key"), "table 'T': 'key' is the pk and a field"),
        (typed(type="integer"), "property f: 'integer' is not the name of a type"),
        (typed(type="link:X"), "T.f is link:X: there is no class 'X'"),
        (typed(type="list<int>", collection="list"), "'list<int>' and a collection 'list'"),
        (typed(collection="bag"), "field 'f' of table 'T': 'bag' is no collection"),
        (typed(nullable=1), "field 'f' of table 'T': nullable is true or false, not 1 (int)"),
        (typed(unique=True), "field 'f' of table 'T' has 'unique'"),
    ],
)
def test_a_bad_schema_is_named(schema: Any, reason: str) -> None:
    ran = stdin(f'{{"scenario":"a"}}\n{json.dumps({"schema": schema})}\n')
    assert ran.status == 3
    assert ran.err.startswith("Error: stdin, line 2: ")
    assert reason in ran.err, ran.err


# -- what was lost -----------------------------------------------------------------------------
def lost(*lines: dict[str, Any]) -> list[dict[str, Any]]:
    """What `--explain` says of a scenario."""
    start = [{"scenario": "x"}, {"schema": SCHEMA}, {"peers": [2, 3]}, CREATE, SYNC]
    text = "\n".join(json.dumps(line) for line in [*start, *lines])
    done = CliRunner().invoke(cli, ["scenario", "--explain"], input=text, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["lost"]
    return found


def test_explain_says_what_lost_to_what_and_why() -> None:
    """JOURNAL-3: whose it was, what stands there now, by whom, by which rule."""
    found = lost(
        txn(2, op("set", "n", value=5), op("dict_set", "by", key="k", value="b"), t=30),
        txn(3, op("set", "n", value=7), op("set_insert", "s", value=1), t=20),
    )
    assert found == [
        {
            "table": "T", "pk": 1, "field": ["n"], "did": "set", "value": 7, "peer": 3, "t": 20,
            "beaten": {"value": 5, "rule": "later write", "peer": 2, "t": 30},
        }
    ]  # fmt: skip


def test_explain_says_who_deleted_what_was_edited() -> None:
    """JOURNAL-3: also where the server refuses the edit before its author hears of the deletion."""
    deleted = txn(2, op("erase"), t=10)
    edited = txn(3, op("set", "n", value=7), op("list_insert", "l", index=0, value=1), t=20)
    beaten = {"value": None, "rule": "deletion", "peer": 2, "t": 10}
    for order in ([], [{"upload": 2}, {"download": 3}]):
        found = lost(edited, deleted, *order)
        assert [(each["did"], each["value"], each["peer"]) for each in found] == [
            ("inserted", 1, 3),
            ("set", 7, 3),
        ]
        assert all(each["beaten"] == beaten for each in found)


def test_explain_is_silent_where_nothing_was_lost() -> None:
    assert lost(txn(2, op("add", "c", value=1)), txn(3, op("add", "c", value=2))) == []
    plain = [{"scenario": "x"}, {"schema": SCHEMA}, {"peers": [2]}, CREATE]
    text = "\n".join(map(json.dumps, plain))
    assert "lost" not in json.loads(CliRunner().invoke(cli, ["scenario"], input=text).stdout)
