"""A COMMIT that waits for a synchronous standby counts as executed only when the standby has it."""

from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

import fly_orm
from tests.support.two_regions import TwoRegions
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_spare_channels")]
INSERT = "INSERT INTO t (name) VALUES ('once')"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()"


def set_standbys(regions: TwoRegions, names: str) -> None:
    with closing(regions.cluster.primary.connect(regions.name)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
            cursor.execute("SELECT pg_reload_conf()")
    until(lambda: regions.query("SHOW synchronous_standby_names") == names)


@pytest.fixture
def standby_away(regions: TwoRegions) -> Iterator[None]:
    """A synchronous standby that acknowledges nothing."""
    set_standbys(regions, "nobody")
    yield
    set_standbys(regions, "")


@pytest.mark.parametrize("kind", ["write", "transaction"])
@pytest.mark.usefixtures("standby_away")
def test_its_outcome_stays_unknown_until_the_standby_has_it(regions: TwoRegions, kind: str) -> None:
    db = regions.lax(options={"exactly_once": True, "rpc_timeout": 3})
    with pytest.raises(fly_orm.OutcomeUnknown):
        if kind == "write":
            db.execute_sql(INSERT)
        else:
            with db.atomic():
                db.execute_sql(INSERT)
    assert regions.query("SELECT count(*) FROM t") == 0
    assert regions.query(WAITING) >= 1
    set_standbys(regions, "")
    until(lambda: regions.query("SELECT count(*) FROM t") == 1)
    with suppress(Exception):
        db.close()
