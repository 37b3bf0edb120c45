"""Mathematics as MathML, which browsers draw by themselves: no script, and no request to another host."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

# What pymdownx.arithmatex makes of $...$ and $$...$$ with `generic: true`.
_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_BLOCK = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)
_TAG = re.compile(r"\\tag\{(.+?)\}")


def on_page_content(content: str, **_: object) -> str:
    """Convert the LaTeX of a page (mkdocs calls this by its name)."""
    content = _BLOCK.sub(lambda found: _block(html.unescape(found[1])), content)
    return _INLINE.sub(lambda found: convert(html.unescape(found[1])), content)


def _block(latex: str) -> str:
    """An equation, with its \\tag as a number at the right that links can lead to."""
    tag = _TAG.search(latex)
    equation = convert(_TAG.sub("", latex).strip(), display="block")
    if tag is None:
        return f'<div class="equation">{equation}</div>'
    return f'<div class="equation" id="equation-{tag[1]}">{equation}<span>({tag[1]})</span></div>'
