"""Options whose value is a number with a unit."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable

# Before Python 3.14 argparse takes -1e-6 and -2um for options that do not exist. This is the expression of 3.14: what
# begins like a negative number is a value.
NEGATIVE_NUMBER = re.compile(r"-\.?\d")


def number_in(unit: str) -> Callable[[str], float]:
    """Return the type of an option whose value is in a unit, such as m, or has its own unit behind it: 75um."""

    def number(text: str) -> float:
        # This imports no NumPy, but a parser that only prints its help does not need it at all.
        from ptychoproduct.model.units import parse_number

        try:
            return parse_number(text, unit)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return number


def whole_number_in(unit: str) -> Callable[[str], int]:
    """Return the type of an option whose value is a whole number of a unit."""

    def whole_number(text: str) -> int:
        number = number_in(unit)(text)
        if not number.is_integer():
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
        return int(number)

    return whole_number


def numbers_in(unit: str) -> Callable[[str], tuple[float, ...]]:
    """Return the type of an option whose values are in a unit, with commas between them."""
    return lambda text: tuple(map(number_in(unit), text.split(",")))
