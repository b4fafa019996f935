"""A statement is cancelled although the channel for that turns out to be lost."""

from tests.forwarding.test_faults import sleeping_on_primary


def test_a_request_to_cancel_is_sent_again_if_the_node_has_closed_its_channel(regions):
    db = regions.lax()
    db.execute_sql("CREATE TABLE t ()")
    db.begin()
    with sleeping_on_primary(regions, db) as sleeping:
        idle = [each for each in regions.serving._server._table.snapshot() if each.idle_time is not None]
        assert [each.make_room() for each in idle].count(True) >= 1
        db.connection().cancel()
    assert sleeping.exception().pgcode == "57014"
    db.rollback()
