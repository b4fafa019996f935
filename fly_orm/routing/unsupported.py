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
LOCK_HERE = (
    "a READ ONLY transaction runs on the replica, where a lock keeps nobody out and commands such as NOTIFY fail, and "
    "this one has read a snapshot or made settings there, so it cannot go on on the primary. Take the lock, or execute "
    "the command, before the transaction or as its first statement, or begin the transaction in a block of "
    "fly_orm.primary()"
)
COPIED_LOCKS = (
    "COPY called a function that takes advisory locks on the replica, where they keep nobody out; they were released. "
    "Execute it in a block of fly_orm.primary()"
)
