"""HDF5 files and datasets: opened safely, indexed, decoded on all cores, created.

Imports `compression` and above. Its point: `DatasetReader` (chunks decoded into the caller's array), `Hdf5Source` (a
file from elsewhere, whose links stay inside its folder) and the output file of `output`.
"""
