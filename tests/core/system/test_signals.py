"""Signals wait for the end of a step that must not be cut in two."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from ptychoproduct.system.signals import held_signals

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@pytest.fixture
def answered():
    """Numbers of the signals that were answered; SIGTERM has a handler of ours meanwhile."""
    numbers = []
    old = signal.signal(signal.SIGTERM, lambda number, _: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGTERM, old)


def test_a_signal_is_answered_after_the_block(answered):
    with held_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        assert answered == []
    assert answered == [signal.SIGTERM]


def test_ctrl_c_is_raised_after_the_block():
    steps = []

    def interrupted():
        with held_signals():
            signal.raise_signal(signal.SIGINT)
            steps.append("last")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert steps == ["last"]


def test_handlers_are_what_they_were(answered):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with held_signals():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    os.kill(os.getpid(), signal.SIGTERM)
    assert answered == [signal.SIGTERM]


def test_an_ignored_signal_stays_ignored():
    old = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with held_signals():
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, old)


def test_a_signal_without_a_handler_ends_the_process_after_the_block():
    code = """
import os, signal
from ptychoproduct.system.signals import held_signals
with held_signals():
    os.kill(os.getpid(), signal.SIGTERM)
    print("done", flush=True)
print("not ended")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, "done\n")


def test_other_threads_hold_nothing_as_they_answer_nothing():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def run():
        with held_signals():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]
