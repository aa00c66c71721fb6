"""Tasks on every core whose results are taken in order, by whichever thread has the next one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition, Event, Lock
from types import TracebackType
from typing import Generic, Self, TypeVar

from ptychoproduct.system.workers import Workers

Result = TypeVar("Result")

# Tasks that are queued before a thread can begin them; the thread that submits sleeps until half of them have begun.
_QUEUED = 256
# How often a thread that waits for the others reports how far they are.
_REPORT_S = 0.1


class OrderedTasks(Generic[Result]):
    """Runs tasks on threads, and takes their results in order.

    A result is taken by the thread that has made it, or by one that has made an earlier one. So the thread that submits
    tasks sleeps while the others work, and is not woken for each of them.

    A context manager: leaving it waits for all tasks; after an error those that have not begun are dropped.

    Parameters
    ----------
    threads : int
    most_waiting : int
        Tasks that may have begun and whose results are not taken, at most.
    take : callable
        Called with each result, by one thread at a time.
    report : callable
        Called now and then, on the thread that submits, with the sum of the sizes of tasks whose results were taken.
    """

    def __init__(
        self, threads: int, most_waiting: int, take: Callable[[Result], None], report: Callable[[int], None]
    ) -> None:
        self._workers = Workers(threads, "encode")
        self._most_waiting = most_waiting
        self._take = take
        self._report = report
        self._lock = Lock()  # of the tasks, of the number of threads that work on them, and of what is taken
        self._has_room = Condition(self._lock)
        self._tasks: deque[tuple[int, int, Callable[[], Result]]] = deque()
        self._running = 0
        self._made: dict[int, tuple[int, Result | BaseException]] = {}
        self._taking = Lock()
        self._submitted = self._taken = 0
        self._size_taken = self._size_reported = 0
        self._error: BaseException | None = None
        self._wake_at = 0  # when so many results are taken, the thread that submits goes on
        self._awake = Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._workers:
            try:
                if error is None:
                    self.drain()
            finally:
                self._drop_tasks()

    def submit(self, task: Callable[[], Result], size: int, *, is_small: bool = False) -> None:
        """Run a task as soon as a thread is free; wait before it if too many are waiting.

        Parameters
        ----------
        task : callable
        size : int
            What is reported once the result is taken.
        is_small : bool
            Whether the task holds no data before it begins, so that many of them can be queued.

        Raises
        ------
        Exception
            Whatever an earlier task, or the taking of its result, has raised.
        """
        most = self._most_waiting + (_QUEUED if is_small else 0)
        if self._submitted - self._taken >= most:
            self._wait_until_taken(self._submitted - most + max(1, (most - self._workers.threads) // 2))
        with self._lock:
            self._tasks.append((self._submitted, size, task))
            self._submitted += 1
            is_thread_free = self._running < self._workers.threads
            self._running += is_thread_free
        if is_thread_free:
            self._workers.submit(self._work)

    def drain(self) -> None:
        """Wait until all results are taken.

        Raises
        ------
        Exception
            As by `submit`.
        """
        self._wait_until_taken(self._submitted)

    def _wait_until_taken(self, count: int) -> None:
        self._wake_at = count
        self._awake.clear()
        while self._taken < count and self._error is None:
            self._awake.wait(_REPORT_S)
            self._report_progress()
        if self._error is not None:
            raise self._error
        self._report_progress()

    def _report_progress(self) -> None:
        size = self._size_taken - self._size_reported
        if size:
            self._size_reported += size
            self._report(size)

    def _drop_tasks(self) -> None:
        with self._lock:
            self._tasks.clear()
            self._has_room.notify_all()

    def _work(self) -> None:
        """Run tasks until there are no more."""
        while (begun := self._begin()) is not None:
            number, size, task = begun
            try:
                self._made[number] = size, task()
            except BaseException as error:  # it is raised again on the thread that submits
                self._made[number] = size, error
            self._take_in_order()

    def _begin(self) -> tuple[int, int, Callable[[], Result]] | None:
        """Return the next task, once it may begin; None where this thread has no more to do."""
        with self._lock:
            while self._tasks:
                if self._tasks[0][0] - self._taken < self._most_waiting:
                    return self._tasks.popleft()
                self._has_room.wait()
            self._running -= 1
            return None

    def _take_in_order(self) -> None:
        """Take the results whose turn it is, unless another thread does."""
        while self._error is None and self._taken in self._made and self._taking.acquire(blocking=False):
            try:
                while self._error is None and self._taken in self._made:
                    self._take_next()
            except BaseException as error:  # as above
                self._error = error
                self._drop_tasks()
                self._awake.set()
            finally:
                self._taking.release()

    def _take_next(self) -> None:
        size, result = self._made.pop(self._taken)
        if isinstance(result, BaseException):
            raise result
        self._take(result)
        self._size_taken += size
        with self._lock:
            self._taken += 1
            self._has_room.notify()
        if self._taken >= self._wake_at:
            self._awake.set()
