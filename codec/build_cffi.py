"""Builds `bayespress.codec._bpz` from the C sources; setup.py names it, nothing imports it at run time."""

from __future__ import annotations

import re
from pathlib import Path

from cffi import FFI

SOURCES = (
    "adaptive_model.c",
    "checksum.c",
    "code.c",
    "container.c",
    "decode.c",
    "decode_adaptive.c",
    "decode_fast.c",
    "directory.c",
    "distinct.c",
    "encode.c",
    "layouts.c",
    "mask.c",
    "name.c",
    "number.c",
    "output.c",
    "padding.c",
    "section.c",
)
HEADERS = ("bpz.h", "bpz_levels.h", "bpz_encode.h")


def declarations(header: str) -> str:
    """The declarations of a public header in the C that cffi accepts: no preprocessor lines but plain numbers."""
    header = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    header = re.sub(r'#ifdef __cplusplus\n(extern "C" \{|\})\n#endif\n', "", header)
    kept = []
    for line in header.splitlines():
        constant = re.fullmatch(r"#define (\w+) +(\d+)u?\s*", line)
        if constant:
            kept.append(f"#define {constant[1]} {constant[2]}")
        elif not line.startswith("#"):
            kept.append(line)
    return "\n".join(kept)


_HERE = Path(__file__).resolve().parent / "c"

ffibuilder = FFI()
for _header in HEADERS:
    ffibuilder.cdef(declarations((_HERE / _header).read_text()))
ffibuilder.set_source(
    "bayespress.codec._bpz",
    "\n".join(f'#include "{header}"' for header in HEADERS),
    sources=[f"codec/c/{source}" for source in SOURCES],  # setuptools wants them relative to setup.py
    include_dirs=[str(_HERE)],
    extra_compile_args=["-std=c99", "-O2"],
)
