"""OpenCL on this machine: a real GPU, or PoCL, which runs the same kernels on the processor."""

from __future__ import annotations

import platform
from pathlib import Path

from ...errors import CheckFailedError, InputError, MissingToolError
from ..bundle.format import GOLDEN_INPUT, Bundle
from ..bundle.manifest import TargetEntry
from .base import Capabilities, Progress, RunnerSession, Session, Unavailable, silent
from .report import PLAIN_RUN, RunnerReport, RunRequest

_REMEDY = "update the OpenCL driver, or hide it by OCL_ICD_VENDORS"


class OpenCl:
    """Runs a bundle's first target that has OpenCL kernels for this kind of machine."""

    name = "opencl"
    description = "OpenCL on this machine"
    capabilities = Capabilities(max_threads=0)

    def connect(self, bundle: Bundle, progress: Progress = silent) -> Session | Unavailable:
        """See Device.connect. The golden inputs are run once, to see that a device takes the kernels."""
        target = self._target(bundle)
        if target is None:
            return Unavailable(
                "the bundle has no OpenCL target for this machine; build it with -t opencl", no_target=True
            )
        session = _OpenClSession(self.name, bundle, target, progress, gpu=True, remedy=_REMEDY)
        try:
            session.run(bundle.folder / GOLDEN_INPUT)
        except MissingToolError as error:
            return Unavailable(str(error).rstrip("."))
        except CheckFailedError:
            pass  # the device is there, and fails; the session's own runs report that
        return session

    def _target(self, bundle: Bundle) -> TargetEntry | None:
        machine = platform.machine()
        found = (entry for entry in bundle.manifest.targets.values() if entry.gpu and entry.machine == machine)
        return next(found, None)


class _OpenClSession(RunnerSession):
    def run(self, inputs: Path, request: RunRequest = PLAIN_RUN) -> RunnerReport:
        """See Session.run. Raises MissingToolError when the runner used the processor instead."""
        if request.threads:  # which the runner would use for the processor's code
            raise InputError("Device opencl runs one example at a time; leave --threads out.")
        report = super().run(inputs, request)
        if report.gpu is None:
            raise MissingToolError(
                f"{report.gpu_reason or 'The runner used no GPU'} (Debian: apt install pocl-opencl-icd, "
                "for one on the processor)."
            )
        return report
