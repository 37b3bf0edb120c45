"""The whole path through the command line, once, on the digits; then each command on what it made."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

pytestmark = [pytest.mark.xdist_group("cli-pipeline"), pytest.mark.slow]


@pytest.fixture(scope="module")
def cli():
    def run(*arguments, cwd, code=0):
        result = subprocess.run(
            [sys.executable, "-m", "bayespress", *map(str, arguments)],
            cwd=cwd, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == code, result.stdout + result.stderr
        return result

    return run


@pytest.fixture(scope="module")
def made(cli, tmp_path_factory):
    """Folder of a short demo run, and its JSON summary."""
    folder = tmp_path_factory.mktemp("demo")
    result = cli("demo", "--epochs", 12, "--out", "out", "--json", cwd=folder)
    return folder / "out", json.loads(result.stdout)


def test_the_demo_says_what_a_user_wants_to_see(made):
    folder, summary = made
    assert summary["verified"] is True
    assert summary["bpz_bytes"] == (folder / "packed" / "weights.bpz").stat().st_size
    assert summary["ratio"] == pytest.approx(266_610 * 4 / summary["bpz_bytes"])
    assert sum(summary["bytes_by_stream"].values()) == pytest.approx(summary["bpz_bytes"])
    assert 0 < summary["error_after_percent"] < 60
    assert {row["label"] for row in summary["latency"]} >= {"compiled", "ONNX Runtime, original", "PyTorch, shrunk"}
    assert (folder / "report.html").read_text().count("<svg") == 1


def test_the_demo_uses_a_finished_run_again(made, cli):
    folder, summary = made
    result = cli("demo", "--epochs", 12, "--out", folder, cwd=folder)
    assert "is there already" in result.stderr
    assert f"{summary['bpz_bytes']:,} B" in result.stdout
    assert "verification" in result.stdout


def test_compress_knows_its_knobs(made, cli):
    folder, summary = made
    result = cli("compress", folder / "run", "--budget", 1.0, "-o", "coarse", "--json", cwd=folder)
    record = json.loads(result.stdout)
    assert [step["name"] for step in record["steps"]] == ["trained", "threshold", "strike", "levels"]
    assert record["packed_bytes"] < summary["bpz_bytes"]


def test_build_as_zip_verifies_and_decodes(made, cli):
    folder, _ = made
    cli("build", folder / "packed", "-t", "host", "-o", "lenet.zip", cwd=folder)
    report = json.loads(cli("verify", "lenet.zip", "--json", cwd=folder).stdout)
    assert {check["outcome"] for check in report["checks"]} <= {"passed", "skipped"}
    for name in ("w.onnx", "w.npz", "w.safetensors"):
        cli("decode", "lenet.zip", "-o", name, cwd=folder)
    from safetensors.numpy import load_file

    arrays, tensors = np.load(folder / "w.npz"), load_file(folder / "w.safetensors")
    assert set(arrays.files) == set(tensors)
    assert all(np.array_equal(arrays[name], tensors[name]) for name in tensors)


def test_a_decoded_onnx_model_runs(made, cli):
    import onnxruntime

    folder, summary = made
    cli("decode", summary["bundle"].removeprefix("out/"), "-o", "whole.onnx", cwd=folder)
    session = onnxruntime.InferenceSession(str(folder / "whole.onnx"))
    inputs = np.fromfile(folder / "lenet-300-100.bundle" / "golden" / "input.f32", "<f4").reshape(-1, 1, 28, 28)
    outputs = np.fromfile(folder / "lenet-300-100.bundle" / "golden" / "output.f32", "<f4").reshape(-1, 10)
    got = np.concatenate([session.run(None, {"input": example[None]})[0] for example in inputs])
    np.testing.assert_allclose(got, outputs, atol=1e-4)


def test_a_changed_bundle_ends_with_1_and_one_sentence(made, cli):
    folder, _ = made
    copy = folder / "changed.bundle"
    shutil.copytree(folder / "lenet-300-100.bundle", copy)
    data = bytearray((copy / "graph.onnx").read_bytes())
    data[100] ^= 4
    (copy / "graph.onnx").write_bytes(data)
    result = cli("verify", copy, cwd=folder, code=1)
    assert "graph.onnx was changed since the bundle was built" in result.stderr
    assert "golden" not in result.stdout, "nothing of a changed bundle may be run"


def test_report_draws_a_picture(made, cli):
    folder, _ = made
    cli("report", folder / "packed", "--bench", folder / "bench.json", "-o", "picture.svg", cwd=folder)
    assert (folder / "picture.svg").read_text().startswith("<?xml")


def test_an_interrupted_run_goes_on(cli, tmp_path):
    train = ["train", "--epochs", 40, "--batch-size", 200, "-o", "run"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bayespress", *map(str, train)], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "epoch 2/40" in line:
            process.kill()
            break
    process.communicate()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "running"
    cli("compress", "run", cwd=tmp_path, code=2)
    cli("train", "--resume", "run", cwd=tmp_path)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "complete"
    assert [metrics["epoch"] for metrics in record["metrics"]] == list(range(40))
