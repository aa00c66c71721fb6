"""Signals that end a command, as exceptions, so that unfinished outputs are removed."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any

# Ctrl-C, and what a job's manager, a terminal that is closed and a limit of CPU time send; not all systems have all.
_MEANINGS = {
    "SIGINT": "interrupted",
    "SIGTERM": "terminated",
    "SIGHUP": "the terminal was closed",
    "SIGXCPU": "the limit of CPU time was reached",
}
_received: list[int] = []


class Terminated(BaseException):
    """A signal other than Ctrl-C came.

    Parameters
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number
        super().__init__(_MEANINGS[signal.Signals(number).name])


def answer_signals() -> None:
    """Have signals raise exceptions from now on; one that is ignored, as by nohup, stays ignored."""
    for name in _MEANINGS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _answer)
    sys.unraisablehook = _tell_of_dropped


def raise_signal() -> None:
    """Raise the exception of a signal that came; again, as Python drops exceptions in weak references' callbacks."""
    if _received:
        raise KeyboardInterrupt if _received[0] == signal.SIGINT else Terminated(_received[0])


def _answer(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of handlers
    """Note a signal, and raise its exception."""
    _received.append(number)
    raise_signal()


def _tell_of_dropped(dropped: Any) -> None:
    """Print an exception that Python drops, as Python does; but not a signal's, which is raised again."""
    if not isinstance(dropped.exc_value, KeyboardInterrupt | Terminated):
        sys.__unraisablehook__(dropped)
