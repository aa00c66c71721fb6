"""The codec for Zarr's format 3, into which VirtualiZarr translates references; zarr finds it by an entry point."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from zarr.abc.codec import BytesBytesCodec

from ptychoproduct.compression.zarr_codec import Hdf5Filters

# Of codecs that are numcodecs's, so that translations from format 2 find it.
_NAME = f"numcodecs.{Hdf5Filters.codec_id}"


@dataclass(frozen=True)
class Hdf5FiltersOfZarr3(BytesBytesCodec):  # type: ignore[misc]
    """See `Hdf5Filters`.

    Parameters
    ----------
    codec : Hdf5Filters
    """

    is_fixed_size = False
    codec: Hdf5Filters

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make the codec of its metadata."""
        return cls(Hdf5Filters(**data["configuration"]))

    def to_dict(self) -> dict[str, Any]:
        """Return the codec's metadata."""
        configuration = self.codec.get_config()
        return {"name": _NAME, "configuration": {key: configuration[key] for key in ("filters", "nbytes")}}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Raise NotImplementedError: it depends on the chunk."""
        raise NotImplementedError

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        return await self._made(self.codec.decode, chunk_bytes, chunk_spec)

    async def _encode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        return await self._made(self.codec.encode, chunk_bytes, chunk_spec)

    @staticmethod
    async def _made(function: Any, chunk_bytes: Any, chunk_spec: Any) -> Any:
        made = await asyncio.to_thread(function, chunk_bytes.to_bytes())
        return chunk_spec.prototype.buffer.from_bytes(memoryview(made))
