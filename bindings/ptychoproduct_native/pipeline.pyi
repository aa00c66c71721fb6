from collections.abc import Buffer, Sequence

from ptychoproduct_native.buffers import ChunkBuffer

BUILT_IN_IDS: frozenset[int]
DEFLATE_ID: int
SHUFFLE_ID: int
FLETCHER32_ID: int

class FilterError(Exception): ...

class Filter:
    filter_id: int
    def __init__(self, filter_id: int, flags: int, cd_values: Sequence[int], library: str | None = None) -> None: ...

class FilterPipeline:
    def __init__(self, filters: Sequence[Filter]) -> None: ...
    def encode(self, chunk: ChunkBuffer) -> tuple[ChunkBuffer, int]: ...
    def decode(self, data: Buffer, filter_mask: int, nbytes: int, use_up: bool = False) -> ChunkBuffer: ...
