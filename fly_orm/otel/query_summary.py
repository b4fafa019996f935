"""A summary of few words of a statement, which many statements share: ``db.query.summary`` of OpenTelemetry.

The rules are those of OpenTelemetry's semantic conventions for database client spans, "Generating a summary of the
query": operations and their targets, in their order and as they are written.
"""

from __future__ import annotations

import re
from functools import lru_cache

#: The most characters of a summary.
_LONGEST = 255
_NAME = r'(?:"(?:[^"]|"")*"|[^\W\d][\w$]*)'
_TOKEN = re.compile(rf"%s|%\([^)]*\)s|{_NAME}(?:\.{_NAME})*|[(),;]")
#: Operations, after which the name of a target may follow at once.
_OPERATIONS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "CALL", "TRUNCATE"})
_NAMED_NEXT = frozenset({"UPDATE", "COPY", "CALL", "TRUNCATE"})
#: What introduces a target in any statement.
_INTRODUCING = frozenset({"INTO", "JOIN"})
#: What makes UPDATE, or DELETE, something other than an operation: FOR UPDATE, DO UPDATE, ON DELETE.
_NO_OPERATION_AFTER = frozenset({"FOR", "KEY", "DO", "ON"})
#: What may stand before the name of a target.
_SKIPPED = frozenset({"ONLY", "TABLE", "LATERAL", "IF", "NOT", "EXISTS", "CONCURRENTLY"})
#: Where a list of targets ends.
_CLAUSES = frozenset(
    {"WHERE", "SET", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "RETURNING", "ON", "VALUES", "WINDOW"}
)
_DEFINING = frozenset({"CREATE", "ALTER", "DROP"})
_KINDS = frozenset(
    {
        *("TABLE", "INDEX", "VIEW", "FUNCTION", "PROCEDURE", "SEQUENCE", "SCHEMA", "TYPE", "TRIGGER", "ROLE", "USER"),
        *("EXTENSION", "DATABASE", "DOMAIN", "POLICY"),
    }
)


@lru_cache(512)
def summary_of(sql: str) -> str:
    """The summary of a statement without literals, such as ``INSERT orders SELECT carts``; empty if there is none."""
    tokens = [token for token in _TOKEN.findall(sql) if token[0] != "%"]  # without placeholders
    if tokens and tokens[0].upper() in _DEFINING:
        return _joined(_definition(tokens))
    found = _operations(tokens)
    return _joined(found or tokens[:1])


def _definition(tokens: list[str]) -> list[str]:
    """The words of a command that defines an object up to the object's kind, and its name."""
    kind = next((at for at, token in enumerate(tokens) if token.upper() in _KINDS), None)
    if kind is None:
        return tokens[:1]
    names = (token for token in tokens[kind + 1 :] if token.upper() not in _SKIPPED)
    return [*tokens[: kind + 1], *(name for name in [next(names, "")] if name and name not in "(),;")]


def _operations(tokens: list[str]) -> list[str]:
    found: list[str] = []
    scopes = [_Scope()]
    before = ""
    for each in tokens:
        word, scope = each.upper(), scopes[-1]
        if each == "(":
            scope.expects = False
            scopes.append(_Scope())
        elif each == ")":
            scopes = scopes[:-1] or [_Scope()]
        elif each == ",":
            scope.expects = scope.lists
        elif each == ";":
            scopes = [_Scope()]
        elif scope.takes(word, before):
            found.append(each)
        before = word
    return found


class _Scope:
    """What is being read between two parentheses."""

    def __init__(self) -> None:
        self.expects = False
        """Whether the next name is that of a target."""
        self.lists = False
        """Whether a further target may follow after a comma."""
        self._has_operation = False
        """Whether FROM introduces a target here, which it does not in EXTRACT(…)."""

    def takes(self, word: str, before: str) -> bool:
        """Whether a word, in upper case, is part of the summary."""
        if word in _OPERATIONS and before not in _NO_OPERATION_AFTER:
            self._has_operation, self.expects, self.lists = word != "COPY", word in _NAMED_NEXT, False
            return True
        if word in _INTRODUCING or (word in ("FROM", "USING") and self._has_operation and before != "DISTINCT"):
            self.expects, self.lists = True, word in ("FROM", "USING")
        elif word in _CLAUSES:
            self.expects = self.lists = False
        elif self.expects and word not in _SKIPPED:
            self.expects = False
            return True
        return False


def _joined(words: list[str]) -> str:
    summary = ""
    for word in words:
        longer = f"{summary} {word}" if summary else word
        if len(longer) > _LONGEST:
            break
        summary = longer
    return summary
