"""The registry of devices: name, help text and factory of each kind.

A factory imports its class when it is called, so that `--help` lists devices without importing their transports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from ...errors import InputError
from ...plugins import imported, is_plugin_name
from .base import Device
from .process import short


@dataclass(frozen=True)
class DeviceEntry:
    """One kind of device.

    form    its name on the command line, or an example of an address ("ssh://user@board")
    help    a short description for --help
    make    creates the device from its name or address; raises InputError for an invalid address
    prefix  beginning of all addresses of this kind; None if `form` is the complete name
    """

    form: str
    help: str
    make: Callable[[str], Device]
    prefix: str | None = None


_ENTRIES: dict[str, DeviceEntry] = {}


def register_device(entry: DeviceEntry) -> None:
    """Add a kind of device. Raises InputError if its form is already registered."""
    if entry.form in _ENTRIES:
        raise InputError(f"A device {entry.form!r} is registered already; give the new one another form.")
    _ENTRIES[entry.form] = entry


def device_entries() -> tuple[DeviceEntry, ...]:
    """All kinds of devices in the order of registration."""
    return tuple(_ENTRIES.values())


def local_devices() -> list[Device]:
    """The devices that have no address."""
    return [entry.make(entry.form) for entry in _ENTRIES.values() if entry.prefix is None]


def devices_help() -> str:
    """The devices in one line, for --help."""
    return ", ".join(f"{entry.form} ({entry.help})" for entry in _ENTRIES.values()) + ", or your own as module:callable"


def device_named(name: str) -> Device:
    """The device with this name or address. A `module:callable` is imported and called without arguments.

    Raises InputError for an unknown name or an invalid address.
    """
    lower = name.lower()  # schemes are compared without regard to case
    for entry in _ENTRIES.values():
        if entry.prefix is None:
            if name == entry.form:
                return entry.make(name)
        elif lower.startswith(entry.prefix):
            rest = lower.removeprefix(entry.prefix)
            if entry.prefix.endswith("//") or rest[:1] in ("", ":"):
                return entry.make(name)
    forms = list(_ENTRIES)
    short_names = {form.partition(":")[0].partition("[")[0]: form for form in forms}
    if is_plugin_name(name) and lower.partition(":")[0] not in short_names:
        device: Device = imported(name, "Device")()
        return device
    near = get_close_matches(lower.partition(":")[0], short_names, n=1)
    guess = f" (did you mean {short_names[near[0]]}?)" if near else ""
    raise InputError(
        f"There is no device {short(name, 100)!r}{guess}; choose one of {', '.join(forms)}, or name your own as "
        "module:callable."
    )


def _lazily(module: str, attribute: str, *, addressed: bool = False) -> Callable[[str], Device]:
    """A factory that imports its module when it is called.

    attribute  name of a device object, or of a class, in the module
    addressed  whether the class takes the address as its argument
    """

    def make(name: str) -> Device:
        value = getattr(import_module(f".{module}", __package__), attribute)
        if addressed or isinstance(value, type):
            value = value(name) if addressed else value()
        device: Device = value
        return device

    return make


for _entry in (
    DeviceEntry("host", "this machine", _lazily("host", "Host")),
    DeviceEntry("opencl", "a GPU here, or PoCL", _lazily("opencl", "OpenCl")),
    DeviceEntry("qemu-arm64", "emulated; counts instructions", _lazily("qemu", "ARM64")),
    DeviceEntry("qemu-armv7", "emulated; counts instructions", _lazily("qemu", "ARMV7")),
    DeviceEntry("qemu-riscv64", "emulated; counts instructions", _lazily("qemu", "RISCV64")),
    DeviceEntry("wasm", "WebAssembly in wasmtime", _lazily("wasm", "WebAssembly")),
    DeviceEntry("ssh://user@board", "a board", _lazily("ssh", "Ssh", addressed=True), "ssh://"),
    DeviceEntry("adb[:serial]", "a phone", _lazily("adb", "Adb", addressed=True), "adb"),
    DeviceEntry("rpc://tracker:port/key", "TVM's RPC", _lazily("rpc", "Rpc", addressed=True), "rpc://"),
):
    register_device(_entry)
