"""Whether a probe has the size of the frames, as ptychography needs it."""

from __future__ import annotations


def probe_doubt(
    probe_shape: tuple[int, ...], frame_shape: tuple[int, ...], object_shape: tuple[int, ...] = ()
) -> str | None:
    """Say what is wrong with the size of a probe, and what to do; None where it is that of the frames.

    Parameters
    ----------
    probe_shape, frame_shape, object_shape : tuple of int
        Rows and columns last; no object by default.
    """
    (rows, columns), (frame_rows, frame_columns) = probe_shape[-2:], frame_shape[-2:]
    if (rows, columns) == (frame_rows, frame_columns):
        return None
    sizes = f"the probe is {rows} x {columns} px, the frames are {frame_rows} x {frame_columns} px"
    if (rows, columns) == (frame_columns, frame_rows):
        return f"{sizes}: rows and columns are exchanged in one of them; transpose it (--probe gives another probe)"
    if (rows, columns) == object_shape[-2:]:
        return f"{sizes}: it has the size of the object, and seems to be the object; give the probe with --probe"
    if rows > frame_rows and columns > frame_columns:
        return f"{sizes}: if it is the object, give the probe with --probe; else crop it to the size of the frames"
    return f"{sizes}: bring it to the size of the frames, or give another probe with --probe"
