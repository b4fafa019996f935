"""The functions that a replica refuses, or that have another meaning there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from .lexer import END, is_name

_FUNCTIONS = re.compile(
    r"""
    (?P<session_settings> set_config )
  | (?P<server>   pg_terminate_backend | pg_cancel_backend | pg_log_backend_memory_contexts )
  | (?P<leaves_state>     pg_(?:try_)?advisory_lock(?:_shared)? | dblink_(?:connect(?:_u)?|open|send_query)
              | pg_replication_origin_session_setup | setseed )
  | (?P<locks>    pg_(?:try_)?advisory_xact_lock(?:_shared)? )
  | (?P<outside>  dblink\w* | lo_(?:ex|im)port | pg_export_snapshot
      | pg_stat_\w*reset\w* | pg_(?:restore|clear)_\w+_stats
      | pg_reload_conf | pg_promote | pg_rotate_logfile\w* | pg_current_logfile
      | pg_wal_replay_(?:pause|resume) | pg_log_standby_snapshot
      | pg_read_\w+ | pg_ls_\w+ | pg_stat_file | pg_file_\w+ )
  | (?P<primary>
        nextval | setval | currval | lastval | pg_nextoid
      | pg_advisory_unlock\w*
      | lo_\w+ | loread | lowrite
      | pg_stop_making_pinned_objects | pg_extension_config_dump )
  | (?P<recovery>
        pg_notify | txid_current | pg_current_xact_id
      | pg_current_wal_\w+ | pg_switch_wal | pg_walfile_name\w* | pg_create_\w+ | pg_drop_\w+ | pg_logical_\w+
      | pg_replication_\w+ | pg_copy_\w+ | pg_sync_replication_slots
      | pg_backup_\w+ | pg_(?:start|stop)_backup
      | pg_import_system_collations
      | brin_(?:de)?summarize_\w+ | gin_clean_pending_list | pg_truncate_visibility_map | binary_upgrade_\w+
    )""",
    re.VERBOSE,
)


def function_names(tokens: list[str]) -> frozenset[str]:
    """The names that are followed by a parenthesis: functions, and some keywords."""
    return frozenset(name.strip('"') for name, after in pairwise(tokens) if after == "(" and is_name(name))


class KnownFunctions:
    """Postgres' functions that need the primary, and those that the user has named."""

    def __init__(self, primary_functions: Iterable[str]) -> None:
        names = [name.lower().rpartition(".") for name in primary_functions]
        self._schemas = {name: {s for s, _, n in names if n == name} for _, _, name in names}

    def effects(self, tokens: list[str]) -> dict[str, str]:
        """The effects of the functions that are called, each with the name of the first function that has it.

        leaves_state: leaves state in the Postgres session.
        locks: takes a lock that lasts as long as the transaction.
        session_settings: changes session settings.
        server: acts on the server that runs it.
        outside: acts outside of the database, which no rollback undoes; a replica would do it, too.
        recovery: a replica refuses it, although a READ ONLY transaction on the primary executes it.
        primary: needs the primary in another way; as a rule, a replica refuses it.
        unreadable: the text does not show which function is called.
        """
        effects: dict[str, str] = {}
        for at in [i - 1 for i, text in enumerate(tokens) if text == "("]:
            if effect := self._effect(tokens, at):
                effects.setdefault(effect, tokens[at].strip('"'))
        return effects

    def _effect(self, tokens: list[str], at: int) -> str | None:
        """The effect of calling the function whose name is at this index, if it is known to have one."""
        text = tokens[at] if at >= 0 else END  # the statement begins with the parenthesis
        if text.startswith(("%s", "%(", 'u&"')):  # such a name is one that cannot be read
            return "unreadable"
        name = text.strip('"')
        if name in self._schemas and self._matches(name, tokens, at):
            return "primary"
        match = _FUNCTIONS.fullmatch(name)
        return match and match.lastgroup

    def _matches(self, name: str, tokens: list[str], at: int) -> bool:
        schemas = self._schemas[name]
        return "" in schemas or at < 2 or tokens[at - 1] != "." or tokens[at - 2].strip('"') in schemas
