"""NPY files and NPZ archives, read and written without holding an array in memory.

Imports `model` and above. Its point: `NpzArchive`, `NpyFile` and `NpzWriter`.
"""
