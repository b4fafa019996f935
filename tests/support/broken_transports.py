"""Transports that break the contract, each in one way. They carry everything over pyro5, which keeps it."""

from __future__ import annotations

import os
import socket
import threading
import time

from fly_orm_pigeon import PigeonServer, PigeonTransport, parse

from fly_orm.deadline import Deadline
from fly_orm.errors import ConfigurationError, NotDelivered, OutcomeUnknown
from fly_orm.testing.contract.tools import in_thread, result
from fly_orm_transports.pyro5 import Pyro5Transport


class Channel:
    """A channel of another transport, and the way to another one like it."""

    def __init__(self, connect):
        self.connect = connect
        self.inner = connect()

    def exchange(self, request, deadline):
        return self.inner.exchange(request, deadline)

    def close(self):
        self.inner.close()


class Responder:
    """A responder, as the transport below sees it."""

    def __init__(self, inner):
        self.inner = inner

    @property
    def trusted(self):
        return self.inner.trusted

    @property
    def is_idle(self):
        return self.inner.is_idle

    def last_reply(self, *, is_full=False):
        return self.inner.last_reply(is_full=is_full)

    def authenticate(self, request):
        return self.inner.authenticate(request)

    def respond(self, request):
        return self.inner.respond(request)

    def gone(self):
        self.inner.gone()


class Server:
    """A server of another transport."""

    def __init__(self, inner):
        self.inner = inner
        self.address = inner.address

    def close(self, drain_timeout):
        self.inner.close(drain_timeout)


class Transport(Pyro5Transport):
    """Carries everything over pyro5, through the classes above, which each transport below replaces."""

    channel, responder, server = Channel, Responder, Server

    def connect(self, address, deadline):
        connect = super().connect
        return self.channel(lambda by=deadline: connect(address, by))

    def serve(self, listen, accept):
        return self.server(super().serve(listen, lambda peer: self.responder(accept(peer))))


class IgnoresOptions(Transport):
    def __init__(self, settings=None):
        super().__init__()


class TakesSomethingElse(Transport):
    def __init__(self, max_connections=256):
        super().__init__()
        self.half = max_connections // 2


class SendsAgain(Transport):
    class channel(Channel):  # noqa: N801 - the name of what it replaces, as in the classes below
        def exchange(self, request, deadline):
            try:
                return self.inner.exchange(request, deadline)
            except OutcomeUnknown:
                self.inner = self.connect(Deadline.after(1))
                return self.inner.exchange(request, Deadline.after(1))


class Reconnects(Transport):
    class channel(Channel):  # noqa: N801
        def exchange(self, request, deadline):
            try:
                return self.inner.exchange(request, deadline)
            except NotDelivered:
                self.inner = self.connect(Deadline.after(1))
                return self.inner.exchange(request, deadline)


class RepliesLate(Transport):
    class channel(Channel):  # noqa: N801
        pending = None

        def exchange(self, request, deadline):
            if self.pending is None:
                self.pending = in_thread(self.inner.exchange, request, Deadline.after(20))
            try:
                reply = result(self.pending, deadline.remaining())
            except AssertionError:
                raise OutcomeUnknown("timed out") from None
            self.pending = None
            return reply


class DeniesDelivery(Transport):
    class channel(Channel):  # noqa: N801
        def exchange(self, request, deadline):
            try:
                return self.inner.exchange(request, deadline)
            except OutcomeUnknown as error:
                raise NotDelivered(str(error)) from error


class NeverKnows(Transport):
    class channel(Channel):  # noqa: N801
        def exchange(self, request, deadline):
            try:
                return self.inner.exchange(request, deadline)
            except NotDelivered as error:
                raise OutcomeUnknown(str(error)) from error


class MakesUpReplies(Transport):
    class channel(Channel):  # noqa: N801
        def exchange(self, request, deadline):
            try:
                return self.inner.exchange(request, deadline)
            except (NotDelivered, OutcomeUnknown):
                return b""


class IgnoresDeadlines(Transport):
    class channel(Channel):  # noqa: N801
        def exchange(self, request, deadline):
            return self.inner.exchange(request, Deadline.after(None))


class NoticesNothing(Transport):
    class channel(Channel):  # noqa: N801
        def exchange(self, request, deadline):
            try:
                return self.inner.exchange(request, deadline)
            except OutcomeUnknown:
                threading.Event().wait(deadline.remaining())
                raise


class SwallowsInterrupts(Transport):
    class channel(Channel):  # noqa: N801
        def exchange(self, request, deadline):
            try:
                return self.inner.exchange(request, deadline)
            except BaseException as error:
                raise OutcomeUnknown(f"swallowed a {type(error).__name__}") from error


class ClosesLate(Transport):
    class channel(Channel):  # noqa: N801
        def close(self):
            threading.Timer(2, self.inner.close).start()


class ChildrenHangUp(PigeonTransport):
    def connect(self, address, deadline):
        connect = super().connect
        return HangingUp(lambda: connect(address, deadline))


class HangingUp(Channel):
    def close(self):
        self.inner._pid = os.getpid()
        self.inner.close()


class SaysGoodbyeWhenDropped(PigeonTransport):
    def connect(self, address, deadline):
        connect = super().connect
        return Dropped(lambda: connect(address, deadline))


class Dropped(HangingUp):
    def __del__(self):
        self.close()


class Truncates(Transport):
    class responder(Responder):  # noqa: N801
        def respond(self, request):
            reply = self.inner.respond(request)
            return None if reply is None else reply[:65536]


class HasNoEmptyReply(Transport):
    class responder(Responder):  # noqa: N801
        def respond(self, request):
            return self.inner.respond(request) or None


class AnswersOneAtATime(Transport):
    class responder(Responder):  # noqa: N801
        lock = threading.Lock()

        def respond(self, request):
            with self.lock:
                return self.inner.respond(request)


class NeverSaysGone(Transport):
    class responder(Responder):  # noqa: N801
        def gone(self):
            pass


class SaysGoneTwice(Transport):
    class responder(Responder):  # noqa: N801
        def gone(self):
            self.inner.gone()
            self.inner.gone()


class SaysGoneAfterAnswering(Transport):
    class responder(Responder):  # noqa: N801
        def __init__(self, inner):
            super().__init__(inner)
            self.lock = threading.Lock()

        def respond(self, request):
            with self.lock:
                return self.inner.respond(request)

        def gone(self):
            with self.lock:
                self.inner.gone()


class TrustsEverybody(Transport):
    class responder(Responder):  # noqa: N801
        trusted = True


class ClosesAtOnce(Transport):
    class server(Server):  # noqa: N801
        def close(self, drain_timeout):
            self.inner.close(0)


class ClosesWhenItLikes(Transport):
    class server(Server):  # noqa: N801
        def close(self, drain_timeout):
            self.inner.close(drain_timeout and 20)


class AcceptsWhileClosing(Transport):
    class server(Server):  # noqa: N801
        def close(self, drain_timeout):
            for connection in self.inner._table.snapshot():
                connection.drain()
                connection.join(Deadline.after(drain_timeout))
            self.inner.close(drain_timeout)


class SaysNothingLast(Transport):
    class responder(Responder):  # noqa: N801
        def last_reply(self, *, is_full=False):
            return None


class TellsNobody(Transport):
    """Its responders are told that their peers are gone some time after close has returned."""

    class responder(Responder):  # noqa: N801
        def gone(self):
            threading.Timer(0.2, self.inner.gone).start()


class TakesAnyAddress(Transport):
    def connect(self, address, deadline):
        try:
            return super().connect(address, deadline)
        except ConfigurationError as error:
            raise NotDelivered(str(error)) from error


class ThinksItIsAlone(Transport):
    def is_local(self, address):
        return True


class TriesForLong(Transport):
    def connect(self, address, deadline):
        try:
            return super().connect(address, deadline)
        except NotDelivered:
            time.sleep(7)
            raise


class SharedTransport(PigeonTransport):
    """A transport that is not broken: its servers may share an address."""

    def serve(self, listen, accept):
        listener = socket.create_server(parse(listen), reuse_port=True)
        return PigeonServer(listener, parse(listen)[0], accept, self._options, self._tls)


class StraysBetweenProcesses(SharedTransport):
    def connect(self, address, deadline):
        connect = super().connect
        return Straying(lambda by=deadline: connect(address, by))


class Straying(Channel):
    def exchange(self, request, deadline):
        self.inner.close()
        self.inner = self.connect(deadline)
        return self.inner.exchange(request, deadline)
