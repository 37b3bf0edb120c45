"""Finding and running the compilers of this stage, and saying plainly when one is missing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import MissingToolError

if TYPE_CHECKING:
    from .targets import Target


def c_compiler(triple: str | None) -> list[str]:
    """Command that compiles and links C for this triple: ziglang, or for None the system's own ($CC, cc).

    Raises MissingToolError when there is none.
    """
    if triple is None:
        for candidate in (os.environ.get("CC"), "cc", "gcc", "clang"):
            if candidate and shutil.which(candidate.split()[0]):
                return candidate.split()
    if find_spec("ziglang") is None:
        raise MissingToolError(
            "No C compiler was found; install one, or `pip install 'bayespress[deploy]'` for ziglang."
        )
    command = [sys.executable, "-m", "ziglang", "cc"]
    return command if triple is None else [*command, "-target", triple]


def archiver() -> list[str]:
    """Command that makes static libraries, of any machine's objects: ziglang's, or else the system's.

    Raises MissingToolError when there is none.
    """
    if find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "ar"]
    if (found := shutil.which("ar")) is not None:
        return [found]
    raise MissingToolError("No archiver `ar` was found; install binutils, or `pip install 'bayespress[deploy]'`.")


def missing_for(target: Target) -> list[str]:
    """What must be installed before `target` can be compiled for, as sentences; empty when nothing is missing."""
    missing = [
        f"{module} (pip install 'bayespress[deploy]')" for module in ("tvm", "torch") if find_spec(module) is None
    ]
    finders: tuple[Callable[[], list[str]], ...] = (lambda: c_compiler(target.triple), archiver)
    for find in finders:
        try:
            find()
        except MissingToolError as error:
            missing.append(str(error))
    return missing


def run_tool(command: Sequence[str | Path]) -> None:
    """Run a compiler. A failure is a defect of ours or of the tool, so its words are passed on whole."""
    words = [str(part) for part in command]
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True
    ) as process:
        try:
            _, errors = process.communicate()
        except BaseException:  # Ctrl-C: compilers start programs of their own, which would go on writing
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} failed with status {process.returncode}:\n{errors}")
