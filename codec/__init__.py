"""The `.bpz` format: integers in, bytes out, and back (see FORMAT.md).

    data = codec.encode([codec.QuantizedTensor("fc.weight", levels, codec.Grid(0.05))])
    tensors = codec.decode(data)

Needs numpy and the C extension, nothing else of this package but its errors.
"""

from __future__ import annotations

from .archive import Archive, open  # noqa: A004 - codec.open, as gzip.open
from .decode import decode
from .encode import PROFILES, encode, write
from .han import HanSizes, han_sizes
from .layout import FileLayout, TensorLayout, layout
from .maps import Codebook, Grid, Minifloat
from .precision import assumed_variance, grid_step, implied_variance, largest_float, round_off_float
from .stream import stream
from .tensor import QuantizedTensor, RawTensor, Tensor

__all__ = [
    "PROFILES",
    "Archive",
    "Codebook",
    "FileLayout",
    "Grid",
    "HanSizes",
    "Minifloat",
    "QuantizedTensor",
    "RawTensor",
    "Tensor",
    "TensorLayout",
    "assumed_variance",
    "decode",
    "encode",
    "grid_step",
    "han_sizes",
    "implied_variance",
    "largest_float",
    "layout",
    "open",
    "round_off_float",
    "stream",
    "write",
]
