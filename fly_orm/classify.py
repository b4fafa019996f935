"""What a statement does to where it must run, told from its text alone.

An allow-list: what is not known to be answered by a replica as by the primary needs the primary. Two things no text
can tell: a user's function that writes (the replica refuses it, and then the primary runs it), and one that catches
that refusal (name it to the Classifier). The rules about hot standby are those of the Postgres manual, section 26.4.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from .lexer import END, Reader, UnterminatedError, identifier, is_name, literal, statements, tokens

_MEMO_STATEMENTS = 4096
_MEMO_LONGEST_CHARS = 8192


class Kind(enum.Enum):
    """What a statement does, as far as routing cares."""

    READ = "read"  # a replica answers it as the primary would
    WRITE = "write"  # needs the primary, or could not be told apart
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"
    RELEASE = "release"
    ROLLBACK_TO = "rollback to"
    SET = "set"  # changes settings of the session, so belongs in every session that serves this caller
    SET_LOCAL = "set local"  # lasts for the transaction
    LISTEN = "listen"
    UNLISTEN = "unlisten"
    TWO_PHASE = "two-phase"
    SERVER = "server"  # acts on the very server that the caller reads from: process ids are per server


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """What the text of a statement tells.

    name: of the savepoint, as the server folds it, or of the setting in lower case; None if none or several are meant.
    read_only: a BEGIN that a replica can serve. simple: a transaction command that is known completely, so that it may
    be delayed. pins: leaves state in the session that serves it. resets: forgets all earlier settings. primary_only: a
    setting that a replica refuses, or that would break reads on it. copy: the direction of a COPY with the client.
    """

    kind: Kind
    why: str
    name: str | None = None
    read_only: bool = False
    simple: bool = False
    isolation: str | None = None
    pins: bool = False
    resets: bool = False
    primary_only: bool = False
    copy: Literal["in", "out"] | None = None


class Classifier:
    """Tells statements apart, remembering the texts it has seen. Any thread may call.

    primary_functions: names of further functions that need the primary, with or without their schema.
    """

    def __init__(self, primary_functions: Iterable[str] = ()) -> None:
        self._grammar = _Grammar(primary_functions)
        self._memo: dict[str, Statement] = {}

    def __call__(self, sql: str) -> Statement:
        """What ``sql`` is: a statement, or several, as psycopg2 takes them, placeholders included. Never raises."""
        return self._memo.get(sql) or self._remember(sql)

    def _remember(self, sql: str) -> Statement:
        statement = self._classify(sql)
        if len(sql) <= _MEMO_LONGEST_CHARS:
            if len(self._memo) >= _MEMO_STATEMENTS:
                self._memo.clear()
            self._memo[sql] = statement
        return statement

    def _classify(self, sql: str) -> Statement:
        if len(sql) > _MEMO_LONGEST_CHARS and _is_bulk_insert(sql):
            return _write("bulk INSERT")
        try:
            found = [self._grammar.statement(part) for part in statements(sql)]
        except UnterminatedError as error:
            return _write(str(error))
        if len(found) != 1:
            return _several(found) if found else Statement(kind=Kind.READ, why="nothing to run")
        return _with_savepoint(found[0], sql) if found[0].kind in _SAVEPOINTS else found[0]


_INSERT = re.compile(r"[ \t\n\r\f]*insert[ \t\n\r\f]", re.IGNORECASE)


def _is_bulk_insert(sql: str) -> bool:
    """Whether rows, megabytes of them, need no lexing: no second statement, no call that leaves something behind."""
    if not _INSERT.match(sql):
        return False
    text = sql.lower()
    return not any(mark in text for mark in (";", "set_config", "_lock", "dblink", "_setup"))


_SAVEPOINTS = {Kind.SAVEPOINT, Kind.RELEASE, Kind.ROLLBACK_TO}


def _write(why: str, *, pins: bool = False) -> Statement:
    return Statement(kind=Kind.WRITE, why=why, pins=pins)


def _several(found: list[Statement]) -> Statement:
    """What statements in one string are together: they run in one place, and in one transaction."""
    why = f"{len(found)} statements in one string"
    kinds = {statement.kind for statement in found}
    copy = next((statement.copy for statement in found if statement.copy), None)
    for kind in (Kind.TWO_PHASE, Kind.LISTEN):
        if kind in kinds:
            return Statement(kind=kind, why=why)
    if kinds <= {Kind.READ, Kind.SERVER}:
        return Statement(kind=Kind.SERVER if Kind.SERVER in kinds else Kind.READ, why=why, copy=copy)
    pins = Kind.SET in kinds or any(statement.pins for statement in found)
    return Statement(kind=Kind.WRITE, why=why, pins=pins, copy=copy)


_LEVELS = {
    ("serializable",): "SERIALIZABLE",
    ("repeatable", "read"): "REPEATABLE READ",
    ("read", "committed"): "READ COMMITTED",
    ("read", "uncommitted"): "READ UNCOMMITTED",
}


@dataclass
class _Modes:
    isolation: str | None = None
    read_only: bool | None = None
    known: bool = True


def _modes(reader: Reader) -> _Modes:
    """The transaction modes from here to the end; the server lets a later one win over an earlier."""
    modes = _Modes()
    while _mode(reader, modes):
        if reader.peek() == END:
            return modes
        reader.accept(",")
    modes.known = False
    return modes


def _mode(reader: Reader, modes: _Modes) -> bool:
    if reader.accept("isolation", "level"):
        level = next((name for words, name in _LEVELS.items() if reader.accept(*words)), None)
        modes.isolation = level or modes.isolation
        return level is not None
    if reader.accept("read", "only") or reader.accept("read", "write"):
        modes.read_only = reader.tokens[reader.at - 1] == "only"
        return True
    return reader.accept("deferrable") or reader.accept("not", "deferrable")


def _begin(reader: Reader) -> Statement:
    reader.accept_any("work", "transaction")
    modes = _Modes() if reader.peek() == END else _modes(reader)
    return Statement(
        kind=Kind.BEGIN,
        why="BEGIN",
        isolation=modes.isolation,
        simple=modes.known,
        read_only=modes.known and modes.read_only is True and modes.isolation != "SERIALIZABLE",
    )


def _start(reader: Reader) -> Statement:
    return _begin(reader) if reader.peek() == "transaction" else _write("unknown command START")


def _end(kind: Kind) -> Callable[[Reader], Statement]:
    def end(reader: Reader) -> Statement:
        if reader.accept("prepared"):
            return Statement(kind=Kind.TWO_PHASE, why=f"{kind.name} PREPARED")
        reader.accept_any("work", "transaction")
        if kind is Kind.ROLLBACK and reader.accept("to"):
            return Statement(kind=Kind.ROLLBACK_TO, why="ROLLBACK TO")
        reader.accept("and", "no", "chain")
        return Statement(kind=kind, why=kind.name, simple=reader.peek() == END)

    return end


_BEFORE_NAME = {
    Kind.SAVEPOINT: re.compile(r"savepoint"),
    Kind.RELEASE: re.compile(r"release( savepoint)?"),
    Kind.ROLLBACK_TO: re.compile(r"(rollback|abort)( work| transaction)? to( savepoint)?"),
}


def _with_savepoint(statement: Statement, sql: str) -> Statement:
    """The statement with the savepoint's name, whose letters only the text as it was written has."""
    words = [text for text in tokens(sql) if text not in {END, ";"}]
    name = identifier(words[-1])
    if not _BEFORE_NAME[statement.kind].fullmatch(" ".join(words[:-1]).lower()) or name is None:
        return statement
    # The server cuts names to 63 bytes of its own encoding, which is not known here.
    return replace(statement, name=name, simple=len(name.encode("utf-8", "replace")) < 64)


_SETTINGS = {
    ("time", "zone"): "timezone",
    ("names",): "client_encoding",
    ("schema",): "search_path",
    ("role",): "role",
    ("seed",): "seed",
    ("xml", "option"): "xmloption",
    ("session", "authorization"): "session_authorization",
    ("transaction", "isolation", "level"): "transaction_isolation",
}
_HARMLESS = {
    "transaction_isolation": {"read committed", "read uncommitted", "repeatable read"},
    "transaction_read_only": {"on", "true", "yes", "1", "t", "y"},
}


def _breaks_reads(name: str | None, value: str | None) -> bool:
    """Whether a replica refuses this value of a setting, or refuses reads under it; so if the value is not known."""
    harmless = _HARMLESS.get((name or "").removeprefix("default_"))
    return harmless is not None and value not in harmless


def _setting_name(reader: Reader) -> str | None:
    for words, name in _SETTINGS.items():
        if reader.accept(*words):
            return name
    name_parts = [identifier(reader.next())]
    while reader.accept("."):
        name_parts.append(identifier(reader.next()))
    return ".".join(part.lower() for part in name_parts if part) if all(name_parts) else None


def _setting_value(reader: Reader) -> str | None:
    reader.accept_any("to", "=")
    value = reader.next()
    return (value if literal(value) is None else literal(value)) if reader.peek() == END else None


def _set(reader: Reader) -> Statement:
    kind = Kind.SET_LOCAL if reader.accept("local") else Kind.SET
    if kind is Kind.SET and reader.tokens[1:2] not in (["authorization"], ["characteristics"]):
        reader.accept("session")
    if reader.accept("session", "characteristics", "as", "transaction"):
        return _set_modes(kind, "SET SESSION CHARACTERISTICS", _modes(reader))
    if reader.accept("transaction"):
        return _set_modes(Kind.SET_LOCAL, "SET TRANSACTION", _modes(reader))
    if reader.accept("constraints"):
        return Statement(kind=Kind.SET_LOCAL, why="SET CONSTRAINTS")
    name = _setting_name(reader)
    why = "SET LOCAL" if kind is Kind.SET_LOCAL else "SET"
    primary_only = name is None or _breaks_reads(name, _setting_value(reader))
    return Statement(kind=kind, why=why, name=name, primary_only=primary_only)


def _set_modes(kind: Kind, why: str, modes: _Modes) -> Statement:
    primary_only = not modes.known or modes.isolation == "SERIALIZABLE" or modes.read_only is False
    return Statement(kind=kind, why=why, primary_only=primary_only)


def _reset(reader: Reader) -> Statement:
    if reader.accept("all"):
        return Statement(kind=Kind.SET, why="RESET ALL", resets=True)
    name = _setting_name(reader)
    return Statement(kind=Kind.SET, why="RESET", name=name, primary_only=name is None or _breaks_reads(name, None))


def _discard(reader: Reader) -> Statement:
    what = reader.next()
    return Statement(kind=Kind.SET, why=f"DISCARD {what.upper()}", resets=what == "all")


def _prepare(reader: Reader) -> Statement:
    if reader.peek() == "transaction":
        return Statement(kind=Kind.TWO_PHASE, why="PREPARE TRANSACTION")
    return _write("PREPARE leaves a statement in the session", pins=True)


def _declare(reader: Reader) -> Statement:
    hold = any(pair == ("with", "hold") for pair in pairwise(reader.tokens))
    return _write("DECLARE", pins=hold)


_TEMPORARY = re.compile(r"(or replace )?(global |local )?temp(orary)? ")


def _create(reader: Reader) -> Statement:
    what = reader.tokens
    if not (_TEMPORARY.match(" ".join(what[:5])) or _uses_pg_temp(what)):
        return _write("CREATE")
    return _write("CREATE TEMP", pins=" on commit drop " not in " ".join([*what, END]))


def _uses_pg_temp(found: Iterable[str]) -> bool:
    return "pg_temp" in found or '"pg_temp"' in found


def _plain(kind: Kind, why: str, *, pins: bool = False) -> Callable[[Reader], Statement]:
    statement = Statement(kind=kind, why=why, pins=pins)
    return lambda reader: statement


_COMMANDS: dict[str, Callable[[Reader], Statement]] = {
    "abort": _end(Kind.ROLLBACK),
    "begin": _begin,
    "commit": _end(Kind.COMMIT),
    "create": _create,
    "declare": _declare,
    "discard": _discard,
    "end": _end(Kind.COMMIT),
    "listen": _plain(Kind.LISTEN, "LISTEN"),
    "load": _plain(Kind.WRITE, "LOAD leaves a library in the session", pins=True),
    "prepare": _prepare,
    "release": _plain(Kind.RELEASE, "RELEASE"),
    "reset": _reset,
    "rollback": _end(Kind.ROLLBACK),
    "savepoint": _plain(Kind.SAVEPOINT, "SAVEPOINT"),
    "set": _set,
    "show": _plain(Kind.READ, "SHOW"),
    "start": _start,
    "unlisten": _plain(Kind.UNLISTEN, "UNLISTEN"),
}
#: Named only so that they are not called unknown: whatever is not listed anywhere is a write too.
_WRITES = re.compile(
    "alter|analy[sz]e|call|checkpoint|close|cluster|comment|deallocate|delete|do|drop|execute|fetch|grant|import|insert"
    "|lock|merge|move|notify|reassign|refresh|reindex|revoke|security|truncate|update|vacuum"
)

_QUERY_WORDS = frozenset({"select", "values", "table", "with"})
_FUNCTIONS = re.compile(
    r"""
    (?P<settings> set_config )
  | (?P<server>   pg_terminate_backend | pg_cancel_backend | pg_log_backend_memory_contexts )
  | (?P<pins>     pg_(?:try_)?advisory_lock(?:_shared)? | dblink_(?:connect(?:_u)?|open|send_query)
              | pg_replication_origin_session_setup )
  | (?P<primary>
        nextval | setval | currval | lastval | pg_notify | pg_nextoid
      | pg_(?:try_)?advisory_xact_lock(?:_shared)? | pg_advisory_unlock\w*
      | lo_\w+ | loread | lowrite | dblink\w*
      | txid_current | pg_current_xact_id | pg_export_snapshot
      | pg_current_wal_\w+ | pg_switch_wal | pg_walfile_name\w* | pg_create_\w+ | pg_drop_\w+ | pg_logical_\w+
      | pg_replication_\w+ | pg_copy_\w+ | pg_sync_replication_slots | pg_stop_making_pinned_objects
      | pg_stat_\w*reset\w* | pg_(?:restore|clear)_\w+_stats
      | pg_reload_conf | pg_promote | pg_rotate_logfile\w* | pg_current_logfile
      | pg_backup_\w+ | pg_(?:start|stop)_backup | pg_wal_replay_(?:pause|resume) | pg_log_standby_snapshot
      | pg_read_\w+ | pg_ls_\w+ | pg_stat_file | pg_file_\w+ | pg_import_system_collations | pg_extension_config_dump
      | brin_(?:de)?summarize_\w+ | gin_clean_pending_list | pg_truncate_visibility_map | binary_upgrade_\w+
    )""",
    re.VERBOSE,
)
#: May stand beside set_config() in a SELECT that is run in two sessions.
_REPEATABLE = {"select", "values", "coalesce", "nullif", "current_setting", "concat", "format", "cast"}
_REPEATABLE |= {"set_config", '"set_config"'}
_LOCKS = (("update",), ("no", "key", "update"), ("share",), ("key", "share"))


class _Grammar:
    """What one statement is, given the functions that need the primary."""

    def __init__(self, primary_functions: Iterable[str]) -> None:
        names = [name.lower().rpartition(".") for name in primary_functions]
        self._schemas = {name: {s for s, _, n in names if n == name} for _, _, name in names}

    def statement(self, part: list[str]) -> Statement:
        """What the statement of these tokens is; a write may leave state behind only by a function that it calls."""
        statement = self._command(part)
        if statement.kind is Kind.WRITE and not statement.pins and self._leaves_state(part):
            return replace(statement, pins=True)
        return statement

    def _command(self, part: list[str]) -> Statement:
        first = part[0]
        if first in _QUERY_WORDS or first == "(":
            return self._query(part)
        if (command := _COMMANDS.get(first)) is not None:
            return command(Reader(part[1:]))
        if first == "explain":
            return self._explain(Reader(part[1:]))
        if first == "copy":
            return self._copy(Reader(part[1:]))
        return _write(first.upper() if _WRITES.fullmatch(first) else f"unknown command {first.upper()[:40]}")

    def _query(self, part: list[str]) -> Statement:
        start = next((i for i, text in enumerate(part) if text != "("), 0)
        if part[start] not in _QUERY_WORDS:
            return _write("parentheses around no query")
        words = set(part)
        statement = _into(part, words) or _locks(part, words) or _dml(part, words)
        if statement is None and (effects := self._effects(part)):
            statement = _from_effects(effects, part)
        if statement is None and _uses_pg_temp(words):
            statement = _write("pg_temp is a schema of one session")
        return statement or Statement(kind=Kind.READ, why=part[start].upper())

    def _leaves_state(self, part: list[str]) -> bool:
        effects = self._effects(part)
        return "pins" in effects or ("settings" in effects and not _is_local(_set_config_arguments(part)))

    def _effects(self, part: list[str]) -> dict[str, str]:
        """What the functions called do, each effect with the first of them."""
        effects: dict[str, str] = {}
        for at in [i - 1 for i, text in enumerate(part) if text == "("]:
            if effect := self._effect(part, at):
                effects.setdefault(effect, part[at].strip('"'))
        return effects

    def _effect(self, part: list[str], at: int) -> str | None:
        """What the call of the function named at this index does, if it is known to do anything."""
        text = part[at] if at >= 0 else END  # a parenthesis that opens the statement follows nothing
        if text.startswith(("%s", "%(", 'u&"')):
            return "unreadable"
        name = text.strip('"')
        if name in self._schemas and self._matches(name, part, at):
            return "primary"
        match = _FUNCTIONS.fullmatch(name)
        return match and match.lastgroup

    def _matches(self, name: str, part: list[str], at: int) -> bool:
        schemas = self._schemas[name]
        return "" in schemas or at < 2 or part[at - 1] != "." or part[at - 2].strip('"') in schemas

    def _explain(self, reader: Reader) -> Statement:
        """What an EXPLAIN is: it runs the statement only if told to ANALYZE."""
        analyze = False
        if reader.peek() == "(" and reader.tokens[1] not in _QUERY_WORDS | {"("}:
            analyze = _analyze(reader.skip_parentheses())
        while reader.accept_any("analyze", "analyse", "verbose"):
            analyze |= reader.tokens[reader.at - 1] != "verbose"
        part = reader.tokens[reader.at :]
        if part[0] not in _EXPLAINABLE:
            return _write("EXPLAIN of an unknown command")
        if not analyze:
            return Statement(kind=Kind.READ, why="EXPLAIN")
        return _around("EXPLAIN ANALYZE", self.statement(part))

    def _copy(self, reader: Reader) -> Statement:
        """What a COPY is, and whether the client sends or receives its data."""
        inner = Statement(kind=Kind.READ, why="of a table")
        if reader.peek() == "(":
            inner = self.statement(reader.skip_parentheses())
        else:
            _skip_table(reader)
        if reader.accept("from"):
            client = reader.accept_any("stdin", "stdout")
            return Statement(kind=Kind.WRITE, why="COPY FROM", copy="in" if client else None)
        if not (reader.accept("to") and reader.accept_any("stdout", "stdin")):
            return _write("COPY")
        return replace(_around("COPY TO STDOUT", inner), copy="out")


def _around(command: str, inner: Statement) -> Statement:
    """What a command is that runs the inner statement."""
    kind = inner.kind if inner.kind in {Kind.READ, Kind.SERVER} else Kind.WRITE
    return Statement(kind=kind, why=f"{command} {inner.why}", pins=inner.pins or inner.kind is Kind.SET)


_EXPLAINABLE = _QUERY_WORDS | {"(", "insert", "update", "delete", "merge", "create", "declare", "refresh", "execute"}


def _into(part: list[str], words: set[str]) -> Statement | None:
    if "into" not in words:
        return None
    for command in ("insert", "merge"):
        if command in words:
            return _write(f"{command.upper()} inside a query")
    after = part[part.index("into") + 1 :][:2]
    return _write("SELECT INTO", pins=not {"temp", "temporary"}.isdisjoint(after) or _uses_pg_temp(after))


def _locks(part: list[str], words: set[str]) -> Statement | None:
    if "for" not in words:
        return None
    for at in [i + 1 for i, text in enumerate(part) if text == "for"]:
        for lock in _LOCKS:
            if part[at : at + len(lock)] == list(lock):
                return _write(f"FOR {' '.join(lock).upper()} locks rows")
    return None


def _dml(part: list[str], words: set[str]) -> Statement | None:
    """DELETE and UPDATE of a WITH; INSERT and MERGE are met by their INTO. Columns may be named like them."""
    if "with" not in words or words.isdisjoint({"delete", "update"}):
        return None
    for text, after in pairwise(part):
        if text == "delete" and after == "from":
            return _write("DELETE inside a query")
        if text == "update" and (is_name(after) or after[:2] in {"%s", "%("}):
            return _write("UPDATE inside a query")
    return None


def _from_effects(effects: dict[str, str], part: list[str]) -> Statement:
    for effect in ("pins", "primary", "unreadable"):
        if effect in effects:
            return _write(f"{effects[effect]}() needs the primary")
    if "settings" in effects:
        return _set_config(part)
    return Statement(kind=Kind.SERVER, why=f"{effects['server']}() acts on this server")


def _set_config(part: list[str]) -> Statement:
    """SELECT set_config(...): a SET, if it can be run in two sessions and mean the same."""
    others = {part[i - 1] for i, text in enumerate(part) if text == "(" and i and is_name(part[i - 1])} - _REPEATABLE
    if "from" in part or others:
        return _write("set_config() within a query")
    calls = _set_config_arguments(part)
    names = [_setting_argument(call, 0) for call in calls]
    breaks = any(_breaks_reads(n, _setting_argument(call, 1)) for n, call in zip(names, calls, strict=True))
    name = names[0] if len(names) == 1 else None
    kind = Kind.SET_LOCAL if _is_local(calls) else Kind.SET
    return Statement(kind=kind, why="set_config()", name=name, primary_only=breaks)


def _set_config_arguments(part: list[str]) -> list[list[list[str]]]:
    starts = [i + 1 for i, text in enumerate(part) if text.strip('"') == "set_config" and part[i + 1] == "("]
    return [Reader(part[start:]).arguments() for start in starts]


def _is_local(calls: list[list[list[str]]]) -> bool:
    return all(arguments[2:] in ([["true", END]], [["'true'", END]], [["'t'", END]]) for arguments in calls)


def _setting_argument(arguments: list[list[str]], at: int) -> str | None:
    argument = arguments[at] if at < len(arguments) else []
    return literal(argument[0]) if len(argument) == 2 else None


def _analyze(options: list[str]) -> bool:
    """Whether a list of EXPLAIN's options says ANALYZE and does not take it back."""
    pairs = pairwise(options)
    off = {"false", "off", "0", "'false'", "'off'", "'0'"}
    return any(option in {"analyze", "analyse"} and value not in off for option, value in pairs)


def _skip_table(reader: Reader) -> None:
    reader.accept("binary")
    while reader.peek() not in {END, "(", "from", "to"}:
        reader.next()
    if reader.peek() == "(":
        reader.skip_parentheses()
