"""How far a download in several messages is: what has come of it, and what share that is.

Rule 1: it never runs backwards: over cuts, restarts of either end, and a server that begins anew,
        the share stays where it was until what comes is further. What came twice counts twice, as
        it was transferred twice. [BOOT-6]
Rule 2: it is 1.0 exactly when the download has taken effect. [BOOT-6]
Rule 3: another subscription set, or another catching up, starts at nothing. One message that
        brings no new set is no download to wait for, and changes nothing here.
"""

from __future__ import annotations

from typing import NamedTuple

from replication.protocol.messages import Download


class DownloadProgress(NamedTuple):
    """What has come of a download that takes effect as a whole.

    Attributes:
        query_version: the subscription set it brings, or brings up to date.
        objects: states that have come.
        bytes: of the messages, as they travelled.
        fraction: the share of the whole, as the server estimates it: 0.0 to 1.0.
    """

    query_version: int = 0
    objects: int = 0
    bytes: int = 0
    fraction: float = 1.0


def advanced(
    before: DownloadProgress, download: Download, objects: int, active: int
) -> DownloadProgress:
    """The progress with one more message.

    Args:
        objects: the states it held.
        active: the query version that was active before it.
    """
    whole = before.fraction == 1.0
    if whole and download.last and download.query_version <= active:
        return before  # Rule 3
    if whole or before.query_version != download.query_version:
        before = DownloadProgress(download.query_version, fraction=0.0)
    # Whatever the server says: the last one makes it whole, and nothing else does.
    fraction = 1.0 if download.last else min(max(before.fraction, download.progress), _ALMOST)
    return DownloadProgress(
        before.query_version,
        before.objects + objects,
        before.bytes + len(download.body),
        fraction,
    )


_ALMOST = 1.0 - 2.0**-20
