"""Devices that can run a bundle: one file per transport; registry.py lists them."""

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
