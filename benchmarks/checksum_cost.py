"""What checksums and digests cost a conversion: processor time with them, as a part of the time without.

Both run in turn in one process, on a simulated scan, without the judgement of physics. Without: `digests=False`, and
the codec without fletcher32. On a busy machine caches are shared with others, and a second look at data takes longer.

    python benchmarks/checksum_cost.py [--frames 1000] [--rounds 11] [FOLDER]
"""

import argparse
import resource
import statistics
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

from ptychoproduct import ExportOptions, ScanFiles, ScanParameters, export_product_from_files, simulate_scan
from ptychoproduct.compression.codecs import parse_codec
from ptychoproduct.compression.profiles import PROFILES

# Name, what the frames are, how they are compressed, and whether counts are made of amplitudes.
CASES = {
    "none": ("amplitude", "none", {}),
    "zstd:1": ("amplitude", "zstd:1", {}),
    "zstd:1+fletcher32": ("amplitude", "zstd:1+fletcher32", {}),
    "fast": ("amplitude", "fast", {}),
    "balanced": ("amplitude", "balanced", {}),
    "balanced, counts": ("counts", "balanced", {}),
    "fast, counts": ("counts", "fast", {}),
    "balanced, --store-counts": ("amplitude", "balanced", {"store_counts": True}),
    "portable": ("amplitude", "portable", {}),
    "archive": ("amplitude", "archive", {}),
}


def without_checksums(options, quantity):
    """Return options that store the same frames without any checksum or digest."""
    profile = PROFILES.get(options.compression)
    is_float = quantity == "amplitude" and not options.store_counts
    text = options.compression if profile is None else profile.floats if is_float else profile.integers
    codec = str(replace(parse_codec(text), fletcher32=False))
    shape = options.chunk_shape if profile is None else profile.tile
    return replace(options, compression=codec, digests=False, chunk_shape=shape)


def processor_seconds(scan, product, options):
    """Convert, and give the processor time of all threads."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    export_product_from_files(ScanFiles(scan), product, options=options)
    after = resource.getrusage(resource.RUSAGE_SELF)
    product.unlink()
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="/dev/shm")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as work:
        scans = {}
        for quantity in ("amplitude", "counts"):
            scans[quantity] = Path(work) / f"{quantity}.npz"
            simulate_scan(scans[quantity], ScanParameters(arguments.frames, arguments.size, quantity=quantity))
        print(f"{arguments.frames} x {arguments.size} x {arguments.size}, {arguments.rounds} rounds; processor seconds")
        print(f"{'':26}{'without':>9}{'with':>9}{'ratio':>8}   quartiles")
        for name in arguments.cases:
            quantity, compression, more = CASES[name]
            options = ExportOptions(compression=compression, physics=False, **more)
            pair = [without_checksums(options, quantity), options]
            taken = []
            for turn in range(arguments.rounds + 1):
                order = (0, 1) if turn % 2 else (1, 0)
                found = {which: processor_seconds(scans[quantity], Path(work) / "p.h5", pair[which]) for which in order}
                if turn:  # the first warms up
                    taken.append((found[0], found[1]))
            ratios = [after / before for before, after in taken]
            low, middle, high = statistics.quantiles(ratios, n=4)
            without, with_them = (statistics.median(values) for values in zip(*taken, strict=True))
            print(f"{name:26}{without:9.3f}{with_them:9.3f}{middle:8.3f}   {low:.3f} to {high:.3f}", flush=True)


if __name__ == "__main__":
    main()
