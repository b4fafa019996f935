"""The program that forks; see :mod:`tests.support.forking`."""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

#: What nodes import. Pony is not among it, since that changes the driver for the whole process.
MODULES = (
    *("fly_orm.cli.command_line", "fly_orm.adapters.peewee", "fly_orm.wrapping", "fly_orm.serving.node"),
    *("fly_orm_transports.pyro5.transport", "fly_orm_nats", "playhouse.db_url", "playhouse.postgres_ext"),
)
_REQUEST_BYTES = 200_000


class Forker:
    """Forks for each request, and tells how the processes end."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._events = select.poll()
        self._events.register(requests, select.POLLIN)
        self._children: dict[int, tuple[int, int]] = {}
        """By a descriptor that can be read when it has ended: the id of the process, and where its status is told."""

    def run(self) -> tuple[dict[str, Any], int, int] | None:
        """Work until there are no more requests. In a child, what was asked for, and its standard streams."""
        while True:
            for ready, _ in self._events.poll():
                if ready in self._children:
                    self._events.unregister(ready)
                    _report(ready, *self._children.pop(ready))
                    continue
                text, descriptors, _, _ = socket.recv_fds(self._requests, _REQUEST_BYTES, 3)
                if not text:
                    return None
                out, err, status = descriptors
                if self._fork(status) == 0:
                    return json.loads(text), out, err
                os.close(out)
                os.close(err)

    def _fork(self, status: int) -> int:
        if (pid := os.fork()) == 0:
            for descriptor in (self._requests.detach(), status, *self._children):
                os.close(descriptor)
            for _, other in self._children.values():
                os.close(other)
            return 0
        os.write(status, b"%d\n" % pid)
        child = os.pidfd_open(pid)
        self._children[child] = pid, status
        self._events.register(child, select.POLLIN)
        return pid


def _report(descriptor: int, pid: int, status: int) -> None:
    os.close(descriptor)
    _, code = os.waitpid(pid, 0)
    with suppress(BrokenPipeError):  # nobody wants to know
        os.write(status, b"%d\n" % os.waitstatus_to_exitcode(code))
    os.close(status)


def _become(request: dict[str, Any], out: int, err: int) -> None:
    """Go on as ``python -m fly_orm``."""
    for descriptor, standard in ((out, 1), (err, 2)):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[0] = request["folder"]
    sys.argv = ["-m", *request["arguments"]]
    sys.orig_argv[:] = [sys.executable, "-m", "fly_orm", *request["arguments"]]
    runpy.run_module("fly_orm", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for module in MODULES:
        importlib.import_module(module)
    assert threading.active_count() == 1
    gc.freeze()
    if (asked := Forker(socket.socket(fileno=int(sys.argv[1]))).run()) is not None:
        _become(*asked)
