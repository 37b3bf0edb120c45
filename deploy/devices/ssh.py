"""Boards behind ssh: `ssh://user@board`, with the keys and the configuration of the system's own ssh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ...errors import InputError
from .remote import Remote

# Nobody is there to type a password.
_OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10")


class Ssh(Remote):
    """Copies by scp, runs by ssh."""

    program, install = "ssh", "Debian: apt install openssh-client"
    scratch = "/tmp"

    def __init__(self, name: str) -> None:
        """Raises InputError unless `name` is ssh://[user@]host[:port]."""
        super().__init__(name)
        try:
            parts = urlsplit(name)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or host.startswith("-") or parts.path not in ("", "/") or parts.password:
            raise InputError(f"{name!r} is no ssh device; write it as ssh://user@board or ssh://user@board:2222.")
        self.host = f"{parts.username}@{host}" if parts.username else host
        self.port = [] if port is None else [str(port)]

    def command(self, words: Sequence[str]) -> list[str]:
        """See Remote."""
        port = ["-p", *self.port] if self.port else []
        return ["ssh", *_OPTIONS, *port, "--", self.host, " ".join(words)]

    def copy(self, files: Sequence[Path], folder: str) -> list[str]:
        """See Remote."""
        port = ["-P", *self.port] if self.port else []
        return ["scp", "-q", *_OPTIONS, *port, "--", *map(str, files), f"{self.host}:{folder}/"]
