"""The script of a page, and the policy by which a browser runs this script and nothing else.

Vega-Embed with Vega and Vega-Lite comes from the package vl-convert as one script, so that a page needs no network and
no copy of it lies in this package. Vega evaluates expressions by its own interpreter (option `ast`), not by compiling
them to JavaScript, so the policy grants no `unsafe-eval`.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from ..optional import require

# The library hands over one name; the closing tag of the element that it stands in must not occur in it.
_HAND_OVER = "window.vegaEmbed = vegaEmbed;"


@cache
def chart_script() -> str:
    """JavaScript that draws the charts of the page that it stands in.

    Raises MissingPackageError when vl-convert is not installed.
    """
    library: str = require("vl_convert").javascript_bundle(_HAND_OVER)
    own = files(__package__).joinpath("templates", "charts.js").read_text("utf-8")
    return f"{library}\n{own}".replace("</script", r"<\/script")


def policy(script: str | None = None) -> str:
    """The content security policy of a page: no network, no forms, no script but `script`."""
    allowed = "" if script is None else f" script-src '{_digest(script)}';"
    return f"default-src 'none';{allowed} style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def _digest(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
