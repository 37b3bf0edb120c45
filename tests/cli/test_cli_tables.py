"""Tables: on a narrow terminal long cells wrap, in a pipe each row is one line, and names are text."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

PROGRAM = """
from bayespress.cli.console import show, table
rows = [("first_" + "x" * 90 + "_last", 1), ("[red]name[/]", 22)]
show(table("a table", ("name", "count"), rows))
"""


def on_terminal(columns: int) -> str:
    """The output of the program on a terminal with `columns` columns."""
    master, slave = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=slave, env=environment)
    os.close(slave)
    printed = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # Linux reports a closed terminal in this way
            break
        if not part:
            break
        printed += part
    os.close(master)
    assert process.wait() == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", printed.decode()).replace("\r\n", "\n")


def test_long_cells_wrap_on_a_terminal():
    printed = on_terminal(60)
    assert all(len(line) <= 60 for line in printed.splitlines())
    assert "…" not in printed
    pieces = [line.split()[0] for line in printed.splitlines() if line.strip() and line.strip() != "1"]
    assert "first_" + "x" * 90 + "_last" in "".join(pieces)
    assert "[red]name[/]" in printed


def test_a_pipe_receives_whole_rows_without_padding():
    printed = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    lines = printed.splitlines()
    assert any(line.strip().startswith("first_") and line.endswith(" 1") for line in lines)
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in printed
