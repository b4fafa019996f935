"""The modes of transactions that a connection takes on, as pools change them for each of their users."""

from typing import Any

import pytest

from tests.support.one_table import one_table
from tests.support.two_regions import TwoRegions, trips

ISOLATION, READ_ONLY = "default_transaction_isolation", "default_transaction_read_only"
DEFAULTS = ISOLATION, READ_ONLY, "default_transaction_deferrable"
WRITE = f"UPDATE t SET name = name RETURNING current_setting('{ISOLATION}'), current_setting('{READ_ONLY}')"

Pair = tuple[Any, Any]


@pytest.fixture
def pair(regions: TwoRegions, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A connection in lax, and an unwrapped one to the primary."""
    monkeypatch.setattr("fly_orm.forwarding.channels.READY_CHANNELS", 0)  # so that they are not counted
    lax, plain = one_table(regions).connection(), regions.cluster.primary.connect(regions.name)
    for each in (lax, plain):
        each.autocommit = True
        run(each, "SELECT 1")
    yield lax, plain
    plain.close()


def run(connection: Any, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone() if cursor.description else None


def shown(connection: Any) -> list[Any]:
    """What the session has for later transactions."""
    return [run(connection, f"SHOW {name}") for name in DEFAULTS]


@pytest.mark.parametrize(
    "changes",
    [
        [{"autocommit": False, "isolation_level": "READ COMMITTED"}, {"autocommit": True}, {"autocommit": False}],
        [{"readonly": True}, {"readonly": False}, {"autocommit": False, "isolation_level": "READ COMMITTED"}],
        [{"isolation_level": "REPEATABLE READ", "deferrable": True}, {"isolation_level": "default"}],
        [{"readonly": True}, {"readonly": "default"}, {"readonly": False}, {"readonly": "default"}],
        [{"isolation_level": "REPEATABLE READ", "readonly": True}, {"autocommit": False}, {"autocommit": True}],
    ],
    ids=str,
)
def test_are_taken_on_without_the_primary(regions: TwoRegions, pair: Pair, changes: list[dict[str, Any]]) -> None:
    def change(connection: Any) -> list[Any]:
        seen = []
        for modes in changes:
            connection.set_session(**modes)
            seen.append(shown(connection))
            connection.rollback()
        return seen

    for _ in range(2):
        seen: list[Any] = []
        pair[0].defers_transactions = True  # so that SHOW is asked on the replica
        assert trips(regions, lambda: seen.append(change(pair[0]))) == 0  # noqa: B023  # called here
        assert seen == [change(pair[1])]
    for each in pair:
        each.set_session(readonly=False, autocommit=True)
    assert run(pair[0], WRITE) == run(pair[1], WRITE)


def test_are_undone_with_the_transaction_that_sql_has_begun(pair: Pair) -> None:
    for each in pair:
        run(each, f"SET {READ_ONLY} TO on")
        run(each, "BEGIN READ ONLY")
        each.set_session(readonly="default")
        run(each, "ROLLBACK")
    assert shown(pair[0]) == shown(pair[1]) == [("read committed",), ("on",), ("off",)]


def test_are_changed_on_the_primary_where_it_has_state(pair: Pair) -> None:
    for each in pair:
        run(each, "CREATE TEMPORARY TABLE kept ()")
        for modes in ({"readonly": True}, {"readonly": False}, {"readonly": True}, {"readonly": "default"}):
            each.set_session(**modes)
            assert shown(each)[1] == ("on" if modes["readonly"] is True else "off",)
