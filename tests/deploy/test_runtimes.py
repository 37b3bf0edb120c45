"""Every runtime computes PyTorch's outputs for every network of the zoo."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
import torch
from runner_output import report_in

import bayespress
from bayespress.compress.pipeline import compress_network
from bayespress.deploy.bundle.format import GOLDEN_INPUT, opened
from bayespress.deploy.compile.toolchain import c_compiler
from bayespress.deploy.devices import connected, wasm
from bayespress.deploy.devices.qemu import ARM64
from bayespress.deploy.devices.report import RunRequest
from bayespress.deploy.devices.wasm import WebAssembly
from bayespress.deploy.verify.sessions import CompiledNetwork
from bayespress.deploy.verify.tolerance import allowed_difference, check_outputs
from bayespress.errors import CheckFailedError, InputError
from bayespress.train.models import lenet_5_caffe
from zoo import ZOO, posterior_of

EXPECTED = [
    "files",
    "weights",
    "golden vectors, ONNX Runtime",
    "golden vectors, host runner",
    "golden vectors, aarch64 runner under qemu-aarch64",
]
FOREIGN = (
    "armv7-linux:cortex-a9", "riscv64-linux", "arm64-android:cortex-a76+dotprod+fullfp16", "x86_64-linux",
    "wasm32-wasi",
)  # fmt: skip


@pytest.mark.parametrize("kernels", ["dense", "sparse"])
@pytest.mark.parametrize("name", ZOO)
def test_every_runtime_agrees_with_pytorch(name, kernels, packed, arm, tmp_path):
    manifest = bayespress.build(packed(name), ["host", "arm64-linux"], tmp_path / "it.bundle", kernels=kernels)
    assert {choice.kernel for choice in manifest.targets["host"].layers} <= {kernels}
    report = bayespress.verify(tmp_path / "it.bundle")
    assert [check.name for check in report.checks] == EXPECTED
    assert [check.outcome for check in report.checks] == ["passed"] * len(EXPECTED), report.checks


@pytest.mark.parametrize(("name", "quantizer"), [("padded", "codebook"), ("padded", "round-off")])
def test_values_from_lookup_tables(name, quantizer, packed, arm, tmp_path):
    """A sparse kernel stores codebook indices and small floats as levels, with a table of their values."""
    bayespress.build(packed(name, quantizer), ["host", "arm64-linux"], tmp_path / "it.bundle", kernels="sparse")
    schedule = (tmp_path / "it.bundle" / "targets" / "host" / "schedule.c").read_text()
    assert "BP_LEVELS" in schedule
    report = bayespress.verify(tmp_path / "it.bundle")
    assert [check.outcome for check in report.checks] == ["passed"] * len(EXPECTED), report.checks


@pytest.mark.slow
@pytest.mark.parametrize("name", ["residual", "depthwise", "conv1d", "constants", "sequences"])
def test_other_processors_agree_with_pytorch(name, packed, arm, tmp_path):
    bayespress.build(packed(name), FOREIGN, tmp_path / "it.bundle")
    report = bayespress.verify(tmp_path / "it.bundle")
    foreign = {check.name: check.outcome for check in report.checks[3:]}
    assert foreign == {
        "golden vectors, host runner": "passed",
        "golden vectors, aarch64 runner under qemu-aarch64": "passed",
        "golden vectors, armv7l runner under qemu-arm": "passed",
        "golden vectors, riscv64 runner under qemu-riscv64": "passed",
        "golden vectors, WebAssembly runner in wasmtime": "passed",
    }, report.checks


@pytest.mark.slow
def test_webassembly(packed, tmp_path, monkeypatch):
    """Errors of the runner and a missing wasmtime are reported."""
    bundle = tmp_path / "it.bundle"
    bayespress.build(packed("mlp"), ["wasm32-wasi"], bundle)
    with opened(bundle) as it:
        session = connected(WebAssembly(), it)
        (tmp_path / "short.f32").write_bytes(b"1234")
        with pytest.raises(CheckFailedError, match=r"The runner failed on wasm: .* has 4 bytes, and one input has"):
            session.run(tmp_path / "short.f32")
        assert session.run(bundle / GOLDEN_INPUT, RunRequest(repeat=2, layers=True)).layers
        with pytest.raises(InputError, match="Device wasm has one thread"):
            session.run(bundle / GOLDEN_INPUT, RunRequest(repeat=2, threads=2))
        monkeypatch.setattr(wasm, "find_spec", lambda _name: None)
        assert WebAssembly().connect(it).reason == "wasmtime is not installed (pip install wasmtime)"


@pytest.mark.slow
def test_the_static_library_links_into_a_user_program(packed, arm, tmp_path):
    """Compiles a program with the header and the library, as an app does, and runs it."""
    bundle = tmp_path / "it.bundle"
    bayespress.build(packed("mlp"), ["arm64-android"], bundle)
    target = bundle / "targets" / "arm64-android"
    (tmp_path / "app.c").write_text(
        """#include "bayespress.h"
        #include <stdio.h>
        #include <stdlib.h>
        int main(int argc, char **argv) {
            static unsigned char bpz[1 << 20];
            FILE *file = fopen(argv[argc - 1], "rb");
            size_t size = fread(bpz, 1, sizeof bpz, file);
            bp_network network;
            float input[16] = {0}, output[4];
            void *workspace = aligned_alloc(BP_ALIGNMENT, (bp_workspace_size() + 63) / 64 * 64);
            if (bp_input_size() != 16 || bp_output_size() != 4) return 2;
            if (bp_load(&network, bpz, size, workspace, bp_workspace_size()) != BP_OK) return 3;
            if (bp_run(&network, input, output) != BP_OK) return 4;
            printf("%.6f %.6f %.6f %.6f", output[0], output[1], output[2], output[3]);
            return 0;
        }"""
    )
    compiler = c_compiler("aarch64-linux-musl")
    app = tmp_path / "app"
    command = [*compiler, "-std=c11", "-static", "-I", target, tmp_path / "app.c", target / "libnetwork.a", "-lm"]
    subprocess.run([*command, "-o", app], check=True)
    reported = subprocess.run([ARM64.path(), app, bundle / "weights.bpz"], capture_output=True, text=True, check=True)
    with torch.no_grad():
        expected = torch.export.load(packed("mlp") / "network.pt2").module()(torch.zeros(1, 1, 4, 4))
    # The program prints six decimals.
    np.testing.assert_allclose([float(word) for word in reported.stdout.split()], expected[0].numpy(), atol=2e-6)


@pytest.mark.slow
def test_lenet_5_caffe_on_inputs_of_its_size(arm, tmp_path):
    torch.manual_seed(0)
    network = lenet_5_caffe()
    examples = torch.rand(8, 1, 28, 28)
    packed = compress_network(network, posterior_of(network, dropped=0.98), examples)
    bayespress.build(packed, ["host", "arm64-linux"], tmp_path / "lenet.bundle")
    report = bayespress.verify(tmp_path / "lenet.bundle")
    assert [check.outcome for check in report.checks] == ["passed"] * len(EXPECTED), report.checks
    runner = tmp_path / "lenet.bundle" / "targets" / "arm64-linux" / "runner"
    assert runner.stat().st_size < 200_000, "a static runner is to stay under 200 KB"


@pytest.mark.xdist_group("deploy")
class TestTheHostBuild:
    """Compared with PyTorch directly, on other inputs than the golden ones."""

    @pytest.fixture(scope="class")
    @staticmethod
    def case(packed, pristine):
        x = torch.randn(5, 1, 4, 4)
        with torch.no_grad():
            network = torch.export.load(packed("mlp") / "network.pt2").module()
            expected = np.concatenate([network(each[None]).numpy() for each in x])
        return x.numpy(), expected, allowed_difference(network, x.numpy(), expected)

    def test_shared_library(self, pristine, case):
        x, expected, allowed = case
        with opened(pristine) as bundle:
            compiled = CompiledNetwork(
                pristine / bundle.manifest.targets["host"].library, (pristine / "weights.bpz").read_bytes()
            )
        got = np.stack([compiled.run(np.ascontiguousarray(each)).copy() for each in x])
        check_outputs(got, expected, allowed)

    @pytest.mark.parametrize("threads", [1, 2, 7])
    def test_batches_on_several_threads(self, pristine, case, threads):
        x, expected, allowed = case
        library = pristine / "targets" / "host" / "libnetwork.so"
        compiled = CompiledNetwork(library, (pristine / "weights.bpz").read_bytes())
        many = np.ascontiguousarray(np.resize(x, (203, *x.shape[1:])))
        got = compiled.run_batch(many, threads)
        shape = (203, expected.shape[1])
        check_outputs(got, np.resize(expected, shape), np.resize(allowed, shape))
        assert compiled.run_batch(many[:0], threads).shape == (0, expected.shape[1])

    def test_runner(self, pristine, case, tmp_path):
        x, expected, allowed = case
        x.astype("<f4").tofile(tmp_path / "x.f32")
        command = [pristine / "targets" / "host" / "runner", pristine / "weights.bpz", tmp_path / "x.f32"]
        result = subprocess.run([*command, "--repeat", "50", "--layers"], capture_output=True, text=True, check=True)
        reported = report_in(result.stdout)
        check_outputs(np.array(reported["outputs"], np.float32), expected, allowed)
        times = reported["run_ns"]
        assert 0 < times["min"] <= times["p10"] <= times["median"] <= times["p90"] <= times["p99"]
        assert times["repeat"] == 50
        assert len(reported["layers"]) >= 3
        assert all(layer["mean_ns"] > 0 for layer in reported["layers"])
        assert reported["load_ns"] > 0

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            ([], 2, "usage: runner WEIGHTS.bpz INPUT.f32"),
            (["W"], 2, "usage:"),
            (["W", "X", "X"], 2, "usage:"),
            (["W", "X", "--unknown"], 2, "usage:"),
            (["W", "X", "--repeat"], 2, "--repeat needs a number from 0 to 100000000, not nothing"),
            (["W", "X", "--repeat", "-3"], 2, "not -3"),
            (["W", "X", "--warmup", "3x"], 2, "not 3x"),
            (["missing", "X"], 2, "missing cannot be read"),
            (["W", "/"], 2, "/ cannot be read"),
            (["W", "EMPTY"], 2, "has 0 bytes, and one input has 64"),
            (["W", "ODD"], 2, "has 65 bytes, and one input has 64"),
            (["X", "X"], 1, "the .bpz file cannot be decoded (status 1)"),
            (["FLIPPED", "X"], 1, "the .bpz file cannot be decoded (status 1)"),
            (["OTHER", "X"], 1, "not of this network"),
            (["SURPLUS", "X"], 1, "not of this network"),
            (["RESHAPED", "X"], 1, "not of this network"),
        ],
    )
    def test_the_runner_rejects_invalid_arguments(self, pristine, packed, tmp_path, arguments, code, message):
        from bayespress import codec

        weights = (pristine / "weights.bpz").read_bytes()
        tensors = codec.decode(weights)
        reshaped = codec.RawTensor(tensors[0].name, tensors[0].values().T.copy())
        surplus = codec.RawTensor("surplus", np.zeros(1, np.float32))
        files = {
            "W": weights,
            "X": (pristine / GOLDEN_INPUT).read_bytes(),
            "EMPTY": b"",
            "ODD": bytes(65),
            "FLIPPED": weights[:30] + bytes([weights[30] ^ 8]) + weights[31:],
            "OTHER": (packed("single-layer") / "weights.bpz").read_bytes(),
            "SURPLUS": codec.encode([*tensors, surplus]),
            "RESHAPED": codec.encode([reshaped, *tensors[1:]]),
        }
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        runner = pristine / "targets" / "host" / "runner"
        result = subprocess.run([runner, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == code
        assert message in result.stderr
        assert result.stdout == ""
        assert result.stderr.count("\n") == 1, "one sentence"
