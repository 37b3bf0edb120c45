"""Shows the package's plain-text docstrings as Markdown: tables of arguments as lists, doctests as code."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ARGUMENT = re.compile(r"(\w+(?:, \w+)*) {2,}(\S.*)")


class PlainDocstrings(Extension):
    """A griffe extension; mkdocs.yml names it."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(docstring: str) -> str:
    """A docstring's paragraphs in Markdown."""
    return "\n\n".join(map(_paragraph, docstring.split("\n\n")))


def _paragraph(text: str) -> str:
    if text.lstrip().startswith(">>>"):
        return f"```pycon\n{text}\n```"
    if text.startswith("    "):
        return text  # code, as Markdown has it
    lines = []
    for line in text.splitlines():
        argument = _ARGUMENT.fullmatch(line)
        escaped = re.sub(r"([\[\]<*_])", r"\\\1", argument[2] if argument else line.strip())
        lines.append(f"- `{argument[1]}`: {escaped}" if argument else escaped)
    return "\n".join(lines)
