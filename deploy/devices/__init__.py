"""Where a bundle can be run: one file a transport."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import InputError
from .adb import Adb
from .base import Device
from .host import Host
from .opencl import OpenCl
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
    for prefix, (_, make) in _ADDRESSED.items():
        if name.startswith(prefix) and (prefix.endswith("//") or name.removeprefix(prefix)[:1] in ("", ":")):
            return make(name)
    known = [*DEVICES, *(form for form, _ in _ADDRESSED.values())]
    raise InputError(f"There is no device {name!r}; the devices are {', '.join(known)}.")
