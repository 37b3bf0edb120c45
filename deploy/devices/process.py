"""Running programs under limits: they may hang, print without end or be interrupted."""

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
# How long a pipe is read after the program has ended: a daemon that the program started (adb's) may keep it open.
_DRAIN_SECONDS, _MOST_DRAIN_SECONDS = 0.5, 5.0
_SECONDS_TO_END = 2.0


@dataclass(frozen=True)
class Limits:
    """The limits of one run of a program.

    seconds       wall time after which the program is stopped
    output_bytes  size of standard output after which it is stopped
    step          receives a line of progress every ten seconds
    until         beginning of the last line to wait for, because processes of a login may keep the output open; None
                  to wait for the end of the program
    """

    seconds: float
    output_bytes: int = 1 << 20
    step: Callable[[str], None] = lambda _text: None
    until: bytes | None = None


@dataclass(frozen=True)
class Finished:
    """The result of a program that ended.

    status       exit status, or the negative number of the signal that ended the program
    output       its standard output
    errors       the last 64 KiB of its standard error
    error_lines  number of lines of its standard error
    """

    status: int
    output: bytes
    errors: bytes
    error_lines: int = 0

    def last_line(self) -> str:
        """The last line of standard error or, if that is empty, of standard output; safe to print. May be empty."""
        for stream in (self.errors, self.output):
            lines = [line.strip(" \t\0") for line in stream[-_MOST_ERROR_TEXT:].decode(errors="replace").splitlines()]
            if lines := [line for line in lines if line]:
                return short(lines[-1].removeprefix("runner: ").rstrip("."))
        return ""


def short(text: object, most: int = 300) -> str:
    """Untrusted text made printable on one line, and cut after `most` characters."""
    shown = printable(str(text)[:most])
    return shown if len(str(text)) <= most else f"{shown}…"


def run_program(command: Sequence[str | Path], name: str, limits: Limits, *, stdin: Path | None = None) -> Finished:
    """Run a program in a session of its own and wait for its end: it cannot prompt, and Ctrl-C does not reach it.

    name   name of the device, for messages
    stdin  file for its standard input; None for an empty input

    Both outputs are read continuously, so the program never blocks on a full pipe. The program and its children are
    ended before this function returns, also after Ctrl-C. Raises MissingToolError if the program cannot be started,
    CheckFailedError if it exceeds a limit.
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
    """The error for a program that the system did not start."""
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
    """A program did not end within its time limit."""


def over_time(name: str, limits: Limits) -> OverTimeError:
    """The error for a program that was stopped at its time limit."""
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
    answered = False  # whether the line `limits.until` has arrived
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
                    f"{name} printed more than {limits.output_bytes} bytes, and no report is that long; "
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
    """Whether a complete line with this beginning (shorter than 64 bytes) follows the first `seen` bytes."""
    at = output.find(b"\n" + beginning, max(0, seen - 64))
    return at >= 0 and output.find(b"\n", at + 1) >= 0


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a running program together with its children, and close its pipes."""
    try:
        running = process.poll() is None
        # SIGKILL follows even if SIGTERM ended the program, because its children may ignore SIGTERM.
        for number in (signal.SIGTERM, signal.SIGKILL) if running else ():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_TO_END)
    finally:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
