"""The contract of a device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ..deploy.bundle.format import GOLDEN_INPUT, Bundle
from ..deploy.devices import Device, RunRequest, Session, Unavailable, connected
from ..deploy.verify.tolerance import check_outputs
from ..errors import BayespressError, InputError


class DeviceContract:
    """Tests for a device. Extend this class with two fixtures:

    device  the device
    bundle  an opened bundle with a target for the device
    """

    def test_name_description_and_capabilities_are_valid(self, device: Device) -> None:
        assert device.name
        assert device.description
        assert device.capabilities.max_threads >= 0

    def test_golden_vectors_and_digests(self, device: Device, bundle: Bundle) -> None:
        with connected(device, bundle) as session:
            report = session.run(bundle.folder / GOLDEN_INPUT, RunRequest(digests=True))
        half = report.gpu is not None and report.gpu.precision == "float16"
        allowed = bundle.golden_tolerance(half=half)
        check_outputs(report.output_array(), bundle.golden_outputs(), allowed, "An output", half=half)
        assert report.digests == [*bundle.manifest.decoded.values()]

    def test_a_session_runs_several_requests(self, device: Device, bundle: Bundle) -> None:
        with connected(device, bundle) as session:
            first = session.run(bundle.folder / GOLDEN_INPUT)
            second = session.run(bundle.folder / GOLDEN_INPUT)
        np.testing.assert_array_equal(first.output_array(), second.output_array())

    def test_the_number_of_timed_runs_matches_the_request(self, device: Device, bundle: Bundle) -> None:
        with connected(device, bundle) as session:
            report = session.run(bundle.folder / GOLDEN_INPUT, RunRequest(repeat=3, warmup=1, outputs=False))
        assert report.run_ns is not None
        assert report.run_ns.repeat == 3
        assert report.outputs == []

    def test_instructions_are_counted_if_the_device_can(self, device: Device, bundle: Bundle, tmp_path: Path) -> None:
        if not device.capabilities.counts_instructions:
            return
        one = tmp_path / "one.f32"
        one.write_bytes(np.ascontiguousarray(bundle.golden_inputs()[:1], "<f4").tobytes())
        with connected(device, bundle) as session:
            report = session.run(one, RunRequest(instructions=True))
        assert report.instructions is not None
        assert report.instructions > 100

    def test_rejects_more_threads_than_it_has(self, device: Device, bundle: Bundle) -> None:
        if device.capabilities.max_threads > 1:
            return
        request = RunRequest(threads=device.capabilities.max_threads + 1, repeat=1)
        with connected(device, bundle) as session, pytest.raises(InputError, match="threads"):
            session.run(bundle.folder / GOLDEN_INPUT, request)

    def test_rejects_inputs_of_another_size(self, device: Device, bundle: Bundle, tmp_path: Path) -> None:
        (tmp_path / "short.f32").write_bytes(b"1234")
        with connected(device, bundle) as session, pytest.raises(BayespressError):
            session.run(tmp_path / "short.f32")

    def test_a_bundle_without_a_target_gives_unavailable(self, device: Device, bundle: Bundle) -> None:
        import dataclasses

        without = dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update={"targets": {}}))
        result = device.connect(without)
        assert isinstance(result, Unavailable)
        assert result.reason
        assert not isinstance(result, Session)
