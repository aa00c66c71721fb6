# cython: language_level=3
"""The end of a process that is interrupted twice, though a library holds the interpreter and does not come back."""

cdef extern from "ending.h" nogil:
    int pp_claim_last_line()
    int pp_end_at_second_interrupt(int descriptor, const char *line)

cdef bytes _line = b""


def claim_last_line():
    """Return whether Python is to print the last line of this process; from then on nobody else does."""
    return bool(pp_claim_last_line())


def end_at_second_interrupt(int descriptor, bytes line):
    """Start a thread that ends the process two seconds after the second SIGINT; false where it cannot be started.

    Parameters
    ----------
    descriptor : int
        Gives the number of each signal as a byte, see `signal.set_wakeup_fd`.
    line : bytes
        To be printed on standard error, unless another has claimed the last line.
    """
    global _line
    _line = line
    return not pp_end_at_second_interrupt(descriptor, _line)
