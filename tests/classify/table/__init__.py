"""The table of statements: what each is, and what a hot standby says to it."""

from tests.classify.table.reads import READS
from tests.classify.table.row import ACCEPTED, NOT_RUN, OTHER_MEANING, SCHEMA
from tests.classify.table.session import REST, SETTINGS
from tests.classify.table.transactions import TRANSACTIONS
from tests.classify.table.writes import WRITES

ROWS = [*READS, *WRITES, *TRANSACTIONS, *SETTINGS, *REST]

__all__ = ["ACCEPTED", "NOT_RUN", "OTHER_MEANING", "READS", "ROWS", "SCHEMA"]
