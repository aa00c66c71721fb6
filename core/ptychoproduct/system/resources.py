"""What a job may use, and how it reports its progress."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from ptychoproduct.aliases import Progress
from ptychoproduct.system.process import available_threads

DEFAULT_MEMORY_BYTES = 1024**3


def _ignore(nbytes: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Resources:
    """What a job may use, in one record that is passed through all of it.

    Parameters
    ----------
    threads : int
        Cores to work on; all that there are by default.
    memory_bytes : int
        What may be held at once where the axes of frames have to be reordered; frames that fit are held whole.
    folder : Path
        Where a spill file may be made. It has no name there, and vanishes with the process.
    progress : callable
        Called with a number of bytes of frames whenever so many have been written.
    reorder_progress : callable
        Called with a number of bytes whenever so many have been read to bring axes into order.
    """

    threads: int = field(default_factory=available_threads)
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    folder: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    progress: Progress = _ignore
    reorder_progress: Progress = _ignore
