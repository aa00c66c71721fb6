"""Settings for a process of our own, which a library must not make for its host."""

from __future__ import annotations

import os

from ptychoproduct_native import keep_freed_memory


def prepare_process() -> None:
    """Leave the cores to the frames; to be called before NumPy is imported.

    NumPy starts threads for linear algebra, which nothing here does, and they spin at first. Memory that is freed is
    kept for the next chunk.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    keep_freed_memory()
