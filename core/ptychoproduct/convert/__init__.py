"""From a scan to a product, back, and from product to product.

Imports `product` and above. Its point: `export_product_from_scan`, `import_product_to_npz` and `repack_product`.
"""
