"""A scan, wherever it lies: in an NPZ archive, in HDF5 or NPY files, in memory.

Imports `streaming` and above. Its point: `Scan` (what a product is made of, frames not read yet) and `ScanFiles` (the
files that it is in).
"""
