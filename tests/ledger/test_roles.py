"""A role records what it writes, and sees the results of no other."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg2
import pytest

import fly_orm
from fly_orm.ledger import entries
from fly_orm.ledger.table import create_sql
from fly_orm.testing import Cluster
from tests.support.roles import Cast

INSERT = "INSERT INTO doc (body) VALUES (%s) RETURNING body"
pytestmark = pytest.mark.usefixtures("no_spare_channels")


@pytest.fixture
def cast(cluster: Cluster, database: str) -> Iterator[Cast]:
    with ExitStack() as undo:
        made = Cast(cluster, database, undo)
        made.sql(create_sql([made.ann, made.bob]))
        yield made


def test_each_sees_its_own_rows(cast: Cast) -> None:
    regions = cast.regions()
    ann, bob = (regions.lax(user=user) for user in (cast.ann, cast.bob))
    with fly_orm.operation("of ann"):
        ann.execute_sql(INSERT, ("x",))
    assert ann.execute_sql("SELECT count(*) FROM fly_orm_ledger").fetchone() == (2,)
    assert bob.execute_sql("SELECT count(*) FROM fly_orm_ledger").fetchone() == (0,)
    with fly_orm.operation("of ann"), pytest.raises(fly_orm.Refused, match="another role"):
        bob.execute_sql(INSERT, ("y",))
    owner = regions.lax()  # which row-level security does not hold back
    with fly_orm.operation("of ann"), pytest.raises(fly_orm.Refused, match="another role"):
        owner.execute_sql(INSERT, ("x",))
    with pytest.raises(Exception, match="row-level security"):
        bob.execute_sql(f"INSERT INTO fly_orm_ledger (key, role) VALUES ('forged', '{cast.ann}')")


def test_a_lost_reply_is_settled_as_the_same_role(cast: Cast) -> None:
    regions = cast.regions()
    ann = regions.lax(user=cast.ann, options={"exactly_once": True})
    ann.execute_sql(INSERT, ("first",))
    regions.wan.cut_before_reply()
    assert ann.execute_sql(INSERT, ("second",)).fetchall() == [("second",)]


def test_a_transaction_that_has_changed_its_role_is_settled(cast: Cast) -> None:
    regions = cast.regions()
    db = regions.lax(options={"exactly_once": True})
    db.execute_sql("SELECT 1")
    with db.atomic():
        db.execute_sql(f'SET LOCAL ROLE "{cast.bob}"')
        db.execute_sql(INSERT, ("x",))
        regions.wan.cut_before_reply()
    assert cast.sql("SELECT count(*) FROM doc WHERE body = 'x'") == [(1,)]


def test_a_transaction_that_has_changed_its_role_is_committed_although_the_question_fails(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question for the position, in the same string as the COMMIT. Its role cannot see the row any more."""
    cast.sql(f'GRANT "{cast.bob}" TO "{cast.ann}"')
    monkeypatch.setattr("fly_orm.serving.recorded.STATE", "DO $$ BEGIN RAISE query_canceled; END $$")
    ann = cast.regions().lax(user=cast.ann, options={"exactly_once": True})
    with ann.atomic():
        ann.execute_sql(f'SET LOCAL ROLE "{cast.bob}"')
        ann.execute_sql(INSERT, ("x",))
    assert cast.sql("SELECT count(*) FROM doc WHERE body = 'x'") == [(1,)]


def test_each_node_sees_what_another_has_voided(cast: Cast) -> None:
    """Nodes may have roles of their own. One that could not see the row would take the request for executed."""
    for user in (cast.ann, cast.bob):
        connection = psycopg2.connect(**cast.cluster.primary.params(cast.database) | {"user": user})
        connection.autocommit = True
        assert not entries.settle(connection, "fly_orm:1").executed
        connection.close()


def test_one_without_privileges_is_told_what_to_grant(cast: Cast) -> None:
    cast.sql(f'REVOKE ALL ON fly_orm_ledger FROM "{cast.bob}"')
    bob: Any = cast.regions().lax(user=cast.bob, options={"exactly_once": True})
    with pytest.raises(fly_orm.Refused, match="--role ROLE"):
        bob.execute_sql(INSERT, ("x",))
    with pytest.raises(fly_orm.Refused, match="--role ROLE"), bob.atomic():
        bob.execute_sql(INSERT, ("x",))
    assert cast.sql("SELECT count(*) FROM doc WHERE body = 'x'") == [(0,)]
