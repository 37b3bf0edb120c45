"""What all commands share on the terminal: results on standard output, progress on standard error.

Names come from files of strangers. They are shown as text: no markup, no escape codes, nothing that turns the direction
of writing (text.printable); --json leaves that to JSON's own escapes.
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

_WIDEST = 10_000  # columns of a table in a pipe, where nothing wraps

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="BAYESPRESS_DATA", help="Folder that holds the data sets' files."),
]
TrustCode = Annotated[
    bool,
    typer.Option(
        "--trust-code", help="Import and run the module:callable that a run or a recipe file names: code of its author."
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace an earlier output of the same kind; nothing else is ever replaced."),
]


def step(text: str) -> None:
    """One line of progress on standard error. Raises KeyboardInterrupt when a library has discarded one."""
    raise_lost_interrupt()
    print(f"· {printable(text)}", file=sys.stderr, flush=True)


def note(text: str) -> None:
    """Something the user should know about the result, on standard error."""
    print(f"! {printable(text)}", file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """One JSON document on standard output; a pydantic model or a dataclass as its fields."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A rich table of plain texts: first column left, the others right, as figures want. Long cells wrap."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    def plain(cell: object) -> Text:
        return Text("" if cell is None else printable(cell))

    made = Table(title=plain(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        made.add_column(plain(column), justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        made.add_row(*map(plain, row))
    return made


def show(*tables: Table | str) -> None:
    """Print to standard output. On a terminal tables are as wide as that, and long cells wrap; in a pipe each row is
    one line of its own width, without the spaces that fill a line. A text stays on one line, however long.
    """
    from rich.console import Console

    on_terminal = sys.stdout.isatty()
    width = None if on_terminal else _WIDEST
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    for each in tables:
        if isinstance(each, str):
            console.print(printable(each), soft_wrap=True)
        elif on_terminal:
            console.print(each)
        else:
            with console.capture() as captured:
                console.print(each)
            lines = [line.rstrip() for line in captured.get().split("\n")]
            sys.stdout.write("".join(f"{line}\n" for line in lines if line))


def percent(value: float | None) -> str:
    """An error rate for a table."""
    return "–" if value is None else f"{value:.2f} %"


def size(count: float) -> str:
    """A number of bytes for a person: exact below 10,000."""
    return f"{count:,.0f} B" if count < 10_000 else f"{count / 1000:,.1f} kB"
