"""Rounding keeps the error small for every role that a tensor of a state dict may have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bayespress import codec
from bayespress.compress.quantize_file import compress_file
from bayespress.compress.round_tensor import round_tensor
from bayespress.errors import InputError

RANDOM = np.random.default_rng(0)


def decoded(array, tolerance=0.01):
    found = round_tensor("w", array, tolerance)
    (tensor,) = codec.decode(codec.encode([found.tensor]))
    return tensor.values().astype(np.float64), found


def uneven(*scales):
    """A matrix with one row of each scale."""
    return (RANDOM.standard_normal((len(scales), 40)) * np.array(scales)[:, None]).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("tolerance", [0.2, 0.01, 1e-4])
@pytest.mark.parametrize("scales", [(1, 1, 1), (1, 1e-3, 1e3), (1, 1e-9, 0, 1e9), (1e-30, 1e-36, 1e-33)])
def test_small_rows_and_columns_keep_their_relative_error(scales, tolerance, axis):
    array = np.ascontiguousarray(np.moveaxis(uneven(*scales), 0, axis))
    values, found = decoded(array, tolerance)
    error, size = (np.linalg.norm(np.moveaxis(part, axis, 0), axis=1) for part in (values - array, array.astype(float)))
    assert (error <= 1.0001 * tolerance * size).all()
    assert found.error <= tolerance


def test_statistics_keep_the_outputs_within_the_tolerance(tmp_path):
    """The variances range from 1e-3 to 41: a single step for all would round half of them to 0."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(1152, 10)
    ).eval()
    network[1].running_var.copy_(torch.logspace(-3, 1.61, 32))
    network[1].running_mean.normal_()
    torch.save(network.state_dict(), tmp_path / "net.pt")
    x = torch.randn(16, 3, 8, 8)
    with torch.no_grad():
        before = network(x)
        compress_file(tmp_path / "net.pt", tmp_path / "net.bpz", 0.01)
        back = {t.name: torch.from_numpy(t.values()) for t in codec.decode((tmp_path / "net.bpz").read_bytes())}
        network.load_state_dict(back)
        assert float((network(x) - before).norm() / before.norm()) < 0.01


@pytest.mark.parametrize("shape", [(1024,), (32, 32), (2, 8, 8, 8)])
def test_an_outlier_is_noted_and_other_values_stay_accurate(shape):
    array = RANDOM.standard_normal(shape).astype(np.float32)
    array.reshape(-1)[77] = 1e30
    values, found = decoded(array)
    others = np.arange(array.size) != 77
    flat, exact = values.reshape(-1)[others], array.reshape(-1)[others].astype(float)
    assert np.linalg.norm(flat - exact) < 0.02 * np.linalg.norm(exact)
    assert len(shape) == 1 or "Tensor w has an outlier: 1e+30" in found.notes[0]


@pytest.mark.parametrize("shape", [(64,), (8, 8), (8, 4, 3)])
def test_rejects_float64_below_the_range_of_float32(shape):
    with pytest.raises(InputError, match=r"Tensor w of float64 has a row or column whose weights are at most .*e-50"):
        round_tensor("w", RANDOM.standard_normal(shape) * 1e-50, 0.01)


def test_rejects_a_row_of_float64_below_the_range_and_notes_single_values():
    array = RANDOM.standard_normal((8, 8))
    array[3, 4] = 1e-50
    (note,) = round_tensor("w", array, 0.01).notes
    assert "Tensor w: 1 float64 value" in note
    array[3] *= 1e-50
    with pytest.raises(InputError, match="cannot hold; scale them"):
        round_tensor("w", array, 0.01)


@pytest.mark.parametrize(
    "array",
    [
        np.array(3.5),
        np.float32(2.0) * np.ones(()),
        np.zeros((0, 4), np.float32),
        np.zeros((3, 0), np.float16),
        np.zeros((0,), np.int8),
        np.arange(-128, 128).astype(np.int8).reshape(16, 16),
        np.arange(256, dtype=np.uint8),
        np.array([2**24, -(2**24)], np.int64),
        np.array([[True, False]] * 20),
        np.zeros((20, 20), np.float32),
        np.full((20, 20), 1e-45, np.float32),
        RANDOM.standard_normal((1, 64, 1, 1)).astype(np.float32),
        RANDOM.standard_normal(40).astype(np.float16),
    ],
    ids=str,
)
def test_values_that_are_stored_exactly(array):
    values, found = decoded(array)
    assert values.shape == array.shape
    assert np.array_equal(values, array.astype(np.float64))
    assert found.error == 0.0


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([1.0, np.nan]), "1 values that are NaN"),
        (np.array([np.inf], np.float16), "1 values that are NaN or too large"),
        (np.array([1e300]), "too large for float32"),
        (np.array([2**24 + 1]), "that float32 cannot hold"),
        (np.array([2**64 - 1], np.uint64), "that float32 cannot hold"),
        (np.array(["a"]), "numbers are needed"),
        (np.array([1j]), "numbers are needed"),
    ],
    ids=str,
)
def test_rejects_values_that_float32_cannot_hold(array, message):
    with pytest.raises(InputError, match=message):
        round_tensor("w", array, 0.01)


def test_a_long_vector_is_rounded_weight_by_weight():
    array = (10.0 ** RANDOM.uniform(-6, 2, 70_000)).astype(np.float32)
    values, found = decoded(array)
    assert np.abs(values / array - 1).max() <= 0.01
    assert 0.0 < found.error <= 0.01
    assert isinstance(found.tensor, codec.QuantizedTensor)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(20, 20).to_sparse(),
        torch.randn(20, 20).to(torch.float8_e4m3fn),
        torch.randn(20, 20).bfloat16(),
        nn.Parameter(torch.randn(20, 20)),
        torch.randn(20, 20).t(),
    ],
    ids=["sparse", "float8", "bfloat16", "parameter", "transposed"],
)
@pytest.mark.filterwarnings("ignore")
def test_reads_pytorch_tensors_that_numpy_lacks(tmp_path, tensor):
    torch.save({"w": tensor, "tied": tensor}, tmp_path / "net.pt")
    compress_file(tmp_path / "net.pt", tmp_path / "net.bpz", 0.01)
    dense = tensor.detach()
    exact = (dense.to_dense() if dense.is_sparse else dense).float().numpy()
    for decoded_tensor in codec.decode((tmp_path / "net.bpz").read_bytes()):
        assert np.linalg.norm(decoded_tensor.values() - exact) <= 0.01 * np.linalg.norm(exact)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"w": torch.ones(3), "epoch": 3}, "holds epoch, a int, but a state dict"),
        ({"w": torch.empty(3, device="meta")}, "on the device meta"),
        ({1: torch.ones(3), "1": torch.ones(3)}, "two tensors named 1"),
        ({"net\x1b[31m": {"w": torch.ones(3)}}, r"holds net\\x1b\[31m, a dict"),
    ],
    ids=["number", "meta", "names", "nested"],
)
def test_rejects_invalid_state_dicts(tmp_path, content, message):
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(InputError, match=message):
        compress_file(tmp_path / "net.pt", tmp_path / "net.bpz", 0.01)
