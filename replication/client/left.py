"""What a device wrote, the server took, and this device does not see: it has left the view.

Rule 1: an eviction of an object that this file wrote to since its last download is told to the
        app, after the commit that removed it here: the write is at the server, not lost. [SUB-11]
Rule 2: what others moved out of the view is an eviction like any other, told by live results only.
"""

from __future__ import annotations

from typing import NamedTuple

from replication.model.values import Key


class LeftView(NamedTuple):
    """An object that this device wrote to and that is not in its view now.

    Attributes:
        client_version: its last changeset that wrote to the object, as the server took it.
    """

    class_name: str
    key: Key
    client_version: int
