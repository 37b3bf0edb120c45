"""Pages for people: one self-contained HTML file each, and pictures as SVG.

    page.py         what a page consists of, and its HTML (Jinja2)
    charts.py       charts as Vega-Lite specifications (Altair), and their SVG (vl-convert)
    script.py       the JavaScript that draws charts in the browser, and the policy that allows it alone
    glossary.py     what terms mean, for the hover texts
    tables.py       tables for notebooks
    templates/      the page's HTML, style and script

Only tables.py works without the extra `report`.
"""

from .tables import html_table

__all__ = ["html_table"]
