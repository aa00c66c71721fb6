"""A scan of a batch: what is to be done with it, and how that went."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptychoproduct.aliases import Progress
from ptychoproduct.errors import DamageWarning, ProductWarning

Work = Callable[..., Any]
"""Does the work for one scan. Called with `progress`, it returns a summary. It can be pickled."""


@dataclass(frozen=True)
class Job:
    """A scan of a batch.

    Parameters
    ----------
    source : Path
    output : Path or None
        None where nothing is written, as by `validate_product`.
    prepare : callable
        Returns the `Work`; a ProductError is the failure of this scan only.
    inputs : tuple of Path
        Other files that are read.
    beside : tuple of Path
        What else is written: the patterns file.
    """

    source: Path
    output: Path | None
    prepare: Callable[[], Work]
    inputs: tuple[Path, ...] = ()
    beside: tuple[Path, ...] = ()

    @property
    def written(self) -> list[Path]:
        """All files that are written."""
        return [] if self.output is None else [self.output.absolute(), *(path.absolute() for path in self.beside)]


@dataclass(frozen=True)
class Attempt:
    """How the work for one scan went.

    Parameters
    ----------
    summary : object
        What the work returned; None where it failed.
    seconds : float
    warnings : tuple of str
    damage : tuple of str
        Those of what is damaged in the source, and was accepted.
    digests : tuple of str
        SHA-256 of each file that was written.
    error : Exception, optional
    """

    summary: Any = None
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    error: Exception | None = None


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def attempt(prepare: Callable[[], Work], progress: Progress | None = None, written: Sequence[Path] = ()) -> Attempt:
    """Do the work for one scan; whatever goes wrong with it is its result.

    Parameters
    ----------
    prepare : callable
        Returns the work.
    progress : callable, optional
        Called with a number of bytes whenever so many are done.
    written : sequence of Path
        The files that the work writes; their digests are taken where they were made, which has them in memory.
    """
    started = time.perf_counter()
    summary, error = None, None
    digests: tuple[str, ...] = ()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ProductWarning)
        try:
            summary = prepare()(progress=progress)
            digests = tuple(map(file_digest, written))
        except Exception as raised:  # a fault of one scan must not end a night of others
            error = raised
    said, damage = (
        tuple(dict.fromkeys(w.message.with_flags for w in caught if isinstance(w.message, kind)))
        for kind in (ProductWarning, DamageWarning)
    )
    return Attempt(summary, time.perf_counter() - started, said, damage, digests, error)
