from collections.abc import Sequence

BUILT_IN_IDS: frozenset[int]
DEFLATE_ID: int
SHUFFLE_ID: int
FLETCHER32_ID: int
SZIP_ID: int

class FilterError(Exception): ...

class Filter:
    filter_id: int
    def __init__(self, filter_id: int, flags: int, cd_values: Sequence[int], library: str | None = None) -> None: ...
