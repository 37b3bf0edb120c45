"""Output of all commands: results on standard output, progress and notes on standard error.

Names come from untrusted files. They are printed as plain text without markup, escape codes or characters that change
the direction of writing (text.printable); with --json, JSON's own escapes do this.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..text import printable
from .lost_interrupt import raise_lost_interrupt

if TYPE_CHECKING:
    from rich.table import Table

_WIDEST = 10_000  # width of a table in a pipe, large enough that no row wraps

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="BAYESPRESS_DATA", help="Folder with the files of the data set."),
]
TrustCode = Annotated[
    bool,
    typer.Option(
        "--trust-code",
        help="Import and run the module:callable that a run or a recipe names. This executes its author's code.",
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace an earlier output of the same kind. Other files are never replaced."),
]


def step(text: str) -> None:
    """Print one line of progress on standard error. Raises KeyboardInterrupt if a library discarded an earlier one."""
    raise_lost_interrupt()
    print(f"· {printable(text)}", file=sys.stderr, flush=True)


def note(text: str) -> None:
    """Print a remark about the result on standard error."""
    print(f"! {printable(text)}", file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print a JSON document on standard output. A pydantic model or a dataclass becomes an object of its fields."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A rich table of plain text. The first column is left-aligned, the others right-aligned; long cells wrap."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    def plain(cell: object) -> Text:
        return Text("" if cell is None else printable(cell))

    result = Table(title=plain(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        result.add_column(plain(column), justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        result.add_row(*map(plain, row))
    return result


def show(*tables: Table | str) -> None:
    """Print tables and lines of text on standard output.

    On a terminal a table has at most the terminal's width, and long cells wrap. In a pipe each row is one line without
    trailing spaces. A text is never wrapped.
    """
    from rich.console import Console

    on_terminal = sys.stdout.isatty()
    width = None if on_terminal else _WIDEST
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    for item in tables:
        if isinstance(item, str):
            console.print(printable(item), soft_wrap=True)
        elif on_terminal:
            console.print(item)
        else:
            with console.capture() as captured:
                console.print(item)
            lines = [line.rstrip() for line in captured.get().split("\n")]
            sys.stdout.write("".join(f"{line}\n" for line in lines if line))


def percent(value: float | None) -> str:
    """A percentage for a table; a dash for None."""
    return "–" if value is None else f"{value:.2f} %"


def size(count: float) -> str:
    """A number of bytes for a table: exact below 10,000, else in kB."""
    return f"{count:,.0f} B" if count < 10_000 else f"{count / 1000:,.1f} kB"
