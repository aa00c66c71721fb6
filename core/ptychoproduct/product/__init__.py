"""One product: written, read, described.

Imports `tuning` and above. Its point: `ProductWriter` and `Product`.
"""
