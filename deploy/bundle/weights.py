"""Reading and checking the `.bpz` of a file, a packed directory or a bundle.

A bare `.bpz` needs no optional package, so the modules of bundles are imported only for bundles.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ... import codec
from ...errors import CorruptFileError
from ...files import check_input, read_bytes

_MAGIC = b"BPZ"


def is_bundle(path: Path) -> bool:
    """Whether `path` should be read as a bundle, valid or not: a folder, or a file that looks like a zip."""
    if path.is_dir() or path.suffix == ".zip":
        return True
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        if stream.read(len(_MAGIC)) == _MAGIC:
            return False
    import zipfile

    return zipfile.is_zipfile(path)


def weights_of(path: Path) -> bytes:
    """The bytes of a .bpz file, or of the one in a packed directory or a bundle. Raises InputError if there is none."""
    check_input(path, ".bpz file, packed directory or bundle")
    if not is_bundle(path):
        return read_bytes(path, ".bpz file", magic=_MAGIC)
    from ...packed_format import RECORD, WEIGHTS
    from .format import opened

    if (path / RECORD).is_file():
        return read_bytes(path / WEIGHTS, "weights file")
    with opened(path) as bundle:
        return bundle.read(WEIGHTS)


def check_weights(data: bytes) -> str:
    """Decode with the C core and with the reference decoder, compare bit by bit, and return the result as a sentence.

    Raises CorruptFileError if the bytes are not a valid `.bpz` or the decoders disagree.
    """
    from ...codec import reference

    pairs = list(zip(codec.decode(data), reference.decode(data), strict=True))
    for decoded, expected in pairs:
        a, b = decoded.values(), expected.values()
        if decoded.name != expected.name or a.shape != b.shape or a.tobytes() != b.tobytes():
            raise CorruptFileError(
                f"The C core and the reference decoder disagree on tensor {expected.name}; do not use the file."
            )
    return f"{len(pairs)} tensors, C core and reference decoder agree"


def decoded_digests(tensors: Sequence[codec.Tensor]) -> dict[str, int]:
    """CRC-32 of each tensor's values as little-endian float32, by name."""
    return {tensor.name: zlib.crc32(np.ascontiguousarray(tensor.values(), "<f4").tobytes()) for tensor in tensors}
