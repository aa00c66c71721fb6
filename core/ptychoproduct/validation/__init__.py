"""Whether a product is what it should be: the contract, the content, the digests.

Imports `scan` and above. Its point: `validate_product`, and the registry of checks in `checks`.
"""
