"""Find and run C compilers and archivers, and report missing ones."""

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
    """The command that compiles and links C for a triple with ziglang; for None, the system's compiler ($CC, cc).

    Raises MissingToolError if there is no compiler.
    """
    if triple is None:
        for candidate in (os.environ.get("CC"), "cc", "gcc", "clang"):
            if candidate and shutil.which(candidate.split()[0]):
                return candidate.split()
    if find_spec("ziglang") is None:
        raise MissingToolError(
            "No C compiler was found; install one, or run `pip install 'bayespress[deploy]'`, which includes ziglang."
        )
    command = [sys.executable, "-m", "ziglang", "cc"]
    return command if triple is None else [*command, "-target", triple]


def archiver() -> list[str]:
    """The command that makes static libraries: ziglang's, which reads objects of any machine, or the system's.

    Raises MissingToolError if there is no archiver.
    """
    if find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "ar"]
    if (ar := shutil.which("ar")) is not None:
        return [ar]
    raise MissingToolError("No archiver `ar` was found; install binutils, or run `pip install 'bayespress[deploy]'`.")


def missing_for(target: Target) -> list[str]:
    """What must be installed to compile for `target`, as sentences; empty if nothing is missing."""
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
    """Run a compiler. Raises RuntimeError with its complete output if it fails, since that is an internal error."""
    arguments = [str(part) for part in command]
    with subprocess.Popen(
        arguments,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            _, errors = process.communicate()
        except BaseException:  # Ctrl-C: a compiler starts child processes, which would continue to write
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} failed with status {process.returncode}:\n{errors}")
