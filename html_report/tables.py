"""Tables for notebooks, which need no package of an extra."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from ..text import printable


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """An HTML table of plain texts, none of which acts as markup.

    >>> from bayespress.html_report import html_table
    >>> html_table(("a",), [("<b>",)])
    '<table><tr><th>a</th></tr><tr><td>&lt;b&gt;</td></tr></table>'
    """
    title = f"<caption>{_escaped(caption)}</caption>" if caption else ""
    cells = "".join(f"<th>{_escaped(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{_escaped(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{title}<tr>{cells}</tr>{body}</table>"


def _escaped(text: str) -> str:
    return html.escape(printable(text))
