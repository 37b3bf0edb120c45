"""Ctrl-C and SIGTERM during training: the first ends it in good order, the second at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from lightning.pytorch.callbacks import Callback

_SHOW_CURSOR = b"\x1b[?25h"


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Within it Ctrl-C and SIGTERM raise KeyboardInterrupt, and a second one ends the process at once.

    A signal that the program ignores, or handles by a function of its own as the command line does with SIGTERM, is
    left to that; outside the main thread nothing changes.
    """
    if not _in_main_thread():
        yield
        return
    stopping = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            _die_of(number)
        stopping = True
        raise KeyboardInterrupt

    before: dict[int, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if handler in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = handler
                signal.signal(number, stop)
        yield
    finally:
        for caught, handler in before.items():
            signal.signal(caught, handler)


class SecondInterrupt(Callback):  # type: ignore[misc]
    """Keeps the handler of Ctrl-C through Lightning's shutdown, for which Lightning would ignore it."""

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGINT)

    def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Called when training ends early, before the trainer is taken down."""
        if isinstance(exception, KeyboardInterrupt):
            self.restore()

    def restore(self) -> None:
        """Install the handler again."""
        if _in_main_thread() and self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)


@contextlib.contextmanager
def leaving_the_trainer() -> Iterator[SecondInterrupt]:
    """Let KeyboardInterrupt pass out of the trainer, which would end the process itself; yields a callback for it."""
    handler = SecondInterrupt()
    try:
        yield handler
    except SystemExit as ended:
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        handler.restore()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _die_of(number: int) -> None:
    """End as a process without a handler would."""
    if sys.stderr.isatty():
        os.write(2, _SHOW_CURSOR)  # a progress bar hides it
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
