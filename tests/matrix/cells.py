"""What the caller sees in each cell of the matrix. The tests and docs/reliability.md are made from this."""

from __future__ import annotations

from dataclasses import dataclass

from tests.matrix.faults import FAULTS
from tests.matrix.moments import MOMENTS
from tests.matrix.operations import OPERATIONS


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the caller sees, and what became of the write."""

    seen: tuple[str, ...]
    """The class of the error, or ``done`` if there is none. There are two where it depends on who is faster."""
    stored: int
    """How often the write was executed in the end."""
    text: str
    """What the page says."""


def _expected(seen: str, stored: int, text: str = "") -> Expected:
    return Expected(seen=(seen,), stored=stored, text=text or f"`{seen}`")


CODES = {
    "done": _expected("done", 1, "done"),
    "then-lost": _expected("done, then TransactionLost", 0, "done, then `TransactionLost`"),
    "undelivered": _expected("NotDelivered", 0),
    "refused": _expected("Refused", 0),
    # A node that drains hangs up, or declines the request if all of it has arrived by then.
    "turned-away": Expected(seen=("NotDelivered", "Refused"), stored=0, text="`NotDelivered` or `Refused`"),
    "lost": _expected("TransactionLost", 0),
    "unknown-0": _expected("OutcomeUnknown", 0, "`OutcomeUnknown` (no)"),
    "unknown-1": _expected("OutcomeUnknown", 1, "`OutcomeUnknown` (yes)"),
    "its-own": _expected("OperationalError", 0, "`OperationalError`"),
}

#: What an error promises: how often the write may have been executed.
PROMISED = {
    "done": {1},
    "done, then TransactionLost": {0},
    "NotDelivered": {0},
    "Refused": {0},
    "TransactionLost": {0},
    "OutcomeUnknown": {0, 1},
    "OperationalError": {0, 1},
}

#: Cells that cannot occur, and why.
IMPOSSIBLE = {
    ("waiting", "statement"): "A statement in a transaction does not wait for the replica: its `COMMIT` does",
}

_TABLES = {
    #             cut          stall        deaf         killed       restarted   terminated  draining
    "write": """
        before    undelivered  unknown-0    unknown-0    undelivered  done        done        refused
        sending   undelivered  undelivered  undelivered  undelivered  done        done        turned-away
        sent      unknown-0    unknown-0    unknown-0    unknown-0    done        done        refused
        executing unknown-0    unknown-0    unknown-0    unknown-0    unknown-0   unknown-0   done
        executed  unknown-1    unknown-1    unknown-1    unknown-1    done        done        done
        replying  unknown-1    unknown-1    unknown-1    unknown-1    done        done        done
        waiting   done         done         done         done         done        done        done
    """,
    "statement": """
        before    lost         lost         lost         lost         lost        lost        done
        sending   lost         lost         lost         lost         lost        lost        done
        sent      lost         lost         lost         lost         lost        lost        done
        executing lost         lost         lost         lost         lost        lost        done
        executed  lost         lost         lost         lost         then-lost   then-lost   done
        replying  lost         lost         lost         lost         then-lost   then-lost   done
    """,
    "commit": """
        before    lost         unknown-0    unknown-0    lost         lost        lost        done
        sending   unknown-0    unknown-0    unknown-0    unknown-0    lost        lost        done
        sent      unknown-0    unknown-0    unknown-0    unknown-0    lost        lost        done
        executing unknown-0    unknown-0    unknown-0    unknown-0    lost        lost        done
        executed  unknown-1    unknown-1    unknown-1    unknown-1    done        done        done
        replying  unknown-1    unknown-1    unknown-1    unknown-1    done        done        done
        waiting   done         done         done         done         done        done        done
    """,
    "function": """
        before    undelivered  unknown-0    unknown-0    undelivered  done        done        refused
        sending   undelivered  undelivered  undelivered  undelivered  done        done        turned-away
        sent      unknown-0    unknown-0    unknown-0    unknown-0    done        done        refused
        executing unknown-0    unknown-0    unknown-0    unknown-0    its-own     its-own     done
        executed  unknown-1    unknown-1    unknown-1    unknown-1    done        done        done
        replying  unknown-1    unknown-1    unknown-1    unknown-1    done        done        done
        waiting   done         done         done         done         done        done        done
    """,
    "copy": """
        before    undelivered  unknown-0    unknown-0    undelivered  done        done        refused
        sending   lost         lost         lost         lost         done        done        turned-away
        sent      unknown-0    unknown-0    unknown-0    unknown-0    done        done        refused
        executing unknown-0    unknown-0    unknown-0    unknown-0    unknown-0   unknown-0   done
        executed  unknown-1    unknown-1    unknown-1    unknown-1    done        done        done
        replying  unknown-1    unknown-1    unknown-1    unknown-1    done        done        done
        waiting   done         done         done         done         done        done        done
    """,
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One place in the matrix."""

    moment: str
    operation: str
    fault: str

    def __str__(self) -> str:
        return f"{self.moment}-{self.fault}"


EXPECTED: dict[Cell, Expected] = {
    Cell(moment=moment, operation=operation, fault=fault): CODES[code]
    for operation, table in _TABLES.items()
    for moment, *codes in (line.split() for line in table.strip().splitlines())
    for fault, code in zip(FAULTS, codes, strict=True)
}


def cells(operation: str) -> list[Cell]:
    """The cells of an operation that can occur."""
    return [cell for cell in EXPECTED if cell.operation == operation]


def unknown(operation: str) -> list[Cell]:
    """The cells of an operation in which the outcome is unknown. Of a deaf peer, one stands for all of them."""
    found = [cell for cell in cells(operation) if "OutcomeUnknown" in EXPECTED[cell].seen]
    return [cell for cell in found if cell.fault != "deaf" or cell.moment == "before"]


def with_ledger(cell: Cell) -> Expected:
    """What the caller sees where the outcome would be unknown, but there is a ledger, and a node that can be asked."""
    if EXPECTED[cell].stored:
        return CODES["done"]
    if cell.operation == "commit":
        return CODES["lost"]
    if cell.moment == "executing" and cell.fault in ("restarted", "terminated"):
        return CODES["lost"]  # its node knows that the COMMIT was not sent
    return CODES["undelivered"]


def page() -> str:
    """The tables for the documentation, one for all operations of which the same is true."""
    titles: dict[str, list[str]] = {}
    for key, operation in OPERATIONS.items():
        titles.setdefault(_table(key), []).append(operation.title)
    return "\n\n".join(f"### {' · '.join(same)}\n\n{table}" for table, same in titles.items())


def _table(operation: str) -> str:
    rows = [["the fault comes", *(fault.title for fault in FAULTS.values())], ["---"] * (len(FAULTS) + 1)]
    for key, moment in MOMENTS.items():
        if (key, operation) in IMPOSSIBLE:
            texts = ["cannot occur" for _ in FAULTS]
        else:
            texts = [EXPECTED[Cell(moment=key, operation=operation, fault=fault)].text for fault in FAULTS]
        rows.append([moment.title, *texts])
    reasons = [f"{why}." for (_, of), why in IMPOSSIBLE.items() if of == operation]
    return "\n\n".join(["\n".join(f"| {' | '.join(row)} |" for row in rows), *reasons])
