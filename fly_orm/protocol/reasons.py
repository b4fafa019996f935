"""Why a node declines a request, as :class:`.messages.Declined` and :class:`fly_orm.Refused` say it.

Where nothing else is said, nothing was executed. A newer node may give a reason that is not here.
"""

from __future__ import annotations

from ..errors import NotPrimary

NOT_PRIMARY = NotPrimary.reason
#: All connections, or threads, of the node are in use.
BUSY = "busy"
#: The node closes this channel, as it has no place for it.
FULL = "full"
#: The node is shutting down. This may be the last reply that it sends over the channel.
DRAINING = "draining"
UNKNOWN_DATABASE = "unknown database"
UNKNOWN_FUNCTION = "unknown function"
BAD_ARGUMENTS = "bad arguments"
BAD_REQUEST = "bad request"
#: The request could begin only after its caller's deadline.
EXPIRED = "expired"
#: A pooler does not keep Postgres sessions.
NO_SESSION = "no session"
#: The node's role may not act as the caller's.
NO_ROLE = "no role"
#: The primary does not accept the caller's session settings.
SESSION_SETTINGS = "session settings"
#: There is no connection to the primary.
UNAVAILABLE = "unavailable"
#: The database has no ledger that the caller may use.
NO_LEDGER = "no ledger"
#: The caller was told that the request will not happen.
VOIDED = "voided"
#: The operation key was used before: by a transaction that has committed, or by another operation.
COMMITTED_BEFORE, OTHER_OPERATION = "committed before", "other operation"
#: The operation was executed before, and its result was not stored.
RESULT_LOST = "result lost"
#: The function's result cannot be sent; what it did was rolled back.
NOT_PORTABLE = "not portable"
#: The primary cannot tell what became of the request that was asked about.
UNDECIDED = "undecided"
#: The lease is gone, and its transaction was rolled back.
LOST = "lost"
#: The connection to the primary broke, and a commit may or may not have happened.
UNKNOWN = "unknown"
