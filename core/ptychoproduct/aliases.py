"""Names for types that every room uses."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

Origin = str | PathLike[str]
"""Where something came from, as messages name it: mostly the path of a file."""

Progress = Callable[[int], None]
"""Is called with a number of bytes whenever so many more are done."""

StepProgress = Callable[[str, int, int], None]
"""Is called before each step: what it is, how many are done, of how many; 0 where that is not known."""
