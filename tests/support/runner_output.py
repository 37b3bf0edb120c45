"""The report of a runner that a test started directly."""

from __future__ import annotations

import json
from typing import Any

MARKER = "bayespress-report-1 "


def report_in(printed: str) -> dict[str, Any]:
    """The fields of the report in a runner's output, without validation."""
    lines = [line.removeprefix(MARKER) for line in printed.splitlines() if line.startswith(MARKER)]
    assert lines, printed
    return dict(json.loads("".join(lines)))
