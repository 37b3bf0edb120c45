"""Runs a command of the command line in a forked process, so that packages are imported only once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bayespress.__main__ import main


class ForkedCommand:
    """`bayespress ARGUMENTS` in `folder`, started at once; its two streams are the files `out` and `err` in `logs`.

    before  called in the process first
    stdout  instead of the file: a path to write to, "closed", or "unread" for a pipe whose reader has gone
    """

    def __init__(
        self,
        arguments: Sequence[object],
        folder: Path,
        logs: Path,
        *,
        before: Callable[[], object] = lambda: None,
        stdout: str | None = None,
    ) -> None:
        logs.mkdir(exist_ok=True)
        self.out, self.err = logs / "out", logs / "err"
        for path in (self.out, self.err):
            path.write_text("")
        reader, self._errors = os.pipe()  # a pipe instead of the file, because a test may limit file sizes
        self._copying = threading.Thread(target=self._copy_errors, args=(reader,))
        self._copying.start()
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=self._run, args=([*map(str, arguments)], folder, before, stdout))
        self.process.start()
        os.close(self._errors)

    def _copy_errors(self, reader: int) -> None:
        with self.err.open("ab", buffering=0) as file:
            while piece := os.read(reader, 1 << 16):
                file.write(piece)
        os.close(reader)

    def _run(self, arguments: list[str], folder: Path, before: Callable[[], object], stdout: str | None) -> None:
        os.dup2(self._errors, 2)
        os.close(self._errors)
        if stdout == "closed":
            os.close(1)
        elif stdout == "unread":
            reader, writer = os.pipe()
            os.close(reader)
            os.dup2(writer, 1)
            os.close(writer)
        else:
            os.dup2(os.open(stdout or self.out, os.O_WRONLY), 1)
        sys.stdout = None if stdout == "closed" else os.fdopen(1, "w", closefd=False)  # as the interpreter does
        sys.stderr = os.fdopen(2, "w", closefd=False)
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        sys.argv = ["bayespress", *arguments]
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        before()
        main()

    def wait_for(self, text: str, seconds: float = 120) -> None:
        """Wait until the command has printed this text."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if text in self.out.read_text() + self.err.read_text():
                return
            if not self.process.is_alive():
                break
            time.sleep(0.01)
        raise AssertionError(f"{text!r} was not printed: {self.out.read_text()}{self.err.read_text()}")

    def send(self, number: int) -> None:
        """Send a signal to the command."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def end(self, seconds: float = 120) -> tuple[int | None, str]:
        """The exit code and the standard error."""
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            raise AssertionError(f"it did not end: {self.out.read_text()}{self.err.read_text()}")
        self._copying.join(10)
        return self.process.exitcode, self.err.read_text()

    def sentence(self, code: int) -> str:
        """The last line of standard error, after checking the exit code and that there is no traceback."""
        ended, errors = self.end()
        assert ended == code, (ended, self.out.read_text(), errors)
        assert "Traceback" not in errors
        (line,) = [line for line in errors.splitlines() if line.startswith("bayespress: ")]
        return line


def names_below(folder: Path) -> set[str]:
    """The paths of all files and folders below `folder`, relative to it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if "__pycache__" not in path.parts}
