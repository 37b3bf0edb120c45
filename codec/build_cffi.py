"""Compiles the C core into the extension `bayespress.codec._bpz`; called by setup.py."""

import re
from pathlib import Path

from cffi import FFI

# setuptools wants paths relative to the project's root, which is where it runs us.
_C = Path("codec") / "c"
SOURCES = [str(_C / name) for name in ("container.c", "crc32.c", "decode.c", "encode.c", "streams.c")]


def _declarations(header: str) -> str:
    """The header as cffi reads it: no preprocessor, sizes of arrays written out."""
    text = (_C / header).read_text()
    numbers = dict(re.findall(r"#define (BPZ_MAX_\w+) (\d+)\n", text))
    text = re.sub(r'#ifdef __cplusplus\n.*?#endif\n', "", text, flags=re.S)
    text = re.sub(r"^#.*$", "", text, flags=re.M)
    for name, value in numbers.items():
        text = re.sub(rf"\[{name}( \+ 1)?\]", lambda m, v=value: f"[{int(v) + bool(m[1])}]", text)
    return text


ffibuilder = FFI()
ffibuilder.cdef(_declarations("bpz.h") + _declarations("bpz_encode.h"))
ffibuilder.set_source(
    "bayespress.codec._bpz",
    '#include "bpz.h"\n#include "bpz_encode.h"\n',
    sources=SOURCES,
    include_dirs=[str(_C)],
    depends=[str(path) for path in sorted(_C.glob("*.h"))],
    extra_compile_args=["-std=c99", "-O2"],
    py_limited_api=True,
)
