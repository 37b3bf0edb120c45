"""All steps on the command line with the digits, then each command on their outputs."""

from __future__ import annotations

import json
import re
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
    """The folder of a short demo, and its JSON summary."""
    folder = tmp_path_factory.mktemp("demo")
    result = cli("demo", "--epochs", 12, "--out", "out", "--json", cwd=folder)
    return folder / "out", json.loads(result.stdout)


def test_the_demo_prints_the_main_results(made):
    folder, summary = made
    assert summary["verified"] is True
    assert summary["bpz_bytes"] == (folder / "packed" / "weights.bpz").stat().st_size
    assert summary["ratio"] == pytest.approx(266_610 * 4 / summary["bpz_bytes"])
    assert sum(summary["bytes_by_stream"].values()) == pytest.approx(summary["bpz_bytes"])
    assert 0 < summary["metric_after"] < 60
    assert {row["label"] for row in summary["latency"]} >= {"compiled", "ONNX Runtime, original", "PyTorch, shrunk"}
    page = (folder / "report.html").read_text()
    assert len(page.encode()) < 1_000_000
    packed, run = (json.loads((folder / name).read_text()) for name in ("packed/packed.json", "run/run.json"))
    examples = 360  # of the digits' test part
    for counts, metric in (
        (run["final"]["confusion"]["counts"], run["final"]["metric"]),
        (packed["confusion_before"]["counts"], summary["metric_before"]),
        (packed["confusion"]["counts"], summary["metric_after"]),
    ):
        assert sum(map(sum, counts)) == examples
        wrong = examples - sum(row[place] for place, row in enumerate(counts))
        assert 100 * wrong / examples == pytest.approx(metric)
    assert "Errors by class" in page
    assert "median of one example on" in page


def test_the_demo_uses_a_finished_run_again(made, cli):
    folder, summary = made
    result = cli("demo", "--epochs", 12, "--out", "out", cwd=folder.parent)
    assert "is there already" in result.stderr
    (folder / "demo.json").rename(folder / "mark")
    refused = cli("demo", "--epochs", 12, "--out", "out", cwd=folder.parent, code=2)
    (folder / "mark").rename(folder / "demo.json")
    assert "out/packed exists already; name another path, or give --overwrite" in refused.stderr
    assert f"{summary['bpz_bytes']:,} B" in result.stdout
    assert "verification" in result.stdout


def test_the_demo_accepts_a_user_network(cli, tmp_path):
    (tmp_path / "own_net.py").write_text(
        "from torch import nn\n"
        "def small():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.Linear(8, 10))\n"
    )
    for _ in range(2):  # the second demo uses the finished run, whose record names the network
        result = cli("demo", "--model", "own_net:small", "--epochs", 2, "--out", "out", cwd=tmp_path)
        assert "verification" in result.stdout


def test_compress_accepts_its_options(made, cli):
    folder, summary = made
    result = cli("compress", folder / "run", "--budget", 1.0, "-o", "coarse", "--json", cwd=folder)
    record = json.loads(result.stdout)
    assert [step["name"] for step in record["steps"]] == ["trained", "threshold", "remove units", "levels"]
    assert record["packed_bytes"] < summary["bpz_bytes"]


def test_a_search_keeps_its_goal_and_is_resumed(made, cli):
    """The search uses held-out data, appears in the report, and repeats no trial."""
    folder, _ = made
    searching = ("compress", folder / "run", "--max-bytes", 6000, "--storage", "s.db", "-o", "sought")
    first = cli(*searching, "--trials", 3, "--json", cwd=folder)
    record = json.loads(first.stdout)
    assert record["packed_bytes"] <= 6000
    assert record["choice"]["goal"] == "the lowest error within 6,000 bytes"
    assert record["choice"]["held_out"] == 144, "a tenth of the digits' training set"
    assert len(record["choice"]["points"]) == 3
    assert "was trained on all of its data" in first.stderr
    again = cli(*searching, "--trials", 4, "--overwrite", cwd=folder)
    assert again.stderr.count("trial") == 1
    assert "← chosen" in again.stdout
    cli("report", "sought", "-o", "sought.html", cwd=folder)
    page = (folder / "sought.html").read_text()
    assert "Search for the lowest error within 6,000 bytes" in page
    assert "fast prediction" in page
    assert "All settings of the search" in page


def test_retraining_from_the_command_line(made, cli):
    folder, _ = made
    result = cli(
        "compress",
        folder / "run",
        "--retrain",
        2,
        "--rate-weight",
        1,
        "--budget",
        1,
        "-o",
        "again",
        "--json",
        cwd=folder,
    )
    steps = json.loads(result.stdout)["steps"]
    assert [step["name"] for step in steps][-2:] == ["levels", "retrained"]
    assert "retraining, epoch 2 of 2: log loss" in result.stderr
    cli("build", "again", "-t", "host", "-o", "again.bundle", cwd=folder)
    cli("verify", "again.bundle", cwd=folder)


def test_an_unreachable_goal_writes_nothing(made, cli):
    folder, _ = made
    result = cli(
        "compress",
        folder / "run",
        "--max-bytes",
        20,
        "--trials",
        2,
        "--storage",
        "t.db",
        "-o",
        "none",
        cwd=folder,
        code=2,
    )
    assert "None of 2 settings tried gives the lowest error within 20 bytes; the closest is" in result.stderr
    assert not (folder / "none").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda tensors: tensors.pop("fc1.weight"),
            "The variance of fc1.weight has no mean of the same shape",
        ),
        (lambda tensors: tensors.pop("fc1.bias"), "The posterior lacks the network's tensor fc1.bias"),
        (lambda tensors: tensors["fc1.weight/variance"].neg_(), "The variance of fc1.weight holds negative"),
        (lambda tensors: tensors["fc2.bias"].fill_(float("nan")), "Tensor fc2.bias of the posterior holds NaN"),
    ],
    ids=["no-mean", "no-bias", "negative", "nan"],
)
def test_a_damaged_posterior_is_one_sentence(made, cli, damage, message, tmp_path):
    from safetensors.torch import load_file, save_file

    folder, _ = made
    shutil.copytree(folder / "run", tmp_path / "run")
    tensors = load_file(tmp_path / "run" / "posterior.safetensors")
    damage(tensors)
    save_file(tensors, tmp_path / "run" / "posterior.safetensors")
    result = cli("compress", "run", "-o", "packed", cwd=tmp_path, code=2)
    assert message in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("bayespress: ")
    assert not (tmp_path / "packed").exists()


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


def test_a_changed_bundle_gives_exit_code_1_and_one_sentence(made, cli):
    folder, _ = made
    copy = folder / "changed.bundle"
    shutil.copytree(folder / "lenet-300-100.bundle", copy)
    data = bytearray((copy / "graph.onnx").read_bytes())
    data[100] ^= 4
    (copy / "graph.onnx").write_bytes(data)
    result = cli("verify", copy, cwd=folder, code=1)
    assert "graph.onnx was changed after the bundle was built" in result.stderr
    assert "golden" not in result.stdout, "nothing of a changed bundle may be run"


def test_report_draws_a_picture(made, cli):
    folder, _ = made
    cli("report", folder / "packed", "--bench", folder / "bench.json", "-o", "picture.svg", cwd=folder)
    assert (folder / "picture.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(("path", "heading"), [
    ("run", "by sparse-vd"), ("packed", "Tensors of the file"), ("lenet-300-100.bundle", "Kernels of"),
    ("bench.json", "latency"),
])  # fmt: skip
def test_report_writes_a_page_for_every_kind_of_input(path, heading, made, cli, tmp_path):
    cli("report", made[0] / path, "-o", tmp_path / "page.html", cwd=tmp_path)
    page = (tmp_path / "page.html").read_text()
    assert heading in re.sub("<abbr[^>]*>|</abbr>", "", page)  # terms of the glossary are explained on hover
    assert len(page.encode()) < 1_000_000


def test_an_interrupted_run_is_resumed(cli, tmp_path):
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
