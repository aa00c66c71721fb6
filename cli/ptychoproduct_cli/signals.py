"""Signals that end a command: what is unfinished is removed, one line is printed, and a second Ctrl-C ends it at once.

A command has three times: it starts (imports, arguments), it works, and it has said how it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

# Ctrl-C, and what a job's manager, a terminal that is closed and a limit of CPU time send; not all systems have all.
_MEANINGS = {
    "SIGINT": "interrupted",
    "SIGTERM": "terminated",
    "SIGHUP": "the terminal was closed",
    "SIGXCPU": "the limit of CPU time was reached",
}
_PROGRAMS = ("ptychoproduct", "convert_to_ptychodus_product", "import_ptychodus_product")
_received: list[int] = []
_said: list[int] = []


class Terminated(BaseException):
    """A signal other than Ctrl-C came.

    Parameters
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number
        super().__init__(_meaning(number))


def answer_while_starting() -> None:
    """End the process at a signal from now on, in one line: nothing has begun that would have to be removed."""
    _handle(lambda number, _: _end(_meaning(number), 128 + number))


def answer_of_our_programs() -> None:
    """Do so before everything else is imported, if this process is one of our programs; and where memory is short."""
    if Path(sys.argv[0] if sys.argv else "").stem in _PROGRAMS:
        try:
            answer_while_starting()
        except KeyboardInterrupt:  # it came meanwhile
            _end(_meaning(signal.SIGINT), 128 + signal.SIGINT)
        sys.excepthook = tell_of_error
        atexit.register(_leave)  # as the first, so it is called as the last


def tell_of_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an error that ends the process: in one line where an import finds no memory, which it says in many ways."""
    is_short = isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
    if isinstance(error, ImportError):  # of the system's loader
        is_short = "memory" in str(error)
    if is_short:
        os.write(2, _line("out of memory; nothing was left behind"))
    elif isinstance(error, SystemError):  # the compiler's, which forgets to say that there is no memory
        os.write(2, _line(f"out of memory, or an error of Python's: {error}"))
    else:
        sys.__excepthook__(kind, error, trace)


def answer_signals() -> None:
    """Have signals raise exceptions from now on."""
    from ptychoproduct_native import end_at_second_interrupt

    if sys.platform != "win32":
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        end_at_second_interrupt(reading, _line("interrupted twice and ended at once"))
    _handle(_answer)
    sys.unraisablehook = _tell_of_dropped


@contextlib.contextmanager
def interrupt_noted() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether Ctrl-C came, which does not end the work; the second one does, at once."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if noted:
            _received.append(number)
            _answer(number, frame)
        noted.append(number)

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(noted)
    finally:
        signal.signal(signal.SIGINT, before)


def raise_signal() -> None:
    """Raise the exception of a signal that came; again, as Python drops exceptions in weak references' callbacks."""
    if _received:
        raise KeyboardInterrupt if _received[0] == signal.SIGINT else Terminated(_received[0])


def claim_last_line() -> None:
    """Begin to say how the command ends: no signal comes between, and nobody else prints a line any more."""
    from ptychoproduct_native import claim_last_line

    if signal.getsignal(signal.SIGINT) is _answer:
        _handle(lambda _number, _frame: None)
    while not claim_last_line():  # the process is about to be ended
        time.sleep(1)


def answer_at_the_end(code: int) -> None:
    """End the process at a signal from now on: it has said how it ends, and only tidies up."""
    _said.append(code)
    _handle(lambda _number, _frame: os._exit(code))


def _leave() -> None:
    """End the process of a command that has said how it ends, when threads and exit functions are done.

    To take the interpreter apart would change nothing any more, and takes 50 ms where NumPy and h5py are loaded.
    """
    if _said:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_said[-1])


def _handle(handler: Callable[[int, FrameType | None], None]) -> None:
    """Answer signals by a handler; one that is ignored, as by nohup, stays ignored."""
    for name in _MEANINGS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _answer(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of handlers
    """Note a signal, and raise its exception; the second Ctrl-C does not wait for what the first has interrupted."""
    _received.append(number)
    if len(_received) == 1:
        raise_signal()
    if number == signal.SIGINT:
        claim_last_line()
        part_files = sys.modules.get("ptychoproduct.system.part_files")  # an import may have been interrupted
        for part in list(getattr(part_files, "unfinished", ())):
            with contextlib.suppress(OSError):
                part.unlink()
        _end("interrupted twice; unfinished output was removed", 128 + number)


def _end(reason: str, code: int) -> None:
    with contextlib.suppress(OSError):  # nobody reads it
        os.write(2, _line(reason))
    os._exit(code)


def _line(reason: str) -> bytes:
    return f"{Path(sys.argv[0]).stem}: error: {reason}\n".encode()


def _meaning(number: int) -> str:
    return _MEANINGS[signal.Signals(number).name]


def _tell_of_dropped(dropped: Any) -> None:
    """Print an exception that Python drops, as Python does; but not a signal's, which is raised again."""
    if not isinstance(dropped.exc_value, KeyboardInterrupt | Terminated):
        sys.__unraisablehook__(dropped)
