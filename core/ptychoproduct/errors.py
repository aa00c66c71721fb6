"""The exceptions and the warning of this package, and what their messages have in common."""

from __future__ import annotations

import re
import sys
import warnings
from os import PathLike
from types import FrameType

# Frames of the stack that no warning is about; contextlib stands between ours where one of them is a context manager.
_NOT_THE_CALLER = {"ptychoproduct", "ptychoproduct_cli", "contextlib"}

# Command lines stay as they are: those in backquotes, and those at the end of a message.
_FLAG = re.compile(r"`[^`]*`|\b(?:ptychoproduct|h5clear) [a-z].*|(?<![\w-])--([a-z]\w*(?:-\w+)*)")
# Where Python's name is not the command line's with underscores.
_FIELDS = {
    "memory": "memory_bytes",
    "scan-step": "scan_step_m",
    "digest": "digests",
    "no-digest": "digests=False",
    "no-include-diffraction": "include_raw=False",
    "object-pixel-size-m": "object_pixel_width_m and object_pixel_height_m",
    "probe-pixel-size-m": "probe_pixel_width_m and probe_pixel_height_m",
    "detector-pixel-size-m": "detector_pixel_width_m and detector_pixel_height_m",
}


class ProductError(Exception):
    """Something about a file or an option prevents the work; the message is one line for the user.

    In a problem and in what is expected, options are as the command line calls them, ``--scan-step``; as text the error
    calls them as Python does, ``scan_step_m``.

    Parameters
    ----------
    file : path
        The file at fault.
    problem : str
        What is wrong and what to do, in a sentence; where `found` and `expected` do not say it.
    key : str, optional
        The NPZ key or HDF5 path at fault.
    found, expected : str, optional
        The value that the file has, and the value that it should have.

    Attributes
    ----------
    sentence : str
        The message without the file and the key.
    with_flags : str
        The message with options as the command line calls them.
    """

    def __init__(
        self,
        file: str | PathLike[str],
        problem: str = "",
        *,
        key: str | None = None,
        found: str | None = None,
        expected: str | None = None,
    ) -> None:
        self.file = str(file)
        self.problem = problem
        self.key = key
        self.found = found
        self.expected = expected
        self.sentence = self._sentence(problem, expected)
        self.with_flags = self._message(self.sentence)
        super().__init__(self.with_flags)

    def __str__(self) -> str:
        expected = None if self.expected is None else _in_python(self.expected)
        return self._message(self._sentence(_in_python(self.problem), expected))

    def _sentence(self, problem: str, expected: str | None) -> str:
        details = [problem] if problem else []
        if self.found is not None:
            details.append(f"found {self.found}")
        if expected is not None:
            details.append(f"expected {expected}")
        return ", ".join(details)

    def _message(self, sentence: str) -> str:
        return one_line(": ".join(part for part in (self.file, self.key, sentence) if part))

    def __reduce__(self) -> tuple[object, ...]:
        return _unpickled, (type(self), self.args, self.__dict__)


class SourceError(ProductError):
    """An input file cannot be read, or does not hold what it should."""


class OutputError(ProductError):
    """An output cannot be written where it was asked for."""


class OptionError(ProductError):
    """An option has a value that is not understood, or does not fit the input.

    Parameters
    ----------
    option : str
        Its name in Python, such as ``chunk_shape``; the command line prints its own spelling, ``--chunk-shape``.
    problem, found, expected : str
        See `ProductError`.
    file : path, optional
        The file that gives the option, or that it does not fit.
    """

    def __init__(
        self,
        option: str,
        problem: str = "",
        *,
        found: str | None = None,
        expected: str | None = None,
        file: str | PathLike[str] = "",
    ) -> None:
        self.option = option
        super().__init__(file, problem, key=option, found=found, expected=expected)


class ContractError(ProductError):
    """A product does not meet the contract, so far that it cannot be used."""


class ProductWarning(UserWarning):
    """The result is complete, but holds something that the user should know of.

    Parameters
    ----------
    message : str
        With options as the command line calls them, ``--axis-order``; the warning calls them ``axis_order``.

    Attributes
    ----------
    with_flags : str
        The message as it was given.
    """

    def __init__(self, message: str) -> None:
        self.with_flags = message
        super().__init__(_in_python(message))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.with_flags,)


class DamageWarning(ProductWarning):
    """Something of a damaged input is missing in the result, or wrong, because damage was accepted."""


def warn(message: str, kind: type[ProductWarning] = ProductWarning) -> None:
    """Give a warning that points at the line from which this package was called."""
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _NOT_THE_CALLER:
        frame, level = frame.f_back, level + 1
    warnings.warn(kind(message), stacklevel=level)


def warn_of_damage(message: str) -> None:
    """Give a `DamageWarning`."""
    warn(message, DamageWarning)


def _in_python(message: str) -> str:
    """Call options as Python does, which the command line calls otherwise."""
    return _FLAG.sub(_field, message)


def _field(flag: re.Match[str]) -> str:
    return flag[0] if flag[1] is None else _FIELDS.get(flag[1], flag[1].replace("-", "_"))


def counted(number: int, noun: str) -> str:
    """Write a number of things: 1 warning, 2 warnings."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _unpickled(kind: type[ProductError], arguments: tuple[str, ...], state: dict[str, object]) -> ProductError:
    """Make an error of another process again; its arguments are the message, not those of the constructor."""
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(state)
    return error


def one_line(text: str) -> str:
    """Return text from a file so that it cannot break the line, or steer the terminal that it is printed on."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
