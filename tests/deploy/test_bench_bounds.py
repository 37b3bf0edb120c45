"""Inputs that `bench` rejects: numbers out of range, bundles without a target, invalid reports of other devices."""

from __future__ import annotations

import json
import os

import onnx
import pytest
from typer.testing import CliRunner

from bayespress.cli.app import app
from bayespress.deploy.measure.bench import bench
from bayespress.deploy.measure.report import BenchReport
from bayespress.deploy.program.export import fill_weights
from bayespress.deploy.verify.sessions import onnx_failures, onnx_session
from bayespress.errors import CheckFailedError, InputError, MissingToolError

pytestmark = pytest.mark.xdist_group("deploy")

DEVICE = {
    "device": "Phone", "description": "a phone", "emulated": False, "cpu": None, "governor": None,
    "temperature_c": None, "peak_kb": None, "workspace_bytes": 1, "median_us": 2.0,
    "layers": [{"kernel": "fc: dense", "mean_us": 1.0}], "batches": [{"threads": 1, "examples": 4, "median_ms": 1.0}],
}  # fmt: skip
REPORT = {"name": "net", "cpu": "a processor", "devices": [DEVICE]}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"seconds": 0.0}, "time of 0.0 seconds is out of range"),
        ({"seconds": -1.0}, "-1.0 seconds is out"),
        ({"seconds": float("nan")}, "nan seconds is out"),
        ({"seconds": 1e12}, "seconds is out of range"),
        ({"time_limit": 0.0}, "A time limit of 0.0 seconds is out of range"),
        ({"time_limit": float("inf")}, "A time limit of inf seconds"),
        ({"threads": [0]}, "on 0 threads cannot be measured"),
        ({"threads": [-1]}, "on -1 threads cannot"),
        ({"threads": [65]}, "give 1 to 1048576 examples and 1 to 64 threads"),
        ({"threads": [10**12]}, "on 1000000000000 threads cannot"),
        ({"threads": [1], "batches": [0]}, "A batch of 0 examples on 1 threads"),
        ({"threads": [1], "batches": [-5]}, "A batch of -5"),
        ({"threads": [1], "batches": [10**12]}, "A batch of 1000000000000"),
        ({"threads": [1], "batches": []}, "A batch of no examples"),
        ({"devices": ["hosts"]}, "There is no device 'hosts' .*did you mean host"),
        ({"compare": ["tensorflow"]}, "no runtime to compare with 'tensorflow'"),
    ],
)
def test_rejects_numbers_out_of_range(pristine, options, sentence):
    with pytest.raises(InputError, match=sentence):
        bench(pristine, **{"seconds": 0.05} | options)


def test_rejects_batches_larger_than_memory(pristine, monkeypatch):
    from bayespress.deploy.measure import device as device_bench

    monkeypatch.setattr(device_bench, "_LARGEST_BATCH_BYTES", 1000)
    with pytest.raises(
        InputError, match=r"A batch of 256 examples of this network takes [\d,]+ bytes; give at most \d"
    ):
        bench(pristine, seconds=0.05, compare=[], threads=[1])


@pytest.mark.parametrize("name", ["qemu-arm64", "wasm", "opencl"])
def test_rejects_bundles_without_a_target(pristine, name):
    with pytest.raises(MissingToolError, match=f"Device {name} cannot be used: the bundle has no .*target.*; build"):
        bench(pristine, seconds=0.05, devices=[name])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--threads", "1e12"], "'1e12' is not a whole number"),
        (["--threads", "-1"], "'-1' is not a whole number"),
        (["--threads", "²"], "'²' is not a whole number"),
        (["--threads", "9" * 5000], "is not a whole number"),
        (["--threads", "\x1b[31m"], "'\\\\x1b[31m' is not a whole number"),
        (["--threads", "1", "--batch", "0x10"], "'0x10' is not a whole number"),
        (["--threads", "1", "--batch", "1.5"], "'1.5' is not a whole number"),
    ],
)
def test_rejects_invalid_numbers(pristine, arguments, sentence):
    done = CliRunner().invoke(app, ["bench", str(pristine), *arguments])
    assert isinstance(done.exception, InputError)
    assert sentence.replace("\\\\", "\\") in str(done.exception).replace("\\\\", "\\")
    assert len(str(done.exception)) < 300


def test_imports_a_report_of_another_device(tmp_path):
    (tmp_path / "phone.json").write_text(json.dumps(REPORT | {"cpu": "\x1b[31m[red]x\u202e"}))
    report = BenchReport.read(tmp_path / "phone.json")
    assert report.cpu == "\\x1b[31m[red]x\\u202e"
    done = CliRunner().invoke(app, ["bench", "--import", str(tmp_path / "phone.json")])
    assert done.exit_code == 0, done.output
    assert "4,000 examples per second" in done.output


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 1_000_000,
        b'{"devices":' * 100_000,
        json.dumps(REPORT | {"surplus": 1}),
        json.dumps(REPORT | {"name": 7}),
        json.dumps(REPORT | {"name": "x" * 100_000}),
        json.dumps(REPORT | {"\x1b[31m" * 1000: 7}),
        json.dumps(REPORT | {"devices": [DEVICE | {"median_us": float("nan")}]}),
        json.dumps(REPORT | {"devices": [DEVICE | {"median_us": float("inf")}]}),
        json.dumps(REPORT | {"devices": [DEVICE | {"median_us": -1.0}]}),
        json.dumps(REPORT | {"devices": [DEVICE | {"workspace_bytes": 1.5}]}),
        json.dumps(REPORT | {"devices": [DEVICE | {"batches": [{"threads": 1, "examples": 1, "median_ms": 0}]}]}),
        json.dumps(REPORT | {"devices": {}}),
        json.dumps({"name": "net"}),
    ],
)
def test_rejects_anything_but_a_report(tmp_path, content):
    path = tmp_path / "phone.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match="is no bench report") as caught:
        BenchReport.read(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_rejects_paths_without_a_report(tmp_path):
    with pytest.raises(InputError, match="There is no bench report at"):
        BenchReport.read(tmp_path / "none.json")
    with pytest.raises(InputError, match="is a folder, and a regular file is needed"):
        BenchReport.read(tmp_path)
    os.mkfifo(tmp_path / "pipe.json")  # without a writer, opening it would block without end
    with pytest.raises(InputError, match="is a pipe, and a regular file is needed"):
        BenchReport.read(tmp_path / "pipe.json")
    with (tmp_path / "large.json").open("wb") as large:
        large.truncate(1 << 40)
    with pytest.raises(InputError, match="at most 16,777,216 are allowed"):
        BenchReport.read(tmp_path / "large.json")


def test_an_error_of_onnx_runtime_becomes_one_sentence():
    shape = [1, 4]
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("input", "output")]
    node = onnx.helper.make_node("Strange", ["input"], ["output"], domain="of.a.stranger")
    graph = onnx.helper.make_graph([node], "it", value[:1], value[1:])
    opsets = [onnx.helper.make_opsetid("", 20), onnx.helper.make_opsetid("of.a.stranger", 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    filled = fill_weights(model.SerializeToString(), {})
    wanted = r"ONNX Runtime cannot run the graph \(.*\); build the bundle again."
    with pytest.raises(CheckFailedError, match=wanted), onnx_failures():
        onnx_session(filled)
