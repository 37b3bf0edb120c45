"""Parser for the addresses of devices.

`ssh://[user@]host[:port]` and `rpc://host:port[/key]` are URIs of RFC 3986 without a query or a fragment: the scheme
is compared without regard to case, everything else keeps its case (aliases in an ssh configuration are case-sensitive),
an IPv6 address is written in brackets, its zone follows `%25` (RFC 6874), and other reserved characters are
percent-encoded. `adb:SERIAL` is not a URI: the serial is used without decoding.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from ...errors import InputError
from ...text import printable
from .process import short

# OpenSSH refuses these characters too, because a configuration may insert user and host into a shell command.
_NOT_IN_USER = frozenset("'\"`;&<>|(){}")
_NOT_IN_HOST = frozenset("'\"`$\\;&<>|(){}/?#@[]:%*!,")
_LARGEST_PORT = 65535
_LONGEST = 1024
_Refuse = Callable[[str], InputError]


@dataclass(frozen=True)
class Address:
    """A parsed address.

    user  None if the address contains no user
    host  a name, or an IP address without brackets (`fe80::1%eth0`)
    port  None if the address contains no port
    path  the text after the first slash, percent-decoded
    """

    user: str | None
    host: str
    port: int | None
    path: str

    @property
    def authority(self) -> str:
        """`host:port` for messages and for other programs; an IPv6 address is in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


def parse_address(text: str, kind: str, example: str, *, with_path: bool = False) -> Address:
    """Parse `scheme://[user@]host[:port][/path]`.

    kind       kind of device, for the error message ("ssh device")
    example    a valid address, for the error message
    with_path  whether the address may have a path

    Raises InputError. Its message never contains a password.
    """
    scheme, _, rest = text.partition("://")
    authority, path = re.fullmatch(r"([^/?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    userinfo, at, host_and_port = authority.rpartition("@")
    user_text, colon, _ = userinfo.partition(":")
    if not at and "@" in path:  # a password that contains a slash
        _, colon, port_text = authority.partition(":")
        colon = "" if with_path and port_text.isdigit() else colon
    if colon:
        shown = f"{short(scheme, 20)}://{short(rest.partition(':')[0], 100)}:…@{short(rest.rpartition('@')[2], 100)}"
        raise InputError(f"{shown} holds a password, and other users of this machine could read it; use a key instead.")

    def refuse(reason: str) -> InputError:
        return InputError(f"{short(text, 100)!r} is not a valid {kind}: {reason}; write it as {example}.")

    if len(text) > _LONGEST:
        raise refuse(f"it has {len(text)} characters, and at most {_LONGEST} are allowed")
    for mark, name in (("?", "query"), ("#", "fragment")):
        if mark in path:
            raise refuse(f"it has a {name} ({short(path[path.index(mark) :], 100)}), which is not allowed")
    if path.strip("/") and not with_path:
        raise refuse(f"it has a path ({short(path, 100)}), which is not allowed")
    user = _decoded(user_text, refuse) if at else None
    if user is not None:
        _check_user(user, refuse)
    host_text, port = _split_port(host_and_port, refuse)
    host = _ip_address(host_text, refuse) if host_text.startswith("[") else _decoded(host_text, refuse)
    if not host_text.startswith("["):
        _check_host(host, refuse)
    return Address(user, host, port, _decoded(path.removeprefix("/"), refuse))


def parse_serial(text: str) -> str | None:
    """The serial of `adb:SERIAL`; None for `adb` alone. Raises InputError for an invalid serial."""
    _, colon, serial = text.partition(":")
    if not colon:
        return None
    invalid = not serial or serial.startswith("-") or any(char.isspace() or not char.isprintable() for char in serial)
    if invalid or len(serial) > _LONGEST:
        raise InputError(
            f"{short(text, 100)!r} does not name a phone; write adb or adb:SERIAL, as `adb devices` lists the phones."
        )
    return serial


def _split_port(host_and_port: str, refuse: _Refuse) -> tuple[str, int | None]:
    """Host (an IPv6 address keeps its brackets) and port of `host[:port]`."""
    if host_and_port.startswith("["):
        host, bracket, tail = host_and_port.partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise refuse("an IPv6 address ends with a bracket, and only a port may follow")
        host, port_text = f"{host}]", tail.removeprefix(":")
    else:
        host, _, port_text = host_and_port.partition(":")
        if ":" in port_text:
            raise refuse("an IPv6 address must be in brackets, as in [::1]:22")
    if not port_text:
        return host, None
    if not (port_text.isascii() and port_text.isdigit() and 1 <= int(port_text[:9]) <= _LARGEST_PORT):
        raise refuse(f"the port {short(port_text, 100)!r} is not a number from 1 to {_LARGEST_PORT}")
    return host, int(port_text)


def _ip_address(bracketed: str, refuse: _Refuse) -> str:
    address, percent, zone = bracketed[1:-1].partition("%")
    zone = zone.removeprefix("25")
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        raise refuse(f"{short(address, 100)!r} in brackets is not an IPv6 address") from None
    if percent and not re.fullmatch(r"[A-Za-z0-9._~-]+", zone):
        raise refuse(f"{short(zone, 100)!r} is not the name of a network interface")
    return f"{address}%{zone}" if percent else address


def _decoded(text: str, refuse: _Refuse) -> str:
    """The percent-decoded text."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise refuse(f"a % in {short(text, 100)!r} is not followed by two hexadecimal digits")
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise refuse(f"{short(text, 100)!r} does not decode to UTF-8") from None
    if printable(decoded) != decoded:
        raise refuse(f"{short(decoded, 100)!r} contains a control character or an invisible character")
    return decoded


def _check_user(user: str, refuse: _Refuse) -> None:
    bad = sorted(_NOT_IN_USER & set(user))
    if bad:
        raise refuse(f"the name of a user cannot contain {bad[0]}")
    if not user or user.startswith("-") or user.endswith("\\") or re.search(r"\s-", user):
        raise refuse(f"{user!r} is not the name of a user")


def _check_host(host: str, refuse: _Refuse) -> None:
    if not host:
        raise refuse("it contains no host")
    bad = sorted(char for char in set(host) if char in _NOT_IN_HOST or char.isspace())
    if bad:
        raise refuse(f"the name of a host cannot contain {bad[0]!r}")
    if host.startswith("-"):
        raise refuse(f"the host {host!r} begins with a hyphen, so ssh would read it as an option")
