"""OpenCL on this machine: a real GPU, or PoCL, which runs the same kernels on the processor."""

from __future__ import annotations

import platform
from pathlib import Path

from ...errors import CheckFailedError, InputError, MissingToolError
from ..bundle.format import GOLDEN_INPUT, Bundle, TargetEntry
from .base import Unavailable, run_here, runner_command
from .report import PLAIN_RUN, RunnerReport, RunRequest


class OpenCl:
    """Runs a bundle's first target that has OpenCL kernels for this kind of machine."""

    name = "opencl"
    description = "OpenCL on this machine"
    most_threads = 0

    def unavailable(self, bundle: Bundle) -> Unavailable | None:
        """None when the bundle has such a target and the system has an OpenCL device that takes its kernels."""
        if self._target(bundle) is None:
            return Unavailable(
                "the bundle has no OpenCL target for this machine; build it with -t opencl", no_target=True
            )
        try:
            self.run(bundle, bundle.folder / GOLDEN_INPUT)
        except MissingToolError as error:
            return Unavailable(str(error).rstrip("."))
        except CheckFailedError:
            pass  # it is there, and fails; what it does is for `run` to tell
        return None

    def run(self, bundle: Bundle, inputs: Path, request: RunRequest = PLAIN_RUN) -> RunnerReport:
        """See Device.run. Raises MissingToolError when the runner went over to the processor."""
        target = self._target(bundle)
        if target is None:
            raise MissingToolError("The bundle has no OpenCL target for this machine; build it with -t opencl.")
        if request.threads:  # which the runner would use for the processor's code
            raise InputError("Device opencl runs one example at a time; leave --threads out.")
        command = [*runner_command(bundle, target, inputs, request), "--gpu"]
        remedy = "update the OpenCL driver, or hide it by OCL_ICD_VENDORS"
        report = run_here(command, self.name, bundle, inputs, request, remedy=remedy)
        if report.gpu is None:
            raise MissingToolError(
                f"{report.gpu_reason or 'The runner used no GPU'} (Debian: apt install pocl-opencl-icd, "
                "for one on the processor)."
            )
        return report

    def _target(self, bundle: Bundle) -> TargetEntry | None:
        machine = platform.machine()
        found = (entry for entry in bundle.manifest.targets.values() if entry.gpu and entry.machine == machine)
        return next(found, None)
