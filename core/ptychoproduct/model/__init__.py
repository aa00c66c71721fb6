"""What a scan and a product are. Nothing here opens an HDF5 file or an archive.

Imports `system` and above. Its point: `contract` (the product format as data), `ExportMeta` (what is known of the
experiment) and `CountsRecipe` (amplitudes from counts and back, bit for bit).
"""
