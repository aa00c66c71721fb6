"""Bits of what products store are flipped, one at a time: does `validate --deep` find each, without the source?

    python tests/campaigns/flips.py                         1,000 flips in each dataset of each profile
    python tests/campaigns/flips.py --count 40 --profiles archive

A flip that no check finds is silent; one that changes no value is not counted. Flips are in the stored elements of
datasets; `mutations.py` damages the rest of a file.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from mutations import META, scan

from ptychoproduct import ExportOptions, export_product_from_rawdata, validate_product

PROFILES = ("fast", "balanced", "archive", "portable", "none", "store-counts")


def stored_extents(path: Path) -> dict[str, list[tuple[int, int]]]:
    """Return offset and size of all that each dataset stores."""
    extents: dict[str, list[tuple[int, int]]] = {}

    def note(name: str, found: h5py.Group | h5py.Dataset) -> None:
        if not isinstance(found, h5py.Dataset) or found.dtype.hasobject:
            return
        if found.chunks is not None:
            found.id.chunk_iter(lambda chunk: extents.setdefault(name, []).append((chunk.byte_offset, chunk.size)))
        elif (offset := found.id.get_offset()) is not None:
            extents[name] = [(offset, found.id.get_storage_size())]

    with h5py.File(path) as file:
        file.visititems(note)
    return extents


def is_same(path: Path, name: str, values: np.ndarray) -> bool:
    """Whether a dataset still holds the same bytes; false where it cannot be read."""
    try:
        with h5py.File(path) as file:
            return file[name][()].tobytes() == values.tobytes()
    except (OSError, RuntimeError):
        return False


def campaign(count: int, seed: int, profiles: list[str]) -> int:
    """Flip; print a line for each dataset, and return the number of silent flips."""
    silent = flips = 0
    with tempfile.TemporaryDirectory() as folder:
        for profile in profiles:
            path = Path(folder) / f"{profile}.h5"
            is_counts = profile == "store-counts"
            options = ExportOptions(
                compression="balanced" if is_counts else profile, chunk_frames=4, store_counts=is_counts
            )
            export_product_from_rawdata(scan(), path, META, options=options)
            sound = path.read_bytes()
            for name, extents in stored_extents(path).items():
                rng = random.Random(f"{seed} {profile} {name}")
                with h5py.File(path) as file:
                    values = np.asarray(file[name][()])
                missed = 0
                for _ in range(count):
                    offset, nbytes = rng.choices(extents, [size for _, size in extents])[0]
                    changed = bytearray(sound)
                    changed[offset + rng.randrange(nbytes)] ^= 1 << rng.randrange(8)
                    path.write_bytes(changed)
                    missed += validate_product(path, deep=True).is_valid and not is_same(path, name, values)
                path.write_bytes(sound)
                print(f"{profile:12} {name:36} {missed:4} of {count} silent", flush=True)
                silent, flips = silent + missed, flips + count
    print(f"{flips} flips")
    print(f"{silent} silent")
    return silent


def main() -> None:
    """Run the campaign that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="flips in each dataset")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--profiles", nargs="+", default=list(PROFILES), choices=PROFILES)
    arguments = parser.parse_args()
    sys.exit(campaign(arguments.count, arguments.seed, arguments.profiles) > 0)


if __name__ == "__main__":
    main()
