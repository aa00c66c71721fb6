"""A Dask cluster: how it is reached, and one scan a task on it.

Which worker does what, and what happens when one dies, is Dask's business. Here it is only seen to that no more scans
are handed out than there are workers, as a scan takes all threads of its worker.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptychoproduct.aliases import Progress
from ptychoproduct.batch.jobs import Attempt, Job, Work, attempt
from ptychoproduct.errors import OptionError, ProductError
from ptychoproduct.system.part_files import parts_of, remove_leftovers
from ptychoproduct.system.process import available_threads, prepare_process, threads_limited_to

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

_LOOK_S = 0.5
_REPORT_S = 0.25
_CANCEL_S = 10.0
_CONNECT_S = 20
# A scan that has killed so many workers is given up.
MOST_KILLED = 3
LOST = "the connection to the scheduler was lost"
_one_scan_at_a_time = threading.Lock()


class Cancelled(Exception):  # noqa: N818 - no fault
    """The client wants this work no more."""


@contextmanager
def connected(address: str, *, in_process: bool = False) -> Iterator[Client]:
    """Give a client of a cluster.

    Parameters
    ----------
    address : str
        Of a scheduler; or its scheduler file, ``*.json``; or ``local`` or ``local:N`` for N processes on this machine,
        which share its cores.
    in_process : bool
        Whether ``local:N`` means threads of this process, see `local_cluster`.

    Raises
    ------
    OptionError
        Dask is not installed, or there is no cluster.
    """
    try:
        from distributed import Client
    except ImportError:
        raise OptionError("cluster", "needs dask.distributed; install it: pip install distributed") from None
    for logger in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
        logging.getLogger(logger).setLevel(logging.CRITICAL + 1)  # what goes wrong is said here
    name, _, number = address.partition(":")
    with ExitStack() as stack:
        if name == "local" and (not number or number.isdigit()):
            workers = int(number or available_threads())
            if not workers:
                raise OptionError("cluster", found=address, expected="at least 1 process")
            threads = max(1, available_threads() // workers)
            where: Any = stack.enter_context(local_cluster(workers, threads, in_process=in_process))
        else:
            where = address
        try:
            if address.endswith(".json") and not Path(address).exists():  # Dask would wait for it
                raise OptionError("cluster", f"there is no scheduler file {address}")
            named = {"scheduler_file": address} if address.endswith(".json") else {"address": where}
            client = stack.enter_context(Client(timeout=_CONNECT_S, **named))
        except (OSError, ValueError) as error:
            raise OptionError("cluster", f"there is no scheduler at {address}: {error}") from error
        yield client


@contextmanager
def local_cluster(workers: int, threads: int, *, in_process: bool = False) -> Iterator[LocalCluster]:
    """Give a cluster on this machine.

    Parameters
    ----------
    workers, threads : int
        How many processes, each with so many threads.
    in_process : bool
        Have as many threads in this process instead. Nothing has to be started or sent, and the work leaves Python's
        lock alone; but what ends one thread ends all.
    """
    import dask
    from distributed import LocalCluster

    settings: dict[str, Any] = {
        "distributed.scheduler.allowed-failures": MOST_KILLED - 1,
        "distributed.worker.profile.enabled": False,  # it holds what it looks at, which is then copied
        # The cores are here for the frames: by default Dask looks at itself 50 times a second.
        "distributed.admin.tick.interval": "1s",
        "distributed.admin.system-monitor.interval": "5s",
        "distributed.scheduler.work-stealing-interval": "1s",
        "distributed.worker.memory.monitor-interval": "1s",
    }
    size: dict[str, Any] = {"n_workers": workers, "threads_per_worker": threads}
    if in_process:
        size = {"n_workers": 1, "threads_per_worker": workers * threads, "processes": False, "memory_limit": None}
    else:
        settings["distributed.worker.preload"] = ["ptychoproduct.batch.local_worker"]
    with (
        dask.config.set(settings),
        LocalCluster(**size, dashboard_address="localhost:0", silence_logs=logging.CRITICAL) as cluster,
    ):
        yield cluster


def one_scan_a_task(
    client: Client, jobs: Sequence[Job], progress: Progress
) -> Generator[tuple[Job, Attempt], None, None]:
    """Do jobs on a cluster, each on as many threads as its worker was given; see `Engine`."""
    waiting, running = deque(jobs), dict[Any, Job]()
    workers = set[str]()
    has_lost = False
    with progress_of(client) as (topic, taken):
        try:
            while waiting or running:
                there = workers_of(client)
                has_lost, workers = has_lost or not there >= workers, there
                while waiting and len(running) < len(there):
                    job = waiting.popleft()
                    try:
                        running[_submit(client, job, topic)] = job
                    except ProductError as error:
                        yield job, Attempt(error=error)
                wait_for_one(list(running))
                progress(taken())
                require_running(client)
                for future in [future for future in running if future.done()]:
                    job = running.pop(future)
                    yield job, _attempt_of(future, job)
            if has_lost or not workers_of(client) >= workers:
                _settle(jobs)
        finally:
            if running:
                _cancel(client, list(running), list(running.values()))


def _submit(client: Client, job: Job, topic: str) -> Future[Attempt]:
    """Hand out work. No worker is named: Dask would not give the work to one that comes later."""
    work = job.prepare()
    return client.submit(do_one, work, topic, job.written, key=f"scan-{uuid.uuid4().hex}", pure=False)


def do_one(work: Work, topic: str, written: Sequence[Path]) -> Attempt:
    """Do the work for one scan, on a worker."""
    prepare_process()
    with _one_scan_at_a_time, worker_threads(), reported_progress(topic) as progress:
        progress(0)
        return attempt(lambda: work, progress, written)


@contextmanager
def worker_threads() -> Iterator[int]:
    """Use as many threads as this worker was given."""
    from distributed import get_worker

    threads = get_worker().state.nthreads
    with threads_limited_to(threads):
        yield threads


@contextmanager
def reported_progress(topic: str) -> Iterator[Progress]:
    """Give a function that reports progress to the client now and then, and ends work that was cancelled."""
    from distributed import get_worker

    worker, key = get_worker(), get_worker().get_current_task()
    counted, last = 0, time.monotonic()

    def progress(nbytes: int) -> None:
        nonlocal counted, last
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":
            raise Cancelled
        counted += nbytes
        if time.monotonic() - last >= _REPORT_S:
            worker.log_event(topic, counted)
            counted, last = 0, time.monotonic()

    yield progress
    if counted:
        worker.log_event(topic, counted)


@contextmanager
def progress_of(client: Client) -> Iterator[tuple[str, Callable[[], int]]]:
    """Give a topic that workers report bytes to, and a function that returns those since it was last called."""
    topic, reported = f"ptychoproduct-{uuid.uuid4().hex}", deque[int]()
    client.subscribe_topic(topic, lambda event: reported.append(event[1]))

    def taken() -> int:
        return sum(reported.popleft() for _ in range(len(reported)))

    try:
        yield topic, taken
    finally:
        with suppress(OSError, ValueError):
            client.unsubscribe_topic(topic)


def workers_of(client: Client) -> set[str]:
    """Return the addresses of the workers that are there now."""
    with suppress(OSError, TimeoutError):
        return set(client.nthreads())
    return set()


def wait_for_one(futures: Sequence[Any]) -> None:
    """Wait until one is done, but not for long: workers come and go, and progress is shown."""
    from distributed import wait

    if not futures:
        time.sleep(_LOOK_S)
        return
    try:
        wait(futures, timeout=_LOOK_S, return_when="FIRST_COMPLETED")
    except (TimeoutError, OSError, CancelledError):
        return


def require_running(client: Client) -> None:
    """Raise OptionError where the scheduler is gone."""
    if client.status != "running":
        raise OptionError("cluster", LOST)


def _attempt_of(future: Any, job: Job) -> Attempt:
    from distributed.scheduler import KilledWorker

    if future.status == "finished":
        found: Attempt = future.result()
        return found
    error = future.exception() if future.status == "error" else None
    if isinstance(error, KilledWorker):
        for path in job.written:
            remove_leftovers(path.resolve())
        error = ProductError(
            job.source,
            f"{MOST_KILLED} workers died while they worked on this scan, most likely for want of memory; give workers "
            "more memory or fewer threads",
        )
    return Attempt(error=error or ProductError(job.source, "the cluster has given this scan up"))


def _cancel(client: Client, futures: Sequence[Any], jobs: Sequence[Job]) -> None:
    """End what is running, and wait until it has removed its unfinished outputs."""
    if client.status != "running":
        return
    with suppress(OSError):
        client.cancel(futures)
    _settle(jobs)


def _settle(jobs: Sequence[Job]) -> None:
    """Wait until unfinished outputs are removed, and remove those whose worker has died.

    Dask does a scan again whose worker has died before its result was taken, and ends that when the result was.
    """
    outputs = [path.resolve() for job in jobs for path in job.written]
    end = time.monotonic() + _CANCEL_S
    for output in outputs:
        remove_leftovers(output)
        while parts_of(output) and time.monotonic() < end:
            time.sleep(0.05)
            remove_leftovers(output)
