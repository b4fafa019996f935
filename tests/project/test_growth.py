"""The model of docs/growth.md, where it can be reckoned by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.growth import model
from tests.bench.growth.growth import sized
from tests.bench.growth.model import Costs, Deployment

COSTS = Costs(
    node_write=0.0003,
    caller_write=0.0004,
    handshake=0.001,
    idle_channel=0.00001,
    node_memory=30.0,
    channel_memory=0.03,
    questions=1.5,
    lease=0.002,
)
GIVEN = Deployment(regions=10, processes=20, threads=8, writes=5.0, rtt=0.098)


def test_writes_add_up():
    assert model.writes(GIVEN) == 1000


def test_what_is_in_use_is_rate_times_time():
    assert model.in_use(GIVEN, COSTS) == pytest.approx(0.5)
    assert model.leases(GIVEN, COSTS) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("threads", "writes", "channels"),
    [
        (8, 5.0, 3 + 2),  # 0.5 on average, 2.6 at the busiest
        (1, 5.0, 1 + 2),  # a thread uses one at a time
        (8, 0.001, 1 + 2),  # the next write uses one
        (8, 1000.0, 8 + 2),
    ],
)
def test_a_process_has_the_channels_of_its_busiest_moment_and_those_kept_ready(threads, writes, channels):
    assert model.channels_of_process(replace(GIVEN, threads=threads, writes=writes), COSTS) == channels


def test_workers_share_the_channels_of_a_node_and_more_nodes_hardly_do():
    idle = replace(GIVEN, writes=0.001)
    assert model.channels_of_worker(replace(idle, workers=4), COSTS) == model.channels_of_worker(idle, COSTS) / 4
    assert model.channels_of_worker(replace(idle, nodes=4), COSTS) == model.channels_of_worker(idle, COSTS) == 600


def test_the_cores_of_a_worker_are_those_of_its_writes_and_of_its_channels():
    assert model.worker_cores(GIVEN, COSTS) == pytest.approx(1000 * 0.0003 + 1000 * 0.00001)
    assert model.worker_cores(replace(GIVEN, nodes=2, writes=0.0), COSTS) == pytest.approx(600 * 0.00001)


def test_enough_workers_leave_time_on_each_core():
    busy = replace(GIVEN, writes=50.0)
    assert model.workers_needed(busy, COSTS) == 5  # three cores of work, at most 0.6 of each
    assert sized(busy, COSTS).nodes * sized(busy, COSTS).workers >= 5
    assert sized(busy, COSTS).pool_size >= 5 * sized(busy, COSTS).workers


def test_memory_and_handshakes_are_those_of_the_channels():
    assert model.worker_memory(GIVEN, COSTS) == pytest.approx(30 + 1000 * 0.03)
    assert model.restart(GIVEN, COSTS) == pytest.approx(1.0)


def test_connections_are_those_that_the_pages_on_operating_state():
    assert model.primary_connections(GIVEN) == 22
    assert model.primary_connections(replace(GIVEN, nodes=2, workers=4, pool_size=20)) == 96
    assert model.replica_connections(GIVEN) == 240


def test_writes_that_wait_ask_their_replica():
    assert model.questions(GIVEN, COSTS) == pytest.approx(150)
    assert model.questions(replace(GIVEN, waits=False), COSTS) == 0
