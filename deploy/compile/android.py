"""Link shared libraries for Android apps without the NDK.

The linker only needs the names of the symbols in each system library, so it links against stubs: empty libraries that
define these names. A symbol that is missing on some Android version from API 24 on fails here, at build time, and not
on a phone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from .toolchain import run_tool

API = 24
PAGE_BYTES = 16384  # the largest page size of Android devices; such a library also loads with smaller pages
_NAMES = "bionic_24.txt"


@functools.cache
def system_names() -> dict[str, tuple[str, ...]]:
    """Symbols of each system library: "libc", "libm" and "libdl"; "libc arm" etc. add those of 32-bit ARM alone."""
    listed = (files("bayespress.deploy.compile") / _NAMES).read_text()
    sections = re.split(r"^\[(.+)\]$", listed, flags=re.M)
    return {name: tuple(names.split()) for name, names in zip(sections[1::2], sections[2::2], strict=True)}


def link_for_android(
    compiler: Sequence[str | Path],
    machine: str,
    objects: Sequence[Path],
    version_script: Path,
    scratch: Path,
    out: Path,
) -> None:
    """Link objects that were compiled for musl into a shared library for Android.

    The objects must not make system calls of their own, since musl's C library is replaced by Android's.

    machine         processor, as `uname -m` names it
    version_script  lists the exported symbols

    Raises RuntimeError if an object needs a symbol that Android does not have.
    """
    stubs = []
    for library in ("libc", "libm", "libdl"):
        names = [*system_names()[library], *(system_names().get(f"{library} arm", ()) if machine == "armv7l" else ())]
        source, stub = scratch / f"{library}.c", scratch / f"{library}.so"
        source.write_text("".join(f"void {name}(void) {{}}\n" for name in names))
        run_tool(
            [*compiler, "-w", "-fno-builtin", "-fvisibility=default", "-nostdlib", "-shared",
             f"-Wl,-soname,{stub.name}", source, "-o", stub]
        )  # fmt: skip
        stubs.append(stub)
    run_tool(
        [*compiler, "-nostdlib", "-shared", "-s", "-Wl,-z,defs", f"-Wl,-z,max-page-size={PAGE_BYTES}",
         f"-Wl,-soname,{out.name}", f"-Wl,--version-script={version_script}", "-Wl,--gc-sections", *objects, *stubs,
         "-lcompiler_rt", "-o", out]
    )  # fmt: skip
