"""Inputs that `build`, `decode` to ONNX and `bench` reject without leaving files behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

import bayespress
from bayespress import codec
from bayespress.compress.pipeline import compress_network
from bayespress.deploy.bundle.format import seal
from bayespress.deploy.bundle.manifest import MANIFEST, Manifest
from bayespress.deploy.bundle.onnx import bundled_onnx
from bayespress.deploy.compile.targets import target_named
from bayespress.deploy.measure.report import BenchReport
from bayespress.deploy.program.export import fill_weights
from bayespress.deploy.verify.sessions import CompiledNetwork, onnx_session
from bayespress.errors import BayespressError, CheckFailedError, CorruptFileError, InputError
from zoo import posterior_of

pytestmark = pytest.mark.xdist_group("deploy")


def spoil_golden(change):
    def spoil(folder: Path) -> None:
        arrays = load_file(folder / "golden.safetensors")
        save_file(change(arrays), folder / "golden.safetensors")

    return spoil


def changed(bundle: Path, name: str, change) -> None:
    """Change float32 values of a bundle and write a matching manifest, as an attacker would."""
    change(np.fromfile(bundle / name, "<f4")).tofile(bundle / name)
    manifest = Manifest.parse((bundle / MANIFEST).read_bytes())
    (bundle / MANIFEST).unlink()
    seal(bundle, manifest)


def rewrite(name, change):
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return spoil


def reencode(change):
    return rewrite("weights.bpz", lambda data: codec.encode(change(codec.decode(data))))


BAD = {
    "no-record": (lambda folder: (folder / "packed.json").unlink(), "There is no packed directory's record"),
    "no-weights": (lambda folder: (folder / "weights.bpz").unlink(), "There is no weights file"),
    "no-network": (lambda folder: (folder / "network.pt2").unlink(), "There is no exported network"),
    "no-golden": (lambda folder: (folder / "golden.safetensors").unlink(), "There are no golden vectors"),
    "cut-weights": (rewrite("weights.bpz", lambda data: data[:-1]), "."),
    "cut-network": (rewrite("network.pt2", lambda data: data[:100]), "is not a torch.export program"),
    "cut-golden": (rewrite("golden.safetensors", lambda data: data[:50]), "not a whole safetensors file"),
    "other-record": (rewrite("packed.json", lambda data: data.replace(b'"name"', b'"nom"')), "record: "),
    "missing-tensor": (reencode(lambda tensors: tensors[1:]), "has no tensor 1.weight"),
    "surplus-tensor": (
        reencode(lambda tensors: [*tensors, codec.RawTensor("zz", np.zeros(1, np.float32))]),
        "holds tensor zz, which the network lacks",
    ),
    "reshaped-tensor": (
        reencode(lambda tensors: [codec.RawTensor(tensors[0].name, np.zeros((1, 1), np.float32)), *tensors[1:]]),
        "1.weight of the .bpz is not of shape",
    ),
    "nan-golden": (
        spoil_golden(lambda arrays: arrays | {"output": arrays["output"] * np.float32("nan")}),
        "golden output in .* holds NaN",
    ),
    "golden-shape": (
        spoil_golden(lambda arrays: arrays | {"input": arrays["input"][:, :, :2].copy()}),
        r"no float32 `input` of shape \(n, 1, 4, 4\)",
    ),
    "golden-count": (spoil_golden(lambda arrays: arrays | {"output": arrays["output"][:2]}), "8 inputs and 2 outputs"),
}


@pytest.mark.parametrize("case", BAD)
def test_rejects_inconsistent_packed_directories(case, packed, tmp_path):
    spoil, message = BAD[case]
    folder = Path(shutil.copytree(packed("mlp"), tmp_path / "packed"))
    spoil(folder)
    for out in ("it.bundle", "it.zip"):
        with pytest.raises(BayespressError, match=message):
            bayespress.build(folder, ["host"], tmp_path / "out" / out)
    assert not (tmp_path / "out").exists()


def test_targets(packed, tmp_path):
    with pytest.raises(InputError, match=r"no target 'toaster' .*choose one of host"):
        bayespress.build(packed("mlp"), ["host", "toaster"], tmp_path / "x")
    with pytest.raises(InputError, match="Target arm64-linux has no processor 'i486'; use one of cortex-a53, "):
        target_named("arm64-linux:i486")
    with pytest.raises(
        InputError, match="Target arm64-android has no extension 'sse'; use one of dotprod, fullfp16, i8mm"
    ):
        target_named("arm64-android+sse")
    with pytest.raises(InputError, match=r"Target host has no processor 'cortex-a53'; .* use 'host' alone"):
        target_named("host:cortex-a53")
    chosen = target_named("arm64-linux:cortex-a76+dotprod+fullfp16")
    assert chosen.compiler["mcpu"] == "cortex-a76"
    assert chosen.compiler["mattr"] == ["+neon", "+dotprod", "+fullfp16"]
    assert chosen.folder == "arm64-linux-cortex-a76-dotprod-fullfp16"
    with pytest.raises(InputError, match="list of targets is empty"):
        bayespress.build(packed("mlp"), [], tmp_path / "x")
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError, match="is a file, and the output is a bundle"):
        bayespress.build(packed("mlp"), ["host"], tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


class Halves(nn.Module):
    """A network with half-precision values between its kernels."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return torch.softmax(self.fc(x).half(), 1).cumsum(1).float()


def test_rejects_a_network_in_half_precision(tmp_path):
    network = Halves()
    packed = compress_network(network, posterior_of(network), torch.randn(2, 4))
    with pytest.raises(InputError, match=r"softmax.int in the network itself .Halves. computes in float16"):
        bayespress.build(packed, ["host"], tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


class TestOnnx:
    def test_the_graph_has_no_weights(self, pristine):
        model = onnx.load(pristine / "graph.onnx")
        names = {tensor.name for tensor in codec.decode((pristine / "weights.bpz").read_bytes())}
        assert {value.name for value in model.graph.input} == names | {"input"}
        assert not {tensor.name for tensor in model.graph.initializer} & names
        text = (pristine / "graph.onnx").read_bytes()
        assert b"/" + b"site-packages" not in text, "the graph must not carry paths of this machine"
        assert b".py" not in text

    def test_a_complete_model_from_bundle_and_packed_directory(self, packed, pristine):
        first, second = bundled_onnx(pristine), bundled_onnx(packed("mlp"))
        golden = load_file(packed("mlp") / "golden.safetensors")
        for model in (first, second):
            output = onnx_session(model).run(None, {"input": golden["input"][:1]})[0]
            np.testing.assert_allclose(output, golden["output"][:1], atol=1e-4)

    def test_rejects_a_bpz_without_a_graph(self, pristine):
        with pytest.raises(InputError, match="holds only weights and no graph"):
            bundled_onnx(pristine / "weights.bpz")

    def test_rejects_weights_of_another_network(self, pristine):
        graph = (pristine / "graph.onnx").read_bytes()
        weights = {tensor.name: tensor.values() for tensor in codec.decode((pristine / "weights.bpz").read_bytes())}
        with pytest.raises(InputError, match=r"no tensor 1\.bias"):
            fill_weights(graph, {name: array for name, array in weights.items() if name != "1.bias"})
        with pytest.raises(InputError, match="holds tensor zz, which the graph does not take"):
            fill_weights(graph, weights | {"zz": weights["1.bias"]})
        with pytest.raises(InputError, match=r"1\.bias has shape \(1,\), and the graph takes"):
            fill_weights(graph, weights | {"1.bias": np.zeros(1, np.float32)})
        with pytest.raises(CorruptFileError, match="not a sound ONNX file"):
            fill_weights(graph[:100], weights)


class TestBench:
    def test_all_contenders_are_measured(self, packed, pristine):
        report = bayespress.bench(pristine, packed("mlp"), seconds=0.1)
        assert [row.label for row in report.rows] == [
            "compiled", "ONNX Runtime, shrunk", "PyTorch, shrunk", "ONNX Runtime, original", "PyTorch, original",
        ]  # fmt: skip
        for row in report.rows:
            assert row.runs >= 20
            assert 0 < row.p10_us <= row.median_us <= row.p90_us
            assert row.ratio == pytest.approx(row.median_us / report.rows[0].median_us)
        assert report.decode_us > 0
        assert report.start_ms > 0

    def test_outputs_are_compared_before_they_are_timed(self, bundle):
        changed(bundle, "golden/output.f32", lambda values: values * np.float32(1.01))
        with pytest.raises(CheckFailedError, match=r"An output of compiled differs by .*, 0\.99 % of it"):
            bayespress.bench(bundle, seconds=0.05)

    def test_a_bundle_without_a_packed_directory(self, pristine, tmp_path):
        report = bayespress.bench(pristine, seconds=0.05)
        assert [row.label for row in report.rows] == ["compiled", "ONNX Runtime, shrunk"]
        (tmp_path / "bench.json").write_text(report.model_dump_json())
        assert BenchReport.read(tmp_path / "bench.json") == report

    @pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), 1e9])
    def test_rejects_a_measuring_time_of_zero(self, pristine, seconds):
        with pytest.raises(InputError, match="seconds is out of range"):
            bayespress.bench(pristine, seconds=seconds)

    def test_rejects_a_packed_directory_with_other_weights(self, packed, pristine):
        with pytest.raises(InputError, match="holds other weights than the bundle"):
            bayespress.bench(pristine, packed("single-layer"), seconds=0.05)

    def test_a_changed_bundle_is_not_measured(self, bundle):
        (bundle / "graph.onnx").write_bytes(b"")
        with pytest.raises(InputError, match=r"graph\.onnx is not the file"):
            bayespress.bench(bundle, seconds=0.05)

    def test_rejects_invalid_reports(self, tmp_path):
        (tmp_path / "bench.json").write_text("{}")
        with pytest.raises(InputError, match="is no bench report"):
            BenchReport.read(tmp_path / "bench.json")


@pytest.mark.parametrize("value", [-1.0, np.inf, np.nan])
def test_rejects_invalid_tolerance(bundle, value):
    changed(bundle, "golden/tolerance.f32", lambda values: np.full_like(values, value))
    report = bayespress.verify(bundle, ["host"])
    failed = [check for check in report.checks if check.outcome == "failed"]
    assert [check.name for check in failed] == ["golden vectors, ONNX Runtime", "golden vectors, host runner"]
    assert "holds a tolerance that is negative or not finite" in failed[0].detail


def test_a_library_rejects_weights_of_another_network(packed, pristine, tmp_path):
    library = pristine / "targets" / "host" / "libnetwork.so"
    with pytest.raises(InputError, match="not of this network"):
        CompiledNetwork(library, (packed("single-layer") / "weights.bpz").read_bytes())
    (tmp_path / "lib.so").write_bytes(b"no library")
    with pytest.raises(InputError, match="cannot be loaded on this machine"):
        CompiledNetwork(tmp_path / "lib.so", b"")
