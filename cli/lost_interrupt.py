"""Detection of a Ctrl-C that a library discarded by catching every exception; the next line of progress raises it.

Python writes every signal that it handles to a file descriptor, independently of the exception that the handler raises.
If the command still runs after a signal was written, a library discarded the exception.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_READ_SIZE = 4096  # bytes; one byte per signal


class _Watch:
    """The signals received since `begin`.

    reader, writer  descriptors of a non-blocking pipe; None and -1 before `begin`
    """

    reader: int | None = None
    writer: int = -1

    def begin(self) -> None:
        if self.reader is None:
            self.reader, self.writer = os.pipe()
            for end in (self.reader, self.writer):
                os.set_blocking(end, False)
        signal.set_wakeup_fd(self.writer, warn_on_full_buffer=False)
        self.received()

    def received(self) -> bool:
        """Whether a signal that ends a command was received since the last call."""
        if self.reader is None:
            return False
        try:
            return not _SIGNALS.isdisjoint(os.read(self.reader, _READ_SIZE))
        except BlockingIOError:
            return False


_WATCH = _Watch()


def watch_for_interrupts() -> None:
    """Start recording signals. Only the main thread may call this."""
    _WATCH.begin()


def raise_lost_interrupt() -> None:
    """Raise KeyboardInterrupt if a signal that ends the command was received and its exception was discarded.

    Raises nothing while an exception is being handled, because the command is then already ending and cleaning up.
    """
    # Python raises KeyboardInterrupt only in the main thread.
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and sys.exception() is None and _WATCH.received():
        raise KeyboardInterrupt
