"""Phones behind Android's debug bridge: `adb`, or `adb:SERIAL` where several are plugged in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from .remote import Remote


class Adb(Remote):
    """Copies by `adb push`, runs by `adb shell`."""

    program, install = "adb", "Debian: apt install adb; or Android's platform tools"
    scratch = "/data/local/tmp"  # where a shell may write and run

    def __init__(self, name: str) -> None:
        """Raises InputError unless `name` is adb or adb:SERIAL."""
        super().__init__(name)
        _, colon, serial = name.partition(":")
        if colon and (not serial or serial.startswith("-")):
            raise InputError(f"{name!r} is no phone; write it as adb or adb:SERIAL, as `adb devices` lists them.")
        self.chosen = ["-s", serial] if serial else []

    def command(self, words: Sequence[str]) -> list[str]:
        """See Remote."""
        return ["adb", *self.chosen, "shell", " ".join(words)]

    def copy(self, files: Sequence[Path], folder: str) -> list[str]:
        """See Remote."""
        return ["adb", *self.chosen, "push", *map(str, files), f"{folder}/"]
