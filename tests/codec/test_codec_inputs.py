"""Input that the encoder rejects, value types, Huffman codes, and what an import loads."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayespress import codec
from bayespress.codec.huffman_code import MAX_CODE_LENGTH, canonical_codes, code_lengths
from bayespress.errors import InputError

GRID = codec.Grid(0.5)
ZEROS = np.zeros(3, dtype=np.int32)


def book(*values: float) -> codec.Codebook:
    return codec.Codebook(np.array(values, dtype=np.float32))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([codec.RawTensor("w", np.array([1, np.nan], np.float32))], r"Tensor w holds 1 values that are NaN"),
        ([codec.RawTensor("w", np.array([np.inf], np.float32))], r"NaN or infinite"),
        (
            [codec.RawTensor("w", np.zeros(2))],
            r"w must be an array of float32 or float16 or int8, not float64 of shape \(2,\)",
        ),
        ([codec.QuantizedTensor("w", np.zeros(2, np.int64), GRID)], r"array of int32 or int16 or int8, not int64"),
        ([codec.QuantizedTensor("w", [0], GRID)], r"array of int32 or int16 or int8, not a list"),
        ([codec.QuantizedTensor("w", ZEROS, GRID)] * 2, r"Two tensors are called w"),
        ([codec.QuantizedTensor("", ZEROS, GRID)], r"1 to 255 bytes"),
        ([codec.QuantizedTensor("é" * 128, ZEROS, GRID)], r"1 to 255 bytes"),
        ([codec.QuantizedTensor("a\0", ZEROS, GRID)], r"without control"),
        ([codec.QuantizedTensor("\ud800", ZEROS, GRID)], r"UTF-8"),
        ([codec.QuantizedTensor("w", np.array([3], np.int32), book(0, 1))], r"levels from 3 to 3.*2 values"),
        ([codec.QuantizedTensor("w", np.array([-1], np.int32), book(0, 1))], r"levels from -1"),
        ([codec.QuantizedTensor("w", ZEROS, 0.5)], r"needs a Grid, a Codebook or a Minifloat, not a float"),
        ([codec.QuantizedTensor("w", np.array([9], np.int32), codec.Grid(1e38))], r"overflow float32"),
        ([codec.RawTensor("w", np.zeros((1,) * 9, np.float32))], r"at most 8 axes"),
        (["w"], r"must be a QuantizedTensor or a RawTensor, not a str"),
        (
            [codec.QuantizedTensor(str(n), ZEROS, GRID) for n in range(4097)],
            r"at most 4096 tensors, not 4097",
        ),
    ],
)
def test_rejects_invalid_tensors(tensors, message):
    with pytest.raises(InputError, match=message):
        codec.encode(tensors)


def test_rejects_an_unknown_profile():
    with pytest.raises(InputError, match="no profile 'tiny'; choose one of small"):
        codec.encode([], profile="tiny")


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf"), 1e-60, 1e60])
def test_rejects_invalid_grid_steps(step):
    with pytest.raises(InputError, match="positive finite float32"):
        codec.Grid(step)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([1, 2], np.float32), "first value must be 0"),
        (np.array([-0.0], np.float32), "first value must be 0"),
        (np.array([0, np.nan], np.float32), "not finite"),
        (np.array([], np.float32), "1 to 65536"),
        (np.zeros(65537, np.float32), "1 to 65536"),
        (np.zeros((2, 2), np.float32), "one axis"),
        (np.zeros(2), "float32"),
    ],
)
def test_rejects_invalid_codebooks(values, message):
    with pytest.raises(InputError, match=message):
        codec.Codebook(values)


def test_rejects_input_that_is_not_bytes():
    with pytest.raises(InputError, match="not as a str"):
        codec.decode("BPZ")


def test_progress_and_order():
    seen = []
    tensors = [codec.QuantizedTensor(name, ZEROS, GRID) for name in "bac"]
    data = codec.encode(tensors, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert [tensor.name for tensor in codec.decode(data)] == ["b", "a", "c"]


def test_arrays_that_are_not_contiguous():
    levels = np.arange(24, dtype=np.int32).reshape(4, 6).T[::2]
    (tensor,) = codec.decode(codec.encode([codec.QuantizedTensor("w", levels, GRID)]))
    np.testing.assert_array_equal(tensor.levels, levels)


@given(st.dictionaries(st.integers(0, 300), st.integers(1, 10**6), min_size=2, max_size=200))
@settings(deadline=None)
def test_huffman_codes_are_full_prefix_free_and_short(frequencies):
    lengths = code_lengths(frequencies)
    assert sum(2.0**-length for length in lengths if length) == 1.0
    assert all((length > 0) == (symbol in frequencies) for symbol, length in enumerate(lengths))
    assert max(lengths) <= MAX_CODE_LENGTH
    words = sorted(f"{c:0{n}b}" for c, n in zip(canonical_codes(lengths), lengths, strict=True) if n)
    assert not any(after.startswith(word) for word, after in itertools.pairwise(words))


def test_a_code_that_must_be_limited_is_still_optimal_among_the_short():
    fibonacci = [1, 1]
    while len(fibonacci) < 20:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    lengths = code_lengths(dict(enumerate(fibonacci)))
    assert max(lengths) == MAX_CODE_LENGTH
    assert sum(2.0**-length for length in lengths) == 1.0
    # The cost by exhaustive dynamic programming over leaves placed level by level, rarest deepest.
    assert sum(n * w for n, w in zip(lengths, fibonacci, strict=True)) == _cheapest(sorted(fibonacci, reverse=True))


def _cheapest(weights: list[int]) -> int:
    """Cost of the best code of at most 12 bits, found by trying all numbers of leaves at each depth."""
    prefix = [0]
    for weight in weights:
        prefix.append(prefix[-1] + weight)
    count, best = len(weights), {(0, 1): 0}  # (leaves placed, open nodes at this depth) -> cost so far
    for depth in range(1, MAX_CODE_LENGTH + 1):
        after: dict[tuple[int, int], int] = {}
        for (placed, opened), cost in best.items():
            for leaves in range(min(2 * opened, count - placed) + 1):
                key = (placed + leaves, 2 * opened - leaves)
                if key[1] > count - key[0]:
                    continue
                total = cost + depth * (prefix[key[0]] - prefix[placed])
                after[key] = min(total, after.get(key, total))
        best = after  # a finished code passes on with no leaf more
    return best[count, 0]


@pytest.mark.parametrize("frequencies", [{}, {3: 5}, {0: 1, 4096: 1}, {0: 0, 1: 2}])
def test_rejects_invalid_huffman_frequencies(frequencies):
    with pytest.raises(ValueError, match="two symbols or more"):
        code_lengths(frequencies)


def test_importing_the_codec_imports_neither_torch_nor_huffman():
    program = "import sys, bayespress.codec; print([m for m in ('torch', 'tvm', 'huffman') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
