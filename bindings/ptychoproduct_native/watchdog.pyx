# cython: language_level=3
"""The end of a process in which a library holds the interpreter and does not come back, as HDF5 in damaged files."""

import threading
import time

cdef extern from "watchdog.h" nogil:
    unsigned long pp_beats
    int pp_start_watchdog(const char *line, double seconds, long long nbytes)

cdef bytes _line = b""


def start_watchdog(bytes line, double seconds=10, long long nbytes=1 << 30):
    """Have the process end with exit code 2 when the interpreter is held for too long; on Linux only.

    Unfinished outputs of this process are removed.

    Parameters
    ----------
    line : bytes
        To be printed on standard error then.
    seconds : float
        CPU time for which the interpreter may be held while nothing is read or written.
    nbytes : int
        Memory that may be taken meanwhile, unless as much is read.
    """
    global _line
    if _line:
        return
    _line = line
    if pp_start_watchdog(_line, seconds, nbytes) == 0:
        threading.Thread(target=_beat, name="beats for the watchdog", daemon=True).start()


def _beat():
    global pp_beats
    while True:
        pp_beats += 1
        time.sleep(0.05)
