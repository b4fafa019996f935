"""Why a request of a lease has no reply of its own."""

from __future__ import annotations


class ConnectionBroken(Exception):
    """The connection to the primary broke. ``undecided`` says whether something may have been committed just then.

    ``ended`` says that nothing goes on there: it was the server that ended the connection.
    """

    def __init__(self, message: str, *, undecided: bool, ended: bool = False) -> None:
        super().__init__(message)
        self.undecided = undecided
        self.ended = ended


class TooLate(Exception):
    """Its caller's deadline passed before the request, or what is left of it, could begin; it is rolled back."""
