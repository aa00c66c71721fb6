"""OrderedTasks: tasks on every core, results in order."""

import threading
import time
from functools import partial

import pytest

from ptychoproduct.system.ordered_tasks import OrderedTasks

THREADS = [1, 2, 5]


def ignore(size):
    pass


def slow_at_first(number):
    time.sleep(0.02 if number == 0 else 0)
    return number


def run(calls, threads=2, most_waiting=4, take=ignore, report=ignore, is_small=False, then=None):
    with OrderedTasks(threads, most_waiting, take, report) as tasks:
        for call in calls:
            tasks.submit(call, 1, is_small=is_small)
        if then is not None:
            then()


def encoding_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("encode")]


@pytest.mark.parametrize("is_small", [False, True])
@pytest.mark.parametrize("threads", THREADS)
def test_results_are_taken_in_the_order_of_the_tasks(threads, is_small):
    taken = []
    with OrderedTasks(threads, threads + 1, taken.append, ignore) as tasks:
        for number in range(1000):
            tasks.submit(partial(slow_at_first, number), 1, is_small=is_small)
    assert taken == list(range(1000))


@pytest.mark.parametrize("threads", THREADS)
def test_one_result_is_taken_at_a_time(threads):
    inside, most = [], []

    def take(number):
        inside.append(number)
        time.sleep(0.001)
        most.append(len(inside))
        inside.remove(number)

    with OrderedTasks(threads, 3 * threads, take, ignore) as tasks:
        for number in range(50):
            tasks.submit(partial(int, number), 1)
    assert most == [1] * 50


@pytest.mark.parametrize("is_small", [False, True])
@pytest.mark.parametrize("most_waiting", [3, 7])
def test_no_more_tasks_begin_than_may_wait(most_waiting, is_small):
    lock, begun, taken, ahead = threading.Lock(), [], [], []

    def task(number):
        with lock:
            begun.append(number)
            ahead.append(len(begun) - len(taken))
        return slow_at_first(number % 20)

    with OrderedTasks(2, most_waiting, taken.append, ignore) as tasks:
        for number in range(100):
            tasks.submit(partial(task, number), 1, is_small=is_small)
    assert max(ahead) <= most_waiting
    assert len(taken) == 100


def test_sizes_are_reported_on_the_thread_that_submits():
    reports = []

    def report(size):
        reports.append((threading.get_ident(), size))

    with OrderedTasks(2, 4, ignore, report) as tasks:
        for size in range(100):
            tasks.submit(partial(int, size), size)
    assert {thread for thread, _ in reports} == {threading.get_ident()}
    assert sum(size for _, size in reports) == sum(range(100))


def test_the_first_error_in_order_is_raised_after_the_results_before_it_were_taken():
    def late_error():
        time.sleep(0.05)
        raise KeyError("first")

    taken = []
    with pytest.raises(KeyError, match="first"):
        run([partial(int, 0), late_error, partial(divmod, 1, 0)], 3, 9, taken.append)
    assert taken == [0]
    assert encoding_threads() == []


def test_an_error_while_a_result_is_taken_is_raised_and_ends_the_threads():
    def take(number):
        raise OSError(number)

    begun = []
    with pytest.raises(OSError, match="None"):
        run((partial(begun.append, number) for number in range(100_000)), take=take, is_small=True)
    assert len(begun) <= 4
    assert encoding_threads() == []


def test_tasks_that_have_not_begun_are_dropped_after_an_error_of_who_submits():
    done = []

    def task():
        time.sleep(0.02)
        done.append(1)

    def fail():
        raise KeyError

    with pytest.raises(KeyError):
        run([task] * 100, is_small=True, then=fail)
    assert len(done) <= 4
    assert encoding_threads() == []


def test_an_error_of_who_is_told_the_progress_ends_the_work():
    def report(_):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        run([partial(int, 0)] * 100, report=report)
    assert encoding_threads() == []


def test_more_can_be_submitted_after_all_were_drained():
    taken = []
    with OrderedTasks(2, 4, taken.append, ignore) as tasks:
        for number in range(10):
            tasks.submit(partial(int, number), 1)
            tasks.drain()
            assert taken == list(range(number + 1))
