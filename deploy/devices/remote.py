"""Machines that are reached by copying files to them and running a command there."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import CheckFailedError, MissingToolError
from ...handover import WEIGHTS
from ..bundle import Bundle, TargetEntry
from .base import Unavailable, parse, target_for, without_target

_TIMEOUT_SECONDS = 300
_SHELL_ENDS = 255  # ssh's own failure, and none of the runner's
# adb and ssh both say by their words alone that it was the line that broke.
_LOST = ("closed", "no devices", "offline", "not found", "refused", "timed out", "unreachable", "lost", "reset by peer")


class Remote(ABC):
    """A device behind a program such as ssh or adb, which `program` names."""

    program: str
    install: str

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def description(self) -> str:
        """For reports."""
        return f"runner on {self.name}"

    @abstractmethod
    def command(self, words: Sequence[str]) -> list[str]:
        """What runs a shell command of these words there."""

    @abstractmethod
    def copy(self, files: Sequence[Path], folder: str) -> list[str]:
        """What copies files into a folder there."""

    @property
    @abstractmethod
    def scratch(self) -> str:
        """Where temporary folders go there."""

    def unavailable(self, bundle: Bundle) -> Unavailable | None:
        """None when the machine answers and the bundle has a target for its kind of processor."""
        if shutil.which(self.program) is None:
            return Unavailable(f"{self.program} is not installed ({self.install})")
        try:
            return without_target(bundle, self._shell("uname", "-m").strip())
        except MissingToolError as error:
            return Unavailable(str(error).rstrip("."))

    def run(self, bundle: Bundle, inputs: Path, arguments: Sequence[str] = ()) -> dict[str, Any]:
        """See Device.run. Whatever happens, the folder made on the machine is removed from it, if it still answers."""
        target = self._target(bundle)
        folder = self._shell("mktemp", "-d", f"{self.scratch}/bayespress.XXXXXX").strip()
        if not folder.startswith(f"{self.scratch}/bayespress."):
            raise MissingToolError(f"{self.name} made no temporary folder in {self.scratch}; make it writable.")
        try:
            runner = bundle.folder / target.runner
            self._call(self.copy([runner, bundle.folder / WEIGHTS, inputs], folder))
            self._shell("chmod", "755", f"{folder}/{runner.name}")
            words = [f"{folder}/{name}" for name in (runner.name, WEIGHTS, inputs.name)]
            return parse(self._shell(*words, *arguments))
        finally:
            self._clean(folder)

    def _target(self, bundle: Bundle) -> TargetEntry:
        machine = self._shell("uname", "-m").strip()
        target = target_for(bundle, machine)
        if target is None:
            raise MissingToolError(f"The bundle has no target for {self.name}, which is {machine}; build it for one.")
        return target

    def _clean(self, folder: str) -> None:
        # Where the machine is gone, the reason is on its way to the user already.
        with contextlib.suppress(MissingToolError, CheckFailedError):
            self._shell("rm", "-rf", folder)

    def _shell(self, *words: str) -> str:
        return self._call(self.command([shlex.quote(word) for word in words]))

    def _call(self, command: Sequence[str]) -> str:
        """Standard output. Raises MissingToolError when the machine is not there, CheckFailedError when a command
        fails on it.
        """
        try:
            done = subprocess.run(
                list(command), capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MissingToolError(f"{self.name} does not answer ({error}); check the connection.") from None
        if done.returncode == 0:
            return done.stdout
        lines = (done.stderr or done.stdout).strip().splitlines()
        said = lines[-1].removeprefix("runner: ").rstrip(".") if lines else f"status {done.returncode}"
        if done.returncode == _SHELL_ENDS or (done.returncode < 0) or any(word in said.lower() for word in _LOST):
            raise MissingToolError(f"{self.name} does not answer ({said}); check the connection.")
        raise CheckFailedError(f"The runner failed on {self.name}: {said}.")
