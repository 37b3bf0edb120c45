"""Phones reached through Android's debug bridge: `adb`, or `adb:SERIAL` if several phones are connected."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ...errors import BayespressError, MissingToolError
from .address import parse_serial
from .failures import known_remedy
from .process import Finished, Limits, OverTimeError, run_program, short
from .remote import NOT_RECEIVED, Delivery, Remote

_HEADING = "List of devices attached"
_SECONDS_TO_LIST = 40.0  # includes the start of adb's own server
_READY = "device"
# Key: the first word of a state in the output of `adb devices`.
_STATES = {
    "unauthorized": "is not authorised: unlock it and allow USB debugging when it asks",
    "authorizing": "is being authorised: unlock it and allow USB debugging when it asks",
    "offline": "is offline: plug it in again, or start `adb reconnect`",
    "connecting": "is still connecting: wait a moment and try again",
    "no": "may not be used by this user: install the udev rules for Android (Debian: apt install "
    "android-sdk-platform-tools-common)",
    "recovery": "is in recovery mode: restart it with `adb reboot`",
    "rescue": "is in rescue mode: restart it",
    "sideload": "is in sideload mode: restart it with `adb reboot`",
    "bootloader": "is in its boot loader: restart it with `fastboot reboot`",
}
_PLUG_IN = "connect one, and enable USB debugging in its developer options"


class Adb(Remote):
    """Copies by `adb push`, runs by `adb shell`."""

    program, install = "adb", "Debian: apt install adb; or Android's platform tools"
    temporary_folders = ("/data/local/tmp",)  # a shell may write and execute here; /sdcard forbids execution

    def __init__(self, name: str) -> None:
        """Raises InputError unless `name` is adb or adb:SERIAL."""
        super().__init__(name)
        self._wanted = parse_serial(name)
        self._serial: str | None = None

    def shell(self, script: str) -> list[str]:
        """See Remote."""
        return ["adb", "-s", self._phone(), "shell", script]

    def deliver(self, files: Mapping[str, Path], folder: str, delivery: Delivery) -> tuple[str, Path | None]:
        """See Remote. Uses `adb push`, because old versions of `adb shell` do not forward standard input."""
        created = self.execute(self.creation_script(folder))
        if created.status != 0:
            self.check(created, delivery.limits)
        remote_folder = f"{self.temporary_folders[0]}/{folder}"
        for name, path in files.items():
            command = ["adb", "-s", self._phone(), "push", str(path.resolve()), f"{remote_folder}/{name}"]
            finished = run_program(command, self.name, delivery.limits)
            if finished.status != 0:
                raise self.unreachable(finished)
        return f"cd {remote_folder} || exit {NOT_RECEIVED}\n", None

    def unreachable(self, finished: Finished) -> BayespressError:
        """See Remote."""
        message = finished.last_line() or f"adb ended with status {finished.status}"
        remedy = known_remedy(message) or "check the connection"
        return MissingToolError(f"{self.name} does not answer ({message}); {remedy}.")

    def _phone(self) -> str:
        """The serial of the selected phone. Raises MissingToolError unless the phone is ready."""
        if self._serial is None:
            self._serial = self._select(_connected_phones(self.name))
        return self._serial

    def _select(self, phones: dict[str, str]) -> str:
        listed = ", ".join(f"{short(serial)} ({short(state)})" for serial, state in phones.items())
        # adb itself reads this variable if it gets no serial.
        wanted = self._wanted or os.environ.get("ANDROID_SERIAL")
        if wanted is None:
            if not phones:
                raise MissingToolError(f"{self.name} sees no phone; {_PLUG_IN}.")
            if len(phones) > 1:
                raise MissingToolError(
                    f"{self.name} sees {len(phones)} phones: {listed}; "
                    f"name one of them, as in adb:{short(next(iter(phones)))}."
                )
            (wanted,) = phones
        elif wanted not in phones:
            raise MissingToolError(
                f"adb sees no phone {short(wanted)!r}, only {listed or 'an empty list of phones'}; "
                f"{'name one of these' if phones else _PLUG_IN}."
            )
        state = phones[wanted]
        if state != _READY:
            known = _STATES.get(state.split()[0], f"is in state {short(state)!r}: restart it")
            raise MissingToolError(f"Phone {short(wanted)} {known}.")
        return wanted


def _connected_phones(name: str) -> dict[str, str]:
    """The state of each phone that adb lists, by serial."""
    try:
        finished = run_program(["adb", "devices"], name, Limits(_SECONDS_TO_LIST))
    except OverTimeError as error:
        raise MissingToolError(f"{str(error).partition(';')[0]}; run `adb kill-server` and try again.") from None
    lines = [line.strip() for line in finished.output.decode(errors="replace").splitlines()]
    if finished.status != 0 or _HEADING not in lines:
        message = finished.last_line() or f"status {finished.status}"
        raise MissingToolError(f"adb does not list its phones ({message}); run `adb kill-server` and try again.")
    # adb prints notes about its server before the heading, and in lines that begin with a star.
    phones = (re.fullmatch(r"([^*\s]\S*)\s+(\S.*)", line) for line in lines[lines.index(_HEADING) + 1 :])
    return {match[1]: match[2] for match in phones if match}
