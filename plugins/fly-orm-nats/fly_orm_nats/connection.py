"""Opens connections to NATS, each of which lives until it is lost: what was on its way then is not sent again later.

nats-py would reconnect by itself, and send what it had gathered meanwhile; but a request that its caller has given up
must not be executed after that, so this is switched off, and whoever needs a connection opens another.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError

from fly_orm.errors import FlyOrmError

from .options import Options, Target

#: Seconds that one server gets to accept a connection.
CONNECT_TIMEOUT = 2.0
#: How often the server is asked whether it is still there, in seconds; it is given up when it has not answered twice.
PING_INTERVAL = 2.0
#: All that can go wrong between here and a NATS server.
FAILURES = (OSError, ssl.SSLError, NatsError, asyncio.TimeoutError)


class Unreachable(FlyOrmError):
    """No NATS server accepted the connection; the message says what each did."""


class Connector:
    """Opens connections to the NATS servers of the options, and to those of their clusters that they have named."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._named: tuple[Target, ...] = ()

    async def open(self, fresh: Callable[[], Client], **callbacks: Any) -> None:
        """The last client that ``fresh`` has made is connected to a server; Unreachable if none lets it."""
        targets = random.sample(self._options.targets, len(self._options.targets))
        failures = []
        for target in [*targets, *random.sample(self._named, len(self._named))]:
            client = fresh()
            try:
                await self._open(client, target, **callbacks)
            except FAILURES as error:
                failures.append(f"{target.url}: {_explain(error)}")
            else:
                self._learn(client)
                return
        raise Unreachable("cannot connect to NATS; check NATS_URL: " + "; ".join(failures))

    async def _open(
        self, client: Client, target: Target, *, error_cb: Callable[[Exception], Awaitable[None]], **callbacks: Any
    ) -> None:
        causes: list[Exception] = []

        async def notice(error: Exception) -> None:
            causes.append(error)
            await error_cb(error)

        connecting = client.connect(
            [target.url],
            name=f"fly_orm {os.getpid()}",
            error_cb=notice,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=CONNECT_TIMEOUT,  # type: ignore[arg-type]  # it waits for fractions as well
            ping_interval=PING_INTERVAL,  # type: ignore[arg-type]
            max_outstanding_pings=2,
            **callbacks,
            **self._options.arguments(target),
        )
        try:
            await asyncio.wait_for(connecting, 2 * CONNECT_TIMEOUT)
        except BaseException as error:
            drop(client)
            if isinstance(error, NoServersError) and causes:
                raise causes[-1] from None
            raise

    def _learn(self, client: Client) -> None:
        """Servers of the cluster are known from now on; they take the credentials that the first one took."""
        known = {target.url for target in self._options.targets}
        first = self._options.targets[0]
        urls = {f"{url.scheme}://{url.netloc}" for url in client.discovered_servers} - known
        self._named = tuple(
            Target(url=url, user=first.user, password=first.password, token=first.token) for url in sorted(urls)
        )


def _explain(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if "authorization" in text.lower() or "authentication" in text.lower():
        return f"{text} (the credentials in NATS_URL, NATS_USER, NATS_CREDS or NATS_NKEY were refused)"
    return text


def drop(client: Client) -> None:
    """The connection, if there is one, is ended at once."""
    for writer in _writers(client):
        with suppress(RuntimeError):  # its loop may be closed
            writer.transport.abort()


def disown(client: Client) -> None:
    """In a forked process: the socket is the parent's alone again.

    The number of the socket then stands for nothing, since a Python object that will close it may be left over.
    """
    for writer in _writers(client):
        sock = writer.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, sock.fileno())
            os.close(nothing)


def _writers(client: Client) -> list[Any]:
    """What nats-py writes to, with TLS and below it; a test keeps watch on the names, which it does not promise."""
    transport = getattr(client, "_transport", None)
    writers = (getattr(transport, name, None) for name in ("_io_writer", "_bare_io_writer"))
    return [writer for writer in writers if writer is not None]
