"""FORMAT.md as data: its tables, its hexadecimal dumps, and its pseudocode as a program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PATH = Path(__file__).resolve().parents[2] / "codec" / "FORMAT.md"
TEXT = PATH.read_text()


class Rejection(Exception):  # noqa: N818 - what the document calls it
    """The pseudocode rejects its input."""


class Source:
    """The byte source of section 2.7."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise Rejection("the bytes end within a field")
        self.at += count
        return self.data[self.at - count : self.at]


def headings() -> list[str]:
    """The headings of the second level, in order, without the contents."""
    return [line[3:] for line in outside_code() if line.startswith("## ") and line != "## Contents"]


def outside_code() -> list[str]:
    """The lines of the document outside fenced blocks."""
    return re.sub(r"^```.*?^```$", "", TEXT, flags=re.DOTALL | re.MULTILINE).splitlines()


def section(number: str) -> str:
    """The text of a section such as "2.3", without its subsections' siblings."""
    level = "#" * (2 + number.count("."))
    title = rf"^{level} {re.escape(number)}\.? [^\n]*\n"
    found = re.search(rf"{title}(.*?)(?=^#{{2,{len(level)}}} |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    if found is None:
        raise KeyError(f"the document has no section {number}")
    return found[1]


def tables(number: str) -> list[list[dict[str, str]]]:
    """The tables of a section; a row by the names of its columns. Backquotes are left out."""
    found: list[list[dict[str, str]]] = []
    for block in re.findall(r"(?:^\|.*\n)+", section(number), re.MULTILINE):
        lines = [line.strip("|").split("|") for line in block.splitlines()]
        names, _, *rows = ([cell.replace("`", "").strip() for cell in line] for line in lines)
        found.append([dict(zip(names, row, strict=True)) for row in rows])
    return found


def table(number: str, *columns: str) -> list[dict[str, str]]:
    """The one table of a section with these columns."""
    (found,) = [rows for rows in tables(number) if tuple(rows[0]) == columns]
    return found


def dumps(number: str) -> list[bytes]:
    """The fenced hexadecimal dumps of a section."""
    return [bytes.fromhex(block) for block in re.findall(r"^```text\n(.*?)^```$", section(number), re.S | re.M)]


def bits_as_bytes(rows: list[dict[str, str]]) -> bytes:
    """The bytes that the column "bits" of a table makes; they must be whole."""
    text = "".join(row["bits"] for row in rows)
    if len(text) % 8:
        raise ValueError(f"{len(text)} bits are no whole bytes")
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


def program() -> dict[str, Any]:
    """The names that the document's pseudocode defines."""

    def reject(reason: str) -> None:
        raise Rejection(reason)

    names: dict[str, Any] = {"reject": reject}
    for block in re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE):
        exec(block, names)
    return names
