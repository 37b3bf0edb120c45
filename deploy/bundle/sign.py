"""Signing a bundle, so that its builder can be verified: Ed25519 (RFC 8032) over the bytes of its manifest.

The manifest covers every other file by SHA-256, so the signature covers the whole bundle. It lies beside the manifest
as 64 raw bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ...errors import CorruptFileError, InputError
from ...files import locked, read_bytes, replacing_file, write_bytes
from ...optional import require
from ...outputs import KEY, check_output, output_file, write_output
from .format import Bundle, opened, write_zip
from .manifest import SIGNATURE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_Key = TypeVar("_Key")

_LARGEST_KEY = 1 << 16  # bytes; one in PEM has about 120
_PRIVATE, _PUBLIC = "private", "public"


def new_key(path: Path) -> Path:
    """Write a new private key to `path`, readable by its owner alone, and the public one beside it.

    Returns the public key's path. Raises InputError when either is there already: a key is nothing to overwrite.
    """
    require("cryptography")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = path.with_name(f"{path.stem}.public{path.suffix or '.pem'}")
    for each in (path, public):
        check_output(each, KEY)
    key = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    private_bytes = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with output_file(path, KEY) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_bytes(private_bytes)
        # Inside: without the public key the private one is not kept either.
        write_output(public, KEY, key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return public


def sign(path: Path, key: Path) -> None:
    """Sign a bundle, folder or zip, in place, with a private key in PEM; an older signature is replaced.

    Raises InputError for a key that is none, CorruptFileError for a bundle that is not as it was built.
    """
    private = _private_key(key)
    path = path.resolve()  # of a link, the bundle that it leads to is signed, and the link stays
    with locked(path), opened(path) as bundle:
        folder = bundle.folder  # a private copy, made only of files that are as they were built
        signature = private.sign(bundle.manifest_bytes)
        if path.is_dir():
            write_bytes(path / SIGNATURE, signature)
            return
        (folder / SIGNATURE).write_bytes(signature)
        with replacing_file(path) as temporary:
            write_zip(folder, temporary)


def public_key(path: Path) -> Ed25519PublicKey:
    """A public key in PEM, for `check_signature`. Raises InputError when `path` holds none."""
    require("cryptography")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = _read_key(path, _PUBLIC, load_pem_public_key)
    if not isinstance(key, Ed25519PublicKey):
        raise _other_key(path)
    return key


def check_signature(bundle: Bundle, public: Ed25519PublicKey, owner: str) -> str:
    """What was found, as a sentence. Raises CorruptFileError unless the manifest is signed by the key's owner."""
    require("cryptography")
    from cryptography.exceptions import InvalidSignature

    if bundle.signature is None:
        raise CorruptFileError(
            "The bundle is not signed; have it signed by `bayespress sign`, or verify without a key."
        )
    try:
        public.verify(bundle.signature, bundle.manifest_bytes)
    except InvalidSignature:
        raise CorruptFileError(
            f"The bundle's signature is not by the owner of {owner}, or the manifest was changed; do not use it."
        ) from None
    return f"the manifest is signed by the owner of {owner}"


def _private_key(path: Path) -> Ed25519PrivateKey:
    require("cryptography")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = _read_key(path, _PRIVATE, lambda data: load_pem_private_key(data, password=None))
    if not isinstance(key, Ed25519PrivateKey):
        raise _other_key(path)
    return key


def _read_key(path: Path, kind: str, read: Callable[[bytes], _Key]) -> _Key:
    from cryptography.exceptions import UnsupportedAlgorithm

    data = read_bytes(path, "key", _LARGEST_KEY)
    try:
        return read(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError(f"{path} is no {kind} key in PEM; make one with `bayespress sign --new-key`.") from None


def _other_key(path: Path) -> InputError:
    return InputError(f"{path} is no Ed25519 key; make one with `bayespress sign --new-key`.")
