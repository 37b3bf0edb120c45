"""Networks on OpenCL: PoCL runs the same kernels as a phone's GPU."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from runner_output import report_in

import bayespress
from bayespress.deploy.bundle.format import GOLDEN_INPUT, Bundle, opened
from bayespress.deploy.compile.opencl import lower_opencl
from bayespress.deploy.compile.targets import target_named
from bayespress.deploy.devices.qemu import ARM64
from bayespress.deploy.measure.bench import bench
from bayespress.deploy.verify.tolerance import check_outputs
from bayespress.errors import InputError, MissingToolError
from zoo import ZOO

# Prints the extensions of the first device without code of this package.
ASK = """
import ctypes
cl = ctypes.CDLL("libOpenCL.so.1")
platform, device, size = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t()
assert cl.clGetPlatformIDs(1, ctypes.byref(platform), None) == 0
assert cl.clGetDeviceIDs(platform, ctypes.c_uint64(0xFFFFFFFF), 1, ctypes.byref(device), None) == 0
assert cl.clGetDeviceInfo(device, 0x1030, ctypes.c_size_t(0), None, ctypes.byref(size)) == 0
text = ctypes.create_string_buffer(size.value)
assert cl.clGetDeviceInfo(device, 0x1030, size, text, None) == 0
print(text.value.decode())
"""
pytestmark = pytest.mark.xdist_group("opencl")
FAMILIES = ("opencl", "opencl:adreno", "opencl:mali")
INTEL = Path(__file__).resolve().parents[2] / "build" / "intel-opencl"


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


@pytest.fixture
def intel(monkeypatch):
    """Use Intel's driver instead of the system's; returns whether it supports half precision."""
    library = INTEL / "lib" / "libintelocl.so"
    if not library.is_file():
        pytest.skip("Intel's OpenCL driver, which has half precision, is not installed (make intel-opencl)")
    vendors = INTEL / "vendors"
    vendors.mkdir(exist_ok=True)
    (vendors / "intel.icd").write_text(f"{library}\n")
    monkeypatch.setenv("OCL_ICD_VENDORS", f"{vendors}/")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library.parent))
    asked = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    return "cl_khr_fp16" in asked.stdout.split()


def run(
    bundle: Path, *options: str, environment: dict[str, str] | None = None, target: str = "opencl"
) -> subprocess.CompletedProcess[str]:
    folder = bundle / "targets" / target
    command = [folder / "runner", bundle / "weights.bpz", bundle / GOLDEN_INPUT, "--gpu", *options]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | (environment or {}), timeout=120
    )


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["dense", "sparse"])
@pytest.mark.parametrize("name", ZOO)
def test_every_network_agrees_with_pytorch(name, kernels, packed, pocl, tmp_path):
    manifest = bayespress.build(packed(name), ["opencl"], tmp_path / "it.bundle", kernels=kernels)
    assert {decision.kernel for decision in manifest.targets["opencl"].gpu_layers} <= {kernels}
    report = bayespress.verify(tmp_path / "it.bundle", ["opencl"])
    assert report.checks[-1].name == "golden vectors, OpenCL on this machine"
    assert report.checks[-1].outcome == "passed", report.checks[-1]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES[1:])
@pytest.mark.parametrize("name", ["residual", "strided", "mlp", "depthwise"])
def test_each_family_of_devices(name, family, packed, pocl, tmp_path):
    bayespress.build(packed(name), [family], tmp_path / "it.bundle")
    assert bayespress.verify(tmp_path / "it.bundle", ["opencl"]).passed


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["codebook", "round-off"])
def test_values_from_lookup_tables(quantizer, packed, pocl, tmp_path):
    bayespress.build(packed("padded", quantizer), ["opencl"], tmp_path / "it.bundle", kernels="sparse")
    assert "BP_LEVELS" in (tmp_path / "it.bundle" / "targets" / "opencl" / "gpu_schedule.c").read_text()
    assert bayespress.verify(tmp_path / "it.bundle", ["opencl"]).passed


def test_a_device_without_half_precision_runs_float32_kernels(packed, pocl, tmp_path):
    """Debian's PoCL does not support half, so the float32 kernels of the same bundle run."""
    bayespress.build(packed("conv"), ["opencl+fp16-products"], tmp_path / "it.bundle")
    reported = report_in(run(tmp_path / "it.bundle", target="opencl-fp16-products").stdout)
    assert reported["gpu"]["precision"] == "float32"
    (check,) = bayespress.verify(tmp_path / "it.bundle", ["opencl"]).checks[-1:]
    assert "float16" not in check.detail


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["auto", "dense"])
@pytest.mark.parametrize("name", ["conv", "residual", "strided", "mlp", "depthwise", "conv1d", "sequences"])
def test_half_precision(name, kernels, packed, intel, tmp_path):
    """Uses Intel's driver, which supports half if the processor does; otherwise it computes in float32."""
    bayespress.build(packed(name), ["opencl+fp16-products"], tmp_path / "it.bundle", kernels=kernels)
    reported = report_in(run(tmp_path / "it.bundle", target="opencl-fp16-products").stdout)
    assert reported["gpu"]["precision"] == ("float16" if intel else "float32")
    (check,) = bayespress.verify(tmp_path / "it.bundle", ["opencl"]).checks[-1:]
    assert check.outcome == "passed", check
    assert ("float16" in check.detail) == intel


def test_too_large_errors_of_half_precision_are_reported(packed, intel, tmp_path, monkeypatch):
    monkeypatch.setattr(Bundle, "golden_tolerance", lambda self, half=False: np.zeros_like(self.golden_outputs()))
    bayespress.build(packed("conv"), ["opencl+fp16-products"], tmp_path / "it.bundle")
    (check,) = bayespress.verify(tmp_path / "it.bundle", ["opencl"]).checks[-1:]
    assert check.outcome == "failed"
    assert ("build without +fp16-products" in check.detail) == intel


def test_variables_with_the_same_name_are_distinguished():
    """A cast value and the following value have the same name, and kernels identify buffers by name."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU(), torch.nn.Conv2d(3, 2, 3)).eval()
    program = torch.export.export(network, (torch.zeros(1, 1, 8, 8),))
    made = lower_opencl(program, target_named("opencl"), half=True)
    (first,) = (launch for launch in made.launches if "0" in launch.layers and not launch.once)
    shapes = sorted(view.shape for view in first.views)
    assert (3, 1, 3, 3) in shapes, "the weight"
    assert len(set(first.views)) == len(first.views)


def test_kernels_are_compiled_once(bundled, pocl, tmp_path):
    cache = tmp_path / "kernels.cache"
    first, second = (report_in(run(bundled, "--gpu-cache", str(cache)).stdout) for _ in range(2))
    assert not first["gpu"]["from_cache"]
    assert second["gpu"]["from_cache"]
    np.testing.assert_array_equal(first["outputs"], second["outputs"])
    assert list(tmp_path.iterdir()) == [cache], "nothing half-written is left"


@pytest.mark.parametrize("damage", [b"", b"short", b"BPCL0001" + bytes(4000)])
def test_a_damaged_cache_is_replaced(bundled, pocl, tmp_path, damage):
    cache = tmp_path / "kernels.cache"
    cache.write_bytes(damage)
    assert not report_in(run(bundled, "--gpu-cache", str(cache)).stdout)["gpu"]["from_cache"]
    assert report_in(run(bundled, "--gpu-cache", str(cache)).stdout)["gpu"]["from_cache"]


# Only root can change the owner of a file.
KINDS = ["others may write", "link", "pipe", "folder", *(["another user's"] if os.geteuid() == 0 else [])]


@pytest.mark.parametrize("kind", KINDS)
def test_rejects_a_cache_that_another_user_may_have_written(bundled, pocl, tmp_path, kind):
    """A compiled kernel is a program, so a forged cache would execute foreign code."""
    cache = tmp_path / "kernels.cache"
    run(bundled, "--gpu-cache", str(cache))
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600
    if kind == "others may write":
        cache.chmod(0o622)
    elif kind == "another user's":
        os.chown(cache, 12345, 12345)
    else:
        cache.rename(tmp_path / "theirs")
    if kind == "link":
        cache.symlink_to(tmp_path / "theirs")
    elif kind == "pipe":
        os.mkfifo(cache)
    elif kind == "folder":
        cache.mkdir()
    assert not report_in(run(bundled, "--gpu-cache", str(cache)).stdout)["gpu"]["from_cache"]


def test_writing_a_cache_follows_no_link(bundled, pocl, tmp_path):
    """In a shared folder, another user could place a link with a predictable name; its target must not be changed."""
    (tmp_path / "precious").write_text("mine")
    for name in ("kernels.cache", "kernels.cache.new"):
        (tmp_path / name).symlink_to(tmp_path / "precious")
    run(bundled, "--gpu-cache", str(tmp_path / "kernels.cache"))
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_cache_that_cannot_be_written_is_ignored(bundled, pocl):
    reported = report_in(run(bundled, "--gpu-cache", "/nowhere/kernels.cache").stdout)
    assert reported["gpu"] is not None


def test_times_by_kernel(bundled, pocl):
    reported = report_in(run(bundled, "--repeat", "5", "--layers").stdout)
    assert reported["run_ns"]["median"] > 0
    assert [each["kernel"] for each in reported["layers"]][-1].endswith("_kernel")
    assert all(each["mean_ns"] > 0 for each in reported["layers"])


def test_without_a_device_the_processor_is_used_and_reported(bundled, tmp_path):
    hidden = {"OCL_ICD_VENDORS": str(tmp_path)}
    done = run(bundled, environment=hidden)
    reported = report_in(done.stdout)
    assert reported["gpu"] is None
    assert done.stderr == f"runner: {reported['gpu_reason']}; running on the processor.\n"
    with opened(bundled) as bundle:
        check_outputs(np.array(reported["outputs"], np.float32), bundle.golden_outputs(), bundle.golden_tolerance())


def test_verify_reports_a_missing_device(bundled, monkeypatch, tmp_path):
    monkeypatch.setenv("OCL_ICD_VENDORS", str(tmp_path))
    with pytest.raises(MissingToolError, match=r"Device opencl cannot be used: OpenCL has no device"):
        bayespress.verify(bundled, ["opencl"])
    assert [each.outcome for each in bayespress.verify(bundled).checks if "OpenCL" in each.name] == ["skipped"]


@pytest.mark.parametrize(
    ("driver", "sentence"),
    [
        ("abort();", "it aborted; update the OpenCL driver, or hide it with OCL_ICD_VENDORS"),
        ("*(volatile int *)1 = 0;", "it accessed invalid memory; update the OpenCL driver"),
        ('puts("[driver] \\033[31mhello"); printf("bayespress");', None),
    ],
)
def test_drivers_that_crash_or_print_text(bundled, pocl, tmp_path, monkeypatch, driver, sentence):
    begin = "__attribute__((constructor)) static void begin(void)"
    (tmp_path / "driver.c").write_text(f"#include <stdio.h>\n#include <stdlib.h>\n{begin} {{ {driver} }}")
    command = ["cc", "-shared", "-fPIC", tmp_path / "driver.c", "-o", tmp_path / "driver.so"]
    subprocess.run(command, check=True, timeout=60)
    if sentence is None:
        vendors = Path(os.environ.get("OCL_ICD_VENDORS", "/etc/OpenCL/vendors"))
        for icd in vendors.glob("*.icd"):
            (tmp_path / icd.name).write_text(icd.read_text())
    (tmp_path / "bad.icd").write_text(f"{tmp_path}/driver.so\n")
    monkeypatch.setenv("OCL_ICD_VENDORS", f"{tmp_path}/")
    (check,) = bayespress.verify(bundled, ["opencl"]).checks[-1:]
    assert check.outcome == ("failed" if sentence else "passed"), check
    assert (sentence or "examples") in check.detail


@pytest.mark.slow
@pytest.mark.parametrize("target", ["adreno", "mali"])
def test_runners_for_phones_use_the_processor_without_opencl(target, packed, arm, tmp_path):
    """The static runner cannot load OpenCL, also not on a phone; only apps can, through the shared library."""
    manifest = bayespress.build(packed("conv"), [target], tmp_path / "it.bundle")
    entry = manifest.targets[target]
    assert entry.gpu
    folder = tmp_path / "it.bundle" / "targets" / target
    assert {path.name for path in folder.iterdir()} >= {"bayespress_gpu.h", "gpu_schedule.c", "libnetwork.a"}
    bundle = tmp_path / "it.bundle"
    command = [ARM64.path(), folder / "runner", bundle / "weights.bpz", bundle / GOLDEN_INPUT, "--gpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert report_in(done.stdout)["gpu_reason"] == "there is no OpenCL library"
    assert "running on the processor" in done.stderr
    assert bayespress.verify(bundle, ["qemu-arm64"]).passed


def test_rejects_threads_on_a_gpu(bundled, pocl):
    with pytest.raises(InputError, match="opencl runs one example at a time; leave --threads out"):
        bench(bundled, seconds=0.05, devices=["opencl"], threads=[2])
    (device,) = bench(bundled, seconds=0.05, devices=["opencl"]).devices
    assert device.layers


def test_rejects_invalid_families():
    with pytest.raises(InputError, match="has no GPU family 'powervr'; use one of adreno, mali"):
        target_named("opencl:powervr")
    with pytest.raises(InputError, match="has no extension 'dotprod'; use one of fp16"):
        target_named("mali+dotprod")
