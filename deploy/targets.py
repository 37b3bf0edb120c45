"""What can be compiled for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError


@dataclass(frozen=True)
class Target:
    """A machine to compile for.

    compiler   TVM's target attributes; None to take the machine that builds
    triple     what ziglang links for; None for the system's own compiler
    shared     also link a shared library, which a process on that machine may load
    """

    name: str
    description: str
    compiler: Mapping[str, Any] | None
    triple: str | None
    shared: bool = False


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("host", "this machine, its own instruction set", None, None, shared=True),
        Target(
            "arm64-linux",
            "64-bit ARM, static: Linux boards, and Android through adb",
            {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mattr": ["+neon"]},
            "aarch64-linux-musl",
        ),
    )
}


def target_named(name: str) -> Target:
    """The target of this name. Raises InputError for an unknown one."""
    if name not in TARGETS:
        raise InputError(f"There is no target {name!r}; the targets are {', '.join(TARGETS)}.")
    return TARGETS[name]
