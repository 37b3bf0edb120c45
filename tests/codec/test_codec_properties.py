"""Round trips and damage, over tensors and files that hypothesis makes up."""

from __future__ import annotations

import io

import numpy as np
import pytest
from codec_files import parts_of, sealed
from hypothesis import given, settings
from hypothesis import strategies as st

from bayespress import codec
from bayespress.codec import reference
from bayespress.codec.native import new_workspace, open_file, read_array
from bayespress.errors import CorruptFileError, InputError

SHAPES = st.lists(st.integers(0, 7), max_size=5).map(tuple) | st.tuples(st.integers(1, 40), st.integers(1, 60))


@st.composite
def tensors(draw, name="w"):
    shape = draw(SHAPES)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["raw", "grid", "codebook", "minifloat"]))
    if kind == "raw":
        values = np.asarray(rng.normal(size=shape) * 50, dtype=np.float32)
        dtype = draw(st.sampled_from([np.float32, np.float16, np.int8, "bfloat16"]))
        if dtype == "bfloat16":
            return codec.RawTensor(name, np.asarray(values.view(np.uint32) >> 16 << 16, np.uint32).view(np.float32))
        return codec.RawTensor(name, np.asarray(values.astype(dtype)))
    if kind == "minifloat":
        small = codec.Minifloat(draw(st.integers(1, 8)), draw(st.integers(0, 15)), draw(st.integers(-149, -142)))
        reach = small.largest_level
        levels = rng.integers(-reach, reach, shape, endpoint=True) * (rng.random(shape) < 0.5)
        return codec.QuantizedTensor(name, np.asarray(levels, dtype=np.int32), small)
    density = draw(st.sampled_from([0.0, 0.02, 0.2, 0.6, 1.0]))
    low, high = draw(st.sampled_from([(1, 1), (-1, 2), (-6, 7), (-300, 5), (-9000, 9000), (-(2**31), 2**31 - 1)]))
    if kind == "codebook":
        low, high = 1, draw(st.sampled_from([1, 3, 200]))
    levels = np.where(rng.random(shape) < density, rng.integers(low, high, shape, endpoint=True), 0)
    levels = np.asarray(levels, dtype=np.int32)
    if len(shape) > 1 and draw(st.booleans()):
        levels[rng.random(shape[0]) < 0.5] = 0
        levels[:, rng.random(shape[1]) < 0.5] = 0
    if kind == "grid":
        return codec.QuantizedTensor(name, levels, codec.Grid(draw(st.sampled_from([0.1, 0.5, 3e-7, 1e-40]))))
    book = rng.normal(size=high + 1).astype(draw(st.sampled_from([np.float16, np.float32]))).astype(np.float32)
    book[0] = 0
    return codec.QuantizedTensor(name, levels, codec.Codebook(book))


NAMES = st.text(st.characters(exclude_categories=["Cs"], min_codepoint=0x20), min_size=1, max_size=20) | st.builds(
    "{}.{}".format, st.text("abc.1", min_size=1), st.sampled_from(["weight", "bias", "running_var", "weight.bias"])
)
FILES = st.lists(NAMES, unique=True, max_size=3).flatmap(lambda names: st.tuples(*map(tensors, names)))


def same(one: codec.Tensor, other: codec.Tensor) -> None:
    assert type(one) is type(other)
    assert one.name == other.name
    assert one.values().shape == other.values().shape
    assert one.values().tobytes() == other.values().tobytes()
    if isinstance(one, codec.QuantizedTensor):
        np.testing.assert_array_equal(one.levels, other.levels)
        assert type(one.value_map) is type(other.value_map)


@given(FILES, st.sampled_from(["small", "fast"]), st.booleans())
@settings(max_examples=200, deadline=None)
def test_round_trip(given_tensors, profile, seekable):
    data = codec.encode(given_tensors, profile=profile, seekable=seekable)
    assert codec.encode(given_tensors, profile=profile, seekable=seekable, threads=2) == data
    decoded, oracle = codec.decode(data), reference.decode(data)
    assert len(decoded) == len(oracle) == len(given_tensors)
    for tensor, ours, theirs in zip(given_tensors, decoded, oracle, strict=True):
        same(tensor, ours)
        same(tensor, theirs)
    assert codec.encode(decoded, profile=profile, seekable=seekable) == data
    for tensor, streamed in zip(given_tensors, codec.stream(io.BytesIO(data)), strict=True):
        same(tensor, streamed)
    opened, workspace = open_file(data, None), new_workspace()
    for tensor, described in zip(given_tensors, opened.tensors, strict=True):
        assert read_array(opened, described, workspace).tobytes() == tensor.values().tobytes()
    layout = codec.layout(data)
    assert sum(layout.by_stream().values()) == layout.size == len(data)
    assert layout.container_bytes == (10 if seekable else 9)
    for tensor, described in zip(given_tensors, layout.tensors, strict=True):
        values = tensor.values()
        expected = values.size if described.kind.startswith("raw") else np.count_nonzero(tensor.levels)
        assert (described.shape, described.nonzero) == (values.shape, expected)


def verdict(decode, data):
    """The decoded tensors, or None when the file is refused."""
    try:
        return decode(data, max_elements=20_000)
    except CorruptFileError:
        return None
    except InputError:
        return "too large"


@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_both_decoders_judge_a_forged_file_alike(samples, data):
    """The checksum is put right after the damage, so that the checks behind it are what is tested."""
    parts = parts_of(data.draw(st.sampled_from(samples)))
    for _ in range(data.draw(st.integers(1, 4))):
        which = data.draw(st.integers(0, len(parts) - 1))
        forged = parts[which]
        at = data.draw(st.integers(4 if which == 0 else 0, len(forged) - 1)) if len(forged) > 4 else 0
        action = data.draw(st.sampled_from(["set", "flip", "cut", "insert"]))
        if action == "set" and forged:
            forged[at] = data.draw(st.integers(0, 255))
        elif action == "flip" and forged:
            forged[at] ^= 1 << data.draw(st.integers(0, 7))
        elif action == "cut" and len(forged) > 5 - 5 * (which > 0):
            del forged[at]
        else:
            forged.insert(at, data.draw(st.integers(0, 255)))
    whole = sealed(parts)
    ours, theirs = verdict(codec.decode, whole), verdict(reference.decode, whole)
    assert (ours is None) == (theirs is None)
    if isinstance(ours, list):
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)


@pytest.mark.parametrize("decode", [codec.decode, reference.decode])
@pytest.mark.parametrize("which", [0, 1, 12, 16])
def test_every_changed_cut_or_added_byte_is_reported(samples, decode, which):
    whole = samples[which]
    damaged = [whole[:size] for size in range(len(whole))] + [whole + bytes([byte]) for byte in range(256)]
    for at in range(len(whole)):
        damaged += [whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :] for change in (1, 0x80, 0xFF)]
        damaged.append(whole[:at] + whole[at + 1 :])
    for data in damaged:
        if data != whole:
            with pytest.raises(CorruptFileError):
                decode(data)


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_refused_with_a_sentence(noise):
    for decode in (codec.decode, reference.decode):
        with pytest.raises(CorruptFileError, match=r"cannot be read: .*; fetch or make the file again\.$"):
            decode(noise)


@pytest.mark.parametrize("columns", [8191, 8192, 8193, 20_000])
def test_columns_beyond_the_model_s_memory_share_it(columns):
    """Columns that are often used beside others that seldom are: what the adaptive layout is best at."""
    rng = np.random.default_rng(columns)
    density = np.where(rng.random(columns) < 0.1, 0.8, 0.01)
    levels = np.where(rng.random((16, columns)) < density, rng.integers(-3, 4, (16, columns)), 0).astype(np.int32)
    levels[:, -1] = 5
    tensor = codec.QuantizedTensor("w", levels, codec.Grid(0.5))
    data = codec.encode([tensor])
    assert codec.layout(data).tensors[0].entries == "adaptive"
    for decode in (codec.decode, reference.decode):
        same(tensor, decode(data)[0])


def test_the_small_profile_is_never_larger():
    rng = np.random.default_rng(5)
    for density in (0.01, 0.1, 0.5):
        levels = np.where(rng.random((60, 200)) < density, np.round(rng.normal(0, 5, (60, 200))), 0).astype(np.int32)
        tensor = codec.QuantizedTensor("w", levels, codec.Grid(0.5))
        assert len(codec.encode([tensor])) < len(codec.encode([tensor], profile="fast"))
