"""The scan positions of a product that is being written, given at once or in parts."""

from __future__ import annotations

import numpy as np

from ptychoproduct.aliases import Array, Origin
from ptychoproduct.errors import SourceError
from ptychoproduct.model.array_checks import check_raw_array, coordinates, require_length
from ptychoproduct.model.metadata import ResolvedMetadata
from ptychoproduct.model.positions import pixels_to_metres, position_indexes, same_for_all


class ScanPositions:
    """Positions in object pixels, and their ``scan_index``.

    Parameters
    ----------
    choice : {"auto", "scan-index", "sequence"}
        Where the indexes come from, see `position_indexes`.
    origin : path
        What messages name.
    """

    def __init__(self, choice: str, origin: Origin) -> None:
        self._choice = choice
        self._origin = origin
        self._parts: dict[str, list[Array]] = {}
        self._metres: tuple[Array, Array] | None = None
        self._indexes: Array | None = None

    def __len__(self) -> int:
        return sum(map(len, self._parts.get("xcoords", ())))

    @property
    def x_px(self) -> Array:
        """All x coordinates, [N]."""
        return np.concatenate(self._parts["xcoords"])

    @property
    def y_px(self) -> Array:
        """All y coordinates, [N]."""
        return np.concatenate(self._parts["ycoords"])

    @property
    def scan_index(self) -> Array | None:
        """The source's own numbers, [N]; None where it has none."""
        return np.concatenate(self._parts["scan_index"]) if "scan_index" in self._parts else None

    def in_metres(self, meta: ResolvedMetadata) -> tuple[Array, Array]:
        """Return x and y in metres, [N] each."""
        return self._metres or (
            pixels_to_metres(self.x_px, meta.object_pixel_width_m),
            pixels_to_metres(self.y_px, meta.object_pixel_height_m),
        )

    def set(
        self,
        x_px: Array,
        y_px: Array,
        scan_index: Array | None,
        metres: tuple[Array, Array] | None = None,
        numbers: Array | None = None,
    ) -> None:
        """Replace all earlier positions by these, see `ProductWriter.set_positions`."""
        x_px = coordinates(x_px, "xcoords", self._origin)
        y_px = coordinates(y_px, "ycoords", self._origin)
        require_length(len(y_px), len(x_px), "ycoords", self._origin)
        parts = {"xcoords": [x_px], "ycoords": [y_px]}
        if scan_index is not None:
            scan_index = np.asarray(scan_index)
            check_raw_array(scan_index, "scan_index", "scan_index", self._origin, len(x_px))
            parts["scan_index"] = [scan_index]
        self._parts, self._metres, self._indexes = parts, metres, None
        if numbers is not None and self._choice == "auto":
            self._indexes = position_indexes(numbers, len(x_px), "auto", self._origin)

    def append(self, x_px: Array, y_px: Array, scan_index: Array | None, frames: int) -> None:
        """Append the positions of some frames; SourceError if these are not one for each frame."""
        new = {"xcoords": np.atleast_1d(x_px), "ycoords": np.atleast_1d(y_px)}
        if scan_index is not None:
            new["scan_index"] = np.atleast_1d(scan_index)
        for key, values in new.items():
            coordinates(values, key, self._origin)
            require_length(len(values), frames, key, self._origin, "frames")
        if self._parts and self._parts.keys() != new.keys():
            raise SourceError(
                self._origin, "was given for some of the frames only; give it for all or none", key="scan_index"
            )
        for key, values in new.items():
            self._parts.setdefault(key, []).append(values)
        self._metres = self._indexes = None

    def indexes(self) -> Array:
        """Choose the numbers that pair positions with patterns, [N], int64; warns once."""
        if self._indexes is None:
            self._indexes = position_indexes(self.scan_index, len(self), self._choice, self._origin)
        return self._indexes

    def index_note(self) -> str | None:
        """Say how positions are numbered, where `scan_index` does not number them and no warning is needed."""
        if self._choice != "auto" or not same_for_all(self.scan_index):
            return None
        return f"0 to {len(self) - 1} (scan_index is the same for all)"
