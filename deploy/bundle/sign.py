"""Signatures of bundles: Ed25519 (RFC 8032) over the bytes of the manifest.

The manifest lists the SHA-256 of every other file, so the signature covers the whole bundle. It is a file of 64 raw
bytes next to the manifest.
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

_LARGEST_KEY = 1 << 16  # bytes; a key in PEM has about 120
_PRIVATE, _PUBLIC = "private", "public"


def new_key(path: Path) -> Path:
    """Write a new private key to `path`, readable only by its owner, and the public key into the same folder.

    Returns the public key's path. Raises InputError if either file exists: a key is never overwritten.
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
        # Inside the block: if the public key cannot be written, the private key is discarded too.
        write_output(public, KEY, key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return public


def sign(path: Path, key: Path) -> None:
    """Sign a bundle, folder or zip, in place, with a private key in PEM. An older signature is replaced.

    Raises InputError for an invalid key, CorruptFileError for a bundle that was changed after it was built.
    """
    private = _private_key(key)
    path = path.resolve()  # sign the bundle that a link points to, and keep the link
    with locked(path), opened(path) as bundle:
        folder = bundle.folder  # a private copy of checked files
        signature = private.sign(bundle.manifest_bytes)
        if path.is_dir():
            write_bytes(path / SIGNATURE, signature)
            return
        (folder / SIGNATURE).write_bytes(signature)
        with replacing_file(path) as temporary:
            write_zip(folder, temporary)


def public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key in PEM, for `check_signature`. Raises InputError if `path` holds none."""
    require("cryptography")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = _read_key(path, _PUBLIC, load_pem_public_key)
    if not isinstance(key, Ed25519PublicKey):
        raise _other_key(path)
    return key


def check_signature(bundle: Bundle, public: Ed25519PublicKey, owner: str) -> str:
    """Check the signature and return the result as a sentence.

    owner  name of the key, for messages

    Raises CorruptFileError unless the owner of the key signed the manifest.
    """
    require("cryptography")
    from cryptography.exceptions import InvalidSignature

    if bundle.signature is None:
        raise CorruptFileError("The bundle is not signed; sign it with `bayespress sign`, or verify without a key.")
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
        raise InputError(f"{path} is not a {kind} key in PEM; make one with `bayespress sign --new-key`.") from None


def _other_key(path: Path) -> InputError:
    return InputError(f"{path} is not an Ed25519 key; make one with `bayespress sign --new-key`.")
