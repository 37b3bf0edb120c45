"""Where a bundle can be run: one file a transport, listed in registry.py."""

from __future__ import annotations

from .base import Capabilities, Device, Session, Unavailable, connected
from .registry import DeviceEntry, device_entries, device_named, devices_help, local_devices, register_device
from .report import RunnerReport, RunRequest

__all__ = [
    "Capabilities",
    "Device",
    "DeviceEntry",
    "RunRequest",
    "RunnerReport",
    "Session",
    "Unavailable",
    "connected",
    "device_entries",
    "device_named",
    "devices_help",
    "local_devices",
    "register_device",
]
