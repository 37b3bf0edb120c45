"""The libraries for Android phones, made by the project's cross-compiler."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from bayespress.deploy.bundle.format import opened
from bayespress.deploy.compile.android import API, PAGE_BYTES, link_for_android, system_names
from bayespress.deploy.compile.targets import all_targets, target_named
from bayespress.deploy.compile.toolchain import c_compiler
from bayespress.deploy.devices.qemu import ARM64

pytestmark = [pytest.mark.xdist_group("android"), pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "android_demo"
ANDROID = {target.name: target for target in all_targets() if target.android}
CPP = APP / "app" / "src" / "main" / "cpp"
STRICT = (
    "-std=gnu99",
    "-O2",
    "-fPIC",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Werror",
)


@pytest.fixture(scope="module")
def libraries(built):
    """The libnetwork.so of every target for Android, by the name of the target."""
    bundle = built("conv", *ANDROID)
    with opened(bundle) as it:
        return {name: bundle / it.manifest.targets[name].library for name in ANDROID}


@pytest.fixture(scope="module")
def jni(java, tmp_path_factory):
    """The JNI library for 64-bit phones; for 32 bits, the substitutes for bionic's headers have another time_t."""
    target = target_named("arm64-android")
    scratch = tmp_path_factory.mktemp("jni")
    headers = java.parent / "include"
    compiler = [*c_compiler(target.triple), *target.flags, *STRICT]
    include = [f"-I{ROOT / 'codec' / 'c'}", f"-I{ROOT / 'deploy' / 'runtime'}", "-isystem", headers, "-isystem",
               headers / "linux"]  # fmt: skip
    objects = []
    decoder = [path for path in (ROOT / "codec" / "c").glob("*.c") if path.name != "encode.c"]
    for source in sorted([*CPP.glob("*.c"), *decoder]):
        objects.append(scratch / f"{source.stem}.o")
        command = [*compiler, *include, "-c", source, "-o", objects[-1]]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    exported = scratch / "exported.map"
    exported.write_text("{ global: Java_*; local: *; };")
    made = scratch / "libbayespress_jni.so"
    link_for_android(compiler, target.machine, objects, exported, scratch, made)
    return made


def described(path: Path):
    """The exported symbols, imported symbols, needed libraries and segments of a library."""
    with path.open("rb") as stream:
        elf = ELFFile(stream)
        symbols = [(s.name, s["st_shndx"]) for s in elf.get_section_by_name(".dynsym").iter_symbols()]
        segments = [(s["p_type"], s["p_align"], s["p_flags"]) for s in elf.iter_segments()]
        dynamic = list(elf.get_section_by_name(".dynamic").iter_tags())
        needed = {tag.needed for tag in dynamic if tag.entry.d_tag == "DT_NEEDED"}
        tags = {tag.entry.d_tag for tag in dynamic}
    offered = {name for name, section in symbols if section != "SHN_UNDEF" and name}
    wanted = {name for name, section in symbols if section == "SHN_UNDEF" and name}
    return offered, wanted, needed, segments, tags


def check_loadable(path: Path, machine: str) -> set[str]:
    """Check the requirements of all Android linkers, and return the exported symbols."""
    offered, wanted, needed, segments, tags = described(path)
    names = system_names()
    there = {name for library in ("libc", "libm", "libdl") for name in names[library]}
    if machine == "armv7l":
        there |= set(names["libc arm"])
    assert wanted <= there, f"not on every Android of API {API}: {wanted - there}"
    assert needed <= {"libc.so", "libm.so", "libdl.so"}
    loads = [segment for segment in segments if segment[0] == "PT_LOAD"]
    assert {align for _, align, _ in loads} == {PAGE_BYTES}
    assert not any(flags & 3 == 3 for _, _, flags in loads), "no page is to be written and run"
    assert "PT_TLS" not in {kind for kind, _, _ in segments}, "bionic has no thread-local variables before API 29"
    assert "DT_TEXTREL" not in tags
    assert "DT_SONAME" in tags
    return offered


@pytest.mark.parametrize("name", ANDROID)
def test_android_can_load_a_bundle_s_library(name, libraries):
    offered = check_loadable(libraries[name], ANDROID[name].machine)
    assert {"bp_load", "bp_run", "bp_run_batch", "bp_fork"} <= offered
    assert all(each.startswith("bp_") for each in offered), offered
    assert ("bp_gpu_open" in offered) == (ANDROID[name].gpu is not None)


def test_android_can_load_the_jni_library_and_it_exports_all_native_methods(jni):
    source = (APP / "model/src/main/kotlin/dev/bayespress/model/Native.kt").read_text()
    called = set(re.findall(r"external fun (\w+)\(", source))
    assert check_loadable(jni, "aarch64") == {f"Java_dev_bayespress_model_Native_{name}" for name in called}


def test_rejects_a_library_with_newer_symbols(tmp_path):
    """reallocarray exists only since API 29."""
    compiler = c_compiler(target_named("arm64-android").triple)
    (tmp_path / "it.c").write_text("void *reallocarray(void *, unsigned long, unsigned long);\n"
                                   "void *bp_it(void) { return reallocarray(0, 1, 1); }\n")  # fmt: skip
    subprocess.run([*compiler, "-fPIC", "-c", tmp_path / "it.c", "-o", tmp_path / "it.o"], check=True)
    (tmp_path / "map").write_text("{ global: bp_*; local: *; };")
    with pytest.raises(RuntimeError, match="undefined symbol: reallocarray"):
        link_for_android(compiler, "aarch64", [tmp_path / "it.o"], tmp_path / "map", tmp_path, tmp_path / "it.so")
    assert not (tmp_path / "it.so").exists()


def test_the_names_of_the_system_are_plausible():
    names = system_names()
    assert {"malloc", "pthread_create", "posix_memalign"} <= set(names["libc"])
    assert "expf" in names["libm"]
    assert "dlopen" in names["libdl"]
    assert not {"reallocarray", "aligned_alloc", "getentropy"} & set(names["libc"]), "these came later"
    assert {target.machine for target in ANDROID.values()} == {"aarch64", "armv7l"}


def test_a_library_for_phones_computes_pytorch_s_outputs(libraries, built, tmp_path):
    """A real linker loads the library in emulated ARM, where glibc replaces bionic under bionic's names."""
    python = ROOT / "build" / "arm-python"
    if ARM64.path() is None or not (python / "python").is_file():
        pytest.skip("a Python for ARM is not installed (make arm-python; Debian: qemu-user-static)")
    system = python / "lib" / "aarch64-linux-gnu"
    for name, real in (("libc.so", "libc.so.6"), ("libm.so", "libm.so.6"), ("libdl.so", "libdl.so.2")):
        (tmp_path / name).symlink_to(system / real)
    bundle = built("conv", *ANDROID)
    (tmp_path / "run.py").write_text(
        f"""
import ctypes, sys
import numpy as np
network = ctypes.CDLL({str(libraries["arm64-android"])!r})
for name in ("bp_workspace_size", "bp_input_size", "bp_output_size"):
    getattr(network, name).restype = ctypes.c_size_t
size = network.bp_workspace_size()
raw = ctypes.create_string_buffer(size + 64)
workspace = (ctypes.addressof(raw) + 63) // 64 * 64
bpz = open({str(bundle / "weights.bpz")!r}, "rb").read()
state = ctypes.create_string_buffer(64)
assert network.bp_load(state, bpz, ctypes.c_size_t(len(bpz)), ctypes.c_void_p(workspace), ctypes.c_size_t(size)) == 0
inputs = np.fromfile({str(bundle / "golden" / "input.f32")!r}, "<f4").reshape(-1, network.bp_input_size())
outputs = np.zeros((len(inputs), network.bp_output_size()), np.float32)
for x, y in zip(inputs, outputs):
    assert network.bp_run(state, x.ctypes.data_as(ctypes.c_void_p), y.ctypes.data_as(ctypes.c_void_p)) == 0
np.save({str(tmp_path / "outputs.npy")!r}, outputs)
"""
    )
    command = [python / "python", tmp_path / "run.py"]
    environment = {"LD_LIBRARY_PATH": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    with opened(bundle) as it:
        expected = it.golden_outputs()
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), expected.reshape(len(expected), -1), atol=1e-4)
