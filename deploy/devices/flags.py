"""Conversion of a request to the options of a runner's command line (parsed by runtime/runner.c)."""

from __future__ import annotations

from .report import RunRequest


def runner_flags(request: RunRequest, *, gpu: bool = False) -> list[str]:
    """The runner's options for a request.

    gpu  whether to run the OpenCL kernels
    """
    flags = [] if request.outputs else ["--no-outputs"]
    if request.repeat:
        flags += ["--repeat", str(request.repeat), "--warmup", str(request.warmup)]
    if request.threads:
        flags += ["--threads", str(request.threads)]
    wanted = (("--layers", request.layers), ("--digests", request.digests), ("--facts", request.facts), ("--gpu", gpu))
    return flags + [flag for flag, is_wanted in wanted if is_wanted]
