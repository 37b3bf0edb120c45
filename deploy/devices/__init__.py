"""Where a bundle can be run: one file a transport."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from ...errors import InputError
from .adb import Adb
from .base import Device
from .host import Host
from .opencl import OpenCl
from .process import short
from .qemu import ARM64, ARMV7, RISCV64
from .rpc import Rpc
from .ssh import Ssh
from .wasm import WebAssembly

# Those that are there without being told where.
DEVICES: dict[str, Device] = {
    device.name: device for device in (Host(), OpenCl(), ARM64, ARMV7, RISCV64, WebAssembly())
}
# Those that are named with an address, by what the name begins with.
_ADDRESSED: dict[str, tuple[str, Callable[[str], Device]]] = {
    "ssh://": ("ssh://user@board", Ssh),
    "adb": ("adb[:serial]", Adb),
    "rpc://": ("rpc://tracker:port/key", Rpc),
}


def device_named(name: str) -> Device:
    """The device of this name or address. Raises InputError for an unknown one, or an address that is none."""
    if name in DEVICES:
        return DEVICES[name]
    begins = name.lower()  # schemes are compared without regard to case
    for prefix, (_, make) in _ADDRESSED.items():
        if begins.startswith(prefix) and (prefix.endswith("//") or begins.removeprefix(prefix)[:1] in ("", ":")):
            return make(name)
    known = [*DEVICES, *(form for form, _ in _ADDRESSED.values())]
    near = get_close_matches(begins.partition(":")[0], [*DEVICES, "adb", "ssh", "rpc"], n=1)
    meant = {"ssh": "ssh://user@board", "rpc": "rpc://tracker:port/key"}.get(near[0], near[0]) if near else None
    guess = f" did you mean {meant}?" if meant else ""
    raise InputError(
        f"There is no device {short(name, 100)!r};{guess} {'T' if guess else 't'}he devices are {', '.join(known)}."
    )
