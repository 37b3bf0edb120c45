"""The C side of a target: runtime, decoder and schedule to objects, and objects to a library, a runner and, for hosts
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

_ENCODER = "encode.c"  # of the codec's sources the one that a device does without
_RUNTIME = ("runtime.c", "scratch.c", "weights.c", "threads.c")
_GPU_RUNTIME = ("gpu.c", "gpu_open.c", "kernel_cache.c", "opencl.c")
# Sections of their own, so that the linker can leave out what nobody calls; position-independent, so that the static
# library may go into an app's shared one.
_FLAGS = ("-std=c99", "-O2", "-g0", "-ffunction-sections", "-fdata-sections", "-fPIC")


@dataclass(frozen=True)
class CSources:
    """Where the C of the runtime and of the decoder lies, and what compiles it for a target."""

    target: Target
    runtime: Path
    codec: Path

    @property
    def compiler(self) -> tuple[str | Path, ...]:
        """The command that compiles one source."""
        target = self.target
        # What a shared library offers is listed in its version script, which can only choose among what is visible.
        visibility = "default" if target.shared else "hidden"
        thread_keys = ("-DBP_THREAD_KEYS",) if target.android else ()
        return (
            *c_compiler(target.triple), *target.flags, *_FLAGS, f"-fvisibility={visibility}",
            "-I", self.runtime, "-I", self.codec, *thread_keys,
        )  # fmt: skip

    def compile(self, source: Path, scratch: Path) -> Path:
        """One generated source to an object in `scratch`."""
        made = scratch / f"{source.stem}.o"
        run_tool([*self.compiler, "-c", source, "-o", made])
        return made

    def library_objects(self, scratch: Path) -> list[Path]:
        """Objects of runtime and decoder in `scratch`."""
        ours = (*_RUNTIME, *(_GPU_RUNTIME if self.target.gpu is not None else ()))
        decoder = sorted(path for path in self.codec.glob("*.c") if path.name != _ENCODER)
        sources = (*(self.runtime / name for name in ours), *decoder)
        made = []
        for name, data in _same_for_all(tuple(map(str, self.compiler)), sources).items():
            made.append(scratch / name)
            made[-1].write_bytes(data)
        return made

    def copy_headers(self, folder: Path) -> None:
        """The public headers into a target's folder."""
        shutil.copyfile(self.runtime / HEADER, folder / HEADER)
        if self.target.gpu is not None:
            shutil.copyfile(self.runtime / GPU_HEADER, folder / GPU_HEADER)


@contextlib.contextmanager
def c_sources(target: Target) -> Iterator[CSources]:
    """The C sources of the package, as files for the block."""
    package = files("bayespress.deploy")
    with as_file(package / "runtime") as runtime, as_file(package / ".." / "codec" / "c") as codec:
        yield CSources(target, runtime, codec)


def link_archive(objects: Sequence[Path], out: Path) -> None:
    """A static library."""
    run_tool([*archiver(), "rcs", out, *objects])


def link_runner(sources: CSources, archive: Path, out: Path) -> None:
    """The program that runs and times the network; static, but for the machine that builds."""
    target = sources.target
    static = () if target.triple is None else ("-static",)
    with_gpu = target.gpu is not None
    run_tool(
        [*sources.compiler, *static, *(["-DBP_WITH_GPU"] if with_gpu else []), "-s", "-Wl,--gc-sections",
         sources.runtime / "runner.c", archive, "-lm", "-pthread", *(["-ldl"] if with_gpu else []), "-o", out]
    )  # fmt: skip


def link_shared(sources: CSources, objects: Sequence[Path], scratch: Path, out: Path) -> None:
    """A shared library that exports the functions of the public headers and nothing else."""
    script = sources.runtime / VERSION_SCRIPT
    if sources.target.android:
        link_for_android(sources.compiler, sources.target.machine, objects, script, scratch, out)
        return
    run_tool(
        [*sources.compiler, "-shared", "-s", f"-Wl,--version-script={script}", *objects, "-lm", "-pthread", "-ldl",
         "-o", out]
    )  # fmt: skip


@functools.cache
def _same_for_all(compiler: tuple[str, ...], sources: tuple[Path, ...]) -> dict[str, bytes]:
    """Objects of the sources that are the same for every network, compiled once a process for each target."""
    with tempfile.TemporaryDirectory(prefix="bayespress-") as folder:
        objects = {source: Path(folder) / f"{source.stem}.o" for source in sources}
        for source, made in objects.items():
            run_tool([*compiler, "-c", source, "-o", made])
        return {made.name: made.read_bytes() for made in objects.values()}
