"""Both session state machines: every state and message, and the rules of `spec/sessions.md`."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import replace

import pytest

from replication.errors import ErrorCode, RemoteProtocolError
from replication.history.changeset import DIGEST_START
from replication.limits import UPLOAD_BYTES_TARGET, UPLOAD_CHANGESETS_MAX
from replication.protocol import client_session as client
from replication.protocol import server_session as server
from replication.protocol.body import encode_changesets, encode_operations
from replication.protocol.client_session import ClientSession, Position
from replication.protocol.legality import RECEIVED, State, after
from replication.protocol.messages import (
    MESSAGES,
    Ack,
    Assign,
    Bind,
    Download,
    Error,
    Hello,
    Ident,
    Mark,
    Message,
    Nack,
    Partition,
    Ping,
    Pong,
    Progress,
    Query,
    QueryState,
    Token,
    Unbind,
    Unbound,
    Upload,
)
from replication.protocol.server_session import ServerSession

NO_OPERATIONS = encode_operations([])


def download(
    *, version: int = 7, mark: int = 0, last: bool = True, query_version: int = 0, base: int = 0
) -> Download:
    return Download(
        3, query_version, version, 99, mark, last, base, b"", 1.0 if last else 0.5, *NO_OPERATIONS
    )


#: One message of each kind, for session 3.
SAMPLES: list[Message] = [
    Hello(0, [1], "test"),
    Bind(3, "library", "token", 0, 0),
    Assign(3, 5, 50),
    Ident(3, 5, 0, 0, 0, DIGEST_START, 1, 0, {}),
    Token(3, "fresh"),
    Query(3, 1, {"Book": "TRUEPREDICATE"}, 0, b""),
    Upload(3, 1, *encode_changesets([b"changeset"])),
    Ack(3, 1, 8, [], []),
    Nack(3, 1, ErrorCode.CLOCK_SKEW, 1000, "too far ahead"),
    download(),
    Progress(3, 0),
    QueryState(3, 1, ErrorCode.BAD_QUERY, "no such field"),
    Mark(3, 1),
    Error(3, ErrorCode.TOKEN_EXPIRED, "expired"),
    Unbind(3),
    Unbound(3),
    Ping(0, 1),
    Pong(0, 1),
    Partition(3, "owner", False),
]


def test_the_samples_are_complete() -> None:
    assert [type(sample) for sample in SAMPLES] == list(MESSAGES)


def server_in(state: State) -> ServerSession:
    """A server session brought to a state by messages and answers."""
    session = ServerSession(3)
    if state is State.NEW:
        return session
    session.receive(SAMPLES[1])
    if state is State.BINDING:
        return session
    session.opened(5, 50, assigned=True)
    if state is State.BOUND:
        return session
    if state is State.CLOSED:
        session.receive(Unbind(3))
        return session
    session.receive(SAMPLES[3])
    if state is State.RESUMING:
        return session
    session.resumed(0, 0)
    assert state is State.ACTIVE
    return session


def client_in(state: State) -> ClientSession:
    """A client session brought to a state, with a changeset and a query on their way."""
    session = ClientSession(3)
    session.start("library", "token", Position(0, 0, 0, 0, 0, DIGEST_START, 0, 0, {}))
    if state is State.UNIDENTIFIED:
        return session
    session.receive(Assign(3, 5, 50))
    session.adopted(Position(5, 50, 0, 0, 0, DIGEST_START, 0, 0, {}))
    session.upload(1, [b"changeset"])
    session.query(1, {"Book": "TRUEPREDICATE"}, 0, b"")
    if state is State.CONNECTED:
        return session
    session.unbind()
    if state is State.UNBINDING:
        return session
    session.receive(Unbound(3))
    assert state is State.CLOSED
    return session


SERVER_STATES = [State.NEW, State.BINDING, State.BOUND, State.RESUMING, State.ACTIVE, State.CLOSED]
CLIENT_STATES = [State.UNIDENTIFIED, State.CONNECTED, State.UNBINDING, State.CLOSED]


@pytest.mark.parametrize(
    ("state", "message"),
    list(itertools.product(SERVER_STATES, SAMPLES)),
    ids=lambda item: item.value if isinstance(item, State) else type(item).__name__,
)
def test_the_server_takes_exactly_what_is_legal(state: State, message: Message) -> None:
    """LEGAL-1"""
    session = server_in(state)
    assert session.state is state
    target = RECEIVED[state].get(type(message))
    if target is None:
        with pytest.raises(RemoteProtocolError, match=type(message).__name__.upper()) as caught:
            session.receive(message)
        assert caught.value.code is ErrorCode.BAD_MESSAGE
        assert session.state is state
    else:
        session.receive(message)
        assert session.state is target


@pytest.mark.parametrize(
    ("state", "message"),
    list(itertools.product(CLIENT_STATES, SAMPLES)),
    ids=lambda item: item.value if isinstance(item, State) else type(item).__name__,
)
def test_the_client_takes_exactly_what_is_legal(state: State, message: Message) -> None:
    """LEGAL-1"""
    session = client_in(state)
    assert session.state is state
    target = RECEIVED[state].get(type(message))
    if target is None:
        with pytest.raises(RemoteProtocolError, match="not legal"):
            session.receive(message)
        assert session.state is state
    else:
        session.receive(message)
        assert session.state is target


def test_every_state_has_its_line() -> None:
    assert set(RECEIVED) == set(State)
    with pytest.raises(RemoteProtocolError, match="state 'closed' of session 3"):
        after(State.CLOSED, Mark(3, 1))


# -- the server's end --------------------------------------------------------------------------


def test_only_the_stores_answer_makes_an_acknowledgement() -> None:
    """SESSION-1"""
    session = server_in(State.ACTIVE)
    effects = session.receive(Upload(3, 1, *encode_changesets([b"a", b"b"])))
    assert effects == [server.Integrate(1, [b"a", b"b"])]
    assert session.acknowledged == 0
    ack = Ack(3, 2, 9, [], [])
    assert session.integrated(ack) == [server.Send(ack)]
    assert session.acknowledged == 2


def test_a_download_never_runs_ahead_of_its_acknowledgement() -> None:
    """SESSION-2"""
    session = server_in(State.ACTIVE)
    with pytest.raises(AssertionError, match="its ACK comes first"):
        session.downloading(download(mark=1))
    session.integrated(Ack(3, 1, 7, [], []))
    assert session.downloading(download(mark=1)) == [server.Send(download(mark=1))]


def test_a_barrier_waits_for_what_was_there_and_for_staging() -> None:
    """SESSION-3"""
    session = server_in(State.ACTIVE)
    assert session.barrier(1, 7) == []
    assert session.downloading(download(version=6)) == [server.Send(download(version=6))]
    staged = download(version=7, last=False, base=6)
    assert session.downloading(staged) == [server.Send(staged)]
    final = download(version=8, base=6)
    assert session.downloading(final) == [server.Send(final), server.Send(Mark(3, 1))]
    assert session.barrier(2, 8) == [server.Send(Mark(3, 2))]


def test_a_barrier_waits_while_a_set_is_staged_along_with_a_download() -> None:
    """SESSION-3"""
    session = server_in(State.ACTIVE)
    sent = server.Send(download(version=7))
    assert session.barrier(1, 7) == []
    assert session.downloading(download(version=7), staging=True) == [sent]
    assert session.downloading(download(version=7)) == [sent, server.Send(Mark(3, 1))]


def test_no_barrier_waits_while_nothing_can_be_served() -> None:
    """SESSION-3: until something is served again."""
    session = server_in(State.ACTIVE)
    assert session.barrier(1, 7) == []
    assert session.noticed([], stalled=True) == [server.Send(Mark(3, 1))]
    assert session.barrier(2, 9) == [server.Send(Mark(3, 2))]
    session.downloading(download(version=9))
    assert session.barrier(3, 10) == []
    assert session.noticed([], stalled=False) == []


def test_a_session_that_a_client_ends_is_closed() -> None:
    session = server_in(State.ACTIVE)
    assert session.receive(Error(3, ErrorCode.INTERNAL, "why")) == [server.Close()]
    session = server_in(State.ACTIVE)
    assert session.receive(Unbind(3)) == [server.Send(Unbound(3)), server.Close()]


def test_a_barrier_behind_a_query_waits_for_its_objects() -> None:
    """SESSION-3"""
    session = server_in(State.ACTIVE)
    session.downloading(download(version=7))
    session.idle(staging=True)
    assert session.barrier(1, 7) == []
    assert session.idle(staging=False) == [server.Send(Mark(3, 1))]


def test_what_the_client_may_not_know_to_be_acknowledged_has_to_come_again() -> None:
    """SESSION-4"""
    session = server_in(State.RESUMING)
    assert session.resumed(7, 4) == []
    assert session.acknowledged == 4
    with pytest.raises(RemoteProtocolError, match="starts at client version 6, expected 5"):
        session.receive(Upload(3, 6, *encode_changesets([b"f"])))


@pytest.mark.parametrize("first", [0, 2, 9])
def test_an_upload_with_a_gap_is_refused(first: int) -> None:
    """UP-2"""
    session = server_in(State.ACTIVE)
    with pytest.raises(RemoteProtocolError, match=f"starts at client version {first}, expected 1"):
        session.receive(Upload(3, first, *encode_changesets([b"a"])))


def test_a_resent_upload_is_handed_on_to_be_compared() -> None:
    """UP-1"""
    session = server_in(State.ACTIVE)
    session.integrated(Ack(3, 2, 9, [], []))
    effects = session.receive(Upload(3, 1, *encode_changesets([b"a", b"b", b"c"])))
    assert effects == [server.Integrate(1, [b"a", b"b", b"c"])]


def test_behind_a_refused_changeset_everything_waits_for_it() -> None:
    """UP-3"""
    session = server_in(State.ACTIVE)
    session.integrated(Ack(3, 1, 7, [], []))
    nack = Nack(3, 2, ErrorCode.CLOCK_SKEW, 1000, "too far ahead")
    assert session.integrated(nack) == [server.Send(nack)]
    assert session.receive(Upload(3, 5, *encode_changesets([b"e"]))) == []
    again = session.receive(Upload(3, 2, *encode_changesets([b"b"])))
    assert again == [server.Integrate(2, [b"b"])]


def uploads(*runs: tuple[int, list[bytes]]) -> deque[Message]:
    return deque(Upload(3, first, *encode_changesets(items)) for first, items in runs)


def test_uploads_that_wait_are_integrated_together() -> None:
    session = server_in(State.ACTIVE)
    waiting = uploads((1, [b"a"]), (2, [b"b", b"c"]), (4, [b"d"]))
    waiting.append(Mark(3, 1))
    waiting += uploads((5, [b"e"]))
    assert session.take(waiting) == [server.Integrate(1, [b"a", b"b", b"c", b"d"])]
    assert [type(message) for message in waiting] == [Mark, Upload], "in the order they came"
    session.integrated(Ack(3, 4, 9, [], []))
    assert session.take(waiting) == [server.Barrier(1)]
    assert session.take(waiting) == [server.Integrate(5, [b"e"])]


@pytest.mark.parametrize("first", [1, 2, 4], ids=["comes again", "overlaps", "has a gap"])
def test_only_what_goes_on_where_the_last_one_ended_is_integrated_with_it(first: int) -> None:
    session = server_in(State.ACTIVE)
    waiting = uploads((1, [b"a", b"b"]), (first, [b"x"]))
    assert session.take(waiting) == [server.Integrate(1, [b"a", b"b"])]
    assert len(waiting) == 1


def test_an_upload_that_can_not_be_read_does_no_harm_to_those_before_it() -> None:
    session = server_in(State.ACTIVE)
    waiting = uploads((1, [b"a"]), (2, [b"b"]))
    waiting.append(Upload(3, 3, 5, b"noise"))
    assert session.take(waiting) == [server.Integrate(1, [b"a", b"b"])]
    assert session.integrated(Ack(3, 2, 9, [], [])) == [server.Send(Ack(3, 2, 9, [], []))]
    with pytest.raises(RemoteProtocolError):
        session.take(waiting)


def test_what_is_integrated_together_is_no_more_than_one_upload_holds() -> None:
    session = server_in(State.ACTIVE)
    many = [b"a"] * (UPLOAD_CHANGESETS_MAX - 1)
    waiting = uploads(
        (1, many), (UPLOAD_CHANGESETS_MAX, [b"b"]), (UPLOAD_CHANGESETS_MAX + 1, [b"c"])
    )
    assert session.take(waiting) == [server.Integrate(1, [*many, b"b"])]
    session.integrated(Ack(3, UPLOAD_CHANGESETS_MAX, 9, [], []))
    large = bytes(UPLOAD_BYTES_TARGET)
    waiting += uploads((UPLOAD_CHANGESETS_MAX + 2, [large]))
    (effect,) = session.take(waiting)
    assert effect == server.Integrate(UPLOAD_CHANGESETS_MAX + 1, [b"c"])


def test_an_ident_for_another_file_is_refused() -> None:
    session = server_in(State.BOUND)
    with pytest.raises(RemoteProtocolError, match="names file 6, but the session is bound to 5"):
        session.receive(Ident(3, 6, 0, 0, 0, DIGEST_START, 0, 0, {}))


def test_progress_past_what_was_sent_is_refused() -> None:
    session = server_in(State.ACTIVE)
    session.downloading(download(version=7))
    assert session.receive(Progress(3, 7)) == [server.Confirm(7)]
    with pytest.raises(RemoteProtocolError, match="PROGRESS to 8, but only 7 was sent"):
        session.receive(Progress(3, 8))


def test_failing_ends_the_session_once() -> None:
    session = server_in(State.ACTIVE)
    effects = session.failed(ErrorCode.TOKEN_EXPIRED, "x" * 20_000)
    assert isinstance(effects[0], server.Send)
    assert isinstance(effects[0].message, Error)
    assert len(effects[0].message.message) <= 8 * 1024
    assert effects[1] == server.Close()
    assert session.failed(ErrorCode.INTERNAL, "again") == []


# -- the client's end --------------------------------------------------------------------------


def test_nothing_is_sent_before_the_file_is_identified() -> None:
    """SESSION-5"""
    session = client_in(State.UNIDENTIFIED)
    assert not session.ready
    with pytest.raises(AssertionError):
        session.upload(1, [b"a"])
    with pytest.raises(AssertionError):
        session.query(1, {}, 0, b"")


def test_a_known_file_identifies_itself_at_once() -> None:
    session = ClientSession(3)
    position = Position(5, 50, 7, 70, 2, DIGEST_START, 4, 1, {"Book": "TRUEPREDICATE"})
    bind, ident = session.start("library", "token", position)
    assert bind == client.Send(Bind(3, "library", "token", 5, 50))
    assert ident == client.Send(
        Ident(3, 5, 7, 70, 2, DIGEST_START, 4, 1, {"Book": "TRUEPREDICATE"})
    )
    assert session.ready
    assert (session.uploaded, session.cursor, session.query_version) == (2, 7, 1)


def test_uploads_are_consecutive() -> None:
    """SESSION-5"""
    session = client_in(State.CONNECTED)
    with pytest.raises(AssertionError):
        session.upload(3, [b"c"])
    session.upload(2, [b"b", b"c"])
    assert session.uploaded == 3


def test_a_repeated_download_is_ignored() -> None:
    """SESSION-6"""
    session = client_in(State.CONNECTED)
    assert session.receive(download()) == [client.Apply(download())]
    assert session.applied(7, 0) == [client.Send(Progress(3, 7))]
    assert session.receive(download()) == []


def test_a_query_sets_download_counts_even_at_the_same_cursor() -> None:
    """SESSION-6"""
    session = client_in(State.CONNECTED)
    session.receive(download())
    session.applied(7, 0)
    fresh = download(query_version=1)
    assert session.receive(fresh) == [client.Apply(fresh)]
    session.applied(7, 1)
    assert session.receive(fresh) == []


def test_downloads_that_can_not_be_are_violations() -> None:
    """SESSION-6"""
    session = client_in(State.CONNECTED)
    session.receive(Ack(3, 1, 7, [], []))
    session.receive(download(mark=1))
    session.applied(7, 0)
    with pytest.raises(RemoteProtocolError, match="DOWNLOAD to 6"):
        session.receive(download(version=6, mark=1))
    with pytest.raises(RemoteProtocolError, match="mark 0, but"):
        session.receive(download(version=8, mark=0))
    with pytest.raises(RemoteProtocolError, match="covers client version 2"):
        session.receive(download(version=8, mark=2))
    with pytest.raises(RemoteProtocolError, match="query version 4"):
        session.receive(download(version=8, mark=1, query_version=4))


def test_acknowledgements_advance_once() -> None:
    session = client_in(State.CONNECTED)
    ack = Ack(3, 1, 7, [], [])
    assert session.receive(ack) == [client.Acknowledge(ack)]
    assert session.receive(ack) == []
    with pytest.raises(RemoteProtocolError, match="ACK of client version 5, but only 1 was sent"):
        session.receive(Ack(3, 5, 9, [], []))


def test_a_refused_stamp_sends_everything_from_there_again() -> None:
    """UP-3"""
    session = client_in(State.CONNECTED)
    session.upload(2, [b"b", b"c"])
    session.receive(Ack(3, 1, 7, [], []))
    nack = Nack(3, 2, ErrorCode.CLOCK_SKEW, 1000, "too far ahead")
    assert session.receive(nack) == [client.Restamp(nack)]
    assert session.uploaded == 1
    with pytest.raises(RemoteProtocolError, match="NACK of client version 4"):
        session.receive(Nack(3, 4, ErrorCode.CLOCK_SKEW, 1000, ""))


FORGOTTEN = Nack(3, 1, ErrorCode.FORGOTTEN, 1000, "what was dead at 9 is forgotten")


def test_uploads_wait_between_a_refusal_and_the_horizon() -> None:
    """SESSION-9: whichever comes first."""
    session = client_in(State.CONNECTED)
    session.upload(2, [b"b", b"c"])
    refused = replace(FORGOTTEN, client_version=2)
    session.receive(Ack(3, 1, 7, [], []))
    assert session.receive(refused) == []
    assert (session.waiting, session.uploaded) == (True, 1)
    session.applied(8, 0, 0)
    assert session.waiting, "that DOWNLOAD brought no horizon"
    session.applied(9, 0, 9)
    assert not session.waiting
    session.upload(2, [b"B", b"C"])
    session.applied(12, 0, 12)
    assert session.waiting, "what is on its way is refused"
    assert session.receive(refused) == []
    assert (session.waiting, session.uploaded) == (False, 1)
    session.applied(12, 0, 12)
    assert not session.waiting
    session.upload(2, [b"B"])
    session.receive(refused)
    assert session.waiting, "for a horizon that it has not heard of"


def test_errors_end_the_session_with_their_code() -> None:
    """ERR-2"""
    session = client_in(State.CONNECTED)
    effects = session.receive(Error(3, ErrorCode.TOKEN_EXPIRED, "expired"))
    assert effects == [client.Ended(ErrorCode.TOKEN_EXPIRED, "expired")]
    other = client_in(State.CONNECTED)
    assert other.receive(Error(3, 999, "?")) == [client.Ended(ErrorCode.INTERNAL, "?")]


def test_after_unbind_what_was_on_its_way_is_ignored() -> None:
    session = client_in(State.UNBINDING)
    assert session.receive(Ack(3, 1, 7, [], [])) == []
    assert session.receive(download()) == []
    assert session.receive(Unbound(3)) == [client.Ended(None, "")]
    assert session.unbind() == []


def test_query_failures_marks_and_tokens() -> None:
    session = client_in(State.CONNECTED)
    with pytest.raises(RemoteProtocolError, match="QUERY_STATE of query version 2, but 0"):
        session.receive(QueryState(3, 2, ErrorCode.BAD_QUERY, "never asked"))
    failed = session.receive(QueryState(3, 1, ErrorCode.BAD_QUERY, "no field 'x'"))
    assert failed == [client.QueryFailed(1, ErrorCode.BAD_QUERY, "no field 'x'")]
    assert session.mark(4) == [client.Send(Mark(3, 4))]
    assert session.receive(QueryState(3, 1, 0, "")) == [client.QueryServed(1)]
    assert session.query_version == 0, "to be sent again"
    assert session.query(1, {}, 0, b"") == [client.Send(Query(3, 1, {}, 0, b""))]
    session.query(2, {}, 0, b"")
    assert session.receive(QueryState(3, 1, 0, "")) == [client.QueryServed(1)]
    assert session.query_version == 2, "another one has taken its place"
    assert session.receive(Mark(3, 4)) == [client.Passed(4)]
    assert session.token("fresh") == [client.Send(Token(3, "fresh"))]
