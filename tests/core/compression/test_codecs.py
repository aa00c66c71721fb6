"""Spellings of codecs, and the filters that they stand for."""

import re

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct.compression.codec_list import list_codecs
from ptychoproduct.compression.codecs import Codec, codec_names, codec_of, nearest_spelling, parse_codec
from ptychoproduct.compression.filters import can_write_szip, filter_pipeline
from ptychoproduct.errors import OptionError
from ptychoproduct.hdf5.chunks import create_chunked
from ptychoproduct_native import ZSTD_SETTINGS, ChunkBuffer

KIB = 1024
BLOSC2 = ["shuffle", "bitshuffle", "delta"]
# name: levels, whether it takes a block, whether it takes shuffle, its transforms
GRAMMAR = {
    "none": ([None], False, False, []),
    "gzip": (range(10), False, True, []),
    "szip": (range(2, 33, 2), False, False, ["nn"]),
    "zstd": (range(1, 23), False, True, []),
    "lz4": ([None], True, True, []),
    "bzip2": (range(1, 10), False, True, []),
    "bitshuffle-lz4": ([None], True, False, []),
    "bitshuffle-zstd": ([*range(1, 23), "fast7", "lazy7"], True, False, []),
    "blosc2-blosclz": (range(10), False, False, BLOSC2),
    "blosc2-lz4": (range(10), False, False, BLOSC2),
    "blosc2-lz4hc": (range(10), False, False, BLOSC2),
    "blosc2-zlib": (range(10), False, False, BLOSC2),
    "blosc2-zstd": (range(10), False, False, BLOSC2),
}
SZIP = pytest.mark.skipif(not can_write_szip(), reason="this h5py has no szip that can encode")


@st.composite
def spellings(draw):
    name = draw(st.sampled_from(sorted(GRAMMAR if can_write_szip() else GRAMMAR.keys() - {"szip"})))
    levels, blocks, shuffles, transforms = GRAMMAR[name]
    text = draw(st.sampled_from(["", "shuffle+"])) if shuffles else ""
    text += name
    level = draw(st.sampled_from(list(levels)))
    if level is not None:
        text += f":{level}"
    text += draw(st.sampled_from(["", *(f",{transform}" for transform in transforms)]))
    if blocks:
        text += f",block={draw(st.integers(1, 512))}KiB"
    return text + draw(st.sampled_from(["", "+fletcher32"]))


def test_the_names_are_those_of_the_specification():
    assert codec_names() == list(GRAMMAR)


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("none", Codec("none")),
        ("gzip", Codec("gzip", 4)),
        ("gzip:0", Codec("gzip", 0)),
        ("shuffle+gzip:4", Codec("gzip", 4, shuffle=True)),
        ("zstd", Codec("zstd", 3)),
        ("shuffle+zstd:22", Codec("zstd", 22, shuffle=True)),
        ("bitshuffle-lz4", Codec("bitshuffle-lz4", 0, 64 * KIB)),
        ("bitshuffle-zstd", Codec("bitshuffle-zstd", 1, 64 * KIB)),
        ("bitshuffle-zstd:9", Codec("bitshuffle-zstd", 9, 64 * KIB)),
        ("bitshuffle-zstd:lazy7,block=256KiB", Codec("bitshuffle-zstd", 157, 256 * KIB)),
        ("bitshuffle-zstd:1,block=8KiB", Codec("bitshuffle-zstd", 1, 8 * KIB)),
        ("bitshuffle-lz4,block=1MiB", Codec("bitshuffle-lz4", 0, KIB**2)),
        ("bitshuffle-lz4,block=128B", Codec("bitshuffle-lz4", 0, 128)),
        ("bitshuffle-lz4,block=256", Codec("bitshuffle-lz4", 0, 256)),
        ("bitshuffle-lz4,block=64KB", Codec("bitshuffle-lz4", 0, 64_000)),
        ("bitshuffle-lz4,block=64kib", Codec("bitshuffle-lz4", 0, 64 * KIB)),
        ("  zstd:3 ", Codec("zstd", 3)),
        ("lz4", Codec("lz4")),
        ("bzip2", Codec("bzip2", 9)),
        ("shuffle+bzip2:1+fletcher32", Codec("bzip2", 1, shuffle=True, fletcher32=True)),
        ("none+fletcher32", Codec("none", fletcher32=True)),
        ("blosc2-zstd:5,bitshuffle", Codec("blosc2-zstd", 5, transform="bitshuffle")),
        ("blosc2-lz4", Codec("blosc2-lz4", 5)),
        pytest.param("szip", Codec("szip", 32), marks=SZIP),
        pytest.param("szip:16,nn+fletcher32", Codec("szip", 16, transform="nn", fletcher32=True), marks=SZIP),
    ],
)
def test_a_spelling_is_read_with_its_defaults(text, codec):
    assert parse_codec(text) == codec


@settings(deadline=None, max_examples=200)
@given(spellings())
def test_what_a_codec_prints_reads_as_the_same_codec(text):
    codec = parse_codec(text)
    assert parse_codec(str(codec)) == codec


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 2**19).map(lambda n: n * 128))
def test_every_block_size_is_printed_so_that_it_reads_the_same(nbytes):
    codec = Codec("bitshuffle-lz4", 0, nbytes)
    assert parse_codec(str(codec)) == codec


@pytest.mark.parametrize(
    "text",
    [
        "none",
        "shuffle+gzip:9",
        "bitshuffle-zstd:1,block=64KiB+fletcher32",
        "lz4,block=1MiB",
        "blosc2-lz4hc:5,delta+fletcher32",
        "shuffle+bzip2:9",
    ],
)
def test_a_full_spelling_is_printed_as_it_was_written(text):
    assert str(parse_codec(text)) == text


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("zst", "zstd:3"),
        ("zstandard:9", "zstd:9"),
        ("gzp", "gzip:4"),
        ("gzip-4", "gzip:4"),
        ("GZIP", "gzip:4"),
        ("Zstd:3", "zstd:3"),
        ("BITSHUFFLE-LZ4", "bitshuffle-lz4,block=64KiB"),
        ("bitshuffle_lz4", "bitshuffle-lz4,block=64KiB"),
        ("bitshufle-zstd:1", "bitshuffle-zstd:1,block=64KiB"),
        ("nonne", "none"),
        ("zstd:-1", "zstd:1"),
        ("zstd:", "zstd:3"),
        ("zstd:30", "zstd:22"),
        ("gzip 5", "gzip:5"),
        ("bitshuffle-zstd,4", "bitshuffle-zstd:4,block=64KiB"),
        ("bitshuffle-zstd:1,blok=32KB", "bitshuffle-zstd:1,block=32KiB"),
        ("bitshuffle-zstd,block=16KiB:3", "bitshuffle-zstd:3,block=16KiB"),
        ("bitshuffle-zstd:3,block=200", "bitshuffle-zstd:3,block=128"),
        ("shufle+gzip:4", "shuffle+gzip:4"),
        ("gzip:4+shuffle", "shuffle+gzip:4"),
        ("shuffle+bitshuffle-lz4", "bitshuffle-lz4,block=64KiB"),
        ("zstd:9+flecher32", "zstd:9+fletcher32"),
        ("fletcher32+zstd:9", "zstd:9+fletcher32"),
        ("blosc2-zst:5,bitshufle", "blosc2-zstd:5,bitshuffle"),
        ("blosc2-zstd:5+bitshuffle", "blosc2-zstd:5,bitshuffle"),
        ("blosc-zstd:11", "blosc2-zstd:9"),
        ("bz2", "bzip2:9"),
        ("szp", "szip:32"),
        ("szip:15,nn", "szip:14,nn"),
        ("szip-nn:16", "szip:16"),
        ("szip,shuffle", "szip:32"),
        ("none:0,block=64KiB", "none"),
    ],
)
def test_a_misspelling_names_the_nearest_spelling(text, nearest):
    with pytest.raises(OptionError, match=f"perhaps {re.escape(nearest)} is meant$"):
        parse_codec(text)


@pytest.mark.parametrize("text", ["", " ", "*", "\n", "\0", "λ", "x" * 1000])
def test_text_that_is_near_nothing_lists_all_codecs(text):
    with pytest.raises(OptionError, match=", ".join(GRAMMAR)):
        parse_codec(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gzip:10", "gzip has levels 0 to 9"),
        ("zstd:0", "zstd has levels 1 to 22"),
        ("zstd:23", "zstd has levels 1 to 22"),
        ("shuffle+zstd:0", "zstd has levels 1 to 22"),
        ("bitshuffle-zstd:0", "bitshuffle-zstd has levels 1 to 22"),
        ("bitshuffle-lz4:1", "bitshuffle-lz4 takes no level"),
        ("none:0", "none takes no level"),
        ("shuffle+none", "none takes no shuffle"),
        ("szip:3", "szip has even levels 2 to 32"),
        ("szip:34", "szip has even levels 2 to 32"),
        ("shuffle+szip", "szip takes no shuffle"),
        ("szip,delta", "szip takes no delta"),
        ("blosc2-lz4,nn", "blosc2-lz4 takes no nn"),
        ("shuffle+bitshuffle-lz4", "bitshuffle-lz4 takes no shuffle"),
        ("gzip:4,block=64KiB", "gzip takes no block="),
        ("none,block=64KiB", "none takes no block="),
    ],
)
def test_a_part_that_the_codec_does_not_have_is_refused(text, expected):
    with pytest.raises(OptionError, match=re.escape(expected)):
        parse_codec(text)


@pytest.mark.parametrize(
    "size", ["0", "1", "127", "129", "200B", "-128", "65MiB", "1GiB", "KiB", "0x80", "1e3", "٦٤foo"]
)
def test_a_block_size_that_bitshuffle_does_not_take_is_refused(size):
    with pytest.raises(OptionError, match="compression"):
        parse_codec(f"bitshuffle-zstd:1,block={size}")


@pytest.mark.parametrize("text", ["zstd:" + "9" * 5000, "bitshuffle-lz4,block=" + "9" * 5000])
def test_numbers_of_thousands_of_digits_are_option_errors(text):
    with pytest.raises(OptionError):
        parse_codec(text)


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=40) | spellings().flatmap(lambda text: st.text(max_size=5).map(lambda tail: text + tail)))
def test_any_text_is_a_codec_or_an_option_error(text):
    try:
        codec = parse_codec(text)
    except OptionError:
        return
    assert parse_codec(str(codec)) == codec


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from("bgzip2stdlzshuffle+,:=-_ 0123456789KMiB"), max_size=40))
def test_the_nearest_spelling_is_always_a_codec(text):
    assert str(parse_codec(nearest_spelling(text))) == nearest_spelling(text)


@pytest.mark.parametrize(
    "parts",
    [
        {"name": "zip"},
        {"name": "zstd"},
        {"name": "none", "level": 3},
        {"name": "bitshuffle-lz4", "block_bytes": 100},
        {"name": "gzip", "level": 4, "transform": "delta"},
    ],
)
def test_a_codec_cannot_be_made_of_parts_that_it_does_not_have(parts):
    with pytest.raises(OptionError, match="compression"):
        Codec(**parts)


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("none", []),
        ("gzip:7", [(1, (7,))]),
        ("shuffle+gzip:7", [(2, (4,)), (1, (7,))]),
        ("zstd:19", [(32015, (19,))]),
        ("shuffle+zstd:19", [(2, (4,)), (32015, (19,))]),
        ("bitshuffle-lz4,block=64KiB", [(32008, (0, 4, 4, 16384, 2))]),
        ("bitshuffle-zstd:5,block=1MiB", [(32008, (0, 4, 4, 262144, 3, 5))]),
        ("lz4", [(32004, (0,))]),
        ("lz4,block=1MiB", [(32004, (1048576,))]),
        ("bzip2:7", [(307, (7,))]),
        ("none+fletcher32", [(3, ())]),
        ("shuffle+gzip:4+fletcher32", [(2, (4,)), (1, (4,)), (3, ())]),
    ],
)
def test_a_codec_gives_the_filters_that_it_names(text, filters):
    with h5py.File.in_memory() as file:
        options = parse_codec(text).dataset_options(np.dtype("f4"))
        properties = file.create_dataset("a", (8, 8), "f4", chunks=(8, 8), **options).id.get_create_plist()
        found = [properties.get_filter(i) for i in range(properties.get_nfilters())]
    # bitshuffle's first two values are its own version.
    assert [(code, values[2:] if code == 32008 else values) for code, _, values, _ in found] == [
        (code, values[2:] if code == 32008 else values) for code, values in filters
    ]


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8", "c16", "S3", "S300"])
@pytest.mark.parametrize("block", ["128B", "384B", "64KiB", "64MiB"])
def test_the_blocks_of_bitshuffle_hold_a_multiple_of_eight_elements(dtype, block):
    dtype = np.dtype(dtype)
    options = parse_codec(f"bitshuffle-lz4,block={block}").dataset_options(dtype)
    elements = options["compression_opts"][0]
    assert elements % 8 == 0
    assert elements * dtype.itemsize <= parse_codec(f"bitshuffle-lz4,block={block}").block_bytes


@settings(deadline=None, max_examples=100)
@given(spellings(), st.sampled_from(["u1", "u2", "f4", "f8"]))
def test_a_dataset_tells_the_codec_that_it_was_made_with(text, dtype):
    codec = parse_codec(text)
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset(
            "a", (8, 64, 64), dtype, chunks=(8, 64, 64), **codec.dataset_options(np.dtype(dtype))
        )
        assert codec_of(dataset) == codec


@settings(deadline=None, max_examples=40)
@given(spellings(), st.sampled_from(["u2", "f4"]))
def test_what_a_codec_writes_is_what_hdf5_writes_with_it(text, dtype):
    array = np.random.default_rng(1).poisson(0.5, (2, 64, 64)).astype(dtype)
    codec = parse_codec(text)
    options = {"chunks": array.shape, **codec.dataset_options(array.dtype)}
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset("ours", array.shape, array.dtype, **options)
        chunk = ChunkBuffer(array.nbytes)
        memoryview(chunk)[:] = array.tobytes()
        data, mask = filter_pipeline(dataset).encode(chunk)
        dataset.id.write_direct_chunk((0, 0, 0), data, mask)
        assert dataset[()].tobytes() == array.tobytes()
        theirs = file.create_dataset("theirs", data=array, **options)
        file.flush()
        is_isals = codec.name == "gzip" and codec.level in (1, 2, 3)
        if not is_isals and codec.level not in ZSTD_SETTINGS.values():  # of which HDF5 knows nothing
            assert (mask, bytes(data)) == theirs.id.read_direct_chunk((0, 0, 0))


def test_settings_make_counts_smaller_than_levels_of_their_speed():
    rows, columns = np.indices((256, 256)) - 128
    mean = 30 * np.exp(-(rows**2 + columns**2) / 2000)
    counts = np.random.default_rng(2).poisson(mean, (8, 256, 256)).astype("u2")
    sizes = {}
    with h5py.File.in_memory() as file:
        for level in ("1", "9", "fast7", "lazy7"):
            options = parse_codec(f"bitshuffle-zstd:{level},block=256KiB").dataset_options(counts.dtype)
            dataset = file.create_dataset(level, counts.shape, "u2", chunks=counts.shape, **options)
            chunk = ChunkBuffer(counts.nbytes)
            memoryview(chunk)[:] = counts.tobytes()
            data, mask = filter_pipeline(dataset).encode(chunk)
            dataset.id.write_direct_chunk((0, 0, 0), data, mask)
            assert np.array_equal(dataset[()], counts)  # hdf5plugin reads it
            sizes[level] = len(data)
    assert sizes["fast7"] < sizes["1"]
    assert sizes["lazy7"] < sizes["9"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "none"),
        ({"compression": "gzip", "shuffle": True}, "shuffle+gzip:4"),
        pytest.param({"compression": "szip"}, "szip:8,nn", marks=SZIP),
        (hdf5plugin.Bitshuffle(), "bitshuffle-lz4,block=8KiB"),
        (hdf5plugin.Bitshuffle(cname="zstd", clevel=0), "bitshuffle-zstd:3,block=8KiB"),
        (hdf5plugin.Bitshuffle(nelems=1024), "bitshuffle-lz4,block=2KiB"),
        (hdf5plugin.Zstd(), "zstd:3"),
        (hdf5plugin.Blosc2("zstd", 5, hdf5plugin.Blosc2.BITSHUFFLE), "blosc2-zstd:5,bitshuffle"),
        (hdf5plugin.Bitshuffle(cname="none"), "bshuf (32008)"),
        (hdf5plugin.Blosc(), "blosc (32001)"),
        ({"compression": "lzf", "shuffle": True}, "shuffle (2) + lzf (32000)"),
        ({"shuffle": True}, "shuffle (2)"),
        ({"scaleoffset": 0, "compression": "gzip"}, "scaleoffset (6) + deflate (1)"),
    ],
)
def test_datasets_of_other_programs_are_named_too(options, expected):
    with h5py.File.in_memory() as file:
        assert str(codec_of(file.create_dataset("a", (64, 64), "u2", chunks=(64, 64), **options))) == expected


def test_a_list_of_codecs_tells_what_each_is_and_needs():
    listed = {info.name: info for info in list_codecs()}
    assert list(listed) == codec_names()
    assert (listed["gzip"].filter_id, listed["gzip"].levels) == (1, "0-9")
    assert "zlib" in listed["gzip"].needs
    assert "hdf5plugin" in listed["bitshuffle-zstd"].needs
    assert (listed["szip"].filter_id, listed["szip"].levels, listed["szip"].parts) == (
        4,
        "2-32, even",
        (",nn", "+fletcher32"),
    )
    spelt = [info.spelling for info in listed.values() if info.name != "szip" or can_write_szip()]
    assert [str(parse_codec(spelling)) for spelling in spelt] == spelt


@SZIP
@pytest.mark.parametrize(
    ("dtype", "chunks", "expected"),
    [
        ("u2", (1, 4, 8), "szip:32+fletcher32"),
        ("u2", (1, 4, 7), "shuffle+gzip:2+fletcher32"),
        ("c8", (1, 16, 16), "shuffle+gzip:2+fletcher32"),
        ("c16", (1, 16, 16), "shuffle+gzip:2+fletcher32"),
        ("S4", (1, 16, 16), "shuffle+gzip:2+fletcher32"),
        (np.dtype("g").str, (1, 16, 16), "shuffle+gzip:2+fletcher32"),
    ],
)
def test_gzip_stands_in_where_hdf5_refuses_szip(dtype, chunks, expected):
    with h5py.File.in_memory() as file:
        codec = parse_codec("szip+fletcher32")
        dataset = create_chunked(file, "a", chunks[1:], np.dtype(dtype), codec, 3, chunks)
        assert str(codec_of(dataset)) == expected


@pytest.mark.parametrize("lacking", ["filter_avail", "get_filter_info"])
def test_szip_is_refused_where_the_hdf5_at_hand_has_no_encoder(monkeypatch, lacking):
    monkeypatch.setattr(f"h5py.h5z.{lacking}", lambda _: 0)
    for use in (lambda: parse_codec("szip"), lambda: Codec("szip", 32).dataset_options(np.dtype("u2"))):
        with pytest.raises(
            OptionError, match=r"szip:32: the HDF5 .* no szip that can encode .* such as shuffle\+gzip:2"
        ):
            use()
