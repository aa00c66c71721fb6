"""Spellings of codecs, and the filters that they stand for."""

import re

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct.codecs import DEFAULT, Codec, codec_names, parse_codec
from ptychoproduct.errors import OptionError

KIB = 1024
# name: levels, whether it takes a block, whether it takes shuffle
GRAMMAR = {
    "none": ([None], False, False),
    "gzip": (range(10), False, True),
    "zstd": (range(1, 23), False, True),
    "bitshuffle-lz4": ([None], True, False),
    "bitshuffle-zstd": (range(1, 23), True, False),
}


@st.composite
def spellings(draw):
    name = draw(st.sampled_from(sorted(GRAMMAR)))
    levels, blocks, shuffles = GRAMMAR[name]
    text = draw(st.sampled_from(["", "shuffle+"])) if shuffles else ""
    text += name
    level = draw(st.sampled_from(list(levels)))
    if level is not None:
        text += f":{level}"
    if blocks:
        text += f",block={draw(st.integers(1, 512))}KiB"
    return text


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
        ("bitshuffle-zstd:1,block=8KiB", Codec("bitshuffle-zstd", 1, 8 * KIB)),
        ("bitshuffle-lz4,block=1MiB", Codec("bitshuffle-lz4", 0, KIB**2)),
        ("bitshuffle-lz4,block=128B", Codec("bitshuffle-lz4", 0, 128)),
        ("bitshuffle-lz4,block=256", Codec("bitshuffle-lz4", 0, 256)),
        ("  zstd:3 ", Codec("zstd", 3)),
    ],
)
def test_a_spelling_is_read_with_its_defaults(text, codec):
    assert parse_codec(text) == codec


def test_the_default_is_spelt_as_the_manual_says():
    assert str(DEFAULT) == "bitshuffle-zstd:1,block=64KiB"


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


@pytest.mark.parametrize("text", ["none", "gzip:4", "shuffle+gzip:9", "zstd:3", "bitshuffle-zstd:1,block=64KiB"])
def test_a_full_spelling_is_printed_as_it_was_written(text):
    assert str(parse_codec(text)) == text


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("zst", "zstd"),
        ("zstandard", "zstd"),
        ("gzp", "gzip"),
        ("gzip-4", "gzip"),
        ("GZIP", "gzip"),
        ("Zstd:3", "zstd"),
        ("BITSHUFFLE-LZ4", "bitshuffle-lz4"),
        ("lz4", "bitshuffle-lz4"),
        ("bitshuffle_lz4", "bitshuffle-lz4"),
        ("bitshufle-zstd:1", "bitshuffle-zstd"),
        ("nonne", "none"),
        ("zstd:-1", "zstd"),
        ("zstd:", "zstd"),
        ("zstd:1.5", "zstd"),
        ("gzip 4", "gzip"),
        ("bitshuffle-zstd,1", "bitshuffle-zstd"),
        ("bitshuffle-zstd:1,blok=64KiB", "bitshuffle-zstd"),
        ("bitshuffle-zstd,block=64KiB:1", "bitshuffle-zstd"),
    ],
)
def test_a_misspelling_names_the_nearest_codec(text, nearest):
    with pytest.raises(OptionError, match=f"nearest: {re.escape(nearest)}$"):
        parse_codec(text)


@pytest.mark.parametrize("text", ["", " ", "*", "\n", "\0", "λ", "x" * 1000])
def test_text_that_is_near_nothing_lists_all_codecs(text):
    with pytest.raises(OptionError, match=", ".join(GRAMMAR)):
        parse_codec(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gzip:10", "gzip:0 to gzip:9"),
        ("zstd:0", "zstd:1 to zstd:22"),
        ("zstd:23", "zstd:1 to zstd:22"),
        ("shuffle+zstd:0", "zstd:1 to zstd:22"),
        ("bitshuffle-zstd:0", "bitshuffle-zstd:1 to bitshuffle-zstd:22"),
        ("bitshuffle-lz4:1", "bitshuffle-lz4, no level"),
        ("none:0", "none, no level"),
        ("shuffle+none", "none without shuffle"),
        ("shuffle+bitshuffle-lz4", "bitshuffle-lz4 without shuffle"),
        ("gzip:4,block=64KiB", "gzip without block="),
        ("none,block=64KiB", "none without block="),
    ],
)
def test_a_part_that_the_codec_does_not_have_is_refused(text, expected):
    with pytest.raises(OptionError, match=re.escape(expected)):
        parse_codec(text)


@pytest.mark.parametrize(
    "size", ["0", "1", "127", "129", "200B", "64kib", "64KB", "-128", "65MiB", "1GiB", "KiB", "0x80", "1e3", "٦٤foo"]
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
