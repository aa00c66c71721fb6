from collections.abc import Sequence

from ptychoproduct_native.buffers import ChunkBuffer

DEFLATE_ID: int
SHUFFLE_ID: int
BITSHUFFLE_ID: int

class FilterError(Exception): ...

class Filter:
    filter_id: int
    def __init__(self, filter_id: int, flags: int, cd_values: Sequence[int], library: str | None = None) -> None: ...

class FilterPipeline:
    def __init__(self, filters: Sequence[Filter]) -> None: ...
    def encode(self, chunk: ChunkBuffer) -> tuple[ChunkBuffer, int]: ...
