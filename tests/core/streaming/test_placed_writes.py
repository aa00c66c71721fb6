"""Writes that wait for a thread."""

import threading
from functools import partial

from ptychoproduct.streaming.placed_writes import PlacedWrites


def test_writes_wait_until_a_thread_helps():
    writes, done = PlacedWrites(10), []
    for number in range(3):
        writes.add(partial(done.append, number))
    assert done == []
    writes.help()
    assert done == [0, 1, 2]


def test_who_adds_too_many_does_them():
    writes, done = PlacedWrites(2), []
    for number in range(3):
        writes.add(partial(done.append, number))
    assert done == [0, 1, 2]


def test_a_thread_does_not_wait_for_another_that_writes_but_the_end_does():
    writes, done = PlacedWrites(10), []
    begun, go_on = threading.Event(), threading.Event()

    def slow():
        begun.set()
        go_on.wait(30)
        done.append("slow")

    writes.add(slow)
    writes.add(partial(done.append, "next"))
    thread = threading.Thread(target=writes.help)
    thread.start()
    assert begun.wait(30)
    writes.help()
    assert done == []
    go_on.set()
    writes.finish()
    assert done == ["slow", "next"]
    thread.join()
