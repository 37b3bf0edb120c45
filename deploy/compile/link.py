"""Compile the C sources of a target (runtime, decoder, schedule), and link a static library, a runner and, for hosts
and Android, a shared library.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from .android import link_for_android
from .targets import Target
from .toolchain import archiver, c_compiler, run_tool

HEADER = "bayespress.h"
GPU_HEADER = "bayespress_gpu.h"
VERSION_SCRIPT = "exported.map"

_ENCODER = "encode.c"  # the only source of the codec that a device does not need
_RUNTIME = ("runtime.c", "scratch.c", "weights.c", "threads.c")
_GPU_RUNTIME = ("gpu.c", "gpu_open.c", "kernel_cache.c", "opencl.c")
# Each function gets its own section, so that the linker can drop unused ones. The code is position-independent, so that
# an app can link the static library into its own shared library.
_FLAGS = ("-std=c99", "-O2", "-g0", "-ffunction-sections", "-fdata-sections", "-fPIC")


@dataclass(frozen=True)
class CSources:
    """The C sources of the runtime and of the decoder, and the command that compiles them for a target.

    runtime, codec  folders of the sources
    """

    target: Target
    runtime: Path
    codec: Path

    @property
    def compiler(self) -> tuple[str | Path, ...]:
        """The beginning of the command that compiles one source."""
        target = self.target
        # A version script lists the symbols that a shared library exports; it can only list visible symbols.
        visibility = "default" if target.shared else "hidden"
        thread_keys = ("-DBP_THREAD_KEYS",) if target.android else ()
        return (
            *c_compiler(target.triple), *target.flags, *_FLAGS, f"-fvisibility={visibility}",
            "-I", self.runtime, "-I", self.codec, *thread_keys,
        )  # fmt: skip

    def compile(self, source: Path, scratch: Path) -> Path:
        """Compile one generated source to an object in `scratch`; return the object's path."""
        compiled = scratch / f"{source.stem}.o"
        run_tool([*self.compiler, "-c", source, "-o", compiled])
        return compiled

    def library_objects(self, scratch: Path) -> list[Path]:
        """Compile runtime and decoder to objects in `scratch`; return their paths."""
        runtime = (*_RUNTIME, *(_GPU_RUNTIME if self.target.gpu is not None else ()))
        decoder = sorted(path for path in self.codec.glob("*.c") if path.name != _ENCODER)
        sources = (*(self.runtime / name for name in runtime), *decoder)
        compiled = []
        for name, data in _network_independent_objects(tuple(map(str, self.compiler)), sources).items():
            compiled.append(scratch / name)
            compiled[-1].write_bytes(data)
        return compiled

    def copy_headers(self, folder: Path) -> None:
        """Copy the public headers into a target's folder."""
        shutil.copyfile(self.runtime / HEADER, folder / HEADER)
        if self.target.gpu is not None:
            shutil.copyfile(self.runtime / GPU_HEADER, folder / GPU_HEADER)


@contextlib.contextmanager
def c_sources(target: Target) -> Iterator[CSources]:
    """Provide the package's C sources as files while the block runs."""
    package = files("bayespress.deploy")
    with as_file(package / "runtime") as runtime, as_file(package / ".." / "codec" / "c") as codec:
        yield CSources(target, runtime, codec)


def link_archive(objects: Sequence[Path], out: Path) -> None:
    """Write a static library of `objects`."""
    run_tool([*archiver(), "rcs", out, *objects])


def link_runner(sources: CSources, archive: Path, out: Path) -> None:
    """Link the program that runs and times the network; statically, except for the machine that builds."""
    target = sources.target
    static = () if target.triple is None else ("-static",)
    with_gpu = target.gpu is not None
    run_tool(
        [*sources.compiler, *static, *(["-DBP_WITH_GPU"] if with_gpu else []), "-s", "-Wl,--gc-sections",
         sources.runtime / "runner.c", archive, "-lm", "-pthread", *(["-ldl"] if with_gpu else []), "-o", out]
    )  # fmt: skip


def link_shared(sources: CSources, objects: Sequence[Path], scratch: Path, out: Path) -> None:
    """Link a shared library that exports only the functions of the public headers."""
    script = sources.runtime / VERSION_SCRIPT
    if sources.target.android:
        link_for_android(sources.compiler, sources.target.machine, objects, script, scratch, out)
        return
    run_tool(
        [*sources.compiler, "-shared", "-s", f"-Wl,--version-script={script}", *objects, "-lm", "-pthread", "-ldl",
         "-o", out]
    )  # fmt: skip


@functools.cache
def _network_independent_objects(compiler: tuple[str, ...], sources: tuple[Path, ...]) -> dict[str, bytes]:
    """Compiled objects, by file name, of sources that every network shares; cached per target in each process."""
    with tempfile.TemporaryDirectory(prefix="bayespress-") as folder:
        objects = {source: Path(folder) / f"{source.stem}.o" for source in sources}
        for source, compiled in objects.items():
            run_tool([*compiler, "-c", source, "-o", compiled])
        return {compiled.name: compiled.read_bytes() for compiled in objects.values()}
