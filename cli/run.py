"""Execution of one command line.

typer's main function reports errors differently (a framed message of several lines, "Aborted!" with exit code 1, exit
code 1 for a closed pipe). `run` returns an exit code or raises an exception, and __main__ prints one sentence for it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import typer
from typer.main import get_command

from ..errors import ExitCode, InputError, Interrupted

# The base class of typer's exceptions about usage; typer's releases import it from different packages.
_UsageFailure: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
COMPLETION = "_BAYESPRESS_COMPLETE"  # set by the shell script that `--install-completion` writes


def run(arguments: Sequence[str]) -> ExitCode:
    """Run the command in `arguments` and return its exit code.

    Raises InputError for invalid arguments, and every exception of the command.
    """
    from .app import app

    command = get_command(app)
    if COMPLETION in os.environ:  # a shell asks for completions; typer's main function prints them and exits
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
        raise Interrupted("Interrupted at a prompt; nothing was changed.") from None
    except _UsageFailure as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # `bayespress` without arguments; the help is already printed
            error.show()
            return ExitCode.BAD_INPUT
        context_of_error = getattr(error, "ctx", None)
        path = "bayespress" if context_of_error is None else context_of_error.command_path
        raise InputError(f"{error.format_message().rstrip('.')}; see `{path} --help`.") from None
    return ExitCode.DONE
