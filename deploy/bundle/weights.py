"""The `.bpz` alone: where it lies, and whether it is sound. Imports nothing that only bundles need."""

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
    """Whether `path` is to be taken for a bundle, sound or not: a folder, or a file that claims to be a zip."""
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
    """The `.bpz` bytes of a .bpz file, a packed directory or a bundle. Raises InputError when there are none."""
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
    """Decode by the C core and by the reference decoder, and compare to the last bit; what was found.

    Raises CorruptFileError when the bytes are no sound `.bpz` or the decoders disagree.
    """
    from ...codec import reference

    pairs = list(zip(codec.decode(data), reference.decode(data), strict=True))
    for ours, theirs in pairs:
        a, b = ours.values(), theirs.values()
        if ours.name != theirs.name or a.shape != b.shape or a.tobytes() != b.tobytes():
            raise CorruptFileError(f"The C core and the reference decoder disagree on tensor {theirs.name}.")
    return f"{len(pairs)} tensors, C core and reference decoder agree"


def decoded_digests(tensors: Sequence[codec.Tensor]) -> dict[str, int]:
    """CRC-32 of each tensor's values as little-endian float32, by name."""
    return {tensor.name: zlib.crc32(np.ascontiguousarray(tensor.values(), "<f4").tobytes()) for tensor in tensors}
