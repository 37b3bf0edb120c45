"""Names of the functions that a C header declares, and of the symbols that objects export."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path


def declared(headers: Iterable[Path], prefix: str) -> set[str]:
    """The functions with this prefix that the headers declare."""
    text = "".join(re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL) for header in headers)
    return set(re.findall(rf"\b({prefix}\w+)\(", text))


def exported(nm: str, *arguments: str | Path) -> set[str]:
    """The defined global symbols in the output of `nm`."""
    command = [nm, "--defined-only", "--extern-only", *map(str, arguments)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = (line.split() for line in printed.splitlines())
    return {words[-1].partition("@")[0] for words in lines if len(words) == 3}


def version(header: Path, prefix: str) -> str:
    """The version in a header's macros, as MAJOR.MINOR.PATCH."""
    text = header.read_text()
    parts = (re.search(rf"#define {prefix}_VERSION_{part} +(\d+)", text) for part in ("MAJOR", "MINOR", "PATCH"))
    return ".".join(found[1] for found in parts if found)
