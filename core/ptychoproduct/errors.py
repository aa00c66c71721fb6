"""The one family of exceptions that the package raises on purpose, and its warning."""

from __future__ import annotations

from os import PathLike


class ProductError(Exception):
    """Something about a file or an option prevents the work; the message is one line for the user.

    Parameters
    ----------
    file : path
        The file at fault.
    problem : str
        What is wrong, where `found` and `expected` do not say it.
    key : str, optional
        The NPZ key, HDF5 path or option at fault.
    found, expected : str, optional
        What the file holds, and what it should hold.
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
        details = [problem] if problem else []
        if found is not None:
            details.append(f"found {found}")
        if expected is not None:
            details.append(f"expected {expected}")
        parts = [self.file, *([key] if key else []), ", ".join(details)]
        super().__init__(_one_line(": ".join(parts)))


class SourceError(ProductError):
    """An input file cannot be read, or does not hold what it should."""


class OutputError(ProductError):
    """An output cannot be written where it was asked for."""


class OptionError(ProductError):
    """An argument has a value that is not understood, or does not fit the input."""


class ContractError(ProductError):
    """A product does not meet the contract, so far that it cannot be used."""


class ProductWarning(UserWarning):
    """The result is complete, but holds something that the user should know of."""


def _one_line(text: str) -> str:
    """Keys and messages from files must not break the line, or steer the terminal it is printed on."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
