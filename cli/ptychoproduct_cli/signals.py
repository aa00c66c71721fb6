"""Signals as exceptions, so that outputs in the making are removed."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any


class Terminated(BaseException):
    """SIGTERM, as an exception, so that outputs in the making are removed."""


SIGNALS: dict[int, type[BaseException]] = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
_received: list[int] = []


def answer_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of handlers
    """Note a signal, and raise what it asks for."""
    _received.append(number)
    raise_signal()


def raise_signal() -> None:
    """Raise what a signal asks for; again, in case it came where Python drops exceptions, in a weak reference's end."""
    if _received:
        raise SIGNALS[_received[0]]


def tell_of_dropped(dropped: Any) -> None:
    """Print an exception that Python drops, as it does; but not a signal's, which is raised again."""
    if not isinstance(dropped.exc_value, tuple(SIGNALS.values())):
        sys.__unraisablehook__(dropped)
