"""What terms mean: the entries of docs/glossary.md, which the wheel carries, as hover texts."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from importlib.resources import files

from ..text import printable

_MARKUP = re.compile(r"[`*]")


def parse_glossary(text: str) -> dict[str, str]:
    """Meanings by term, both without markup, of a Markdown definition list.

    text  a term on a line of its own, then `:   ` and its meaning; further lines of the meaning are indented

    >>> from bayespress.html_report.glossary import parse_glossary
    >>> parse_glossary("Nat\\n:   Unit of information,\\n    to base e.\\n")
    {'Nat': 'Unit of information, to base e.'}
    """
    found: dict[str, str] = {}
    term = current = ""
    for line in map(_plain, text.splitlines()):
        if line.startswith(":"):
            current, found[term] = term, line[1:].strip()
        elif current and line.startswith(" ") and line.strip():
            found[current] += f" {line.strip()}"
        else:
            term, current = line.strip(), ""
    return found


@cache
def glossary() -> dict[str, str]:
    """The entries of docs/glossary.md."""
    return parse_glossary(files(__package__.partition(".")[0]).joinpath("docs", "glossary.md").read_text("utf-8"))


def explained(text: object) -> str:
    """`text` as HTML, with the meaning of each term shown on hover where it stands for the first time."""
    shown, pattern = printable(text), _pattern()
    parts, end, seen = [], 0, set()
    for match in pattern.finditer(shown):
        term = _by_lower_case()[_singular(match[0])]
        if term not in seen:
            seen.add(term)
            meaning = escape(printable(glossary()[term]))
            parts += [escape(shown[end : match.start()]), f'<abbr title="{meaning}">{escape(match[0])}</abbr>']
            end = match.end()
    return "".join([*parts, escape(shown[end:])])


@cache
def _by_lower_case() -> dict[str, str]:
    return {term.lower(): term for term in glossary()}


@cache
def _pattern() -> re.Pattern[str]:
    longest_first = sorted(glossary(), key=len, reverse=True)
    return re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, longest_first))})s?(?!\w)", re.IGNORECASE)


def _singular(found: str) -> str:
    lower = found.lower()
    return lower if lower in _by_lower_case() else lower.removesuffix("s")


def _plain(line: str) -> str:
    return _MARKUP.sub("", line)
