"""Where chunks are: h5py is the judge."""

import h5py
import hdf5plugin
import numpy as np
import pytest

from ptychoproduct.errors import ContractError
from ptychoproduct.hdf5.chunks import ChunkIndex, own_descriptor, read_chunk
from ptychoproduct.hdf5.dataset_reader import DatasetReader

ARRAY = np.random.default_rng(0).poisson(2, (40, 9, 11)).astype("u2")
CHUNKS = (3, 4, 5)


@pytest.fixture
def stored(tmp_path):
    def store(libver="earliest", userblock_size=0, **options):
        path = tmp_path / f"{libver}.h5"
        with h5py.File(path, "w", libver=libver, userblock_size=userblock_size) as file:
            dataset = file.create_dataset("a", ARRAY.shape, ARRAY.dtype, chunks=CHUNKS, fillvalue=7, **options)
            dataset[:20] = ARRAY[:20]
            dataset[30:, :4] = ARRAY[30:, :4]
        return path

    return store


@pytest.mark.parametrize("libver", ["earliest", "v110", "latest"])
@pytest.mark.parametrize("options", [{}, dict(hdf5plugin.Zstd()), {"maxshape": (None, None, None)}])
def test_every_chunk_is_where_h5py_says(stored, libver, options):
    with h5py.File(stored(libver, **options)) as file:
        dataset = file["a"]
        index = ChunkIndex(dataset)
        for i in range(dataset.id.get_num_chunks()):
            expected = dataset.id.get_chunk_info(i)
            found = index.find(expected.chunk_offset)
            assert (found.filter_mask, found.offset, found.nbytes) == expected[1:]


def test_a_chunk_that_was_never_written_is_none(stored):
    with h5py.File(stored()) as file:
        assert ChunkIndex(file["a"]).find((24, 0, 0)) is None


def test_the_bytes_are_those_that_hdf5_reads(stored):
    with h5py.File(stored(**hdf5plugin.Zstd())) as file:
        index = ChunkIndex(file["a"])
        descriptor = own_descriptor(index, file)
        assert bytes(read_chunk(descriptor, index.find((3, 4, 5)))) == file["a"].id.read_direct_chunk((3, 4, 5))[1]


def test_files_that_somebody_may_write_to_are_read_by_hdf5(stored):
    with h5py.File(stored(), "r+") as file:
        assert own_descriptor(file, file) is None


def test_files_in_memory_are_read_by_hdf5(stored):
    with h5py.File(stored(), driver="core") as file:
        assert own_descriptor(file, file) is None


@pytest.mark.parametrize("settings", [{"userblock_size": 512}, {"libver": "latest"}, {}])
def test_many_chunks_give_what_h5py_gives(stored, settings):
    with h5py.File(stored(**settings, **hdf5plugin.Zstd())) as file:
        np.testing.assert_array_equal(DatasetReader(file["a"]).read(...), file["a"][...])


def test_a_file_that_was_cut_short_after_it_was_opened_is_a_contract_error(stored):
    path = stored()
    with h5py.File(path) as file:
        reader = DatasetReader(file["a"])
        reader.read(...)
        with path.open("r+b") as raw:
            raw.truncate(file["a"].id.get_chunk_info(5).byte_offset + 10)
        with pytest.raises(ContractError, match="cannot be read: chunk"):
            reader.read(...)
