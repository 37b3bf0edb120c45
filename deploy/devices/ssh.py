"""Boards behind ssh: `ssh://user@board`, with the keys and the configuration of the system's own ssh."""

from __future__ import annotations

import shutil
import string
from collections.abc import Mapping
from pathlib import Path

from ...errors import BayespressError, MissingToolError
from .address import parse_address
from .failures import explained
from .process import Finished
from .remote import NOT_RECEIVED, Delivery, Remote

# Nobody is there to type a password, a board that is switched off while it runs is noticed, and what a configuration
# forwards or runs for people is left out.
_SETTINGS = (
    "BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=15", "ServerAliveCountMax=3",
    "ClearAllForwardings=yes", "RemoteCommand=none",
)  # fmt: skip
_OPTIONS = ("-T", "-x", "-a", *(f"-o{setting}" for setting in _SETTINGS))
# What ssh says, in small letters, and what to do.
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
# No login shell gives these a meaning within single quotes.
_PLAIN = frozenset(f"{string.ascii_letters}{string.digits} _./-")
# All files come as one, which is cut up there. What arrives incomplete is removed at once, as the connection broke and
# nobody else will.
_RECEIVE = """
cat >all || exit {not_received}
[ "$(wc -c <all)" -eq {size} ] || {{ rm -rf "$PWD"; exit {not_received}; }}
"""
_CUT = """
tail -c +{first} all | head -c {size} >{name}
[ "$(wc -c <{name})" -eq {size} ] || exit {not_received}
"""


class Ssh(Remote):
    """Runs scripts by ssh, one connection each, and sends the files through the same."""

    program, install = "ssh", "Debian: apt install openssh-client"
    places = ("/tmp", "/var/tmp", '"$HOME"', "/dev/shm")

    def __init__(self, name: str) -> None:
        """Raises InputError unless `name` is ssh://[user@]host[:port]."""
        super().__init__(name)
        example = "ssh://user@board or ssh://user@board:2222"
        address = parse_address(name, "ssh device", example)
        # The user by an option: ssh would split what stands before an @ in the host's place by rules of its own.
        user = ["-l", address.user] if address.user is not None else []
        port = ["-p", str(address.port)] if address.port is not None else []
        self.destination = [*user, *port, "--", address.host]

    def shell(self, script: str) -> list[str]:
        """See Remote. The login shell there may be of any kind (csh, fish) and only starts a Bourne shell; what it
        could take for its own is written in octal.
        """
        plain = "".join(each if each in _PLAIN else f"\\0{ord(each):03o}" for each in script)
        return ["ssh", *_OPTIONS, *self.destination, f"exec sh -c 'eval \"$(printf %b \"$1\")\"' sh '{plain}'"]

    def deliver(self, files: Mapping[str, Path], folder: str, delivery: Delivery) -> tuple[str, Path | None]:
        """See Remote. The files are fed to the script: scp and sftp fail where a shell prints a greeting."""
        parts, offset = [], 0
        with (delivery.scratch / "all").open("wb") as together:
            for name, path in files.items():
                with path.open("rb") as source:
                    shutil.copyfileobj(source, together)
                end = together.tell()
                parts.append(_CUT.format(name=name, first=offset + 1, size=end - offset, not_received=NOT_RECEIVED))
                offset = end
        receive = _RECEIVE.format(size=offset, not_received=NOT_RECEIVED)
        return "".join([self.making(folder), receive, *parts, "rm all\n"]), delivery.scratch / "all"

    def unreachable(self, finished: Finished) -> BayespressError:
        """See Remote."""
        message = finished.last_line() or f"ssh ended with status {finished.status}"
        known = next((remedy for words, remedy in _REMEDIES if words in message.lower()), None)
        remedy = known or explained(message) or "check the connection"
        return MissingToolError(f"{self.name} does not answer ({message}); {remedy}.")
