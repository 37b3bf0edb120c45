"""Networks on OpenCL, for real: PoCL runs the kernels that a phone's GPU would."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import bayespress
from bayespress.deploy.bench import bench
from bayespress.deploy.bundle import GOLDEN_INPUT, opened
from bayespress.deploy.devices.qemu import ARM64
from bayespress.deploy.targets import target_named
from bayespress.errors import InputError, MissingToolError
from zoo import ZOO

pytestmark = pytest.mark.xdist_group("opencl")
FAMILIES = ("opencl", "opencl:adreno", "opencl:mali")


@pytest.fixture(scope="module")
def pocl():
    vendors = Path(os.environ.get("OCL_ICD_VENDORS", "/etc/OpenCL/vendors"))
    if not list(vendors.glob("*.icd")):
        pytest.skip(
            "no OpenCL driver, which runs GPU kernels, is installed (Debian: pocl-opencl-icd ocl-icd-libopencl1)"
        )


@pytest.fixture(scope="module")
def bundled(packed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("opencl") / "conv.bundle"
    bayespress.build(packed("conv"), ["opencl"], folder)
    return folder


def run(bundle: Path, *options: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    target = bundle / "targets" / "opencl"
    command = [target / "runner", bundle / "weights.bpz", bundle / GOLDEN_INPUT, "--gpu", *options]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | (environment or {}), timeout=120
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_every_network_agrees_with_pytorch(name, packed, pocl, tmp_path):
    bayespress.build(packed(name), ["opencl"], tmp_path / "it.bundle")
    report = bayespress.verify(tmp_path / "it.bundle", ["opencl"])
    assert report.checks[-1].name == "golden vectors, OpenCL on this machine"
    assert report.checks[-1].outcome == "passed", report.checks[-1]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES[1:])
@pytest.mark.parametrize("name", ["residual", "strided", "mlp", "depthwise"])
def test_each_family_of_devices(name, family, packed, pocl, tmp_path):
    bayespress.build(packed(name), [family], tmp_path / "it.bundle")
    assert bayespress.verify(tmp_path / "it.bundle", ["opencl"]).passed


def test_kernels_are_compiled_once(bundled, pocl, tmp_path):
    cache = tmp_path / "kernels.cache"
    first, second = (json.loads(run(bundled, "--gpu-cache", str(cache)).stdout) for _ in range(2))
    assert not first["gpu"]["from_cache"]
    assert second["gpu"]["from_cache"]
    np.testing.assert_array_equal(first["outputs"], second["outputs"])
    assert list(tmp_path.iterdir()) == [cache], "nothing half-written is left"


@pytest.mark.parametrize("damage", [b"", b"short", b"BPCL0001" + bytes(4000)])
def test_a_damaged_cache_is_made_anew(bundled, pocl, tmp_path, damage):
    cache = tmp_path / "kernels.cache"
    cache.write_bytes(damage)
    assert not json.loads(run(bundled, "--gpu-cache", str(cache)).stdout)["gpu"]["from_cache"]
    assert json.loads(run(bundled, "--gpu-cache", str(cache)).stdout)["gpu"]["from_cache"]


def test_a_cache_that_cannot_be_written_is_no_failure(bundled, pocl):
    said = json.loads(run(bundled, "--gpu-cache", "/nowhere/kernels.cache").stdout)
    assert said["gpu"] is not None


def test_times_by_kernel(bundled, pocl):
    said = json.loads(run(bundled, "--repeat", "5", "--layers").stdout)
    assert said["run_ns"]["median"] > 0
    assert [each["kernel"] for each in said["layers"]][-1].endswith("_kernel")
    assert all(each["mean_ns"] > 0 for each in said["layers"])


def test_without_a_device_the_processor_steps_in_and_says_so(bundled, tmp_path):
    hidden = {"OCL_ICD_VENDORS": str(tmp_path)}
    done = run(bundled, environment=hidden)
    said = json.loads(done.stdout)
    assert said["gpu"] is None
    assert done.stderr == f"runner: {said['gpu_reason']}; running on the processor.\n"
    with opened(bundled) as bundle:
        expected = bundle.golden_outputs()
    np.testing.assert_allclose(said["outputs"], expected.reshape(len(expected), -1), atol=1e-4)


def test_verify_tells_when_there_is_no_device(bundled, monkeypatch, tmp_path):
    monkeypatch.setenv("OCL_ICD_VENDORS", str(tmp_path))
    with pytest.raises(MissingToolError, match=r"Device opencl cannot be used: OpenCL has no device"):
        bayespress.verify(bundled, ["opencl"])
    assert [each.outcome for each in bayespress.verify(bundled).checks if "OpenCL" in each.name] == ["skipped"]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["adreno", "mali"])
def test_phones_get_the_same_with_the_processor_standing_by(target, packed, arm, tmp_path):
    """The runner is static and finds no OpenCL, on a phone either: that is for apps, which link the library."""
    manifest = bayespress.build(packed("conv"), [target], tmp_path / "it.bundle")
    entry = manifest.targets[target]
    assert entry.gpu
    folder = tmp_path / "it.bundle" / "targets" / target
    assert {path.name for path in folder.iterdir()} >= {"bayespress_gpu.h", "gpu_schedule.c", "libnetwork.a"}
    bundle = tmp_path / "it.bundle"
    command = [ARM64.path(), folder / "runner", bundle / "weights.bpz", bundle / GOLDEN_INPUT, "--gpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout)["gpu_reason"] == "there is no OpenCL library"
    assert "running on the processor" in done.stderr
    assert bayespress.verify(bundle, ["qemu-arm64"]).passed


def test_threads_are_the_processor_s(bundled, pocl):
    with pytest.raises(InputError, match="opencl runs one example at a time; leave --threads out"):
        bench(bundled, seconds=0.05, devices=["opencl"], threads=[2])
    (device,) = bench(bundled, seconds=0.05, devices=["opencl"]).devices
    assert device.layers


def test_families_that_are_none():
    with pytest.raises(InputError, match="knows no family of GPUs 'powervr'; there are adreno, mali"):
        target_named("opencl:powervr")
