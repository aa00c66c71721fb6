"""Workers: calls on many threads, results in order."""

import os
import signal
import threading
import time
from functools import partial

import pytest

from ptychoproduct.system.workers import Workers, most_ahead


@pytest.fixture(params=[1, 2, 5])
def workers(request):
    opened = Workers(request.param)
    yield opened
    opened.close()


def results(futures):
    return [future.result() for future in futures]


def test_results_come_in_the_order_of_the_calls(workers):
    def slow_at_first(number):
        time.sleep(0.02 if number == 0 else 0)
        return number

    assert results(workers.in_order(partial(slow_at_first, n) for n in range(30))) == list(range(30))


def test_no_calls_have_no_results(workers):
    assert results(workers.in_order([])) == []


def test_an_error_is_in_its_future_and_the_others_go_on(workers):
    futures = workers.in_order(partial(divmod, 1, n) for n in (1, 0, 2))
    assert [type(future.exception()) for future in futures] == [type(None), ZeroDivisionError, type(None)]


def test_an_error_of_the_iterator_waits_for_what_runs(workers):
    running = []

    def call():
        running.append(1)
        time.sleep(0.02)
        running.pop()

    def calls():
        yield call
        raise KeyError

    with pytest.raises(KeyError):
        results(workers.in_order(calls()))
    assert running == []


@pytest.mark.parametrize(("most_waiting", "expected"), [(None, 6), (4, 4), (0, 3), (100, 6)])
def test_calls_are_taken_a_few_ahead(most_waiting, expected):
    workers, taken = Workers(2), []

    def calls():
        for number in range(50):
            taken.append(number)
            yield partial(int, number)

    futures = workers.in_order(calls(), most_waiting)
    assert next(futures).result() == 0
    assert len(taken) == expected
    futures.close()
    workers.close()


@pytest.mark.parametrize(
    ("threads", "call_mib", "expected"), [(2, 1, 6), (2, 16, 4), (2, 100, 3), (16, 8, 17), (64, 1, 192), (64, 2, 128)]
)
def test_what_waits_fits_in_some_memory_for_each_thread(threads, call_mib, expected):
    assert most_ahead(threads, call_mib * 1024**2) == expected


def test_after_closing_nothing_runs_any_more():
    workers, done = Workers(2), []

    def call():
        time.sleep(0.01)
        done.append(1)

    futures = workers.in_order(call for _ in range(20))
    next(futures)
    futures.close()
    count = len(done)
    time.sleep(0.05)
    assert len(done) == count < 20
    workers.close()


def test_threads_stay_for_the_next_calls():
    workers = Workers(1 + 1)
    first = set(results(workers.in_order(threading.get_ident for _ in range(40))))
    second = set(results(workers.in_order(threading.get_ident for _ in range(40))))
    assert first & second
    assert threading.get_ident() not in first | second
    workers.close()


def test_threads_start_again_after_closing():
    workers = Workers(2)
    for _ in range(2):
        assert results(workers.in_order([partial(int, 3)])) == [3]
        workers.close()
        workers.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on Windows")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_starts_its_own_threads():
    workers = Workers(2)
    assert results(workers.in_order([partial(int, 3)])) == [3]
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        os._exit(results(workers.in_order([partial(int, 7)]))[0])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    workers.close()
