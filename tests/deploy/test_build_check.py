"""`build` writes no bundle with outputs that differ from PyTorch's, and it names the first wrong operator."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

import bayespress
from bayespress.compress.packed import Packed, _export
from bayespress.compress.pipeline import compress_network
from bayespress.deploy.builder import golden_check as build_check
from bayespress.deploy.builder.locate import first_wrong_operator
from bayespress.deploy.bundle.format import opened
from bayespress.deploy.compile import aot
from bayespress.deploy.program import export
from bayespress.deploy.program.normalise import normalised
from bayespress.errors import CheckFailedError, ExitCode, InputError
from zoo import ZOO, posterior_of

pytestmark = pytest.mark.xdist_group("deploy")


def refused(packed, tmp_path, targets=("host",), outs=("it.bundle",)):
    for out in outs:
        with pytest.raises(CheckFailedError) as caught:
            bayespress.build(packed, targets, tmp_path / "out" / out)
        assert caught.value.exit_code == ExitCode.CHECK_FAILED
    assert not (tmp_path / "out").exists()
    message = str(caught.value)
    assert message.startswith("No bundle was written because ")
    assert message.count("\n") == 0
    return message


def with_outputs(packed: Path, folder: Path, change) -> Path:
    copied = Path(shutil.copytree(packed, folder / "packed"))
    arrays = load_file(copied / "golden.safetensors")
    save_file(arrays | {"output": change(arrays["output"])}, copied / "golden.safetensors")
    return copied


def test_rejects_golden_vectors_of_another_network(packed, tmp_path):
    folder = with_outputs(packed("mlp"), tmp_path, lambda y: y * np.float32(1.001))
    assert "an output of PyTorch on the exported network differs by" in refused(
        folder, tmp_path, outs=("it.bundle", "it.zip")
    )


def test_a_wrong_importer_is_detected(packed, tmp_path, monkeypatch):
    """One operator is wrong; the code for this machine is checked even if the target is another processor."""
    real = aot.lower

    def wrong(program, target, *arguments):
        nodes = normalised(program).program.graph.nodes  # TVM and later the other runtimes import this program
        changed = [node for node in nodes if node.target == torch.ops.aten.tanh.default]
        for node in changed:
            node.target = torch.ops.aten.sigmoid.default
        try:
            return real(program, target, *arguments)
        finally:
            for node in changed:
                node.target = torch.ops.aten.tanh.default

    monkeypatch.setattr(aot, "lower", wrong)
    message = refused(packed("mlp"), tmp_path, ["arm64-linux"])
    assert "an output of the code compiled for this machine differs by" in message
    assert "the first wrong values are those of aten.tanh of the layer 4" in message


def test_a_wrong_exporter_is_detected(packed, tmp_path, monkeypatch):
    real = export._exported
    monkeypatch.setattr(
        export, "_exported", lambda program, optimize: real(program, optimize=optimize).replace(b"Tanh", b"Sinh")
    )
    message = refused(packed("mlp"), tmp_path)
    assert "an output of ONNX Runtime on the exported graph differs by" in message
    assert "aten.tanh" in message


def test_a_crash_of_the_compiled_network_is_reported(packed, tmp_path, monkeypatch):
    def crash(command):
        raise CheckFailedError("The runner failed: it ended with status -11")

    monkeypatch.setattr(build_check, "run_runner", crash)
    message = refused(packed("mlp"), tmp_path)
    assert "the code compiled for this machine failed: the runner failed: it ended with status -11;" in message


def test_the_manifest_describes_the_golden_inputs(packed, pristine):
    with opened(pristine) as bundle:
        inputs, allowed = bundle.golden_inputs(), bundle.golden_tolerance()
        np.testing.assert_array_equal(bundle.real_inputs(), ZOO["mlp"].inputs().numpy())
        assert len(inputs) > len(bundle.real_inputs())
        assert allowed.shape == bundle.golden_outputs().shape
        assert not (pristine / "golden" / "half.f32").exists()


def test_binary_search_finds_the_wrong_operator():
    network = ZOO["residual"].network()
    x = ZOO["residual"].inputs(1)
    program = torch.export.export(network, (x,))

    def make_run(part):
        names = [str(node.target) for node in part.graph.nodes]
        function = build_check.program_outputs(part)
        wrong = 1.0 + 0.01 * ("aten.cat.default" in names)
        return lambda inputs: function(inputs) * np.float32(wrong)

    assert first_wrong_operator(program, x.numpy(), make_run) == "aten.cat"


class Pair(nn.Module):
    def forward(self, x, y):
        return x + y


class Kinds(nn.Module):
    """One layer with an output of the kind that a test chooses."""

    def __init__(self, kind):
        super().__init__()
        self.fc, self.kind = nn.Linear(4, 3), kind

    def forward(self, x):
        h = self.fc(x)
        return {
            "int64": lambda: h.argmax(1, keepdim=True), "bool": lambda: h > 0, "tuple": lambda: (h, h),
            "dict": lambda: {"logits": h}, "float64": lambda: h.double(), "scalar": lambda: h.sum(),
            "nan": lambda: h * float("nan"), "complex64": lambda: torch.complex(h, h), "list": lambda: [h],
            "other-shape": lambda: h[:, : 1 + int(x.sum() > 1e9)].reshape(-1),
        }[self.kind]()  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("int64", "Kinds returns int64"), ("bool", "Kinds returns bool"), ("tuple", "returns a tuple"),
        ("dict", "returns a dict"), ("float64", "Kinds returns float64"), ("scalar", r"shape \(\) for"),
        ("nan", "returns NaN or infinite values for every example"), ("complex64", "Kinds returns complex64"),
        ("list", "returns a list"),
    ],
)  # fmt: skip
def test_rejects_outputs_other_than_one_float32_tensor(kind, message, tmp_path):
    network, x = Kinds(kind).eval(), torch.randn(1, 4)
    with pytest.raises(InputError, match=message):
        Packed(b"", network, network, x, ()).write(tmp_path / "packed", name="it")
    with pytest.raises(InputError, match=message):  # in Python, any step may detect it
        bayespress.build(Packed(b"", network, network, x, ()), ["host"], tmp_path / "it.bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("network", "example", "message"),
    [
        (Kinds("int64"), (torch.randn(1, 4),), "The network's output is int64; one float32 tensor"),
        (Kinds("tuple"), (torch.randn(1, 4),), "The network has 1 inputs and 2 outputs"),
        (Pair(), (torch.randn(1, 4), torch.randn(1, 4)), "The network has 2 inputs and 1 outputs"),
        (nn.Embedding(5, 3), (torch.tensor([[1]]),), "The network's input is int64"),
        (nn.Linear(4, 3).double(), (torch.randn(1, 4).double(),), "The network's input is float64"),
    ],
)
def test_rejects_programs_of_another_kind(network, example, message, packed, tmp_path):
    """A packed directory may contain a program that another tool exported."""
    folder = Path(shutil.copytree(packed("mlp"), tmp_path / "packed"))
    torch.export.save(torch.export.export(network.eval(), example), folder / "network.pt2")
    with pytest.raises(InputError, match=message):
        bayespress.build(folder, ["host"], tmp_path / "it.bundle")
    assert not (tmp_path / "it.bundle").exists()


class Named(nn.Module):
    """A network whose weights have the names of the graph's input and output."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.input, self.output = nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(3))

    def forward(self, x):
        return (self.fc(x) + self.input) * self.output


def test_weights_named_like_input_and_output_of_the_graph(tmp_path):
    """The graph stays in single static assignment form and computes the same outputs."""
    network, x = Named().eval(), torch.randn(1, 4)
    _export(network, x, tmp_path / "it.pt2")
    program = export.load_program(tmp_path / "it.pt2")
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    outputs = build_check.graph_outputs(export.onnx_graph(program), weights)(x.numpy())
    np.testing.assert_allclose(outputs, network(x).detach().numpy(), rtol=1e-5)


def test_an_error_in_small_outputs_is_detected(tmp_path):
    """Outputs of 1e-4 with an error of 10 %, which an absolute tolerance would accept."""

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 3)

        def forward(self, x):
            return self.fc(x) * 1e-4

    network = Small()
    packed = compress_network(network, posterior_of(network), torch.randn(4, 8))
    packed.write(tmp_path / "first", name="small")
    folder = with_outputs(tmp_path / "first", tmp_path, lambda y: y + np.float32(1e-5))
    assert "differs by 1e-05 from PyTorch's" in refused(folder, tmp_path)
