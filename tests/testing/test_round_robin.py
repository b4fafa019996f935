"""One address for several servers."""

from __future__ import annotations

import resource
import threading

from fly_orm.testing import RoundRobin, round_robin
from tests.support.processes import script
from tests.support.waiting import PATIENCE

CLIENT = """
import sys, psycopg2
print("ready", flush=True)
for line in sys.stdin:
    try:
        connection = psycopg2.connect(host="127.0.0.1", port=sys.argv[1], user="postgres", dbname="postgres")
    except psycopg2.OperationalError:
        print("closed", flush=True)
    else:
        print("connected", flush=True)
"""


def test_connections_are_accepted_again_after_the_process_had_no_file_descriptor_left(cluster, monkeypatch):
    waits = threading.Event()
    monkeypatch.setattr(round_robin, "sleep", lambda seconds: waits.set(), raising=False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with RoundRobin(cluster.replica) as reader, script(CLIENT, str(reader.parameters["port"])) as client:
        assert client.stdout.readline() == "ready\n"
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            print(file=client.stdin, flush=True)
            assert waits.wait(PATIENCE)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert client.stdout.readline() in ("closed\n", "connected\n")  # systems differ in when they miss descriptors
        print(file=client.stdin, flush=True)
        assert client.stdout.readline() == "connected\n"
