"""The app's library layer with its native methods and real bundles, on a desktop JVM."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import bayespress
from bayespress.cli.app import app as cli
from bayespress.compress.pipeline import compress_network
from bayespress.compress.posterior import Posterior
from bayespress.deploy.bundle.format import opened
from bayespress.deploy.bundle.sign import new_key, sign
from bayespress.deploy.measure.report import BenchReport
from bayespress.train.data import load_data

pytestmark = [pytest.mark.xdist_group("android"), pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(built):
    return built("conv", "host")


@pytest.fixture(scope="module")
def archive(built):
    return built("conv", "host", zipped=True)


@pytest.fixture
def spoilt(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "spoilt.bundle")


@pytest.mark.parametrize("name", ["conv", "residual", "sequences", "mlp"])
def test_networks_compute_pytorch_s_outputs(name, built, desktop, tmp_path):
    reported = desktop("verify", built(name, "host"), tmp_path)
    outcomes = {check["name"]: check["outcome"] for check in reported["checks"]}
    assert outcomes == {
        "Files": "PASSED", "Decoded weights": "PASSED", "Golden vectors, processor": "PASSED",
        "Golden vectors, GPU": "SKIPPED",
    }  # fmt: skip
    assert reported["kernels"] > 0


def test_a_zip_is_unpacked_without_temporary_files(archive, desktop, tmp_path):
    reported = desktop("verify", archive, tmp_path / "kept")
    assert reported["target"] == "host"
    with opened(archive) as bundle:
        assert [path.name for path in (tmp_path / "kept").iterdir()] == [bundle.manifest.digest]


def test_a_gpu(built, desktop, tmp_path):
    if not list(Path("/etc/OpenCL/vendors").glob("*.icd")):
        pytest.skip("no OpenCL driver is installed (Debian: pocl-opencl-icd)")
    bundle = built("conv", "opencl", "host")
    reported = desktop("verify", bundle, tmp_path, "gpu")
    assert (reported["target"], reported["no_gpu"], reported["precision"]) == ("opencl", None, "float32")
    assert [check["outcome"] for check in reported["checks"]] == ["PASSED"] * 4
    measured = desktop("bench", bundle, tmp_path, tmp_path / "report.json", "gpu")
    assert measured["shares_rise"]
    report = BenchReport.read(tmp_path / "report.json")
    assert [device.device for device in report.devices] == ["Desktop Phone", "Desktop Phone, GPU"]


def test_a_bundle_without_opencl(folder, desktop, tmp_path):
    assert desktop("verify", folder, tmp_path, "gpu")["no_gpu"] == "the bundle was built without OpenCL"


def test_bench_imports_the_app_s_report(folder, desktop, tmp_path):
    desktop("bench", folder, tmp_path, tmp_path / "phone.json")
    (device,) = BenchReport.read(tmp_path / "phone.json").devices
    assert device.runs == 200
    assert 0 < device.min_us <= device.median_us <= device.p90_us <= device.p99_us
    assert device.batches[0].threads == 2
    assert len(device.layers) == desktop("verify", folder, tmp_path)["kernels"]
    options = ["bench", str(folder), "--seconds", "0.05", "--import", str(tmp_path / "phone.json"), "--json"]
    done = CliRunner().invoke(cli, options)
    assert done.exit_code == 0, done.output
    assert "Desktop Phone" in [each["device"] for each in json.loads(done.stdout)["devices"]]


def test_ten_thousand_cycles_leak_no_memory(folder, desktop):
    reported = desktop("cycles", folder, 10_000)
    assert reported["all_kb"] < reported["half_kb"] + 1024, "a leak of 200 bytes a cycle would show"


def test_four_threads_at_once(folder, desktop):
    reported = desktop("threads", folder, 300)
    assert max(reported["threads"]) <= 1.0, "of what is allowed"
    assert reported["batch"] <= 1.0


def test_invalid_calls_give_one_sentence(folder, desktop):
    reported = desktop("misuse", folder)
    wanted = [
        r"An input has \d+ numbers, not 3", r"An output has \d+ numbers, not 1",
        "one element for each kernel", "No GPU is open", "2 inputs have",
        "1000 threads are not available", r"2147483647 inputs have \d{10,} numbers", "-1 inputs have",
        "Tensor number -1 cannot be decoded", "Tensor number 1000000 cannot be decoded", "was closed; open it again",
        "was closed; open it again",
    ]  # fmt: skip
    for sentence, pattern in zip(reported, wanted, strict=True):
        assert re.search(pattern, sentence), sentence


@pytest.mark.parametrize(("name", "pattern"), [
    ("weights.bpz", "weights.bpz is not the file of"),
    ("targets/host/libnetwork.so", "libnetwork.so is not the file of"),
    ("manifest.json", "manifest.json was changed after it was built"),
])  # fmt: skip
def test_a_changed_byte_is_rejected(name, pattern, spoilt, desktop, tmp_path):
    path = spoilt / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    assert re.search(pattern, desktop.refused("verify", spoilt, tmp_path))


def test_all_files_are_checked(spoilt, desktop, tmp_path):
    (spoilt / "graph.onnx").write_bytes(b"another graph")
    (spoilt / "surplus").write_text("more")
    (files, *_) = desktop("verify", spoilt, tmp_path)["checks"]
    assert files["outcome"] == "FAILED"
    assert "graph.onnx is not the file of" in files["detail"]


def rezipped(archive, path, change):
    """The archive after `change` was applied to its files, a list of (name, bytes)."""
    with zipfile.ZipFile(archive) as source:
        files = change([(name, source.read(name)) for name in source.namelist()])
    with zipfile.ZipFile(path, "w") as target:
        for name, data in files:
            target.writestr(name, data)
    return path


def resealed(files, change):
    """Files with a changed manifest and a matching digest."""
    out = []
    for name, data in files:
        if name == "manifest.json":
            blank = re.sub(rb'"digest": "[0-9a-f]{64}"', b'"digest": ""', change(data))
            digest = hashlib.sha256(blank).hexdigest().encode()
            data = blank.replace(b'"digest": ""', b'"digest": "' + digest + b'"')
        out.append((name, data))
    return out


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("change", "pattern"), [
    (lambda files: [file for file in files if file[0] != "weights.bpz"], "weights.bpz is missing from the bundle"),
    (lambda files: [file for file in files if file[0] != "manifest.json"], "not a bundle: it has no manifest.json"),
    (lambda files: [*files, ("more", b"x")], "more is not in the manifest"),
    (lambda files: [*files, ("../more", b"x")], "../more is not in the manifest"),
    (lambda files: [*files, files[-1]], "The archive holds .* twice"),
    (lambda files: [(n, d + b"x" if n == "weights.bpz" else d) for n, d in files], "weights.bpz is larger than"),
    (lambda files: [(n, d[:-1] if n == "weights.bpz" else d) for n, d in files], "weights.bpz was changed after"),
    (lambda files: resealed(files, lambda m: m.replace(b'"version": 2', b'"version": 9')), "version 9.*update the app"),
    (lambda files: resealed(files, lambda m: m.replace(b'"name": "conv"', b'"nome": "conv"')), "json is damaged"),
    (lambda files: resealed(files, lambda m: re.sub(rb'"golden_examples": \d+', b'"golden_examples": 0', m)),
     "it has 0 golden examples"),
    (lambda files: resealed(files, lambda m: m.replace(b'"labels": [', b'"labels": ' + b"[" * 100_000 + b"[")),
     "json is damaged"),
    (lambda files: resealed(files, lambda m: m.replace(b'"original_bytes": ', b'"original_bytes": "x", "y": ')),
     "manifest.json is damaged"),
    (lambda files: resealed(files, lambda m: re.sub(rb'"input_shape": \[[^]]*', b'"input_shape": [65536, 65536', m)),
     "a shape has too many elements"),
    (lambda files: resealed(files, lambda m: re.sub(rb'"size": \d+', b'"size": 999999999999', m)), "impossible size"),
    (lambda files: resealed(files, lambda m: re.sub(rb'"size": \d+', b'"size": 500000000', m)),
     "larger than any bundle"),
    (lambda files: resealed(files, lambda m: m.replace(b"graph.onnx", b"weights.bpz")), "names a file twice"),
    (lambda files: [*files, *((f"golden/{index}", b"") for index in range(4100))], "a bundle has at most 4098"),
    (lambda files: [*files, ("manifest.sig", bytes(65))], "manifest.sig is larger than"),
    (lambda files: [*files, ("manifest.sig", bytes(63))], "signature has 63 bytes"),
    (lambda files: resealed(files, lambda m: m.replace(b'"path": "weights.bpz"', b'"path": "../weights"')),
     "weights is missing|weights.bpz is not in the manifest"),
    (lambda files: resealed([("../w" if n == "weights.bpz" else n, d) for n, d in files],
                            lambda m: m.replace(b'"path": "weights.bpz"', b'"path": "../w"')),
     "contains a file ../w outside its own folder"),
])  # fmt: skip
def test_rejects_forged_archives_and_removes_their_files(change, pattern, archive, desktop, tmp_path):
    path = rezipped(archive, tmp_path / "forged.zip", change)
    assert re.search(pattern, desktop.refused("verify", path, tmp_path / "kept"))
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.fixture
def signed(archive, tmp_path):
    """A signed zip and its public key."""
    path = Path(shutil.copy(archive, tmp_path / "signed.zip"))
    public = new_key(tmp_path / "release.pem")
    sign(path, tmp_path / "release.pem")
    return path, public


def test_a_signature_is_checked(signed, archive, desktop, tmp_path):
    path, public = signed
    other = new_key(tmp_path / "other.pem")
    reported = desktop("signed", path, tmp_path / "kept", "new", other, public)
    assert reported == {
        "outcome": "PASSED", "detail": "the manifest is signed by the owner of release.public.pem",
        "first": "Signature",
    }  # fmt: skip
    assert desktop("signed", path, tmp_path / "kept", "new")["outcome"] == "SKIPPED"
    assert desktop("signed", archive, tmp_path / "kept", "new", public)["outcome"] is None
    reported = desktop("signed", path, tmp_path / "kept", "old", public)
    assert reported["outcome"] == "SKIPPED"
    assert "this Android version cannot check it" in reported["detail"]


def test_rejects_a_signature_of_an_unknown_key(signed, archive, desktop, tmp_path):
    path, public = signed
    other = new_key(tmp_path / "other.pem")
    assert "not belong to a key that this app trusts (other.public.pem)" in desktop.refused(
        "signed", path, tmp_path / "kept", "new", other
    )
    forged = rezipped(path, tmp_path / "forged.zip", lambda files: resealed(
        files, lambda m: m.replace(b'"name": "conv"', b'"name": "evil"')))  # fmt: skip
    assert "not belong to a key" in desktop.refused("signed", forged, tmp_path / "kept", "new", public)
    for signature in (bytes(64), b"\xff" * 64):
        zeros = rezipped(archive, tmp_path / "zeros.zip", lambda files, s=signature: [*files, ("manifest.sig", s)])
        assert "not belong to a key" in desktop.refused("signed", zeros, tmp_path / "kept", "new", public)
    assert not any((tmp_path / "kept").iterdir()), "nothing of it was kept"
    (tmp_path / "bad.pem").write_text("-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----\n")
    assert "bad.pem is not a public Ed25519 key" in desktop.refused(
        "signed", path, tmp_path / "kept", "new", tmp_path / "bad.pem"
    )


def test_the_source_of_a_bundle_is_described(desktop):
    assert desktop("source", "lenet.zip", "com.android.externalstorage", "-") == (
        "“lenet.zip”, stored by com.android.externalstorage, chosen in this app"
    )
    assert desktop("source", "-", "-", "com.evil") == "“a file without a name”, sent by com.evil"
    reported = desktop("source", "safe\u202egnp.exe\nTrusted!" + "x" * 500, "a\u200bb", "-")
    assert reported.isprintable()
    assert reported.startswith("“safe?gnp.exe?Trusted!x")
    assert len(reported) < 200


def test_archives_with_changed_bytes(archive, desktop, tmp_path):
    """A changed byte that no hash covers is accepted; every other change is rejected, and no file is left."""
    reported = desktop("fuzz", archive, tmp_path / "kept", 500, 1)
    assert reported["refused"] > 400
    assert reported["left"] == 0


@pytest.mark.parametrize("keep", [0, 10, 1000, -1])
def test_rejects_truncated_archives(keep, archive, desktop, tmp_path):
    data = archive.read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[:keep] if keep >= 0 else data[: len(data) - 40])
    message = desktop.refused("verify", tmp_path / "cut.zip", tmp_path / "kept")
    assert "not a valid zip archive" in message
    assert list((tmp_path / "kept").iterdir()) == []


def test_bundles_for_other_devices(folder, built, desktop):
    assert desktop("platform", folder, platform.machine(), "false") == "host"
    message = desktop.refused("platform", folder, "aarch64", "true")
    assert "for host" in message
    assert "Android on aarch64; build it" in message
    phones = built("mlp", "arm64-android", "adreno", "opencl-android", "armv7-android", "arm64-linux")
    assert desktop("platform", phones, "aarch64", "true") == "opencl-android"
    assert desktop("platform", phones, "armv7l", "true") == "armv7-android"
    assert "no library for this system" in desktop.refused("platform", phones, "mips", "false")


def test_a_drawing_becomes_a_picture_in_mnist_s_style(desktop):
    """A drawing of any size and position fills a box of 20 pixels around its centre of mass; a dot stays a dot."""
    small, large, dot = (
        np.array(desktop("digit", strokes)).reshape(28, 28)
        for strokes in ("0.1,0.1 0.1,0.9 0.5,0.9", "10,30 10,38 14,38", "0.5,0.5")
    )
    np.testing.assert_allclose(small, large, atol=2e-3)
    assert (small.min(), small.max()) == (0.0, 1.0)
    for picture in (small, dot):
        inside = np.argwhere(picture > 0)
        assert (np.ptp(inside, axis=0) <= 21).all()
        centre = [np.average(np.arange(28) + 0.5, weights=picture.sum(axis)) for axis in (1, 0)]
        np.testing.assert_allclose(centre, 14.0, atol=0.1)
    assert (dot > 0).sum() < 20
    np.testing.assert_array_equal(desktop("digit", ""), np.zeros(784))


def test_the_workbench_goes_from_bundle_to_bundle(built, archive, desktop, tmp_path):
    """Loads a valid bundle, then an invalid one, which keeps the first one loaded, then another valid one."""
    (tmp_path / "no.zip").write_bytes(b"no zip")
    other = built("mlp", "host", zipped=True)
    first, second, third = desktop("workbench", tmp_path / "kept", archive, tmp_path / "no.zip", other)
    assert (first["name"], first["failure"], first["checks"], first["results"]) == ("conv", None, 4, 1)
    assert second["name"] == "conv"
    assert "not a valid zip archive" in second["failure"]
    assert (third["name"], third["failure"], third["checks"]) == ("mlp", None, 4)
    assert third["kept"] == 1, "the first one's folder went with it"


def test_drawings_are_recognised(desktop, tmp_path):
    """A least-squares classifier of scikit-learn's digits, which fill their pictures, as in the golden inputs."""
    data = load_data("digits")
    x, labels = data.train.inputs, data.train.targets
    inputs = torch.cat([x.flatten(1), torch.ones(len(x), 1)], 1)
    ridge = inputs.T @ inputs + 30 * torch.eye(inputs.shape[1])
    solved = torch.linalg.solve(ridge, inputs.T @ torch.nn.functional.one_hot(labels, 10).float())
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10)).eval()
    with torch.no_grad():
        network[1].weight.copy_(20 * solved[:-1].T)
        network[1].bias.copy_(20 * solved[-1])
    posterior = Posterior(dict(network.state_dict()), {"1.weight": torch.full((10, 784), 1e-8)})
    result = compress_network(network, posterior, x[:16])
    result.write(tmp_path / "packed", name="linear", labels=[str(digit) for digit in range(10)])
    bayespress.build(tmp_path / "packed", ["host"], tmp_path / "it.bundle")
    circle = " ".join(f"{0.5 + 0.22 * math.sin(t / 4):.3f},{0.5 - 0.33 * math.cos(t / 4):.3f}" for t in range(26))
    hand, *reported = desktop(
        "recognise", tmp_path / "it.bundle", circle, "0.3,0.3 0.5,0.2 0.65,0.3 0.6,0.5 0.3,0.8 0.7,0.8"
    )
    assert hand["box"] >= 26
    assert 1.2 < hand["radius"] < 2.5
    assert [each["label"] for each in reported] == ["0", "2"]
    assert all(0.0 < each["certainty"] <= 1.0 for each in reported)
