"""A request as the options of a runner's command line (runtime/runner.c reads them)."""

from __future__ import annotations

from .report import RunRequest


def runner_flags(request: RunRequest, *, gpu: bool = False) -> list[str]:
    """Options of the runner.

    gpu  run the OpenCL kernels
    """
    flags = [] if request.outputs else ["--no-outputs"]
    if request.repeat:
        flags += ["--repeat", str(request.repeat), "--warmup", str(request.warmup)]
    if request.threads:
        flags += ["--threads", str(request.threads)]
    wanted = (("--layers", request.layers), ("--digests", request.digests), ("--facts", request.facts), ("--gpu", gpu))
    return flags + [flag for flag, is_wanted in wanted if is_wanted]
