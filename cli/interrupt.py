"""The message after Ctrl-C: which results are kept, and the command that continues."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from ..errors import Interrupted
from ..optuna_study import without_password
from ..text import shell_quoted


@contextlib.contextmanager
def resumable(kept: str | None = None) -> Iterator[None]:
    """Convert Ctrl-C inside the block into a message for a command that continues if it is repeated.

    kept  clause about the kept results, as "3 trials are kept in search.db"; None to use the message of the Interrupted
          error that the block raises

    The message ends with the user's own command line, not with a command that an inner Interrupted error names.
    """
    try:
        yield
    except (KeyboardInterrupt, Interrupted) as stop:
        sentence = f"Interrupted; {kept}" if kept is not None else str(stop) or "Interrupted"
        raise Interrupted(f"{sentence}; continue with: {command_line()}") from None


def command_line() -> str:
    """The user's command line without passwords."""
    return " ".join(["bayespress", *(shell_quoted(without_password(word)) for word in sys.argv[1:])])
