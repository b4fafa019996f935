"""Opens connections to NATS. A connection that is lost is not opened again, and nothing is sent a second time.

nats-py can reconnect by itself, and then sends what has accumulated meanwhile. That is switched off here: a request
that its caller has given up must not be executed later. Whatever needs a connection again opens another one.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError

from fly_orm.errors import FlyOrmError

from .connect_options import ConnectOptions, Target

#: Seconds to wait for one server to accept a connection.
CONNECT_TIMEOUT = 2.0
#: How often the server is sent a PING, in seconds; it is given up when two are unanswered.
PING_INTERVAL = 2.0
#: What nats-py raises when the connection to a NATS server fails.
FAILURES = (OSError, ssl.SSLError, NatsError, asyncio.TimeoutError)


class Unreachable(FlyOrmError):
    """No NATS server accepted a connection; the message says what each one did."""


class StrictClient(Client):
    """A client that sends nothing, not even credentials, to a server without TLS if it was told to use TLS.

    nats-py encrypts only if the server's first message demands it, and anybody on the way can change that message.
    """

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and "tls" in self.options and not info.get("tls_required"):
            raise NatsError(
                "the server does not offer TLS, so nothing was sent to it; if everybody may read what is sent, "
                "write nats:// in NATS_URL, and unset NATS_CA and NATS_CERT"
            )
        await super()._process_info(info, initial_connection)


class Connector:
    """Opens connections to the NATS servers of the options, and to the servers of their cluster that they named."""

    def __init__(self, options: ConnectOptions) -> None:
        self._options = options
        self._discovered: tuple[Target, ...] = ()

    async def open(self, new_client: Callable[[], StrictClient], **callbacks: Any) -> None:
        """Connect the client that ``new_client`` made last to a server; Unreachable if no server accepts it."""
        targets = random.sample(self._options.targets, len(self._options.targets))
        failures = []
        for target in [*targets, *random.sample(self._discovered, len(self._discovered))]:
            client = new_client()
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

        async def on_error(error: Exception) -> None:
            causes.append(error)
            await error_cb(error)

        connecting = client.connect(
            [target.url],
            name=f"fly_orm {os.getpid()}",
            error_cb=on_error,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=CONNECT_TIMEOUT,  # type: ignore[arg-type]  # it accepts fractions as well
            ping_interval=PING_INTERVAL,  # type: ignore[arg-type]
            max_outstanding_pings=2,
            **callbacks,
            **self._options.arguments(target),
        )
        try:
            await asyncio.wait_for(connecting, 2 * CONNECT_TIMEOUT)
        except BaseException as error:
            abort(client)
            if isinstance(error, NoServersError) and causes:
                raise causes[-1] from None
            raise

    def _learn(self, client: Client) -> None:
        """Remember the servers of the cluster, which accept the same credentials as the first one.

        They have to use TLS if any server of the options has to. A server names them before TLS begins, so that
        somebody on the way could name others, which may well have certificates of a public authority: without one of
        the user's own, none is taken.
        """
        known = [urlsplit(target.url) for target in self._options.targets]
        scheme = "tls" if any(url.scheme == "tls" for url in known) else "nats"
        if (scheme == "tls" or self._options.cert) and not self._options.ca:
            return
        hosts = {url.netloc for url in client.discovered_servers} - {url.netloc for url in known}
        first = self._options.targets[0]
        self._discovered = tuple(
            Target(url=f"{scheme}://{host}", user=first.user, password=first.password, token=first.token)
            for host in sorted(hosts)
        )


def _explain(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if "authorization" in text.lower() or "authentication" in text.lower():
        return f"{text} (the credentials in NATS_URL, NATS_USER, NATS_CREDS or NATS_NKEY were refused)"
    return text


def abort(client: Client) -> None:
    """End the connection at once, if there is one."""
    for writer in _writers(client):
        with suppress(RuntimeError):  # its loop may be closed
            writer.transport.abort()


def close_inherited(client: Client) -> None:
    """Close the client's socket in this forked process only.

    A Python object may be left that closes the socket's file descriptor later, so the descriptor is not freed for
    another file: it refers to the null device from now on.
    """
    for writer in _writers(client):
        sock = writer.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, sock.fileno())
            os.close(null)


def _writers(client: Client) -> list[Any]:
    """What nats-py writes to: the TLS stream and the one below it. Its names are private; a test checks them."""
    transport = getattr(client, "_transport", None)
    writers = (getattr(transport, name, None) for name in ("_io_writer", "_bare_io_writer"))
    return [writer for writer in writers if writer is not None]
