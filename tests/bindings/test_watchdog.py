"""The end of processes that a library holds: each in a process of its own, whose interpreter is really held."""

import subprocess
import sys
import time

import h5py
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")

START = """
import ctypes, re, sys, time, threading
from ptychoproduct_native import start_watchdog
start_watchdog(b"the last line\\n", {seconds}, {nbytes})
held = ctypes.PyDLL(None)  # its functions hold the interpreter
held.malloc.restype, held.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
held.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
"""
HANG = 're.match(r"(a+)+$", "a" * 60 + "b")'
ENDED = (2, b"the last line\n")


def run(body, seconds=1.0, nbytes=1 << 40, **options):
    program = START.format(seconds=seconds, nbytes=nbytes) + body
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=100, check=False, **options)
    return done.returncode, done.stderr


def test_a_loop_that_holds_the_interpreter_ends_the_process():
    assert run(HANG) == ENDED


def test_unfinished_outputs_are_removed_and_others_stay(tmp_path):
    names = [".ptychoproduct-0-1.part", "scan.part", ".ptychoproduct-0-1.old"]
    opened = f"files = [open(name, 'w') for name in {names}]\n"
    assert run(opened + HANG, cwd=tmp_path) == ENDED
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])


def test_hdf5_in_a_loop_is_ended(tmp_path):
    with h5py.File(tmp_path / "damaged.h5", "w") as file:
        file.attrs["text"] = "some text"
    data = (tmp_path / "damaged.h5").read_bytes()
    heap = data.index(b"GCOL")
    (tmp_path / "damaged.h5").write_bytes(data[: heap + 16] + bytes(4080) + data[heap + 4096 :])
    body = "import h5py\nprint(dict(h5py.File('damaged.h5').attrs))"
    started = time.monotonic()
    assert run(body, cwd=tmp_path) == ENDED
    assert time.monotonic() - started < 60


def test_memory_that_is_taken_while_nothing_is_read_ends_the_process():
    assert run("held.memset(held.malloc(1 << 26), 1, 1 << 26)", 50, 1 << 28) == (0, b"")
    assert run("held.memset(held.malloc(2 << 30), 1, 2 << 30); time.sleep(9)", 50, 1 << 28) == ENDED


@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(3)",  # no CPU time
        "deadline = time.process_time() + 3\nwhile time.process_time() < deadline: pass",  # the interpreter is not held
        "held.usleep(2_500_000)",  # held, without CPU time
    ],
)
def test_work_is_not_ended(body):
    assert run(body) == (0, b"")
