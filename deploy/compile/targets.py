"""What can be compiled for: the targets of the package, and those that are registered beside them."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import InputError, unknown_name, user_code
from ...plugins import imported_object, is_plugin_name

_ARM64_CPUS = (
    "cortex-a53", "cortex-a55", "cortex-a57", "cortex-a72", "cortex-a73", "cortex-a75", "cortex-a76", "cortex-a77",
    "cortex-a78", "cortex-x1", "neoverse-n1",
)  # fmt: skip
# What users call an extension, and what LLVM does.
_ARM64_FEATURES = {"dotprod": "+dotprod", "fullfp16": "+fullfp16", "i8mm": "+i8mm"}
# Families of OpenCL devices, by what TVM shapes work groups and vectors after.
_GPUS: dict[str, dict[str, Any]] = {
    "generic": {"keys": ["opencl", "gpu"], "max_num_threads": 256},
    "adreno": {"keys": ["adreno", "opencl", "gpu"], "device": "adreno", "max_num_threads": 512},
    "mali": {"keys": ["mali", "opencl", "gpu"], "device": "mali", "max_num_threads": 256},
}
_ANDROID_ARM64 = {"kind": "llvm", "mtriple": "aarch64-linux-android", "mattr": ["+neon"]}


@dataclass(frozen=True)
class Target:
    """A machine to compile for.

    name       on the command line and in a bundle: letters, digits, dots, dashes and underscores
    compiler   TVM's target attributes; None to take the machine that builds
    triple     what ziglang links for; None for the system's own compiler
    flags      that the C compiler needs beside it
    machine    kind of processor, as `uname -m` says
    shared     also link a shared library, which a process on that machine may load
    android    for Android: the shared library is for apps, from API 24 on
    cpus       models that may be named behind a colon
    features   extensions that may be added behind a plus, by LLVM's names
    registers  floats of a vector, and how many vectors there are
    gpu        TVM's attributes of its OpenCL device; None where the CPU alone is compiled for
    families   of OpenCL devices that may be named behind a colon instead of a processor
    half       also compile for the GPU with products in float16, for devices that have it
    """

    name: str
    description: str
    compiler: Mapping[str, Any] | None
    triple: str | None
    machine: str
    shared: bool = False
    android: bool = False
    flags: tuple[str, ...] = ()
    cpus: tuple[str, ...] = ()
    features: Mapping[str, str] = field(default_factory=dict)
    registers: tuple[int, int] = (4, 32)
    gpu: Mapping[str, Any] | None = None
    families: tuple[str, ...] = ()
    half: bool = False

    @property
    def extensions(self) -> tuple[str, ...]:
        """What may be added behind a plus: of the processor, or of the GPU, which has half precision."""
        return tuple(self.features) if self.gpu is None else ("fp16-products",)

    @property
    def folder(self) -> str:
        """What it is called inside a bundle, where a colon could not stand on every file system."""
        return self.name.replace(":", "-").replace("+", "-")


_OF_THE_PACKAGE: tuple[Target, ...] = (
    Target("host", "this machine, its own instruction set", None, None, platform.machine(), shared=True),
    Target(
        "arm64-linux",
        "64-bit ARM, static: Linux boards, and Android through adb",
        {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mattr": ["+neon"]},
        "aarch64-linux-musl",
        "aarch64",
        cpus=_ARM64_CPUS,
        features=_ARM64_FEATURES,
    ),
    Target(
        "arm64-android",
        "64-bit ARM for an app, which loads the shared library or links the static one; the runner is for adb",
        _ANDROID_ARM64,
        "aarch64-linux-musl",
        "aarch64",
        shared=True,
        android=True,
        cpus=_ARM64_CPUS,
        features=_ARM64_FEATURES,
    ),
    Target(
        "armv7-android",
        "32-bit ARM with NEON, likewise",
        {"kind": "llvm", "mtriple": "armv7a-linux-androideabi", "mattr": ["+neon"], "mfloat-abi": "soft"},
        "arm-linux-musleabi",
        "armv7l",
        shared=True,
        android=True,
        flags=("-mfloat-abi=softfp",),
        registers=(4, 16),
    ),
    Target(
        "adreno",
        "arm64-android with OpenCL for Qualcomm's GPUs; the CPU's code stands by",
        _ANDROID_ARM64,
        "aarch64-linux-musl",
        "aarch64",
        shared=True,
        android=True,
        gpu=_GPUS["adreno"],
    ),
    Target(
        "mali",
        "arm64-android with OpenCL for ARM's GPUs; the CPU's code stands by",
        _ANDROID_ARM64,
        "aarch64-linux-musl",
        "aarch64",
        shared=True,
        android=True,
        gpu=_GPUS["mali"],
    ),
    Target(
        "opencl-android",
        "arm64-android with OpenCL for whatever GPU a phone has; the CPU's code stands by",
        _ANDROID_ARM64,
        "aarch64-linux-musl",
        "aarch64",
        shared=True,
        android=True,
        gpu=_GPUS["generic"],
    ),
    Target(
        "opencl",
        "this machine with OpenCL on whatever device it has",
        None,
        None,
        platform.machine(),
        shared=True,
        families=("adreno", "mali"),
        gpu=_GPUS["generic"],
    ),
    Target(
        "armv7-linux",
        "32-bit ARM with NEON, hard float, static: older boards and phones",
        {"kind": "llvm", "mtriple": "armv7a-linux-gnueabihf", "mattr": ["+neon"], "mfloat-abi": "hard"},
        "arm-linux-musleabihf",
        "armv7l",
        cpus=("cortex-a7", "cortex-a9", "cortex-a15"),
        registers=(4, 16),
    ),
    Target(
        "x86_64-linux",
        "64-bit x86 with AVX2, static: any Linux since 2013's processors",
        {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "haswell"},
        "x86_64-linux-musl",
        "x86_64",
        registers=(8, 16),
    ),
    Target(
        "wasm32-wasi",
        "WebAssembly with 128-bit vectors: browsers and other runtimes",
        {"kind": "llvm", "mtriple": "wasm32-unknown-wasi", "mattr": ["+simd128"]},
        "wasm32-wasi",
        "wasm32",
        flags=("-msimd128",),
        registers=(4, 16),
    ),
    Target(
        "riscv64-linux",
        "64-bit RISC-V with the general extensions, static",
        {
            "kind": "llvm",
            "mtriple": "riscv64-linux-gnu",
            "mcpu": "generic-rv64",
            "mattr": ["+m", "+a", "+f", "+d", "+c"],
            "mabi": "lp64d",
        },
        "riscv64-linux-musl",
        "riscv64",
        registers=(1, 32),
    ),
)

_TARGETS: dict[str, Target] = {}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_FEWEST_FLOATS = 32  # in registers, for the tiles of kernels/blocked.py and the sums of kernels/sparse.py


def register_target(target: Target) -> None:
    """Add a target, under its name. Raises InputError when the name is taken or is none for a folder,
    and for fewer registers than kernels need.

    >>> from bayespress.deploy.compile.targets import Target, register_target, target_named
    >>> pi = Target(
    ...     "raspberry-pi-4", "Raspberry Pi 4", {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72"},
    ...     "aarch64-linux-musl", "aarch64",
    ... )
    >>> register_target(pi)
    >>> target_named("raspberry-pi-4") is pi
    True
    """
    _check(target)
    if target.name in _TARGETS:
        raise InputError(f"A target {target.name!r} is registered already; give the new one another name.")
    _TARGETS[target.name] = target


def all_targets() -> tuple[Target, ...]:
    """All targets, in the order in which they were registered."""
    return tuple(_TARGETS.values())


def targets_help() -> str:
    """The targets in one line, for --help."""
    return ", ".join(_TARGETS) + ", or your own as module:target"


def target_named(name: str) -> Target:
    """The target of this name, as in arm64-linux, arm64-linux:cortex-a76,
    arm64-linux:cortex-a76+dotprod+fullfp16, opencl:mali or adreno+fp16-products.

    Or that of module:target, a Target or a function that makes one; where the module is called as a target is, the
    target is meant. It goes into a bundle under its own name.

    Raises InputError for an unknown target, processor or extension, listing those there are.
    """
    first, *features = name.split("+")
    base, _, cpu = first.partition(":")
    if base in _TARGETS:
        target = _TARGETS[base]
    elif is_plugin_name(first):
        target, base, cpu = _own(first), first, ""
        name = "+".join((target.name, *features))
    else:
        raise unknown_name("target", base, _TARGETS, "your own as module:target")
    if not cpu and not features:
        return target
    if target.gpu is not None and (not cpu or cpu in target.families) and set(features) <= set(target.extensions):
        return replace(target, name=name, gpu=_GPUS[cpu] if cpu else target.gpu, half=bool(features))
    _check_choice(base, target, cpu, features)
    compiler = dict(target.compiler or {})
    compiler["mattr"] = [*compiler.get("mattr", ()), *(target.features[feature] for feature in features)]
    if cpu:
        compiler["mcpu"] = cpu
    return replace(target, name=name, compiler=compiler)


def _own(name: str) -> Target:
    """The target of module:target. Raises InputError when there is none."""
    found = imported_object(name, "Target")
    if not isinstance(found, Target) and callable(found):
        with user_code(f"the target {name}"):
            found = found()
    if not isinstance(found, Target):
        raise InputError(f"Target {name} is a {type(found).__name__}; name a Target, or a function that makes one.")
    _check(found)
    if _TARGETS.get(found.name, found) != found:
        raise InputError(f"Target {name} has the name of another target, {found.name!r}; give it one of its own.")
    return found


def _check(target: Target) -> None:
    """Raises InputError for a name that could not be a folder's in a bundle, and for too few registers."""
    if _NAME.fullmatch(target.name) is None:
        raise InputError(
            f"A target is called {target.name[:100]!r}; give it a name of letters, digits, dots, dashes and "
            "underscores."
        )
    lanes, count = target.registers
    if lanes < 1 or lanes * count < _FEWEST_FLOATS:
        raise InputError(
            f"Target {target.name} has {count} registers of {lanes} floats; kernels need room for {_FEWEST_FLOATS} "
            "floats in them, so name those of the processor."
        )


def _check_choice(base: str, target: Target, cpu: str, features: Iterable[str]) -> None:
    """Raises InputError for a processor or an extension that the target does not know."""
    if cpu and cpu not in target.cpus:
        known = ", ".join(target.cpus or target.families) or "none: it is compiled for as it is"
        what = "family of GPUs" if target.families else "processor"
        raise InputError(f"Target {base} knows no {what} {cpu!r}; there are {known}.")
    for feature in features:
        if feature not in target.extensions:
            known = ", ".join(target.extensions) or "none"
            raise InputError(f"Target {base} knows no extension {feature!r}; there are {known}.")


for _target in _OF_THE_PACKAGE:
    register_target(_target)
