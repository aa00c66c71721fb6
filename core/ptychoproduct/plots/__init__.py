"""Pictures of a product, for screens, terminals and notebooks.

Imports `validation` and above, and names `Product` for type checkers only. Its point: `plot_product`.
"""
