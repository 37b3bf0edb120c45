"""The figures of a benchmark as JSON, beside the lines that it prints: `--json FILE`.

The files of the runs that RESULTS.md cites lie in benchmarks/results/, so that every figure can be computed again.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

_PACKAGES = ("bayespress", "torch", "numpy", "apache-tvm", "onnxruntime", "lightning")


class RawResults:
    """Collects rows of one run."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, name: str, **figures: Any) -> None:
        """One thing that was measured. A name of a figure ends with its unit: seconds, bytes, percent."""
        self.rows.append({"name": name, **figures})

    def write(self, path: Path | None) -> None:
        """Write all rows with the command, the date and the machine; None writes nothing."""
        if path is None:
            return
        record = {
            "command": shlex.join(["python", os.path.relpath(sys.argv[0]), *_without_json(sys.argv[1:])]),
            "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
            "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system()},
            "versions": {"python": platform.python_version(), **_versions()},
            "rows": self.rows,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Give a benchmark the option `--json FILE`."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, too")


def _without_json(arguments: list[str]) -> list[str]:
    kept = list(arguments)
    if "--json" in kept:
        at = kept.index("--json")
        del kept[at : at + 2]
    return kept


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
