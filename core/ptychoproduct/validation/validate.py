"""Validation of a product: all checks are run, and every problem is reported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import h5py

from ptychoproduct.aliases import Progress
from ptychoproduct.errors import ContractError, OptionError
from ptychoproduct.hdf5.contract_fields import find_dataset
from ptychoproduct.hdf5.local_links import DAMAGE, last_words, open_hdf5
from ptychoproduct.model import contract
from ptychoproduct.scan.layouts import NPZ
from ptychoproduct.scan.scan_files import ScanFiles
from ptychoproduct.validation import content_checks, metadata_checks  # noqa: F401 - they register their checks
from ptychoproduct.validation.checks import CHECKS, Problem, Subject


@dataclass(frozen=True)
class ValidationReport:
    """Everything that the checks found.

    Parameters
    ----------
    product : Path
    checks : tuple of str
        Names of the checks that were run.
    problems : tuple of Problem
    """

    product: Path
    checks: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def is_valid(self) -> bool:
        """Whether there are no errors."""
        return not any(problem.severity == "error" for problem in self.problems)


def validate_product(
    path: str | PathLike[str],
    *,
    source: ScanFiles | str | PathLike[str] | None = None,
    source_npz: str | PathLike[str] | None = None,
    deep: bool = False,
    progress: Progress | None = None,
) -> ValidationReport:
    """Check a product against the contract.

    Parameters
    ----------
    path : path
    source : ScanFiles or path, optional
        The scan that the product was made from, of any kind; its positions and frames are compared.
    source_npz : path, optional
        The same, of a scan that is an NPZ file.
    deep : bool
        Whether every chunk of every dataset is decoded, and all content compared with its digest.
    progress : callable, optional
        Called with a number of bytes whenever frames of that size have been looked at.

    Returns
    -------
    ValidationReport

    Raises
    ------
    SourceError
        A file cannot be opened, or the scan is damaged.
    OptionError
        Two sources are given, or the files do not go together.
    """
    path = Path(path)
    if source_npz is not None:
        if source is not None:
            raise OptionError("source", "names the same as source_npz; give one of them")
        source = ScanFiles(source_npz, NPZ)
    elif source is not None and not isinstance(source, ScanFiles):
        source = ScanFiles(source)
    problems: list[Problem] = []
    try:
        opened = open_hdf5(path)
    except ContractError as error:
        return ValidationReport(path, (), (Problem("error", "/", error.sentence),))
    with opened as file:
        found: dict[str, h5py.Dataset] = {}
        with _damage_reported(problems):
            found = _find_datasets(file, problems)
        subject = Subject(file, found, source, deep, progress)
        for function in CHECKS.values():
            with _damage_reported(problems):
                problems.extend(function(subject))
    return ValidationReport(path, tuple(CHECKS), tuple(dict.fromkeys(problems)))


@contextmanager
def _damage_reported(problems: list[Problem]) -> Iterator[None]:
    """Turn what h5py says of a file whose own structure is damaged into a problem."""
    try:
        yield
    except (ContractError, *DAMAGE) as error:
        problems.append(Problem("error", "/", f"the file's own structure is damaged: {last_words(error)}"))


def _find_datasets(file: h5py.File, problems: list[Problem]) -> dict[str, h5py.Dataset]:
    """Return the contract's datasets that lie in the file, and tell what is wrong with the others."""
    found: dict[str, h5py.Dataset] = {}
    for expected in contract.DATASETS:
        try:
            dataset = find_dataset(file, expected)
        except ContractError as error:
            problems.append(Problem("error", f"/{expected.name}", error.sentence))
        else:
            if dataset is not None:
                found[expected.name] = dataset
    return found
