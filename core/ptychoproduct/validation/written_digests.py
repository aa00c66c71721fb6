"""The digests of a file that is being written: of rows on their way to it, and of what else it holds in the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.model.contract import CONTENT_DIGEST, DIFFRACTION, METADATA_DIGEST, ROW_CHECKSUMS
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.streaming.chunk_target import Convert
from ptychoproduct.streaming.passing_rows import PassingRows
from ptychoproduct.streaming.sources import Access, RowSource
from ptychoproduct.system.resources import Resources
from ptychoproduct.validation.digests import Digest, add_elements, content_digest, has_digest, new_digest
from ptychoproduct.validation.metadata_digest import metadata_digest
from ptychoproduct.validation.row_checksums import checked_counts, checked_rows, checksums_of_rows


class ContentDigests:
    """The digests of the datasets of a file that is being written.

    Parameters
    ----------
    keep : bool
        Whether the file keeps them: a digest of each dataset but the frames, a checksum of each frame, and a digest of
        the metadata.
    frames : bool
        Whether it keeps a digest of the frames, too.
    verify : bool
        Whether they are taken in any case, to be compared with what is read back.

    Attributes
    ----------
    taken : dict of str to str
        Digests by name of the dataset, once they have been taken.
    """

    def __init__(self, keep: bool, frames: bool, verify: bool) -> None:
        self.has_frames = frames or verify
        self._keep = keep
        self._wanted = keep or verify
        self.taken: dict[str, str] = {}
        self._running: dict[str, Digest] = {}
        self._checksums: list[Array] = []

    def passing(self, source: RowSource, dataset: h5py.Dataset, recipe: CountsRecipe | None = None) -> RowSource:
        """Return a source that digests rows on their way to a dataset, where that is wanted."""
        if not self._wanted:
            return source
        digest = self._running.setdefault(dataset.name, new_digest())
        # Bytes are digested one after the other, on one thread; the cores meanwhile compress.
        return PassingRows(source, lambda _, rows: add_elements(digest, rows), recipe, Access.IN_ORDER)

    def passing_frames(self, source: RowSource, frames: h5py.Dataset, recipe: CountsRecipe | None = None) -> RowSource:
        """Return a source that makes checksums of frames on their way, and digests them where that is wanted."""
        if self._keep:
            self._checksums.append(np.zeros(source.shape[0], np.uint32))
            if recipe is None or not _has_whole_rows(frames):  # `converting` makes the others
                source = checked_rows(source, self._checksums[-1], recipe)
        return self.passing(source, frames, recipe) if self.has_frames else source

    def converting(self, frames: h5py.Dataset, recipe: CountsRecipe) -> Convert:
        """Return what makes counts of the frames that are passing, and their checksums."""
        if self._keep and _has_whole_rows(frames):
            return checked_counts(recipe, self._checksums[-1])
        return recipe.convert

    def frames_copied(self, parts: Sequence[h5py.Dataset], threads: int) -> None:
        """Make checksums of frames whose chunks are copied: they are decoded, and not encoded again.

        Raises
        ------
        ContractError
            A chunk cannot be decoded.
        """
        if self._keep:
            self._checksums.extend(checksums_of_rows(part, threads) for part in parts)

    def frames_written(self, checksums: Array) -> None:
        """Take checksums, [N], of frames that did not pass here."""
        if self._keep:
            self._checksums.append(checksums)

    def forget_frames(self, frames: h5py.Dataset) -> None:
        """Forget the frames that have passed, which are written again."""
        self._running.pop(frames.name, None)
        self._checksums.clear()

    def take(self, file: h5py.File, datasets: Iterable[h5py.Dataset], threads: int) -> None:
        """Take the digests of complete datasets; those of rows that have passed were made from the source.

        Parameters
        ----------
        file : h5py.File
        datasets : iterable of h5py.Dataset
        threads : int
            Chunks decoded at once.
        """
        if not self._wanted:
            return
        for dataset in filter(has_digest, datasets):
            is_frames = dataset.name == f"/{DIFFRACTION.name}"
            if is_frames and self._keep:
                dataset.attrs[ROW_CHECKSUMS] = np.concatenate(self._checksums)
            if is_frames and not self.has_frames:
                continue
            running = self._running.get(dataset.name)
            digest = content_digest(dataset, Resources(threads)) if running is None else running.hexdigest()
            self.taken[dataset.name] = digest
            if self._keep:
                dataset.attrs[CONTENT_DIGEST.name] = digest
        if self._keep:
            file.attrs[METADATA_DIGEST.name] = metadata_digest(file)


def _has_whole_rows(dataset: h5py.Dataset) -> bool:
    """Whether the chunks are whole rows."""
    return bool(dataset.chunks[1:] == dataset.shape[1:])
