"""The second Ctrl-C ends a process that holds the interpreter and does not come back."""

import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

STUCK = """
import os, signal
from ptychoproduct_native import claim_last_line, end_at_second_interrupt
reading, writing = os.pipe()
os.set_blocking(writing, False)
signal.set_wakeup_fd(writing)
assert end_at_second_interrupt(reading, b"ended\\n")
if {claimed}:
    assert claim_last_line()
    assert claim_last_line()
print("ready", flush=True)
sum(range(10**13))  # in C, without a look at signals
"""


@pytest.mark.parametrize("claimed", [False, True])
@pytest.mark.parametrize("interrupts", [1, 2])
def test_a_stuck_process_ends_at_the_second_ctrl_c_and_not_at_the_first(interrupts, claimed):
    with subprocess.Popen(
        [sys.executable, "-c", STUCK.format(claimed=claimed)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        for _ in range(interrupts):
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
        if interrupts == 2:
            _, printed = process.communicate(timeout=20)
            assert (process.returncode, printed) == (130, "" if claimed else "ended\n")
        else:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(4)
            process.kill()
