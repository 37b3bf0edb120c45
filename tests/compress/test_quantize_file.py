"""A user's weight files in each format are compressed to a .bpz and decoded; invalid files are rejected."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from typer.testing import CliRunner

from bayespress import codec
from bayespress.cli.app import app
from bayespress.compress.quantize_file import compress_file
from bayespress.errors import CorruptFileError, InputError


def state():
    generator = torch.Generator().manual_seed(0)
    return {
        "conv.weight": torch.randn(8, 3, 3, 3, generator=generator),
        "half.weight": torch.randn(40, 30, generator=generator).half(),
        "brain.weight": torch.randn(40, 30, generator=generator).bfloat16(),
        "conv.bias": torch.randn(8, generator=generator),
        "norm.running_var": torch.rand(64, generator=generator) + 0.5,
        "norm.num_batches_tracked": torch.tensor(1234),
        "zero": torch.zeros(100),
        "empty": torch.zeros(0, 4),
    }


def written(folder, kind, tensors):
    path = folder / f"net{kind}"
    if kind == ".safetensors":
        save_file(tensors, path)
    elif kind == ".onnx":
        arrays = [numpy_helper.from_array(t.float().numpy() if t.is_floating_point() else t.numpy(), name)
                  for name, t in tensors.items()]  # fmt: skip
        value = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        onnx.save(helper.make_model(helper.make_graph([], "g", [], [value], arrays)), path)
    else:
        torch.save(tensors if kind == ".pt" else {"state_dict": tensors, "epoch": 3}, path)
    return path


def worst_slice(exact, got):
    """The largest relative error of a slice along the first or the second axis; asserts that slices of 0 stay 0."""
    worst = 0.0
    for axis in range(min(2, exact.ndim)):
        others = tuple(k for k in range(exact.ndim) if k != axis)
        error, size = np.sqrt(((got - exact) ** 2).sum(others)), np.sqrt((exact**2).sum(others))
        assert not error[size == 0].any()
        worst = max(worst, float((error[size > 0] / size[size > 0]).max(initial=0.0)))
    return worst


@pytest.mark.parametrize("tolerance", [0.3, 0.01, 1e-4])
@pytest.mark.parametrize("kind", [".safetensors", ".pt", ".pth", ".onnx"])
def test_each_format_decodes_within_the_tolerance(tmp_path, kind, tolerance):
    found = compress_file(written(tmp_path, kind, state()), tmp_path / "net.bpz", tolerance)
    data = (tmp_path / "net.bpz").read_bytes()
    assert len(data) == found.size
    decoded = {tensor.name: tensor.values() for tensor in codec.decode(data)}
    assert decoded.keys() == state().keys() == dict(found.errors).keys()
    for name, tensor in state().items():
        exact, got = tensor.double().numpy(), decoded[name].astype(np.float64)
        assert got.shape == exact.shape
        error = worst_slice(exact, got)
        assert error <= tolerance + 1e-7
        assert error > 0.5 * tolerance or error == 0.0
        assert error == pytest.approx(dict(found.errors)[name], abs=1e-7)
    for name in ("conv.bias", "norm.num_batches_tracked", "norm.running_var", "zero"):
        assert np.array_equal(decoded[name], state()[name].float().numpy())


def test_a_larger_tolerance_gives_a_smaller_file(tmp_path):
    path = written(tmp_path, ".pt", state())
    sizes = [compress_file(path, tmp_path / f"{tolerance}.bpz", tolerance).size for tolerance in (1e-3, 1e-2, 1e-1)]
    assert sizes[0] > sizes[1] > sizes[2]


def test_an_extreme_outlier_keeps_its_tensor_exact(tmp_path):
    tensors = {"w": torch.full((2_000_000,), 1e-9)}
    tensors["w"][7] = 1.0
    found = compress_file(written(tmp_path, ".safetensors", tensors), tmp_path / "net.bpz", 1e-7)
    data = (tmp_path / "net.bpz").read_bytes()
    assert isinstance(codec.decode(data)[0], codec.RawTensor)
    assert found.errors == [("w", 0.0)]
    assert "Tensor w has an outlier: 1, while the root mean square of its other values is 1e-09" in found.notes[0]


@pytest.mark.parametrize("tolerance", [0.0, 1.0, -1.0, float("nan")])
def test_rejects_invalid_tolerances(tmp_path, tolerance):
    with pytest.raises(InputError, match="above 0 and below 1"):
        compress_file(tmp_path / "net.pt", tmp_path / "net.bpz", tolerance)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"w": torch.tensor([1.0, float("nan")])}, "Tensor w holds 1 values that are NaN"),
        ({"w": torch.tensor([1e300], dtype=torch.float64)}, "too large for float32"),
        ({"w": torch.tensor([2**24 + 1])}, "that float32 cannot hold"),
        ({"w": torch.zeros(3, dtype=torch.complex64)}, "complex64, but real numbers are needed"),
        ({}, "holds no tensors"),
        ([torch.zeros(3)], "a list, not a state dict"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_rejects_invalid_weights(tmp_path, tensors, message):
    torch.save(tensors, tmp_path / "net.pt")
    with pytest.raises(InputError, match=message):
        compress_file(tmp_path / "net.pt", tmp_path / "net.bpz", 0.01)


@pytest.mark.parametrize("kind", [".safetensors", ".pt", ".onnx"])
def test_rejects_truncated_files(tmp_path, kind):
    path = written(tmp_path, kind, state())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CorruptFileError, match=r"net\S+ is not"):
        compress_file(path, tmp_path / "net.bpz", 0.01)


def test_rejects_a_pickle_that_would_run_code(tmp_path):
    class Program:
        def __reduce__(self):
            return print, ("run",)

    torch.save({"w": Program()}, tmp_path / "net.pt")
    with pytest.raises(CorruptFileError, match="can read safely"):
        compress_file(tmp_path / "net.pt", tmp_path / "net.bpz", 0.01)


def test_the_commands_compress_and_decode(tmp_path):
    path = written(tmp_path, ".safetensors", state())
    done = CliRunner().invoke(
        app, ["compress", str(path), "-o", str(tmp_path / "m.bpz"), "--tolerance", "0.05", "--json"]
    )
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["bytes"] == (tmp_path / "m.bpz").stat().st_size
    assert 0.03 < report["relative_error"]["conv.weight"] < 0.06
    done = CliRunner().invoke(app, ["decode", str(tmp_path / "m.bpz"), "-o", str(tmp_path / "back.npz")])
    assert done.exit_code == 0, done.output
    assert np.load(tmp_path / "back.npz")["half.weight"].shape == (40, 30)


def test_rejects_a_file_by_its_ending(tmp_path):
    (tmp_path / "net.bpz").write_bytes(b"BPZ")
    result = CliRunner().invoke(app, ["compress", str(tmp_path / "net.bpz")])
    assert isinstance(result.exception, InputError)
    assert "ends in '.bpz'; weights are read from .safetensors" in str(result.exception)
