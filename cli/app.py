"""The application: all commands and the options that they share."""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc
from typing import Annotated

import typer

from ..optional import needs
from .bench import bench
from .build import build
from .compress import compress
from .decode import decode
from .demo import demo
from .inspect import inspect
from .report import report
from .search import search
from .sign import sign
from .targets import targets
from .train import train
from .verify import verify

_EPILOG = (
    "Exit codes: 0 success, 1 a check failed, 2 wrong usage or input, 3 a device, tool or package is missing, 70 a "
    "defect of bayespress (BAYESPRESS_DEBUG=1 shows the traceback), 129 SIGHUP, 130 Ctrl-C, 141 the reader of the "
    "output closed the pipe, 143 SIGTERM."
)

app = typer.Typer(
    help="Bring a PyTorch network to a phone in a few kilobytes: train, compress, build, verify, bench. "
    "`bayespress demo` runs all steps once.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},  # applies to every command
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"bayespress {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _paragraphs(text: str | None) -> str:
    """A docstring with each paragraph on one line, so that the terminal can wrap it at its own width."""
    return "\n\n".join(" ".join(part.split()) for part in cleandoc(text or "").split("\n\n"))


# Each command and the extra with all packages that it may need; "" if the base dependencies are enough.
COMMANDS: tuple[tuple[Callable[..., None], str], ...] = (
    (demo, "all"),
    (train, "train"),
    (search, "all"),
    (compress, "compress"),
    (build, "deploy"),
    (sign, "deploy"),
    (targets, "deploy"),
    (bench, "deploy"),
    (verify, "deploy"),
    (inspect, ""),
    (decode, ""),
    (report, "report"),
)

for _command, _extra in COMMANDS:
    app.command(epilog=_EPILOG, help=_paragraphs(_command.__doc__))(needs(_extra)(_command) if _extra else _command)
