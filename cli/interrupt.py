"""What Ctrl-C says: what was kept, and the command that goes on."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from ..errors import Interrupted
from ..optuna_study import without_password
from ..text import shell_quoted


@contextlib.contextmanager
def resumable(kept: str | None = None) -> Iterator[None]:
    """Turn Ctrl-C during the block into a sentence for a command that goes on when it is given once more.

    kept  what a later command finds, as "3 trials are kept in search.db"; None takes the sentence of the Interrupted
          error that the block raises

    The command that an Interrupted error from inside names is replaced: the one that goes on is the user's own.
    """
    try:
        yield
    except (KeyboardInterrupt, Interrupted) as stop:
        sentence = f"Interrupted; {kept}" if kept is not None else str(stop) or "Interrupted"
        raise Interrupted(f"{sentence}; go on with: {command_line()}") from None


def command_line() -> str:
    """The command as it was given, without passwords."""
    return " ".join(["bayespress", *(shell_quoted(without_password(word)) for word in sys.argv[1:])])
