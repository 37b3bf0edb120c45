"""What a page consists of, and its HTML: one file that needs no network and lets no text act as markup."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

from .._version import __version__
from ..optional import require
from ..text import printable
from .charts import CONFIG, chart_svg, specification
from .glossary import explained
from .script import chart_script, policy

MOST_BYTES = 1_000_000
_MOST_ROWS = (400, 200, 100, 50, 25)  # of a table; the first with which the page is small enough
# What reads as a number: digits first, then at most a unit of a word or two.
_NUMBER = re.compile(r"[-−–+]?[\d.,]*(?: ?[%×]| [\w/µ]{1,12}){0,2}")


@dataclass(frozen=True)
class Card:
    """A figure on top of the page."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Table:
    """A table of plain texts, which scrolls inside itself; columns of numbers stand to the right.

    head  empty for pairs of a name and its value
    wide  takes the whole width of the page
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    wide: bool = True
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Chart:
    """A chart of charts.py.

    note  stands below it
    wide  takes the whole width of the page
    """

    title: str
    chart: Any
    note: str = ""
    wide: bool = False
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Picture:
    """An image that stands in the page itself, as PNG."""

    title: str
    png: bytes
    note: str = ""
    wide: bool = True
    kind: ClassVar[str] = "picture"


Part = Text | Table | Chart | Picture


@dataclass(frozen=True)
class Section:
    """Parts under one heading, which may be empty."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Page:
    """A page: all its texts are plain, and the terms of the glossary in them are explained on hover."""

    title: str
    lead: str
    cards: Sequence[Card] = ()
    sections: Sequence[Section] = ()

    def html(self, *, interactive: bool = True) -> str:
        """The page as one HTML file.

        interactive  with the script that draws the charts (0.9 MB); without it they are SVG, and the page has no
                     script at all

        A page that would be larger than MOST_BYTES shows fewer rows of its long tables, and says so below them.
        Raises MissingPackageError when a package of the extra `report` is missing.
        """
        charts: list[dict[str, Any]] = []
        sections = [
            {
                "title": section.title,
                "columns": _columns(section),
                "parts": [_shown(part, charts, interactive=interactive) for part in section.parts],
            }
            for section in self.sections
            if section.parts
        ]
        script = _markup(chart_script()) if interactive and charts else None
        text = ""
        for most_rows in _MOST_ROWS:
            text = _template().render(
                page=self, sections=sections, version=__version__, style=_markup(_style()), script=script,
                charts={"config": CONFIG, "specifications": charts}, policy=_markup(policy(script)),
                most_rows=most_rows,
            )  # fmt: skip
            if len(text.encode()) < MOST_BYTES:
                break
        return text + "\n"


def _columns(section: Section) -> int:
    """Charts beside each other where the window has room: two where three would leave one alone, or a gap."""
    narrow = sum(not isinstance(part, Text) and not part.wide for part in section.parts)
    return 2 if narrow in (2, 4) else 3


def _shown(part: Part, charts: list[dict[str, Any]], *, interactive: bool) -> dict[str, Any]:
    """A part as the template takes it; the specification of a chart is added to `charts`."""
    shown: dict[str, Any] = {"kind": part.kind, **vars(part)}
    if isinstance(part, Table):
        shown["is_text"] = _text_columns(part)
    elif isinstance(part, Picture):
        shown["address"] = f"data:image/png;base64,{base64.b64encode(part.png).decode()}"
    elif isinstance(part, Chart):
        if interactive:
            charts.append(specification(part.chart))
        else:
            shown["svg"] = _markup(chart_svg(part.chart))
        shown["number"] = len(charts)
    return shown


def _text_columns(table: Table) -> list[bool]:
    """Which columns hold words: the first, and every one with a cell that is no number."""
    count = max((len(row) for row in (table.head, *table.rows)), default=0)
    cells = [[row[column] for row in table.rows if column < len(row)] for column in range(count)]
    return [
        column == 0 or not all(_NUMBER.fullmatch(cell) for cell in cells[column]) for column in range(count)
    ]  # fmt: skip


def _markup(text: str) -> Any:
    """Text that the template takes as HTML: all of it was made, and escaped, here."""
    require("jinja2")  # brings markupsafe, and is what the error names
    return require("markupsafe").Markup(text)


@cache
def _style() -> str:
    return files(__package__).joinpath("templates", "page.css").read_text("utf-8")


@cache
def _template() -> Any:
    jinja2 = require("jinja2")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.ChainableUndefined, loader=jinja2.PackageLoader(__package__)
    )
    environment.filters["explained"] = lambda text: _markup(explained(text))
    environment.filters["printable"] = printable
    return environment.get_template("page.html")
