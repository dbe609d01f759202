"""Which message is legal when: the one table for both ends. [LEGAL]

Rule 1: everything that decides whether a received message is legal is in RECEIVED. The sessions
        check against it, `spec/sessions.md` prints it, a test walks every state and message.
Rule 2: a state names who is being waited for. `...ING` states wait for our own side (a store, an
        authenticator); nothing may arrive in them because the shell feeds a session one message
        at a time.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from replication.errors import RemoteProtocolError
from replication.protocol.messages import (
    Ack,
    Assign,
    Bind,
    Download,
    Error,
    Ident,
    Mark,
    Message,
    Nack,
    Partition,
    Progress,
    Query,
    QueryState,
    Token,
    Unbind,
    Unbound,
    Upload,
)


class State(Enum):
    """States of a session; those of the server's end and of the client's."""

    # server's end
    NEW = "new"
    BINDING = "binding"
    BOUND = "bound"
    RESUMING = "resuming"
    ACTIVE = "active"
    # client's end
    UNIDENTIFIED = "unidentified"
    CONNECTED = "connected"
    UNBINDING = "unbinding"
    # both
    CLOSED = "closed"


#: state -> {message that may be received: the state after it}
RECEIVED: Final[dict[State, dict[type[Message], State]]] = {
    State.NEW: {Bind: State.BINDING},
    State.BINDING: {},
    State.BOUND: {
        Ident: State.RESUMING,
        Token: State.BOUND,
        Unbind: State.CLOSED,
        Error: State.CLOSED,
    },
    State.RESUMING: {},
    State.ACTIVE: {
        Upload: State.ACTIVE,
        Query: State.ACTIVE,
        Progress: State.ACTIVE,
        Mark: State.ACTIVE,
        Token: State.ACTIVE,
        Unbind: State.CLOSED,
        Error: State.CLOSED,
    },
    State.UNIDENTIFIED: {
        Partition: State.UNIDENTIFIED,
        Assign: State.CONNECTED,
        Error: State.CLOSED,
    },
    State.CONNECTED: {
        Partition: State.CONNECTED,
        Ack: State.CONNECTED,
        Nack: State.CONNECTED,
        Download: State.CONNECTED,
        QueryState: State.CONNECTED,
        Mark: State.CONNECTED,
        Error: State.CLOSED,
    },
    # What was on its way when we unbound still arrives, and is ignored.
    State.UNBINDING: {
        Partition: State.UNBINDING,
        Assign: State.UNBINDING,
        Ack: State.UNBINDING,
        Nack: State.UNBINDING,
        Download: State.UNBINDING,
        QueryState: State.UNBINDING,
        Mark: State.UNBINDING,
        Unbound: State.CLOSED,
        Error: State.CLOSED,
    },
    State.CLOSED: {},
}


def after(state: State, message: Message) -> State:
    """The state after receiving ``message``.

    Raises:
        RemoteProtocolError: it is not legal in ``state``. [LEGAL-1]
    """
    target = RECEIVED[state].get(type(message))
    if target is None:
        raise RemoteProtocolError(
            f"{type(message).__name__.upper()} is not legal in state {state.value!r} "
            f"of session {message.session}"
        )
    return target
