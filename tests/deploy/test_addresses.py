"""Parsing of device addresses."""

from __future__ import annotations

import pytest

from bayespress.deploy.devices import device_named
from bayespress.deploy.devices.address import Address, parse_address, parse_serial
from bayespress.errors import InputError

EXAMPLE = "ssh://user@board"


def parse(text: str) -> Address:
    return parse_address(text, "ssh device", EXAMPLE)


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("ssh://My-Board", None, "My-Board", None),
        ("ssh://User@My-Board", "User", "My-Board", None),
        ("SSH://User@My-Board:22/", "User", "My-Board", 22),
        ("ssh://[::1]:22", None, "::1", 22),
        ("ssh://root@[::1]", "root", "::1", None),
        ("ssh://[fe80::1%25eth0]:2222", None, "fe80::1%eth0", 2222),
        ("ssh://[fe80::1%25Wlan-0.5]", None, "fe80::1%Wlan-0.5", None),
        ("ssh://[FE80:0:0::1%eth0]", None, "FE80:0:0::1%eth0", None),
        ("ssh://[::ffff:10.0.0.1]", None, "::ffff:10.0.0.1", None),
        ("ssh://10.0.0.1:65535", None, "10.0.0.1", 65535),
        ("ssh://board:", None, "board", None),
        ("ssh://me@corp.org@Board", "me@corp.org", "Board", None),
        ("ssh://me%40corp.org@Board", "me@corp.org", "Board", None),
        ("ssh://a%3Ab@Board", "a:b", "Board", None),
        ("ssh://DOMAIN%5CUser@Board", "DOMAIN\\User", "Board", None),
        ("ssh://J%C3%BCrgen%20B@b%C3%BCro_1", "Jürgen B", "büro_1", None),
        ("ssh://user+tag~x=$1@board", "user+tag~x=$1", "board", None),
    ],
)
def test_ssh_addresses(text, user, host, port):
    address = parse(text)
    assert (address.user, address.host, address.port) == (user, host, port)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ssh://", "contains no host"),
        ("ssh://user@", "contains no host"),
        ("ssh://:22", "contains no host"),
        ("ssh://-oProxyCommand=x", "begins with a hyphen"),
        ("ssh://%2DoProxyCommand=x", "begins with a hyphen"),
        ("ssh://-l@host", "not the name of a user"),
        ("ssh://@host", "not the name of a user"),
        ("ssh://a%20-b@host", "not the name of a user"),
        ("ssh://a%5C@host", "not the name of a user"),
        ("ssh://a%27b@host", "cannot contain '"),
        ("ssh://a;b@host", "cannot contain ;"),
        ("ssh://a$(x)", "cannot contain"),
        ("ssh://ho%60st", "cannot contain"),
        ("ssh://ho st", "cannot contain ' '"),
        ("ssh://host%25h", "cannot contain '%'"),
        ("ssh://host%2Fx", "cannot contain '/'"),
        ("ssh://host:port", "'port' is not a number from 1 to 65535"),
        ("ssh://host:0", "'0' is not a number"),
        ("ssh://host:65536", "'65536' is not a number"),
        ("ssh://host:-1", "'-1' is not a number"),
        ("ssh://host:" + "9" * 1000, "is not a number"),
        ("ssh://host:²", "is not a number"),
        ("ssh://host:22 ", "is not a number"),
        ("ssh://h/x", r"a path \(/x\)"),
        ("ssh://h//", None),
        ("ssh://h?a=b", r"a query \(\?a=b\)"),
        ("ssh://h/?", "a query"),
        ("ssh://h#f", r"a fragment \(#f\)"),
        ("ssh://::1", "must be in brackets"),
        ("ssh://fe80::1%25eth0", "must be in brackets"),
        ("ssh://[::1", "ends with a bracket"),
        ("ssh://[::1]22", "only a port may follow"),
        ("ssh://[::1%25]", "name of a network interface"),
        ("ssh://[::1%]", "name of a network interface"),
        ("ssh://[::1%25a;b]", "name of a network interface"),
        ("ssh://[10.0.0.1]", "not an IPv6 address"),
        ("ssh://[host]", "not an IPv6 address"),
        ("ssh://[]", "not an IPv6 address"),
        ("ssh://h%zz", "two hexadecimal digits"),
        ("ssh://h%", "two hexadecimal digits"),
        ("ssh://h%C3", "UTF-8"),
        ("ssh://h%00", "control character"),
        ("ssh://h%0Aecho", "control character"),
        ("ssh://h\x1b[31m", "control character"),
        ("ssh://a\u202eb@h", "control character"),
        ("ssh://" + "h" * 5000, "at most 1024"),
    ],
)
def test_rejects_addresses_that_ssh_refuses(text, reason):
    if reason is None:
        assert parse(text).host == "h"
        return
    sentence = f"is not a valid ssh device: .*{reason}.*; write it as ssh://user@board"
    with pytest.raises(InputError, match=sentence) as caught:
        parse(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "text",
    [
        "ssh://u:secret@host",
        "ssh://u:se:cr@et@host:22/x",
        "ssh://u:se/cr?e#t@host",
        "ssh://u:12/secret@host",
        "rpc://u:secret@host:9090",
        "rpc://u:se/cret@host:9090",
    ],
)
def test_rejects_passwords_without_repeating_them(text):
    with pytest.raises(InputError, match="holds a password") as caught:
        device_named(text)
    assert "secret" not in str(caught.value)
    assert "cr" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "serial"),
    [
        ("adb", None),
        ("adb:R58M", "R58M"),
        ("adb:192.168.1.5:5555", "192.168.1.5:5555"),
        ("adb:[fd00::5]:5555", "[fd00::5]:5555"),
        ("adb:emulator-5554", "emulator-5554"),
        ("adb:adb-XYZ._adb-tls-connect._tcp", "adb-XYZ._adb-tls-connect._tcp"),
    ],
)
def test_serials(text, serial):
    assert parse_serial(text) == serial


@pytest.mark.parametrize("text", ["adb:", "adb:-e", "adb:a b", "adb:a\nb", "adb:\x1b[31m", "adb:" + "a" * 5000])
def test_rejects_invalid_serials(text):
    with pytest.raises(InputError, match="does not name a phone; write adb or adb:SERIAL") as caught:
        device_named(text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rpc://", "contains no host"),
        ("rpc://host", "has no port"),
        ("rpc://host:port/key", "'port' is not a number"),
        ("rpc://host:9190/a/b", "not a key"),
        ("rpc://me@host:9190", "has a user"),
        ("rpc://host:9190/key?x", "a query"),
        ("rpc://::1:9190", "must be in brackets"),
    ],
)
def test_rejects_invalid_rpc_addresses(text, reason):
    with pytest.raises(
        InputError, match=f"is not a valid RPC device: .*{reason}.*; write it as rpc://tracker:9190/key"
    ):
        device_named(text)


def test_keys_are_percent_decoded():
    assert parse_address("rpc://h:1/a@b", "RPC device", EXAMPLE, with_path=True).path == "a@b"
    assert parse_address("rpc://[::1]:9190/my%20key/", "RPC device", EXAMPLE, with_path=True) == Address(
        None, "::1", 9190, "my key/"
    )


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("hots", "did you mean host?"),
        ("qemu-arm46", "did you mean qemu-arm64?"),
        ("openCL", "did you mean opencl?"),
        ("shh://board", "did you mean ssh://user@board"),
        ("adbb", "did you mean adb"),
        ("ssh:board", "did you mean ssh://user@board"),
        ("toaster", "choose one of host, opencl"),
        ("", "choose one of host"),
        ("\x1b[31m" + "x" * 10_000, "choose one of host"),
    ],
)
def test_rejects_invalid_names(name, near):
    with pytest.raises(InputError, match="There is no device") as caught:
        device_named(name)
    assert near in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
