"""The package's targets and devices, and user-defined ones, pass the contract suites."""

from __future__ import annotations

import dataclasses
import platform
import shutil

import pytest

import bayespress
from bayespress.deploy.bundle.format import opened
from bayespress.deploy.compile import targets
from bayespress.deploy.compile.targets import Target, all_targets, register_target, target_named, targets_help
from bayespress.deploy.devices import (
    Capabilities,
    DeviceEntry,
    Unavailable,
    device_entries,
    device_named,
    devices_help,
    register_device,
    registry,
)
from bayespress.deploy.devices.base import RunnerSession
from bayespress.errors import InputError
from bayespress.testing import DeviceContract, TargetContract


class LabBench:
    """A user-defined device: the bundle's host runner, started through env(1)."""

    name = "lab-bench"
    description = "host runner through env"
    capabilities = Capabilities(max_threads=4)

    def connect(self, bundle, progress=lambda _step: None):
        host = bundle.manifest.targets.get("host")
        if host is None:
            return Unavailable("the bundle has no target `host`", no_target=True)
        return RunnerSession(self.name, bundle, host, progress, launcher=("/usr/bin/env",))


@pytest.fixture(scope="module")
def built(packed, tmp_path_factory):
    """One bundle for all devices in this file."""
    path = tmp_path_factory.mktemp("contract") / "it.bundle"
    foreign = "arm64-linux" if platform.machine() != "aarch64" else "armv7-linux"
    bayespress.build(packed("mlp"), ["host", "wasm32-wasi", foreign], path)
    return path


@pytest.fixture
def bundle(built):
    with opened(built) as it:
        yield it


@pytest.mark.slow
class TestDevices(DeviceContract):
    """The package's devices without an address."""

    @pytest.fixture(params=["host", "qemu-arm64", "wasm"])
    def device(self, request):
        if request.param == "qemu-arm64" and shutil.which("qemu-aarch64-static") is None:
            pytest.skip("qemu-aarch64-static (Debian: qemu-user-static) is not installed")
        return device_named(request.param)


@pytest.mark.slow
class TestOwnDevice(DeviceContract):
    """A device that the package does not know."""

    @pytest.fixture
    def device(self):
        return LabBench()


def test_registers_a_user_device(monkeypatch):
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))
    entry = DeviceEntry("lab-bench", "the bench in the lab", lambda _name: LabBench())
    register_device(entry)
    assert entry in device_entries()
    assert "lab-bench (the bench in the lab)" in devices_help()
    assert isinstance(device_named("lab-bench"), LabBench)
    with pytest.raises(InputError, match="'lab-bench' is registered already"):
        register_device(entry)


def test_a_user_device_is_named_by_its_module(pristine, monkeypatch, tmp_path):
    (tmp_path / "lab.py").write_text(
        "from bayespress.deploy.devices.host import Host\n\n\nclass Lab(Host):\n    name = 'lab'\n"
        "    description = 'host runner in the lab'\n"
    )
    monkeypatch.chdir(tmp_path)
    report = bayespress.verify(pristine, ["lab:Lab"])
    assert report.checks[-1].name == "golden vectors, host runner in the lab"
    assert report.passed


@pytest.mark.slow
class TestTargets(TargetContract):
    """A target of each kind; test_runtimes.py runs all targets with the networks of the zoo."""

    @pytest.fixture(params=["host", "wasm32-wasi", "arm64-android"])
    def target(self, request):
        return request.param

    @pytest.fixture
    def device(self, target):
        return {"host": "host", "wasm32-wasi": "wasm"}.get(target)


# WebAssembly without vector instructions, which is not a target of the package.
PLAIN_WASM = Target(
    "wasm32-plain", "WebAssembly without vectors", {"kind": "llvm", "mtriple": "wasm32-unknown-wasi"}, "wasm32-wasi",
    "wasm32", registers=(4, 16), features={"simd": "+simd128"},
)  # fmt: skip


@pytest.fixture
def registry_of_targets(monkeypatch):
    """Removes the targets that a test registers."""
    monkeypatch.setattr(targets, "_TARGETS", dict(targets._TARGETS))


@pytest.mark.slow
class TestOwnTarget(TargetContract):
    """A target that the package does not know: registered, and named by its module."""

    @pytest.fixture(params=["wasm32-plain", f"{__name__}:PLAIN_WASM"])
    def target(self, request, registry_of_targets):
        if ":" not in request.param:
            register_target(PLAIN_WASM)
        return request.param

    @pytest.fixture
    def device(self):
        return "wasm"


def test_registers_a_user_target(registry_of_targets):
    register_target(PLAIN_WASM)
    assert all_targets()[-1] is PLAIN_WASM
    assert "wasm32-plain" in targets_help()
    assert target_named("wasm32-plain") is PLAIN_WASM
    assert target_named("wasm32-plain+simd").compiler["mattr"] == ["+simd128"]
    with pytest.raises(InputError, match="'wasm32-plain' is registered already"):
        register_target(PLAIN_WASM)


@pytest.mark.parametrize("name", ["", "a:b", "a+b", "../up", ".hidden", "with space"])
def test_rejects_invalid_names_of_targets(name, registry_of_targets):
    with pytest.raises(InputError, match="letters") as caught:
        register_target(dataclasses.replace(PLAIN_WASM, name=name))
    assert repr(name) in str(caught.value)


def test_rejects_a_target_with_too_few_registers(registry_of_targets):
    with pytest.raises(InputError, match="4 registers of 4 floats"):
        register_target(dataclasses.replace(PLAIN_WASM, registers=(4, 4)))


def test_a_user_target_is_named_by_its_module(monkeypatch, tmp_path):
    (tmp_path / "lab_targets.py").write_text(
        "from bayespress.deploy.compile.targets import target_named\nfrom dataclasses import replace\n"
        "BOARD = replace(target_named('arm64-linux'), name='board')\n"
        "def made():\n    return BOARD\n"
        "HOST = replace(BOARD, name='host')\nTEXT = 'arm64-linux'\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    board = target_named("lab_targets:BOARD")
    assert (board.name, board.machine) == ("board", "aarch64")
    assert target_named("lab_targets:made") == board
    fast = target_named("lab_targets:BOARD+dotprod")
    assert (fast.name, fast.folder, fast.compiler["mattr"][-1]) == ("board+dotprod", "board-dotprod", "+dotprod")
    for name, offending in (
        ("lab_targets:HOST", "'host'"),
        ("lab_targets:TEXT", "str"),
        ("lab_targets:absent", "'absent'"),
        ("lab_targets:BOARD+sse", "'sse'"),
        ("absent_module:BOARD", "absent_module"),
    ):
        with pytest.raises(InputError, match=offending):
            target_named(name)
