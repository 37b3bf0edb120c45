"""The targets that networks are compiled for: those of the package, and those that users register."""

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
# From the user's name of a CPU extension to LLVM's.
_ARM64_FEATURES = {"dotprod": "+dotprod", "fullfp16": "+fullfp16", "i8mm": "+i8mm"}
# TVM's attributes for families of OpenCL devices; TVM derives work group and vector sizes from them.
_GPUS: dict[str, dict[str, Any]] = {
    "generic": {"keys": ["opencl", "gpu"], "max_num_threads": 256},
    "adreno": {"keys": ["adreno", "opencl", "gpu"], "device": "adreno", "max_num_threads": 512},
    "mali": {"keys": ["mali", "opencl", "gpu"], "device": "mali", "max_num_threads": 256},
}
_ANDROID_ARM64 = {"kind": "llvm", "mtriple": "aarch64-linux-android", "mattr": ["+neon"]}


@dataclass(frozen=True)
class Target:
    """A machine to compile for.

    name         name on the command line and in a bundle: letters, digits, dots, dashes and underscores
    description  a short noun phrase for listings
    compiler     TVM's target attributes; None for the machine that builds
    triple       ziglang's triple; None to use the system's C compiler
    machine      processor, as `uname -m` names it
    shared       also link a shared library, which a process on that machine can load
    android      the shared library is for Android apps, from API 24 on
    flags        further flags of the C compiler
    cpus         processor models that a user may append after a colon
    features     extensions that a user may append after a plus, with LLVM's names
    registers    floats per vector register, and number of vector registers
    gpu          TVM's attributes of the OpenCL device; None to compile for the CPU only
    families     families of OpenCL devices that a user may append after a colon instead of a processor
    half         also compile the GPU's kernels with products in float16, for devices that support it
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
        """The names that a user may append after a plus: CPU extensions, or float16 products for a GPU target."""
        return tuple(self.features) if self.gpu is None else ("fp16-products",)

    @property
    def folder(self) -> str:
        """The target's folder in a bundle: its name without colon and plus, which some file systems do not allow."""
        return self.name.replace(":", "-").replace("+", "-")


_OF_THE_PACKAGE: tuple[Target, ...] = (
    Target("host", "this machine, with its instruction set", None, None, platform.machine(), shared=True),
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
        "64-bit ARM for an Android app, as a shared and a static library; adb starts the runner",
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
        "32-bit ARM with NEON for an Android app, as a shared and a static library; adb starts the runner",
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
        "arm64-android, and OpenCL for Qualcomm's GPUs; without one it runs on the CPU",
        _ANDROID_ARM64,
        "aarch64-linux-musl",
        "aarch64",
        shared=True,
        android=True,
        gpu=_GPUS["adreno"],
    ),
    Target(
        "mali",
        "arm64-android, and OpenCL for ARM's GPUs; without one it runs on the CPU",
        _ANDROID_ARM64,
        "aarch64-linux-musl",
        "aarch64",
        shared=True,
        android=True,
        gpu=_GPUS["mali"],
    ),
    Target(
        "opencl-android",
        "arm64-android, and OpenCL for the GPU of any maker; without one it runs on the CPU",
        _ANDROID_ARM64,
        "aarch64-linux-musl",
        "aarch64",
        shared=True,
        android=True,
        gpu=_GPUS["generic"],
    ),
    Target(
        "opencl",
        "this machine, and any OpenCL device in it",
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
        "64-bit x86 with AVX2 (processors since 2013), static: any Linux",
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
_FEWEST_FLOATS = 32  # floats in registers that the tiles of kernels/blocked.py and kernels/sparse.py need


def register_target(target: Target) -> None:
    """Register a target under its name.

    Raises InputError if the name is registered or cannot name a folder, or if the kernels need more registers.

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
        raise InputError(f"Target {target.name!r} is registered already; give the new target another name.")
    _TARGETS[target.name] = target


def all_targets() -> tuple[Target, ...]:
    """All targets, in order of registration."""
    return tuple(_TARGETS.values())


def targets_help() -> str:
    """The names of all targets in one line, for --help."""
    return ", ".join(_TARGETS) + ", or your own as module:target"


def target_named(name: str) -> Target:
    """The target that a name denotes.

    A name is a registered target, and may append a processor and extensions: arm64-linux, arm64-linux:cortex-a76,
    arm64-linux:cortex-a76+dotprod+fullfp16, opencl:mali, adreno+fp16-products. Any other name of the form
    module:object is imported: the object is a Target, or a function that returns one. A bundle contains it under the
    Target's own name.

    Raises InputError for an unknown target, processor or extension, with the known ones.
    """
    first, *features = name.split("+")
    base, _, cpu = first.partition(":")
    if base in _TARGETS:
        target = _TARGETS[base]
    elif is_plugin_name(first):
        target, base, cpu = _imported_target(first), first, ""
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


def _imported_target(name: str) -> Target:
    """Import the target of module:object. Raises InputError if the object is not a valid target."""
    target = imported_object(name, "Target")
    if not isinstance(target, Target) and callable(target):
        with user_code(f"the target {name}"):
            target = target()
    if not isinstance(target, Target):
        raise InputError(f"Target {name} is a {type(target).__name__}; name a Target, or a function that returns one.")
    _check(target)
    if _TARGETS.get(target.name, target) != target:
        raise InputError(f"Target {name} has the name of another target, {target.name!r}; give it another name.")
    return target


def _check(target: Target) -> None:
    """Raises InputError for a name that cannot name a folder in a bundle, and for too few registers."""
    if _NAME.fullmatch(target.name) is None:
        raise InputError(
            f"A target has the name {target.name[:100]!r}; use only letters, digits, dots, dashes and underscores, "
            "and begin with a letter, digit or underscore."
        )
    lanes, count = target.registers
    if lanes < 1 or lanes * count < _FEWEST_FLOATS:
        raise InputError(
            f"Target {target.name} has {count} registers of {lanes} floats; kernels need {_FEWEST_FLOATS} floats in "
            "registers, so give the number and size of the processor's registers."
        )


def _check_choice(base: str, target: Target, cpu: str, features: Iterable[str]) -> None:
    """Raises InputError for a processor or an extension that the target does not have."""
    if cpu and cpu not in target.cpus:
        kind = "GPU family" if target.families else "processor"
        known = ", ".join(target.cpus or target.families)
        remedy = f"use one of {known}" if known else f"it has no choice of processors, so use {base!r} alone"
        raise InputError(f"Target {base} has no {kind} {cpu!r}; {remedy}.")
    for feature in features:
        if feature not in target.extensions:
            known = ", ".join(target.extensions)
            remedy = f"use one of {known}" if known else "it has none, so leave it out"
            raise InputError(f"Target {base} has no extension {feature!r}; {remedy}.")


for _target in _OF_THE_PACKAGE:
    register_target(_target)
