"""Work on every core, results in order."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self, TypeVar

Result = TypeVar("Result")

# Calls waiting for a core or for their turn; enough that neither side waits for the other.
_WINDOW_PER_THREAD = 3
# What these may hold of memory. Results are taken in order: with one call a thread, all wait for one that takes long.
_AHEAD_BYTES = 64 * 1024**2
_AHEAD_BYTES_PER_THREAD = 4 * 1024**2


class Workers:
    """Threads that start when there is work for them, and stay for the next.

    Parameters
    ----------
    threads : int
        With one, `in_order` does the work where its results are asked for.
    name : str
        What the threads' names begin with.

    A context manager: leaving it drops the calls that have not begun, and waits for the others.
    """

    def __init__(self, threads: int, name: str = "decode") -> None:
        self.threads = threads
        self._name = name
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self.close()

    def submit(self, call: Callable[[], Result]) -> Future[Result]:
        """Run a call on a thread as soon as one is free."""
        return self._running_pool().submit(call)

    def in_order(
        self, calls: Iterable[Callable[[], Result]], most_waiting: int | None = None
    ) -> Iterator[Future[Result]]:
        """Give the futures of all calls, in their order.

        Parameters
        ----------
        calls : iterable of callable
            Taken from the iterator a few ahead of the futures given, on the thread that iterates. When the generator
            is closed, none of them runs any more.
        most_waiting : int, optional
            How many to take ahead, where their size demands fewer than usual; one for each thread at the least.
        """
        if self.threads == 1:
            yield from done_here(calls)
            return
        usual = self.threads * _WINDOW_PER_THREAD
        window = usual if most_waiting is None else max(self.threads + 1, min(usual, most_waiting))
        pool = self._running_pool()
        pending: deque[Future[Result]] = deque()
        caller = threading.get_ident()
        try:
            for call in calls:
                pending.append(pool.submit(call))
                if len(pending) >= window:
                    yield pending[0]
                    pending.popleft()
            while pending:
                yield pending[0]
                pending.popleft()
        finally:
            running = [future for future in pending if not future.cancel()]
            if threading.get_ident() == caller:  # the garbage collector closes a generator on any thread, even on ours
                wait(running)

    def close(self) -> None:
        """End the threads when they have done their work."""
        with self._lock:
            if self._pool is not None and self._process == os.getpid():
                self._pool.shutdown(wait=False)
            self._pool = None

    def _running_pool(self) -> ThreadPoolExecutor:
        with self._lock:
            # A process that was forked, such as a training loader's, does not have the threads of its parent.
            if self._pool is None or self._process != os.getpid():
                self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix=self._name)
                self._process = os.getpid()
            return self._pool


def most_ahead(threads: int, call_bytes: int) -> int:
    """Return how many calls that hold so much each may wait for a thread, or for their turn."""
    fit = max(_AHEAD_BYTES, threads * _AHEAD_BYTES_PER_THREAD) // max(1, call_bytes)
    return max(threads + 1, min(threads * _WINDOW_PER_THREAD, fit))


def done_here(calls: Iterable[Callable[[], Result]]) -> Iterator[Future[Result]]:
    """Give the futures of all calls, each made when it is asked for."""
    for call in calls:
        future: Future[Result] = Future()
        try:
            future.set_result(call())
        except Exception as error:
            future.set_exception(error)
        yield future
