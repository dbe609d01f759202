"""Waiting for subscription sets, over real connections."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from net_peers import titles, wall_ms, write
from test_net_server import connected, in_step, serving, subscribed

from replication.client.database import Database
from replication.client.subscription_set import SubscriptionState
from replication.crdt.view import query_values
from replication.errors import SessionError, SubscriptionError, UsageError
from replication.net.facade import Sync
from replication.net.server import Place
from replication.storage.memory import MemoryStore

State = SubscriptionState


async def test_waiting_for_a_set_tells_the_state_it_ended_in() -> None:
    """SUB-2 SUB-8"""
    one, two = subscribed(), subscribed()
    async with serving() as place, connected(place, one, two) as [first, second]:
        write(one, 1, "Emma")
        await in_step(first)
        found = await second.wait_for_subscriptions()
        assert (found.version, found.state) == (1, State.COMPLETE)
        assert titles(two) == {1: "Emma"}
        with two.subscriptions.edit() as edit:
            edit.add("Book", "title == 'none'", name="more")
        with two.subscriptions.edit() as edit:
            edit.clear()
        here = await second.wait_for_subscriptions(until=State.AWAITING_MARK)
        assert here.version == 3
        assert here.state in (State.AWAITING_MARK, State.COMPLETE)
        assert titles(two) == {}
        assert (await second.wait_for_subscriptions(2)).state is State.SUPERSEDED
        assert (await second.wait_for_subscriptions(3)).state is State.COMPLETE


async def test_waiting_for_a_set_that_is_refused_or_never_served() -> None:
    """SUB-2"""
    one, two = subscribed(), Database(MemoryStore(query_values), wall_ms=wall_ms)
    with two.subscriptions.edit() as edit:
        edit.add("Book", "title == 5")  # what it can't know
    async with serving() as place, connected(place, one) as [first]:
        await first.wait_for_upload()
        async with connected(place, two) as [second]:
            with pytest.raises(SubscriptionError, match="title") as caught:
                await second.wait_for_subscriptions()
            assert caught.value.version == 1
            assert two.subscriptions.active.version == 0
        seen: list[State] = []
        stop = two.subscriptions.on_change(lambda: seen.append(two.subscriptions.latest.state))
        async with connected(place, two) as [second]:
            with pytest.raises(SubscriptionError, match="title"):
                await second.wait_for_subscriptions()
            assert seen == [State.PENDING, State.ERROR], "SUB-16: the server may know more by now"
            stop()
            with two.subscriptions.edit() as edit:
                edit.clear()
                edit.add("Book")
            assert (await second.wait_for_subscriptions()).state is State.COMPLETE
        three = subscribed()

        def application() -> None:
            url = f"ws://127.0.0.1:{place.port}/"
            with (
                Sync(three, url, "forbidden", "dev:bob") as third,
                pytest.raises(SessionError, match="forbidden"),
            ):
                third.wait_for_subscriptions(timeout=10)
            with Sync(three, url, "books", "dev:ada") as fourth:
                assert fourth.wait_for_subscriptions(timeout=10).state is State.COMPLETE

        await trio.to_thread.run_sync(application)


async def test_a_session_that_stops_ends_every_wait() -> None:
    """SUB-2: and its set stays as it was."""
    one = subscribed()
    async with connected(Place("127.0.0.1", 1), one) as [session], trio.open_nursery() as nursery:

        async def waits() -> None:
            with pytest.raises(UsageError, match="stopped"):
                await session.wait_for_subscriptions()

        nursery.start_soon(waits)
        await trio.testing.wait_all_tasks_blocked()
        session.stop()
        with pytest.raises(UsageError, match="there is no subscription set 2"):
            await session.wait_for_subscriptions(2)
    assert one.subscriptions.latest.state is State.PENDING
