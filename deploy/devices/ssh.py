"""Boards reached through ssh: `ssh://user@board`, with the keys and the configuration of the system's ssh program."""

from __future__ import annotations

import shutil
import string
from collections.abc import Mapping
from pathlib import Path

from ...errors import BayespressError, MissingToolError
from .address import parse_address
from .failures import known_remedy
from .process import Finished
from .remote import NOT_RECEIVED, Delivery, Remote

# Never prompt for a password, detect a board that was switched off during a run, and disable the forwardings and
# remote commands that a configuration defines for interactive use.
_SETTINGS = (
    "BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=15", "ServerAliveCountMax=3",
    "ClearAllForwardings=yes", "RemoteCommand=none",
)  # fmt: skip
_OPTIONS = ("-T", "-x", "-a", *(f"-o{setting}" for setting in _SETTINGS))
# Part of ssh's message in lower case, and the remedy.
_REMEDIES = (
    ("permission denied", "install your key there with ssh-copy-id"),
    ("host key verification failed", "log in once by hand with ssh, to accept its key"),
    ("remote host identification has changed", "check that it is the same machine, then remove its old key"),
    ("could not resolve", "check the name"),
    ("name or service not known", "check the name"),
    ("connection refused", "check the port, and that its ssh server runs"),
    ("timed out", "check that it is switched on, and the network"),
    ("no route to host", "check that it is switched on, and the network"),
    ("currently not available", "use an account that may log in"),
)
# These characters have no special meaning within single quotes in any login shell.
_PLAIN = frozenset(f"{string.ascii_letters}{string.digits} _./-")
# All files arrive concatenated in one stream, which the script splits. If it is incomplete, the connection broke, and
# only the script itself can still remove the folder.
_RECEIVE = """
cat >all || exit {not_received}
[ "$(wc -c <all)" -eq {size} ] || {{ rm -rf "$PWD"; exit {not_received}; }}
"""
_SPLIT = """
tail -c +{first} all | head -c {size} >{name}
[ "$(wc -c <{name})" -eq {size} ] || exit {not_received}
"""


class Ssh(Remote):
    """Runs each script in an ssh connection of its own, and sends the files through the same connection."""

    program, install = "ssh", "Debian: apt install openssh-client"
    temporary_folders = ("/tmp", "/var/tmp", '"$HOME"', "/dev/shm")

    def __init__(self, name: str) -> None:
        """Raises InputError unless `name` is ssh://[user@]host[:port]."""
        super().__init__(name)
        example = "ssh://user@board or ssh://user@board:2222"
        address = parse_address(name, "ssh device", example)
        # The user is an option, because ssh splits `user@host` by rules of its own.
        user = ["-l", address.user] if address.user is not None else []
        port = ["-p", str(address.port)] if address.port is not None else []
        self.destination = [*user, *port, "--", address.host]

    def shell(self, script: str) -> list[str]:
        """See Remote. The login shell may be of any kind (csh, fish) and only starts a Bourne shell.

        Characters that a login shell could interpret are written in octal.
        """
        quoted = "".join(char if char in _PLAIN else f"\\0{ord(char):03o}" for char in script)
        return ["ssh", *_OPTIONS, *self.destination, f"exec sh -c 'eval \"$(printf %b \"$1\")\"' sh '{quoted}'"]

    def deliver(self, files: Mapping[str, Path], folder: str, delivery: Delivery) -> tuple[str, Path | None]:
        """See Remote. Sends the files through standard input: scp and sftp fail if the shell prints a greeting."""
        splits, offset = [], 0
        with (delivery.scratch / "all").open("wb") as concatenated:
            for name, path in files.items():
                with path.open("rb") as source:
                    shutil.copyfileobj(source, concatenated)
                end = concatenated.tell()
                splits.append(_SPLIT.format(name=name, first=offset + 1, size=end - offset, not_received=NOT_RECEIVED))
                offset = end
        receive = _RECEIVE.format(size=offset, not_received=NOT_RECEIVED)
        return "".join([self.creation_script(folder), receive, *splits, "rm all\n"]), delivery.scratch / "all"

    def unreachable(self, finished: Finished) -> BayespressError:
        """See Remote."""
        message = finished.last_line() or f"ssh ended with status {finished.status}"
        known = next((remedy for words, remedy in _REMEDIES if words in message.lower()), None)
        remedy = known or known_remedy(message) or "check the connection"
        return MissingToolError(f"{self.name} does not answer ({message}); {remedy}.")
