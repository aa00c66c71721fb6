"""Ctrl-C and SIGTERM as exceptions, so that unfinished outputs are removed."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any


class Terminated(BaseException):
    """SIGTERM came."""


SIGNALS: dict[int, type[BaseException]] = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
_received: list[int] = []


def answer_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of handlers
    """Note a signal, and raise its exception."""
    _received.append(number)
    raise_signal()


def raise_signal() -> None:
    """Raise the exception of a signal that came; again, as Python drops exceptions in weak references' callbacks."""
    if _received:
        raise SIGNALS[_received[0]]


def tell_of_dropped(dropped: Any) -> None:
    """Print an exception that Python drops, as Python does; but not a signal's, which is raised again."""
    if not isinstance(dropped.exc_value, tuple(SIGNALS.values())):
        sys.__unraisablehook__(dropped)
