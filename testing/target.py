"""The contract of a target."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from ..compress.pipeline import compress_network
from ..compress.posterior import Posterior
from ..compress.settings import CompressSettings
from ..deploy.builder.build import build
from ..deploy.bundle.format import Bundle, opened
from ..deploy.bundle.manifest import Manifest
from ..deploy.compile.targets import target_named


class TargetContract:
    """Tests for a target. Extend this class with two fixtures:

    target  name of the target
    device  name of a device that can run its code; without this fixture the code is compiled but not run

    The network under test has a convolution, a pooling layer, a dense layer, and sparse weights.
    """

    @pytest.fixture
    def device(self) -> str | None:
        """The device that runs code for the target; None if there is none."""
        return None

    @pytest.fixture
    def built(self, target: str, tmp_path: Path) -> Path:
        """A bundle for the target."""
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)
        ).eval()  # fmt: skip
        for parameter in network.parameters():
            parameter.data[torch.rand_like(parameter) < 0.5] = 0.0
        values = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        variances = {name: torch.full_like(tensor, 1e-4) for name, tensor in values.items() if name.endswith("weight")}
        settings = CompressSettings(rule="magnitude", threshold=0.0)
        example = torch.rand(4, 1, 8, 8)
        packed = compress_network(network, Posterior(values, variances), example, settings)
        packed.write(tmp_path / "packed", name="contract")
        build(tmp_path / "packed", [target], tmp_path / "it.bundle")
        return tmp_path / "it.bundle"

    def test_its_bundle_is_complete(self, target: str, built: Path, device: str | None) -> None:
        """All files exist, each layer has a kernel, and the golden vectors agree on the device."""
        with opened(built) as bundle:
            assert bundle.first_difference() is None
            entry = bundle.manifest.targets[target_named(target).name]
            for path in (entry.runner, entry.archive, entry.header):
                assert (bundle.folder / path).stat().st_size > 0
            assert {layer.kernel for layer in entry.layers} <= {"dense", "sparse"}
            _check_on(device, built, bundle)

    def test_its_name_is_in_the_registry(self, target: str) -> None:
        entry = target_named(target)
        assert entry.machine
        assert entry.description


def _check_on(device: str | None, built: Path, bundle: Bundle) -> None:
    from ..deploy.verify.verify import verify

    if device is None:
        return
    report = verify(built, [device])
    assert report.passed, report.checks
    assert isinstance(bundle.manifest, Manifest)
