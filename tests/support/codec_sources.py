"""Paths of the C sources of the codec, and the warnings with which the tests compile them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
C_SOURCES = ROOT / "codec" / "c"
C_TESTS = ROOT / "tests" / "codec" / "c"
GOLDEN = ROOT / "tests" / "codec" / "golden"
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
