"""What is bounded, and by how much: every limit of the project, in one place.

Rule 1: a limit is checked before memory is allocated for what it bounds.
Rule 2: a peer that passes a limit gets a `LimitExceeded` naming the value and the limit.
Rule 3: a number here is also in `spec/limits.md`; a test holds the two together.
"""

from __future__ import annotations

from typing import Final

# -- values and changesets -------------------------------------------------------------------
#: The least int.
INT64_MIN: Final = -(2**63)
#: The greatest int.
INT64_MAX: Final = 2**63 - 1
#: Lists and maps inside each other in any encoded body (MessagePack's encoder ends at 511).
DEPTH_MAX: Final = 400
#: Embedded objects inside each other. Each costs up to six lists and maps of the encoded body.
NESTING_MAX: Final = 64
#: Lists and dictionaries inside each other in a mixed value.
CONTAINER_NESTING_MAX: Final = 100
#: UTF-8 bytes of one string or bytes of one binary value.
VALUE_BYTES_MAX: Final = 16 * 1024 * 1024 - 1024
#: UTF-8 bytes of a class name.
CLASS_NAME_BYTES_MAX: Final = 57
#: UTF-8 bytes of a property name.
PROPERTY_NAME_BYTES_MAX: Final = 63
#: Properties of one class.
PROPERTIES_MAX: Final = 1000
#: Classes of one schema.
CLASSES_MAX: Final = 1000
#: Properties of all classes of one schema together.
SCHEMA_PROPERTIES_MAX: Final = 20_000
#: UTF-8 bytes of a string primary key.
KEY_BYTES_MAX: Final = 1024
#: UTF-8 bytes of a dictionary key.
DICTIONARY_KEY_BYTES_MAX: Final = 1024
#: Bytes of one encoded changeset, of one head, and of one part.
CHANGESET_BYTES_MAX: Final = 16 * 1024 * 1024
#: Objects one changeset may touch.
CHANGESET_OBJECTS_MAX: Final = 100_000
#: Elements of a list that one part holds; a longer list is split.
LIST_PART_ELEMENTS_MAX: Final = 256
#: Bare places and erased elements that the deltas of one changeset may name together: ranges of
#: them cost no bytes.
LIST_BARE_IDS_MAX: Final = 200_000
#: The greatest client id of an update of text: what a double holds exactly.
TEXT_CLIENT_MAX: Final = 2**53 - 1
#: The greatest clock of an update of text.
TEXT_CLOCK_MAX: Final = 2**31 - 1
#: Bytes of a format of text, name and JSON value together.
TEXT_FORMAT_BYTES_MAX: Final = 1024
#: Arrays and objects in the JSON value of a format.
TEXT_FORMAT_DEPTH_MAX: Final = 8
#: Updates a head keeps of a text before they are made one.
TEXT_TAIL_UPDATES_MAX: Final = 64
#: Bytes a head keeps of a text; what is more goes into parts.
TEXT_TAIL_BYTES_MAX: Final = 4096
#: Bytes up to which parts of a text are made one.
TEXT_PART_BYTES_TARGET: Final = 64 * 1024
#: The greatest file ident: 1 is the server, clients start at 2.
IDENT_MAX: Final = 2**48 - 1
#: The greatest sequence of an id.
SEQUENCE_MAX: Final = 2**53 - 1

# -- clock -----------------------------------------------------------------------------------
#: The largest time of a stamp: 48 bits of milliseconds, 16 bits of counter, one bit to spare.
TIME_MAX: Final = 2**63 - 1
#: How far ahead of the server's clock a stamp may be, in milliseconds.
CLOCK_SKEW_MS_MAX: Final = 60_000

# -- frames and sessions ---------------------------------------------------------------------
#: Bytes of one WebSocket message, compressed or not.
FRAME_BYTES_MAX: Final = 24 * 1024 * 1024
#: Bytes a compressed body may grow to.
BODY_BYTES_MAX: Final = 24 * 1024 * 1024
#: A body is compressed above this many bytes.
COMPRESS_BYTES_MIN: Final = 512
#: Connections a server has open, unless it is told otherwise.
CONNECTIONS_MAX: Final = 10_000
#: Bytes a connection may send before one of its sessions was let in: room for a few tokens.
STRANGER_BYTES_MAX: Final = 256 * 1024
#: Sessions of one connection.
SESSIONS_PER_CONNECTION_MAX: Final = 1000
#: UTF-8 bytes of a token.
TOKEN_BYTES_MAX: Final = 64 * 1024
#: Characters of the secret in an anonymous token, at least: nobody guesses another's.
ANONYMOUS_SECRET_CHARACTERS_MIN: Final = 32
#: UTF-8 bytes of what names a user.
USER_BYTES_MAX: Final = 256
#: Bytes of the object that holds a user's custom data: each session keeps it in memory.
CUSTOM_DATA_BYTES_MAX: Final = 16 * 1024
#: UTF-8 bytes of the name of a namespace.
NAMESPACE_BYTES_MAX: Final = 128
#: UTF-8 bytes of the message of an error.
ERROR_MESSAGE_BYTES_MAX: Final = 8 * 1024
#: Changesets in one UPLOAD.
UPLOAD_CHANGESETS_MAX: Final = 1000
#: Bytes after which a client starts another UPLOAD.
UPLOAD_BYTES_TARGET: Final = 1024 * 1024
#: Log entries that one exact DOWNLOAD covers; a client further behind is staged by state.
DOWNLOAD_ENTRIES_MAX: Final = 1000
#: Bytes after which the server starts another DOWNLOAD.
DOWNLOAD_BYTES_TARGET: Final = 1024 * 1024
#: UPLOADs of one session the server holds before it stops reading from that connection.
UPLOADS_IN_FLIGHT_MAX: Final = 64
#: Bytes of them after which it stops as well.
UPLOADS_IN_FLIGHT_BYTES: Final = 4 * 1024 * 1024
#: Changesets the server integrates in one commit.
COMMIT_CHANGESETS_MAX: Final = 1000
#: Refusals remembered for one client file until the client has confirmed them.
REFUSALS_MAX: Final = 100_000
#: Refusals named one by one for one changeset; the others are counted.
REFUSALS_PER_CHANGESET_MAX: Final = 1000
#: Bytes of the refusals named one by one for one changeset: paths share what is long in them.
REFUSALS_PER_CHANGESET_BYTES: Final = 1024 * 1024
#: UTF-8 bytes of the reason of a refusal.
REASON_BYTES_MAX: Final = 64
#: Bytes of one object at the server, parts included: it must fit one message.
OBJECT_BYTES_MAX: Final = 16 * 1024 * 1024
#: Bytes of what sessions share while they are at the same place: decoded changes, bodies.
SHARED_BYTES_MAX: Final = 32 * 1024 * 1024
#: Objects that left the view of a client file and that its app was not told of; the oldest go.
LEFT_VIEW_MAX: Final = 10_000

# -- the journal of a client file ---------------------------------------------------------------
#: Entries of a journal; past it the oldest ones go.
JOURNAL_ENTRIES_MAX: Final = 10_000
#: Bytes of all entries of a journal.
JOURNAL_BYTES_MAX: Final = 64 * 1024 * 1024
#: Bytes of the parts that one entry names; the others are counted.
JOURNAL_ENTRY_BYTES_MAX: Final = 16 * 1024 * 1024
#: Synchronised deltas that a client file keeps, to tell when they lose; past it the oldest
#: go until half is left.
KEPT_DELTAS_MAX: Final = 10_000
#: Bytes of all of them.
KEPT_BYTES_MAX: Final = 4 * 1024 * 1024
#: A delta of more bytes is not kept.
KEPT_DELTA_BYTES_MAX: Final = 64 * 1024

# -- queries and subscriptions ---------------------------------------------------------------
#: UTF-8 bytes of one query.
QUERY_BYTES_MAX: Final = 256 * 1024
#: Parentheses of a query inside each other.
QUERY_DEPTH_MAX: Final = 100
#: Values of one list in a query.
QUERY_LIST_MAX: Final = 10_000
#: Operators of one calculation in a query.
QUERY_OPERATORS_MAX: Final = 100
#: Steps of one path in a query.
QUERY_STEPS_MAX: Final = 32
#: Code points of a pattern of LIKE, and words of one TEXT: a search takes their product with the
#: length of a value.
QUERY_PATTERN_MAX: Final = 256
#: Points of one polygon in a query.
QUERY_POLYGON_POINTS_MAX: Final = 10_000
#: Links that a query follows, in both directions, to judge one object.
QUERY_FOLLOWED_MAX: Final = 1_000_000
#: The same, of an object that a subscription asks for.
QUERY_FOLLOWED_SERVER_MAX: Final = 1000
#: How deep SUBQUERY nests.
QUERY_SUBQUERY_DEPTH_MAX: Final = 4
#: How deep FOLLOW goes.
QUERY_FOLLOW_DEPTH_MAX: Final = 16
#: SORT, DISTINCT, LIMIT and FOLLOW after one condition, and properties in one of them.
QUERY_MODIFIERS_MAX: Final = 16
#: Subscriptions of one file.
SUBSCRIPTIONS_MAX: Final = 1000
#: Queryable fields of a namespace in legacy mode.
QUERYABLE_LEGACY_MAX: Final = 10
#: Columns of one class that a server makes by itself, at a field's first use in a query.
QUERIED_COLUMNS_MAX: Final = 64

#: Expressions, lists or fields of a rule inside each other, and lists in what is known of a user.
RULE_DEPTH_MAX: Final = 50
#: UTF-8 bytes of the name of a role.
ROLE_NAME_BYTES_MAX: Final = 100
#: UTF-8 bytes of the place in a rules file that a refusal names, and of the clause.
RULE_CLAUSE_BYTES_MAX: Final = 1024

# -- timers of the network shell, in seconds ---------------------------------------------------
#: How long a client waits for a connection.
CONNECT_TIMEOUT_S: Final = 30.0
#: How often a client pings.
PING_PERIOD_S: Final = 60.0
#: How long it waits for the answer.
PONG_TIMEOUT_S: Final = 120.0
#: A peer that sends nothing for so long is gone: clients ping, so living ones are never silent.
SILENCE_MAX_S: Final = PING_PERIOD_S + PONG_TIMEOUT_S
#: The delay after the first failure; each further one doubles it.
BACKOFF_FIRST_S: Final = 1.0
#: The longest delay.
BACKOFF_MAX_S: Final = 300.0
#: The part of a delay that jitter may take away.
BACKOFF_JITTER: Final = 0.25
#: A connection or session that was of use for so long has succeeded: delays start afresh.
BACKOFF_STABLE_S: Final = 10.0
#: How long a graceful shutdown waits for connections to say goodbye.
SHUTDOWN_GRACE_S: Final = 5.0
#: How long a connection may take until its first session is bound.
HANDSHAKE_TIMEOUT_S: Final = 30.0
#: How long closing a connection waits for the other end's goodbye.
CLOSE_TIMEOUT_S: Final = 2.0
#: How far the clocks of who issues tokens and of the server may differ, in seconds.
TOKEN_LEEWAY_S: Final = 30.0
#: How long before a token expires a client asks for a fresh one; sooner for short-lived ones.
TOKEN_REFRESH_AHEAD_S: Final = 60.0
#: How often a server looks whether files of its operator have changed: keys, revocations.
FILES_CHECK_S: Final = 1.0
#: How long a command waits for what it asks of a running server.
CONTROL_TIMEOUT_S: Final = 600.0
#: How long a client may keep PROGRESS back, to tell it with something else.
PROGRESS_DELAY_S: Final = 1.0
