"""Value maps, and elements other than float32."""

from __future__ import annotations

import numpy as np
import pytest

from bayespress import codec
from bayespress.errors import InputError


def by_definition(small: codec.Minifloat, level: int) -> float:
    """The value of a level by FORMAT.md, section 5.2."""
    exponent, mantissa = divmod(abs(level), 1 << small.mantissa_bits)
    unit = 2.0**small.unit
    size = mantissa * unit if exponent == 0 else (2**small.mantissa_bits + mantissa) * unit * 2.0 ** (exponent - 1)
    return -size if level < 0 else size


@pytest.mark.parametrize("bits", [(1, 0), (2, 1), (3, 3), (5, 2), (4, 0), (1, 7)])
def test_minifloats_are_what_their_definition_says(tmp_path, bits):
    small = codec.Minifloat(*bits, -5)
    levels = np.arange(-small.largest_level, small.largest_level + 1, dtype=np.int32)
    expected = np.array([by_definition(small, int(level)) for level in levels], dtype=np.float32)
    np.testing.assert_array_equal(small.values(levels), expected)
    assert (np.diff(expected) > 0).all()
    (tmp_path / "w.bpz").write_bytes(codec.encode([codec.QuantizedTensor("w", levels, small)]))
    np.testing.assert_array_equal(codec.open(tmp_path / "w.bpz").array("w"), expected)


def test_a_minifloat_with_ieee_s_numbers_is_float16(tmp_path):
    """Half precision has 5 and 10 bits, and 2^-24 as its smallest number; its topmost exponent means infinity."""
    half = codec.Minifloat(5, 10, -24)
    values = np.random.default_rng(0).normal(0, 1, 2000).astype(np.float32) * np.logspace(-9, 4, 2000, dtype=np.float32)
    np.testing.assert_array_equal(half.values(half.nearest(values)), values.astype(np.float16).astype(np.float32))
    assert half.nearest(np.float32([1.0]))[0] == np.float16(1.0).view(np.uint16)


def test_the_smallest_and_the_largest_float32(tmp_path):
    for small in (codec.Minifloat(8, 15, -149), codec.Minifloat(8, 3, -130), codec.Minifloat(1, 15, 106)):
        levels = np.array([1, 2, small.largest_level, -small.largest_level], dtype=np.int32)
        expected = [by_definition(small, int(level)) for level in levels]
        assert small.values(levels).tolist() == expected
        (tmp_path / "w.bpz").write_bytes(codec.encode([codec.QuantizedTensor("w", levels, small)]))
        assert codec.open(tmp_path / "w.bpz").array("w").tolist() == expected


def test_nearest_is_nearest():
    small = codec.Minifloat(3, 2, -6)
    table = small.values(np.arange(-small.largest_level, small.largest_level + 1))
    values = np.random.default_rng(1).normal(0, 0.5, 500)
    errors = np.abs(small.values(small.nearest(values)) - values)
    np.testing.assert_allclose(errors, np.abs(table[:, None] - values).min(axis=0), rtol=0, atol=1e-12)
    assert small.nearest(np.array([1e9, -1e9])).tolist() == [small.largest_level, -small.largest_level]


@pytest.mark.parametrize("arguments", [(0, 3, 0), (9, 3, 0), (2, 16, 0), (2, -1, 0), (2, 2, -150), (8, 0, 0)])
def test_rejects_invalid_minifloats(arguments):
    with pytest.raises(InputError, match="minifloat"):
        codec.Minifloat(*arguments)


def test_rejects_levels_outside_a_minifloat():
    with pytest.raises(InputError, match=r"levels from -9 to 0, and its minifloat reaches to 7"):
        codec.encode([codec.QuantizedTensor("w", np.int32([0, -9]), codec.Minifloat(2, 1, 0))])


@pytest.fixture
def archive(tmp_path):
    rng = np.random.default_rng(2)
    levels = np.where(rng.random((40, 50)) < 0.2, rng.integers(-100, 101, (40, 50)), 0).astype(np.int32)
    tensors = [
        codec.QuantizedTensor("w", levels, codec.Grid(0.123)),
        codec.QuantizedTensor("tiny", levels, codec.Grid(3.1e-8)),
        codec.QuantizedTensor("huge", levels, codec.Grid(1000.0)),
        codec.QuantizedTensor("wide", 3 * levels, codec.Grid(0.1)),
        codec.RawTensor("raw", rng.normal(size=33).astype(np.float32)),
        codec.RawTensor("whole", np.arange(-128, 128).astype(np.int8)),
    ]
    (tmp_path / "net.bpz").write_bytes(codec.encode(tensors))
    return codec.open(tmp_path / "net.bpz")


@pytest.mark.parametrize("name", ["w", "tiny", "raw", "whole"])
def test_float16_is_rounded_as_numpy_does(archive, name):
    half = archive.array(name, np.float16)
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, archive.array(name).astype(np.float16))


def test_float16_of_every_kind_of_number(tmp_path):
    """Ties, subnormal numbers, and numbers that round to 0: every float32 next to a float16 number."""
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = (halves[1:] + halves[:-1]) / 2
    around = [np.nextafter(middles, np.float32(side)) for side in (0, 9e9)]
    values = np.concatenate([halves, middles, *around, -middles])
    (tmp_path / "net.bpz").write_bytes(codec.encode([codec.RawTensor("raw", values)]))
    decoded = codec.open(tmp_path / "net.bpz").array("raw", np.float16)
    np.testing.assert_array_equal(decoded.view(np.uint16), values.astype(np.float16).view(np.uint16))


def test_levels_as_int8_and_int32(archive):
    np.testing.assert_array_equal(archive.array("w", np.int8), archive["w"].levels)
    np.testing.assert_array_equal(archive.array("wide", np.int32), archive["wide"].levels)
    np.testing.assert_array_equal(archive.array("whole", np.int8), np.arange(-128, 128))
    _, columns, levels = archive.csr("w", np.int8)
    np.testing.assert_array_equal(levels, archive["w"].levels[archive["w"].levels != 0])
    assert (levels.dtype, columns.size) == (np.int8, levels.size)


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        ("wide", np.int8, "wide does not fit int8"),
        ("huge", np.float16, "huge does not fit float16"),
        ("raw", np.int8, "raw does not fit int8, or has no levels"),
        ("w", np.float64, "not to <class 'numpy.float64'>"),
        ("w", "words", "not to words"),
    ],
)
def test_rejects_elements_that_do_not_fit(archive, name, dtype, message):
    with pytest.raises(InputError, match=message):
        archive.array(name, dtype)


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        (np.float32([1, -128, 127]), "int8"),
        (np.float32([1, -0.0]), "float16"),
        (np.float32([128, 0.5]), "float16"),
        (np.float32([1e20]).view(np.uint32) >> 16 << 16, "bfloat16"),
        (np.float32([0.1]), "float32"),
        (np.float32([1e5, 0.1]), "float32"),
    ],
)
def test_raw_values_take_the_narrowest_type_that_holds_them(values, stored):
    values = values.view(np.float32)
    data = codec.encode([codec.RawTensor("w", values)])
    assert codec.layout(data).tensors[0].kind == f"raw {stored}"
    assert codec.decode(data)[0].values().tobytes() == values.tobytes()
