"""Which axis of a stack of frames counts the scan positions."""

from __future__ import annotations

from os import PathLike

from ptychoproduct.errors import OptionError, SourceError, counted, warn
from ptychoproduct.model.contract import AXIS_ORDERS


def axis_order(
    shape: tuple[int, ...],
    positions: int,
    requested: str,
    file: str | PathLike[str],
    key: str,
    usual: str = "NHW",
) -> str:
    """Decide how the axes of a stack of frames are ordered.

    Parameters
    ----------
    shape : tuple of int
        Shape of the stack as it is stored.
    positions : int
        N, the number of scan positions.
    requested : str
        "auto", or the order that the user knows it to be.
    file, key : str
        Names for the messages.
    usual : str
        The order of such files, which is taken where several fit.

    Returns
    -------
    str
        One of `AXIS_ORDERS`.

    Raises
    ------
    SourceError
        The stack is not 3-D, or no axis has the length N, or two axes have and that of the usual order has not.
    OptionError
        The requested order contradicts N.
    """
    if len(shape) != 3:
        raise SourceError(file, f"has shape {shape}; frames have three axes", key=key)
    if requested != "auto":
        length = shape[requested.index("N")]
        if length != positions:
            frames = f"{counted(length, 'frame')} of {key}"
            problem = f"{requested} makes {frames}, but there are {counted(positions, 'position')}"
            raise OptionError("axis_order", problem, file=file)
        return requested
    orders = matching_orders(shape, positions)
    if not orders:
        raise SourceError(file, f"shape {shape} has no axis of length {positions}, the number of positions", key=key)
    if len(orders) > 1:
        if usual not in orders:
            problem = f"shape {shape} has two axes of length {positions}, the number of positions; give the axis order"
            raise SourceError(file, problem, key=key)
        warn(f"{file}: {key}: shape {shape} has more than one axis of length {positions}; taken as {usual}")
        return usual
    return orders[0]


def matching_orders(shape: tuple[int, ...], positions: int) -> list[str]:
    """Return the orders in which a stack of three dimensions has a frame for each position, "NHW" first."""
    return [order for order in AXIS_ORDERS if shape[order.index("N")] == positions]


def canonical_axes(order: str) -> tuple[int, int, int]:
    """Return the axes of an array in `order` that are N, H and W."""
    return order.index("N"), order.index("H"), order.index("W")
