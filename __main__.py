"""Entry point of `bayespress` and `python -m bayespress`: every failure becomes one sentence and an exit code.

Heavy packages are imported later, inside `main`, so that Ctrl-C during their import is handled like any other Ctrl-C.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from types import FrameType

from .errors import DEBUG, ExitCode, InputError, Interrupted, in_one_sentence
from .text import ENCODING_ERRORS, printable


def main() -> None:
    """Run the command line and exit with its code (errors.ExitCode)."""
    code = ExitCode.DEFECT
    try:
        code = _run()
    except BaseException as error:  # no exception may leave this function
        code = _report_failure(error)
    code = _flush_output(code)
    if code == ExitCode.INTERRUPTED and _STOP.number is not None:
        code = ExitCode(128 + _STOP.number)
        _STOP.ignore()
    sys.exit(code)


class _Stop:
    """Handler of SIGTERM and SIGHUP. They end a command like Ctrl-C: child processes end, temporary files are removed.

    number  number of the first signal received; None before
    ending  whether the command has already ended, so that nothing remains to clean up
    """

    # One request may send two signals: `timeout` signals the process and its group; for a closed terminal, the shell
    # and the kernel send one each.
    _SAME_REQUEST_S = 1.0

    number: int | None
    ending: bool
    _last: float

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.number, self.ending, self._last = None, False, -self._SAME_REQUEST_S

    def install(self) -> None:
        """Handle the signals that would end the process, but not a signal that is already ignored (nohup)."""
        self._begin()  # one process may run several commands in sequence
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self)

    def ignore(self) -> None:
        """Ignore further signals: the interpreter removes handlers at its end, so they would change the exit code."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        before, self._last = self._last, time.monotonic()
        if self._last - before < self._SAME_REQUEST_S:
            return
        if self.ending:
            os._exit(128 + number)
        self.number = self.number or number
        raise KeyboardInterrupt


_STOP = _Stop()


def _run() -> ExitCode:
    _STOP.install()
    _prepare_streams()
    _silence_background_failures()
    from .cli.lost_interrupt import watch_for_interrupts

    watch_for_interrupts()
    from .cli.run import run

    return run(sys.argv[1:])


def _report_failure(error: BaseException) -> ExitCode:
    """Print one sentence for an exception and return the exit code."""
    # A second Ctrl-C ends the process at once without a message.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _STOP.ending = True
    if isinstance(error, SystemExit):
        # rich and Lightning raise SystemExit for a broken pipe and for Ctrl-C.
        if isinstance(error.__context__, BrokenPipeError):
            return ExitCode.NO_READER
        if isinstance(error.__context__, KeyboardInterrupt):
            return _report_failure(error.__context__)
        return ExitCode(error.code) if error.code in set(ExitCode) else ExitCode.DEFECT
    if isinstance(error, BrokenPipeError) and error.filename in _STREAMS.values():
        return ExitCode.NO_READER
    if os.environ.get(DEBUG):
        _print_error("".join(traceback.format_exception(error)).rstrip())
    failure = in_one_sentence(error)
    if isinstance(error, KeyboardInterrupt):  # a command that keeps results has raised Interrupted instead
        failure = Interrupted(f"{str(failure).rstrip('.')}; start again with: {_command_line()}")
    _print_error(f"bayespress: {printable(failure)}")
    return failure.exit_code


def _command_line() -> str:
    from .cli.interrupt import command_line

    return command_line()


def _print_error(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # if standard error cannot be written, the exit code still reports
        print(text, file=sys.stderr, flush=True)


def _flush_output(code: ExitCode) -> ExitCode:
    """Flush standard output and return the exit code; the interpreter's own flush at its end reports no errors."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Otherwise the interpreter would try to flush again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return code or _report_failure(error)
    return code


_STREAMS = {"stdout": "standard output", "stderr": "standard error"}


class _Stream(io.TextIOWrapper):
    """Standard output or error with its name as the file name of every OSError."""

    def __init__(self, stream: io.TextIOWrapper, role: str) -> None:
        encoding, lines, through = stream.encoding, stream.line_buffering, stream.write_through
        super().__init__(stream.detach(), encoding, ENCODING_ERRORS, line_buffering=lines, write_through=through)
        self.role = role

    def write(self, text: str, /) -> int:
        with self._named():
            return super().write(text)

    def flush(self) -> None:
        with self._named():
            super().flush()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise type(error)(error.errno, error.strerror, self.role) from None


def _prepare_streams() -> None:
    """Make sure that the three standard streams exist and accept every character.

    Raises InputError if standard output is closed, because the result could not be printed.
    """
    closed = [number for number in range(3) if not _is_open(number)]
    for number in closed:  # otherwise the next opened file gets this descriptor, and messages are written into it
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor != number:
            os.dup2(descriptor, number)
            os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - never closed
    for name, role in _STREAMS.items():
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, _Stream(stream, role))
    if 1 in closed:
        raise InputError("Standard output is closed; redirect it to /dev/null if the output is not wanted.")


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _silence_background_failures() -> None:
    """Suppress messages of threads and finalisers that fail while a command ends, unless tracebacks are enabled."""
    if os.environ.get(DEBUG):
        return
    sys.unraisablehook = lambda _failure: None
    threading.excepthook = lambda _failure: None


if __name__ == "__main__":
    main()
