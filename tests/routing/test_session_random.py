"""Settings are the same on both servers after any sequence of statements that change and undo them."""

import random

import pytest

from tests.routing.test_session_following import READ, WRITE
from tests.routing.test_session_functions import SETUP
from tests.support.side_by_side import SideBySide

#: Each line is a statement. Those that come first in a group come more often.
STATEMENTS = [
    line.strip()
    for line in """
        BEGIN
        BEGIN READ ONLY
        COMMIT
        ROLLBACK
        COMMIT AND CHAIN
        SAVEPOINT s
        SAVEPOINT "S"
        ROLLBACK TO s
        ROLLBACK TO "S"
        RELEASE s
        SELECT 1/0
        SET app.tenant TO 'a'
        SET app.tenant TO 'it''s é'
        SET LOCAL app.tenant TO 'b'
        SET app.other TO 'x'; SET LOCAL app.tenant TO 'c'
        SET search_path TO public, acme
        SET SESSION work_mem TO '1MB'
        SET work_mem TO DEFAULT
        RESET app.tenant
        RESET ALL
        DISCARD ALL
        SET ROLE tenant_user
        RESET ROLE
        SET SESSION AUTHORIZATION tenant_user
        RESET SESSION AUTHORIZATION
        SELECT set_config('app.other', coalesce(current_setting('app.tenant', true), 'none'), false)
        SELECT set_config('search_path', current_setting('search_path') || ', bolt', false)
        SELECT CASE WHEN current_setting('app.tenant', true) = 'a' THEN set_config('app.tenant', 'z', false) END
        SELECT set_tenant('f')
        SELECT set_for_now('g')
        SELECT set_by_format('h')
        SELECT set_any('role', 'tenant_user')
        SELECT set_any('app.tenant', 'i'), 1/(SELECT 0)
        SELECT leave()
        CALL use_tenant('j')
        DO $$BEGIN BEGIN PERFORM set_tenant('k'); RAISE 'no'; EXCEPTION WHEN OTHERS THEN NULL; END; END$$
    """.strip().splitlines()
]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_is_the_same_in_lax(beside: SideBySide, seed: int) -> None:
    choose = random.Random(seed)
    steps = [
        step
        for _ in range(30)
        for step in (choose.choice(STATEMENTS), *([choose.choice([READ, WRITE])] if choose.random() < 0.2 else []))
    ]
    on_primary, in_lax = beside.in_mode("autocommit", [*steps, "ROLLBACK", READ, WRITE, READ, WRITE], setup=SETUP)
    for number, (expected, seen) in enumerate(zip(on_primary, in_lax, strict=True)):
        assert seen == expected, steps[: number + 1]
