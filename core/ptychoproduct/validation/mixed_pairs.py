"""A product and a patterns file that do not belong together, as a kill between two renames leaves them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ptychoproduct.errors import ProductError, warn
from ptychoproduct.hdf5.contract_fields import read_attribute
from ptychoproduct.hdf5.local_links import open_hdf5
from ptychoproduct.model import contract
from ptychoproduct.validation.checks import Problem, Subject, check
from ptychoproduct.validation.digests import add_elements, new_digest


def conversion_id(*content: Any) -> str:
    """Return what a conversion is known by: a digest of arrays and values, so that it is the same each time."""
    digest = new_digest()
    for part in content:
        digest.update(repr((part.dtype, part.shape) if isinstance(part, np.ndarray) else part).encode())
        if isinstance(part, np.ndarray):
            add_elements(digest, part)
    return digest.hexdigest()[:32]


def patterns_beside(product: Path) -> Path | None:
    """Return the patterns file of a workflow folder, where a product is its product; None where there is none."""
    patterns = product.with_name(contract.DIFFRACTION_NAME)
    return patterns if product.name == contract.PRODUCT_NAME and patterns.is_file() else None


def mixed_pair(product: Path, patterns: Path) -> Problem | None:
    """Tell whether two files come from different conversions; only a warning where one of them does not say.

    A patterns file that cannot be read is an error; of the product, other checks tell.
    """
    where = f"/@{contract.CONVERSION_ID.name}"
    ids = []
    for path in (product, patterns):
        try:
            with open_hdf5(path) as file:
                ids.append(read_attribute(file, contract.CONVERSION_ID))
        except (ProductError, OSError, RuntimeError, LookupError, ValueError, TypeError):
            if path == patterns:
                return Problem("error", where, f"{patterns.name} is damaged or not readable; convert the scan again")
            ids.append(None)
    if ids[0] == ids[1]:
        return None
    message = f"{product.name} and {patterns.name} are not from one conversion; convert the scan again to replace both"
    return Problem("warning" if None in ids else "error", where, message)


def warn_of_mixed_pair(product: Path, patterns: Path) -> None:
    """Tell of two files that are about to be replaced and do not belong together."""
    mixed = mixed_pair(product, patterns) if product.is_file() and patterns.is_file() else None
    if mixed is not None and mixed.severity == "error":
        warn(f"{product}: this product and {patterns.name} are not from one conversion; both are replaced")


@check
def patterns_of_this_conversion(subject: Subject) -> Iterator[Problem]:
    """The patterns file beside the product was made with it."""
    product = Path(subject.file.filename)
    patterns = subject.patterns or patterns_beside(product)
    problem = None if patterns is None else mixed_pair(product, patterns)
    if problem is not None:
        yield problem
