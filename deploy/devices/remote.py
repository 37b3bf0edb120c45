"""Machines that are reached by copying files to them and running a command there.

Each command is a script for the Bourne shell that every such machine has. What it prints is taken from between two
lines of ours, so that a greeting, or a log-out message, is no part of it; the second one brings the exit status, since
old versions of adb lose it. No second line means that the connection broke.

Files lie in a folder of mode 700 with a name that nobody can guess, which is made here: it can be removed even when no
answer to its making came. The script that runs the runner removes it by itself, also when we are no longer there, and
ends a runner that is over its time.
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
from .failures import explained, failure_of
from .flags import runner_flags
from .process import Finished, Limits, OverTimeError, over_time, run_program, short
from .report import PLAIN_RUN, RunnerReport, RunRequest, accepted

_BEGIN, _END = b"bayespress-begin-1", b"bayespress-end-1 "
_SHORT_SECONDS = 40.0  # of a command that does almost nothing; ssh itself takes 10 to find that nobody answers
_SECONDS_OVER = 15.0  # that the machine may take to end a runner which is over its time
# Exit statuses of our scripts, which no runner has: no place for a folder, a file that did not arrive, a runner that
# was ended for being over its time (as of timeout(1)).
NO_FOLDER, NOT_RECEIVED, _LATE = 120, 121, 124
_RUNNER, _INPUTS = "runner", "inputs.f32"

# Enters a new folder in the first of the places where programs may be executed.
MAKE = """
umask 077
entered=no
for place in {places}; do
    [ -d "$place" ] || continue
    folder=$place/{name}
    mkdir "$folder" && cd "$folder" || continue
    echo "#!$(command -v sh)" >probe && chmod 700 probe && ./probe && rm probe && entered=yes && break
    cd / && rm -rf "$folder"
done
[ $entered = yes ] || exit {no_folder}
"""
_REMOVE = """
for place in {places}; do
    [ -d "$place/{name}" ] || continue
    [ -f "$place/{name}/pid" ] && kill -9 "$(cat "$place/{name}/pid")" 2>/dev/null
    rm -rf "$place/{name}"
done
exit 0
"""
# A background process gets no signal from a connection that breaks, and outlives it for no longer than its time.
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
    """What there is to deliver files with: a folder here to work in, and limits."""

    scratch: Path
    limits: Limits


class Remote(ABC):
    """A device behind a program such as ssh or adb, which `program` names."""

    capabilities = Capabilities()
    program: str
    install: str
    places: tuple[str, ...]  # where temporary folders may go, as words of a shell script, the first that will do

    def __init__(self, name: str) -> None:
        self.name = name
        self._processor: str | None = None

    @property
    def description(self) -> str:
        """For reports."""
        return f"runner on {short(self.name)}"

    @abstractmethod
    def shell(self, script: str) -> list[str]:
        """The command here that runs a Bourne shell script there."""

    @abstractmethod
    def deliver(self, files: Mapping[str, Path], folder: str, delivery: Delivery) -> tuple[str, Path | None]:
        """Make our folder there and bring files into it by their names, or say how the next script is to do so.

        folder   its name
        delivery  where to work here, and how long it may take

        Returns the beginning of a script that goes on in the folder, and a file to feed the script.
        """

    @abstractmethod
    def unreachable(self, finished: Finished) -> BayespressError:
        """The error of a connection that gave no answer, from the message of the program here."""

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

    def making(self, folder: str) -> str:
        """The beginning of a script that makes our folder and works in it."""
        return MAKE.format(places=" ".join(self.places), name=folder, no_folder=NO_FOLDER)

    def execute(self, script: str, limits: Limits | None = None, stdin: Path | None = None) -> Finished:
        """Run a script there: its exit status, and what it printed. Raises MissingToolError when there is no answer."""
        framed = f"echo\necho {_BEGIN.decode()}\n(\n{script}\n)\nstatus=$?\necho\necho {_END.decode()}$status\n"
        try:
            within = replace(limits or Limits(_SHORT_SECONDS), until=_END)
            finished = run_program(self.shell(framed), self.name, within, stdin=stdin)
        except OverTimeError as error:
            raise MissingToolError(f"{str(error).partition(';')[0]}; check the connection to it.") from None
        _, begun, rest = _lines(finished.output).partition(b"\n" + _BEGIN + b"\n")
        output, ended, status = rest.partition(b"\n" + _END)
        digits = status.partition(b"\n")[0].strip()
        if not begun or not ended or not digits.isdigit() or len(digits) > 3:
            raise self.unreachable(finished)
        return Finished(int(digits), output.removesuffix(b"\n"), finished.errors)

    def checked(self, script: str, limits: Limits | None = None, stdin: Path | None = None) -> str:
        """What a script printed, on one line. Raises MissingToolError when it fails."""
        finished = self.execute(script, limits, stdin)
        if finished.status != 0:
            message = finished.last_line() or f"status {finished.status}"
            remedy = explained(message)
            reason = f"{remedy} ({message})" if remedy else f"{message}; check its system"
            raise MissingToolError(f"{self.name} cannot be prepared: {reason}.")
        return short(finished.output.decode(errors="replace").strip())

    def check(self, finished: Finished, limits: Limits) -> None:
        """Raise the error of a run that ended badly."""
        message = finished.last_line()
        if finished.status == NO_FOLDER:
            tried = ", ".join(place.strip('"') for place in self.places)
            reason = explained(message) or "make one of them writable"
            raise MissingToolError(
                f"{self.name} has no folder to run a program in, of {tried}: {reason} ({message or 'none is there'})."
            )
        if finished.status == NOT_RECEIVED:
            reason = explained(message) or "check the connection"
            raise MissingToolError(
                f"{self.name} did not receive the files ({message or 'they are incomplete'}); {reason}."
            )
        if finished.status == _LATE:
            raise over_time(self.name, limits)
        if finished.status != 0:
            raise failure_of(self.name, finished)

    def remove(self, folder: str) -> None:
        """Remove our folder there, if the machine still answers."""
        # Where the machine is gone, the reason is on its way to the user already.
        with contextlib.suppress(BayespressError):
            self.execute(_REMOVE.format(places=" ".join(self.places), name=folder))

    def _machine(self) -> str:
        if self._processor is None:
            self._processor = self.checked("uname -m")
        return self._processor


class _RemoteSession(Session):
    """Each run brings its files along and leaves none behind, so that a connection may break at any time."""

    def __init__(self, remote: Remote, bundle: Bundle, target: TargetEntry, progress: Progress) -> None:
        self._remote, self._bundle, self._target, self._progress = remote, bundle, target, progress

    def run(self, inputs: Path, request: RunRequest = PLAIN_RUN) -> RunnerReport:
        """See Session.run. Whatever happens, nothing of ours is left on the machine, if it still answers."""
        remote, bundle = self._remote, self._bundle
        folder = f"bayespress.{secrets.token_hex(16)}"
        examples = example_count(bundle, inputs)
        limits = limits_of(request, bundle, examples, self._progress)
        runs = Limits(limits.seconds + _SECONDS_OVER, limits.output_bytes, limits.step)
        files = {_RUNNER: bundle.folder / self._target.runner, WEIGHTS: bundle.folder / WEIGHTS, _INPUTS: inputs}
        script = _RUN.format(
            runner=_RUNNER, weights=WEIGHTS, inputs=_INPUTS, late=_LATE, seconds=max(1, math.ceil(request.seconds)),
            arguments=" ".join(map(shlex.quote, runner_flags(request))),
        )  # fmt: skip
        cleaned = False
        try:
            with tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
                beginning, stdin = remote.deliver(files, folder, Delivery(Path(scratch), limits))
                finished = remote.execute(beginning + script, runs, stdin)
            cleaned = finished.status not in (NO_FOLDER, NOT_RECEIVED)  # by the script itself
        finally:
            if not cleaned:
                remote.remove(folder)
        remote.check(finished, limits)
        return accepted(finished.output, remote.name, bundle, examples, request)


def _lines(printed: bytes) -> bytes:
    r"""With `\n` at the ends of lines, where a terminal of an old adb made it `\r\n` or `\r\r\n`."""
    return printed.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n")
