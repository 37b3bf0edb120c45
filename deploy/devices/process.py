"""Running programs that may hang, never stop printing or be interrupted."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import BayespressError, CheckFailedError, MissingToolError
from ...text import printable

_PIECE = 1 << 20
_MOST_ERROR_TEXT = 1 << 16
_SECONDS_BETWEEN_STEPS = 10.0
_POLL_SECONDS = 0.25
# How long a pipe is read after its program's end, where a daemon that the program started (adb's) keeps it open.
_DRAIN_SECONDS, _MOST_DRAIN_SECONDS = 0.5, 5.0
_SECONDS_TO_END = 2.0


@dataclass(frozen=True)
class Limits:
    """Of one run of a program.

    seconds  before it is stopped
    output_bytes  of standard output before it is stopped
    step     receives a line of progress now and then
    until    beginning of the last line that is waited for: what a login started may keep the output open beyond it
    """

    seconds: float
    output_bytes: int = 1 << 20
    step: Callable[[str], None] = lambda _text: None
    until: bytes | None = None


@dataclass(frozen=True)
class Finished:
    """A program that ended.

    status  exit status, or minus the number of the signal that ended it
    errors  the last 64 KiB of its standard error
    error_lines  how many lines its standard error had
    """

    status: int
    output: bytes
    errors: bytes
    error_lines: int = 0

    def last_line(self) -> str:
        """The last line of standard error, or else of standard output; safe to print. Empty when there is none."""
        for stream in (self.errors, self.output):
            lines = [line.strip(" \t\0") for line in stream[-_MOST_ERROR_TEXT:].decode(errors="replace").splitlines()]
            if lines := [line for line in lines if line]:
                return short(lines[-1].removeprefix("runner: ").rstrip("."))
        return ""


def short(text: object, most: int = 300) -> str:
    """Text from a stranger on one line, cut where it is too long for a sentence."""
    shown = printable(str(text)[:most])
    return shown if len(str(text)) <= most else f"{shown}…"


def run_program(command: Sequence[str | Path], name: str, limits: Limits, *, stdin: Path | None = None) -> Finished:
    """Run a program to its end, in a session of its own: it cannot ask the terminal, and Ctrl-C reaches us alone.

    name   of the device, for messages
    stdin  file to feed it; nothing otherwise

    Both of its outputs are read all the time, so that it never waits for us. Whatever happens here, Ctrl-C included,
    it and what it started are ended before this returns. Raises MissingToolError when it cannot be started,
    CheckFailedError when it is over a limit.
    """
    with contextlib.ExitStack() as stack:
        try:
            source = stack.enter_context(stdin.open("rb")) if stdin is not None else subprocess.DEVNULL
            process = subprocess.Popen(
                [str(part) for part in command], stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                bufsize=0, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise start_failure(command[0], name, error) from None
        stack.callback(_end, process)
        return _watch(process, name, limits)


def start_failure(program: str | Path, name: str, error: OSError) -> BayespressError:
    """The sentence on a program that the system did not start."""
    if error.errno == errno.ENOEXEC:
        return CheckFailedError(
            f"{short(Path(program).name)} is a program for another processor than that of {name}; build for this one."
        )
    if error.errno == errno.EACCES:
        return MissingToolError(
            f"{short(program)} may not be executed on {name}; copy the bundle to a file system that allows programs."
        )
    return MissingToolError(f"{short(program)} cannot be started on {name} ({short(error.strerror)}); check the path.")


class OverTimeError(CheckFailedError):
    """A program that did not end within its time."""


def over_time(name: str, limits: Limits) -> OverTimeError:
    """The error of a program that was stopped for its time."""
    return OverTimeError(
        f"{name} did not end within {limits.seconds:g} seconds and was stopped; check it, or raise --time-limit."
    )


def _watch(process: subprocess.Popen[bytes], name: str, limits: Limits) -> Finished:
    assert process.stdout is not None
    assert process.stderr is not None
    output, errors, error_lines = bytearray(), bytearray(), 0
    started = time.monotonic()
    next_step = started + _SECONDS_BETWEEN_STEPS
    ended: float | None = None
    answered = False  # by the last line that is waited for
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, output)
        selector.register(process.stderr, selectors.EVENT_READ, errors)
        while selector.get_map():
            ready, seen = selector.select(_POLL_SECONDS), len(output)
            for key, _ in ready:
                piece = os.read(key.fd, _PIECE)
                key.data.extend(piece)
                error_lines += piece.count(b"\n") if key.data is errors else 0
                if not piece:
                    selector.unregister(key.fileobj)
            if len(output) > limits.output_bytes:
                raise CheckFailedError(
                    f"{name} printed more than {limits.output_bytes} bytes, which is more than any report has; "
                    "check what its shell prints, or build the bundle again."
                )
            del errors[:-_MOST_ERROR_TEXT]
            now = time.monotonic()
            answered = answered or (limits.until is not None and _has_line(output, limits.until, seen))
            if ended is None and (answered or process.poll() is not None):
                ended = now
            if ended is not None and now - ended > (_MOST_DRAIN_SECONDS if ready else _DRAIN_SECONDS):
                break
            if now - started > limits.seconds and ended is None:
                raise over_time(name, limits)
            if now > next_step:
                limits.step(f"{name}: running for {now - started:.0f} s, stopped after {limits.seconds:.0f} s")
                next_step += _SECONDS_BETWEEN_STEPS
    if answered:
        return Finished(0, bytes(output), bytes(errors), error_lines)
    try:
        status = process.wait(max(0.0, started + limits.seconds - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise over_time(name, limits) from None
    return Finished(status, bytes(output), bytes(errors), error_lines)


def _has_line(output: bytearray, beginning: bytes, seen: int) -> bool:
    """Whether a whole line with this beginning (less than 64 bytes long) came after the first `seen` bytes."""
    at = output.find(b"\n" + beginning, max(0, seen - 64))
    return at >= 0 and output.find(b"\n", at + 1) >= 0


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program that still runs, with what it started, and let go of its pipes."""
    try:
        running = process.poll() is None
        # SIGKILL even where the program has ended by then: what it started may ignore SIGTERM.
        for number in (signal.SIGTERM, signal.SIGKILL) if running else ():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_TO_END)
    finally:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
