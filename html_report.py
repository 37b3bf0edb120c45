"""One-file pages for people: pictures as SVG inside the HTML, no scripts, nothing fetched."""

from __future__ import annotations

import html
import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .errors import MissingPackageError, reason_of
from .text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#2a6fbb", "#d9762b", "#9aa3ad"
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1c232b}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "td,th{padding:.2rem .9rem;text-align:right;border-bottom:1px solid #dde3ea}"
    "td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}"
)
# What a browser may do with a page: apply its own styles, and nothing else.
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; form-action 'none'\">"
)


@contextmanager
def new_figure(columns: int, width: float = 4.2, height: float = 3.2) -> Iterator[tuple[Figure, Sequence[Any]]]:
    """A figure of `columns` axes in a row, in our style; to be turned into SVG inside the block.

    Raises MissingPackageError when matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError("matplotlib", reason_of(error)) from error
    settings = {"svg.fonttype": "path", "svg.hashsalt": "bayespress", "font.size": 9, "axes.titleweight": "bold"}
    with mpl.rc_context(settings):  # type: ignore[arg-type]
        figure = Figure(figsize=(width * columns, height), layout="constrained")
        axes = list(figure.subplots(1, columns, squeeze=False)[0])
        yield figure, axes


def plain(text: object) -> str:
    """`text` for a label of a figure, where neither mathematics ($...$) nor a leading underscore means something."""
    shown = printable(text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown  # legends leave out what begins with an underscore


def name_bars(axes: Any, names: Sequence[object]) -> None:
    """Name the horizontal bars at 0, 1, ...: matplotlib itself would merge bars of one name and read numbers in it."""
    axes.set_yticks(range(len(names)), [plain(name) for name in names])


def svg_of(figure: Figure) -> str:
    """The figure as an SVG document; the same figure always gives the same text."""
    for axes in figure.axes:
        axes.spines[["top"]].set_visible(False)
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a name in letters that the font lacks is drawn as boxes
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "bayespress"})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def page(title: str, lead: str, sections: Iterable[tuple[str, str]]) -> str:
    """An HTML page. Sections are a heading (may be empty) and finished HTML or SVG; title and lead are plain text."""
    body = "\n".join(f"{f'<h2>{_escaped(head)}</h2>' if head else ''}{_inline(part)}" for head, part in sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="generator" content="bayespress">'
        f"{_POLICY}<title>{_escaped(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{_escaped(title)}</h1>{paragraph(lead)}\n{body}</body></html>\n"
    )


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """A table of plain texts."""
    title = f"<caption>{_escaped(caption)}</caption>" if caption else ""
    cells = "".join(f"<th>{_escaped(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{_escaped(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{title}<tr>{cells}</tr>{body}</table>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{_escaped(text)}</p>"


def _escaped(text: str) -> str:
    """`text` as HTML shows it: no tags, and nothing that the page would obey."""
    return html.escape(printable(text))


def _inline(part: str) -> str:
    """An SVG document without its XML declaration."""
    return part[part.index("<svg") :] if part.startswith("<?xml") else part
