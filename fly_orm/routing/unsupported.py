"""What does not work from a secondary region, and what to do instead."""

from ..classify import Kind

ASYNCHRONOUS = (
    "an asynchronous connection cannot be routed; use a synchronous connection, or a database that is not wrapped"
)
_SETTING = (
    "client_encoding and standard_conforming_strings cannot change inside a transaction on the primary; set them before"
)
UNSUPPORTED = {
    Kind.SET: _SETTING,
    Kind.SET_LOCAL: _SETTING,
    Kind.LISTEN: "LISTEN does not work on a replica, where no notification arrives; listen in the primary region. "
    "NOTIFY works in every region",
    Kind.TWO_PHASE: "two-phase commit does not work from a secondary region; run it in the primary region",
}
UNKNOWN_END = (
    "a string of several statements ends a transaction that has changed session settings, so it is not known whether "
    "they were committed; execute COMMIT or ROLLBACK by itself"
)
