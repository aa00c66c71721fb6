"""Steps that a signal must not cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

# Those that end a process and that a program can answer; not all systems have all.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU", "SIGBREAK")


@contextmanager
def held_signals() -> Iterator[None]:
    """Hold back the signals that end a process while the block runs; they are answered when it has ended."""
    came: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of handlers
        came.append(number)

    def answer() -> None:
        if came:
            signal.raise_signal(came[0])

    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():  # signals are answered on no other
            stack.callback(answer)
            for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
                handler = signal.getsignal(number)
                if handler not in (signal.SIG_IGN, None):  # None: not Python's
                    stack.callback(signal.signal, number, handler)
                    signal.signal(number, hold)
        yield
