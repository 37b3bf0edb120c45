"""Running one command of the command line.

typer's own main function ends a process in its own ways (a framed message of several lines, "Aborted!" with code 1,
code 1 for a closed pipe). Here every end is an exit code or an exception, and __main__ turns those into one sentence.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import typer
from typer.main import get_command

from ..errors import ExitCode, InputError, Interrupted

# The common base of typer's exceptions about usage; which package defines it differs between typer's releases.
_UsageFailure: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
COMPLETION = "_BAYESPRESS_COMPLETE"  # set by the script that `--install-completion` writes


def run(arguments: Sequence[str]) -> ExitCode:
    """Run the command that `arguments` name; its exit code.

    Raises InputError for arguments that do not fit the command, and whatever the command raises.
    """
    from .app import app

    command = get_command(app)
    if COMPLETION in os.environ:  # a shell asks what may follow; typer's main function answers, and ends the process
        try:
            command.main(list(arguments), prog_name="bayespress", standalone_mode=False)
        except SystemExit as end:
            return ExitCode(int(end.code or 0))
    try:
        with command.make_context("bayespress", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as end:
        return ExitCode(end.exit_code)
    except typer.Abort:
        raise Interrupted("Interrupted at a question; nothing was changed.") from None
    except _UsageFailure as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # `bayespress` alone; the help was printed already
            error.show()
            return ExitCode.BAD_INPUT
        context_of_error = getattr(error, "ctx", None)
        path = "bayespress" if context_of_error is None else context_of_error.command_path
        raise InputError(f"{error.format_message().rstrip('.')}; see `{path} --help`.") from None
    return ExitCode.DONE
