"""Which of two positions is the later one."""

from __future__ import annotations

import pytest

from fly_orm.lsn import LSN
from fly_orm.position import UNKNOWN, Position, later


def at(lsn: int, system: int = 7, timeline: int = 1) -> Position:
    return Position(LSN(lsn), system, timeline)


@pytest.mark.parametrize(
    ("known", "told", "found"),
    [
        pytest.param(None, at(5), at(5), id="the first one"),
        pytest.param(at(5), at(6), at(6), id="further"),
        pytest.param(at(6), at(5), at(6), id="not as far"),
        pytest.param(at(6), at(5, timeline=2), at(5, timeline=2), id="after a failover"),
        pytest.param(at(6, timeline=2), at(7), at(6, timeline=2), id="before a failover"),
        pytest.param(at(6), at(5, system=8), at(5, system=8), id="of another system"),
        pytest.param(at(6), UNKNOWN, UNKNOWN, id="unknown"),
        pytest.param(UNKNOWN, at(5), at(5), id="known again"),
        pytest.param(at(5), at(6, 0, 0), at(6), id="further, of a server that does not tell"),
        pytest.param(at(6), at(5, 0, 0), at(6), id="not as far, of a server that does not tell"),
        pytest.param(at(5, 0, 0), at(6), at(6), id="further than a server that does not tell"),
        pytest.param(at(6, 0, 0), at(5), at(6), id="not as far as a server that does not tell"),
        pytest.param(at(5, 0), at(6, 0, 0), at(6, 0), id="further, without systems"),
        pytest.param(at(6, 0), at(5, 0, 2), at(5, 0, 2), id="after a failover, without systems"),
        pytest.param(at(6, 0), at(5, 7), at(6), id="not as far, of a server that tells more"),
    ],
)
def test_the_later_position(known: Position | None, told: Position, found: Position) -> None:
    assert later(known, told) == found


def test_a_position_that_stays_the_latest_is_the_same_object() -> None:
    """Connections recognize the pin that their server shows by its identity."""
    known = at(6)
    assert later(known, at(5)) is known
    assert later(known, at(5, 0, 0)) is known
