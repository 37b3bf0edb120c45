"""Fixtures: packed networks and bundles; each is created once per worker."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest

import bayespress
from bayespress.compress.pipeline import compress_network
from bayespress.compress.settings import CompressSettings
from bayespress.deploy.devices.qemu import ARM64, ARMV7, RISCV64
from zoo import ZOO, posterior_of


@pytest.fixture(scope="session")
def packed(tmp_path_factory):
    """A function that returns the packed directory of a network of the zoo, by its name."""

    @cache
    def make(name: str, quantizer: str = "posterior") -> Path:
        specimen = ZOO[name]
        network = specimen.network()
        folder = tmp_path_factory.mktemp(name) / "packed"
        settings = CompressSettings(quantizer=quantizer)
        result = compress_network(network, posterior_of(network), specimen.inputs(), settings)
        result.write(folder, name=name, labels=["a", "b"])
        return folder

    return make


@pytest.fixture(scope="session")
def pristine(packed, tmp_path_factory):
    """A bundle for the host that tests must not change."""
    folder = tmp_path_factory.mktemp("pristine") / "mlp.bundle"
    bayespress.build(packed("mlp"), ["host"], folder)
    return folder


@pytest.fixture
def bundle(pristine, tmp_path):
    """A copy of the bundle that a test may change."""
    return Path(shutil.copytree(pristine, tmp_path / "mlp.bundle"))


@pytest.fixture(scope="session")
def arm():
    """Skip the test if qemu-user is not installed."""
    for device in (ARM64, ARMV7, RISCV64):
        if device.path() is None:
            pytest.skip(
                f"qemu-{device.program}, which runs foreign programs, is not installed (Debian: qemu-user-static)"
            )
