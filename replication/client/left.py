"""What a device wrote, the server took, and this device does not see: it has left the view.

Rule 1: an eviction of an object that this file wrote to since its last download is told to the
        app, after the commit that removed it here: the write is at the server, not lost. [SUB-11]
Rule 2: what others moved out of the view is an eviction like any other, told by live results only.
Rule 3: it is durable with the eviction until the app has heard of it: in this process or, where
        nobody listened or it died before, in a later one. Then it is forgotten. It is no entry of
        the journal, where it would drive out what is lost. [SUB-13]
"""

from __future__ import annotations

from typing import NamedTuple

from replication.client.records import LEFT
from replication.limits import LEFT_VIEW_MAX
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import Key
from replication.storage.contract import Reader, Writer, int_from_key, int_key


class LeftView(NamedTuple):
    """An object that this device wrote to and that was not in its view afterwards.

    Attributes:
        client_version: its last changeset that wrote to the object, as the server took it.
    """

    class_name: str
    key: Key
    client_version: int


def note(writer: Writer, left: list[LeftView]) -> None:
    """Keep them until they are told; past LEFT_VIEW_MAX the oldest ones go. Rule 3."""
    last = 0
    for key, _ in writer.records(LEFT, reverse=True, limit=1):
        last = int_from_key(key)
    for number, each in enumerate(left, start=last + 1):
        writer.put_record(LEFT, int_key(number), pack(list(each)))
    told(writer, last + len(left) - LEFT_VIEW_MAX)


def untold(reader: Reader) -> tuple[list[LeftView], int]:
    """Those nobody was told of yet, oldest first, and the number of the last one; 0 for none."""
    out: list[LeftView] = []
    last = 0
    for key, data in reader.records(LEFT):
        out.append(LeftView(*unpack_trusted(data)))
        last = int_from_key(key)
    return out, last


def told(writer: Writer, number: int) -> None:
    """The app has heard of all up to that one."""
    if number > 0:
        writer.delete_records(LEFT, last=int_key(number))
