"""The agent of a client file: in which order what is pending goes out."""

from __future__ import annotations

from worlds import Device, World

from replication.protocol.messages import Message, Query, Upload


class Heard(Device):
    """A device whose uploads and queries are written down."""

    said: list[Message]

    def send(self, out: list[Message]) -> None:
        self.said += [message for message in out if isinstance(message, Upload | Query)]
        super().send(out)


def test_a_subscription_set_is_sent_behind_what_was_written_before_it() -> None:
    """SESSION-7: and before what was written after it."""
    device = Heard(World(devices=0), 0)
    device.said = []
    device.subscribe()
    device.sync()
    device.cut()
    device.said = []

    def write(key: int) -> int:
        with device.db.write() as tx:
            tx.create("Book", key)
        return device.db.local.client_version

    first, _ = write(1), write(2)
    device.subscribe("year > 5")
    last = write(3)
    device.sync()
    before, query, after = device.said
    assert isinstance(before, Upload)
    assert isinstance(query, Query)
    assert isinstance(after, Upload)
    assert (before.first, after.first) == (first, last)
    assert query.queries == {"Book": "year > 5"}
    assert not device.db.pending
