"""Validation of a product: all checks are run, and every problem is reported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import h5py

from ptychoproduct.aliases import Progress
from ptychoproduct.errors import ContractError, OptionError, ProductError
from ptychoproduct.hdf5.contract_fields import find_dataset
from ptychoproduct.hdf5.local_links import DAMAGE, last_words, open_hdf5
from ptychoproduct.model import contract
from ptychoproduct.scan.layouts import NPZ
from ptychoproduct.scan.scan_files import ScanFiles
from ptychoproduct.validation import (  # noqa: F401 - they register checks
    content_checks,
    metadata_checks,
    mixed_pairs,
    position_checks,
)
from ptychoproduct.validation.checks import CHECKS, Problem, Subject
from ptychoproduct.validation.physics import PhysicsReport
from ptychoproduct.validation.physics_evidence import judge_file


@dataclass(frozen=True)
class ValidationReport:
    """Everything that the checks found.

    Parameters
    ----------
    product : Path
    checks : tuple of str
        Names of the checks that were run.
    problems : tuple of Problem
    not_given : tuple of str
        Where the product has zero for a value that was not given; of those that it must have.
    physics : PhysicsReport or None
        Whether probe and object predict the frames, where that was asked for and could be read.
    unread : tuple of str
        Datasets whose content was not read: frames and other large ones, without `deep`.
    """

    product: Path
    checks: tuple[str, ...]
    problems: tuple[Problem, ...]
    not_given: tuple[str, ...] = ()
    physics: PhysicsReport | None = None
    unread: tuple[str, ...] = ()

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
    physics: bool = False,
    progress: Progress | None = None,
    patterns: str | PathLike[str] | None = None,
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
        Whether frames and other large datasets are decoded, too, and compared with their digests; and physics judged.
    physics : bool
        Whether it is judged if probe and object predict the frames, see `judge_physics`.
    progress : callable, optional
        Called with a number of bytes whenever frames of that size have been looked at.
    patterns : path, optional
        The patterns file that ptychodus is to use with the product: both must be from one conversion. By default the
        ``diffraction.h5`` beside a ``product.h5``.

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
            raise OptionError("source", "cannot be used with source_npz; give only one of the two")
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
        subject = Subject(file, found, source, deep, progress, None if patterns is None else Path(patterns))
        for function in CHECKS.values():
            with _damage_reported(problems):
                problems.extend(function(subject))
        not_given: tuple[str, ...] = ()
        with _damage_reported(problems):
            not_given = metadata_checks.not_given(subject)
        report = None
        if physics or deep:
            with suppress(ProductError, *DAMAGE):  # other checks report it
                report = judge_file(file)
        if report is not None and report.better is not None:
            problems.append(Problem("warning", f"/{contract.DIFFRACTION.name}", report.sentence))
    found_problems = tuple(dict.fromkeys(problems))
    return ValidationReport(path, tuple(CHECKS), found_problems, not_given, report, tuple(subject.unread))


@contextmanager
def _damage_reported(problems: list[Problem]) -> Iterator[None]:
    """Report h5py's errors about a file whose own structure is damaged as a problem."""
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
