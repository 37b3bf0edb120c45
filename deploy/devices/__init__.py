"""Where a bundle can be run: one file a transport."""

from __future__ import annotations

from ...errors import InputError
from .base import Device
from .host import Host
from .qemu import ARM64, ARMV7, RISCV64

DEVICES: dict[str, Device] = {device.name: device for device in (Host(), ARM64, ARMV7, RISCV64)}


def device_named(name: str) -> Device:
    """The device of this name. Raises InputError for an unknown one."""
    if name not in DEVICES:
        raise InputError(f"There is no device {name!r}; the devices are {', '.join(DEVICES)}.")
    return DEVICES[name]
