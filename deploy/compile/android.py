"""Libraries that an Android app loads.

No NDK is needed: all that the linker has to know of the system is which names each of its libraries has, so it is given
empty libraries with those names. What is not on every Android since API 24 is refused here and not on a phone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from .toolchain import run_tool

API = 24
PAGE_BYTES = 16384  # of the largest pages that devices have; a library for them fits the others too
_NAMES = "bionic_24.txt"


@functools.cache
def system_names() -> dict[str, tuple[str, ...]]:
    """What the system's libraries have, by library: libc, libm, libdl, and with " arm" behind it 32-bit ARM's alone."""
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
    """Link objects for musl, which speak to no system call themselves, into a library for Android.

    Raises RuntimeError where an object asks for what Android does not have.
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
