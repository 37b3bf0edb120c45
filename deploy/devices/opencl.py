"""The device `opencl`: a GPU of this machine, or PoCL, which runs the same kernels on the processor."""

from __future__ import annotations

import platform
from pathlib import Path

from ...errors import CheckFailedError, InputError, MissingToolError
from ..bundle.format import GOLDEN_INPUT, Bundle
from ..bundle.manifest import TargetEntry
from .base import Capabilities, Progress, RunnerSession, Session, Unavailable, silent
from .report import PLAIN_RUN, RunnerReport, RunRequest

_REMEDY = "update the OpenCL driver, or hide it with OCL_ICD_VENDORS"


class OpenCl:
    """Runs the bundle's first target that has OpenCL kernels for this machine's processor."""

    name = "opencl"
    description = "OpenCL on this machine"
    capabilities = Capabilities(max_threads=0)

    def connect(self, bundle: Bundle, progress: Progress = silent) -> Session | Unavailable:
        """See Device.connect. Runs the golden inputs once, to find out whether an OpenCL device accepts the kernels."""
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
            pass  # the device exists but the network fails; the session's next run reports that
        return session

    def _target(self, bundle: Bundle) -> TargetEntry | None:
        machine = platform.machine()
        entries = bundle.manifest.targets.values()
        return next((entry for entry in entries if entry.gpu and entry.machine == machine), None)


class _OpenClSession(RunnerSession):
    def run(self, inputs: Path, request: RunRequest = PLAIN_RUN) -> RunnerReport:
        """See Session.run. Raises MissingToolError if the runner used the processor instead."""
        if request.threads:  # the runner would run the batch with the processor's code
            raise InputError("Device opencl runs one example at a time; leave --threads out.")
        report = super().run(inputs, request)
        if report.gpu is None:
            raise MissingToolError(
                f"{report.gpu_reason or 'The runner used no GPU'}; install a driver (Debian: apt install "
                "pocl-opencl-icd runs OpenCL on the processor)."
            )
        return report
