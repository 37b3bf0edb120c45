"""Ctrl-C that a library discards, as code does that catches every exception: the next line of progress raises it again.

Python reports every signal that it handles to a file descriptor, whatever becomes of the exception that the handler
raises. So a signal that was reported, while the command goes on as if nothing had happened, was lost.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_ENOUGH = 4096  # bytes of a pipe, one a signal


class _Watch:
    """Signals since `begin`.

    reader, writer  descriptors of a pipe that does not block; None and -1 before `begin`
    """

    reader: int | None = None
    writer: int = -1

    def begin(self) -> None:
        if self.reader is None:
            self.reader, self.writer = os.pipe()
            for end in (self.reader, self.writer):
                os.set_blocking(end, False)
        signal.set_wakeup_fd(self.writer, warn_on_full_buffer=False)
        self.came()

    def came(self) -> bool:
        """Whether one of the signals that end a command came since the last call."""
        if self.reader is None:
            return False
        try:
            return not _SIGNALS.isdisjoint(os.read(self.reader, _ENOUGH))
        except BlockingIOError:
            return False


_WATCH = _Watch()


def watch_for_interrupts() -> None:
    """Begin to note signals; of the main thread."""
    _WATCH.begin()


def raise_lost_interrupt() -> None:
    """Raise KeyboardInterrupt if a signal to end came and nothing came of it.

    While an exception is being handled nothing is raised: then the command is ending, and what it does is to tidy up.
    """
    # Only the main thread is interrupted, so only there can an interrupt be missed.
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and sys.exception() is None and _WATCH.came():
        raise KeyboardInterrupt
