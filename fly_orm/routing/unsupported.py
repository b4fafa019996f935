"""What a secondary region cannot do, and what to do instead."""

from ..classify import Kind

ASYNCHRONOUS = "an asynchronous connection cannot be routed; use a synchronous one, or an unwrapped database"
_SETTING = (
    "client_encoding and standard_conforming_strings cannot change inside a transaction on the primary; set it before"
)
UNSUPPORTED = {
    Kind.SET: _SETTING,
    Kind.SET_LOCAL: _SETTING,
    Kind.LISTEN: "LISTEN would wait on a replica, where no notification arrives; listen in the primary region, on a "
    "connection of its own. NOTIFY works from everywhere",
    Kind.TWO_PHASE: "two-phase commit cannot be done from a secondary region; run it in the primary region",
}
UNKNOWN_END = (
    "several statements in one string end a transaction that has changed settings of the session, and do not tell "
    "whether these hold; execute COMMIT or ROLLBACK by itself"
)
