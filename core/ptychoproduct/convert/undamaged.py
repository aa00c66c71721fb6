"""A product that something is made of: opened, and verified as far as it is not verified while it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from ptychoproduct.hdf5.contract_fields import tell_of_others
from ptychoproduct.hdf5.local_links import naming_damage
from ptychoproduct.product.reader import Product, open_product
from ptychoproduct.validation.damage import are_verified_frames, require_undamaged


@contextmanager
def undamaged_product(path: str | PathLike[str], accept_damage: bool) -> Iterator[Product]:
    """Open a product whose frames will be read, and verified meanwhile.

    Raises
    ------
    SourceError
        There is no HDF5 file.
    ContractError
        The file is no product, or is damaged beside its frames, unless that is accepted.
    """
    with naming_damage(Path(path)), open_product(path, accept_damage=accept_damage) as product:
        require_undamaged(product.file, accept=accept_damage, verified_later=are_verified_frames)
        tell_of_others(product.file, Path(path))
        yield product
