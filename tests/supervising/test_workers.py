"""``fly-orm serve --workers``: several processes serve one address, and look like one node."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from tests.support.certificates import Certificates, variables_of
from tests.support.waiting import until
from tests.support.worker_processes import channel_to, until_all_serve, until_ended, worker_behind, workers_of


def test_all_workers_serve_the_address(served, lax):
    """The fixture has waited for both."""
    db = lax(served.address)
    db.execute_sql("CREATE TABLE t (i int)")
    db.execute_sql("INSERT INTO t VALUES (1)")
    assert db.execute_sql("SELECT i FROM t").fetchall() == [(1,)]
    db.execute_sql("DROP TABLE t")


def test_channels_are_spread(served):
    """How evenly, tests of the turns and of the lobby say: here, a busy machine may have one worker hold back."""
    channels = [channel_to(served.address) for _ in range(24)]
    assert min(Counter(map(worker_behind, channels)).values()) >= 4
    for channel in channels:
        channel.close()


@pytest.mark.slow
def test_tls(node, tmp_path):
    certificates = Certificates(tmp_path / "certificates")
    address = node("--workers=2", **variables_of(certificates.files())).address()
    until_all_serve(address, 2, **certificates.settings())


def test_the_workers_of_a_name_in_nats_serve_it_together(node, nats, monkeypatch):
    monkeypatch.setenv("NATS_URL", nats.url)
    address = "nats:workers.syd"
    started = node("--workers=2", FLY_ORM_TRANSPORT="nats", FLY_ORM_LISTEN=address)
    assert started.address() == address
    until_all_serve(address, 2, transport="nats")


def said_when_one_ends(node, end):
    """The id of a worker that was ended and replaced, and what the node has said until it was stopped."""
    started = node("--workers=2")
    address = started.address()
    until_all_serve(address, 2)
    victim = workers_of(started.pid)[0]
    end(victim)
    until(lambda: len(workers_of(started.pid)) == 2 and victim not in workers_of(started.pid), "not replaced")
    until_all_serve(address, 2)
    started.process.send_signal(signal.SIGTERM)
    assert started.process.wait(60) == 0
    return victim.pid, started.process.stderr.read()


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(node):
    pid, said = said_when_one_ends(node, lambda worker: worker.kill())
    assert f"worker 1 (process {pid}) has ended after" in said


@pytest.mark.slow
def test_a_worker_that_is_asked_to_stop_is_replaced_without_a_fuss(node):
    _, said = said_when_one_ends(node, lambda worker: worker.terminate())
    assert "ERROR" not in said


def test_workers_end_with_their_supervisor(node):
    started = node("--workers=2")
    until_all_serve(started.address(), 2)
    workers = workers_of(started.pid)
    started.process.kill()
    until_ended(workers)


@pytest.mark.parametrize(("arguments", "variables"), [(["--workers=2"], {}), ([], {"FLY_ORM_WORKERS": "2"})])
def test_a_mistake_in_the_settings_is_said_once(node, arguments, variables):
    process = node(*arguments, "--pool-size=1", **variables).process
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.count("2 workers cannot share a pool_size of 1") == 1
    assert "Traceback" not in err


def test_a_transport_that_cannot_share_an_address_is_refused(node):
    process = node("--workers=2", FLY_ORM_TRANSPORT="pigeon").process
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "'pigeon' cannot serve one address with 2 workers; start as many nodes" in err


def test_an_application_that_chooses_another_address_is_told_how_to_do_it(node, tmp_path):
    with (tmp_path / "app.py").open("a") as file:
        file.write("\nfly_orm.configure(fly_orm.Settings(listen='127.0.0.1:1', secret='x' * 40))\n")
    process = node("--workers=2").process
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "choose both by variables" in err


@pytest.mark.slow
def test_workers_that_can_never_be_started_again_end_the_node(node, tmp_path):
    started = node("--workers=2")
    until_all_serve(started.address(), 2)
    (tmp_path / "app.py").write_text("raise SystemExit(7)")
    for worker in workers_of(started.pid):
        worker.kill()
    _, err = started.process.communicate(timeout=120)
    assert started.process.returncode == 7
    assert err.count("(exit status 7)") >= 10  # one may be started once more while the other fails for the last time
    assert "no worker can be started any more" in err
    assert "begins again" not in [line for line in err.splitlines() if "has ended after" in line][-1]
