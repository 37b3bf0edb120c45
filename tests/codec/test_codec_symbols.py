"""The C codec exports what its headers declare, and its files include and call each other without circles."""

from __future__ import annotations

import re
import shutil
import subprocess
from graphlib import TopologicalSorter

import pytest
from c_symbols import declared, exported, version
from codec_sources import C_SOURCES, STRICT

import bayespress

HEADERS = [C_SOURCES / name for name in ("bpz.h", "bpz_encode.h", "bpz_levels.h")]


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Each source compiled by itself: exported and undefined symbols by file."""
    gcc, nm = shutil.which("gcc"), shutil.which("nm")
    if gcc is None or nm is None:
        pytest.skip("gcc or nm (Debian: gcc, binutils) is not installed")
    folder = tmp_path_factory.mktemp("objects")
    found = {}
    for source in sorted(C_SOURCES.glob("*.c")):
        path = folder / f"{source.stem}.o"
        subprocess.run([gcc, *STRICT, "-O1", "-c", source, "-o", path], check=True)
        undefined = subprocess.run([nm, "--undefined-only", path], capture_output=True, text=True, check=True).stdout
        found[source.name] = (exported(nm, path), {line.split()[-1] for line in undefined.splitlines()})
    return found


def test_public_symbols_are_those_of_the_headers(objects):
    symbols = set().union(*(names for names, _ in objects.values()))
    assert {name for name in symbols if name.startswith("bpz_")} == declared(HEADERS, "bpz_")
    assert {name for name in symbols if not name.startswith(("bpz_", "bpzi_"))} == set()


def test_sources_call_each_other_in_no_circle(objects):
    home = {name: file for file, (names, _) in objects.items() for name in names}
    calls = {file: {home[name] for name in needed if name in home} for file, (_, needed) in objects.items()}
    order = list(TopologicalSorter(calls).static_order())  # raises CycleError, which names the circle
    assert order.index("decode_adaptive.c") < order.index("decode.c")


def test_headers_include_each_other_in_no_circle():
    includes = {path.name: set(re.findall(r'#include "(\w+\.h)"', path.read_text())) for path in C_SOURCES.glob("*.h")}
    TopologicalSorter(includes).prepare()
    assert "range_coder.h" in includes["adaptive_model.h"]


def test_the_header_has_the_version_of_the_package():
    assert version(C_SOURCES / "bpz.h", "BPZ") == bayespress.__version__
