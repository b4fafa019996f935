"""Client processes, whose threads all write in one way for a while."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from time import perf_counter, process_time
from typing import Any

import fly_orm

from .ways import WAYS, Place, connect

#: Of so many writes of a thread, the first is looked for on the replica when it has returned.
LOOK = 25
WARM_UP = 3
TIMEOUT = 60.0
#: Seconds in which a process ends by itself.
END_TIMEOUT = 5.0


@dataclass(frozen=True, kw_only=True)
class Done:
    """What client processes have done together."""

    writes: int
    seconds: float
    processor: float
    """Seconds that the processes spent."""
    missed: int
    """Writes that the replica did not show when they had returned, of those that were looked for."""
    nodes: frozenset[str]
    """The nodes that executed them."""
    errors: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Writes a second."""
        return self.writes / self.seconds


def _together(parts: Sequence[Done], *, processor: float) -> Done:
    """What some have done at the same time."""
    return Done(
        writes=sum(part.writes for part in parts),
        seconds=max(part.seconds for part in parts),
        processor=processor,
        missed=sum(part.missed for part in parts),
        nodes=frozenset().union(*(part.nodes for part in parts)),
        errors=tuple(error for part in parts for error in part.errors),
    )


class Clients:
    """Running processes that wait to be told what to do."""

    def __init__(self, members: list[tuple[Any, Any]]) -> None:
        self._members = members

    @property
    def pids(self) -> list[int]:
        """Those of the processes."""
        return [process.pid for process, _ in self._members]

    def write(self, way: str, place: Place, *, callers: int, seconds: float) -> Done:
        """Let so many threads in all write for some seconds, or one of the callers' errors."""
        each = callers // len(self._members)
        for _, ours in self._members:
            ours.send((way, place, each))
        self._hear()  # all threads have connected
        for _, ours in self._members:
            ours.send(seconds)
        parts = self._hear()
        return _together(parts, processor=sum(part.processor for part in parts))

    def _hear(self) -> list[Any]:
        heard = []
        for _, ours in self._members:
            if not ours.poll(TIMEOUT):
                raise TimeoutError(f"a client process said nothing for {TIMEOUT:g} s")
            heard.append(ours.recv())
        for each in heard:
            if isinstance(each, str):
                raise RuntimeError(each)
        return heard


@contextmanager
def clients(processes: int) -> Iterator[Clients]:
    """So many processes, which end with the block."""
    context, members = get_context("spawn"), []
    for _ in range(processes):
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        members.append((process, ours))
    try:
        yield Clients(members)
    finally:
        for process, ours in members:
            ours.close()
            process.join(END_TIMEOUT)
            process.kill()


def _serve(ours: Any) -> None:
    with suppress(EOFError):
        while True:
            way, place, threads = ours.recv()
            try:
                _work(ours, way, place, threads)
            except EOFError:
                raise
            except Exception as error:
                ours.send(f"{way}: {type(error).__name__}: {error}")


def _work(ours: Any, way: str, place: Place, threads: int) -> None:
    start, until = threading.Barrier(threads + 1), [0.0]
    with WAYS[way](place) as opens, ThreadPoolExecutor(threads) as pool:

        def thread(_: int) -> Done:
            try:
                with opens() as write, closing(connect(place.replica)) as replica:
                    for _ in range(WARM_UP):
                        write()
                    start.wait()
                    start.wait()
                    return _write(write, replica.cursor(), until[0])
            except BaseException:
                start.abort()
                raise

        running = [pool.submit(thread, number) for number in range(threads)]
        with suppress(threading.BrokenBarrierError):
            start.wait()
            ours.send(None)
            seconds = ours.recv()
            spent, started = process_time(), perf_counter()
            until[0] = started + seconds
            start.wait()
        parts = [each.result() for each in running]
        ours.send(_together(parts, processor=process_time() - spent))


def _write(write: Any, here: Any, until: float) -> Done:
    writes = missed = 0
    nodes, errors = set(), []
    started = perf_counter()
    while perf_counter() < until:
        try:
            made = write()
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}"[:200])
            if len(errors) > 10:
                break
            continue
        writes += 1
        if writes % LOOK == 1:
            here.execute("SELECT count(*) FROM row WHERE id = %s", (made,))
            missed += here.fetchone()[0] == 0
            if served := fly_orm.why():
                nodes.add(served.node)
    return Done(
        writes=writes,
        seconds=perf_counter() - started,
        processor=0.0,
        missed=missed,
        nodes=frozenset(filter(None, nodes)),
        errors=tuple(errors),
    )
