"""Remote machines: files are copied to them, and commands run there.

Each command is a Bourne shell script. Its output is framed by two marker lines, so that a greeting or a log-out message
is not read as output. The second marker line carries the exit status, because old versions of adb do not report it. If
the second marker is missing, the connection broke.

The files are in a folder of mode 700 with an unguessable name. The name is chosen on this machine, so the folder can
be removed even if the answer to its creation was lost. The script that starts the runner removes the folder itself,
also after the connection broke, and ends a runner that exceeds its time limit.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import shlex
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import BayespressError, CheckFailedError, MissingToolError
from ...packed_format import WEIGHTS
from ..bundle.format import Bundle
from ..bundle.manifest import TargetEntry
from .base import (
    Capabilities,
    Progress,
    Session,
    Unavailable,
    example_count,
    limits_of,
    silent,
    target_for,
    without_target,
)
from .failures import failure_of, known_remedy
from .flags import runner_flags
from .process import Finished, Limits, OverTimeError, over_time, run_program, short
from .report import PLAIN_RUN, RunnerReport, RunRequest, checked_report

_BEGIN, _END = b"bayespress-begin-1", b"bayespress-end-1 "
_SHORT_SECONDS = 40.0  # limit for a trivial command; ssh itself needs 10 seconds to report that nobody answers
_EXTRA_SECONDS = 15.0  # time for the machine to end a runner that exceeded its limit
# Exit statuses of the scripts; no runner uses them: no folder could be created, a file did not arrive, the runner was
# ended at its time limit (the status that timeout(1) uses).
NO_FOLDER, NOT_RECEIVED, _LATE = 120, 121, 124
_RUNNER, _INPUTS = "runner", "inputs.f32"

# Creates and enters a folder in the first temporary folder that allows programs to be executed.
CREATE_FOLDER = """
umask 077
entered=no
for parent in {parents}; do
    [ -d "$parent" ] || continue
    folder=$parent/{name}
    mkdir "$folder" && cd "$folder" || continue
    echo "#!$(command -v sh)" >probe && chmod 700 probe && ./probe && rm probe && entered=yes && break
    cd / && rm -rf "$folder"
done
[ $entered = yes ] || exit {no_folder}
"""
_REMOVE = """
for parent in {parents}; do
    [ -d "$parent/{name}" ] || continue
    [ -f "$parent/{name}/pid" ] && kill -9 "$(cat "$parent/{name}/pid")" 2>/dev/null
    rm -rf "$parent/{name}"
done
exit 0
"""
# A broken connection sends no signal to a background process, so a second process ends the runner at its time limit.
_RUN = """
folder=$PWD
chmod 700 {runner}
sh -c 'echo $$ >pid && exec ./{runner} "$@"' sh {weights} {inputs} {arguments} </dev/null &
runner=$!
(
    cd /
    waited=0
    while kill -0 $runner && [ $waited -lt {seconds} ]; do
        sleep 1
        waited=$((waited + 1))
    done
    [ $waited -lt {seconds} ] || {{ echo late >"$folder/late"; kill -9 $runner; }}
) </dev/null >/dev/null 2>&1 &
watch=$!
wait $runner
status=$?
[ -f late ] && status={late}
kill $watch 2>/dev/null
cd / && rm -rf "$folder"
exit $status
"""


@dataclass(frozen=True)
class Delivery:
    """Resources for sending files.

    scratch  temporary folder on this machine
    limits   limits of the transfer
    """

    scratch: Path
    limits: Limits


class Remote(ABC):
    """A device that is reached through a program such as ssh or adb.

    program            name of that program
    install            how to install it, for the error message
    temporary_folders  candidates for the parent of the bundle's folder, as words of a shell script; the first usable
                       one is taken
    """

    capabilities = Capabilities()
    program: str
    install: str
    temporary_folders: tuple[str, ...]

    def __init__(self, name: str) -> None:
        self.name = name
        self._processor: str | None = None

    @property
    def description(self) -> str:
        """See Device.description."""
        return f"runner on {short(self.name)}"

    @abstractmethod
    def shell(self, script: str) -> list[str]:
        """The local command that runs a Bourne shell script on the machine."""

    @abstractmethod
    def deliver(self, files: Mapping[str, Path], folder: str, delivery: Delivery) -> tuple[str, Path | None]:
        """Create the folder on the machine and copy files into it, or prepare a script that does so.

        files     local path of each file, by its name in the folder
        folder    name of the folder

        Returns the beginning of a script that continues in the folder, and a file for the script's standard input.
        """

    @abstractmethod
    def unreachable(self, finished: Finished) -> BayespressError:
        """The error for a connection without an answer, from the message of the local program."""

    def connect(self, bundle: Bundle, progress: Progress = silent) -> Session | Unavailable:
        """See Device.connect."""
        if shutil.which(self.program) is None:
            return Unavailable(f"{self.program} is not installed ({self.install})")
        try:
            machine = self._machine()
        except (MissingToolError, CheckFailedError) as error:
            return Unavailable(str(error).rstrip("."))
        target = target_for(bundle, machine)
        if target is None:
            return without_target(bundle, machine) or Unavailable("the bundle has no target for it", no_target=True)
        return _RemoteSession(self, bundle, target, progress)

    def creation_script(self, folder: str) -> str:
        """The beginning of a script that creates the folder and enters it."""
        return CREATE_FOLDER.format(parents=" ".join(self.temporary_folders), name=folder, no_folder=NO_FOLDER)

    def execute(self, script: str, limits: Limits | None = None, stdin: Path | None = None) -> Finished:
        """Run a script on the machine. Raises MissingToolError if there is no answer."""
        framed = f"echo\necho {_BEGIN.decode()}\n(\n{script}\n)\nstatus=$?\necho\necho {_END.decode()}$status\n"
        try:
            within = replace(limits or Limits(_SHORT_SECONDS), until=_END)
            finished = run_program(self.shell(framed), self.name, within, stdin=stdin)
        except OverTimeError as error:
            raise MissingToolError(f"{str(error).partition(';')[0]}; check the connection to it.") from None
        _, begun, rest = _with_unix_lines(finished.output).partition(b"\n" + _BEGIN + b"\n")
        output, ended, status = rest.partition(b"\n" + _END)
        digits = status.partition(b"\n")[0].strip()
        if not begun or not ended or not digits.isdigit() or len(digits) > 3:
            raise self.unreachable(finished)
        return Finished(int(digits), output.removesuffix(b"\n"), finished.errors)

    def output_of(self, script: str, limits: Limits | None = None, stdin: Path | None = None) -> str:
        """The output of a script on one line. Raises MissingToolError if the script fails."""
        finished = self.execute(script, limits, stdin)
        if finished.status != 0:
            message = finished.last_line() or f"status {finished.status}"
            remedy = known_remedy(message)
            reason = f"{remedy} ({message})" if remedy else f"{message}; check its system"
            raise MissingToolError(f"{self.name} cannot be prepared: {reason}.")
        return short(finished.output.decode(errors="replace").strip())

    def check(self, finished: Finished, limits: Limits) -> None:
        """Raise the error of a run that failed."""
        message = finished.last_line()
        if finished.status == NO_FOLDER:
            tried = ", ".join(parent.strip('"') for parent in self.temporary_folders)
            reason = known_remedy(message) or "make one of them writable"
            raise MissingToolError(
                f"{self.name} can run a program in none of the folders {tried}: {reason} "
                f"({message or 'none of them exists'})."
            )
        if finished.status == NOT_RECEIVED:
            reason = known_remedy(message) or "check the connection"
            raise MissingToolError(
                f"{self.name} did not receive the files ({message or 'they are incomplete'}); {reason}."
            )
        if finished.status == _LATE:
            raise over_time(self.name, limits)
        if finished.status != 0:
            raise failure_of(self.name, finished)

    def remove(self, folder: str) -> None:
        """Remove the folder from the machine, if the machine still answers."""
        # If it does not answer, the caller already raises an error with the reason.
        with contextlib.suppress(BayespressError):
            self.execute(_REMOVE.format(parents=" ".join(self.temporary_folders), name=folder))

    def _machine(self) -> str:
        if self._processor is None:
            self._processor = self.output_of("uname -m")
        return self._processor


class _RemoteSession(Session):
    """Each run sends its files and removes them, so the connection may break between runs."""

    def __init__(self, remote: Remote, bundle: Bundle, target: TargetEntry, progress: Progress) -> None:
        self._remote, self._bundle, self._target, self._progress = remote, bundle, target, progress

    def run(self, inputs: Path, request: RunRequest = PLAIN_RUN) -> RunnerReport:
        """See Session.run. The files are removed from the machine in every case, if it still answers."""
        remote, bundle = self._remote, self._bundle
        folder = f"bayespress.{secrets.token_hex(16)}"
        examples = example_count(bundle, inputs)
        limits = limits_of(request, bundle, examples, self._progress)
        run_limits = Limits(limits.seconds + _EXTRA_SECONDS, limits.output_bytes, limits.step)
        files = {_RUNNER: bundle.folder / self._target.runner, WEIGHTS: bundle.folder / WEIGHTS, _INPUTS: inputs}
        script = _RUN.format(
            runner=_RUNNER, weights=WEIGHTS, inputs=_INPUTS, late=_LATE, seconds=max(1, math.ceil(request.seconds)),
            arguments=" ".join(map(shlex.quote, runner_flags(request))),
        )  # fmt: skip
        removed = False
        try:
            with tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
                beginning, stdin = remote.deliver(files, folder, Delivery(Path(scratch), limits))
                finished = remote.execute(beginning + script, run_limits, stdin)
            removed = finished.status not in (NO_FOLDER, NOT_RECEIVED)  # else the script removed it
        finally:
            if not removed:
                remote.remove(folder)
        remote.check(finished, limits)
        return checked_report(finished.output, remote.name, bundle, examples, request)


def _with_unix_lines(printed: bytes) -> bytes:
    r"""Text with `\n` line ends; the terminal of an old adb writes `\r\n` or `\r\r\n`."""
    return printed.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n")
