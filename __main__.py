"""`bayespress` and `python -m bayespress`: whatever happens ends in one sentence and an exit code.

Nothing heavy is imported at the top, so that Ctrl-C during an import ends like Ctrl-C at any other time.
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
    except BaseException as error:  # the one place where no exception may pass
        code = _failed(error)
    code = _flushed(code)
    if code == ExitCode.INTERRUPTED and _STOP.number is not None:
        code = ExitCode(128 + _STOP.number)
        _STOP.ignore()
    sys.exit(code)


class _Stop:
    """Handler of SIGTERM and SIGHUP, which end a command as Ctrl-C does: programs that it started and scratch files go.

    number  of the signal that came first; None without one
    ending  whether the command has ended already, so that nothing is left to clean
    """

    # `timeout` sends a signal to the process and to its group, a closed terminal's shell and kernel send one each.
    _SAME_REQUEST_S = 1.0

    number: int | None
    ending: bool
    _last: float

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.number, self.ending, self._last = None, False, -self._SAME_REQUEST_S

    def install(self) -> None:
        """Take the signals that would end the process, but not one that it was started to ignore, as by nohup."""
        self._begin()  # a process may run several commands, one after another
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self)

    def ignore(self) -> None:
        """See that a repeated signal does not change the exit code: the interpreter's end gives up its handlers."""
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


def _failed(error: BaseException) -> ExitCode:
    """Say what happened; the exit code."""
    # A second Ctrl-C ends the process at once, without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _STOP.ending = True
    if isinstance(error, SystemExit):
        # rich and Lightning end the process in their own ways.
        if isinstance(error.__context__, BrokenPipeError):
            return ExitCode.NO_READER
        if isinstance(error.__context__, KeyboardInterrupt):
            return _failed(error.__context__)
        return ExitCode(error.code) if error.code in set(ExitCode) else ExitCode.DEFECT
    if isinstance(error, BrokenPipeError) and error.filename in _STREAMS.values():
        return ExitCode.NO_READER
    if os.environ.get(DEBUG):
        _say("".join(traceback.format_exception(error)).rstrip())
    ours = in_one_sentence(error)
    if isinstance(error, KeyboardInterrupt):  # where the command itself knows more, it has raised Interrupted
        ours = Interrupted(f"{str(ours).rstrip('.')}; begin again with: {_command_line()}")
    _say(f"bayespress: {printable(ours)}")
    return ours.exit_code


def _command_line() -> str:
    from .cli.interrupt import command_line

    return command_line()


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # where standard error cannot be written, the exit code remains
        print(text, file=sys.stderr, flush=True)


def _flushed(code: ExitCode) -> ExitCode:
    """Write out what is buffered, as the interpreter would do later without a way to say that it failed."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Else the interpreter tries once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return code or _failed(error)
    return code


_STREAMS = {"stdout": "standard output", "stderr": "standard error"}


class _Stream(io.TextIOWrapper):
    """Standard output or error, whose failures say which of them cannot be written, as those of files name the file."""

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
    """See that the three standard streams exist and take any character.

    Raises InputError when standard output is closed: what was asked for could not be shown.
    """
    closed = [number for number in range(3) if not _is_open(number)]
    for number in closed:  # else the next file that is opened gets the number, and messages are written into it
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor != number:
            os.dup2(descriptor, number)
            os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - lives as long as we
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
    """Threads and finalisers that fail while a command ends say nothing of their own, unless tracebacks are wanted."""
    if os.environ.get(DEBUG):
        return
    sys.unraisablehook = lambda _failure: None
    threading.excepthook = lambda _failure: None


if __name__ == "__main__":
    main()
